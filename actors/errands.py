"""Short work beside the loop: reading the job log, probing the page, weighing the processes.

Each errand ends in one input for the core. Few run at once: one read a lane, one probe, one weighing. What escapes an
errand is a bug; it is told to whoever sent it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from actors.core import signals
from actors.core.facts import BrowserEnded, PageEnded
from actors.core.mailbox import Held, Read
from actors.core.signals import SessionInput
from actors.deadlines import cancel, within
from actors.errors import BrowserGone, PageCrashed, PageRefused, PageUnresponsive, Unavailable
from actors.page_keeper import PageKeeper
from actors.ports import Clock, JobLog, Page

_ANEW_S: Final = 5.0
"""Longer than a page needs to load itself anew as far as its first script."""
_WEIGHING_TIMEOUT_S: Final = 10.0


class Errands:
    """Runs the errands of one session."""

    def __init__(
        self,
        *,
        jobs: JobLog,
        keeper: PageKeeper,
        arm_fuse: Callable[[], Coroutine[Any, Any, None]],
        clock: Clock,
        probe_timeout_s: float,
        weigh: Callable[[], Coroutine[Any, Any, int | None]],
        tell: Callable[[SessionInput], None],
        on_broken: Callable[[], None],
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._jobs = jobs
        self._keeper = keeper
        self._arm_fuse = arm_fuse
        self._clock = clock
        self._probe_timeout_s = probe_timeout_s
        self._weigh_all = weigh
        self._tell = tell
        self._on_broken = on_broken
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._probing = False
        self._arming = False
        self._weighing = False

    def send(self, errand: Coroutine[Any, Any, None]) -> None:
        """Let an errand run; a bug in it is logged and told."""
        task = asyncio.create_task(errand)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def read(self, read: Read) -> None:
        """Read jobs from the log."""
        self.send(self._read(read))

    def probe(self) -> None:
        """Make a round trip through the page, unless one is under way."""
        page = self._keeper.page
        if page and not self._probing:
            self._probing = True
            self.send(self._probe(page))

    def arm(self) -> None:
        """Move the fuse of the page on, unless that is under way."""
        if not self._arming:
            self._arming = True
            self.send(self._arm(self._keeper.page))

    def weigh(self) -> None:
        """Measure what the session's processes hold, unless that is under way."""
        if not self._weighing:
            self._weighing = True
            self.send(self._weigh())

    async def close(self) -> None:
        """End all errands."""
        await cancel(*self._tasks)

    async def _read(self, read: Read) -> None:
        try:
            stored = await self._jobs.read(read.lane, read.after_seq, read.limit)
        except Unavailable as exc:
            self._log.info("Jobs not read: %s", exc)
            self._tell(signals.ReadFailed(read.lane))
            return
        # Deadlines are monotonic inside a process: a step of the machine's clock must not expire a queue.
        offset = self._clock.monotonic() - self._clock.now().timestamp()
        jobs = [Held(found.seq, found.job, found.job.expires_at.timestamp() + offset) for found in stored]
        self._tell(signals.JobsRead(read, jobs))

    async def _probe(self, page: Page) -> None:
        asked_of = self._asked_of()
        try:
            vitals = await within(self._clock, self._probe_timeout_s, page.probe())
            found: SessionInput = signals.Probed(
                vitals.ready,
                f"probe: socket {vitals.socket_state}",
                server_answered=vitals.server_answered,
                unheard=vitals.unheard,
                unheard_for_s=vitals.unheard_for_ms / 1_000,
            )
        except (PageUnresponsive, PageRefused, TimeoutError):
            found = signals.PageSilent("probe_timeout")
        except PageCrashed as exc:
            # A renderer's end is told by the page at once; a page that loads itself anew says hello meanwhile.
            await self._clock.sleep(_ANEW_S)
            found = PageEnded(exc.code)
        except BrowserGone as exc:
            found = BrowserEnded(exc.code)
        finally:
            self._probing = False
        if asked_of == self._asked_of():
            self._tell(found)

    def _asked_of(self) -> tuple[int, int]:
        """Name the page that a question goes to: neither loaded anew since nor about to be."""
        return self._keeper.renewals, self._keeper.page_number

    async def _arm(self, page: Page | None) -> None:
        asked_of = self._asked_of()
        try:
            await within(self._clock, self._probe_timeout_s, self._arm_fuse())
        except (PageUnresponsive, TimeoutError):
            if page is self._keeper.page and asked_of == self._asked_of():
                self._tell(signals.PageSilent("probe_timeout"))
        finally:
            self._arming = False

    async def _weigh(self) -> None:
        number = self._keeper.page_number
        try:
            held = await within(self._clock, _WEIGHING_TIMEOUT_S, self._weigh_all())
        except TimeoutError:
            # A machine that swaps answers late; the next look comes in a minute.
            self._log.warning("Memory not measured within %g s", _WEIGHING_TIMEOUT_S)
            return
        finally:
            self._weighing = False
        if held is not None and number == self._keeper.page_number:
            self._tell(signals.Weighed(held))

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._log.error("Broken in %s", task.get_name(), exc_info=error)
            self._on_broken()
