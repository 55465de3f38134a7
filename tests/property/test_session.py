"""A session core under everything that may happen, in any order.

After every step: each accepted job is finished, waits in the mailbox or is still to be read; at most one job in flight;
every live state but READY waits for a deadline; the window holds no more than its limit; no job is handled for sending
outside READY, before its turn in its lane, or after its end. At the end a session that still lives is left to work in
peace: no job that was accepted is forgotten.
"""

import itertools
from random import Random
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.config import SessionConfig
from actors.core import lifecycle, signals
from actors.core.facts import (
    AccountBlocked,
    AckChanged,
    ActionNeeded,
    BrowserEnded,
    CodeShown,
    ConnectionLost,
    Fact,
    Linked,
    PageEnded,
    QrIdle,
    QrShown,
    SendStranded,
    Synced,
    Unlinked,
)
from actors.core.lifecycle import State
from actors.core.session import SessionCore
from actors.core.signals import Fate, SessionEffect, SessionInput
from actors.messages.commands import RateLimit
from actors.messages.jobs import LANES, LaneName
from tests.unit.core.jobs import desired, held

if TYPE_CHECKING:
    from actors.core.mailbox import Held

LIMIT = RateLimit(max_messages=3, window_ms=10_000)
WID = "6281111111111@c.us"
OTHER_WID = "6282222222222@c.us"
HAPPY: list[Fact] = [Linked(WID, None), Synced(WID, None)]
FACTS: list[Fact] = [
    *HAPPY, Linked(OTHER_WID, None), Synced(OTHER_WID, None), QrShown("2@", 1, 20.0), QrIdle(),
    CodeShown("ABCD", "+62", 180.0), ConnectionLost("x"), ActionNeeded("x"), PageEnded("x"), BrowserEnded("x"),
    AckChanged(("x",), "c", 2), SendStranded("x"),
]  # fmt: skip
ENDS: list[SessionInput] = [
    Unlinked("x"), AccountBlocked("x"), signals.Logout(), signals.Faulted("x"), signals.Stop("x"),
    signals.Stop("x", drain=False),
]  # fmt: skip
DEAF = signals.Probed(ready=True, reason="", server_answered=False)
STUCK = signals.Probed(ready=True, reason="", unheard=9, unheard_for_s=600.0)
_PEACE_ROUNDS = 400
"""Of a second each: several polls of the log, and time in the window for more jobs than 40 steps accept."""
ODD = signals.PageSilent("x", answers_others=True)
FAILURES = [None, PageEnded("x"), BrowserEnded("x"), signals.PageSilent("x"), ODD]


