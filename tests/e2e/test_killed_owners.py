"""One session, four owners, three of them ended by kill -9 at the worst moments; real parts, and clocks that are off.

The truth is what WhatsApp's (simulated) server accepted, and when: every message once, no window too full.
"""

import asyncio
import base64
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from ulid import ULID

from actors.config import QueueConfig
from actors.messages.events import Event, parse_event
from actors.messages.ids import SessionKey, message_id_of_job
from actors.messages.jobs import Content, Job, JobRecord, LaneName, MediaContent, TextContent
from gateway.connection import Bus, connect
from gateway.direct import read_all
from gateway.jobs import JetStreamJobLog, JobWriter
from gateway.leases import JetStreamLeaseStore
from gateway.records import RecordStore
from gateway.storing import JobStore
from gateway.streams import WA_EVENTS, ensure, event_subject
from simulator.client import SentMessage, SimulatedPhone
from simulator.server import SimulatorServer
from tests.e2e.dying_owner import LIMIT, Orders
from tests.support.leftovers import Run
from tests.support.nats import NatsServer
from tests.support.processes import Program
from tests.support.simulator import QUICK
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

OWNER = Path(__file__).with_name("dying_owner.py")
ROOT = Path(__file__).resolve().parents[2]
KEY = SessionKey("acme", "s1")
ME = "6281100000001@c.us"
ANN = "5511990000001"
DAY_S = 86_400.0
WITHIN_S = 60.0
"""A machine that runs everything else as well may take its time."""


class Theatre:
    """What outlives the owners, and the truth about them."""

    def __init__(self, bus: Bus, world: SimulatorServer, phone: SimulatedPhone, folder: Path) -> None:
        self.phone = phone
        self._bus = bus
        self._world = world
        self._folder = folder
        self._records = RecordStore(bus)
        self._run = Run()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._run.kill_all)

    async def owner(self, *, dies: str | None = None, clock_off_by_s: float = 0.0) -> Program:
        """Start an owner that may take over from a dead one."""
        held = await JetStreamLeaseStore.of_session(self._bus, KEY).read()
        orders = Orders(
            nats_url=self._bus.url, web_url=self._world.url, sessions_path=self._folder, session_id=KEY.session_id,
            dies=dies, clock_off_by_s=clock_off_by_s, dead_owners=(held.value.owner_id,) if held else (),
        )  # fmt: skip
        env = {**self._run.env, "PYTHONPATH": str(ROOT)}
        program = Program(sys.executable, OWNER, orders.model_dump_json(), env=env, stop_s=20)
        await program.start()
        return program

    async def accept(self, content: Content, lane: LaneName = "normal") -> Job:
        """Store a job as the gateway does."""
        now, job_id = datetime.now(UTC), str(ULID())
        job = Job(
            job_id=job_id, request_id=job_id, tenant_id=KEY.tenant_id, session_id=KEY.session_id, lane=lane, to=ANN,
            content=content, message_id=message_id_of_job(job_id), body_hash="0" * 64, accepted_at=now,
            expires_at=now + timedelta(days=7),
        )  # fmt: skip
        await JobStore(JobWriter(self._bus, QueueConfig()), self._records).store(job)
        return job

    async def link(self) -> None:
        """Let the phone scan the first QR that is announced."""

        async def shown() -> str | None:
            found = [event async for event in self.events("session.qr")]
            return found[-1].data.qr if found else None  # type: ignore[union-attr] # that event has one

        qr = await eventually(shown, within_s=WITHIN_S, every_s=0.1)
        assert qr is not None
        await self.phone.scan(qr, ME)

    async def events(self, name: str) -> AsyncIterator[Event]:
        """Read the stored events of a name."""
        async for message in read_all(self._bus, WA_EVENTS, event_subject(KEY, name)):
            yield parse_event(message.body)

    async def outcomes(self) -> list[str]:
        """Return the ids of the jobs whose outcome was told, one for each event."""
        names = ("message.sent", "message.failed", "message.unconfirmed")
        return [str(event.data.job_id) for name in names async for event in self.events(name)]  # type: ignore[union-attr]

    async def record(self, job: Job) -> JobRecord:
        found = await self._records.get(KEY, job.job_id)
        assert found is not None
        return found.value

    async def waiting(self) -> int:
        """Count the jobs in the log."""
        return sum((await JetStreamJobLog(self._bus, KEY).depths()).values())

    async def arrived(self) -> list[SentMessage]:
        return await self.phone.sent()


async def killed(owner: Program) -> None:
    """Wait for the moment it chose."""
    assert await owner.ended(within_s=WITHIN_S) == -signal.SIGKILL, owner.tail()


def fullest_window(moments: list[float]) -> int:
    span_s = LIMIT.window_ms / 1_000
    return max(sum(first <= at < first + span_s for at in moments) for first in moments)


@pytest.fixture
async def theatre(tmp_path: Path) -> AsyncIterator[Theatre]:
    with NatsServer(tmp_path) as server:
        async with (
            await connect(server.url, "test") as bus,
            SimulatorServer(QUICK) as world,
            SimulatedPhone(world.url) as phone,
            Theatre(bus, world, phone, tmp_path / "sessions") as theatre,
        ):
            await ensure(bus)
            yield theatre


async def test_owners_killed_before_in_and_after_a_send_lose_nothing_and_send_nothing_twice(theatre: Theatre) -> None:
    text = await theatre.accept(TextContent(message="first"))
    owner = await theatre.owner(dies="after update sending")
    await theatre.link()
    await killed(owner)
    assert (await theatre.record(text)).status == "sending"
    assert await theatre.arrived() == [], "written down, not called"

    await killed(await theatre.owner(dies="before update sent", clock_off_by_s=DAY_S))
    assert [one.id for one in await theatre.arrived()] == [text.message_id]
    assert (await theatre.record(text)).status == "sending", "called, its outcome is not written down"

    file = await theatre.accept(MediaContent(data=base64.b64encode(b"a,b\n").decode(), filename="table.csv"))
    await killed(await theatre.owner(dies="before delete", clock_off_by_s=-DAY_S))
    assert [attempt.n for attempt in (await theatre.record(text)).attempts] == [1, 2]
    assert (await theatre.record(text)).status in {"sent", "delivered", "read"}
    assert (await theatre.outcomes(), await theatre.waiting()) == ([text.job_id], 2), "told, and still in the log"

    direct = await theatre.accept(TextContent(message="direct"), "direct")
    owner = await theatre.owner(clock_off_by_s=DAY_S)

    async def all_done() -> bool:
        return await theatre.waiting() == 0

    await eventually(all_done, within_s=WITHIN_S, every_s=0.1)
    assert sorted(await theatre.outcomes()) == sorted(job.job_id for job in (text, file, direct))
    arrived = await theatre.arrived()
    assert sorted(one.id for one in arrived) == sorted(job.message_id for job in (text, file, direct))
    assert fullest_window([one.at for one in arrived]) <= LIMIT.max_messages
    assert [event.epoch async for event in theatre.events("session.ready")] == [1, 2, 3, 4], "no owner needed a new QR"
    assert await owner.stop() == 0, owner.tail()
