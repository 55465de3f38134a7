"""Process trees: which processes a browser consists of, and waiting for or forcing their end.

A process is named by pid **and** start time, since pids are used again. psutil is imported late: an idle session does
not pay for it.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

ProcessId = tuple[int, float]
"""A pid and the process's start time in seconds since 1970."""
_START_TOLERANCE_S: Final = 2.0
"""The kernel's boot time, from which start times are computed, moves with the clock's adjustments."""


def tree(pid: int) -> list[ProcessId]:
    """Return a process and its descendants, parents first; empty if it has ended, even if nobody reaped it yet."""
    import psutil  # noqa: PLC0415 - late, see the module's docstring

    try:
        root = psutil.Process(pid)
        if root.status() == psutil.STATUS_ZOMBIE:
            return []
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    found: list[ProcessId] = []
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append((process.pid, process.create_time()))
    return found


def children_with_argument(pid: int, argument: str) -> list[ProcessId]:
    """Return the direct children of a process whose command line holds an argument, oldest first."""
    import psutil  # noqa: PLC0415 - late

    found: list[ProcessId] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if argument in process.cmdline():
                    found.append((process.pid, process.create_time()))
    return sorted(found, key=lambda process: process[1])


def users_of_profile(browser_folder: Path, *, main: bool = False) -> list[ProcessId]:
    """Return every process of this machine that was launched on a browser profile, and what descends from it.

    Args:
        browser_folder: Chromium's user data.
        main: Leave out the children of a browser, which carry a ``--type``, but not always the profile (Chromium 156).
    """
    import psutil  # noqa: PLC0415 - late

    argument = f"--user-data-dir={browser_folder}"
    found: list[ProcessId] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            arguments = process.cmdline()
            if argument in arguments and not (main and any(one.startswith("--type=") for one in arguments)):
                found += [(process.pid, process.create_time())] if main else tree(process.pid)
    return list(dict.fromkeys(found))


def is_renderer(one: ProcessId) -> bool:
    """Tell whether a process renders pages."""
    import psutil  # noqa: PLC0415 - late

    try:
        return "--type=renderer" in psutil.Process(one[0]).cmdline()
    except psutil.NoSuchProcess:
        return False


def alive(processes: Iterable[ProcessId]) -> list[ProcessId]:
    """Return those that still run; a zombie does not."""
    import psutil  # noqa: PLC0415 - late

    running: list[ProcessId] = []
    for pid, started in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            same = abs(process.create_time() - started) < _START_TOLERANCE_S
            if same and process.status() != psutil.STATUS_ZOMBIE:
                running.append((pid, started))
    return running


def kill(processes: Iterable[ProcessId]) -> None:
    """Kill processes, parents first so that none of them starts a child anew."""
    for pid, _ in alive(processes):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


async def wait_gone(processes: Sequence[ProcessId], timeout_s: float) -> list[ProcessId]:
    """Wait until processes have ended; return those that still run after the time."""
    gone = asyncio.Event()
    left = len(processes)

    def one_ended() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            gone.set()

    watches = [ExitWatch(process, one_ended) for process in processes]
    try:
        if processes:
            async with asyncio.timeout(timeout_s):
                await gone.wait()
    except TimeoutError:
        return alive(processes)
    finally:
        for watch in watches:
            watch.close()
    return []


class ExitWatch:
    """Calls back on the event loop once a process has ended, at once if it is gone already.

    Linux tells through a pidfd; elsewhere the process is looked at every second.
    """

    _POLL_S: Final = 1.0

    def __init__(self, process: ProcessId, on_exit: Callable[[], None]) -> None:
        self._process = process
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._fd: int | None = None
        self._timer: asyncio.Handle | None = None
        self._start()

    def close(self) -> None:
        """Stop watching; the callback will not be called any more."""
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        if not hasattr(os, "pidfd_open"):
            self._look()
            return
        try:
            self._fd = os.pidfd_open(self._process[0])
        except ProcessLookupError:
            self._timer = self._loop.call_soon(self._ended)
            return
        self._loop.add_reader(self._fd, self._ended)
        if not alive([self._process]):
            self._timer = self._loop.call_soon(self._ended)

    def _look(self) -> None:
        if alive([self._process]):
            self._timer = self._loop.call_later(self._POLL_S, self._look)
        else:
            self._timer = self._loop.call_soon(self._ended)

    def _ended(self) -> None:
        self.close()
        self._on_exit()
