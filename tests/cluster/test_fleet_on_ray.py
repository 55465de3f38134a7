"""The whole supervision on a real Ray cluster: real actors and real signals, with short periods."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import ray

from actors.cluster import NAMESPACE, RayControlPlane, RaySessionHost
from actors.config import SessionConfig, SupervisorConfig
from actors.errors import Unavailable
from actors.messages.commands import Command, SessionRestart, SessionStart, SessionStop
from actors.messages.ids import SessionKey
from actors.messages.replies import ErrorBody, SessionStatus
from actors.processes import SupervisorProcess
from actors.supervisor import Supervisor
from tests.cluster.standins import LEASE, BoardClient, BoardPorts
from tests.support.leftovers import is_gone
from tests.support.waiting import eventually

pytestmark = pytest.mark.ray
CONFIG = SupervisorConfig(
    reconcile_every_s=0.3,
    start_spacing_s=0.05,
    heartbeat_every_s=0.5,
    restart_first_delay_s=0.3,
    # A heartbeat has as long as there is between two: fewer would lose a healthy session to a busy machine.
    max_missed_heartbeats=6,
)


class Fleet:
    """A supervised fleet and what can be seen of it from outside."""

    def __init__(self, plane: RayControlPlane, host: RaySessionHost) -> None:
        self.plane = plane
        self.host = host
        self.board = BoardClient()

    async def deploy(self) -> int:
        """Get or create the supervisor; its pid."""
        return (await self.plane.deploy_supervisor(self._build())).pid

    def deploy_rival(self) -> Any:
        """A second supervisor, as a partition would leave one behind."""
        made = ray.remote(SupervisorProcess).options(name="rival", namespace=NAMESPACE, num_cpus=0)
        return made.remote(self._build())

    def _build(self) -> Callable[[], Supervisor]:
        return partial(
            Supervisor,
            BoardPorts(),
            self.host,
            config=CONFIG,
            session_config=SessionConfig(),
            lease_config=LEASE,
            seed=1,
        )

    async def end(self) -> None:
        """Leave no supervisor, and nothing that the next one would start; what lives is ended by the host's fixture."""
        with suppress(Unavailable):
            await self.plane.stop_supervisor(drain=False, timeout_s=10)
        for desired in await self.board.all_desired():
            held = await self.board.desired(SessionKey(desired.tenant_id, desired.session_id))
            if held is not None:
                await self.board.put_desired(desired.model_copy(update={"target": "stopped"}), held.revision)

    async def order(self, session_id: str, command: Command) -> SessionStatus | ErrorBody:
        reply = await self.plane.ask_supervisor(SessionKey("acme", session_id), command, 20)
        assert isinstance(reply, SessionStatus | ErrorBody)
        return reply

    async def births(self, session_id: str) -> list[int]:
        """Pids of all actors this session ever had."""
        births: Any = await self.board.read_all("births")
        return [pid for key, pid in births if key.session_id == session_id]

    async def born(self, session_id: str, *, times: int, within_s: float = 15) -> list[int]:
        async def enough() -> list[int]:
            pids = await self.births(session_id)
            return pids if len(pids) >= times else []

        return await eventually(enough, within_s=within_s)

    async def comes_to(self, session_id: str, phase: str, *, within_s: float = 15) -> None:
        async def there() -> bool:
            return await self.phase(session_id) == phase

        await eventually(there, within_s=within_s)

    async def status(self, session_id: str) -> SessionStatus:
        status = await self.board.status(SessionKey("acme", session_id))
        assert status is not None
        return status

    async def phase(self, session_id: str) -> str | None:
        view: Any = await self.plane.observe(5)
        phase: str | None = view.phases.get(SessionKey("acme", session_id))
        return phase


@pytest.fixture
async def fleet(plane: RayControlPlane, host: RaySessionHost) -> AsyncIterator[Fleet]:
    fleet = Fleet(plane, host)
    yield fleet
    await fleet.end()


