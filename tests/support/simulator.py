"""Fixtures: a simulator in the test's own process, and its phone."""

from collections.abc import AsyncIterator

import pytest

from simulator.client import SimulatedPhone
from simulator.server import SimulatorServer
from simulator.settings import SimulatorSettings

QUICK = SimulatorSettings(boot_ms=0, sync_ms=50, ack_ms=5, receipt_ms=20, logout_reload_ms=50, reconnect_first_ms=50)
"""Settings that make tests short: nothing waits longer than the page itself needs."""


@pytest.fixture
async def simulator() -> AsyncIterator[SimulatorServer]:
    """A running simulator of the test's own."""
    async with SimulatorServer(QUICK) as server:
        yield server


@pytest.fixture
async def phone(simulator: SimulatorServer) -> AsyncIterator[SimulatedPhone]:
    """The phone and the people of that simulator."""
    async with SimulatedPhone(simulator.url) as client:
        yield client