class Sessions(RuleBasedStateMachine):
    """One core, a job log, and a hand that does whatever it likes."""

    def __init__(self) -> None:
        super().__init__()
        wanted = desired(rate_limit=LIMIT)
        self.core = SessionCore(wanted, SessionConfig(window_per_lane=4), Random(7))  # noqa: S311
        self.now = 0.0
        self.log: dict[int, Held] = {}
        self.accepted = 0
        """How many jobs; also the last one's sequence."""
        self.finished: set[int] = set()
        self.reads: list[signals.ReadJobs] = []
        self.active: signals.HandleJob | None = None
        self.sends: list[float] = []
        self.hanging = 0
        """Calls in doubt that will leave at the last moment, when their page goes."""
        self.ends = 0
        self.cancelling = False
        self.say(signals.Start())

    def say(self, item: SessionInput) -> None:
        for effect in self.core.handle(item, self.now):
            self.carry_out(effect)

    def carry_out(self, effect: SessionEffect) -> None:
        match effect:
            case signals.ReadJobs():
                assert effect.read.limit >= 1
                self.reads.append(effect)
            case signals.HandleJob():
                self.begin(effect)
            case signals.CancelJobs():
                self.cancelling = True
            case signals.ReloadPage() | signals.CloseBrowser():
                self.sends += [self.now] * self.hanging
                self.hanging = 0
            case signals.End():
                self.ends += 1

    def begin(self, order: signals.HandleJob) -> None:
        assert self.active is None, "two jobs in flight"
        assert not self.cancelling, "a job of the former number is handed out"
        assert order.held.seq not in self.finished, "a finished job is handled again"
        assert self.core.state is State.READY or (order.refusal and not order.ready)
        if order.may_send:
            lane = order.held.job.lane
            earlier = [seq for seq, job in self.log.items() if job.job.lane == lane and seq < order.held.seq]
            assert not earlier, "sent before its turn"
        self.active = order

    @rule(
        lane=st.sampled_from(LANES),
        expires_in_s=st.sampled_from([1.0, 20.0, 1e6]),
        impatient=st.booleans(),
        wake=st.booleans(),
    )
    def accept(self, lane: LaneName, expires_in_s: float, *, impatient: bool, wake: bool) -> None:
        self.accepted += 1
        job = held(self.accepted, lane, expires_at=self.now + expires_in_s, on_limit="reject" if impatient else "wait")
        self.log[job.seq] = job
        if wake:
            self.say(signals.Woken(lane))

    @precondition(lambda self: self.reads)
    @rule(fails=st.booleans())
    def read(self, *, fails: bool) -> None:
        read = self.reads.pop(0).read
        if fails:
            self.say(signals.ReadFailed(read.lane))
            return
        jobs = [job for seq, job in sorted(self.log.items()) if job.job.lane == read.lane and seq > read.after_seq]
        self.say(signals.JobsRead(read, jobs[: read.limit]))

    @precondition(lambda self: self.cancelling)
    @rule()
    def queue_is_cancelled(self) -> None:
        """End every job but the one in hand, which has a hand of its own."""
        kept = {self.active.held.seq} if self.active else set()
        gone = [seq for seq in self.log if seq not in kept]
        self.finished.update(gone)
        for seq in gone:
            del self.log[seq]
        self.cancelling = False
        self.say(signals.JobsCancelled())

    @precondition(lambda self: self.active)
    @rule(
        fate=st.sampled_from(Fate),
        takes_s=st.sampled_from([0.0, 0.5, 5.0]),
        failure=st.sampled_from(FAILURES),
        late=st.booleans(),
    )
    def end_job(
        self, fate: Fate, takes_s: float, failure: PageEnded | BrowserEnded | signals.PageSilent | None, *, late: bool
    ) -> None:
        order, self.active = self.active, None
        assert order is not None
        called = order.may_send and fate in {Fate.FINISHED, Fate.DOUBTED}
        if order.refusal and fate is Fate.NEEDS_SLOT:
            fate = Fate.FINISHED
        if called and late and fate is Fate.DOUBTED:
            self.hanging += 1
        elif called:
            self.sends.append(self.now)
        self.now += takes_s
        if fate is Fate.FINISHED:
            self.finished.add(order.held.seq)
            del self.log[order.held.seq]
        broken = failure if fate in {Fate.DOUBTED, Fate.NEEDS_PAGE} else None
        if fate is Fate.NEEDS_PAGE and order.ready and broken is None:
            broken = BrowserEnded("x")
        self.say(signals.Handled(order.held, fate, called=called, failure=broken))

    @rule(fact=st.sampled_from(FACTS))
    def page_tells(self, fact: Fact) -> None:
        self.say(fact)

    @rule()
    def page_comes_up(self) -> None:
        for fact in HAPPY:
            self.say(fact)

    @rule(seconds=st.sampled_from([0.1, 1.0, 6.0, 31.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(10_000):
            due = self.core.next_deadline()
            if due is None or due > until:
                self.now = until
                return
            self.now = max(self.now, due)
            self.say(signals.Tick())
        raise AssertionError("the core waits for a moment that does not pass")

    @rule(paused=st.booleans())
    def pause(self, *, paused: bool) -> None:
        self.say(signals.Pause(paused))

    @rule(item=st.sampled_from([signals.Restart(), signals.OpenFailed("x"), signals.PageSilent("x"),
                                signals.Probed(ready=False, reason="x"), DEAF, STUCK, signals.Weighed(10**12),
                                signals.Weighed(1), signals.Woken(None)]))  # fmt: skip
    def something_else_happens(self, item: SessionInput) -> None:
        self.say(item)

    @precondition(lambda self: self.accepted >= 5)
    @rule(item=st.sampled_from(ENDS))
    def something_ends_it(self, item: SessionInput) -> None:
        self.say(item)

    @invariant()
    def the_mailbox_holds_a_bounded_part_of_the_log(self) -> None:
        if not self.cancelling and not self.core.ended:
            assert len(self.core.dispatcher.mailbox) <= min(len(self.log), 4 * len(LANES))

    @invariant()
    def what_was_accepted_is_finished_or_waits(self) -> None:
        if self.cancelling or self.core.ended:
            return
        lanes = self.core.dispatcher.mailbox._lanes
        waiting = [one.seq for lane in lanes.values() for one in lane.window]
        unread = [seq for seq, job in self.log.items() if seq > lanes[job.job.lane].cursor]
        assert sorted(waiting + unread) == sorted(self.log)
        assert self.accepted == len(self.finished) + len(waiting) + len(unread)

    @invariant()
    def a_live_session_waits_for_something(self) -> None:
        if self.core.ended:
            assert self.core.state in lifecycle.FINAL
            assert self.ends == 1
            assert self.core.next_deadline() is None
        else:
            assert self.core.state in lifecycle.LIVE
            assert self.core.next_deadline() is not None
            assert self.core.state is State.READY or self.core._machine.next_deadline() is not None

    @invariant()
    def no_span_holds_more_than_the_limit(self) -> None:
        span = LIMIT.window_ms / 1000
        for first in self.sends[-20:]:
            assert sum(first <= at < first + span for at in self.sends) <= LIMIT.max_messages

    def teardown(self) -> None:
        self.work_in_peace()
        if not self.core.ended:
            assert not self.log, f"accepted and forgotten: {sorted(self.log)}"
            self.say(signals.Stop("end", drain=False))
        assert self.core.ended

    def work_in_peace(self) -> None:
        """Let a session send what it has: page and log do what they are asked for, and nobody disturbs it."""
        self.say(signals.Pause(paused=False))
        for _ in range(_PEACE_ROUNDS):
            if self.core.ended or not self.log:
                return
            if self.cancelling:
                self.queue_is_cancelled()
            if self.active:
                self.end_job(fate=Fate.FINISHED, takes_s=0.0, failure=None, late=False)
            while self.reads:
                self.read(fails=False)
            if self.core.state is not State.READY:
                wid = self.core.wid or WID
                self.say(Linked(wid, None))
                self.say(Synced(wid, None))
            self.time_passes(seconds=1.0)
            self.no_span_holds_more_than_the_limit()


NEVER_READY: list[SessionInput] = [
    *(fact for fact in FACTS if not isinstance(fact, Synced)), signals.OpenFailed("x"), signals.PageSilent("x"),
]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(NEVER_READY), st.floats(0.01, 40.0)), min_size=1, max_size=30))
@settings(deadline=None, max_examples=60)
def test_a_session_that_never_becomes_ready_ends_whatever_its_page_tells(
    told: list[tuple[SessionInput, float]],
) -> None:
    config = SessionConfig()
    core, now = SessionCore(desired(), config, Random(7)), 0.0  # noqa: S311
    core.handle(signals.Start(), now)
    # Each try: the times of all its states, and the wait before it.
    per_try = config.starting_timeout_s + config.syncing_timeout_s + config.action_timeout_s
    per_try += config.reconnect_timeout_s + 1.1 * config.retry.max_delay_s
    bound = config.pairing_timeout_s + (config.retry.max_attempts + 1) * per_try
    for item, pause_s in itertools.cycle(told):
        core.handle(item, now)
        until = now + pause_s
        while (due := core.next_deadline()) is not None and due <= until:
            now = max(now, due)
            core.handle(signals.Tick(), now)
        now = until
        if core.ended:
            return
        assert now < bound, f"still {core.state} after {now:.0f} s"


TestSessions = Sessions.TestCase
TestSessions.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
