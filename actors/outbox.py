"""The outbox: what a session tells the world, in order, until JetStream has it.

Owns the session's ``seq``. One task publishes, one event after the other, and gives each its number as its turn comes.
Where the store had the event already (a former owner told it, and died before it could note so) nothing is stored under
that number, and the next event has it. While JetStream does not answer the task tries again with growing waits.
Statuses go the same way, so that an event never overtakes the status it tells of. Bounded: past ``limit`` events are
dropped and counted in the log, except outcomes of jobs, of which there is one at a time.
"""

import asyncio
import logging
from collections import deque
from random import Random
from typing import Final

from actors.core.backoff import RetryPolicy
from actors.deadlines import cancel, within
from actors.errors import Unavailable, WafleetError
from actors.messages.events import Event, EventData, build_event
from actors.messages.ids import SessionKey
from actors.messages.replies import SessionStatus
from actors.ports import Clock, EventSink, StatusBoard

_RETRY: Final = RetryPolicy(first_delay_s=0.2, max_delay_s=5.0)


class Outbox:
    """Publishes the events and statuses of one session."""

    def __init__(
        self,
        key: SessionKey,
        *,
        events: EventSink,
        board: StatusBoard,
        clock: Clock,
        limit: int,
        random: Random,
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._key = key
        self._events = events
        self._board = board
        self._clock = clock
        self._limit = limit
        self._random = random
        self._log = log
        self._waiting: deque[tuple[Event | SessionStatus, asyncio.Future[None]]] = deque()
        self._stirred = asyncio.Event()
        self._dropped = 0
        self._seq = 0
        self._epoch = 0
        self._task: asyncio.Task[None] | None = None

    def begin(self, *, epoch: int, last_seq: int) -> None:
        """Go on after the former owner's last event."""
        self._epoch, self._seq = epoch, last_seq
        self._task = asyncio.create_task(self._publish_all(), name=f"outbox:{self._key}")

    def put(self, event: str, data: EventData, event_id: str | None = None) -> None:
        """Announce something; it is not waited for."""
        if len(self._waiting) >= self._limit:
            self._dropped += 1
            if self._dropped == 1 or self._dropped % 1_000 == 0:
                self._log.error("event %s dropped: the outbox is full (%d dropped so far)", event, self._dropped)
            return
        self._enqueue(self._build(event, data, event_id))

    def put_status(self, status: SessionStatus) -> None:
        """Write a status after everything that was put before."""
        if len(self._waiting) < self._limit:
            self._enqueue(status)

    async def publish(self, event: str, data: EventData, event_id: str) -> None:
        """Announce something and return when JetStream has it."""
        await self._enqueue(self._build(event, data, event_id))

    async def close(self, timeout_s: float) -> None:
        """Publish what is left, but not longer than a deadline."""
        if self._task is None:
            return
        try:
            if self._waiting:
                await within(self._clock, timeout_s, _wait_for(self._waiting[-1][1]))
        except TimeoutError:
            self._log.error("%d events were not published: JetStream did not answer", len(self._waiting))
        await cancel(self._task)
        self._task = None
        for _, done in self._waiting:
            done.cancel()
        self._waiting.clear()

    def _build(self, event: str, data: EventData, event_id: str | None) -> Event:
        """Build an event; its number, and an id that is made of it, come when it is published."""
        return build_event(
            id=event_id or "",
            event=event,
            tenant_id=self._key.tenant_id,
            session_id=self._key.session_id,
            time=self._clock.now(),
            epoch=self._epoch,
            data=data,
        )

    def _numbered(self, event: Event) -> Event:
        self._seq += 1
        event_id = event.id or f"{event.session_id}.{event.epoch}.{self._seq}"
        return event.model_copy(update={"id": event_id, "seq": self._seq})

    def _enqueue(self, item: Event | SessionStatus) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        self._stirred.set()
        return done

    async def _publish_all(self) -> None:
        while True:
            while self._waiting:
                item, done = self._waiting[0]
                await self._store(item)
                self._waiting.popleft()
                if not done.done():
                    done.set_result(None)
            self._stirred.clear()
            await self._stirred.wait()

    async def _store(self, item: Event | SessionStatus) -> None:
        """Store one item, however often it takes; one that can never be stored is dropped, and said so."""
        attempt = 0
        if not isinstance(item, SessionStatus):
            item = self._numbered(item)
        while True:
            try:
                if isinstance(item, SessionStatus):
                    await self._board.put(item)
                elif not await self._events.publish(item) and not attempt:
                    # After a failed try it may be this event, under this number, that the store has.
                    self._seq -= 1
            except Unavailable as exc:
                attempt += 1
                if attempt == 1:
                    self._log.warning("JetStream does not take events: %s", exc)
                await self._clock.sleep(_RETRY.delay(attempt, self._random))
            except WafleetError:
                self._log.exception("an event can't be stored and is dropped")
                return
            else:
                return


async def _wait_for(future: "asyncio.Future[None]") -> None:
    await asyncio.shield(future)
