"""The price of safety: sends per second of one session without a limit, with and without what makes it safe.

The session runs in this process, on real ports, on nats-server and simulator of the running system, which knows nothing
of it. Left out in every other batch: the check of the lease, the record of each attempt, and its announcement
(``unsafe_ports``). The rate is the one that WhatsApp's (simulated) server saw.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final
from unittest.mock import patch

from ulid import ULID

from actors.clock import SystemClock
from actors.config import BrowserConfig, LeaseConfig, MemoryConfig, QueueConfig, SessionConfig
from actors.lease_keeper import LeaseKeeper
from actors.messages.commands import SendText, SessionPause, SessionResume
from actors.messages.events import QrEvent
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.ports import PortsFactory, SessionSpec
from actors.session import SessionActor
from benchmarks.system import NO_LIMIT, TENANT, System
from benchmarks.table import Row
from benchmarks.unsafe_ports import SwitchedPorts
from gateway.connection import Bus, connect
from gateway.intake import job_of
from gateway.jobs import JetStreamJobLog, JobWriter
from gateway.records import RecordStore
from gateway.storing import JobStore
from gateway.wiring import JetStreamPorts

_KEY: Final = SessionKey(TENANT, "priced")
_WID: Final = "5511880000091@c.us"
_BATCH: Final = 60
_BATCHES: Final = 12
"""Of each kind, in turns, so that a disturbance hits both."""
_WITHIN_S: Final = 120
_MOST_SLOWER: Final = 0.20


async def measure(system: System) -> list[Row]:
    """Measure both kinds of batches."""
    ports = SwitchedPorts(JetStreamPorts(system.nats_url, bytes(32)))
    rates: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory(prefix="wafleet-bench-") as folder:
        async with (
            await connect(system.nats_url, "benchmark") as bus,
            _living(system, Path(folder), ports) as actor,
        ):
            await _link(system, actor)
            await _rate(system, bus, actor)  # the first sends of a browser's life are slower
            for _ in range(_BATCHES):
                rates[True].append(await _rate(system, bus, actor))
                ports.switch.safe = False
                with patch.object(LeaseKeeper, "may_send", lambda _: True):
                    rates[False].append(await _rate(system, bus, actor))
                ports.switch.safe = True
    with_it, without = median(rates[True]), median(rates[False])
    slower = 1 - with_it / without
    return [
        Row("sends of one session without a limit", f"{with_it:.0f}/s"),
        Row("  without lease check, attempt records and their announcements", f"{without:.0f}/s"),
        Row("  safety makes it slower by", f"{slower:.0%}", f"<= {_MOST_SLOWER:.0%}", slower <= _MOST_SLOWER),
    ]


@asynccontextmanager
async def _living(system: System, folder: Path, factory: PortsFactory) -> AsyncIterator[SessionActor]:
    desired = DesiredSession(
        tenant_id=_KEY.tenant_id, session_id=_KEY.session_id, target="running", rate_limit=NO_LIMIT,
        changed_at=datetime.now(UTC),
    )  # fmt: skip
    # The session lives in this process, which has all of the running system below it: its memory is not the session's.
    memory = MemoryConfig(budget_mib=0)
    browser = BrowserConfig(web_url=system.located.whatsapp_web_url)
    config = SessionConfig(sessions_path=folder, browser=browser, memory=memory)
    actor = SessionActor(SessionSpec(desired, config, LeaseConfig()), factory)
    life = asyncio.create_task(actor.run())
    try:
        yield actor
    finally:
        await actor.drain()
        await life


async def _until_state(actor: SessionActor, state: str) -> None:
    async with asyncio.timeout(_WITHIN_S):
        while actor.status().state != state:
            await SystemClock().sleep(0.05)


async def _link(system: System, actor: SessionActor) -> None:
    async with asyncio.timeout(_WITHIN_S), system.client.events(_KEY.session_id, names={"session.qr"}) as events:
        event = await anext(events)
        assert isinstance(event, QrEvent)
        await system.phone.scan(event.data.qr, _WID)
    await _until_state(actor, "ready")


async def _rate(system: System, bus: Bus, actor: SessionActor) -> float:
    """Store a batch of jobs, let the session send them all, and ask the server how fast they came."""
    store, queue = JobStore(JobWriter(bus, QueueConfig()), RecordStore(bus)), QueueConfig()
    text = str(ULID())
    await actor.ask(SessionPause())
    for _ in range(_BATCH):
        command = SendText.model_validate({"to": "5511990000001", "message": text, "lane": "bulk"})
        job = job_of(_KEY, command, now=datetime.now(UTC), fresh_id=str(ULID()), request_id=str(ULID()), queue=queue)
        await store.store(job)
    await actor.ask(SessionResume())
    log = JetStreamJobLog(bus, _KEY)
    async with asyncio.timeout(_WITHIN_S):
        # By the server's own times is measured, so it does not matter when this is noticed.
        while sum((await log.depths()).values()):
            await SystemClock().sleep(0.1)
    moments = [one.at for one in await system.phone.sent() if one.body == text]
    assert len(moments) == _BATCH, f"{len(moments)} of {_BATCH} messages arrived"
    return (_BATCH - 1) / (moments[-1] - moments[0])
