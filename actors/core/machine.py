"""A session's state with everything that hangs on it: deadlines, reconnect attempts and pairing.

``Machine.apply`` makes one step of the lifecycle table; ``_enter`` is the one place that changes the state, and it
emits the transition. What the table asks for becomes effects for the shell, collected in ``effects``. Pure.
"""

from dataclasses import dataclass, replace
from enum import StrEnum, auto
from random import Random
from typing import Final

from actors.config import SessionConfig
from actors.core import lifecycle, signals
from actors.core.facts import CodeShown, QrShown
from actors.core.lifecycle import Effect, Input, State
from actors.core.logins import LoginWatch
from actors.core.pairing import CODE_PATIENCE_S, Pairing
from actors.core.recovery import Phase, Recovery, Remedy
from actors.core.signals import SessionEffect
from actors.messages.events import SessionEventName
from actors.messages.records import DesiredSession

_EVENT_OF: Final[dict[State, SessionEventName]] = {
    State.STARTING: "session.starting",
    State.SYNCING: "session.authenticated",
    State.READY: "session.ready",
    State.ACTION_REQUIRED: "session.action_required",
    State.RECONNECTING: "session.disconnected",
    State.STOPPED: "session.stopped",
    State.LOGGED_OUT: "session.logged_out",
    State.FAILED: "session.failed",
    State.BLOCKED: "session.restricted",
}
"""A pairing speaks by its QRs and codes, draining by what follows it."""
_COPY_AGAIN_S: Final = 30.0
_TIMEOUT_REASON: Final[dict[State, str]] = {
    State.STARTING: "start_timeout",
    State.PAIRING: "qr_timeout",
    State.SYNCING: "sync_timeout",
    State.ACTION_REQUIRED: "action_timeout",
    State.RECONNECTING: "reconnect_timeout",
    State.DRAINING: "drain_timeout",
}
_PAGE_EFFECT: Final[dict[Effect, SessionEffect]] = {
    Effect.OPEN_BROWSER: signals.OpenBrowser(),
    Effect.CLOSE_BROWSER: signals.CloseBrowser(),
    Effect.SETTLE_DOUBTS: signals.SettleDoubts(),
    Effect.LOG_OUT: signals.LogOut(),
    Effect.QUARANTINE: signals.Quarantine(),
    Effect.CANCEL_JOBS: signals.CancelJobs(),
}


class Timer(StrEnum):
    """What a session waits for."""

    STATE = auto()
    """The deadline of the present state, or of the present phase of a recovery."""
    ATTEMPT = auto()
    """The next reconnect attempt."""
    PROBE = auto()
    """The next round trip through the page."""
    WEIGHING = auto()
    """The next look at the session's memory."""
    CODE = auto()
    """The link code runs out, or did not come."""
    COPY = auto()
    """The next snapshot of the running browser's profile."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What led to a step."""

    input: Input
    reason: str | None = None
    remedy: Remedy = Remedy.REOPEN
    """What a reconnect attempt would have to do."""


