"""The inbox of a session: everything its loop will hear, in order.

Bounded by what puts in: wake-ups are joined by lane, reads and jobs in flight are few, commands wait for their answer.
Only a page could tell without end; past ``MAX_FACTS`` its facts are dropped, and the probe finds out what was missed.
"""

import asyncio
from collections import deque
from typing import Final

from actors.core.facts import Fact
from actors.core.signals import SessionInput, Woken
from actors.messages.jobs import LaneName

MAX_FACTS: Final = 1_000
"""Entries that may wait when a fact is put in."""


class Inbox:
    """A queue with joined wake-ups and answers."""

    def __init__(self) -> None:
        self._entries: deque[tuple[SessionInput, asyncio.Future[None] | None]] = deque()
        self._stirred = asyncio.Event()
        self._woken: set[LaneName | None] = set()

    def put(self, item: SessionInput) -> None:
        """Put an input in."""
        self._entries.append((item, None))
        self._stirred.set()

    def put_fact(self, fact: Fact) -> bool:
        """Put a fact in; False if there are too many."""
        if len(self._entries) >= MAX_FACTS:
            return False
        self.put(fact)
        return True

    def wake(self, lane: LaneName | None) -> None:
        """Put a wake-up in, unless the same one waits already."""
        if lane not in self._woken:
            self._woken.add(lane)
            self.put(Woken(lane))

    async def ask(self, item: SessionInput) -> None:
        """Put an input in and return when it was handled."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._entries.append((item, done))
        self._stirred.set()
        await done

    async def take(self) -> tuple[SessionInput, "asyncio.Future[None] | None"]:
        """Return the next entry; whoever takes it resolves its future."""
        while not self._entries:
            self._stirred.clear()
            await self._stirred.wait()
        item, done = self._entries.popleft()
        if isinstance(item, Woken):
            self._woken.discard(item.lane)
        return item, done

    def close(self) -> None:
        """Answer everybody who still waits."""
        for _, done in self._entries:
            if done and not done.done():
                done.set_result(None)
        self._entries.clear()
