"""The one place that holds a session's page: opens, reloads and closes it, one step after the other.

Facts of former pages are dropped here, pages are counted (an attempt of an older page can no longer send), and whatever
ends a page first ends the handling of a job in it. A step that brings a page up is cancelled by one that takes it down;
steps that take it down have deadlines of their own and end with a kill.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from actors.core import signals
from actors.core.facts import ConnectionLost, Fact
from actors.core.signals import PageEffect, SessionInput
from actors.deadlines import cancel, within
from actors.errors import PageFailure, Unavailable, WafleetError
from actors.ports import Browser, Clock, OpenRequest, Page
from actors.profile_keeper import ProfileKeeper

_CLOSE_TIMEOUT_S: Final = 10.0
"""Past it the process tree is killed; the adapter's own deadline is shorter."""
_DOUBTS_TIMEOUT_S: Final = 5.0
_LOGOUT_TIMEOUT_S: Final = 10.0
_LOGOUT_GRACE_S: Final = 5.0
"""How long a send in flight may take to end before the login does."""
_QUARANTINE_TIMEOUT_S: Final = 10.0
_COMES_UP: Final = (signals.OpenBrowser, signals.ReloadPage, signals.RefreshQr, signals.RequestCode)
"""Steps that are pointless once the page is to go."""
_EndOfLogin = signals.SettleDoubts | signals.LogOut | signals.Quarantine | signals.CancelJobs
_WITHOUT_LEASE: Final = (signals.CloseBrowser, signals.End)
"""Steps that touch nothing of a next owner's."""


@dataclass(frozen=True, slots=True)
class _NoteHead:
    """Write down which copy of the profile is the newest, after the page told of a change."""


class JobAborter(Protocol):
    """Ends the handling of a job."""

    async def __call__(self, grace_s: float) -> signals.Handled | None:
        """End it after a grace and return how far it came; None if there is none."""
        ...


