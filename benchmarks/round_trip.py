"""What the gateway adds to a NATS request: accepting ``send.text`` against an empty responder and against bare storage.

The session of this measurement is stopped, so nothing but accepting happens to its jobs; the accepting is measured once
more while its owner is awake (it never links), whose process is woken by every job and competes for the same cores.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import nats
import orjson
from ulid import ULID

from actors.config import QueueConfig
from actors.messages.commands import SendText
from actors.messages.ids import SessionKey
from benchmarks.measure import Round, run_round
from benchmarks.system import TENANT, System
from benchmarks.table import Row
from gateway.connection import connect
from gateway.intake import job_of
from gateway.jobs import JobWriter
from gateway.records import RecordStore
from gateway.storing import JobStore

SESSION = "accepts"
_ECHO = "benchmark.echo"
_ROUNDS = 5
_ONE = 200
_MANY = 600
_AT_ONCE = 64
_MAX_P50_RATIO = 2.5
_MIN_RATE_RATIO = 0.5


def _body() -> dict[str, str]:
    return {"to": "5511990000001", "message": "x" * 120, "idempotency_key": str(ULID())}


@asynccontextmanager
async def _responder(url: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("responder.py")), url, _ECHO, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readline(), 10)
        yield
    finally:
        process.kill()
        await process.wait()


async def measure(system: System) -> list[Row]:
    """Measure in turns, so that a disturbance hits both sides."""
    await system.client.start(SESSION)
    await system.client.stop(SESSION)
    await system.client.wait_until(SESSION, "stopped", timeout_s=60)
    connection = await nats.connect(system.nats_url)
    bus = await connect(system.nats_url, "benchmark")
    store = JobStore(JobWriter(bus, QueueConfig()), RecordStore(bus))
    key = SessionKey(TENANT, SESSION)

    async def echo(_: int) -> None:
        await connection.request(_ECHO, orjson.dumps(_body()), timeout=10)

    async def accept(_: int) -> None:
        reply = await connection.request(f"wa.{TENANT}.cmd.{SESSION}.send.text", orjson.dumps(_body()), timeout=10)
        assert b'"accepted"' in reply.data, reply.data

    async def bare(_: int) -> None:
        command = SendText.model_validate(_body())
        job = job_of(
            key, command, now=datetime.now(UTC), fresh_id=str(ULID()), request_id=str(ULID()), queue=QueueConfig()
        )
        await store.store(job)

    rounds: dict[str, list[Round]] = {"echo": [], "accept": [], "accept64": [], "bare64": [], "watched": []}
    async with _responder(system.nats_url):
        for _ in range(_ROUNDS):
            rounds["echo"].append(await run_round(echo, count=_ONE, at_once=1))
            rounds["accept"].append(await run_round(accept, count=_ONE, at_once=1))
            rounds["bare64"].append(await run_round(bare, count=_MANY, at_once=_AT_ONCE))
            rounds["accept64"].append(await run_round(accept, count=_MANY, at_once=_AT_ONCE))
        await system.client.start(SESSION)
        await system.client.wait_until(SESSION, "pairing", timeout_s=60)
        for _ in range(_ROUNDS):
            rounds["watched"].append(await run_round(accept, count=_ONE, at_once=1))
    await connection.close()
    await bus.close()
    await system.client.logout(SESSION)
    return _rows(rounds)


def _rows(rounds: dict[str, list[Round]]) -> list[Row]:
    echo, accept, watched = (median(r.p50_ms for r in rounds[name]) for name in ("echo", "accept", "watched"))
    bare, gateway = (median(r.per_second for r in rounds[name]) for name in ("bare64", "accept64"))
    return [
        Row("NATS request to an empty responder, p50", f"{echo:.2f} ms"),
        Row("send.text accepted, p50", f"{accept:.2f} ms"),
        Row("  ratio", f"{accept / echo:.2f} x", f"<= {_MAX_P50_RATIO} x", accept / echo <= _MAX_P50_RATIO),
        Row("send.text accepted while the owner is awake, p50", f"{watched:.2f} ms"),
        Row("publish + record without a gateway, 64 at once", f"{bare:,.0f}/s"),
        Row("send.text accepted, 64 at once", f"{gateway:,.0f}/s"),
        Row("  ratio", f"{gateway / bare:.2f} x", f">= {_MIN_RATE_RATIO} x", gateway / bare >= _MIN_RATE_RATIO),
    ]
