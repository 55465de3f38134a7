"""Finds every process that descends from a program of a test, wherever it went: all of them inherit a variable.

But for a browser's children: newer Chromium writes their titles over their environment (seen with 156). They are known
by their parents, so a child that outlives its browser is not seen.
"""

import os
import threading
import time
import uuid
from contextlib import suppress

import psutil

_VARIABLE = "WAFLEET_TEST_RUN"
_ENDED = psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD
_KILL_S = 20.0
_KILL_EVERY_S = 0.05
_EMPTY_LOOKS = 2


class Run:
    """A mark that a program and all that it starts carry in their environment."""

    def __init__(self) -> None:
        self._mark = uuid.uuid4().hex
        self.env = {_VARIABLE: self._mark}

    def processes(self) -> list[psutil.Process]:
        """All living processes with the mark, and what descends from them."""
        living = {one.pid: one for one in psutil.process_iter(["ppid", "status"]) if one.info["status"] not in _ENDED}
        ours = {pid for pid, one in living.items() if self._is_marked(one)}

        def descends(pid: int) -> bool:
            while pid in living and pid not in ours:
                pid = living[pid].info["ppid"]
            return pid in ours

        return [one for pid, one in living.items() if pid != os.getpid() and descends(pid)]

    def _is_marked(self, process: psutil.Process) -> bool:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            return process.pid != os.getpid() and process.environ().get(_VARIABLE) == self._mark
        return False

    def kill_all(self) -> None:
        """End them all, and wait until two looks in a row find none: one that is being killed may just have forked.

        Whoever started one of them still learns its exit code.
        """
        deadline, pause, empty = time.monotonic() + _KILL_S, threading.Event(), 0
        while empty < _EMPTY_LOOKS:
            living = self.processes()
            empty = 0 if living else empty + 1
            if living and time.monotonic() >= deadline:
                raise AssertionError(f"these survive being killed: {self.left()}")
            for process in living:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            pause.wait(_KILL_EVERY_S)

    def left(self) -> list[str]:
        """What is left of them, for the message of an assertion."""
        shown = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                shown.append(f"{process.pid} {' '.join(process.cmdline())[:120]}")
        return shown

    def named(self, part: str) -> list[psutil.Process]:
        """Those whose command line contains a text."""
        found = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if part in " ".join(process.cmdline()):
                    found.append(process)
        return found


def is_gone(process: psutil.Process | int) -> bool:
    """Whether a process has ended; its parent may still have to take note of it."""
    with suppress(psutil.NoSuchProcess):
        known = psutil.Process(process) if isinstance(process, int) else process
        return not known.is_running() or known.status() in _ENDED
    return True
