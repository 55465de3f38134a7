"""Nobody is left behind: orphans come to this process, and at the end every descendant is ended.

Ray's workers, Playwright's drivers and browsers are grandchildren whose parents may be killed first. As "child
subreaper" (prctl(2), Linux) this process becomes the parent of such orphans, can find them by walking the process tree,
and reaps them (in a container without an init they would stay zombies). Where prctl is missing, orphans of killed
parents are out of reach. Knows nothing of wafleet.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import psutil

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_KILL_GRACE_S: Final = 2.0
_KILL_ROUNDS: Final = 5
"""Killing is repeated: a process that is being killed may just have forked."""


def adopt_orphans() -> None:
    """Become the parent of every orphan among this process's descendants."""
    if sys.platform == "linux":
        _prctl()(_PR_SET_CHILD_SUBREAPER, 1)


def dying_with_parent() -> Callable[[], None] | None:
    """Return what a child runs between fork and exec, so that SIGTERM reaches it when this process is killed.

    The library is loaded before the fork: after it nothing may take a lock (prctl is a bare system call).
    """
    if sys.platform != "linux":
        return None
    prctl = _prctl()

    def ask_for_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return ask_for_signal


def reap_orphans(own: Iterable[int]) -> None:
    """Collect adopted zombies; children in ``own`` are waited for by who started them."""
    mine = set(own)
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess, ChildProcessError):
            if child.pid not in mine and child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)


def end_descendants(grace_s: float = _KILL_GRACE_S) -> list[str]:
    """End every process below this one: SIGTERM, then SIGKILL, until none is left.

    Returns:
        What had to be killed, for the log.
    """
    killed: list[str] = []
    _signal_all(signal.SIGTERM)
    psutil.wait_procs(_living(), timeout=grace_s)
    for _ in range(_KILL_ROUNDS):
        living = _living()
        if not living:
            break
        killed += [f"{process.pid} {_title(process)}" for process in living]
        _signal_all(signal.SIGKILL)
        psutil.wait_procs(living, timeout=grace_s)
    return killed


def kill_tree(pid: int) -> None:
    """Kill a process with all its descendants, and wait for none of them; one that is gone is no error."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _living() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    reap_orphans(())
    return found


def _signal_all(number: signal.Signals) -> None:
    for process in _living():
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _title(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return "(gone)"


def _prctl() -> Callable[[int, int], int]:
    prctl: Callable[[int, int], int] = ctypes.CDLL(None).prctl
    return prctl
