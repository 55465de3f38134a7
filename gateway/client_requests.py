"""A tenant's requests: sent to whichever gateway is there, repeated where that is safe, answered or raised by code.

Imports the connection and the messages.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, TypeVar

import orjson
from nats.aio.msg import Msg
from nats.micro.request import ERROR_CODE_HEADER
from pydantic import BaseModel, TypeAdapter, ValidationError

from actors.clock import SystemClock
from actors.errors import QueueFull, Unavailable
from actors.messages.commands import parse_command
from actors.messages.replies import ErrorReply
from gateway.answers import Stored
from gateway.connection import Bus
from gateway.failures import error_of
from gateway.subjects import command_subject, inbox_subject

R = TypeVar("R", bound=BaseModel)
T = TypeVar("T")

TRY_S: Final = 3.0
"""How long one try may take before the request is sent again, to another gateway perhaps."""
_STORE_TRY_S: Final = 1.5
"""The same where only JetStream stands behind the gateway: a repeat costs little, and a killed gateway 1.5 s."""
ASKING_TRY_S: Final = 6.0
"""The same where the gateway asks the session's owner: it waits 5 s, and a repeat before that takes a second place."""
_ORDER_TRY_S: Final = 28.0
_PAGE_TRY_S: Final = 16.0
TRY_S_BY_COMMAND: Final[Mapping[str, float]] = {
    "session.start": _ORDER_TRY_S,
    "session.stop": _ORDER_TRY_S,
    "session.restart": _ORDER_TRY_S,
    "session.logout": _ORDER_TRY_S,
    "session.pause": _ORDER_TRY_S,
    "session.resume": _ORDER_TRY_S,
    "session.screenshot": _PAGE_TRY_S,
    "contact.check": _PAGE_TRY_S,
    "session.qr": ASKING_TRY_S,
    "session.queue": ASKING_TRY_S,
    "session.rate_limit": ASKING_TRY_S,
    "send.text": _STORE_TRY_S,
    "send.media": _STORE_TRY_S,
    "send.location": _STORE_TRY_S,
    "job.get": _STORE_TRY_S,
    "job.cancel": _STORE_TRY_S,
}
"""Commands on which the gateway waits for an actor (a little longer than it does), and those on which for none."""
NEVER_REPEATED: Final = frozenset({"session.restart"})
"""A second one would restart the session a second time."""
_FIRST_PAUSE_S: Final = 0.05
_MAX_PAUSE_S: Final = 0.25

_log = logging.getLogger("wafleet.client")


class Requests:
    """Puts commands to the gateways of one tenant."""

    def __init__(self, bus: Bus, tenant_id: str, timeout_s: float) -> None:
        self._bus: Final = bus
        self._tenant_id: Final = tenant_id
        self._timeout_s: Final = timeout_s
        self._clock: Final = SystemClock()

    async def ask(
        self,
        reply: type[R],
        command: str,
        session_id: str | None,
        fields: Mapping[str, Any] | None = None,
        *,
        cleared: Collection[str] = (),
        timeout_s: float | None = None,
        try_s: float | None = None,
    ) -> R:
        """Put one command and return its reply.

        Args:
            reply: The model of the reply; fields that this version does not know are ignored.
            command: E.g. ``session.start``.
            session_id: The session; None for a command about the whole tenant.
            fields: The body; None values are left out, which in most commands means "as it is".
            cleared: Fields to send as null, which takes away what is there.
            timeout_s: Deadline of all tries together; the client's own by default.
            try_s: Deadline of one try.

        Raises:
            WafleetError: The class that fits the error's code; ``Unavailable`` where no gateway answered in time.
        """
        said = {name: value for name, value in (fields or {}).items() if value is not None}
        body = orjson.dumps(said | dict.fromkeys(cleared))
        parse_command(command, body)  # what is wrong is told here, by the same rules, without a round trip
        subject = command_subject(self._tenant_id, session_id, command)

        async def ask_once(within_s: float) -> Msg:
            msg = await self._bus.request(subject, body, timeout_s=within_s)
            _raise_if_error(msg)
            return msg

        msg = await self._insist(
            ask_once,
            command,
            "gateway",
            timeout_s=self._timeout_s if timeout_s is None else timeout_s,
            try_s=try_s or TRY_S_BY_COMMAND.get(command, TRY_S),
        )
        try:
            return TypeAdapter(reply).validate_json(msg.data, extra="ignore")
        except ValidationError as exc:
            raise Unavailable(f"{command}: the reply is not one this version can read: {msg.data[:200]!r}") from exc

    async def store(self, command: str, session_id: str, fields: Mapping[str, Any]) -> int:
        """Publish one send durably and return its sequence in the inbox.

        Raises:
            InvalidCommand: It is no send, or does not fit it.
            QueueFull: As many wait there as may.
            Unavailable: JetStream did not store it in time.
        """
        body = orjson.dumps({name: value for name, value in fields.items() if value is not None})
        subject = inbox_subject(self._tenant_id, session_id, command)
        parse_command(command, body)

        async def store_once(within_s: float) -> int:
            answer = await self._bus.store(subject, body, timeout_s=within_s)
            if isinstance(answer, Stored):
                return answer.seq
            if answer.subject_is_full:
                raise QueueFull(f"the inbox of session {session_id!r} is full; send more when some are done")
            raise answer.unavailable(f"{command} for the inbox")

        return await self._insist(store_once, command, "JetStream", timeout_s=self._timeout_s, try_s=TRY_S)

    async def _insist(
        self, attempt: Callable[[float], Awaitable[T]], command: str, who: str, *, timeout_s: float, try_s: float
    ) -> T:
        """Try until an answer comes; whoever says ``unavailable`` is asked again as well."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        deadline = began + timeout_s
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return await attempt(min(try_s, deadline - loop.time()))
            except Unavailable as exc:
                if command in NEVER_REPEATED or loop.time() + pause >= deadline:
                    passed_s = loop.time() - began
                    raise Unavailable(
                        f"no {who} carried out {command} within {passed_s:.1f} s: {exc}", exc.details
                    ) from exc
                _log.debug("%s: asking again: %s", command, exc)
            await self._clock.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE_S)


def _raise_if_error(msg: Msg) -> None:
    if not msg.headers or ERROR_CODE_HEADER not in msg.headers:
        return
    try:
        failure = TypeAdapter(ErrorReply).validate_json(msg.data, extra="ignore")
    except ValidationError as exc:
        raise Unavailable(f"an error that this version cannot read: {msg.data[:200]!r}") from exc
    raise error_of(failure.error)
