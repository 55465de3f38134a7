"""The supervisor as a plain object: real decisions, a fake host, a clock that the test moves."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors.config import LeaseConfig, SessionConfig, SupervisorConfig
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
from actors.messages.records import LeaseRecord
from actors.messages.replies import ErrorBody, QueueReply, SessionStatus
from actors.ports import Revised
from actors.supervisor import Supervisor
from tests.support.fakes import FakeClock, settle
from tests.support.fleet import FakeHost, FleetFactory, MemoryRegistry
from tests.support.memory import MemoryLease
from tests.support.waiting import eventually


class Stage:
    """A supervisor and its world. A new one on the same world is what Ray makes of a dead one."""

    def __init__(self, *, slots: int = 100, **config: Any) -> None:
        self.clock = FakeClock()
        self.registry = MemoryRegistry()
        self.lease = MemoryLease()
        self.host = FakeHost(self.clock, self.registry, slots=slots)
        self.factory = FleetFactory(self.clock, self.registry, self.lease)
        self.config = SupervisorConfig(**{"start_spacing_s": 0.0, "max_concurrent_starts": 10, **config})
        self._run: asyncio.Task[None] | None = None

    async def supervise(self) -> "Stage":
        self.supervisor = Supervisor(
            self.factory,
            self.host,
            config=self.config,
            session_config=SessionConfig(),
            lease_config=LeaseConfig(),
            seed=1,
        )
        self._run = asyncio.create_task(self.supervisor.run())
        await self.clock.advance(0.2)
        return self

    async def dies(self) -> None:
        """End the supervisor as a killed process ends."""
        if self._run:
            self._run.cancel()
            await asyncio.wait({self._run})
        await settle()

    async def order(self, session_id: str, command: Command) -> Any:
        asking = asyncio.create_task(self.supervisor.ask(SessionKey("acme", session_id), command))
        await self.clock.advance(0.2)
        return await asking

    async def phase(self, session_id: str) -> str | None:
        return (await self.supervisor.observe()).phases.get(SessionKey("acme", session_id))

    def status(self, session_id: str) -> SessionStatus:
        return self.registry.statuses[SessionKey("acme", session_id)]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    asyncio.get_running_loop().set_debug(True)
    stage = await Stage().supervise()
    yield stage
    await stage.dies()


def code(reply: Any) -> str:
    assert isinstance(reply, ErrorBody)
    return reply.code


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
    stage.host.session("s1").end("logged_out")
    await stage.clock.advance(100)
    assert stage.host.count("s1") == 2


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


# --- supervision --------------------------------------------------------------------------------------------------


async def test_a_dead_actor_is_announced_and_comes_back(stage: Stage) -> None:
    await stage.order("s1", SessionStart())
    stage.host.session("s1").die()
    await settle()
    assert (stage.status("s1").state, stage.status("s1").reason) == ("reconnecting", "actor_died")
    await stage.clock.advance(1.5)
    assert stage.host.count("s1") == 2


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


async def test_without_room_a_session_fails_after_a_minute() -> None:
    stage = await Stage(slots=1).supervise()
    await stage.order("s1", SessionStart())
    await stage.order("s2", SessionStart())
    await stage.clock.advance(55)
    assert stage.status("s2").state == "starting"
    await stage.clock.advance(10)
    assert (stage.status("s2").state, stage.status("s2").reason) == ("failed", "no_capacity")
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


async def test_a_renewal_whose_answer_was_lost_loses_nothing(stage: Stage) -> None:
    stage.lease.lose_answers = 1
    await stage.clock.advance(20)
    assert (await stage.supervisor.observe()).on_duty


@pytest.mark.parametrize(("node", "waits"), [("here", False), ("elsewhere", True)])
async def test_the_lease_of_a_dead_process_of_this_machine_is_taken_over_at_once(node: str, *, waits: bool) -> None:
    stage = Stage()
    here = os.uname().nodename
    holder = LeaseRecord(owner_id="before", node=here if node == "here" else "elsewhere", pid=2**22 + 1)
    stage.lease.held = Revised(holder, 7)
    await stage.supervise()
    assert (await stage.supervisor.observe()).on_duty is not waits
    await stage.dies()


async def test_a_living_process_of_this_machine_keeps_its_lease() -> None:
    stage = Stage()
    stage.lease.held = Revised(LeaseRecord(owner_id="parent", node=os.uname().nodename, pid=os.getppid()), 7)
    await stage.supervise()
    assert not (await stage.supervisor.observe()).on_duty
    await stage.dies()


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
