"""One NATS connection, with a deadline on every request and one check of every message's size.

Theory of operation. When the connection is lost all waiting requests fail at once (their answers can't come any more)
and new ones wait, within their deadline, for the reconnect, which is tried for ever. A message beyond ``max_payload``,
headers included, makes the server cut the connection of everybody behind it, and nats-py (2.16) looks at the body
alone: so every message passes ``_check_size``.

Owns the client object and the translation of its errors. Imports the errors, ``gateway.inbox`` and ``gateway.answers``.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import nats.errors
import orjson
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from actors.errors import InvalidCommand, Unavailable
from gateway.answers import Refused, Stored, publish_ack, refusal
from gateway.inbox import Inbox, InboxClient, Question

REQUEST_TIMEOUT_S: Final = 5.0
"""Deadline of a request, the wait for a reconnect included."""
SIZE_RESERVE_BYTES: Final = 4 * 1024
"""Kept free below the server's ``max_payload``, for headers that a server on the way may add."""
CONNECT_TIMEOUT_S: Final = 10.0
TENANT_INBOX: Final = "_INBOX"
"""What every NATS client may answer to, unless the server is told otherwise."""
FLEET_INBOX: Final = "wafleet.inbox"
"""Where JetStream answers the fleet's own connections. The service never answers there: a reply subject is the asker's
choice, and the numbers behind it are no secret (tenants see them in the events that they follow)."""
_RECONNECT_WAIT_S: Final = 0.25
_FLUSH_TIMEOUT_S: Final = 2.0
_CLOSE_TIMEOUT_S: Final = 1
_PING_EVERY_S: Final = 5
"""Two unanswered pings mean a dead connection: found after 15 s at most (nats-py's own default: 6 min)."""

_log = logging.getLogger("wafleet.nats")

Headers = Mapping[str, str]
Listener = Callable[[Msg], Awaitable[None]]


