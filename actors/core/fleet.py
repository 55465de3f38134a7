"""What to do about the fleet: desired sessions against observed actors, as values (promise: one owner, and it comes back).

Theory of operation
-------------------
Every session that is wanted or lives is in one ``Phase``. The shell reports facts (an actor started, ended, died,
answered a heartbeat or did not) and asks ``reconcile`` what to do; it carries the actions out and reports again. Nothing
is started twice because a key leaves ``PENDING`` with the ``Start`` that is handed out, and comes back only by a fact.

- An actor that *ended* said so itself: it stays ended until a person raises ``revision_of_start``.
- An actor that *died* (or ended for a reason in ``COMES_BACK``) is started again with backoff, until its own budget is
  spent: then it has failed. The fleet's budget is a brake, not a verdict: once it is spent, restarts wait until it has
  room, since a lost node or an outage of NATS kills many sessions that are all healthy.
- Starts are staggered: a start holds one of ``max_concurrent_starts`` slots per node until its browser is up or
  ``START_SLOT_S`` passed, and two starts are ``start_spacing_s`` apart. Orders of people go first, then the recently
  active.
- Without a free ``browser`` slot one session at a time probes for room; whoever waits for ``no_capacity_after_s``
  has failed.

Pure: the time and the random numbers are arguments. Imports config, messages and its siblings only.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, auto
from random import Random
from typing import Final

from actors.config import SupervisorConfig
from actors.core.backoff import RestartBudget, RetryPolicy
from actors.core.lifecycle import FINAL, State
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.messages.replies import SessionStatus

START_SLOT_S: Final = 10.0
"""A start that takes longer waits for something other than this machine's CPU, so it holds nobody up any more."""
STARTING_BEAT_S: Final = 1.0
"""How often a starting session is asked whether it still is."""
COMES_BACK: Final = frozenset({"lease_lost", "lease_held", "shutdown"})
"""Reasons of an end that is nobody's wish."""


class Phase(StrEnum):
    """Where a session's actor is, as far as the supervisor knows."""

    PENDING = auto()
    """Has no actor, shall have one."""
    CREATING = auto()
    LIVING = auto()
    ENDING = auto()
    """Was asked to end."""
    KILLING = auto()
    ENDED = auto()
    """Has no actor, and gets none before a person asks for it."""


_WITH_ACTOR: Final = frozenset({Phase.CREATING, Phase.LIVING, Phase.ENDING, Phase.KILLING})


@dataclass(frozen=True, slots=True)
class Start:
    """Create the actor; report ``started``, ``no_slot`` or ``died``."""

    desired: DesiredSession


@dataclass(frozen=True, slots=True)
class Adopt:
    """Find the living actor; report ``adopted`` or ``lost``."""

    key: SessionKey


@dataclass(frozen=True, slots=True)
class Beat:
    """Ask for a heartbeat; report ``beat``."""

    key: SessionKey


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask the actor to end; its end reports itself."""

    key: SessionKey
    logout: bool


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the actor and wait for its process's end; report ``died`` or ``kill_failed``."""

    key: SessionKey


@dataclass(frozen=True, slots=True)
class Announce:
    """Write the status of a session that has no actor to do it."""

    key: SessionKey
    state: State
    reason: str | None


Action = Start | Adopt | Beat | Stop | Kill | Announce


@dataclass(frozen=True, slots=True)
class Observed:
    """What the shell sees besides the facts it reports."""

    statuses: Mapping[SessionKey, SessionStatus]
    living: Collection[SessionKey] = ()
    """Actors that the host lists; empty where it was not asked this time."""
    nodes: int = 1
    """Nodes with ``browser`` slots."""


@dataclass(slots=True)
class _Watched:
    """One session."""

    budget: RestartBudget
    phase: Phase = Phase.PENDING
    revision: int = -1
    """``revision_of_start`` its life was started for."""
    due: float = 0.0
    ordered: bool = False
    """A person asked for this start: it goes first."""
    restarting: bool = False
    logging_out: bool = False
    slot_until: float = 0.0
    next_beat: float = 0.0
    beating: bool = False
    missed: int = 0
    deadline: float = 0.0
    """While ENDING: when it is killed. While KILLING: when that is tried again."""


@dataclass(slots=True)
class _Round:
    """What one reconciliation gathers."""

    now: float
    actions: list[Action] = field(default_factory=list)
    due: list[tuple[SessionKey, DesiredSession]] = field(default_factory=list)
    wake: float = float("inf")

    def wake_at(self, moment: float) -> None:
        self.wake = min(self.wake, moment)


