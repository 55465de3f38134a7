"""The way of one job, from the log to its outcome (DESIGN 7 "Job record").

What to do next is decided in ``core.attempts``; here it is done: the record is read, an attempt is written down before
its call, the page is called. Between any two of these steps the process may die: whoever comes next finds a record that
says how to go on. One job at a time; ending its handling (``abort``) is as safe as dying.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from actors.acks import AckBook
from actors.config import SessionConfig
from actors.core import attempts
from actors.core.attempts import Begin, Finished, Here, LookUp, RenewPage, Settle
from actors.core.facts import BrowserEnded, PageEnded
from actors.core.mailbox import Held
from actors.core.signals import Fate, Faulted, Handled, HandleJob, PageSilent, SessionInput
from actors.core.silences import Silences
from actors.deadlines import cancel, done_within
from actors.errors import (
    BrowserGone,
    MediaRejected,
    PageCrashed,
    PageRefused,
    PageUnresponsive,
    QuestionUnanswered,
    RecipientNotFound,
    SendFailed,
    Unavailable,
)
from actors.job_ledger import JobLedger
from actors.lease_keeper import LeaseKeeper
from actors.messages.jobs import Attempt, JobRecord
from actors.page_keeper import PageKeeper
from actors.ports import Chat, Clock, Found, Page, Prepared, Revised, Sent

T = TypeVar("T")
_ACK_POLL_S: Final = 1.0
"""How often the page is asked for the ack of a message it did not report as sent."""
_ASK_AGAIN_S: Final = (1.0, 3.0)
"""Waits before a question that the page answered with an error is asked again; the queue waits meanwhile."""
_RETURN_GRACE_S: Final = 2.0
"""How long a call may take to return after the server's ack: it does so at once, or never."""


@dataclass(slots=True)
class _Work:
    """The job in hand."""

    order: HandleJob
    page: Page | None
    losses: int
    """Lost connections before it began."""
    called: bool = False
    """Whether its message may have reached the server under this handling."""

    def ended(self, fate: Fate, failure: "PageSilent | PageEnded | BrowserEnded | None" = None) -> Handled:
        return Handled(self.order.held, fate, called=self.called, failure=failure)


