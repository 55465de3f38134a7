"""Reading a durable pull consumer: each message is handed to one task, and its outcome acknowledged.

Theory of operation. One pull request stands at the server at any time, for as many messages as may still be handled
here; it runs out after some seconds and is made again, at once after a reconnect. Messages that a process took with
itself come again after the consumer's ``ack_wait``, to whichever reader asks: so a handler has a deadline below it, and
whatever it does must be fit to be done again. Messages are told from the server's statuses by their reply subject and
never by a header, which is the writer's own.

Imports the connection and the streams' data. Here stands the pull loop's ``except Exception`` (actors.errors).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Final

import nats.errors
import orjson
from nats.aio.msg import Msg

from actors.core.backoff import RetryPolicy
from actors.errors import Unavailable
from actors.ports import Clock
from gateway.connection import Bus
from gateway.streams import ConsumerSpec, ensure_consumer

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription

_ACK_PREFIX: Final = "$JS.ACK."
_ACK_TOKENS: Final = 9
"""``$JS.ACK.<stream>.<consumer>.<tries>.<seq>.<consumer seq>.<ns>.<pending>``; newer servers may put more around it."""
_ACK_TOKENS_WITH_DOMAIN: Final = 11
_EXPIRES_S: Final = 10.0
_LATE_S: Final = 2.0
_PAUSE_S: Final = 0.5
_HANDLED_WITHIN: Final = 0.75
"""Deadline of a handler, as a part of ``ack_wait``."""
_LEAVE_TIMEOUT_S: Final = 2.0
_RAN_OUT: Final = "408"
_RETRY: Final = RetryPolicy(first_delay_s=1.0, max_delay_s=30.0)

_log = logging.getLogger("wafleet.gateway")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message of the consumer."""

    subject: str
    body: bytes
    seq: int
    """In the stream."""
    stored_at: datetime
    """By the server's clock."""
    tries: int
    """How often it has been handed out, this time included."""
    reply: str

    @classmethod
    def of(cls, msg: Msg) -> "Delivery":
        """Read a message and what its reply subject says of it. Raises ``ValueError``."""
        tokens = msg.reply.split(".")
        first = 4 if len(tokens) == _ACK_TOKENS else 6
        if len(tokens) != _ACK_TOKENS and len(tokens) < _ACK_TOKENS_WITH_DOMAIN:
            msg_text = f"not a reply subject of JetStream: {msg.reply[:200]!r}"
            raise ValueError(msg_text)
        tries, seq, _, stored_ns = (int(token) for token in tokens[first : first + 4])
        stored_at = datetime.fromtimestamp(stored_ns // 10**9, UTC) + timedelta(microseconds=stored_ns % 10**9 // 1000)
        return cls(msg.subject, msg.data, seq, stored_at, tries, msg.reply)


@dataclass(frozen=True, slots=True)
class Again:
    """The message is to be handed out again, after a delay that grows with its tries."""

    why: str


Handler = Callable[[Delivery], Awaitable[Again | None]]
"""Deals with a message; None means that it is done with."""


class PullReader:
    """Reads one consumer. ``start`` it; ``drain`` it before its connection is closed."""

    def __init__(
        self,
        bus: Bus,
        stream: str,
        consumer: ConsumerSpec,
        handle: Handler,
        *,
        clock: Clock,
        at_once: int,
        random: Random,
    ) -> None:
        """Prepare.

        Args:
            bus: The connection.
            stream: The stream.
            consumer: Its consumer; it is made where it is not there.
            handle: Deals with each message.
            clock: Own time.
            at_once: How many messages are handled at once here.
            random: Jitter of delays.
        """
        self._bus: Final = bus
        self._stream: Final = stream
        self._consumer: Final = consumer
        self._handle: Final = handle
        self._clock: Final = clock
        self._at_once: Final = at_once
        self._random: Final = random
        self._prefix: Final = bus.client.new_inbox()
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._room: Final = asyncio.Event()
        self._room.set()
        self._pull: _Pull | None = None
        self._pulls = 0
        self._leaving = False
        self._subscription: Subscription | None = None
        self._loop: asyncio.Task[None] | None = None
        self._forget: Callable[[], None] | None = None

    async def start(self) -> None:
        """Begin to read. Raises ``Unavailable``."""
        self._subscription = await self._bus.subscribe(f"{self._prefix}.*", self._take)
        self._forget = self._bus.on_reconnected(lambda: self._end_pull(None))
        self._loop = asyncio.create_task(self._read(), name=f"pull:{self._stream}")

    async def drain(self, timeout_s: float) -> None:
        """Take nothing new, finish what is being handled within a deadline, hand the rest back."""
        self._leaving = True
        if self._forget is not None:
            self._forget()
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        await self._leave()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _leave(self) -> None:
        """Withdraw the pull; what the server has sent until then still arrives, and is handed back."""
        if self._subscription is None:
            return
        try:
            async with asyncio.timeout(_LEAVE_TIMEOUT_S):
                await self._subscription.drain()  # type: ignore[no-untyped-call]
        except (OSError, TimeoutError, nats.errors.Error) as exc:
            _log.warning("%s: leaving while NATS is away: %r", self._stream, exc)

    # --- pulling ----------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            await self._room.wait()
            trouble = await self._ask_for(max(1, self._at_once - len(self._tasks)))
            if trouble is not None:
                _log.warning("%s cannot be read: %s; trying on", self._stream, trouble)
                await self._clock.sleep(_PAUSE_S)
                await self._mend()

    async def _ask_for(self, batch: int) -> str | None:
        """Make one pull and wait until it is over; returns what speaks against the next one."""
        self._pulls += 1
        pull = self._pull = _Pull(f"{self._prefix}.{self._pulls}", batch)
        request = orjson.dumps({"batch": batch, "expires": int(_EXPIRES_S * 1e9)})
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer.name}"
        try:
            await self._bus.publish(subject, request, reply=pull.subject)
            async with asyncio.timeout(_EXPIRES_S + _LATE_S):
                return await pull.over
        except TimeoutError:
            return "the pull was not answered"
        except Unavailable as exc:
            return exc.message

    async def _mend(self) -> None:
        try:
            await ensure_consumer(self._bus, self._stream, self._consumer)
        except Unavailable as exc:
            _log.warning("%s", exc)

    def _end_pull(self, trouble: str | None) -> None:
        if self._pull is not None and not self._pull.over.done():
            self._pull.over.set_result(trouble)

    async def _take(self, msg: Msg) -> None:
        if not msg.reply.startswith(_ACK_PREFIX):
            self._take_status(msg)
            return
        try:
            delivery = Delivery.of(msg)
        except ValueError as exc:
            _log.error("%s: %s", self._stream, exc)
            return
        if self._pull is not None:
            self._pull.missing -= 1
            if self._pull.missing <= 0:
                self._end_pull(None)
        if self._leaving:
            await self._acknowledge(delivery, b"-NAK")
            return
        task = asyncio.create_task(self._serve(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._served)
        if len(self._tasks) >= self._at_once:
            self._room.clear()

    def _take_status(self, msg: Msg) -> None:
        """Take what the server says of a pull; of an earlier one it means nothing any more."""
        if self._pull is not None and msg.subject == self._pull.subject:
            headers = msg.headers or {}
            status = headers.get("Status")
            self._end_pull(None if status == _RAN_OUT else f"{status} {headers.get('Description', '')}".strip())

    # --- handling ---------------------------------------------------------------------------------------------------

    def _served(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._room.set()

    async def _serve(self, delivery: Delivery) -> None:
        try:
            async with asyncio.timeout(self._consumer.ack_wait_s * _HANDLED_WITHIN):
                again = await self._handle(delivery)
        except asyncio.CancelledError:
            await self._acknowledge(delivery, b"-NAK")
            raise
        except TimeoutError:
            again = Again("it took too long")
        except Exception:  # noqa: BLE001 - the pull loop: one message's error must not reach the others
            _log.exception("%s: message %d (%r) failed", self._stream, delivery.seq, delivery.subject[:200])
            again = Again("it failed unexpectedly")
        if again is None:
            await self._acknowledge(delivery, b"+ACK")
            return
        delay_s = _RETRY.delay(delivery.tries, self._random)
        _log.warning(
            "%s: message %d waits %.1f s after try %d: %s",
            self._stream, delivery.seq, delay_s, delivery.tries, again.why,
        )  # fmt: skip
        await self._acknowledge(delivery, b"-NAK " + orjson.dumps({"delay": int(delay_s * 1e9)}))

    async def _acknowledge(self, delivery: Delivery, verdict: bytes) -> None:
        try:
            await self._bus.publish(delivery.reply, verdict)
        except Unavailable as exc:
            _log.warning("%s: message %d will come again: %s", self._stream, delivery.seq, exc)


class _Pull:
    """One pull request."""

    def __init__(self, subject: str, batch: int) -> None:
        self.subject: Final = subject
        self.missing = batch
        self.over: Final[asyncio.Future[str | None]] = asyncio.get_running_loop().create_future()