class Bus:
    """A connection to NATS that comes back by itself. Made by ``connect``, ended by ``close``."""

    def __init__(self, url: str, name: str, inbox_prefix: str = TENANT_INBOX) -> None:
        self.url: Final = url
        self.name: Final = name
        self._inbox_prefix: Final = inbox_prefix
        self._inbox: Final = Inbox()
        self._client: Final = InboxClient(self._inbox)
        self._connected: Final = asyncio.Event()
        self._hooks: Final[list[Callable[[], None]]] = []
        self._closing = False
        self.reconnects = 0
        """How often it came back; what a server said before may be forgotten by now."""

    @property
    def client(self) -> InboxClient:
        """The client beneath, for the micro service. Publish through the Bus, never through it."""
        return self._client

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands right now."""
        return self._connected.is_set()

    def on_reconnected(self, hook: Callable[[], None]) -> Callable[[], None]:
        """Call a hook after each reconnect: plain subscribers may have missed messages. Returns how to take it off."""
        self._hooks.append(hook)
        return lambda: self._hooks.remove(hook)

    async def open(self, timeout_s: float) -> None:
        """Connect and open the inbox. Raises ``Unavailable``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._client.connect(
                    self.url.split(","),
                    name=self.name,
                    inbox_prefix=self._inbox_prefix,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=_RECONNECT_WAIT_S,  # type: ignore[arg-type] # any number of seconds works
                    connect_timeout=2,
                    ping_interval=_PING_EVERY_S,
                    flush_timeout=_FLUSH_TIMEOUT_S,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnected,
                    reconnected_cb=self._on_reconnected,
                    closed_cb=self._on_closed,
                )
                await self._client.open_inbox()
                await self.flush()
        except (TimeoutError, OSError, nats.errors.Error, Unavailable) as exc:
            error = self._client.last_error or exc
            await self.close()
            raise Unavailable(f"no connection to NATS at {redacted(self.url)}: {error!r}; is nats-server up?") from exc
        except BaseException:  # cancelled: nobody holds this connection, and nats-py would make it again for ever
            await self.close()
            raise
        self._connected.set()

    async def close(self) -> None:
        """Flush and disconnect; never raises, may be called twice."""
        self._closing = True
        if self.is_connected:
            try:
                await self.flush(_CLOSE_TIMEOUT_S)
            except Unavailable as exc:
                _log.debug("%s: flush before close: %r", self.name, exc)
        self._connected.clear()
        tasks = self._client_tasks()
        try:
            await self._client.close()
        except (OSError, nats.errors.Error) as exc:
            _log.debug("%s: close: %r", self.name, exc)
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_TIMEOUT_S)
        self._inbox.fail_all("the connection was closed")

    async def __aenter__(self) -> Self:
        """Return the connection itself; leaving the context closes it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- messages ---------------------------------------------------------------------------------------------------

    async def publish(
        self, subject: str, body: bytes = b"", *, headers: Headers | None = None, reply: str = ""
    ) -> None:
        """Publish without waiting for anything but room in the buffer.

        Raises:
            InvalidCommand: Body and headers are more than the server takes.
            Unavailable: There is no connection.
        """
        await self._wait_connected(REQUEST_TIMEOUT_S)
        await self._send(subject, body, reply, headers)

    async def request(
        self,
        subject: str,
        body: bytes = b"",
        *,
        headers: Headers | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Msg:
        """Publish and wait for the answer. Raises as ``publish`` does, and ``Unavailable`` past the deadline."""
        return await (await self.begin(subject, body, headers=headers, timeout_s=timeout_s)).answer()

    async def begin(
        self,
        subject: str,
        body: bytes = b"",
        *,
        headers: Headers | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
        collects: bool = False,
    ) -> Question:
        """Publish a request and return the question, whose ``answer`` is to be waited for. Raises as ``publish``."""
        question, reply = self._inbox.ask(subject, timeout_s, collects=collects)
        try:
            if not self.is_connected:
                await self._wait_connected(timeout_s)
            await self._send(subject, body, reply, headers)
        except BaseException:
            question.end()
            raise
        return question

    async def request_batch(
        self, subject: str, body: bytes, *, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> tuple[list[Msg], Msg]:
        """Publish and collect answers up to and with the one that carries a status. Raises as ``request``."""
        question = await self.begin(subject, body, timeout_s=timeout_s, collects=True)
        end = await question.answer()
        return question.answers, end

    async def store(
        self, subject: str, body: bytes, *, headers: Headers | None = None, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> Stored | Refused:
        """Publish into whatever stream takes the subject and wait until it is stored. Raises as ``request``."""
        return publish_ack(await self.request(subject, body, headers=headers, timeout_s=timeout_s))

    async def api(
        self, verb: str, body: Mapping[str, Any] | None = None, *, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> dict[str, Any] | Refused:
        """Make one call of JetStream's API, e.g. ``STREAM.INFO.WA_JOBS``. Raises as ``request``."""
        answer = await self.request(f"$JS.API.{verb}", b"" if body is None else orjson.dumps(body), timeout_s=timeout_s)
        result: dict[str, Any] = orjson.loads(answer.data)
        return refusal(result["error"]) if "error" in result else result

    async def subscribe(self, subject: str, listener: Listener, *, queue: str = "") -> Subscription:
        """Subscribe; what others publish from now on is seen. A subscription outlives reconnects.

        A listener is awaited message by message: it must not block.

        Raises:
            Unavailable: The server did not confirm it in time; then it does not stand.
        """
        await self._wait_connected(REQUEST_TIMEOUT_S)
        subscription = await self._client.subscribe(subject, queue=queue, cb=listener)
        try:
            await self.flush()
        except BaseException:  # nats-py would renew it at each reconnect, and the asker does not know it
            with suppress(OSError, nats.errors.Error):
                await subscription.unsubscribe()
            raise
        return subscription

    async def flush(self, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        """Wait until the server has taken in everything that was sent so far. Raises ``Unavailable``.

        A message to the own inbox: nats-py's ``flush`` writes its PING past commands that still wait in its buffer.
        """
        question, echo = self._inbox.ask("the own inbox", timeout_s)
        await self._send(echo, b"", "", None)
        await question.answer()

    # --- within -----------------------------------------------------------------------------------------------------

    async def _send(self, subject: str, body: bytes, reply: str, headers: Headers | None) -> None:
        self._check_size(subject, body, headers)
        if self._client.write(subject, reply, body, headers):
            return
        try:
            await self._client.publish(subject, body, reply, None if headers is None else dict(headers))
        except (nats.errors.BadSubjectError, nats.errors.BadHeaderError) as exc:
            raise InvalidCommand(f"not a subject or header that NATS takes: {subject[:80]!r}") from exc
        except (OSError, nats.errors.Error) as exc:
            raise Unavailable(f"NATS: could not publish to {subject}: {exc!r}") from exc

    def _check_size(self, subject: str, body: bytes, headers: Headers | None) -> None:
        size = len(body)
        if headers:
            size += 12 + sum(len(key.encode()) + len(value.encode()) + 4 for key, value in headers.items())
        limit = self._client.max_payload - SIZE_RESERVE_BYTES
        if size > limit:
            raise InvalidCommand(
                f"the message to {subject} has {size} bytes with its headers, NATS takes at most {limit}",
                {"bytes": size, "max_bytes": limit},
            )

    async def _wait_connected(self, timeout_s: float) -> None:
        if self._connected.is_set():
            return
        if self._closing:
            raise Unavailable(f"the connection to NATS at {redacted(self.url)} is closed")
        try:
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()
        except TimeoutError as exc:
            raise Unavailable(f"NATS at {redacted(self.url)} is away; reconnecting") from exc

    async def _on_error(self, error: Exception) -> None:
        """Log what nats-py reports; attempts to reconnect come four a second and are worth a debug line only."""
        level = logging.DEBUG if isinstance(error, OSError | nats.errors.UnexpectedEOF) else logging.WARNING
        _log.log(level, "%s: %r", self.name, error)

    async def _on_disconnected(self) -> None:
        self._connected.clear()
        if not self._closing:
            _log.warning("%s: connection to NATS at %s lost, reconnecting", self.name, redacted(self.url))
        self._inbox.fail_all("the connection was lost before the answer came")

    async def _on_reconnected(self) -> None:
        _log.info("%s: connected to NATS again", self.name)
        self.reconnects += 1
        self._connected.set()
        for hook in tuple(self._hooks):
            hook()

    async def _on_closed(self) -> None:
        if not self._closing:
            _log.error("%s: the connection to NATS ended for good: %r", self.name, self._client.last_error)

    def _client_tasks(self) -> set[asyncio.Task[None]]:
        """List nats-py's background tasks: its ``close`` cancels them without waiting for their end."""
        client = self._client
        own = (client._reading_task, client._ping_interval_task, client._flusher_task, client._reconnection_task)  # noqa: SLF001 - nats-py offers no other way
        listening = (subscription._wait_for_msgs_task for subscription in client._subs.values())  # noqa: SLF001 - as above
        return {task for task in (*own, *listening) if task is not None and task is not asyncio.current_task()}


async def connect(
    url: str, name: str, *, timeout_s: float = CONNECT_TIMEOUT_S, inbox_prefix: str = TENANT_INBOX
) -> Bus:
    """Connect to NATS.

    Args:
        url: ``nats://host:port``, or several of them with commas between.
        name: What NATS shows for this connection.
        timeout_s: How long to try.
        inbox_prefix: Of the subjects on which it takes answers; ``FLEET_INBOX`` for what belongs to the fleet.

    Raises:
        Unavailable: Nobody answers there.
    """
    bus = Bus(url, name, inbox_prefix)
    await bus.open(timeout_s)
    return bus


def redacted(url: str) -> str:
    """Return addresses, with commas between, without user and password: fit for logs and errors."""
    return ",".join(_without_user(one) for one in url.split(","))


def _without_user(url: str) -> str:
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
