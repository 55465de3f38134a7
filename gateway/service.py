"""The NATS micro service ``wafleet``: takes requests, has them carried out, and answers every one of them.

Theory of operation (DESIGN 7 "Gateway service"). Two endpoints take everything; each request is a task of its own, made
by the connection (nats-py would call an endpoint's handler one message at a time). Over a bound of requests or bytes
the answer is ``unavailable`` at once. A reply subject is the asker's own choice, and the gateway may publish where a
tenant may not: so no answer goes to a subject of wafleet (``FLEET_INBOX`` is one) or of the server. Here stands the
``except Exception`` of requests: an unexpected error is logged with the request's ids and answered with the number of
the incident.

Imports the connection, dispatch and rendering.
"""

import asyncio
import logging
import secrets
from dataclasses import dataclass
from typing import Final

import nats.errors
from nats.aio.subscription import Subscription
from nats.micro import add_service
from nats.micro.request import Request
from nats.micro.service import EndpointConfig, Service, ServiceConfig

from actors.errors import Unavailable, Unsupported, WafleetError
from actors.messages.replies import ErrorBody
from gateway.connection import Bus
from gateway.dispatch import Dispatcher
from gateway.replies import Answer, render, render_error
from gateway.subjects import SESSION_REQUESTS, TENANT_REQUESTS

SERVICE_NAME: Final = "wafleet"
SERVICE_VERSION: Final = "0.1.0"
_UNSUBSCRIBE_TIMEOUT_S: Final = 2.0
_SMALL_BYTES: Final = 1_024
"""Any server takes an answer of this size."""
_FORBIDDEN_REPLIES: Final = ("wa.", "wafleet.", "$", ">", "*")

_log = logging.getLogger("wafleet.gateway")


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """What the service holds at once."""

    max_requests: int = 4_096
    max_bytes: int = 256 * 2**20


class GatewayService:
    """One replica of the service. ``start`` subscribes, ``drain`` finishes what is in flight and leaves."""

    def __init__(self, bus: Bus, dispatcher: Dispatcher, limits: ServiceLimits | None = None) -> None:
        self._bus: Final = bus
        self._dispatcher: Final = dispatcher
        self._limits: Final = limits or ServiceLimits()
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._bytes = 0
        self._service: Service | None = None

    async def start(self) -> None:
        """Subscribe. Raises ``Unavailable``."""
        config = ServiceConfig(
            name=SERVICE_NAME,
            version=SERVICE_VERSION,
            description="WhatsApp sessions of many tenants: commands to sessions and tenants",
            queue_group=SERVICE_NAME,
        )
        try:
            self._service = await add_service(self._bus.client, config)
            for name, subject in (("session", SESSION_REQUESTS), ("tenant", TENANT_REQUESTS)):
                await self._service.add_endpoint(EndpointConfig(name=name, subject=subject, handler=self._take))
            for subscription in _subscriptions(self._service):
                self._bus.client.serve_at_once(subscription)
            await self._bus.flush()
        except (OSError, TimeoutError, nats.errors.Error) as exc:
            raise Unavailable(f"NATS did not take the service's subscriptions: {exc!r}") from exc

    async def drain(self, timeout_s: float) -> None:
        """Take no more requests, finish those in flight within a deadline, refuse the rest."""
        if self._service is not None:
            await self._unsubscribe(self._service)
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _unsubscribe(self, service: Service) -> None:
        """Drain the endpoints: nats.micro's own ``stop`` would drop requests that are already here."""
        try:
            async with asyncio.timeout(_UNSUBSCRIBE_TIMEOUT_S):
                leaving = (subscription.drain() for subscription in _subscriptions(service))  # type: ignore[no-untyped-call]
                await asyncio.gather(*leaving)
        except (OSError, TimeoutError, nats.errors.Error) as exc:
            _log.warning("leaving while NATS is away: %r", exc)

    async def _take(self, request: Request) -> None:
        """Serve one request; runs in a task of its own."""
        size = len(request.data)
        reply = request._msg.reply  # noqa: SLF001 - no public way, and having none is normal here
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= self._limits.max_requests or self._bytes + size > self._limits.max_bytes:
            answer = render_error(
                Unavailable("the gateway is full; try again", {"max_requests": self._limits.max_requests})
            )
            await self._reply(reply, answer)
            return
        self._bytes += size
        self._tasks.add(task)
        try:
            await self._serve(request.subject, request.data, reply)
        finally:
            self._tasks.discard(task)
            self._bytes -= size

    async def _serve(self, subject: str, body: bytes, reply: str) -> None:
        try:
            answer = await self._answer(subject, body)
        except asyncio.CancelledError:
            await self._reply(reply, render_error(Unavailable("the gateway is leaving; ask again")))
            raise
        await self._reply(reply, answer)

    async def _answer(self, subject: str, body: bytes) -> Answer:
        try:
            return render(await self._dispatcher.handle(subject, body))
        except WafleetError as exc:
            return render_error(exc)
        except Exception:  # noqa: BLE001 - the one place: a request is answered whatever happens
            incident = secrets.token_hex(6)
            _log.exception("incident %s: %r failed on a body of %d bytes", incident, subject[:200], len(body))
            return render(_incident(incident))

    async def _reply(self, reply: str, answer: Answer) -> None:
        if not reply:
            return
        if reply.startswith(_FORBIDDEN_REPLIES):
            _log.warning("no answer goes to %r: the gateway never publishes where a tenant says", reply[:200])
            return
        try:
            await self._bus.publish(reply, answer.body, headers=answer.headers)
        except WafleetError as exc:
            if answer.headers is None and len(answer.body) > _SMALL_BYTES:  # the server's limit may be lower than ours
                await self._reply(reply, render_error(Unsupported(f"the reply is too large: {exc}", exc.details)))
                return
            _log.warning("an answer to %r was not sent: %s", reply[:200], exc)


def _subscriptions(service: Service) -> list[Subscription]:
    """List the subscriptions of a service's endpoints."""
    own = (endpoint._subscription for endpoint in service._endpoints)  # noqa: SLF001 - no public way
    return [subscription for subscription in own if subscription is not None]


def _incident(incident: str) -> ErrorBody:
    return ErrorBody.of(
        Unavailable(f"something unexpected went wrong (incident {incident}); try again", {"incident": incident})
    )
