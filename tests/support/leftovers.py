"""Finds every process that descends from a program of a test, wherever it went: all of them inherit a variable."""

import os
import uuid
from contextlib import suppress

import psutil

_VARIABLE = "WAFLEET_TEST_RUN"


class Run:
    """A mark that a program and all that it starts carry in their environment."""

    def __init__(self) -> None:
        self._mark = uuid.uuid4().hex
        self.env = {_VARIABLE: self._mark}

    def processes(self) -> list[psutil.Process]:
        """All living processes with the mark."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.pid != os.getpid() and process.environ().get(_VARIABLE) == self._mark:
                    found.append(process)
        return found

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
