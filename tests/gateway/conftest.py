"""Fixtures of all gateway tests: one nats-server for the run, a fresh connection and a fresh tenant for each test."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest
import uvloop

from actors.messages.ids import SessionKey
from gateway.connection import Bus, connect
from gateway.streams import ensure
from tests.support.nats import NatsServer

_OF_BOTH = {"test_connection.py", "test_wire.py"}
_OF_SESSIONS = {
    "test_former_sends.py", "test_lease_keeping.py", "test_leases.py", "test_port_contracts.py",
    "test_profile_heads.py", "test_snapshots.py", "test_wiring.py",
}  # fmt: skip


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each test on the loop that what it tests runs on: gateways have uvloop, session actors asyncio's own."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {}
    if item.path.name not in _OF_SESSIONS:
        loops["uvloop"] = uvloop.new_event_loop
    if item.path.name in _OF_SESSIONS | _OF_BOTH:
        loops["asyncio"] = asyncio.new_event_loop
    return loops


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A running server, shared by all tests that leave it running."""
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def own_nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running server of this test alone, to be killed."""
    with NatsServer(tmp_path) as server:
        yield server


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    """A connection to the shared server, with all streams and buckets in place."""
    connected = await connect(nats_server.url, "test")
    await ensure(connected)
    yield connected
    await connected.close()


@pytest.fixture
def key() -> SessionKey:
    """A session that no other test uses."""
    return SessionKey(f"t-{uuid4().hex[:12]}", "s1")
