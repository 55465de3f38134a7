"""Work that nobody waits for, bounded: over the bound the caller waits for it after all.

Imports asyncio and errors only.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Final

from actors.errors import WafleetError

_log = logging.getLogger("wafleet.gateway")


class Background:
    """Runs coroutines on the side. A failure of one is logged; it must be one that nobody depends on."""

    def __init__(self, limit: int = 1_000) -> None:
        self._limit: Final = limit
        self._tasks: Final[set[asyncio.Task[None]]] = set()

    async def run(self, work: Coroutine[object, object, None], what: str) -> None:
        """Start work on the side, or do it here where too much is under way."""
        if len(self._tasks) >= self._limit:
            await _logged(work, what)
            return
        task = asyncio.create_task(_logged(work, what), name=what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, timeout_s: float) -> None:
        """Wait for what is under way, then cancel the rest."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


async def _logged(work: Coroutine[object, object, None], what: str) -> None:
    try:
        await work
    except WafleetError as exc:
        _log.warning("%s: %s", what, exc)
