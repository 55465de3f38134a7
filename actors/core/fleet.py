"""What to do about the fleet: desired sessions against observed actors, decided as values.

Theory of operation
-------------------
Every session that is wanted or lives is in one ``Phase``. The shell reports facts (an actor started, ended, died,
answered a heartbeat or did not) and asks ``reconcile`` what to do; it carries the actions out and reports again.
Nothing starts twice: a session leaves ``PENDING`` with the ``Start`` that is handed out, and comes back only by a fact.

- An actor that *ended* said so itself: it stays ended until a person raises ``revision_of_start``. How it ended is told
  again here as long as no status says so.
- An actor that *died*, or ended for a reason in ``COMES_BACK``, is started again with backoff until its own budget is
  spent: then it has failed. The fleet's budget is a brake, not a verdict (``actors.core.starts``), since a lost node or
  an outage of NATS ends many sessions that are all healthy.
- A logout is carried through: it is tried again until an actor has ended by it (one that the phone unlinked has not),
  and a start that is ordered meanwhile comes after it.
- A session on a node that is being drained is asked to end and starts on another one at once: nothing went wrong, so
  it costs no budget and no delay.
- Orders of people go first, then the recently active.
- An actor that misses ``max_missed_heartbeats``, or does not end when asked, is killed; its death is then handled
  as any other.

Pure: the time and the random numbers are arguments. Imports config, messages and its siblings only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from actors.config import SupervisorConfig
from actors.core.backoff import RestartBudget, RetryPolicy
from actors.core.fleet_actions import WITH_ACTOR, Action, Adopt, Announce, Beat, End, Kill, Observed, Phase, Start, Wish
from actors.core.lifecycle import FINAL, LIVE, State, logged_out_by_order
from actors.core.starts import START_SLOT_S, StartGate
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.messages.replies import SessionStatus

STARTING_BEAT_S: Final = 1.0
"""How often a session that starts is asked whether it still does."""
COMES_BACK: Final = frozenset({
    "stopped", "drained", "shutdown", "lease_lost", "lease_held", "unavailable", "internal_error",
})  # fmt: skip
"""Reasons of an end that nobody wished for, where the session is desired to run: a person's stop is in ``desired``."""
_NO_FAULT: Final = frozenset({"lease_lost", "lease_held", "unavailable"})
"""Those among them that tell of NATS, not of the session: they take seconds each and spend no budget."""
_TELL_AGAIN_S: Final = 5.0
"""How long a last status may take until it is seen here; then it is written in the place of who should have."""
_WISH_OF: Final = {"running": Wish.RUN, "stopped": Wish.STOP, "logged_out": Wish.LOG_OUT}
_NEVER: Final = float("inf")


@dataclass(slots=True)
class _Watched:
    """One session."""

    budget: RestartBudget
    phase: Phase = Phase.PENDING
    wish: Wish = Wish.RUN
    before: Phase | None = None
    """Where it was before an adoption began."""
    revision: int = -1
    """``revision_of_start`` that its last life was for."""
    due: float = 0.0
    ordered: bool = False
    """A person waits for this start."""
    restarting: bool = False
    braked: bool = False
    """This restart counts in the fleet's budget."""
    slot_until: float = 0.0
    next_beat: float = 0.0
    beating: bool = False
    missed: int = 0
    kill_at: float = _NEVER
    last: tuple[State, str | None] = (State.STOPPED, None)
    """How it ended, and why."""
    tell_at: float = 0.0
    """When that is told again, if no status says so by then."""

    @property
    def has_actor(self) -> bool:
        return self.phase in WITH_ACTOR

    def holds_slot(self, now: float) -> bool:
        return now < self.slot_until and self.phase in {Phase.CREATING, Phase.LIVING}

    def end(self, wish: Wish, revision: int, kill_at: float) -> None:
        self.phase, self.wish, self.revision, self.kill_at = Phase.ENDING, wish, revision, kill_at

    def is_over(self, state: State, reason: str | None, now: float) -> None:
        self.phase, self.wish = Phase.ENDED, Wish.RUN
        self.last, self.tell_at = (state, reason), now + _TELL_AGAIN_S

    def begin_again(self, now: float) -> None:
        """Forget all that went wrong: a person wants it."""
        self.phase, self.due, self.restarting, self.braked = Phase.PENDING, now, False, False
        self.budget.refill()


