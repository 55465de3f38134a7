"""From a fault to ``ready`` again (or to the next message, where a session need not leave ``ready``): medians of five.

Each round makes every fault once, so that repeats are more than a minute apart: restart budgets and reconnect attempts
are those of a first fault. A node's loss needs further nodes: ``benchmarks/nodes.py``.
"""

import asyncio
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Final

import psutil

from actors.clock import SystemClock
from actors.messages.jobs import OPEN_STATUSES
from actors.messages.replies import JobAccepted
from benchmarks.measure import kind_of
from benchmarks.system import NO_LIMIT, System, part_of, worker_of
from benchmarks.table import Row, row_of_medians

_SESSION: Final = "faulty"
_WID: Final = "5511880000090@c.us"
_TO: Final = "5511990000001"
_ROUNDS: Final = 5
_AGAIN_S: Final = 90.0
_READY_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.02
_STREAM_S: Final = 12.0
"""How long messages are sent around the end of the supervisor: it is back before that."""
_STREAM_EVERY_S: Final = 0.1

Measure = Callable[[System], Awaitable[float]]


async def measure(system: System) -> list[Row]:
    """Make every fault, in turns."""
    await system.link(_SESSION, _WID)
    took: dict[str, list[float]] = defaultdict(list)
    async with _second_gateway(system):
        for _ in range(_ROUNDS):
            for name, (make, _) in _FAULTS.items():
                took[name].append(await make(system))
                await _fresh(system)
    await system.client.logout(_SESSION)
    return [row_of_medians(name, took[name], most_s) for name, (_, most_s) in _FAULTS.items()]


async def _fresh(system: System) -> None:
    """Give the session its attempts and its budget back."""
    await system.client.stop(_SESSION)
    await system.client.wait_until(_SESSION, "stopped", timeout_s=_READY_S)
    await system.client.start(_SESSION, rate_limit=NO_LIMIT)
    await system.client.wait_until(_SESSION, "ready", timeout_s=_READY_S)


# --- faults after which a session is not ready ------------------------------------------------------------------------


async def _until_ready(system: System, fault: Callable[[], None]) -> float:
    async with asyncio.timeout(_AGAIN_S), system.client.events(_SESSION, names={"session.ready"}) as events:
        began = time.monotonic()
        fault()
        await anext(events)
        return time.monotonic() - began


def _browser_processes() -> list[psutil.Process]:
    return [one for one in worker_of(_SESSION).children(recursive=True) if kind_of(one) == "Chromium"]


async def _browser(system: System) -> float:
    victim = next(one for one in _browser_processes() if not any("--type=" in word for word in one.cmdline()))
    return await _until_ready(system, victim.kill)


async def _renderer(system: System) -> float:
    victim = next(one for one in _browser_processes() if "--type=renderer" in one.cmdline())
    return await _until_ready(system, victim.kill)


async def _actor(system: System) -> float:
    return await _until_ready(system, worker_of(_SESSION).kill)


async def _hung_actor(system: System) -> float:
    return await _until_ready(system, worker_of(_SESSION).suspend)


# --- faults under which it goes on ------------------------------------------------------------------------------------


async def _until_sent(system: System, fault: Callable[[], None]) -> float:
    """Measure until a message has been sent that was asked for after the fault."""
    began = time.monotonic()
    fault()
    async with asyncio.timeout(_AGAIN_S):
        # The client tries again by itself, with one idempotency key.
        reply = await system.client.send_text(_SESSION, _TO, f"after the fault {began}")
        assert isinstance(reply, JobAccepted)
        while (await system.client.job(_SESSION, reply.job_id)).status in OPEN_STATUSES:
            await SystemClock().sleep(_LOOK_EVERY_S)
        return time.monotonic() - began


async def _gateway(system: System) -> float:
    return await _until_sent(system, part_of(system, "gateway.main").kill)


async def _nats(system: System) -> float:
    return await _until_sent(system, part_of(system, "nats-server").kill)


async def _supervisor(system: System) -> float:
    """Send evenly while the supervisor dies and comes back: by how much the longest pause grew over the one before."""
    text = f"meanwhile {time.monotonic()}"
    began, killed_at = time.monotonic(), None
    while time.monotonic() - began < _STREAM_S:
        if killed_at is None and time.monotonic() - began > _STREAM_S / 3:
            part_of(system, "ray::SupervisorProcess").kill()
            killed_at = time.time()
        await system.client.send_text(_SESSION, _TO, text)
        await asyncio.sleep(_STREAM_EVERY_S)  # noqa: TID251 - an even stream is what is measured
    assert killed_at is not None
    moments = [one.at for one in await system.phone.sent() if one.body == text]
    pauses = [(later, later - earlier) for earlier, later in pairwise(moments)]
    before = max(pause for at, pause in pauses if at <= killed_at)
    after = max(pause for at, pause in pauses if at > killed_at)
    return max(0.0, after - before)


@asynccontextmanager
async def _second_gateway(system: System) -> AsyncIterator[None]:
    """Run another replica beside the one that is going to be killed."""
    located = system.located
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.main",
        env={
            **os.environ, **located.ray_environment, "NATS_URL": located.nats_url,
            "RAY_ADDRESS": located.ray_address, "WHATSAPP_WEB_URL": located.whatsapp_web_url,
            "WAFLEET_DIR": str(system.folder.absolute()), "PYTHONUNBUFFERED": "1",
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    reading: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(_READY_S):
            while b"wafleet gateway ready" not in (line := await process.stdout.readline()):
                assert line, "the second gateway ended while it started"
        reading = asyncio.create_task(_read_on(process.stdout))
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), _READY_S)
        if reading:
            await reading


async def _read_on(output: asyncio.StreamReader) -> None:
    while await output.readline():
        pass


_FAULTS: Final[dict[str, tuple[Measure, float]]] = {
    "browser killed to ready again": (_browser, 4.0),
    "renderer killed to ready again": (_renderer, 3.0),
    "session's actor killed to ready again": (_actor, 6.0),
    "session's actor hung to ready again": (_hung_actor, 35.0),
    "gateway killed, another one there, to the next message": (_gateway, 2.0),
    "nats-server killed to the next message": (_nats, 5.0),
    # None, but for the noise of a machine whose cores start a new supervisor meanwhile.
    "supervisor killed: by how much a sending session pauses longer": (_supervisor, 0.5),
}
