"""Programs that tests start: output captured line by line, every wait with a deadline, ended by their own pid."""

import asyncio
import os
import re
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_LINES_SHOWN = 60


class Program:
    """One program. `async with` starts it and makes sure that it has ended."""

    def __init__(
        self, *command: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None, stop_s: float = 10
    ) -> None:
        """Prepare a program.

        Args:
            command: the executable and its arguments.
            env: variables to add to the environment.
            cwd: its working folder.
            stop_s: how long it may take to end after SIGTERM, before it is killed.
        """
        self._command = [str(part) for part in command]
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._stop_s = stop_s
        self._lines: list[str] = []
        self._more = asyncio.Condition()
        self._silent = False
        self._reader: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lines(self) -> Sequence[str]:
        """What it has printed so far, on either stream."""
        return self._lines

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._env,
            cwd=self._cwd,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 22,
        )
        self._reader = asyncio.create_task(self._read())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def line(self, pattern: str, *, within_s: float, since: int = 0) -> str:
        """The first printed line, after the first `since` lines, in which `pattern` is found, waiting for it."""
        wanted = re.compile(pattern)
        try:
            async with asyncio.timeout(within_s), self._more:
                while True:
                    for line in self._lines[since:]:
                        if wanted.search(line):
                            return line
                    if self._silent:
                        break
                    await self._more.wait()
        except TimeoutError:
            raise TimeoutError(f"no line like {pattern!r} within {within_s} s:\n{self.tail()}") from None
        raise AssertionError(f"{self._command[0]} ended without a line like {pattern!r}:\n{self.tail()}")

    async def ended(self, *, within_s: float) -> int:
        """Wait for its end and that of its output; the exit code."""
        try:
            async with asyncio.timeout(within_s):
                code = await self._process.wait()
                if self._reader is not None:
                    await asyncio.shield(self._reader)  # the next call waits for it too
        except TimeoutError:
            code_so_far = self._process.returncode
            ended = f"ended with {code_so_far}, but something that it started holds its output"
            state = "still runs" if code_so_far is None else ended
            raise TimeoutError(f"{self._command} {state} after {within_s} s:\n{self.tail()}") from None
        return code

    async def write(self, line: str) -> None:
        """Give it a line on its standard input."""
        if self._process.stdin is None:
            raise AssertionError("the program was started without a pipe")
        self._process.stdin.write(f"{line}\n".encode())
        async with asyncio.timeout(self._stop_s):
            await self._process.stdin.drain()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended gets none."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def stop(self) -> int:
        """End it with SIGTERM, and with SIGKILL if it takes too long; the exit code."""
        self.send(signal.SIGTERM)
        try:
            return await self.ended(within_s=self._stop_s)
        except TimeoutError:
            if not self.running:
                raise
            return await self.kill()

    async def kill(self) -> int:
        """End it with SIGKILL; the exit code."""
        self.send(signal.SIGKILL)
        return await self.ended(within_s=self._stop_s)

    def tail(self) -> str:
        """The last lines that it printed."""
        return "\n".join(self._lines[-_LINES_SHOWN:])

    async def _read(self) -> None:
        if self._process.stdout is None:
            raise AssertionError("the program was started without a pipe")
        async for line in self._process.stdout:
            async with self._more:
                self._lines.append(line.decode(errors="replace").rstrip("\n"))
                self._more.notify_all()
        async with self._more:
            self._silent = True
            self._more.notify_all()
