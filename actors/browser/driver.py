"""Playwright's node driver: one per process, shared by its sessions, started small, its death noticed.

A session keeps its share from one browser to the next: a new driver costs 0.4 s of a core, for which a session that
lost its browser would wait. The driver ends when the last session gives its share back, or as soon as it does not
answer any more. Playwright raises no event when its driver is killed (measured), so its process is watched.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from actors.browser import process
from actors.browser.process import ExitWatch, ProcessId
from actors.errors import BrowserLaunchFailed

if TYPE_CHECKING:
    from playwright.async_api import Playwright

SLIM_NODE: Final = "--max-semi-space-size=1"
"""Takes the driver's private memory from 73 to 61 MiB and costs nothing measurable."""
_START_TIMEOUT_S: Final = 30.0
_STOP_TIMEOUT_S: Final = 3.0
_ANSWER_TIMEOUT_S: Final = 2.0
"""How long a healthy driver may take to answer on a busy machine; it takes 5 to 40 ms (measured)."""


class Driver:
    """One running driver."""

    def __init__(self, playwright: "Playwright", driver_process: ProcessId) -> None:
        self.playwright = playwright
        self.process = driver_process
        self.shares = 0
        self._listeners: set[Callable[[], None]] = set()
        self.ended = False
        self._silent = False
        self._watch = ExitWatch(driver_process, self._on_exit)

    @property
    def usable(self) -> bool:
        """Whether a browser may be launched with it."""
        return not self.ended and not self._silent and bool(process.alive([self.process]))

    async def answers(self) -> bool:
        """Make a round trip to the driver; one that failed it once is not used again."""
        from playwright.async_api import Error  # noqa: PLC0415 - loaded with the driver

        if not self.usable:
            return False
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                # The one object of Playwright that needs no browser; there is no ping.
                context = await self.playwright.request.new_context()
                await context.dispose()
        except (TimeoutError, Error):
            self._silent = True
        return not self._silent

    def listen(self, on_end: Callable[[], None]) -> Callable[[], None]:
        """Call back when the driver dies; returns the function that takes the listener off."""
        self._listeners.add(on_end)
        return lambda: self._listeners.discard(on_end)

    async def stop(self) -> None:
        """End the driver's process."""
        self._watch.close()
        if self._silent:
            # It would not hear the request to end; once it is gone, Playwright's own side ends at once.
            process.kill([self.process])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self.playwright.stop()
        process.kill([self.process])
        await process.wait_gone([self.process], _STOP_TIMEOUT_S)

    def _on_exit(self) -> None:
        self.ended = True
        for on_end in tuple(self._listeners):
            on_end()


class DriverShares:
    """The driver of one event loop and how many sessions use it."""

    def __init__(self) -> None:
        self._driver: Driver | None = None
        self._changing = asyncio.Lock()

    async def take(self) -> Driver:
        """Return the running driver, or start one."""
        async with self._changing:
            if self._driver is None or not self._driver.usable:
                self._driver = await _start()
            self._driver.shares += 1
            return self._driver

    async def give_back(self, driver: Driver) -> None:
        """Give a share back; the last one stops the driver."""
        async with self._changing:
            driver.shares -= 1
            if driver.shares <= 0:
                if self._driver is driver:
                    self._driver = None
                await driver.stop()


_shares: WeakKeyDictionary[asyncio.AbstractEventLoop, DriverShares] = WeakKeyDictionary()


def shares() -> DriverShares:
    """Return the shares of the running event loop."""
    return _shares.setdefault(asyncio.get_running_loop(), DriverShares())


class DriverShare:
    """A session's share of the driver, kept from one browser to the next."""

    def __init__(self) -> None:
        self._driver: Driver | None = None

    async def take(self) -> Driver:
        """Return the driver that is held, or another one where that cannot be used any more."""
        if self._driver is not None and not self._driver.usable:
            await self.give_back()
        if self._driver is None:
            self._driver = await shares().take()
        return self._driver

    async def check(self) -> None:
        """Give up a driver that does not answer; called when a browser has ended, before the next one needs it."""
        if self._driver is not None and not await self._driver.answers():
            await self.give_back()

    async def give_back(self) -> None:
        """Let the driver end unless others use it; nothing happens if none is held."""
        driver, self._driver = self._driver, None
        if driver is not None:
            await shares().give_back(driver)


async def _start() -> Driver:
    from playwright.async_api import async_playwright  # noqa: PLC0415 - 26 MiB, paid by sessions with a browser only

    before = set(process.children_with_argument(os.getpid(), "run-driver"))
    starting = async_playwright()
    try:
        with _slim_node():
            async with asyncio.timeout(_START_TIMEOUT_S):
                playwright = await starting.start()
    except BaseException as exc:
        # Nobody holds it yet: it would stay until this process ends.
        process.kill([one for one in process.children_with_argument(os.getpid(), "run-driver") if one not in before])
        if isinstance(exc, Exception):
            raise BrowserLaunchFailed(f"Playwright's driver did not start: {type(exc).__name__}: {exc}") from exc
        raise
    if starting._client is not None:  # noqa: SLF001 - no public way
        # A driver that dies is told by a future that nobody reads once it runs, which asyncio would log as an error.
        starting._client._transport.on_error_future.add_done_callback(_look_at)  # noqa: SLF001 - as above
    started = [one for one in process.children_with_argument(os.getpid(), "run-driver") if one not in before]
    if not started:
        await playwright.stop()
        raise BrowserLaunchFailed("Playwright's driver ended while it started; see its message on stderr")
    return Driver(playwright, started[0])


def _look_at(ended: "asyncio.Future[None]") -> None:
    if not ended.cancelled():
        ended.exception()


@contextlib.contextmanager
def _slim_node() -> Iterator[None]:
    """Set the node options for the time in which the driver starts: it copies the environment of this process."""
    before = os.environ.get("NODE_OPTIONS")
    os.environ["NODE_OPTIONS"] = f"{before} {SLIM_NODE}" if before else SLIM_NODE
    try:
        yield
    finally:
        if before is None:
            del os.environ["NODE_OPTIONS"]
        else:
            os.environ["NODE_OPTIONS"] = before
