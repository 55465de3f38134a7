"""Events in ``WA_EVENTS``: stored by sessions and gateways, followed live or from any point in the past.

Theory of operation. A stored event reaches plain subscribers as well, so ``live_events`` needs no more rights than a
tenant has. ``stored_events`` needs JetStream's direct get: it reads the stream in batches and uses the live messages as
wake-ups only, like the job log; so nothing is missed over a lost connection, and order is the stream's.

Owns the subjects' use and the duplicate ids of events. Imports the connection, direct reads, events' models.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from nats.aio.msg import Msg

from actors.clock import SystemClock
from actors.core.backoff import RetryPolicy
from actors.core.echoes import DELAYS_S
from actors.errors import InvalidCommand, WafleetError
from actors.messages.base import encode
from actors.messages.events import Event, parse_event
from actors.messages.ids import SessionKey, dedup_id
from actors.ports import Clock
from gateway.answers import Refused, publish_ack
from gateway.connection import Bus
from gateway.direct import read_batch
from gateway.former_sends import former_sends
from gateway.inbox import Begun, begun
from gateway.numbering import last_seq
from gateway.streams import WA_EVENTS, event_subject

_BATCH: Final = 256
_POLL_S: Final = 30.0
_LIVE_BUFFER: Final = 10_000
"""Live events that wait for their reader; beyond it the newest are dropped with a warning."""
_OUTBOX_LIMIT: Final = 1_000
_OUTBOX_BATCH: Final = 256
_OUTBOX_LINGER_S: Final = 0.005
_OUTBOX_RETRY: Final = RetryPolicy(first_delay_s=0.1, max_delay_s=2.0)

_log = logging.getLogger("wafleet.nats")


async def publish_event(bus: Bus, event: Event) -> bool:
    """Store an event; a repeat of its id is stored once (within the duplicate window of 2 min), and False then.

    Raises:
        Unavailable: JetStream refused or did not answer.
    """
    outcome = await (await begin_event(bus, event)).outcome()
    if isinstance(outcome, WafleetError):
        raise outcome
    return outcome


async def begin_event(bus: Bus, event: Event) -> Begun[bool]:
    """Send a ``publish_event`` whose outcome is waited for later."""

    async def judge(msg: Msg) -> bool:
        answer = publish_ack(msg)
        if isinstance(answer, Refused):
            raise answer.unavailable(f"event {event.event}")
        return not answer.duplicate

    key = SessionKey(event.tenant_id, event.session_id)
    headers = {"Nats-Msg-Id": dedup_id(key, event.id)}
    return await begun(bus.begin(event_subject(key, event.event), encode(event), headers=headers), judge)


class JetStreamEventSink:
    """``actors.ports.EventSink`` of one session."""

    def __init__(self, bus: Bus, key: SessionKey) -> None:
        self._bus: Final = bus
        self._key: Final = key

    async def publish(self, event: Event) -> bool:
        """Store an event; returns when JetStream has it: False if it had one of that id before."""
        return await publish_event(self._bus, event)

    async def last_seq(self) -> int:
        """Return the highest ``seq`` stored for this session, 0 if none."""
        return await last_seq(self._bus, self._key)

    async def former_sends(self, within_s: float) -> Sequence[float]:
        """Return how many seconds ago each send of the last ``within_s`` ended at the latest."""
        return await former_sends(self._bus, self._key, within_s)


class JetStreamEventPublisher:
    """``actors.ports.EventPublisher``: events of any session."""

    def __init__(self, bus: Bus) -> None:
        self._bus: Final = bus

    async def publish(self, event: Event) -> bool:
        """Store an event; returns when JetStream has it: False if it had one of that id before."""
        return await publish_event(self._bus, event)


class EventOutbox:
    """The gateway's own events (``job.accepted``), published in the background.

    Theory of operation. An event waits a moment, so that the reply it belongs to goes out first and events that come
    close together go out together: at 64 requests at once that is worth a third of what a gateway takes.
    """

    def __init__(self, bus: Bus, *, limit: int = _OUTBOX_LIMIT, clock: Clock | None = None) -> None:
        self._bus: Final = bus
        self._clock: Final = clock or SystemClock()
        self._random: Final = Random()  # noqa: S311 - jitter
        self._waiting: Final[asyncio.Queue[Event]] = asyncio.Queue(limit)
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to publish."""
        self._worker = asyncio.create_task(self._work())

    async def put(self, event: Event) -> None:
        """Hand an event over; waits where ``limit`` events wait already."""
        await self._waiting.put(event)

    async def close(self, timeout_s: float = 5.0) -> None:
        """Publish what waits, as far as it goes within the deadline, and end."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._waiting.join()
        except TimeoutError:
            _log.warning("%d events of the gateway were not published before its end", self._waiting.qsize())
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            await self._clock.sleep(_OUTBOX_LINGER_S)
            while len(batch) < _OUTBOX_BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            try:
                await self._publish(batch)
            except Exception:  # noqa: BLE001 - without its worker the queue would fill up, and then every send wait
                _log.exception("%d events of the gateway are lost", len(batch))
            for _ in batch:
                self._waiting.task_done()

    async def _publish(self, batch: Sequence[Event]) -> None:
        """Publish events, as often as it takes within bounds; each try waits for a lost connection by itself."""
        attempt = 1
        while True:
            publishing = await asyncio.gather(*(begin_event(self._bus, event) for event in batch))
            outcomes = [await begun_one.outcome() for begun_one in publishing]
            errors = {e.id: error for e, error in zip(batch, outcomes, strict=True) if isinstance(error, WafleetError)}
            batch = [event for event in batch if event.id in errors]
            if not batch:
                return
            attempt += 1
            if not _OUTBOX_RETRY.allows(attempt):
                break
            await self._clock.sleep(_OUTBOX_RETRY.delay(attempt - 1, self._random))
        for event in batch:
            _log.error("event %s %s is lost after %d tries: %s", event.event, event.id, attempt - 1, errors[event.id])


@asynccontextmanager
async def live_events(bus: Bus, subject: str) -> AsyncIterator[AsyncIterator[Event]]:
    """Follow events as they are published, from now on.

    The subscription stands when the context is entered: what is published after that is seen. Events during a lost
    connection are not.

    Args:
        bus: The connection.
        subject: From ``gateway.streams.event_subject``; wildcards allowed.
    """
    waiting: asyncio.Queue[Event] = asyncio.Queue(_LIVE_BUFFER)

    async def take(msg: Msg) -> None:
        event = _parse(msg.data)
        if event is None:
            return
        try:
            waiting.put_nowait(event)
        except asyncio.QueueFull:
            _log.warning("reader of %s is too slow: event %s dropped", subject, event.id)

    async def events() -> AsyncIterator[Event]:
        while True:
            yield await waiting.get()

    subscription = await bus.subscribe(subject, take)
    try:
        yield events()
    finally:
        if not bus.client.is_closed:
            await subscription.unsubscribe()


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with its place in the stream, from which reading can go on."""

    stream_seq: int
    event: Event


