"""The lifecycle of a session: states, inputs, effects and the one table that joins them.

Theory of operation
-------------------
A session is in exactly one ``State``. An ``Input`` is a command, a fact the page told, or a deadline that passed;
there is no other source. ``step(state, input)`` looks the pair up in ``TRANSITIONS`` and returns the next state and the
effects somebody else must carry out. A pair that is not in the table raises ``InvalidTransition`` and changes nothing.

The actor's life is one walk from ``STOPPED`` (where it begins) through ``START`` to a final state (``STOPPED``,
``LOGGED_OUT``, ``FAILED``, ``BLOCKED``) with the effect ``END``: a final state holds no browser and no process.

Every fact of the page is legal in every live state, since a page speaks when it likes: where a fact means nothing, the
table says so with a step to the same state without effects. ``STOP`` is legal everywhere, ``FAULT`` (we broke, or may
not begin) in every live state and before the start, ``LOGOUT`` and ``ACCOUNT_BLOCKED`` in every live state: these
entries are generated.

Pairing is no failure: ``PAIRING`` never counts an attempt. ``RECONNECTING`` has three ways in: the socket was lost
(``ARM_GRACE``: the page gets a moment to heal itself), something broke (``ARM_BACKOFF``: an attempt is counted), or
nothing is wrong with the connection, so that nothing is counted: a send is in doubt (``RELOAD_PAGE``), or the browser
grew too large or left a single question unanswered (``RENEW_BROWSER``). ``ARM_BACKOFF`` without an attempt left leads
to ``RETRIES_EXHAUSTED``. A page whose socket was lost under a send does not heal itself: it says so (``SEND_DOUBTED``)
and is renewed at once.

A profile that held a login and now shows a QR, or whose storage is gone, is taken from the last snapshot, once: the
core makes ``LOGIN_VANISHED`` of it. After that a QR is a QR, except while reconnecting: there it means that the login
is gone (``UNLINKED``) once the session was ready before.

Imports errors and messages only. ``actors.core.session`` is the only caller that holds a state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final

from actors.errors import InvalidTransition
from actors.messages.replies import Status


class State(StrEnum):
    """What a session is doing."""

    STOPPED = auto()
    STARTING = auto()
    PAIRING = auto()
    SYNCING = auto()
    ACTION_REQUIRED = auto()
    READY = auto()
    RECONNECTING = auto()
    DRAINING = auto()
    LOGGED_OUT = auto()
    FAILED = auto()
    BLOCKED = auto()


class Input(StrEnum):
    """What may happen to a session."""

    START = auto()
    RESTART = auto()
    DRAIN = auto()
    STOP = auto()
    LOGOUT = auto()
    QR_SHOWN = auto()
    QR_IDLE = auto()
    """The page shows no QR any more; it wants to be asked for a new round."""
    LINKED = auto()
    SYNCED = auto()
    ACTION_NEEDED = auto()
    CONNECTION_LOST = auto()
    BROWSER_CRASHED = auto()
    """The page, its browser or the driver ended."""
    UNLINKED = auto()
    LOGIN_VANISHED = auto()
    """The profile should hold a login and does not, though nobody ended it."""
    ACCOUNT_BLOCKED = auto()
    PROBE_FAILED = auto()
    """The page is there but does not answer."""
    PAGE_DEAF = auto()
    """The page answers, but hears nothing of what WhatsApp tells it."""
    RECYCLE = auto()
    """The browser grew too large and no send is in flight, or it left the question of a single job unanswered."""
    SEND_DOUBTED = auto()
    """A message may still leave; only a new page makes sure that it does not."""
    START_FAILED = auto()
    """The browser could not be opened, or the page not be reloaded."""
    TIMED_OUT = auto()
    """The deadline of the state passed."""
    RETRIES_EXHAUSTED = auto()
    DRAINED = auto()
    FAULT = auto()
    """A bug in wafleet, or a refusal to begin (somebody else owns the session)."""


class Effect(StrEnum):
    """What a step asks for, in this order."""

    OPEN_BROWSER = auto()
    OPEN_RESTORED = auto()
    """Open the browser on the profile's last snapshot."""
    RELOAD_PAGE = auto()
    RENEW_BROWSER = auto()
    REFRESH_QR = auto()
    ARM_GRACE = auto()
    ARM_BACKOFF = auto()
    SETTLE_DOUBTS = auto()
    """Ask the page about messages that may have left: with the login goes what it knows of them."""
    LOG_OUT = auto()
    """Unlink this device on WhatsApp, as far as the page is able to."""
    CLOSE_BROWSER = auto()
    QUARANTINE = auto()
    """Move the profile aside."""
    CANCEL_JOBS = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of the table."""

    state: State
    effects: tuple[Effect, ...] = ()


FINAL: Final = frozenset({State.STOPPED, State.LOGGED_OUT, State.FAILED, State.BLOCKED})
LOGOUT_REASON: Final = "logout"
"""Why a session is logged out that was ordered to be; an end of its login by others leaves profile and queue alone."""
LIVE: Final = tuple(state for state in State if state not in FINAL)
FACTS: Final = (
    Input.QR_SHOWN, Input.QR_IDLE, Input.LINKED, Input.SYNCED, Input.ACTION_NEEDED, Input.CONNECTION_LOST,
    Input.BROWSER_CRASHED, Input.UNLINKED, Input.ACCOUNT_BLOCKED, Input.SEND_DOUBTED,
)  # fmt: skip
"""Inputs that come from the page; a send in doubt may also be our own finding."""
_KNOWS_ITS_MESSAGES: Final = frozenset({State.READY, State.DRAINING})
"""In these the page has loaded its messages; before, an id that it does not know proves nothing."""

_END: Final = (Effect.CLOSE_BROWSER, Effect.END)
_OPEN: Final = Step(State.STARTING, (Effect.OPEN_BROWSER,))
_REOPEN: Final = Step(State.STARTING, (Effect.CLOSE_BROWSER, Effect.OPEN_BROWSER))
_RESTORE: Final = Step(State.STARTING, (Effect.CLOSE_BROWSER, Effect.OPEN_RESTORED))
_LOGOUT: Final = Step(
    State.LOGGED_OUT,
    (Effect.LOG_OUT, Effect.CLOSE_BROWSER, Effect.QUARANTINE, Effect.CANCEL_JOBS, Effect.END),
)
_LOGOUT_ASKED: Final = Step(State.LOGGED_OUT, (Effect.SETTLE_DOUBTS, *_LOGOUT.effects))
_RENEW: Final = Step(State.RECONNECTING, (Effect.RELOAD_PAGE,))
_RETRY: Final = Step(State.RECONNECTING, (Effect.ARM_BACKOFF,))
_UNLINKED: Final = Step(State.LOGGED_OUT, _END)
_STOPPED: Final = Step(State.STOPPED, _END)
_ACT: Final = Step(State.ACTION_REQUIRED)

_TABLE: Final[Mapping[tuple[State, Input], Step]] = {
    (State.STOPPED, Input.START): _OPEN,
    (State.STOPPED, Input.LOGOUT): _LOGOUT,
    (State.LOGGED_OUT, Input.START): _OPEN,
    (State.FAILED, Input.START): _OPEN,
    (State.BLOCKED, Input.START): _OPEN,
    (State.STARTING, Input.QR_SHOWN): Step(State.PAIRING),
    (State.STARTING, Input.QR_IDLE): Step(State.PAIRING, (Effect.REFRESH_QR,)),
    (State.STARTING, Input.LINKED): Step(State.SYNCING),
    (State.STARTING, Input.SYNCED): Step(State.READY),
    (State.STARTING, Input.ACTION_NEEDED): _ACT,
    (State.STARTING, Input.BROWSER_CRASHED): _RETRY,
    (State.STARTING, Input.UNLINKED): _UNLINKED,
    (State.STARTING, Input.START_FAILED): _RETRY,
    (State.STARTING, Input.TIMED_OUT): _RETRY,
    (State.STARTING, Input.LOGIN_VANISHED): _RESTORE,
    (State.PAIRING, Input.QR_IDLE): Step(State.PAIRING, (Effect.REFRESH_QR,)),
    (State.PAIRING, Input.LINKED): Step(State.SYNCING),
    (State.PAIRING, Input.SYNCED): Step(State.READY),
    (State.PAIRING, Input.ACTION_NEEDED): _ACT,
    (State.PAIRING, Input.BROWSER_CRASHED): _RETRY,
    (State.PAIRING, Input.TIMED_OUT): _STOPPED,
    (State.SYNCING, Input.QR_SHOWN): Step(State.PAIRING),
    (State.SYNCING, Input.SYNCED): Step(State.READY),
    (State.SYNCING, Input.ACTION_NEEDED): _ACT,
    (State.SYNCING, Input.BROWSER_CRASHED): _RETRY,
    (State.SYNCING, Input.SEND_DOUBTED): _RENEW,
    (State.SYNCING, Input.UNLINKED): _UNLINKED,
    (State.SYNCING, Input.TIMED_OUT): _RETRY,
    (State.SYNCING, Input.LOGIN_VANISHED): _RESTORE,
    (State.ACTION_REQUIRED, Input.QR_SHOWN): Step(State.PAIRING),
    (State.ACTION_REQUIRED, Input.LINKED): Step(State.SYNCING),
    (State.ACTION_REQUIRED, Input.SYNCED): Step(State.READY),
    (State.ACTION_REQUIRED, Input.BROWSER_CRASHED): _RETRY,
    (State.ACTION_REQUIRED, Input.SEND_DOUBTED): _RENEW,
    (State.ACTION_REQUIRED, Input.UNLINKED): _UNLINKED,
    (State.ACTION_REQUIRED, Input.TIMED_OUT): _STOPPED,
    (State.ACTION_REQUIRED, Input.LOGIN_VANISHED): _RESTORE,
    (State.READY, Input.DRAIN): Step(State.DRAINING),
    (State.READY, Input.ACTION_NEEDED): _ACT,
    (State.READY, Input.CONNECTION_LOST): Step(State.RECONNECTING, (Effect.ARM_GRACE,)),
    (State.READY, Input.BROWSER_CRASHED): _RETRY,
    (State.READY, Input.PROBE_FAILED): _RETRY,
    (State.READY, Input.PAGE_DEAF): _RETRY,
    (State.READY, Input.RECYCLE): Step(State.RECONNECTING, (Effect.RENEW_BROWSER,)),
    (State.READY, Input.SEND_DOUBTED): _RENEW,
    (State.READY, Input.UNLINKED): _UNLINKED,
    (State.READY, Input.QR_SHOWN): _UNLINKED,
    (State.READY, Input.LOGIN_VANISHED): _RESTORE,
    (State.RECONNECTING, Input.QR_SHOWN): Step(State.PAIRING),
    (State.RECONNECTING, Input.QR_IDLE): Step(State.PAIRING, (Effect.REFRESH_QR,)),
    (State.RECONNECTING, Input.SYNCED): Step(State.READY),
    (State.RECONNECTING, Input.ACTION_NEEDED): _ACT,
    (State.RECONNECTING, Input.BROWSER_CRASHED): _RETRY,
    (State.RECONNECTING, Input.SEND_DOUBTED): _RENEW,
    (State.RECONNECTING, Input.UNLINKED): _UNLINKED,
    (State.RECONNECTING, Input.LOGIN_VANISHED): _RESTORE,
    (State.RECONNECTING, Input.START_FAILED): _RETRY,
    (State.RECONNECTING, Input.TIMED_OUT): _RETRY,
    (State.RECONNECTING, Input.RETRIES_EXHAUSTED): Step(State.FAILED, _END),
    (State.DRAINING, Input.BROWSER_CRASHED): _STOPPED,
    (State.DRAINING, Input.SEND_DOUBTED): _STOPPED,
    (State.DRAINING, Input.UNLINKED): _UNLINKED,
    (State.DRAINING, Input.DRAINED): _STOPPED,
    (State.DRAINING, Input.TIMED_OUT): _STOPPED,
}


def _complete(table: Mapping[tuple[State, Input], Step]) -> Mapping[tuple[State, Input], Step]:
    """Add the entries that follow a rule (see the header); what the table says itself wins."""
    rules: dict[tuple[State, Input], Step] = {(state, Input.STOP): _STOPPED for state in State}
    rules[State.STOPPED, Input.FAULT] = Step(State.FAILED, _END)
    for state in LIVE:
        rules |= {(state, fact): Step(state) for fact in FACTS}
        rules[state, Input.FAULT] = Step(State.FAILED, _END)
        rules[state, Input.LOGOUT] = _LOGOUT_ASKED if state in _KNOWS_ITS_MESSAGES else _LOGOUT
        rules[state, Input.ACCOUNT_BLOCKED] = Step(State.BLOCKED, _END)
        if state is not State.DRAINING:
            rules[state, Input.RESTART] = _REOPEN
    return {**rules, **table}


TRANSITIONS: Final = _complete(_TABLE)

STATUS_OF: Final[Mapping[State, Status]] = {
    State.STARTING: "initializing",
    State.PAIRING: "initializing",
    State.SYNCING: "initializing",
    State.ACTION_REQUIRED: "initializing",
    State.READY: "ready",
    State.RECONNECTING: "disconnected",
    State.DRAINING: "disconnected",
    State.STOPPED: "disconnected",
    State.LOGGED_OUT: "disconnected",
    State.FAILED: "error",
    State.BLOCKED: "error",
}
"""What users ask for (DESIGN section 2)."""


def allows(state: State, input_: Input) -> bool:
    """Tell whether the table has an entry for a pair."""
    return (state, input_) in TRANSITIONS


def logged_out_by_order(state: str, reason: str | None) -> bool:
    """Tell whether this is the end of a logout that was carried out: profile put aside, queue cancelled."""
    return state == State.LOGGED_OUT and reason == LOGOUT_REASON


def step(state: State, input_: Input) -> Step:
    """Look up what an input does in a state.

    Raises:
        InvalidTransition: The table does not allow it; nothing changed.
    """
    found = TRANSITIONS.get((state, input_))
    if found is None:
        legal = ", ".join(sorted(other for at, other in TRANSITIONS if at is state))
        raise InvalidTransition(f"input {input_} is not allowed in state {state}; allowed there: {legal}")
    return found


def mermaid() -> str:
    """Draw the table as a Mermaid state diagram (README), one edge for all inputs between two states.

    Steps to the same state are left out, and so are the generated ones that every live state has.
    """
    edges: dict[tuple[State, State], list[str]] = {}
    for (state, input_), found in TRANSITIONS.items():
        generated = (state, input_) not in _TABLE
        if found.state is not state and not generated:
            edges.setdefault((state, found.state), []).append(input_.upper())
    lines = ["stateDiagram-v2", "    [*] --> stopped"]
    lines += [f"    {a} --> {b}: {', '.join(inputs)}" for (a, b), inputs in edges.items()]
    lines += [f"    {state} --> [*]" for state in State if state in FINAL]
    lines.append(
        "    note right of ready: every live state on STOP -> stopped, FAULT -> failed, LOGOUT -> logged_out,"
        " ACCOUNT_BLOCKED -> blocked, RESTART -> starting"
    )
    return "\n".join(lines) + "\n"