class Sender:
    """Handles jobs, one at a time."""

    def __init__(
        self,
        ledger: JobLedger,
        *,
        keeper: PageKeeper,
        lease: LeaseKeeper,
        acks: AckBook,
        clock: Clock,
        config: SessionConfig,
        tell: Callable[[SessionInput], None],
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._ledger = ledger
        self._keeper = keeper
        self._lease = lease
        self._acks = acks
        self._clock = clock
        self._config = config
        self._tell = tell
        self._log = log
        self._silences = Silences()
        self._current: tuple[_Work, asyncio.Task[Handled]] | None = None

    def begin(self, order: HandleJob) -> None:
        """Handle a job; how it ended is told."""
        work = _Work(order, self._keeper.page, self._keeper.losses)
        task = asyncio.create_task(self._handle(work), name=f"job:{order.held.job.job_id}")
        self._current = (work, task)
        task.add_done_callback(lambda done: self._ended(work, done))

    async def abort(self, grace_s: float) -> Handled | None:
        """End the handling in hand, after a grace, and return how far it came."""
        if self._current is None:
            return None
        work, task = self._current
        if grace_s:
            await done_within(self._clock, grace_s, task)
        if self._current is None:
            return None
        self._current = None
        await cancel(task)
        self._acks.settled()
        # A job that was not called yet is as it was; one that was called is in doubt.
        return work.ended(Fate.DOUBTED if work.called else Fate.UNAVAILABLE)

    async def settle_doubts(self) -> None:
        """Ask a ready page, before its login ends, about messages that may have left; what it can't tell stays open.

        Raises:
            Unavailable: A store did not answer.
        """
        for found, record in await self._ledger.in_hand():
            if record.attempts:
                held = Held(found.seq, found.job, math.inf)
                order = HandleJob(held, ready=True, may_send=False, refusal=attempts.cancelled())
                await self._handle(_Work(order, self._keeper.page, self._keeper.losses))

    def _ended(self, work: _Work, task: "asyncio.Task[Handled]") -> None:
        if self._current is None or self._current[1] is not task:
            return
        self._current = None
        self._acks.settled()
        if not task.cancelled() and (error := task.exception()):
            self._log.error("Job %s: handling failed", work.order.held.job.job_id, exc_info=error)
            self._tell(work.ended(Fate.UNAVAILABLE))
            self._tell(Faulted("internal_error"))
        else:
            self._tell(work.ended(Fate.UNAVAILABLE) if task.cancelled() else task.result())

    async def _handle(self, work: _Work) -> Handled:
        try:
            return work.ended(await self._bring(work))
        except Unavailable as exc:
            self._log.warning("Job %s waits: %s", work.order.held.job.job_id, exc)
            return work.ended(Fate.UNAVAILABLE)
        except (PageUnresponsive, QuestionUnanswered, PageRefused) as exc:
            silence = PageSilent(exc.code, answers_others=isinstance(exc, QuestionUnanswered))
            return work.ended(self._broken(work), silence)
        except PageCrashed as exc:
            return work.ended(self._broken(work), PageEnded(exc.code))
        except BrowserGone as exc:
            return work.ended(self._broken(work), BrowserEnded(exc.code))

    def _broken(self, work: _Work) -> Fate:
        return Fate.DOUBTED if work.called else Fate.NEEDS_PAGE

    async def _bring(self, work: _Work) -> Fate:
        """Bring a job as far as it may go now."""
        order = work.order
        stored = await self._ledger.load(order.held.job, order.held.seq)
        if stored.value.body_hash != order.held.job.body_hash:
            # A repeated key with another body: refused by the gateway, stored where JetStream had forgotten the first.
            await self._ledger.drop(order.held.seq)
            return Fate.FINISHED
        verdict = attempts.review(stored.value, order.refusal)
        if isinstance(verdict, Finished):
            await self._ledger.finish(order.held.seq, stored.value)
            return Fate.FINISHED
        if not isinstance(verdict, LookUp):
            return await self._follow(work, stored, verdict)
        if not order.ready:
            return Fate.NEEDS_PAGE
        try:
            found = await self._asked(work, lambda: self._look_up(work, verdict.attempt))
        except PageRefused as exc:
            # Every further page would answer so, and the job would hold the queue for good.
            return await self._settle(work, stored, attempts.unconfirmed(f"it can't be looked up ({exc.message})"))
        verdict_now = attempts.after_lookup(
            stored.value,
            found.ack if found else None,
            self._here(),
            refusal=order.refusal,
            max_attempts=self._config.max_send_attempts,
        )
        return await self._follow(work, stored, verdict_now, found)

    async def _follow(
        self,
        work: _Work,
        stored: Revised[JobRecord],
        verdict: Settle | RenewPage | Begin,
        found: Found | None = None,
    ) -> Fate:
        match verdict:
            case Settle():
                return await self._settle(work, stored, verdict, found)
            case RenewPage():
                return Fate.DOUBTED
            case Begin():
                return await self._attempt(work, stored, verdict) if work.order.may_send else Fate.NEEDS_SLOT

    async def _attempt(self, work: _Work, stored: Revised[JobRecord], begin: Begin) -> Fate:
        """Get everything ready, then send."""
        page, job = self._page(work), work.order.held.job
        prepared: Prepared | None = None
        try:
            prepared = await page.prepare(job.content)
            chat = await self._asked(work, lambda: page.resolve(job.address))
        except (MediaRejected, RecipientNotFound) as exc:
            return await self._settle(work, stored, attempts.refuse(attempts.failed(exc), in_doubt=begin.in_doubt))
        except PageRefused as exc:
            error = SendFailed(f"no chat with {job.address} can be opened: {exc.message}", exc.details)
            return await self._settle(work, stored, attempts.refuse(attempts.failed(error), in_doubt=begin.in_doubt))
        else:
            return await self._send(work, stored, begin, prepared, chat)
        finally:
            if prepared and prepared.path:
                await page.discard(prepared)

    async def _asked(self, work: _Work, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask the page something about a job.

        Raises:
            PageUnresponsive: It does not answer.
            QuestionUnanswered: It does not answer this.
            PageRefused: It answers with an error, or page after page answered others but not this.
        """
        seq = work.order.held.seq
        try:
            answer = await self._insisted(ask)
        except PageUnresponsive as exc:
            if not await self._answers_others(work):
                raise
            if self._silences.add(seq):
                raise PageRefused(f"{exc.message}; it was asked in several browsers", exc.details) from exc
            self._log.warning("%s, but WhatsApp's server answers: a new browser is asked", exc)
            raise QuestionUnanswered(exc.message, exc.details) from exc
        self._silences.forget(seq)
        return answer

    async def _answers_others(self, work: _Work) -> bool:
        """Tell whether a page that was silent is well, and its line was all the time."""
        try:
            await self._page(work).ask_server()
        except (PageUnresponsive, PageRefused):
            return False
        return work.losses == self._keeper.losses

    async def _insisted(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, and where the answer is an error again, since some pass."""
        for pause_s in _ASK_AGAIN_S:
            try:
                return await ask()
            except PageRefused as exc:
                self._log.warning("%s; asking again in %g s", exc, pause_s)
                await self._clock.sleep(pause_s)
        return await ask()

    async def _send(
        self, work: _Work, stored: Revised[JobRecord], begin: Begin, prepared: Prepared, chat: Chat
    ) -> Fate:
        """Write the attempt down, then make the call."""
        held, here = work.order.held, self._here()
        if self._clock.monotonic() >= held.expires_at:
            return await self._settle(work, stored, attempts.refuse(attempts.expired(), in_doubt=begin.in_doubt))
        attempt = Attempt(
            n=begin.n,
            epoch=here.epoch,
            generation=here.generation,
            full_key=chat.full_key(held.job.message_id),
            chat_id=chat.chat_id,
            page=here.page,
            in_doubt=begin.in_doubt,
        )
        # Asked twice: writing the attempt down may take long, and no send begins on a lease that may be over.
        written = await self._ledger.begin_attempt(held, stored, attempt) if self._lease.may_send() else None
        if written is None or not self._lease.may_send():
            return Fate.UNAVAILABLE
        self._acks.sending(attempt.full_key, held.job.job_id)
        return await self._call(work, written, prepared, chat)

    async def _call(self, work: _Work, written: Revised[JobRecord], prepared: Prepared, chat: Chat) -> Fate:
        """Call the page and see what came of it."""
        page, attempt = self._page(work), written.value.attempts[-1]
        timeout_s = self._config.send_timeout_s
        if prepared.content.kind == "media":
            timeout_s = self._config.media_send_timeout_s
        give_up_at = self._clock.monotonic() + timeout_s
        work.called = True
        try:
            sent = await self._returned(
                page.send(prepared, chat, attempt.full_key, timeout_s=timeout_s), attempt.full_key
            )
        except PageUnresponsive:
            # Silent for this call only, for this chat, or altogether? The lookup tells, and raises in the last cases.
            return await self._conclude(work, written, await self._asked(work, lambda: self._look_up(work, attempt)))
        except SendFailed as exc:
            return await self._refused(work, written, exc)
        if sent.ack == attempts.ACK_REFUSED:
            return await self._refused(work, written, _refusal(sent))
        found: Found | None = Found(sent.message_id, sent.ack)
        while found and found.ack == 0 and self._clock.monotonic() < give_up_at:
            await self._clock.sleep(_ACK_POLL_S)
            found = await self._look_up(work, attempt)
        return await self._conclude(work, written, found)

    async def _returned(self, calling: Coroutine[Any, Any, Sent], full_key: str) -> Sent:
        """Await the call, but not for long once the server's ack came by itself.

        wa-js 4.6 never returns from a file that is sent again under an id the page holds: it waits for the message to
        appear, which it did long ago. Its 120 s would hold the whole queue.
        """
        call, acked = asyncio.create_task(calling), asyncio.create_task(self._acks.acked())
        try:
            await asyncio.wait({call, acked}, return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                await done_within(self._clock, _RETURN_GRACE_S, call)
            return call.result() if call.done() else Sent(full_key, attempts.ACK_SENT)
        finally:
            await cancel(call, acked)

    async def _conclude(self, work: _Work, written: Revised[JobRecord], found: Found | None) -> Fate:
        """Take what the page knows of a message after its call; without an ack it is in doubt."""
        if found and found.ack >= attempts.ACK_SENT:
            return await self._settle(work, written, Settle("sent"), found)
        if found and found.ack == attempts.ACK_REFUSED:
            return await self._refused(work, written, _refusal(found))
        return Fate.DOUBTED

    async def _refused(self, work: _Work, written: Revised[JobRecord], error: SendFailed) -> Fate:
        last = written.value.attempts[-1]
        found = await self._look_up(work, last) if last.n > 1 else None
        settle = attempts.after_refusal(last, found.ack if found else None, error)
        return await self._settle(work, written, settle, found)

    async def _look_up(self, work: _Work, attempt: Attempt) -> Found | None:
        job = work.order.held.job
        found = await self._page(work).lookup(attempt.full_key, job.message_id, job.address)
        if found and found.ack >= attempts.ACK_SENT and attempt.epoch != self._keeper.epoch:
            # A former owner sent it, nobody knows when: it counts in the window as sent now (promise 3).
            work.called = True
        return found

    async def _settle(
        self, work: _Work, stored: Revised[JobRecord], settle: Settle, found: Found | None = None
    ) -> Fate:
        sent_key = found.message_id if found and settle.outcome == "sent" else None
        record = await self._ledger.settle(work.order.held, stored, settle, sent_key=sent_key)
        if record.error:
            self._log.info("Job %s %s: %s", record.job_id, record.status, record.error.message)
        return Fate.FINISHED

    def _here(self) -> Here:
        return Here(self._keeper.epoch, self._keeper.generation, self._keeper.page_number)

    def _page(self, work: _Work) -> Page:
        if work.page is None:
            raise BrowserGone("the browser is gone")
        return work.page


def _refusal(answer: Sent | Found) -> SendFailed:
    error = answer.error if isinstance(answer, Sent) else None
    return SendFailed("WhatsApp refused the message", {"error": error})
