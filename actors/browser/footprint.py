"""What a session's processes weigh: its worker with everything below it, Playwright's driver and Chromium.

In PSS, which counts memory that processes share in proportion: only PSS adds up (a Chromium's RSS sum is 2.5 times its
real cost). Linux only. psutil is imported late, and the reading is done in a thread: a large process takes the kernel
some milliseconds.
"""

import asyncio
import os
from pathlib import Path

_KIB = 1_024


async def of_this_process() -> int | None:
    """Return the bytes that this process and all its descendants hold; None where the system does not tell."""
    return await asyncio.to_thread(of_tree, os.getpid())


def of_tree(pid: int) -> int | None:
    """Return the bytes that a process and all its descendants hold; None where the system does not tell."""
    import psutil  # noqa: PLC0415 - late, see the module's docstring

    try:
        family = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return None
    known = [held for held in map(_pss, family) if held is not None]
    return sum(known) if known else None


def _pss(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        # The process has ended meanwhile, or this is no Linux.
        return None
    return next((int(line.split()[1]) * _KIB for line in lines if line.startswith("Pss:")), None)
