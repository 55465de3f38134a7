"""A tenant's events as an async iterator: each once, none of an owner that was replaced.

Theory of operation. Without ``since`` events come live, which needs no more rights than every tenant has; what happens
while the connection is lost is missed. With ``since`` they are read from the stream, old ones first, and reading goes
on behind the last one after any interruption; where the first read is denied, they come live after all.

Imports the event readers and the messages.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import AsyncExitStack, aclosing
from datetime import datetime
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from actors.clock import SystemClock
from actors.errors import Unavailable
from actors.messages.events import Event
from gateway.connection import Bus
from gateway.events import check_readable, live_events, stored_events

K = TypeVar("K")
V = TypeVar("V")

_MAX_IDS: Final = 10_000
_MAX_SESSIONS: Final = 10_000
_RETRY_S: Final = 1.0

_log = logging.getLogger("wafleet.client")


class _Recent(Generic[K, V]):
    """A map that forgets what was set longest ago."""

    def __init__(self, limit: int) -> None:
        self._limit: Final = limit
        self._held: Final[OrderedDict[K, V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return a value."""
        return self._held.get(key)

    def put(self, key: K, value: V) -> None:
        """Set a value."""
        self._held[key] = value
        self._held.move_to_end(key)
        if len(self._held) > self._limit:
            self._held.popitem(last=False)


class Freshness:
    """Tells events worth seeing from repeats and from those of an owner that was replaced. Pure."""

    def __init__(self) -> None:
        self._ids: Final[_Recent[tuple[str, str], bool]] = _Recent(_MAX_IDS)
        self._epochs: Final[_Recent[str, int]] = _Recent(_MAX_SESSIONS)

    def is_fresh(self, event: Event) -> bool:
        """Tell whether an event is new, and remember it."""
        highest = self._epochs.get(event.session_id)
        if event.epoch is not None:
            if highest is not None and event.epoch < highest:
                return False
            self._epochs.put(event.session_id, event.epoch)
        seen = (event.session_id, event.id)
        if self._ids.get(seen):
            return False
        self._ids.put(seen, True)  # noqa: FBT003 - a set that forgets
        return True


class EventStream:
    """Events of a tenant: ``async for event in stream``.

    ``async with stream`` listens from that moment on, before the first event is asked for: enter it before you send the
    command whose events you want.
    """

    def __init__(self, bus: Bus, subject: str, names: Collection[str] | None, since: datetime | None) -> None:
        self._bus: Final = bus
        self._subject: Final = subject
        self._names: Final = None if names is None else frozenset(names)
        self._since: Final = since
        self._freshness: Final = Freshness()
        self._stack: Final = AsyncExitStack()
        self._source: AsyncIterator[Event] | None = None
        self._next: asyncio.Task[Event] | None = None

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        # A task of its own: a caller's deadline must not end the source, he may ask again.
        if self._next is None:
            self._next = asyncio.create_task(self._fresh())
        await asyncio.wait({self._next})
        done, self._next = self._next, None
        return done.result()

    async def aclose(self) -> None:
        """Stop listening; may be called twice."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
            self._next = None
        await self._stack.aclose()

    async def _fresh(self) -> Event:
        source = await self._open()
        while True:
            event = await anext(source)
            if self._freshness.is_fresh(event) and (self._names is None or event.event in self._names):
                return event

    async def _open(self) -> AsyncIterator[Event]:
        if self._source is None:
            if self._since is None:
                self._source = await self._stack.enter_async_context(live_events(self._bus, self._subject))
            else:
                self._source = await self._stack.enter_async_context(aclosing(self._replay(self._since)))
        return self._source

    async def _replay(self, since: datetime) -> AsyncGenerator[Event, None]:
        events = self._stored(since) if await self._may_read() else self._live()
        async with aclosing(events):
            async for event in events:
                yield event

    async def _may_read(self) -> bool:
        """Tell whether JetStream may be read; a server that is away or frozen has not said no."""
        while True:
            try:
                await check_readable(self._bus, self._subject)
            except Unavailable as exc:
                if await self._server_answers():
                    _log.warning("events of the past cannot be read, going on with new ones: %s", exc)
                    return False
                await self._pause(exc)
            else:
                return True

    async def _server_answers(self) -> bool:
        if not self._bus.is_connected:
            return False
        try:
            await self._bus.flush()
        except Unavailable:
            return False
        return True

    async def _stored(self, since: datetime) -> AsyncGenerator[Event, None]:
        last: int | None = None
        while True:
            stored = stored_events(self._bus, self._subject, after_seq=last or 0, since=since if last is None else None)
            try:
                async with aclosing(stored):
                    async for item in stored:
                        last = item.stream_seq
                        yield item.event
            except Unavailable as exc:
                await self._pause(exc)

    async def _live(self) -> AsyncGenerator[Event, None]:
        while True:
            try:
                async with live_events(self._bus, self._subject) as live:
                    async for event in live:
                        yield event
            except Unavailable as exc:
                await self._pause(exc)

    async def _pause(self, exc: Unavailable) -> None:
        _log.info("events cannot be read, trying again: %s", exc)
        await SystemClock().sleep(_RETRY_S)
