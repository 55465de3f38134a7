"""One child process: started in a session of its own, its output kept, ended with a grace and then by force.

Knows nothing of what the child is.
"""

import asyncio
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from gateway.up.descendants import dying_with_parent, kill_tree
from gateway.up.logs import OutputLog

_CHUNK_BYTES: Final = 64 * 2**10
_OUTPUT_END_S: Final = 1.0
"""How long after a child's end its grandchildren may keep the pipe of its output open."""


class PartFailed(Exception):
    """A part did not start, or ended on its own; carries what a person needs to see why."""

    def __init__(self, name: str, reason: str, tail: Sequence[str], log: Path) -> None:
        said = "".join(f"\n    {line}" for line in tail)
        super().__init__(f"{name} {reason}; its whole output is in {log}{said and '; the end of it:'}{said}")
        self.name = name


class Child:
    """A process that this one started. ``start`` once, ``stop`` at the end; ``start`` again after it has ended."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        grace_s: float = 5.0,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.name: Final = name
        self._command: Final = [str(part) for part in command]
        self._environment: Final = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        self.grace_s = grace_s
        """How long it may take to end after SIGTERM."""
        self._on_line: Final = on_line
        self._log: Final = OutputLog(log)
        self._waiting: Final[list[tuple[re.Pattern[str], asyncio.Future[str]]]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The pid while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the process; does not wait until it is of use."""
        self._log.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal is for us alone: we end the parts in order
                preexec_fn=dying_with_parent(),
            )
        except OSError as exc:
            raise PartFailed(self.name, f"cannot be started ({exc})", (), self._log.path) from exc
        self._reading = asyncio.create_task(self._read(self._process))

    async def line(self, pattern: str, *, within_s: float) -> str:
        """Wait for a line of output. Raises ``PartFailed`` if the process ends or the time is over before it."""
        seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append((re.compile(pattern), seen))
        ended = asyncio.create_task(self.ended())
        try:
            waited: set[asyncio.Future[Any]] = {seen, ended}
            await asyncio.wait(waited, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if seen.done():
                return seen.result()
            if ended.done():
                raise self.failure(f"ended with code {ended.result()} while it started")
            raise self.failure(f"was not ready within {within_s:g} s")
        finally:
            ended.cancel()
            seen.cancel()

    async def ended(self) -> int:
        """Wait until the process has ended by itself; returns its exit code."""
        if self._process is None or self._reading is None:
            raise RuntimeError(f"{self.name} was not started")
        code = await self._process.wait()
        await asyncio.wait({self._reading}, timeout=_OUTPUT_END_S)
        return code

    def failure(self, reason: str) -> PartFailed:
        """Build the error for what befell it."""
        return PartFailed(self.name, reason, self._log.tail(), self._log.path)

    async def stop(self) -> None:
        """End the process: SIGTERM, and after the grace SIGKILL for it and all its descendants. Never raises."""
        process, reading = self._process, self._reading
        if process is None or reading is None:
            return
        try:
            if process.returncode is None:
                await self._terminate(process)
        finally:
            reading.cancel()
            await asyncio.wait({reading})

    async def _terminate(self, process: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self.grace_s):
                await process.wait()
        except TimeoutError:
            kill_tree(process.pid)
            await process.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            raise RuntimeError(f"{self.name} was started without a pipe")
        while chunk := await process.stdout.read(_CHUNK_BYTES):
            for line in self._log.feed(chunk):
                self._take(line)

    def _take(self, line: str) -> None:
        if self._on_line is not None:
            self._on_line(line)
        for pattern, seen in self._waiting:
            if not seen.done() and pattern.search(line):
                seen.set_result(line)
        self._waiting[:] = [(pattern, seen) for pattern, seen in self._waiting if not seen.done()]
