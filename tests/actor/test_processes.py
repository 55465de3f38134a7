"""What runs inside an actor's process, without Ray around it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from actors.messages.commands import Command, SessionStatusQuery
from actors.messages.replies import ErrorBody, Reply
from actors.ports import Ended, Heartbeat
from actors.processes import SessionProcess, give_back_memory
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
BROKEN_SUPERVISOR = """
import asyncio
from actors.processes import SupervisorProcess

class Broken:
    async def run(self):
        raise ValueError("a bug")

async def main():
    process = SupervisorProcess.__new__(SupervisorProcess)
    await process.__init__(Broken)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Body:
    """A session that ends at once, or breaks."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.drained = False

    def __repr__(self) -> str:
        return "session:acme:s1"

    async def run(self) -> None:
        if self.error:
            raise self.error

    async def wait_ended(self) -> Ended:
        return Ended("stopped", None)

    async def heartbeat(self) -> Heartbeat:
        return Heartbeat("ready", 1, "node", 1)

    async def ask(self, command: Command) -> Reply | ErrorBody:
        return ErrorBody(code=command.name, message="", retryable=False, details={})

    async def drain(self) -> None:
        self.drained = True


async def process_of(body: Body) -> SessionProcess:
    """Make the process as Ray does, which awaits the constructor."""
    process = SessionProcess.__new__(SessionProcess)
    await process.__init__(lambda: body)  # type: ignore[misc]
    return process


async def test_a_body_runs_without_being_told_and_says_how_it_ended() -> None:
    body = Body()
    process = await process_of(body)
    assert await process.wait_ended() == Ended("stopped", None)
    assert repr(process) == "session:acme:s1"
    assert (await process.heartbeat()).state == "ready"
    answer = await process.ask(SessionStatusQuery())
    assert isinstance(answer, ErrorBody)
    assert answer.code == "session.status"
    await process.drain()
    assert body.drained


async def test_who_waits_for_the_end_of_a_broken_body_hears_of_its_error() -> None:
    process = await process_of(Body(ValueError("a bug")))
    for _ in range(2):
        with pytest.raises(ValueError, match="a bug"):
            await process.wait_ended()


def test_the_process_of_a_broken_supervisor_ends_so_that_ray_restarts_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", BROKEN_SUPERVISOR], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 1
    assert "ValueError: a bug" in ended.stderr


def test_what_was_freed_goes_back_to_the_system() -> None:
    give_back_memory()
    blocks = [bytes(1_000) for _ in range(50_000)]
    before = psutil.Process().memory_info().rss
    del blocks
    assert give_back_memory()
    assert psutil.Process().memory_info().rss < before - 20_000_000


async def test_the_first_sigterm_drains_and_the_next_one_is_rays() -> None:
    rays: list[int] = []
    former = signal.signal(signal.SIGTERM, lambda number, _: rays.append(number))
    try:
        body = Body()
        process = await process_of(body)
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: body.drained, within_s=5)
        assert rays == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert rays == [signal.SIGTERM]
        await process.wait_ended()
    finally:
        signal.signal(signal.SIGTERM, former)
