"""Promise 4 on real parts: a killed owner is followed at once, a frozen one is gone before anybody may follow it."""

import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from actors.browser import process
from actors.config import QueueConfig
from actors.messages.events import Event, QrEvent
from actors.messages.records import LeaseRecord
from gateway.connection import Bus, connect
from gateway.events import live_events
from gateway.jobs import JobWriter
from gateway.leases import JetStreamLeaseStore
from gateway.streams import declared, ensure, event_subject
from simulator.client import SimulatedPhone
from simulator.server import SimulatorServer
from tests.gateway.building import make_job
from tests.ownership.owner_process import KEY, LEASE
from tests.support.nats import NatsServer
from tests.support.processes import Program
from tests.support.ray import ROOT
from tests.support.simulator import QUICK
from tests.support.waiting import eventually

pytestmark = [pytest.mark.nats, pytest.mark.browser]
ME = "5511988887777@c.us"
_PREPARED_S = 60
"""Until a process has imported everything, beside whatever else the machine does."""


async def told(events: AsyncIterator[Event], name: str) -> Event:
    """The next event of a name."""
    async for event in events:
        if event.event == name:
            return event
    raise AssertionError(f"no {name} came")


async def begin(owner: Program) -> None:
    """Let a process own the session."""
    await owner.line("prepared", within_s=_PREPARED_S)
    await owner.write("begin")


def freeze(owner: Program) -> list[psutil.Process]:
    """Stop an owner and its driver as one; the browser goes on."""
    worker = psutil.Process(owner.pid)
    frozen = [worker, *(child for child in worker.children() if "run-driver" in child.cmdline())]
    assert len(frozen) == 2
    for one in frozen:
        one.suspend()
    return frozen


class Stage:
    """nats-server, simulator and what a test looks at."""

    def __init__(self, bus: Bus, phone: SimulatedPhone, *command: str | Path) -> None:
        self.bus = bus
        self.phone = phone
        self.leases = JetStreamLeaseStore.of_session(bus, KEY)
        self._command = command

    def owner(self, *dead_owners: str) -> Program:
        """A process that owns the session once it is told to begin."""
        return Program(*self._command, *dead_owners, cwd=ROOT)

    async def holder(self) -> LeaseRecord:
        found = await self.leases.read()
        assert found is not None
        return found.value


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    with NatsServer(tmp_path) as nats:
        async with (
            SimulatorServer(QUICK) as world,
            SimulatedPhone(world.url) as phone,
            await connect(nats.url, "test") as bus,
        ):
            await ensure(bus, declared(lease=LEASE))
            module = ("-m", "tests.ownership.owner_process")
            yield Stage(bus, phone, sys.executable, *module, nats.url, world.url, tmp_path / "sessions")


async def test_a_killed_owner_is_followed_at_once_and_a_frozen_one_is_gone_before_its_lease(stage: Stage) -> None:
    async with live_events(stage.bus, event_subject(KEY, ">")) as events, stage.owner() as first:
        await begin(first)
        shown = await told(events, "session.qr")
        assert isinstance(shown, QrEvent)
        await stage.phone.scan(shown.data.qr, ME)
        assert (await told(events, "session.ready")).epoch == 1
        killed = await stage.holder()
        async with stage.owner(killed.owner_id) as second:
            await second.line("prepared", within_s=_PREPARED_S)
            await first.kill()
            await begin(second)
            await second.line("Lease taken over", within_s=20)
            assert process.alive(killed.browser_pids) == []
            assert (await told(events, "session.ready")).epoch == 2

            frozen = freeze(second)
            other = LeaseRecord(owner_id="another owner", node="elsewhere", pid=1)

            async def taken() -> int | None:
                return await stage.leases.create(other)

            revision = await eventually(taken, within_s=2 * LEASE.ttl_s, every_s=0.1)
            assert (await stage.phone.state())["conns"] == [], "connected when somebody else could have been"

            # What the owner finds when it wakes up: a job, and a lease that is another's.
            job = make_job(KEY).model_copy(update={"expires_at": datetime.now(UTC) + timedelta(days=1)})
            await JobWriter(stage.bus, QueueConfig()).publish(job)
            for one in frozen:
                one.resume()
            await second.line(r"ended: stopped \(lease_lost\)", within_s=20)
    held = await stage.leases.read()
    assert held is not None
    assert (held.value.owner_id, held.revision) == (other.owner_id, revision)
    assert await stage.phone.sent() == []