class PageKeeper:
    """Carries out what the core asks of the browser."""

    def __init__(
        self,
        request: OpenRequest,
        *,
        browser: Browser,
        profiles: ProfileKeeper,
        clock: Clock,
        abort_job: JobAborter,
        settle_doubts: Callable[[], Coroutine[Any, Any, None]],
        cancel_jobs: Callable[[], Awaitable[None]],
        end: Callable[[signals.End], Awaitable[None]],
        before_open: Callable[[], Awaitable[None]],
        on_opened: Callable[[Page], None],
        tell: Callable[[SessionInput], None],
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        """Prepare to hold a page.

        Args:
            request: What the browser is opened with.
            browser: Opens it.
            profiles: Brings the newest copy of the profile here before each launch, and keeps its snapshots.
            clock: Own time.
            abort_job: Ends the handling of a job before its page goes.
            settle_doubts: Asks the page about messages that may have left.
            cancel_jobs: Ends every job of the log as cancelled.
            end: Ends the actor.
            before_open: Awaited before each launch.
            on_opened: Told of every new browser.
            tell: Takes facts and failures.
            log: Where trouble is written.
        """
        self._request = request
        self._browser = browser
        self._profiles = profiles
        self._clock = clock
        self._abort_job = abort_job
        self._settle_doubts = settle_doubts
        self._cancel_jobs = cancel_jobs
        self._end = end
        self._before_open = before_open
        self._on_opened = on_opened
        self._tell = tell
        self._log = log
        self._steps: deque[PageEffect | _NoteHead] = deque()
        self._stirred = asyncio.Event()
        self._current: tuple[PageEffect | _NoteHead, asyncio.Task[None]] | None = None
        self._life = 0
        """Counts browsers: facts of an older one are dropped."""
        self.renewals = 0
        """Counts what was begun to get another page: what was asked of the page before says nothing about the next."""
        self.losses = 0
        """Counts lost connections: the answer to what was asked before one may have gone with it."""
        self._earlier_pages = 0
        """Pages of all earlier browsers of this owner."""
        self._closing: Page | None = None
        self._abandoned = False
        self.gave_up_logout = False
        """Whether a step of a logout was not carried out, for want of a lease."""
        self.page: Page | None = None
        self.epoch = 0

    @property
    def page_number(self) -> int:
        """Count of page loads in the owner's life."""
        return self._earlier_pages + (self.page.page_number if self.page else 0)

    @property
    def generation(self) -> str:
        """Id of the profile's content; asked anew each time, since a login's end renews it under a running browser."""
        return self._browser.generation()

    def request(self, step: PageEffect) -> None:
        """Queue a step; one that takes the page down ends those that bring it up."""
        if self._abandoned and not isinstance(step, _WITHOUT_LEASE):
            self._drop(step)
            return
        if isinstance(step, signals.CloseBrowser | signals.LogOut):
            # Its facts are over now, not when the browser is closed at last.
            self._life += 1
            self._steps = deque(waiting for waiting in self._steps if not isinstance(waiting, _COMES_UP))
            if self._current and isinstance(self._current[0], _COMES_UP):
                self._current[1].cancel()
        self._steps.append(step)
        self._stirred.set()

    async def run(self) -> None:
        """Carry out steps until ``End``."""
        while True:
            while self._steps:
                step = self._steps.popleft()
                task = asyncio.create_task(self._carry_out(step), name=f"page:{type(step).__name__}")
                self._current = (step, task)
                try:
                    await asyncio.wait({task})
                finally:
                    await cancel(task)
                self._current = None
                if not task.cancelled() and task.exception():
                    self._log.error("%s failed", type(step).__name__, exc_info=task.exception())
                    self._tell(signals.Faulted("internal_error"))
                if isinstance(step, signals.End):
                    return
            self._stirred.clear()
            await self._stirred.wait()

    def abandon(self) -> None:
        """Give up whatever takes long: the lease is lost, nothing may be touched any more."""
        self._abandoned = True
        if self._current and not isinstance(self._current[0], _WITHOUT_LEASE):
            self._drop(self._current[0])
            self._current[1].cancel()
        waiting, self._steps = self._steps, deque()
        for step in waiting:
            if isinstance(step, _WITHOUT_LEASE):
                self._steps.append(step)
            else:
                self._drop(step)

    def _drop(self, step: PageEffect | _NoteHead) -> None:
        self.gave_up_logout = self.gave_up_logout or isinstance(step, _EndOfLogin)

    def kill(self) -> None:
        """Kill the browser's process tree at once."""
        for page in (self.page, self._closing):
            if page:
                page.kill()

    async def _carry_out(self, step: PageEffect | _NoteHead) -> None:
        match step:
            case signals.OpenBrowser(distrust):
                await self._open(distrust)
            case signals.ReloadPage():
                await self._reload()
            case signals.CloseBrowser():
                await self._close()
            case signals.RefreshQr() | signals.RequestCode():
                await self._ask_for_pairing(step)
            case signals.SettleDoubts() | signals.LogOut() | signals.Quarantine() | signals.CancelJobs():
                await self._end_login(step)
            case _NoteHead():
                await self._profiles.note_head()
            case signals.End():
                try:
                    await self._profiles.copy_stopped()
                    await self._let_go()
                finally:
                    await self._end(step)

    async def _end_login(self, step: _EndOfLogin) -> None:
        match step:
            case signals.SettleDoubts():
                await self._ask_a_last_time()
            case signals.LogOut():
                await self._log_out()
            case signals.Quarantine():
                await self._quarantine()
            case signals.CancelJobs():
                await self._cancel_jobs()
                self._tell(signals.JobsCancelled())

    async def _open(self, distrust: str | None) -> None:
        life = self._life = self._life + 1
        self.renewals += 1
        try:
            self._tell(await self._profiles.prepare(self.epoch, distrust))
            await self._before_open()
            self.page = await self._browser.open(self._request, lambda fact: self._hear(fact, life))
        except (PageFailure, Unavailable) as exc:
            self._log.warning("Browser not opened: %s", exc)
            if life == self._life:
                self._tell(signals.OpenFailed(exc.code))
            return
        except OSError as exc:
            self._log.error("The profile cannot be used (%s); check WHATSAPP_SESSION_PATH and the free space", exc)
            if life == self._life:
                self._tell(signals.OpenFailed("profile_unusable"))
            return
        self._on_opened(self.page)

    async def _reload(self) -> None:
        life, gone = self._life, False
        self.renewals += 1
        handled = await self._abort_job(0)
        try:
            if self.page:
                await self.page.reload()
            gone = True
        except PageFailure as exc:
            self._log.warning("Page not reloaded: %s", exc)
            if life == self._life:
                self._tell(signals.OpenFailed(exc.code))
        finally:
            self._return_job(handled, gone=gone)

    async def _close(self) -> None:
        self.renewals += 1
        handled = await self._abort_job(0)
        page, self.page = self.page, None
        self._closing = page
        try:
            if page:
                self._earlier_pages += page.page_number
                await within(self._clock, _CLOSE_TIMEOUT_S, page.close())
        except TimeoutError:
            self._log.error("Browser did not close in time and is killed")
            self.kill()
        finally:
            self._closing = None
            self._return_job(handled, gone=True)

    async def _ask_for_pairing(self, step: signals.RefreshQr | signals.RequestCode) -> None:
        if self.page is None:
            return
        try:
            if isinstance(step, signals.RefreshQr):
                await self.page.refresh_qr()
            else:
                await self.page.request_code(step.phone_number)
        except WafleetError as exc:
            # A page that is gone says so by itself; one that is slow is asked again by the core's timer.
            self._log.warning("Pairing: %s", exc)

    async def _ask_a_last_time(self) -> None:
        self._return_job(await self._abort_job(_LOGOUT_GRACE_S), gone=False)
        try:
            await within(self._clock, _DOUBTS_TIMEOUT_S, self._settle_doubts())
        except (Unavailable, TimeoutError) as exc:
            self._log.warning("What may have left is called unconfirmed, the page was not asked to the end: %s", exc)

    async def _log_out(self) -> None:
        self._return_job(await self._abort_job(_LOGOUT_GRACE_S), gone=False)
        if self.page is None:
            return
        try:
            await within(self._clock, _LOGOUT_TIMEOUT_S, self.page.logout())
        except (WafleetError, TimeoutError) as exc:
            self._log.warning("Not logged out on WhatsApp, remove the device on the phone: %s", exc)

    async def _quarantine(self) -> None:
        try:
            await within(self._clock, _QUARANTINE_TIMEOUT_S, self._browser.quarantine())
        except (WafleetError, TimeoutError, OSError) as exc:
            self._log.error("Profile not moved aside: %s", exc)
        await self._profiles.retire(self.epoch)

    async def _let_go(self) -> None:
        """Let go what was kept for the next page: none comes, and who hears of the end finds no process left."""
        try:
            await within(self._clock, _CLOSE_TIMEOUT_S, self._browser.close())
        except TimeoutError:
            self._log.error("What is kept between browsers was not let go in time")

    def _return_job(self, handled: signals.Handled | None, *, gone: bool) -> None:
        """Give the job back only now: until its page was gone, its message might still have left."""
        if handled:
            self._tell(replace(handled, page_gone=gone))

    def _hear(self, fact: Fact, life: int) -> None:
        if life != self._life:
            return
        self.losses += isinstance(fact, ConnectionLost)
        if self._profiles.hear(fact):
            self._steps.append(_NoteHead())
            self._stirred.set()
        self._tell(fact)
