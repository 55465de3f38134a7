"""The driver a session keeps from one browser to the next: kept while it answers, replaced once it does not."""

import os
import signal

import pytest

from actors.browser import process
from actors.browser.process import ProcessId
from actors.config import SessionConfig
from actors.errors import BrowserLaunchFailed
from actors.ports import OpenRequest
from simulator.server import SimulatorServer
from tests.browser.watching import KEY, Session, opened, session_config

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module", autouse=True)
def warm_driver() -> None:
    """No driver but the session's own: when that one ends is what these tests are about."""


def drivers() -> list[ProcessId]:
    return process.children_with_argument(os.getpid(), "run-driver")


async def reopen(session: Session) -> None:
    session.page = await session.browser.open(OpenRequest(KEY), session.watched.take)


async def test_after_a_killed_browser_the_next_one_comes_from_the_same_driver(config: SessionConfig) -> None:
    async with opened(config) as session:
        [driver] = drivers()
        browser = session.page.processes
        os.kill(browser[0][0], signal.SIGKILL)
        await session.page.close()
        assert process.alive(browser) == []
        assert drivers() == [driver]
        await reopen(session)
        assert drivers() == [driver]
        await session.page.probe()
        browser = session.page.processes
        await session.page.close()
        assert drivers() == [driver], "a closed page alone ends no driver"
    assert drivers() == []
    assert process.alive([driver, *browser]) == []


@pytest.mark.parametrize("when", ["under the browser", "between two browsers"])
async def test_a_killed_driver_is_never_used_again(config: SessionConfig, when: str) -> None:
    async with opened(config) as session:
        [driver] = drivers()
        if when == "between two browsers":
            await session.page.close()
        os.kill(driver[0], signal.SIGKILL)
        assert await process.wait_gone([driver], 2.0) == []
        await session.page.close()
        await reopen(session)
        [another] = drivers()
        assert another != driver
        await session.page.probe()
    assert drivers() == []


async def test_a_driver_that_hangs_ends_with_its_browser(world: SimulatorServer, config: SessionConfig) -> None:
    hasty = session_config(world.url, config.sessions_path, close_timeout_s=0.5)
    async with opened(hasty) as session:
        [driver] = drivers()
        browser = session.page.processes
        os.kill(driver[0], signal.SIGSTOP)
        await session.page.close()
        assert process.alive([driver, *browser]) == []
        await reopen(session)
        await session.page.probe()
    assert drivers() == []


async def test_a_launch_that_failed_leaves_no_driver(world: SimulatorServer, config: SessionConfig) -> None:
    absent = session_config(world.url, config.sessions_path, executable="/nowhere/chromium")
    with pytest.raises(BrowserLaunchFailed):
        async with opened(absent):
            pass
    assert drivers() == []
