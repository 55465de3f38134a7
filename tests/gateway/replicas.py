"""Fixtures for tests of a running service: a replica on its own connection, a ready session, and a tenant's client."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import orjson
import pytest
from nats.aio.msg import Msg

from actors.messages.ids import SessionKey
from gateway.client import Client
from gateway.connection import FLEET_INBOX, Bus, connect
from gateway.replica import GatewayReplica, ReplicaLimits
from tests.gateway.standins import StandInControl, StandInOwner, put_session
from tests.support.nats import NatsServer

PHONE = "6281234567890"
Owner = Callable[..., Awaitable[StandInOwner]]


@pytest.fixture
def limits() -> ReplicaLimits:
    """Bounds of the replica; a test overrides what it is about."""
    return ReplicaLimits()


@pytest.fixture
async def control(bus: Bus) -> StandInControl:
    return StandInControl(bus)


@pytest.fixture
async def gateway_bus(nats_server: NatsServer, bus: Bus) -> AsyncIterator[Bus]:
    """The gateway's own connection; the streams exist, as ``bus`` made them."""
    connection = await connect(nats_server.url, "gateway", inbox_prefix=FLEET_INBOX)
    yield connection
    await connection.close()


@pytest.fixture
async def replica(gateway_bus: Bus, control: StandInControl, limits: ReplicaLimits) -> AsyncIterator[GatewayReplica]:
    """A running gateway."""
    running = GatewayReplica(gateway_bus, control, limits=limits)
    await running.start()
    yield running
    await running.drain()


@pytest.fixture
async def ready(bus: Bus, key: SessionKey) -> SessionKey:
    """A session in state ready."""
    await put_session(bus, key, "ready")
    return key


@pytest.fixture
async def owner(bus: Bus, control: StandInControl) -> AsyncIterator[Owner]:
    """Starts owners of sessions."""
    async with AsyncExitStack() as stack:

        async def start(key: SessionKey, **options: object) -> StandInOwner:
            made = StandInOwner(bus, key, **options)  # type: ignore[arg-type] # as its constructor
            await made.start()
            stack.push_async_callback(made.stop)
            control.owners[key] = made
            return made

        yield start


@pytest.fixture
async def client(nats_server: NatsServer, key: SessionKey) -> AsyncIterator[Client]:
    """A client of the test's tenant."""
    async with await Client.connect(nats_server.url, key.tenant_id) as connected:
        yield connected


class Asking:
    """Raw requests, as a program in any language would send them."""

    def __init__(self, bus: Bus, key: SessionKey) -> None:
        self._bus = bus
        self.key = key

    async def raw(self, subject: str, body: bytes = b"", *, timeout_s: float = 5) -> Msg:
        return await self._bus.request(subject, body, timeout_s=timeout_s)

    async def __call__(self, command: str, /, **fields: object) -> dict[str, object]:
        """The reply to a command to the session, whatever it is."""
        msg = await self.raw(f"wa.{self.key.tenant_id}.cmd.{self.key.session_id}.{command}", orjson.dumps(fields))
        reply: dict[str, object] = orjson.loads(msg.data)
        return reply


@pytest.fixture
def ask(bus: Bus, key: SessionKey) -> Asking:
    return Asking(bus, key)
