import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import ray

from actors.cluster import NAMESPACE, RayControlPlane, RaySessionHost, connect, disconnect
from tests.cluster.standins import BOARD, Board, BoardPorts, StandInSession
from tests.support.ray import RayHead


@pytest.fixture(scope="session")
def head() -> Iterator[RayHead]:
    """One real cluster for all tests: a head with two `browser` slots."""
    with RayHead(slots=2) as head:
        yield head


@pytest.fixture(scope="session")
def plane(head: RayHead) -> Iterator[RayControlPlane]:
    """This process as a driver of the cluster."""
    plane = asyncio.run(connect(head.address))
    board: Any = ray.remote(Board)
    # The handle is kept, since the board lives as long as somebody holds it.
    held = board.options(name=BOARD, namespace=NAMESPACE, num_cpus=0).remote()
    yield plane
    del held
    asyncio.run(disconnect())


@pytest.fixture
async def host(plane: RayControlPlane) -> AsyncIterator[RaySessionHost]:
    """Where sessions live; none of them outlives its test."""
    host = RaySessionHost(StandInSession, BoardPorts())
    yield host
    for key in await host.living():
        found = await host.find(key)
        if found is not None:
            await found.kill(10)
