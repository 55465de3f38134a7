"""The system under measurement: a whole ``wafleet up --simulator`` of its own, and sessions in it."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from actors.messages.commands import RateLimit
from actors.messages.events import QrEvent
from benchmarks.measure import kind_of
from gateway.client import Client
from gateway.up.state import Located, find_located
from simulator.client import SimulatedPhone

TENANT = "bench"
NO_LIMIT = RateLimit(max_messages=1_000, window_ms=1_000)
_UP_WITHIN_S = 120
_DOWN_WITHIN_S = 90


@dataclass(frozen=True, slots=True)
class System:
    """A running wafleet."""

    nats_url: str
    client: Client
    phone: SimulatedPhone
    located: Located
    folder: Path
    """Its state."""

    async def link(self, session_id: str, wid: str) -> float:
        """Start a session, scan its QR and wait until it is ready; return the monotonic moment the QR came."""
        async with self.client.events(session_id, names={"session.qr"}) as events:
            await self.client.start(session_id, rate_limit=NO_LIMIT)
            async with asyncio.timeout(60):
                event = await anext(events)
            assert isinstance(event, QrEvent)
            shown = time.monotonic()
            await self.phone.scan(event.data.qr, wid)
        await self.client.wait_until(session_id, "ready", timeout_s=60)
        return shown


@asynccontextmanager
async def running() -> AsyncIterator[System]:
    """Start a system in a folder of its own, and leave no process of it behind."""
    with tempfile.TemporaryDirectory(prefix="wafleet-bench-") as folder:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("wafleet")), "up", "--simulator", "--json",
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            line = await asyncio.wait_for(process.stdout.readline(), _UP_WITHIN_S)
            where = json.loads(line)
            async with (
                await Client.connect(where["nats_url"], TENANT) as client,
                SimulatedPhone(where["whatsapp_web_url"]) as phone,
            ):
                located = find_located(Path(folder) / ".wafleet")
                assert located is not None
                yield System(where["nats_url"], client, phone, located, Path(folder) / ".wafleet")
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), _DOWN_WITHIN_S)


def part_of(system: System, text: str) -> psutil.Process:
    """Find a process of the system by a piece of its command line; of several the one nearest to ``wafleet up``."""
    for process in psutil.Process(system.located.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if text in " ".join(process.cmdline()):
                return process
    msg = f"no process of the system has {text!r} in its command line"
    raise LookupError(msg)


def worker_of(session_id: str) -> psutil.Process:
    """Find the process of a session's actor: the one above the driver above the browser on its profile."""
    profile = f"/{TENANT}/{session_id}/"
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or ()
        if any(word.startswith("--user-data-dir=") and profile in word + "/" for word in words):
            ancestors = process.parents()
            driver = next(index for index, above in enumerate(ancestors) if kind_of(above) == "driver")
            return ancestors[driver + 1]
    msg = f"no browser runs on a profile {profile}"
    raise LookupError(msg)
