"""The real ``Browser`` of ``actors.ports``: opens Chromium on one session's profile.

Importing it imports no playwright: that waits until a browser opens.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from actors.browser import footprint, process
from actors.browser.driver import Driver, DriverShare
from actors.browser.fuse import Fuse
from actors.browser.keys import SentKeys
from actors.browser.launching import Running, end_processes, launch
from actors.browser.page import WhatsAppPage
from actors.browser.profile import Profile
from actors.config import SessionConfig
from actors.core.facts import Fact
from actors.errors import BrowserLaunchFailed, ProfileInUse
from actors.messages.ids import SessionKey
from actors.messages.records import LeaseRecord
from actors.ports import OpenRequest


class ChromiumBrowser:
    """Opens browsers on the profile of one session."""

    def __init__(self, key: SessionKey, config: SessionConfig) -> None:
        self._key = key
        self._config = config
        self.profile = self._profile = Profile(config.sessions_path, key)
        """For those that copy it."""
        self._sent_keys = SentKeys()
        self._share = DriverShare()
        self._page: WhatsAppPage | None = None

    @asynccontextmanager
    async def inherit(self, former: LeaseRecord) -> AsyncIterator[bool]:
        """Hold the profile of an owner that died on this machine, with nothing of it left running.

        What is left of its browser gets a moment to end, then it is killed. Yields False where that is not certain.
        """
        if process.alive([(former.pid, former.started)]):
            yield False
            return
        try:
            await self._profile.hold(former.browser_pids)
        except (ProfileInUse, OSError):
            yield False
            return
        try:
            yield True
        finally:
            self._profile.release()

    async def open(self, request: OpenRequest, on_fact: Callable[[Fact], None]) -> WhatsAppPage:
        """Launch, inject, load and check. Facts come to ``on_fact`` on the event loop, none after ``close``.

        Raises:
            ProfileInUse: Another live process holds the profile.
            BrowserLaunchFailed: The browser did not start, or the page or wa-js did not load.
            ProfileDamaged: The browser does not start on this profile, which holds a login, but would on another.
        """
        if request.key != self._key:
            raise BrowserLaunchFailed(f"asked to open {request.key} on the profile of {self._key}")
        with self._usable_folder():
            await self._profile.acquire()
        try:
            driver = await self._share.take()
        except BaseException:
            self._profile.release()
            raise
        try:
            with self._usable_folder():
                running = await launch(driver, self._profile, self._config.browser, request.proxy)
            page = self._page = self._taken_over(running, driver, request, on_fact)
        except BaseException:
            # First the driver, which may still be about to start the browser of a launch that was given up.
            await self._share.give_back()
            await end_processes(self._profile)
            self._profile.release()
            raise
        try:
            with self._usable_folder():
                await page.start()
        except BaseException:
            await page.close()
            raise
        return page

    def _taken_over(
        self, running: Running, driver: Driver, request: OpenRequest, on_fact: Callable[[Fact], None]
    ) -> WhatsAppPage:
        """Tell of the processes that were launched, and wrap the first page."""
        if request.on_launched:
            request.on_launched(process.tree(running.process[0]))
        if not running.context.pages:
            raise BrowserLaunchFailed("the browser ended as soon as it had started")
        return WhatsAppPage(
            running,
            driver,
            share=self._share,
            profile=self._profile,
            sent_keys=self._sent_keys,
            config=self._config,
            fuse=Fuse(request.fuse_left_s) if request.fuse_left_s else None,
            on_fact=on_fact,
        )

    async def close(self) -> None:
        """Let the driver go, which waits for the next browser; the last page is closed. May be called twice."""
        await self._share.give_back()

    async def arm_fuse(self, left_s: float) -> None:
        """Let the page that is open, or opening, end by itself after this time and no sooner.

        Raises:
            PageUnresponsive: It does not answer.
        """
        if self._page:
            await self._page.arm_fuse(left_s)

    def generation(self) -> str:
        """Return the random id of the profile's content; makes profile and id where there is none.

        Raises:
            BrowserLaunchFailed: The folder cannot be used.
        """
        with self._usable_folder():
            return self._profile.generation()

    async def memory(self) -> int | None:
        """Return what this process and all below it (the browser too) hold: bytes of PSS, None if nobody can tell."""
        return await footprint.of_this_process()

    async def quarantine(self) -> None:
        """Move the profile aside (after a logout); it is deleted after 7 days."""
        await self._profile.quarantine()

    @contextmanager
    def _usable_folder(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise BrowserLaunchFailed(
                f"the profile folder of {self._key} cannot be used ({exc}); "
                "check WHATSAPP_SESSION_PATH, its owner and the free space"
            ) from exc
