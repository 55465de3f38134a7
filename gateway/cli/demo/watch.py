"""Collects a tenant's events, so that a step of the tour can wait for one that may have come already."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, TypeVar

from actors.messages.events import AckEvent, CodeEvent, Event, JobEvent, QrEvent, SessionEvent
from gateway.cli.exits import CommandFailed
from gateway.client import Client

E = TypeVar("E", SessionEvent, QrEvent, CodeEvent, JobEvent, AckEvent)


class EventWatch:
    """Events of a tenant from the moment it is entered: ``async with EventWatch(client) as watch``."""

    def __init__(self, client: Client) -> None:
        self._client: Final = client
        self._events: Final[list[Event]] = []
        self._more: Final = asyncio.Condition()
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        listening = asyncio.Event()
        reading = self._reading = asyncio.create_task(self._read(listening))
        told = asyncio.create_task(listening.wait())
        try:
            await asyncio.wait({reading, told}, return_when=asyncio.FIRST_COMPLETED)
            if not listening.is_set():
                reading.result()  # raises: without an end of its own it reads for ever
        finally:
            told.cancel()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading

    def mark(self) -> int:
        """Return the place of the next event; ``until`` can begin there."""
        return len(self._events)

    async def until(
        self,
        kind: type[E],
        what: str,
        *,
        within_s: float,
        after: int = 0,
        wanted: Callable[[E], bool] = lambda _: True,
    ) -> E:
        """Return the first event of a kind that is wanted.

        Args:
            kind: Its class.
            what: What it is, for the message of a failure.
            within_s: How long to wait.
            after: Where to begin, see ``mark``.
            wanted: Tells it from others of its kind.

        Raises:
            CommandFailed: It did not come in time.
        """
        try:
            async with asyncio.timeout(within_s), self._more:
                while True:
                    for event in self._events[after:]:
                        if isinstance(event, kind) and wanted(event):
                            return event
                    after = len(self._events)
                    await self._more.wait()
        except TimeoutError:
            last = ", ".join(event.event for event in self._events[-5:]) or "none at all"
            raise CommandFailed(f"no {what} within {within_s:g} s; the last events were: {last}") from None

    async def _read(self, listening: asyncio.Event) -> None:
        async with self._client.events() as stream:
            listening.set()
            async for event in stream:
                async with self._more:
                    self._events.append(event)
                    self._more.notify_all()
