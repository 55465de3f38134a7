"""What people order of the supervisor."""

import asyncio
from dataclasses import replace

import pytest

from actors.errors import Unavailable
from actors.messages.commands import (
    Command,
    RateLimit,
    Screenshot,
    SessionLogout,
    SessionPause,
    SessionRestart,
    SessionResume,
    SessionStart,
    SessionStop,
)
from actors.messages.ids import SessionKey
from actors.messages.replies import ErrorBody, QueueReply, Reply, SessionStatus
from actors.ports import SessionSpec
from tests.actor.supervisor_stage import Stage, code
from tests.support.fakes import settle
from tests.support.fleet import FakeSession

# --- orders -------------------------------------------------------------------------------------------------------


async def test_a_start_answers_at_once_and_the_actor_follows(stage: Stage) -> None:
    reply = await stage.order("s1", SessionStart(phone_number="+6281234567890"))
    assert (reply.status, reply.state, reply.phone_number) == ("initializing", "starting", "+6281234567890")
    assert stage.host.count("s1") == 1
    assert stage.host.session("s1").spec.desired.revision_of_start == 1


async def test_starting_a_running_session_changes_nothing(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    before = stage.registry.stored[SessionKey("acme", "s1")]
    assert isinstance(await stage.order("s1", SessionStart()), SessionStatus)
    assert stage.registry.stored[SessionKey("acme", "s1")] == before
    assert stage.host.count("s1") == 1


async def test_a_start_keeps_what_it_does_not_mention(stage: Stage) -> None:
    await stage.order("s1", SessionStart(phone_number="+6281234567890", rate_limit=RateLimit(max_messages=3)))
    await stage.order("s1", SessionStop())
    await stage.order("s1", SessionStart(proxy="http://proxy:1"))
    desired = stage.host.session("s1").spec.desired
    assert (desired.phone_number, desired.rate_limit.max_messages, desired.proxy) == (
        "+6281234567890",
        3,
        "http://proxy:1",
    )


async def test_a_failed_session_is_started_by_a_person_only(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.host.session("s1").end("failed", "reconnect_exhausted")
    await stage.clock.advance(100)
    assert stage.host.count("s1") == 1
    reply = await stage.order("s1", SessionStart())
    assert (reply.state, reply.reason) == ("starting", None)
    assert stage.host.count("s1") == 2


async def test_a_stop_is_the_actors_to_answer_and_keeps_it_stopped(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    reply = await stage.order("s1", SessionStop())
    assert reply.state == "stopped"
    await stage.clock.advance(100)
    assert stage.host.count("s1") == 1
    assert (await stage.order("s1", SessionStop())).state == "stopped"


async def test_an_actor_that_does_not_answer_to_a_stop_is_killed_past_its_deadline(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    session = stage.host.session("s1")
    session.stubborn = True
    await stage.order("s1", SessionStop())
    await stage.clock.advance(29)
    assert session.alive
    await stage.clock.advance(2)
    assert not session.alive
    assert stage.status("s1").state == "stopped"
    assert await stage.phase("s1") == "ended"


async def test_the_order_to_stop_stands_even_if_the_actor_is_silent(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.host.session("s1").silent = True
    asking = asyncio.create_task(stage.supervisor.ask(SessionKey("acme", "s1"), SessionStop()))
    await stage.clock.advance(11)
    assert isinstance(await asking, SessionStatus)
    assert stage.registry.stored[SessionKey("acme", "s1")].value.target == "stopped"


async def test_a_stop_without_an_actor_makes_the_status_stopped(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.host.session("s1").end("failed", "reconnect_exhausted")
    await settle()
    assert (await stage.order("s1", SessionStop())).state == "stopped"
    assert stage.status("s1").state == "stopped"


async def test_a_stop_does_not_hide_what_became_of_the_account(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.host.session("s1").end("logged_out", "unlinked")
    await settle()
    assert (await stage.order("s1", SessionStop())).state == "logged_out"


async def test_a_start_while_draining_is_carried_out_after_the_end(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    session = stage.host.session("s1")
    session.stubborn = True
    await stage.order("s1", SessionStop())
    reply = await stage.order("s1", SessionStart())
    assert isinstance(reply, SessionStatus)
    assert stage.host.count("s1") == 1
    session.end("stopped", "stopped")
    await stage.clock.advance(1)
    assert stage.host.count("s1") == 2


async def test_a_start_just_after_the_end_is_not_answered_with_that_end(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.host.session("s1").stubborn = True
    stopped = await stage.order("s1", SessionStop())
    assert isinstance(stopped, SessionStatus)
    # The old actor has written its last word but its process has not ended yet.
    await stage.registry.put_status(stopped.model_copy(update={"state": "stopped", "since": stage.clock.now()}))
    await stage.clock.advance(0.1)
    reply = await stage.order("s1", SessionStart())
    assert isinstance(reply, SessionStatus)
    assert (reply.state, reply.status, reply.reason) == ("starting", "initializing", None)


async def test_a_logout_of_a_living_session_is_the_actors(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    assert (await stage.order("s1", SessionLogout())).state == "logged_out"
    await stage.clock.advance(100)
    assert stage.host.count("s1") == 1
    assert (await stage.order("s1", SessionLogout())).state == "logged_out"
    assert stage.host.count("s1") == 1


async def test_a_logout_without_an_actor_gets_one_for_it(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    await stage.order("s1", SessionStop())
    await stage.order("s1", SessionLogout())
    assert stage.host.count("s1") == 2
    assert stage.host.session("s1").spec.desired.target == "logged_out"
    stage.host.session("s1").end("logged_out", "logout")
    await stage.clock.advance(100)
    assert stage.host.count("s1") == 2


async def test_a_logout_of_what_the_phone_has_just_unlinked_gets_a_life_for_it(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    session = stage.host.session("s1")
    session.state, session.stubborn = "logged_out", True
    stage.registry.statuses[session.spec.key] = session.status("unlinked")
    await stage.order("s1", SessionLogout())
    session.end("logged_out", "unlinked")
    await stage.clock.advance(1)
    assert stage.host.count("s1") == 2
    assert stage.host.session("s1").spec.desired.target == "logged_out"


async def test_a_logout_is_not_done_where_the_phone_unlinked_the_session(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    await stage.order("s1", SessionStop())
    key = SessionKey("acme", "s1")
    # As a supervisor left it that took the one for the other.
    found = stage.registry.stored[key]
    stage.registry.stored[key] = replace(found, value=found.value.model_copy(update={"target": "logged_out"}))
    gone = stage.status("s1").model_copy(update={"state": "logged_out", "reason": "unlinked"})
    await stage.registry.put_status(gone)
    await stage.order("s1", SessionLogout())
    await stage.clock.advance(1)
    assert stage.host.session("s1").spec.desired.target == "logged_out"


async def test_a_logout_that_finds_an_actor_made_for_the_start_before_is_carried_out_by_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, ordered = stage.host.create, asyncio.Event()

    async def seems_to_fail(spec: SessionSpec) -> FakeSession | None:
        monkeypatch.setattr(stage.host, "create", create)
        await create(spec)
        await ordered.wait()
        raise Unavailable("the answer to the creation was lost")

    monkeypatch.setattr(stage.host, "create", seems_to_fail)
    await stage.order("s1", SessionStart())
    await stage.order("s1", SessionLogout())
    ordered.set()
    await stage.clock.advance(3)
    assert stage.host.session("s1").asked == ["session.logout"]
    assert (stage.status("s1").state, stage.host.count("s1")) == ("logged_out", 1)


async def test_a_restart_is_the_actors_where_one_lives_and_a_start_elsewhere(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    await stage.order("s1", SessionRestart())
    assert stage.host.session("s1").asked == ["session.restart"]
    await stage.order("s1", SessionStop())
    assert (await stage.order("s1", SessionRestart())).state == "starting"
    assert stage.host.count("s1") == 2


async def test_a_restart_of_a_session_that_waits_to_start_changes_nothing() -> None:
    stage = await Stage(slots=0).supervise()
    await stage.order("s1", SessionStart())
    before = stage.registry.stored[SessionKey("acme", "s1")]
    assert (await stage.order("s1", SessionRestart())).state == "starting"
    assert stage.registry.stored[SessionKey("acme", "s1")] == before
    await stage.dies()


async def test_a_pause_is_kept_for_the_next_life(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    reply = await stage.order("s1", SessionPause())
    assert isinstance(reply, QueueReply)
    assert reply.paused
    await stage.order("s1", SessionStop())
    assert (await stage.order("s1", SessionPause())).paused
    await stage.order("s1", SessionStart())
    assert stage.host.session("s1").spec.desired.paused
    await stage.order("s1", SessionStop())
    assert not (await stage.order("s1", SessionResume())).paused


@pytest.mark.parametrize("command", [SessionStop(), SessionRestart(), SessionLogout(), SessionPause(), SessionResume()])
async def test_what_was_never_started_is_unknown(stage: Stage, command: Command) -> None:
    assert code(await stage.order("nobody", command)) == "unknown_session"
    assert stage.registry.stored == {}


async def test_other_commands_are_no_orders(stage: Stage) -> None:
    assert code(await stage.order("s1", Screenshot())) == "unsupported"


async def test_an_order_overtaken_by_another_is_tried_again_but_not_for_ever(stage: Stage) -> None:
    stage.registry.overtaken = 3
    assert (await stage.order("s1", SessionStart())).state == "starting"
    stage.registry.overtaken = 1000
    assert code(await stage.order("s1", SessionStop())) == "unavailable"
    assert code(await stage.order("s2", SessionStart())) == "unavailable"


async def test_a_start_between_a_sessions_last_word_and_its_end_is_another_life(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    session = stage.host.session("s1")
    session.state = "logged_out"
    await stage.clock.advance(1)
    stage.registry.statuses[session.spec.key] = session.status("device_removed")
    await stage.order("s1", SessionStart())
    await stage.clock.advance(1)
    assert stage.host.count("s1") == 1
    session.end("logged_out", "device_removed")
    await stage.clock.advance(1)
    assert stage.host.count("s1") == 2
    assert await stage.phase("s1") == "living"


@pytest.mark.parametrize("told", [True, False])
async def test_a_restart_between_a_sessions_last_word_and_its_end_is_another_life(stage: Stage, *, told: bool) -> None:
    await stage.order("s1", SessionStart())
    session = stage.host.session("s1")
    session.state = "failed"
    if told:
        stage.registry.statuses[session.spec.key] = session.status("reconnect_exhausted")
    await stage.clock.advance(1)
    assert (await stage.order("s1", SessionRestart())).state == "starting"
    assert session.asked == ([] if told else ["session.restart"])
    assert stage.host.count("s1") == 1
    session.end("failed", "reconnect_exhausted")
    await stage.clock.advance(1)
    assert stage.host.count("s1") == 2
    assert await stage.phase("s1") == "living"


async def test_a_restart_that_the_sessions_end_overtakes_is_another_life(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    session = stage.host.session("s1")
    ask = session.ask

    async def too_late(command: Command, timeout_s: float) -> Reply | ErrorBody:
        session.end("failed", "reconnect_exhausted")
        await stage.clock.sleep(0.1)
        session.ask = ask  # type: ignore[method-assign]
        return session.status("reconnect_exhausted")

    session.ask = too_late  # type: ignore[method-assign]
    assert (await stage.order("s1", SessionRestart())).state == "starting"
    await stage.clock.advance(1)
    assert stage.host.count("s1") == 2
    assert await stage.phase("s1") == "living"


async def test_a_pause_given_while_its_actor_is_created_reaches_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, created = stage.host.create, asyncio.Event()

    async def slowly(spec: SessionSpec) -> FakeSession | None:
        session = await create(spec)
        await created.wait()
        return session

    monkeypatch.setattr(stage.host, "create", slowly)
    await stage.order("s1", SessionStart())
    assert (await stage.order("s1", SessionPause())).paused
    assert not stage.host.session("s1").paused
    stage.registry.fail_next.append("desired")
    created.set()
    await stage.clock.advance(2)
    assert stage.host.session("s1").asked == ["session.pause"]


async def test_a_resume_without_a_supervisor_that_knew_the_actor_reaches_it_when_it_is_adopted(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    await stage.order("s1", SessionPause())
    await stage.dies()
    key = SessionKey("acme", "s1")
    found = stage.registry.stored[key]
    stage.registry.stored[key] = replace(found, value=found.value.model_copy(update={"paused": False}))
    await stage.supervise()
    await stage.clock.advance(1)
    assert stage.host.session("s1").asked == ["session.pause", "session.resume"]


async def test_what_was_overtaken_while_an_actor_is_told_is_told_anew(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    await stage.dies()
    key = SessionKey("acme", "s1")
    found, session = stage.registry.stored[key], stage.host.session("s1")
    stage.registry.stored[key] = replace(found, value=found.value.model_copy(update={"paused": True}))
    ask = session.ask

    async def overtaken(command: Command, timeout_s: float) -> Reply | ErrorBody:
        reply = await ask(command, timeout_s)
        if isinstance(command, SessionPause):
            stage.registry.stored[key] = found
        return reply

    session.ask = overtaken  # type: ignore[method-assign]
    await stage.supervise()
    await stage.clock.advance(1)
    assert session.asked == ["session.pause", "session.resume"]