class FleetCore:
    """The fleet's memory and its decisions."""

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
        self._fleet_budget = RestartBudget(config.fleet_max_restarts, config.fleet_max_seconds)
        self._watched: dict[SessionKey, _Watched] = {}
        self._next_start = 0.0
        self._full_since: float | None = None
        self._wake = 0.0

    @property
    def next_deadline(self) -> float:
        """When ``reconcile`` has something to do without a new fact."""
        return self._wake

    def phases(self) -> dict[SessionKey, Phase]:
        """Return where every session is."""
        return {key: watched.phase for key, watched in self._watched.items()}

    def slots_wanted(self) -> int:
        """Return how many ``browser`` slots the fleet needs in all."""
        return sum(1 for watched in self._watched.values() if watched.phase is not Phase.ENDED)

    # --- facts ----------------------------------------------------------------------------------------------------

    def ordered(self, key: SessionKey, now: float) -> None:
        """Note that a person wants this session: a new life begins at once, with a full budget."""
        watched = self._watched.get(key)
        if watched is None:
            watched = self._watched[key] = self._new()
        watched.ordered = True
        if watched.phase not in _WITH_ACTOR:
            self._fresh(watched, now)

    def needs_order(self, key: SessionKey) -> bool:
        """Tell whether a person's start changes anything: False while the session lives or is about to."""
        watched = self._watched.get(key)
        if watched is None or watched.phase in {Phase.ENDED, Phase.ENDING, Phase.KILLING}:
            return True
        return watched.phase is Phase.PENDING and watched.restarting

    def ending(self, key: SessionKey, revision: int, now: float, *, logout: bool) -> None:
        """Note that a living session is being asked to end, in the life of that ``revision_of_start``."""
        watched = self._watched[key]
        watched.phase, watched.revision, watched.logging_out = Phase.ENDING, revision, logout
        watched.deadline = now + self._end_within_s

    def adopted(self, key: SessionKey, desired: DesiredSession | None, state: str | None, now: float) -> None:
        """Note that an actor of an earlier supervisor was found alive, in this state if it answered."""
        watched = self._watched[key]
        watched.phase, watched.next_beat = Phase.LIVING, now
        watched.revision = desired.revision_of_start if desired else -1
        if state == State.DRAINING:
            # Asked to end by the earlier supervisor; what is desired may be a start that came after that.
            self.ending(key, watched.revision - 1, now, logout=False)

    def lost(self, key: SessionKey) -> None:
        """Note that an actor was gone before it could be adopted: what its status says decides."""
        del self._watched[key]

    def started(self, key: SessionKey, now: float) -> None:
        """Note that an actor was created."""
        watched = self._watched[key]
        watched.phase, watched.missed, watched.beating = Phase.LIVING, 0, False
        watched.slot_until = now + START_SLOT_S
        watched.next_beat = now + STARTING_BEAT_S
        self._full_since = None

    def no_slot(self, key: SessionKey, now: float) -> None:
        """Note that no node had room for the actor."""
        watched = self._watched[key]
        watched.phase = Phase.PENDING
        if self._full_since is None:
            self._full_since = now
        self._next_start = now + self._config.reconcile_every_s

    def beat(self, key: SessionKey, state: str | None, now: float) -> None:
        """Note the answer to a heartbeat; None is a missed one."""
        watched = self._watched.get(key)
        if watched is None:
            return
        watched.beating = False
        if state is None:
            watched.missed += 1
            return
        watched.missed = 0
        if state != State.STARTING:
            # It is up, or waits for its lease: either way it needs little CPU now.
            watched.slot_until = now

    def ended(self, key: SessionKey, state: str, reason: str | None, now: float) -> Sequence[Action]:
        """Note that a session ended and said how."""
        watched = self._watched[key]
        if reason in COMES_BACK and watched.phase is not Phase.ENDING:
            return self.died(key, reason or state, now)
        watched.phase = Phase.ENDED
        return ()

    def died(self, key: SessionKey, reason: str, now: float) -> Sequence[Action]:
        """Note that an actor is gone without a word, or could not be created."""
        watched = self._watched[key]
        watched.beating = False
        if watched.phase is Phase.ENDING and not watched.logging_out:
            watched.phase = Phase.ENDED
            return (Announce(key, State.STOPPED, None),)
        if not watched.budget.try_restart(now):
            watched.phase = Phase.ENDED
            return (Announce(key, State.FAILED, "restart_intensity"),)
        watched.phase, watched.restarting = Phase.PENDING, True
        watched.due = now + self._policy.delay(watched.budget.spent(now), self._random)
        return (Announce(key, State.RECONNECTING, reason),)

    def kill_failed(self, key: SessionKey, now: float) -> None:
        """Note that a process outlived its kill: it is tried again."""
        self._watched[key].deadline = now + self._config.heartbeat_every_s

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
        wanted = {SessionKey(each.tenant_id, each.session_id): each for each in desired}
        this = _Round(now)
        for key in observed.living:
            self._meet(key, this)
        for key, each in wanted.items():
            watched = self._watched.get(key)
            if watched is None:
                watched = self._watched[key] = self._first_sight(each, observed.statuses.get(key))
            self._settle(key, each, watched, observed.statuses.get(key), this)
        for key in [key for key in self._watched if key not in wanted]:
            self._dismiss(key, this)
        for key, watched in self._watched.items():
            self._look_after(key, watched, this)
        self._start_some(this, observed)
        self._wake = this.wake
        return this.actions

    def _new(self) -> _Watched:
        return _Watched(RestartBudget(self._config.session_max_restarts, self._config.session_max_seconds))

    def _fresh(self, watched: _Watched, now: float) -> None:
        watched.phase, watched.due, watched.restarting = Phase.PENDING, now, False
        watched.budget.refill()

    def _meet(self, key: SessionKey, this: _Round) -> None:
        watched = self._watched.get(key)
        if watched is not None and watched.phase in _WITH_ACTOR:
            return
        if watched is None:
            watched = self._watched[key] = self._new()
        watched.phase = Phase.CREATING
        this.actions.append(Adopt(key))

    def _first_sight(self, desired: DesiredSession, status: SessionStatus | None) -> _Watched:
        """Judge a session without an actor by its last status: this supervisor is new, the session may not be."""
        watched = self._new()
        if status is None or status.state not in FINAL or status.reason in COMES_BACK:
            return watched
        if desired.target == "logged_out" and status.state != State.LOGGED_OUT:
            return watched
        watched.phase, watched.revision = Phase.ENDED, desired.revision_of_start
        return watched

    def _settle(
        self, key: SessionKey, desired: DesiredSession, watched: _Watched, status: SessionStatus | None, this: _Round
    ) -> None:
        if desired.target == "stopped":
            if watched.phase is Phase.LIVING:
                self.ending(key, desired.revision_of_start, this.now, logout=False)
                this.actions.append(Stop(key, logout=False))
            elif watched.phase is Phase.PENDING:
                watched.phase = Phase.ENDED
                if status is None or status.state not in FINAL:
                    this.actions.append(Announce(key, State.STOPPED, None))
            return
        if watched.phase is Phase.ENDED and desired.revision_of_start > watched.revision:
            self._fresh(watched, this.now)
        if watched.phase is Phase.LIVING and desired.target == "logged_out":
            self.ending(key, desired.revision_of_start, this.now, logout=True)
            this.actions.append(Stop(key, logout=True))
        elif watched.phase is Phase.PENDING and self._waits_too_long(desired, watched, this.now):
            watched.phase, watched.revision = Phase.ENDED, desired.revision_of_start
            this.actions.append(Announce(key, State.FAILED, "no_capacity"))
        elif watched.phase is Phase.PENDING:
            if watched.due <= this.now:
                this.due.append((key, desired))
            else:
                this.wake_at(watched.due)

    def _waits_too_long(self, desired: DesiredSession, watched: _Watched, now: float) -> bool:
        # A logout is never given up: the profile has to go into quarantine, however late.
        if self._full_since is None or desired.target == "logged_out":
            return False
        return now >= max(self._full_since, watched.due) + self._config.no_capacity_after_s

    def _dismiss(self, key: SessionKey, this: _Round) -> None:
        """End an actor nobody wants, and forget what has none."""
        watched = self._watched[key]
        if watched.phase is Phase.LIVING:
            self.ending(key, watched.revision, this.now, logout=False)
            this.actions.append(Stop(key, logout=False))
        elif watched.phase not in _WITH_ACTOR and not watched.ordered:
            del self._watched[key]

    def _look_after(self, key: SessionKey, watched: _Watched, this: _Round) -> None:
        """Keep the heart beating, and end what does not answer or does not end."""
        now = this.now
        if watched.phase in {Phase.LIVING, Phase.ENDING} and watched.missed >= self._config.max_missed_heartbeats:
            self._kill(key, watched, this)
        elif watched.phase in {Phase.ENDING, Phase.KILLING} and now >= watched.deadline:
            self._kill(key, watched, this)
        elif watched.phase in {Phase.LIVING, Phase.ENDING} and not watched.beating:
            if now >= watched.next_beat:
                watched.beating = True
                starting = now < watched.slot_until
                watched.next_beat = now + (STARTING_BEAT_S if starting else self._config.heartbeat_every_s)
                this.actions.append(Beat(key))
            this.wake_at(watched.next_beat)
        if watched.phase in {Phase.ENDING, Phase.KILLING}:
            this.wake_at(watched.deadline)

    def _kill(self, key: SessionKey, watched: _Watched, this: _Round) -> None:
        if watched.phase is Phase.ENDING:
            ...
        watched.phase, watched.missed = Phase.KILLING, 0
