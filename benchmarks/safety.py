"""The price of safety: sends per second of one session without a limit, with and without what makes it safe.

The session runs in this process, on real ports (``unsafe_ports`` says what is left out), on nats-server and simulator
of the running system, which knows nothing of it. The rate is the one that WhatsApp's (simulated) server saw.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

from ulid import ULID

from actors.clock import SystemClock
from actors.config import BrowserConfig, LeaseConfig, QueueConfig, SessionConfig
from actors.messages.commands import SendText
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.ports import PortsFactory, SessionSpec
from actors.session import SessionActor
from benchmarks.system import NO_LIMIT, TENANT, System
from benchmarks.table import Row
from benchmarks.unsafe_ports import UnsafePorts
from gateway.connection import Bus, connect
from gateway.intake import job_of
from gateway.jobs import JetStreamJobLog, JobWriter
from gateway.records import RecordStore
from gateway.storing import JobStore
from gateway.wiring import JetStreamPorts

_KEY: Final = SessionKey(TENANT, "priced")
_WID: Final = "5511880000091@c.us"
_JOBS: Final = 250
_SKIPPED: Final = 50
"""The first sends of a browser's life are slower, whatever is measured."""
_ROUNDS: Final = 5
_WITHIN_S: Final = 120
_MOST_SLOWER: Final = 0.20


async def measure(system: System) -> list[Row]:
    """Measure in turns, so that a disturbance hits both sides."""
    safe: PortsFactory = JetStreamPorts(system.nats_url, bytes(32))
    rates: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory(prefix="wafleet-bench-") as folder:
        async with await connect(system.nats_url, "benchmark") as bus:
            async with _living(system, Path(folder), safe) as actor:
                await _link(system, actor)
            for _ in range(_ROUNDS):
                for is_safe, factory in ((True, safe), (False, UnsafePorts(safe))):
                    rates[is_safe].append(await _rate(system, bus, Path(folder), factory))
    with_it, without = median(rates[True]), median(rates[False])
    slower = 1 - with_it / without
    return [
        Row("sends of one session without a limit", f"{with_it:.0f}/s"),
        Row("  without lease, attempt records and their announcements", f"{without:.0f}/s"),
        Row("  safety makes it slower by", f"{slower:.0%}", f"<= {_MOST_SLOWER:.0%}", slower <= _MOST_SLOWER),
    ]


@asynccontextmanager
async def _living(system: System, folder: Path, factory: PortsFactory) -> AsyncIterator[SessionActor]:
    desired = DesiredSession(
        tenant_id=_KEY.tenant_id, session_id=_KEY.session_id, target="running", rate_limit=NO_LIMIT,
        changed_at=datetime.now(UTC),
    )  # fmt: skip
    config = SessionConfig(
        sessions_path=folder, browser=BrowserConfig(web_url=system.located.whatsapp_web_url), window_per_lane=_JOBS
    )
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
        await system.phone.scan((await anext(events)).data.qr, _WID)
    await _until_state(actor, "ready")


async def _rate(system: System, bus: Bus, folder: Path, factory: PortsFactory) -> float:
    """Store jobs, let a session send them all, and ask the server how fast they came."""
    store, queue = JobStore(JobWriter(bus, QueueConfig()), RecordStore(bus)), QueueConfig()
    text = str(ULID())
    for _ in range(_JOBS):
        command = SendText.model_validate({"to": "5511990000001", "message": text})
        job = job_of(_KEY, command, now=datetime.now(UTC), fresh_id=str(ULID()), request_id=str(ULID()), queue=queue)
        await store.store(job)
    log = JetStreamJobLog(bus, _KEY)
    async with _living(system, folder, factory):
        async with asyncio.timeout(_WITHIN_S):
            # By the server's own times is measured, so it does not matter when this is noticed.
            while sum((await log.depths()).values()):
                await SystemClock().sleep(0.2)
        moments = [one.at for one in await system.phone.sent() if one.body == text]
    assert len(moments) == _JOBS, f"{len(moments)} of {_JOBS} messages arrived"
    return (_JOBS - _SKIPPED - 1) / (moments[-1] - moments[_SKIPPED])
