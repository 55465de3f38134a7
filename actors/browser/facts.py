"""The stream of facts from one browser to its session: in order, on the event loop, none after its end."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from actors.core.facts import Fact

_MAX_HELD: Final = 1_000
"""Facts held back while the page comes up; a page that is not open yet tells a handful."""


class FactStream:
    """Hands facts on, one call of the loop each, so that a receiver's error never reaches the page."""

    def __init__(self, on_fact: Callable[[Fact], None]) -> None:
        self._on_fact = on_fact
        self._loop = asyncio.get_running_loop()
        self._held: deque[Fact] | None = deque(maxlen=_MAX_HELD)
        self._finished = False
        self._closed = False

    def tell(self, fact: Fact) -> None:
        """Pass a fact on, or hold it until the stream is open."""
        if self._finished or self._closed:
            return
        if self._held is not None:
            self._held.append(fact)
            return
        self._loop.call_soon(self._deliver, fact)

    def open(self) -> None:
        """Let facts flow, those held back first."""
        held, self._held = self._held, None
        for fact in held or ():
            self.tell(fact)

    def finish(self, fact: Fact) -> None:
        """Pass the last fact on."""
        self.tell(fact)
        self._finished = True

    def close(self) -> None:
        """Deliver nothing more, not even what is on its way."""
        self._closed = True

    def _deliver(self, fact: Fact) -> None:
        if not self._closed:
            self._on_fact(fact)
