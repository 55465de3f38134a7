"""Fixtures of all gateway tests: one nats-server for the run, a fresh connection and a fresh tenant for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from actors.messages.ids import SessionKey
from gateway.connection import Bus, connect
from gateway.streams import ensure
from tests.support.nats import NatsServer


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