async def stored_events(
    bus: Bus, subject: str, *, after_seq: int = 0, since: datetime | None = None, follow: bool = True
) -> AsyncGenerator[StoredEvent, None]:
    """Read events from the stream, and go on with new ones as they come.

    Args:
        bus: The connection; its user must be allowed JetStream's direct get.
        subject: From ``gateway.streams.event_subject``; wildcards allowed.
        after_seq: Begin behind this stream sequence.
        since: Begin at this moment instead.
        follow: Whether to wait for more at the end of the stream.

    Raises:
        Unavailable: JetStream did not answer; go on with the last ``stream_seq``.
    """
    start: dict[str, Any] = (
        {"seq": after_seq + 1} if since is None else {"start_time": since.astimezone(UTC).isoformat()}
    )
    async with AsyncExitStack() as stack:
        wake = await stack.enter_async_context(_wake_ups(bus, subject)) if follow else asyncio.Event()
        # nats-server wakes beside storing: the event may come a moment later (actors.core.echoes).
        looks = iter(DELAYS_S)
        while True:
            wake.clear()
            page = await read_batch(bus, WA_EVENTS, {"next_by_subj": subject, "batch": _BATCH, **start})
            for message in page.messages:
                start = {"seq": message.seq + 1}
                event = _parse(message.body)
                if event is not None:
                    yield StoredEvent(message.seq, event)
            if page.messages and page.pending:
                continue
            if not follow:
                return
            if await _woken(wake, next(looks, _POLL_S)):
                looks = iter(DELAYS_S)


async def check_readable(bus: Bus, subject: str) -> None:
    """Read one event, to see whether ``stored_events`` can. Raises ``Unavailable``."""
    await read_batch(bus, WA_EVENTS, {"next_by_subj": subject, "seq": 1, "batch": 1})


@asynccontextmanager
async def _wake_ups(bus: Bus, subject: str) -> AsyncIterator[asyncio.Event]:
    """Set an event at each message, and after a lost connection."""
    wake = asyncio.Event()

    async def on_message(_: Msg) -> None:
        wake.set()

    forget = bus.on_reconnected(wake.set)
    try:
        subscription = await bus.subscribe(subject, on_message)
        try:
            yield wake
        finally:
            if not bus.client.is_closed:
                await subscription.unsubscribe()
    finally:
        forget()


async def _woken(wake: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            return await wake.wait()
    except TimeoutError:
        return False


def _parse(body: bytes) -> Event | None:
    try:
        return parse_event(body)
    except InvalidCommand as exc:
        _log.debug("event skipped: %s", exc)
        return None