@dataclass(slots=True)
class _Round:
    """What one reconciliation gathers."""

    now: float
    statuses: Mapping[SessionKey, SessionStatus]
    actions: list[Action] = field(default_factory=list)
    due: list[tuple[SessionKey, DesiredSession]] = field(default_factory=list)
    wake: float = _NEVER

    def wake_at(self, moment: float) -> None:
        self.wake = min(self.wake, moment)

    def is_final(self, key: SessionKey) -> bool:
        status = self.statuses.get(key)
        return status is not None and status.state in FINAL


class FleetCore:
    """The supervisor's memory of the fleet, and its decisions."""

    def __init__(self, config: SupervisorConfig, *, end_within_s: float, random: Random) -> None:
        """Begin with an empty fleet.

        Args:
            config: Limits and periods.
            end_within_s: How long a session may take to end when asked; then it is killed.
            random: Where the jitter of delays comes from.
        """
        self._config = config
        self._end_within_s = end_within_s
        self._random = random
        self._policy = RetryPolicy(config.restart_first_delay_s, config.restart_max_delay_s)
        self._gate = StartGate(config)
        self._watched: dict[SessionKey, _Watched] = {}
        self._wake = 0.0

    @property
    def next_deadline(self) -> float:
        """When ``reconcile`` has something to do even without a new fact."""
        return self._wake

    def phase(self, key: SessionKey) -> Phase | None:
        """Return where a session is; None if nothing is known of it."""
        watched = self._watched.get(key)
        return None if watched is None else watched.phase

    def has_actor(self, key: SessionKey) -> bool:
        """Tell whether a session has an actor, or soon will."""
        watched = self._watched.get(key)
        return watched is not None and watched.has_actor

    def phases(self) -> dict[SessionKey, Phase]:
        """Return where every session is."""
        return {key: watched.phase for key, watched in self._watched.items()}

    def slots_wanted(self) -> int:
        """Return how many ``browser`` slots the fleet needs in all."""
        return sum(1 for watched in self._watched.values() if watched.phase is not Phase.ENDED)

    # --- orders ---------------------------------------------------------------------------------------------------

    def needs_order(self, key: SessionKey) -> bool:
        """Tell whether a person's start changes anything: False while the session lives or is about to."""
        watched = self._watched.get(key)
        if watched is None or watched.phase in {Phase.ENDED, Phase.ENDING, Phase.KILLING}:
            return True
        return watched.phase is Phase.PENDING and watched.restarting

    def ordered(self, key: SessionKey, now: float) -> None:
        """Note that a person wants a new life of this session: it goes first, with a full budget."""
        watched = self._watched.setdefault(key, _Watched(self._budget()))
        watched.ordered = True
        watched.budget.refill()
        if not watched.has_actor:
            watched.begin_again(now)

    def ending(self, key: SessionKey, wish: Wish, revision: int, now: float) -> None:
        """Note that a living session is being asked to end; orders up to this revision are carried out by it."""
        self._watched[key].end(wish, revision, now + self._end_within_s)

    # --- facts ----------------------------------------------------------------------------------------------------

    def adopted(
        self,
        key: SessionKey,
        desired: DesiredSession | None,
        state: str | None,
        now: float,
        *,
        last: SessionStatus | None = None,
    ) -> None:
        """Note that an actor of an earlier supervisor was found: its state if it answered, and what it wrote last."""
        watched = self._watched[key]
        watched.phase, watched.wish, watched.next_beat = Phase.LIVING, Wish.RUN, now
        watched.missed, watched.beating = 0, False
        watched.revision = desired.revision_of_start if desired else -1
        ended_before = state in FINAL and desired is not None and last is not None and desired.ordered_after(last)
        if state == State.DRAINING or ended_before:
            # The earlier supervisor asked it to end, or it did by itself; what is ordered now came after that.
            self.ending(key, Wish.STOP, watched.revision - 1, now)

    def lost(self, key: SessionKey) -> None:
        """Note that an actor was gone before it could be adopted; of one never seen before, its status decides."""
        watched = self._watched[key]
        if watched.before is None:
            del self._watched[key]
        else:
            watched.phase, watched.before = watched.before, None

    def started(self, key: SessionKey, now: float) -> None:
        """Note that an actor was created."""
        watched = self._watched[key]
        watched.phase, watched.missed, watched.beating = Phase.LIVING, 0, False
        watched.slot_until, watched.next_beat = now + START_SLOT_S, now + STARTING_BEAT_S
        self._gate.found_room()
        if watched.braked:
            self._gate.restarted(now)

    def no_slot(self, key: SessionKey, now: float) -> None:
        """Note that no node had room for the actor."""
        self._watched[key].phase = Phase.PENDING
        self._gate.found_none(now)

    def beat(self, key: SessionKey, state: str | None, now: float) -> Sequence[Action]:
        """Note the answer to a heartbeat; None is a missed one."""
        watched = self._watched.get(key)
        if watched is None:
            return ()
        watched.beating = False
        watched.missed = watched.missed + 1 if state is None else 0
        if state not in {None, State.STARTING}:
            # It is up, or waits for its lease: either way it needs little CPU now.
            watched.slot_until = now
        if watched.phase is Phase.LIVING and watched.wish is Wish.LOG_OUT and state in LIVE:
            # Made for the order before, by a creation that only seemed to fail: one made for a logout opens no page.
            self.ending(key, Wish.LOG_OUT, watched.revision, now)
            return (End(key, Wish.LOG_OUT),)
        return ()

    def ended(self, key: SessionKey, state: str, reason: str | None, now: float) -> Sequence[Action]:
        """Note that a session ended and said how."""
        watched = self._watched[key]
        half_done = watched.wish is Wish.LOG_OUT and not logged_out_by_order(state, reason)
        if half_done or (reason in COMES_BACK and watched.wish is Wish.RUN):
            return self.died(key, reason or state, now)
        if reason in COMES_BACK and watched.wish is Wish.MOVE:
            watched.phase, watched.wish, watched.due = Phase.PENDING, Wish.RUN, now
            watched.restarting = watched.braked = False
            return (Announce(key, State.RECONNECTING, "node_drained"),)
        watched.is_over(State(state), reason, now)
        return ()

    def died(self, key: SessionKey, reason: str, now: float) -> Sequence[Action]:
        """Note that an actor is gone without a word, or could not be created."""
        watched = self._watched[key]
        if watched.phase is Phase.CREATING and watched.braked:
            self._gate.restarted(now)
        if watched.wish is Wish.STOP:
            watched.is_over(State.STOPPED, None, now)
            return (Announce(key, *watched.last),)
        watched.braked = reason not in _NO_FAULT
        if watched.braked and not watched.budget.try_restart(now) and watched.wish is not Wish.LOG_OUT:
            watched.is_over(State.FAILED, "restart_intensity", now)
            return (Announce(key, *watched.last),)
        watched.phase, watched.restarting = Phase.PENDING, True
        # The first time at once: most deaths have nothing to do with what comes next.
        waits = watched.budget.spent(now) - 1 if watched.braked else 1
        watched.due = now + self._policy.delay(waits, self._random) if waits else now
        return (Announce(key, State.RECONNECTING, reason),)

    def kill_failed(self, key: SessionKey, now: float) -> None:
        """Note that a process outlived its kill: it is tried again."""
        self._watched[key].kill_at = now + self._config.heartbeat_every_s

    # --- decisions ------------------------------------------------------------------------------------------------

    def reconcile(self, desired: Iterable[DesiredSession], observed: Observed, now: float) -> Sequence[Action]:
        """Compare what is wanted with what is there.

        Args:
            desired: Every desired session.
            observed: What the shell sees.
            now: Monotonic seconds.

        Returns:
            What to do, each action once.
        """
        this = _Round(now, observed.statuses)
        wanted = {SessionKey(each.tenant_id, each.session_id): each for each in desired}
        for key in observed.living:
            self._meet(key, this)
        for key, each in wanted.items():
            watched = self._watched.get(key)
            if watched is None:
                watched = self._watched[key] = self._first_sight(key, each, this)
            self._settle(key, each, watched, this)
        for key in [key for key in self._watched if key not in wanted]:
            self._dismiss(key, this)
        for key in observed.leaving:
            self._move(key, this)
        for key, watched in self._watched.items():
            self._look_after(key, watched, this)
        self._start_due(this, observed.nodes)
        self._wake = this.wake
        return this.actions

    def _budget(self) -> RestartBudget:
        return RestartBudget(self._config.session_max_restarts, self._config.session_max_seconds)

    def _meet(self, key: SessionKey, this: _Round) -> None:
        watched = self._watched.get(key)
        if watched is None:
            watched = self._watched[key] = _Watched(self._budget(), phase=Phase.CREATING)
        elif watched.has_actor:
            return
        else:
            watched.before, watched.phase, watched.slot_until = watched.phase, Phase.CREATING, 0.0
        this.actions.append(Adopt(key))

    def _first_sight(self, key: SessionKey, desired: DesiredSession, this: _Round) -> _Watched:
        """Judge a session without an actor by its last status: this supervisor is new, the session may not be."""
        watched = _Watched(self._budget())
        status = this.statuses.get(key)
        if status is None or not this.is_final(key) or status.reason in COMES_BACK:
            return watched
        if desired.ordered_after(status):
            self._tell_start(key, desired, this)
            return watched
        if desired.target == "logged_out" and not logged_out_by_order(status.state, status.reason):
            return watched
        watched.phase, watched.revision = Phase.ENDED, desired.revision_of_start
        return watched

    def _settle(self, key: SessionKey, desired: DesiredSession, watched: _Watched, this: _Round) -> None:
        """Bring one session nearer to what is desired of it."""
        if watched.phase is Phase.LIVING and desired.target != "running":
            wish = _WISH_OF[desired.target]
            if watched.wish is not wish:
                self.ending(key, wish, desired.revision_of_start, this.now)
                this.actions.append(End(key, wish))
        if desired.target == "stopped":
            if watched.phase is Phase.PENDING:
                watched.revision = desired.revision_of_start
                watched.is_over(State.STOPPED, None, this.now)
                if not this.is_final(key):
                    this.actions.append(Announce(key, *watched.last))
            return
        if watched.phase in {Phase.CREATING, Phase.LIVING} and watched.wish == _WISH_OF[desired.target]:
            # This life is the answer to every order until now.
            watched.revision = desired.revision_of_start
        elif watched.phase is Phase.ENDED and desired.revision_of_start > watched.revision:
            watched.begin_again(this.now)
            self._tell_start(key, desired, this)
        if watched.phase is Phase.PENDING:
            self._queue(key, desired, watched, this)

    def _tell_start(self, key: SessionKey, desired: DesiredSession, this: _Round) -> None:
        """Say that a new life begins, where the status still is the end of the one before."""
        status = this.statuses.get(key)
        if status is not None and desired.outdates(status):
            this.actions.append(Announce(key, State.STARTING, None))

    def _queue(self, key: SessionKey, desired: DesiredSession, watched: _Watched, this: _Round) -> None:
        if desired.target == "logged_out":
            watched.wish = Wish.LOG_OUT
        # A logout is never given up: the profile has to go into quarantine, however late.
        if watched.wish is not Wish.LOG_OUT and self._gate.gives_up(watched.due, this.now):
            watched.revision = desired.revision_of_start
            watched.is_over(State.FAILED, "no_capacity", this.now)
            this.actions.append(Announce(key, *watched.last))
        elif watched.due <= this.now:
            this.due.append((key, desired))
        else:
            this.wake_at(watched.due)

    def _dismiss(self, key: SessionKey, this: _Round) -> None:
        """End an actor that nobody wants, and forget a session that has none."""
        watched = self._watched[key]
        if watched.phase is Phase.LIVING:
            self.ending(key, Wish.STOP, watched.revision, this.now)
            this.actions.append(End(key, Wish.STOP))
        elif not watched.has_actor and not watched.ordered:
            del self._watched[key]

    def _move(self, key: SessionKey, this: _Round) -> None:
        """Let a session leave a node; one that is being created there is moved once it lives."""
        watched = self._watched.get(key)
        if watched is not None and watched.phase is Phase.LIVING and watched.wish is Wish.RUN:
            self.ending(key, Wish.MOVE, watched.revision, this.now)
            this.actions.append(End(key, Wish.MOVE))

    def _look_after(self, key: SessionKey, watched: _Watched, this: _Round) -> None:
        """Listen to the heart, kill what does not answer or does not end, and see that an end is told."""
        alive = watched.phase in {Phase.LIVING, Phase.ENDING}
        silent = alive and watched.missed >= self._config.max_missed_heartbeats
        late = watched.phase in {Phase.ENDING, Phase.KILLING} and this.now >= watched.kill_at
        if silent or late:
            watched.phase, watched.missed, watched.kill_at = Phase.KILLING, 0, _NEVER
            this.actions.append(Kill(key))
            return
        if alive and not watched.beating:
            if this.now >= watched.next_beat:
                watched.beating = True
                every = STARTING_BEAT_S if watched.holds_slot(this.now) else self._config.heartbeat_every_s
                watched.next_beat = this.now + every
                this.actions.append(Beat(key))
            this.wake_at(watched.next_beat)
        if watched.phase in {Phase.ENDING, Phase.KILLING}:
            this.wake_at(watched.kill_at)
        if watched.phase is Phase.ENDED and not this.is_final(key):
            if this.now >= watched.tell_at:
                watched.tell_at = this.now + _TELL_AGAIN_S
                this.actions.append(Announce(key, *watched.last))
            this.wake_at(watched.tell_at)

    def _start_due(self, this: _Round, nodes: int) -> None:
        """Hand out starts: orders of people first, then the recently active."""
        this.due.sort(key=lambda due: self._precedence(due[0], this))
        starting = sum(1 for watched in self._watched.values() if watched.holds_slot(this.now))
        restarting = sum(1 for watched in self._watched.values() if watched.phase is Phase.CREATING and watched.braked)
        for key, wanted in this.due:
            watched, desired = self._watched[key], wanted
            if not self._gate.admits(
                starting=starting, restarting=restarting, nodes=nodes, is_restart=watched.braked, now=this.now
            ):
                continue
            if watched.wish is Wish.LOG_OUT and desired.target == "running":
                # Ordered since, so after this: else the login that was to end would open, and send what was queued.
                earlier = {"target": "logged_out", "revision_of_start": desired.revision_of_start - 1}
                desired = desired.model_copy(update=earlier)
            watched.phase, watched.slot_until, watched.ordered = Phase.CREATING, _NEVER, False
            watched.wish = _WISH_OF[desired.target]
            watched.revision = desired.revision_of_start
            self._gate.begun(this.now)
            starting, restarting = starting + 1, restarting + int(watched.braked)
            this.actions.append(Start(key, desired))
        if this.due and self._gate.next_start > this.now:
            this.wake_at(self._gate.next_start)

    def _precedence(self, key: SessionKey, this: _Round) -> tuple[bool, float, SessionKey]:
        status = this.statuses.get(key)
        active = status.last_activity.timestamp() if status and status.last_activity else 0.0
        return not self._watched[key].ordered, -active, key
