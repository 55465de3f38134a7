"""Which job is handled next, and when: mailbox, rate window and the one job in flight.

One job at a time. A job whose time passed is ended wherever it stands and in every live state; everything else waits
for READY, its turn and a place in the window. After a call in doubt its fate is asked for before anything else is sent:
should this owner die as well, one job at most is in doubt. Where the window is full, a job at the head is looked at
once without a place: one that was cancelled, or that an earlier attempt did send, must not wait for room that it does
not need. Pure.
"""

from actors.core.attempts import Settle, expired, rate_limited
from actors.core.mailbox import Held, Mailbox
from actors.core.rate_window import Defer, RateWindow
from actors.core.signals import Fate, Handled, HandleJob
from actors.messages.commands import RateLimit

UNAVAILABLE_PAUSE_S = 1.0
"""How long nothing is handled after a store did not answer."""


class Dispatcher:
    """Hands out the jobs of one session."""

    def __init__(self, limit: RateLimit, *, window_per_lane: int, paused: bool) -> None:
        self.mailbox = Mailbox(window_per_lane)
        self.window = RateWindow(limit)
        self.paused = paused
        self.active: HandleJob | None = None
        """The job in flight."""
        self._resume_at: float | None = None
        """Nothing is handled before it: a store did not answer."""
        self._room_at: float | None = None
        """When the window has room for the head."""
        self._reviewed: int | None = None
        """Sequence of the head that was looked at while the window was full."""
        self._in_doubt = 0
        """Calls that ended without an answer and whose page is not gone: each may send yet, and keeps its place."""
        self._doubted: Held | None = None
        """The job whose attempt is in doubt: its fate is asked for before anything else is sent, so there is one."""
        self._need_page: set[int] = set()
        """Expired jobs whose attempt only a ready page can look up; no more than the mailbox holds."""

    def begin(self, now: float, *, ready: bool) -> HandleJob | None:
        """Take the next job, if there is one for now."""
        self._room_at = None
        if self.active or (self._resume_at is not None and now < self._resume_at):
            return None
        self._resume_at = None
        if ready:
            self._need_page.clear()
        self.active = self._late_job(now, ready=ready)
        if ready and not self.active:
            self.active = self._doubted_job() or self._next_job(now)
        return self.active

    def end(self, handled: Handled, now: float) -> None:
        """Note how the handling of the job in flight ended."""
        active, self.active = self.active, None
        if active is None or active.held != handled.held:
            msg = f"job {handled.held.job.job_id} ended but was not in flight"
            raise AssertionError(msg)
        self._account(active, handled, now)
        if handled.fate is Fate.DOUBTED:
            self._doubted = handled.held
        elif handled.held == self._doubted and handled.fate in {Fate.FINISHED, Fate.NEEDS_SLOT}:
            self._doubted = None
        if handled.fate is Fate.FINISHED:
            self.mailbox.remove(handled.held)
            self._need_page.discard(handled.held.seq)
        elif handled.fate is Fate.NEEDS_PAGE:
            self._need_page.add(handled.held.seq)
        elif handled.fate is Fate.UNAVAILABLE:
            self._resume_at = now + UNAVAILABLE_PAUSE_S
        if handled.fate is not Fate.NEEDS_SLOT:
            self._reviewed = None

    def forget_queue(self) -> None:
        """Forget what was read of the log, the job in flight aside: it was cancelled there. Reading goes on."""
        self.mailbox.clear(keep=self.active.held if self.active else None)
        self.mailbox.wake(None)
        self._need_page.clear()
        self._reviewed = self._doubted = None

    def _account(self, active: HandleJob, handled: Handled, now: float) -> None:
        """Settle what the handling costs in the window."""
        if active.may_send and handled.may_still_send:
            self._in_doubt += 1
        else:
            if active.may_send:
                self.window.give_back()
            if handled.called:
                self.window.count(now)

    def page_gone(self, now: float) -> None:
        """Note that nothing of a former page can leave any more: calls in doubt ended now, at the latest."""
        while self._in_doubt:
            self._in_doubt -= 1
            self.window.release(now)

    def next_deadline(self) -> float | None:
        """Return when ``begin`` may have a job although nothing else happens."""
        if self.active or self._resume_at is not None:
            return self._resume_at
        due = (self._room_at, self.mailbox.next_expiry(self._need_page))
        return min((at for at in due if at is not None), default=None)

    def _late_job(self, now: float, *, ready: bool) -> HandleJob | None:
        held = self.mailbox.expired(now, self._need_page)
        if held is None:
            return None
        state = self.window.state(now)
        limited = ready and held.job.lane == "direct" and state.is_limited
        refusal = rate_limited(state.reset_in_s(now)) if limited else expired()
        return HandleJob(held, ready=ready, may_send=False, refusal=refusal)

    def _doubted_job(self) -> HandleJob | None:
        return HandleJob(self._doubted, ready=True, may_send=False) if self._doubted else None

    def _next_job(self, now: float) -> HandleJob | None:
        held = self.mailbox.head(paused=self.paused)
        if held is None:
            return None
        place = self.window.try_acquire(now)
        if not isinstance(place, Defer):
            return HandleJob(held, ready=True, may_send=True)
        refusal = self._impatience(held, place.until - now)
        if refusal or self._reviewed != held.seq:
            self._reviewed = held.seq
            return HandleJob(held, ready=True, may_send=False, refusal=refusal)
        self._room_at = place.until
        return None

    def _impatience(self, held: Held, wait_s: float) -> Settle | None:
        """Refuse a direct send that would rather fail than wait."""
        if held.job.lane == "direct" and held.job.on_limit == "reject":
            return rate_limited(wait_s)
        return None