class Machine:
    """One walk through the lifecycle table."""

    def __init__(self, desired: DesiredSession, config: SessionConfig, random: Random) -> None:
        self._config = config
        self._random = random
        self._state = State.STOPPED
        self._timers: dict[Timer, float] = {}
        self._first_entered: dict[State, float] = {}
        """When a state on the way to READY was entered first, since READY or the last attempt."""
        self.effects: list[SessionEffect] = []
        """What the steps since the last look asked for."""
        self.recovery = Recovery(config.retry, random)
        self.pairing = Pairing(desired, config.pairing_timeout_s)
        self.login = LoginWatch(config.retry.stable_after_s)
        """What is known of the profile's login."""
        self._copied_at: float | None = None
        self.reason: str | None = None
        """Why the session is in its state."""
        self.ended = False
        """Whether the end was reached; nothing has an effect any more."""
        self.was_ready = False
        """Whether this start brought the session to READY before."""

    @property
    def state(self) -> State:
        """What the session is doing."""
        return self._state

    def apply(self, cause: Cause, now: float) -> None:
        """Make one step of the table.

        Raises:
            InvalidTransition: The input is not allowed now; nothing changed.
        """
        step = lifecycle.step(self._state, cause.input)
        before = self._state
        if before is State.DRAINING and step.state is State.STOPPED:
            cause = self._as_ordered(cause)
        if step.state is not before:
            self._enter(step.state, cause, now)
        for effect in step.effects:
            self._carry(effect, before, cause, now)

    def _as_ordered(self, cause: Cause) -> Cause:
        """Keep why a drain was begun, however it ends: the order for it decides whether the session comes back."""
        if cause.reason != self.reason:
            self.effects.append(signals.Log(f"drain cut short: {cause.reason or cause.input}", warning=True))
        return replace(cause, reason=self.reason)

    def apply_if_allowed(self, cause: Cause, now: float) -> None:
        """Apply an input that comes too late in some states: what it tells of is over there."""
        if lifecycle.allows(self._state, cause.input):
            self.apply(cause, now)

    def start_over(self) -> None:
        """Forget attempts and pairing of the former start: a person asked for a new one."""
        self.recovery.refill()
        self.pairing.restart()
        self.login.refill()
        self._first_entered.clear()
        self.was_ready = False

    def wait_for_profile(self, now: float) -> None:
        """Give an opening browser more time: its profile comes from afar first."""
        if Timer.STATE in self._timers and self._state in {State.STARTING, State.RECONNECTING}:
            config = self._config
            self._timers[Timer.STATE] = now + config.profile.restore_timeout_s + config.starting_timeout_s

    def note_profile(self, chosen: signals.ProfileChosen) -> None:
        """Note which copy of the profile a browser opens on, and say so where it is not the usual one."""
        self.login.chosen(chosen)
        if chosen.reason and self._state in {State.STARTING, State.RECONNECTING}:
            self.reason = chosen.reason
            event: SessionEventName = "session.starting" if self._state is State.STARTING else "session.reconnecting"
            self.effects += [
                signals.Log(f"profile: {chosen.reason}", warning=True),
                signals.PutStatus(),
                signals.Announce(event, self._state, self._state, chosen.reason),
            ]

    def copy_again(self, now: float) -> None:
        """Try the snapshot that did not come about once more, well before the next one is due."""
        if self._state is State.READY:
            self._timers[Timer.COPY] = now + _COPY_AGAIN_S

    def show_qr(self, fact: QrShown, now: float) -> None:
        """Show a QR, if somebody waits for one."""
        shown = self.pairing.show_qr(fact, now) if self._state is State.PAIRING else None
        self.effects += [shown] if shown else []

    def show_code(self, fact: CodeShown, now: float) -> None:
        """Show a link code, if somebody waits for one; when it runs out a new one is asked for."""
        if self._state is State.PAIRING:
            self.effects.append(self.pairing.show_code(fact, now))
            self._timers[Timer.CODE] = now + fact.ttl_s

    def probe_soon(self, now: float) -> None:
        """Let the next probe of a page in READY come soon."""
        self._timers[Timer.PROBE] = now + self._config.hearing.recheck_after_s

    # --- time -----------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when ``tick`` is due."""
        return min(self._timers.values(), default=None)

    def tick(self, now: float) -> None:
        """Let everything happen whose time has come."""
        for timer in Timer:
            due = self._timers.get(timer)
            if due is not None and due <= now:
                del self._timers[timer]
                self._fire(timer, now)

    def _fire(self, timer: Timer, now: float) -> None:
        match timer:
            case Timer.STATE if self.recovery.phase is Phase.GRACE:
                self.apply(Cause(Input.TIMED_OUT, self.reason, self.recovery.remedy), now)
            case Timer.STATE:
                self.apply(Cause(Input.TIMED_OUT, _TIMEOUT_REASON[self._state]), now)
            case Timer.ATTEMPT:
                self.recovery.begin_attempt()
                self._first_entered.clear()
                number, most = self.recovery.attempt, self.recovery.max_attempts
                self.effects.append(signals.Log(f"Reconnect attempt {number}/{most}", warning=True))
                self._renew_page(now)
            case Timer.PROBE:
                self.effects.append(signals.ProbePage())
                self._timers[timer] = now + self._config.probe_every_s * self._random.uniform(0.9, 1.1)
            case Timer.COPY:
                self.effects.append(signals.CopyProfile())
                self._copied_at, self._timers[timer] = now, now + self._config.profile.copy_every_s
            case Timer.WEIGHING:
                self.effects.append(signals.WeighProcesses())
                self._timers[timer] = now + self._config.memory.weigh_every_s * self._random.uniform(0.9, 1.1)
            case _:
                self._request_code(now)

    # --- steps ----------------------------------------------------------------------------------------------------

    def _enter(self, state: State, cause: Cause, now: float) -> None:
        """Change the state: the only place that does."""
        before, self._state = self._state, state
        self.reason = cause.reason or self.login.reason_in(state)
        why = f" ({cause.reason})" if cause.reason else ""
        self.effects.append(signals.Log(f"{before} -> {state} on {cause.input}{why}"))
        self._timers.clear()
        if before is State.READY:
            self.recovery.left_ready(now)
            self.login.left_ready(now)
        if before is State.PAIRING:
            self.pairing.hide()
        if state in lifecycle.FINAL:
            return
        self._arm(state, now)
        # The status goes first: who hears the event and asks for the status finds it there.
        self.effects.append(signals.PutStatus())
        if state in _EVENT_OF and (state is not State.RECONNECTING or before is State.READY):
            self.effects.append(signals.Announce(_EVENT_OF[state], state, before, self.reason))

    def _arm(self, state: State, now: float) -> None:
        """Set the deadline of a state; the one of RECONNECTING belongs to its phase."""
        config = self._config
        match state:
            case State.READY:
                self.recovery.ready(now)
                self.was_ready = True
                self._first_entered.clear()
                self._timers[Timer.PROBE] = now + config.probe_every_s
                self._plan_copy(now)
                self.login.ready(now)
                if config.memory.budget_mib:
                    self._timers[Timer.WEIGHING] = now + config.memory.weigh_every_s
            case State.STARTING:
                self._wait_until(now + config.starting_timeout_s)
            case State.PAIRING:
                self._wait_until(self.pairing.begin(now))
                self._request_code(now)
            case State.SYNCING:
                self._wait_until(self._first(state, now) + config.syncing_timeout_s)
            case State.ACTION_REQUIRED:
                self._wait_until(self._first(state, now) + config.action_timeout_s)
            case State.DRAINING:
                self._wait_until(now + config.draining_timeout_s)

    def _plan_copy(self, now: float) -> None:
        """Set the time of the next snapshot: soon after the first READY, then at intervals."""
        due = now + self._config.profile.first_copy_after_s
        if self._copied_at is not None:
            due = max(due, self._copied_at + self._config.profile.copy_every_s)
        self._timers[Timer.COPY] = due

    def _first(self, state: State, now: float) -> float:
        """Return when a state was entered first: a page that goes back and forth gets no new time."""
        return self._first_entered.setdefault(state, now)

    def _wait_until(self, deadline: float) -> None:
        self.recovery.rest()
        self._timers[Timer.STATE] = deadline

    def _request_code(self, now: float) -> None:
        request = self.pairing.ask()
        if request:
            self.effects.append(request)
            self._timers[Timer.CODE] = now + CODE_PATIENCE_S

    def _carry(self, effect: Effect, before: State, cause: Cause, now: float) -> None:
        """Turn an effect of the table into effects for the shell."""
        match effect:
            case Effect.ARM_GRACE:
                self.recovery.begin_grace()
                self._timers[Timer.STATE] = now + self._config.offline_grace_s
            case Effect.ARM_BACKOFF:
                self._plan_attempt(before, cause, now)
            case Effect.RELOAD_PAGE if before is State.RECONNECTING and self.recovery.phase is not Phase.GRACE:
                pass  # that page is being replaced already, or will be when its attempt begins
            case Effect.RELOAD_PAGE:
                self.effects.append(signals.Log("A send is in doubt: the page is renewed", warning=True))
                self.recovery.begin_uncounted(Remedy.RELOAD)
                self._renew_page(now)
            case Effect.RENEW_BROWSER:
                self.recovery.begin_uncounted(Remedy.REOPEN)
                self._renew_page(now)
            case Effect.OPEN_RESTORED:
                self.login.restore(cause.reason)
                self._timers[Timer.STATE] = now + self._config.starting_timeout_s
                self.effects.append(signals.OpenBrowser(self.login.distrust))
            case Effect.REFRESH_QR:
                requests = self.pairing.next_round()
                if requests is None:
                    self.apply(Cause(Input.TIMED_OUT, _TIMEOUT_REASON[State.PAIRING]), now)
                else:
                    self.effects += requests
            case Effect.END:
                self.ended, self.reason = True, cause.reason or self.reason
                self.effects.append(signals.End(self._state, _EVENT_OF[self._state], before, self.reason))
            case _:
                self.effects.append(_PAGE_EFFECT[effect])

    def _plan_attempt(self, before: State, cause: Cause, now: float) -> None:
        """Count a reconnect attempt and wait for its turn, or give up."""
        self.reason = cause.reason
        if self.recovery.phase is Phase.WAITING:
            self.recovery.worsen(cause.remedy)
            return
        delay_s = self.recovery.next_attempt(cause.remedy)
        if delay_s is None:
            self.apply(Cause(Input.RETRIES_EXHAUSTED, cause.reason), now)
            return
        self._timers.pop(Timer.STATE, None)
        self._timers[Timer.ATTEMPT] = now + delay_s
        if self.recovery.remedy is Remedy.REOPEN:
            self.effects.append(signals.CloseBrowser())
        self.effects += [
            signals.PutStatus(),
            signals.Announce("session.reconnecting", self._state, before, cause.reason, delay_s),
        ]

    def _renew_page(self, now: float) -> None:
        self._timers[Timer.STATE] = now + self._config.reconnect_timeout_s
        if self.recovery.remedy is Remedy.RELOAD:
            self.effects.append(signals.ReloadPage())
        else:
            self.effects += [signals.CloseBrowser(), signals.OpenBrowser(self.login.distrust)]
