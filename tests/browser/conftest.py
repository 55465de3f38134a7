"""Fixtures of the browser tests: one simulator per module, with the module's event loop."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from actors.browser.driver import shares
from actors.config import SessionConfig
from simulator.client import SimulatedPhone
from simulator.server import SimulatorServer
from tests.browser.watching import Session, opened, session_config
from tests.support.simulator import QUICK


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[SimulatorServer]:
    """The module's simulator; its page logs itself out where storage is not persistent."""
    async with SimulatorServer(QUICK.changed({"require_persist": True})) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def warm_driver() -> AsyncIterator[None]:
    """Keeps Playwright's driver running between the module's browsers: half a second each."""
    driver = await shares().take()
    yield
    await shares().give_back(driver)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def phone(world: SimulatorServer) -> AsyncIterator[SimulatedPhone]:
    """Its phone and people."""
    async with SimulatedPhone(world.url) as client:
        yield client


@pytest.fixture
def config(world: SimulatorServer, tmp_path: Path) -> SessionConfig:
    """Settings of a session with a profile folder of the test's own."""
    return session_config(world.url, tmp_path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def linked(
    world: SimulatorServer, phone: SimulatedPhone, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Session]:
    """A linked page that the module's tests share."""
    async with opened(session_config(world.url, tmp_path_factory.mktemp("sessions"))) as session:
        await session.link(phone)
        yield session
