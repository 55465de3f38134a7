"""A supervisor that dies between an order and its carrying out: the next one finds both, and whatever has ended."""

import pytest

from actors.messages.commands import SessionLogout, SessionStart
from actors.messages.ids import SessionKey
from tests.actor.supervisor_stage import Stage
from tests.support.fleet import FakeSession

KEY = SessionKey("acme", "s1")


async def over(stage: Stage, state: str, reason: str) -> FakeSession:
    """Let a session say its last word; its process goes on for a while."""
    session = stage.host.session("s1")
    session.state = state
    await stage.clock.advance(1)
    stage.registry.statuses[KEY] = session.status(reason)
    await stage.clock.advance(0.2)
    return session


def shown_as_initializing(stage: Stage) -> bool:
    """Whether the last status is older than the order for the session."""
    return stage.registry.stored[KEY].value.outdates(stage.status("s1"))


async def test_a_start_is_not_forgotten_where_the_life_before_ends_under_the_next_supervisor(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    session = await over(stage, "stopped", "qr_timeout")
    assert (await stage.order("s1", SessionStart())).state == "starting"
    await stage.dies()
    await stage.supervise()
    session.end("stopped", "qr_timeout")
    await stage.clock.advance(1)
    assert stage.host.count("s1") == 2


async def test_a_start_is_not_forgotten_where_the_life_before_ended_under_no_supervisor(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    session = await over(stage, "stopped", "qr_timeout")
    assert (await stage.order("s1", SessionStart())).state == "starting"
    await stage.dies()
    session.die()
    await stage.supervise()
    assert stage.host.count("s1") == 2


async def test_a_start_during_a_logout_is_not_forgotten_by_the_next_supervisor(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    session = stage.host.session("s1")
    await stage.clock.advance(1)
    session.state, session.stubborn = "logged_out", True
    left = session.status("logout")
    await stage.clock.advance(1)
    await stage.order("s1", SessionLogout())
    await stage.order("s1", SessionStart())
    await stage.dies()
    await stage.supervise()
    # A state begins when the machine enters it; its status is written when the logout is over.
    session.end("logged_out", "logout")
    stage.registry.statuses[KEY] = left
    await stage.clock.advance(1)
    assert stage.host.count("s1") == 2


async def test_a_logout_of_an_unlinked_session_is_not_forgotten_by_the_next_supervisor(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.host.session("s1").end("logged_out", "unlinked")
    await stage.clock.advance(1)
    stage.host.slots = 0
    await stage.order("s1", SessionLogout())
    await stage.dies()
    stage.host.slots = 1
    await stage.supervise()
    assert stage.host.session("s1").spec.desired.target == "logged_out"


@pytest.mark.parametrize("slots", [0, 1])
async def test_a_start_that_was_stored_and_not_told_yet_ends_somehow(stage: Stage, slots: int) -> None:
    await stage.order("s1", SessionStart())
    stage.host.session("s1").end("failed", "reconnect_exhausted")
    await stage.clock.advance(1)
    ended = stage.status("s1")
    stage.host.slots = 0
    await stage.order("s1", SessionStart())
    await stage.dies()
    await stage.registry.put_status(ended)
    assert shown_as_initializing(stage)
    stage.host.slots = slots
    await stage.supervise()
    await stage.clock.advance(61)
    assert not shown_as_initializing(stage)
    assert (stage.status("s1").state, stage.host.count("s1")) == (("starting", 2) if slots else ("failed", 1))


async def test_what_failed_before_its_supervisor_died_stays_so(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    session = await over(stage, "failed", "reconnect_exhausted")
    await stage.dies()
    await stage.supervise()
    session.end("failed", "reconnect_exhausted")
    await stage.clock.advance(60)
    assert stage.host.count("s1") == 1