async def test_a_killed_session_comes_back_and_an_ended_one_does_not(fleet: Fleet) -> None:
    await fleet.deploy()
    started = await fleet.order("killed", SessionStart())
    assert isinstance(started, SessionStatus)
    assert started.state == "starting"
    await fleet.order("fails", SessionStart())
    [pid] = await fleet.born("killed", times=1)
    assert isinstance(await fleet.order("killed", SessionStart()), SessionStatus)
    os.kill(pid, signal.SIGKILL)
    assert (await fleet.born("killed", times=2))[1] != pid
    await fleet.comes_to("fails", "ended")
    assert (await fleet.status("fails")).reason is None
    assert len(await fleet.births("fails")) == 1
    unknown = await fleet.order("nobody", SessionRestart())
    assert isinstance(unknown, ErrorBody)
    assert unknown.code == "unknown_session"


async def test_a_frozen_session_is_found_by_its_heart_killed_and_restarted(fleet: Fleet) -> None:
    await fleet.deploy()
    await fleet.order("frozen", SessionStart())
    await fleet.comes_to("frozen", "living")
    [pid] = await fleet.born("frozen", times=1)
    os.kill(pid, signal.SIGSTOP)
    pids = await fleet.born("frozen", times=2, within_s=25)
    assert pids[1] != pid
    assert is_gone(pid)
    await fleet.order("frozen", SessionStop())


async def test_a_killed_supervisor_comes_back_and_adopts_what_lives(fleet: Fleet) -> None:
    supervisor_pid = await fleet.deploy()
    await fleet.order("adopted", SessionStart())
    await fleet.comes_to("adopted", "living")
    [pid] = await fleet.born("adopted", times=1)
    os.kill(supervisor_pid, signal.SIGKILL)
    assert await fleet.deploy() != supervisor_pid
    await fleet.comes_to("adopted", "living")
    assert await fleet.births("adopted") == [pid]
    # An adopted one is watched like any other.
    os.kill(pid, signal.SIGKILL)
    await fleet.born("adopted", times=2)
    await fleet.comes_to("adopted", "living")
    assert isinstance(await fleet.order("adopted", SessionStop()), SessionStatus)
    await fleet.comes_to("adopted", "ended")
    assert (await fleet.status("adopted")).state == "stopped"
    assert len(await fleet.births("adopted")) == 2


async def test_of_two_supervisors_one_acts_and_nothing_is_started_twice(fleet: Fleet) -> None:
    frozen = await fleet.deploy()
    await fleet.order("shared", SessionStart())
    await fleet.comes_to("shared", "living", within_s=40)
    rival = fleet.deploy_rival()
    assert (await rival.heartbeat.remote()).state == "waiting"
    os.kill(frozen, signal.SIGSTOP)
    await comes_on_duty(rival)
    os.kill(frozen, signal.SIGCONT)

    async def first_one_steps_back() -> bool:
        beat = await fleet.plane.deploy_supervisor(fleet._build())
        return beat.pid == frozen and beat.state == "waiting"

    await eventually(first_one_steps_back, within_s=15)
    [pid] = await fleet.births("shared")
    os.kill(pid, signal.SIGKILL)
    await fleet.born("shared", times=2, within_s=60)
    ray.kill(rival)
    await fleet.comes_to("shared", "living", within_s=40)
    assert isinstance(await fleet.order("shared", SessionStop()), SessionStatus)
    await fleet.comes_to("shared", "ended")
    assert len(await fleet.births("shared")) == 2


async def comes_on_duty(supervisor: Any) -> None:
    async def on_duty() -> bool:
        return bool((await supervisor.heartbeat.remote()).state == "on_duty")

    await eventually(on_duty, within_s=20)


async def test_a_drained_fleet_leaves_no_actor_and_starts_again_with_the_next_supervisor(fleet: Fleet) -> None:
    await fleet.deploy()
    await fleet.order("drained", SessionStart())
    await fleet.comes_to("drained", "living")
    await fleet.plane.stop_supervisor(drain=True, timeout_s=30)
    assert list(await fleet.host.living()) == []
    status = await fleet.status("drained")
    assert (status.state, status.reason) == ("stopped", "shutdown")
    with pytest.raises(Unavailable, match="no supervisor"):
        await fleet.order("drained", SessionStart())
    await fleet.deploy()
    await fleet.born("drained", times=2)
    await fleet.plane.stop_supervisor(drain=True, timeout_s=30)
