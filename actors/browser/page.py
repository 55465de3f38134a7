"""One running browser with WhatsApp Web in it: the real ``Page`` of ``actors.ports``.

Owns the browser from launch to end: page loads, facts, the watch over its processes, the way down. What is asked of the
page is in ``chats`` and ``media``.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from actors.browser import chats, process, screenshot
from actors.browser.calls import OperationFailed, PageCalls
from actors.browser.driver import Driver, DriverShare
from actors.browser.facts import FactStream
from actors.browser.fuse import BLANK, Fuse
from actors.browser.injection import BINDING, REQUIRED_NAMES
from actors.browser.keys import SentKeys
from actors.browser.launching import Running, grant_storage
from actors.browser.lifeline import Lifeline, browser_gone
from actors.browser.media import MediaDesk
from actors.browser.observing import BAN_REASONS, PageObserver
from actors.browser.process import ExitWatch, ProcessId
from actors.browser.profile import Profile
from actors.config import SessionConfig
from actors.core.facts import AccountBlocked, AckChanged, BrowserEnded, Fact, Linked, PageEnded, Unlinked
from actors.errors import BrowserLaunchFailed, PageCrashed, PageFailure
from actors.messages.jobs import Content
from actors.messages.replies import ContactInfo
from actors.ports import Chat, Found, Prepared, Sent, Vitals

if TYPE_CHECKING:
    from playwright.async_api import Page as PlaywrightPage

_log = logging.getLogger("wafleet.browser")
_KILL_TIMEOUT_S: Final = 5.0
_OLD_PAGE_TIMEOUT_S: Final = 2.0
"""Closing a wedged page takes Chromium 0.5 s (measured); past this its renderer is killed."""


class WhatsAppPage:
    """A browser on one profile, showing WhatsApp Web."""

    def __init__(
        self,
        running: Running,
        driver: Driver,
        *,
        share: DriverShare,
        profile: Profile,
        sent_keys: SentKeys,
        config: SessionConfig,
        fuse: Fuse | None,
        on_fact: Callable[[Fact], None],
    ) -> None:
        self._context = running.context
        self._main = running.process
        self._script = running.script
        self._driver = driver
        self._share = share
        self._profile = profile
        self._sent_keys = sent_keys
        self._config = config
        self._browser = config.browser
        self._fuse = fuse
        self._facts = FactStream(on_fact)
        self._observer = PageObserver(qr_ttl_s=self._browser.qr_ttl_s, code_ttl_s=self._browser.code_ttl_s)
        self._media = MediaDesk(profile, self._browser.media)
        self._own_ids: tuple[str, ...] = ()
        self._page_number = 0
        self._injected = asyncio.Event()
        self._resolved_load: str | None = None
        self._known: list[ProcessId] = [running.process]
        self._closing: asyncio.Task[None] | None = None
        self._coming_up: Lifeline | None = None
        """Of the page that a reload brings up: its end is the reload's to tell."""
        self._calls = PageCalls(self._context.pages[0], Lifeline(), self._current_load)
        self._watch = ExitWatch(running.process, lambda: self._browser_ended("its process ended"))
        self._unlisten = driver.listen(lambda: self._browser_ended("Playwright's driver ended"))
        self._context.on("close", lambda _: self._browser_ended("it was closed"))

    # ---- life ----

    @property
    def page_number(self) -> int:
        """Count of page loads: a call of an older number can no longer send."""
        return self._page_number

    @property
    def processes(self) -> Sequence[ProcessId]:
        """Pids and start times of the browser's process tree."""
        self._known = process.tree(self._main[0]) or self._known
        return tuple(self._known)

    async def start(self) -> None:
        """Load WhatsApp Web in the first page and check what was injected; then facts begin to flow.

        Raises:
            BrowserLaunchFailed: The page or wa-js did not load.
        """
        timeout_s = self._browser.launch_timeout_s
        try:
            await self._calls.lifeline.call("prepare the browser", self._prepare(), timeout_s)
            await self._load(self._context.pages[0])
        except PageFailure as exc:
            raise BrowserLaunchFailed(f"WhatsApp Web did not come up: {exc.message}", exc.details) from exc
        self._facts.open()

    async def _prepare(self) -> None:
        """Make ready what every page of this browser gets; scripts run in the order they are added."""
        await self._context.expose_binding(BINDING, lambda _, report: self._on_report(report))
        await self._context.add_init_script(self._script)
        self._script = ""
        await grant_storage(self._context, self._browser.web_url)

    async def reload(self) -> None:
        """Replace the page by a fresh one in the same browser; calls of the old page end.

        Raises:
            PageUnresponsive: The new page did not come up in time.
            BrowserGone: The browser ended.
        """
        try:
            await self._replace_page()
        except PageCrashed:
            # Chromium may put the new page into the renderer that is just ending with the old one (seen).
            await self._replace_page()

    async def _replace_page(self) -> None:
        old, lifeline = self._calls.page, Lifeline()
        self._observer.expect_reload()
        self._calls.lifeline.end(PageCrashed("the page was replaced"))
        self._calls = PageCalls(old, lifeline, self._current_load)
        self._coming_up = lifeline
        try:
            await self._close_old(old, lifeline)
            page = await lifeline.call("new_page", self._context.new_page(), self._browser.call_timeout_s)
            self._calls = PageCalls(page, lifeline, self._current_load)
            await self._load(page)
        finally:
            self._coming_up = None

    async def _close_old(self, page: "PlaywrightPage", lifeline: Lifeline) -> None:
        with contextlib.suppress(PageFailure):
            await lifeline.call("close the old page", page.close(), _OLD_PAGE_TIMEOUT_S)
            return
        renderers = [one for one in self.processes if one != self._main and process.is_renderer(one)]
        process.kill(renderers)
        await process.wait_gone(renderers, _KILL_TIMEOUT_S)

    async def _load(self, page: "PlaywrightPage") -> None:
        lifeline = self._calls.lifeline
        page.on("crash", lambda _: self._page_ended(lifeline, "the renderer crashed"))
        page.on("close", lambda _: self._page_closed(lifeline))
        self._injected.clear()
        if self._fuse:
            await self._fuse.lay(page, lifeline, self._browser.call_timeout_s)
        timeout_s = self._browser.launch_timeout_s
        await lifeline.call("open the page", self._goto(page, timeout_s), timeout_s)
        # All processes are there now, and the page needs most of a second yet: nobody waits for this.
        try:
            self._profile.record_owner(self.processes)
        except OSError as exc:
            raise BrowserLaunchFailed(f"the profile folder cannot be written ({exc}); check its free space") from exc
        await lifeline.call(f"wa-js on {self._browser.web_url}", _happened(self._injected), timeout_s)
        missing = await self._calls.ask("missing", REQUIRED_NAMES, timeout_s=self._browser.call_timeout_s)
        if missing:
            raise BrowserLaunchFailed(
                f"wa-js lacks {', '.join(missing)} on this version of WhatsApp Web; "
                "update wa-js (WA_JS_VERSION in actors/config.py, then `make setup`)",
                {"missing": missing},
            )

    async def _goto(self, page: "PlaywrightPage", timeout_s: float) -> None:
        await page.goto(self._browser.web_url, wait_until="commit", timeout=timeout_s * 1_000)

    async def close(self) -> None:
        """End the browser: politely, then by killing its tree. Never raises, may be called twice."""
        await asyncio.shield(self._begin_closing())

    def kill(self) -> None:
        """Kill the browser's process tree at once; ``close`` may be awaited for the end of it."""
        self._facts.close()
        process.kill(self.processes)
        self._begin_closing()

    def _begin_closing(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._facts.close()
            self._closing = asyncio.get_running_loop().create_task(self._end_browser(), name="end-browser")
        return self._closing

    async def _end_browser(self) -> None:
        processes = self.processes
        answered = False
        try:
            answered = await self._close_politely()
            left = process.alive({*processes, *process.tree(self._main[0])})
            process.kill(left)
            left = await process.wait_gone(left, _KILL_TIMEOUT_S)
            if left:
                _log.error("[Session:%s] browser processes %s could not be killed", self._profile.key, left)
            else:
                self._profile.clear_owner()
        finally:
            self._calls.lifeline.end(browser_gone("closed by its session"))
            self._watch.close()
            self._unlisten()
            try:
                # While we hold the profile nobody opens the session's next browser with this share.
                if not answered:
                    await self._share.check()
            finally:
                self._profile.release()

    async def _close_politely(self) -> bool:
        """Ask the browser to end; where it does not, its tree is killed afterwards.

        Returns:
            Whether the driver answered that it closed it.
        """
        if self._driver.ended or not process.alive([self._main]):
            return False
        with contextlib.suppress(PageFailure):
            await Lifeline(end_grace_s=0).call("close", self._context.close(), self._browser.close_timeout_s)
            return True
        return False

    # ---- what happens ----

    def _current_load(self) -> str | None:
        return self._observer.load

    def _on_report(self, report: Mapping[str, Any]) -> None:
        observed = self._observer.feed(report)
        if observed.new_load:
            self._page_number += 1
        if observed.injected:
            self._injected.set()
        for fact in observed.facts:
            self._facts.tell(self._noted(fact, linked_now=observed.linked_now))

    def _noted(self, fact: Fact, *, linked_now: bool | None) -> Fact:
        """Keep what a fact means for profile and keys."""
        match fact:
            case Linked():
                self._own_ids = tuple(one for one in (fact.lid, fact.wid) if one)
                if linked_now is not None:
                    self._profile.note_link(fresh=linked_now)
            case Unlinked():
                self._profile.note_login_over()
            case AccountBlocked(reason) if reason in BAN_REASONS:
                self._profile.note_login_over()
            case AckChanged():
                ids = tuple(self._sent_keys.sent_under(one) for one in fact.message_ids)
                return replace(fact, message_ids=ids)
        return fact

    def _page_closed(self, lifeline: Lifeline) -> None:
        """A closed page may be the first sign of a closed browser, which is told by name some 10 ms later."""
        if lifeline.failure is None and self._closing is None and process.alive([self._main]):
            self._page_ended(lifeline, "the page was closed")

    def _page_ended(self, lifeline: Lifeline, reason: str) -> None:
        if lifeline.failure is None:
            self._observer.expect_reload()
            lifeline.end(PageCrashed(reason, {"reason": reason}))
            if lifeline is not self._coming_up:  # else who waits for it hears of it
                self._facts.tell(PageEnded(reason))

    def _browser_ended(self, reason: str) -> None:
        self._calls.lifeline.end(browser_gone(reason))
        self._facts.finish(BrowserEnded(reason))

    # ---- what is asked ----

    async def refresh_qr(self) -> None:
        """Ask for a new round of QRs."""
        await self._calls.ask("refreshQr", timeout_s=self._browser.call_timeout_s)

    async def request_code(self, phone_number: str) -> None:
        """Ask for a link code; it arrives as ``CodeShown``."""
        await self._calls.ask("requestCode", phone_number, timeout_s=self._browser.call_timeout_s)

    async def resolve(self, address: str) -> Chat:
        """Find or open the chat of an address. Raises ``RecipientNotFound``."""
        self._resolved_load = self._observer.load
        return await chats.resolve(self._calls, address, timeout_s=self._browser.call_timeout_s)

    async def prepare(self, content: Content) -> Prepared:
        """Fetch and check media; text and locations pass as they are. Raises ``MediaRejected``."""
        return await self._media.prepare(content)

    async def discard(self, prepared: Prepared) -> None:
        """Delete the file of prepared content."""
        await self._media.discard(prepared)

    async def send(self, prepared: Prepared, chat: Chat, full_key: str, *, timeout_s: float) -> Sent:
        """Send one message. Raises ``SendFailed`` only where it certainly did not leave.

        The page load in which the chat was resolved must still be there: a call recorded under a page number never
        runs in a later one.
        """
        self._sent_keys.note(full_key)
        load = self._resolved_load
        return await chats.send(self._calls, prepared, chat, full_key, timeout_s=timeout_s, load=load)

    async def lookup(self, full_key: str, bare_id: str, address: str) -> Found | None:
        """Find a message by its key, then by its bare id under phone and lid."""
        return await chats.lookup(
            self._calls,
            full_key,
            bare_id,
            address=address,
            own_ids=self._own_ids,
            timeout_s=self._browser.call_timeout_s,
        )

    async def check_contacts(self, numbers: Sequence[str]) -> Sequence[ContactInfo]:
        """Ask which numbers (``+digits``) exist."""
        return await chats.check_contacts(self._calls, numbers, timeout_s=self._browser.call_timeout_s)

    async def probe(self) -> Vitals:
        """Make a round trip through the page."""
        hearing = self._config.hearing
        limits = {"quietMs": hearing.quiet_after_s * 1_000, "answerMs": hearing.answer_timeout_s * 1_000}
        seen = await self._calls.ask("vitals", limits, timeout_s=self._config.probe_timeout_s)
        heard = seen["hearing"] or {"traffic": None, "answered": None, "unheard": 0, "unheardMs": 0}
        return Vitals(
            seen["ready"],
            seen["state"] or "",
            seen["mode"] or "",
            heard["traffic"],
            server_answered=heard["answered"],
            unheard=heard["unheard"],
            unheard_for_ms=heard["unheardMs"],
        )

    async def ask_server(self) -> None:
        """Ask WhatsApp's server what it can always answer; returns once it did."""
        await self._calls.ask("askServer", timeout_s=self._config.hearing.answer_timeout_s)

    async def arm_fuse(self, left_s: float) -> None:
        """Let the page end by itself after this time and no sooner.

        Raises:
            PageUnresponsive: It does not answer.
        """
        calls = self._calls
        if self._fuse is None or calls.lifeline.failure is not None:
            return
        timeout_s = self._config.probe_timeout_s
        armed = await self._fuse.arm(calls.page, calls.lifeline, left_s=left_s, timeout_s=timeout_s)
        if not armed and self._observer.load is not None and calls.page.url == BLANK:
            self._page_ended(calls.lifeline, "its fuse ended it")

    async def screenshot(self) -> bytes:
        """Take a PNG that fits into a reply."""
        timeout_s = self._browser.call_timeout_s
        taking = screenshot.take(self._calls.page, timeout_s=timeout_s)
        return await self._calls.lifeline.call("screenshot", taking, timeout_s)

    async def logout(self) -> None:
        """Unlink this device."""
        try:
            await self._calls.run("logout", timeout_s=self._browser.call_timeout_s)
        except OperationFailed as exc:
            raise exc.as_failure() from exc


async def _happened(event: asyncio.Event) -> None:
    await event.wait()
