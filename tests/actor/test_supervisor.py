"""What the supervisor does by itself: deaths, room, its lease, its end."""

import asyncio
import os

import pytest

from actors.messages.commands import (
    SessionStart,
    SessionStop,
)
from actors.messages.events import SessionEvent
from actors.messages.ids import SessionKey
from actors.messages.records import LeaseRecord
from actors.node import identity
from actors.ports import Revised
from tests.actor.supervisor_stage import Stage, code
from tests.support.fakes import settle
from tests.support.waiting import eventually


def failures(stage: Stage) -> list[tuple[str, str | None]]:
    """Sessions of which an event tells that they failed, and why."""
    events = [event for event in stage.factory.events.of("session.failed") if isinstance(event, SessionEvent)]
    return [(event.session_id, event.data.reason) for event in events]


# --- supervision --------------------------------------------------------------------------------------------------


async def test_a_dead_actor_is_announced_and_comes_back(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.host.session("s1").die()
    await settle()
    assert (stage.status("s1").state, stage.status("s1").reason) == ("reconnecting", "actor_died")
    await stage.clock.advance(1.5)
    assert stage.host.count("s1") == 2


async def test_a_new_actor_is_told_which_owner_of_its_session_is_dead(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    first = stage.host.session("s1")
    assert first.spec.dead_owners == ()
    first.die()
    await stage.clock.advance(0.5)
    second = stage.host.session("s1")
    assert second.spec.dead_owners == (first.owner_id,)
    # It holds the lease now: the first one's is no more.
    second.die()
    await stage.clock.advance(1.5)
    assert stage.host.session("s1").spec.dead_owners == (second.owner_id,)


async def test_a_silent_actor_is_killed_after_three_heartbeats_and_comes_back(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    await stage.clock.advance(10)
    session = stage.host.session("s1")
    session.silent = True
    await stage.clock.advance(14)
    assert session.alive
    await stage.clock.advance(10)
    assert not session.alive
    assert stage.host.count("s1") == 2


async def test_a_process_that_outlives_its_kill_is_killed_again_and_never_doubled(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    session = stage.host.session("s1")
    session.silent = session.unkillable = True
    await stage.clock.advance(60)
    assert stage.host.count("s1") == 1
    session.unkillable = False
    await stage.clock.advance(10)
    assert stage.host.count("s1") == 2


@pytest.mark.parametrize("trouble", ["fails", "breaks"])
async def test_one_session_that_cannot_be_created_keeps_no_other_from_living(stage: Stage, trouble: str) -> None:
    stage.host.plan.append(trouble)
    await stage.order("s1", SessionStart())
    await stage.order("s2", SessionStart())
    assert stage.host.count("s2") == 1
    await stage.clock.advance(2)
    assert stage.host.count("s1") == 1


async def test_too_many_deaths_end_as_failed(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    for _ in range(6):
        stage.host.session("s1").die()
        await stage.clock.advance(31)
    assert stage.host.count("s1") == 6
    assert (stage.status("s1").status, stage.status("s1").reason) == ("error", "restart_intensity")
    assert failures(stage) == [("s1", "restart_intensity")]


async def test_a_failure_is_told_as_soon_as_it_can_be(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.factory.events.fail_next.extend(["publish", "publish"])
    for _ in range(6):
        stage.host.session("s1").die()
        await stage.clock.advance(31)
    [event] = stage.factory.events.of("session.failed")
    assert isinstance(event, SessionEvent)
    assert (event.seq, event.epoch, event.data.status, event.data.previous_state) == (
        None, stage.status("s1").epoch, "error", "reconnecting"
    )  # fmt: skip


async def test_a_failure_that_is_over_before_it_could_be_told_is_not_told(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.factory.events.down = True
    for _ in range(6):
        stage.host.session("s1").die()
        await stage.clock.advance(31)
    await stage.order("s1", SessionStart())
    stage.factory.events.down = False
    await stage.clock.advance(5)
    assert stage.host.count("s1") == 7
    assert failures(stage) == []


async def test_an_end_that_its_actor_could_not_tell_is_told_until_it_is_heard(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    session = stage.host.session("s1")
    before = session.status()
    await stage.order("s1", SessionStop())
    stage.registry.statuses[session.spec.key] = before
    stage.registry.fail_next.append("put_status")
    await stage.clock.advance(8)
    assert stage.status("s1").state == "ready"
    await stage.clock.advance(5)
    assert (stage.status("s1").state, stage.status("s1").reason) == ("stopped", "stopped")


async def test_a_failure_that_its_actor_could_not_tell_is_told_once(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    session = stage.host.session("s1")
    before = session.status()
    stage.factory.events.down = True
    session.end("failed", "reconnect_exhausted")
    stage.registry.statuses[session.spec.key] = before
    await stage.clock.advance(8)
    stage.registry.statuses[session.spec.key] = before
    await stage.clock.advance(8)
    stage.factory.events.down = False
    await stage.clock.advance(5)
    assert failures(stage) == [("s1", "reconnect_exhausted")]
    assert stage.status("s1").state == "failed"


async def test_without_room_a_session_fails_after_a_minute() -> None:
    stage = await Stage(slots=1).supervise()
    await stage.order("s1", SessionStart())
    await stage.order("s2", SessionStart())
    await stage.clock.advance(55)
    assert stage.status("s2").state == "starting"
    await stage.clock.advance(10)
    assert (stage.status("s2").state, stage.status("s2").reason) == ("failed", "no_capacity")
    assert failures(stage) == [("s2", "no_capacity")]
    await stage.order("s1", SessionStop())
    await stage.order("s2", SessionStart())
    await stage.clock.advance(5)
    assert stage.host.count("s2") == 1
    assert stage.host.slots_requested[-1] == 1
    await stage.dies()


async def test_a_supervisor_that_cannot_connect_tries_again() -> None:
    stage = Stage()
    stage.factory.refusals = 1
    await stage.supervise()
    assert stage.factory.refusals == 0

    async def on_duty() -> bool:
        await stage.clock.advance(0.2)
        return (await stage.supervisor.observe()).on_duty

    await eventually(on_duty, within_s=5)
    await stage.dies()


async def test_a_bug_in_a_step_ends_nothing(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.registry.all_statuses = None  # type: ignore[method-assign,assignment]
    await stage.clock.advance(10)
    del stage.registry.all_statuses
    stage.host.session("s1").die()
    await stage.clock.advance(5)
    assert stage.host.count("s1") == 2


async def test_trouble_with_the_registry_ends_nothing(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.registry.down = True
    await stage.clock.advance(30)
    assert code(await stage.order("s1", SessionStop())) == "unavailable"
    stage.registry.down = False
    stage.host.session("s1").die()
    await stage.clock.advance(5)
    assert stage.host.count("s1") == 2


# --- several supervisors --------------------------------------------------------------------------------------------


async def test_a_new_supervisor_adopts_what_lives_and_starts_what_does_not(stage: Stage) -> None:
    for session_id in ("s1", "s2", "s3"):
        await stage.order(session_id, SessionStart())
    await stage.dies()
    stage.host.session("s2").die()
    stage.host.session("s3").end("failed", "reconnect_exhausted")
    await stage.supervise()
    assert [stage.host.count(each) for each in ("s1", "s2", "s3")] == [1, 2, 1]
    stage.host.session("s1").die()
    await stage.clock.advance(2)
    assert stage.host.count("s1") == 2


async def test_an_actor_gone_before_it_is_adopted_is_started_again(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    await stage.dies()
    living = stage.host.living

    async def outdated() -> list[SessionKey]:
        found = list(await living())
        stage.host.session("s1").die()
        return found

    stage.host.living = outdated  # type: ignore[method-assign]
    await stage.supervise()
    stage.host.living = living  # type: ignore[method-assign]
    await stage.clock.advance(3)
    assert stage.host.count("s1") == 2


async def test_nothing_is_started_before_the_living_are_known(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    await stage.dies()
    stage.host.down = True
    await stage.supervise()
    assert (await stage.supervisor.heartbeat()).state == "waiting"
    await stage.clock.advance(10)
    assert stage.host.count("s1") == 1
    stage.host.down = False
    await stage.clock.advance(3)
    assert (await stage.supervisor.heartbeat()).state == "on_duty"
    assert await stage.phase("s1") == "living"


async def test_a_supervisor_without_its_lease_does_nothing(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.lease.take_over()
    await stage.clock.advance(15)
    stage.host.session("s1").die()
    await stage.clock.advance(60)
    assert stage.host.count("s1") == 1
    assert not (await stage.supervisor.observe()).on_duty
    stage.lease.held = None
    await stage.clock.advance(5)
    assert stage.host.count("s1") == 2


async def test_what_another_supervisor_stored_meanwhile_holds_against_an_order_taken_here(stage: Stage) -> None:
    stage.clock.off_by_s = 0.000_123
    await stage.order("s1", SessionStart())
    stage.lease.take_over()
    await stage.clock.advance(15)
    found = stage.registry.stored[SessionKey("acme", "s1")]
    await stage.registry.put_desired(found.value.model_copy(update={"target": "stopped"}), found.revision)
    stage.host.session("s1").end("stopped", "stopped")
    stage.lease.held = None
    await stage.clock.advance(60)
    assert (await stage.supervisor.observe()).on_duty
    assert stage.host.count("s1") == 1


async def test_a_lease_that_cannot_be_renewed_runs_out_and_comes_back(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.lease.down = True
    await stage.clock.advance(4)
    assert (await stage.supervisor.observe()).on_duty
    await stage.clock.advance(10)
    assert not (await stage.supervisor.observe()).on_duty
    stage.lease.down = False
    await stage.clock.advance(3)
    assert (await stage.supervisor.observe()).on_duty


async def test_a_renewal_whose_answer_was_lost_loses_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.lease.lose_answers = 1
    await stage.clock.advance(20)
    assert stage.lease.lose_answers == 0
    assert (await stage.supervisor.observe()).on_duty
    assert "another one holds the lease" not in caplog.text


@pytest.mark.parametrize(("node", "waits"), [("here", False), ("elsewhere", True)])
async def test_the_lease_of_a_dead_process_of_this_machine_is_taken_over_at_once(node: str, *, waits: bool) -> None:
    stage = Stage()
    where = identity() if node == "here" else "elsewhere"
    holder = LeaseRecord(owner_id="before", node=where, pid=2**22 + 1)
    stage.lease.held = Revised(holder, 7)
    await stage.supervise()
    assert (await stage.supervisor.observe()).on_duty is not waits
    await stage.dies()


async def test_a_living_process_of_this_machine_keeps_its_lease() -> None:
    stage = Stage()
    stage.lease.held = Revised(LeaseRecord(owner_id="parent", node=identity(), pid=os.getppid()), 7)
    await stage.supervise()
    assert not (await stage.supervisor.observe()).on_duty
    await stage.dies()


# --- nodes that are drained -----------------------------------------------------------------------------------------


async def test_a_session_leaves_a_node_that_is_drained_and_starts_again_at_once(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    await stage.order("s2", SessionStart())
    stage.host.draining = {SessionKey("acme", "s1")}
    await stage.clock.advance(1.1)
    assert stage.host.created[0].asked == ["drain"]
    stage.host.draining = set()
    await stage.clock.advance(0.5)
    assert [stage.host.count(each) for each in ("s1", "s2")] == [2, 1]
    assert await stage.phase("s1") == "living"


async def test_a_host_that_does_not_answer_moves_nothing(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.host.down = True
    await stage.clock.advance(5)
    stage.host.down = False
    await stage.clock.advance(5)
    assert stage.host.count("s1") == 1


# --- the end --------------------------------------------------------------------------------------------------------


async def stop(stage: Stage, *, drain: bool, within_s: float = 5) -> None:
    stopping = asyncio.create_task(stage.supervisor.stop(drain=drain))
    await stage.clock.advance(within_s)
    await stopping


async def test_a_supervisor_that_stops_leaves_the_fleet_alone(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    await stop(stage, drain=False)
    assert stage.host.session("s1").alive
    assert stage.lease.held is None
    assert stage.factory.closed == 1
    await stop(stage, drain=False)
    assert stage.factory.closed == 1


async def test_a_drained_fleet_has_ended_and_comes_back_with_the_next_supervisor(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    await stage.order("s2", SessionStart())
    await stage.order("s2", SessionStop())
    await stage.order("s3", SessionStart())
    stage.host.session("s3").stubborn = True
    await stop(stage, drain=True, within_s=31)
    assert list(await stage.host.living()) == []
    assert (stage.status("s1").state, stage.status("s1").reason) == ("stopped", "shutdown")
    assert stage.status("s2").reason == "stopped"
    await stage.supervise()
    assert [stage.host.count(each) for each in ("s1", "s2", "s3")] == [2, 1, 2]


async def test_what_a_session_said_of_its_account_is_not_painted_over_by_a_shutdown(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    session = stage.host.session("s1")
    session.stubborn = True
    stopping = asyncio.create_task(stage.supervisor.stop(drain=True))
    await stage.clock.advance(1)
    session.end("blocked", "banned")
    await stage.clock.advance(1)
    await stopping
    assert (stage.status("s1").state, stage.status("s1").reason) == ("blocked", "banned")
    await stage.supervise()
    assert stage.host.count("s1") == 1


async def test_a_supervisor_keeps_its_lease_until_the_fleet_has_ended(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.host.session("s1").stubborn = True
    stopping = asyncio.create_task(stage.supervisor.stop(drain=True))
    await stage.clock.advance(20)
    renewals = stage.lease.renewals
    await stage.clock.advance(9)
    assert stage.lease.renewals > renewals
    assert stage.lease.held is not None
    assert code(await stage.order("s1", SessionStart())) == "unavailable"
    await stage.clock.advance(2)
    await stopping
    assert stage.lease.held is None
    assert stage.host.count("s1") == 1
