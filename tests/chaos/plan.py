"""What a seed stands for: which jobs are asked when, and which faults happen when. Data; pure but for its own Random.

The same seed and scale give the same plan. What comes of it differs from run to run, since processes are real: a seed
that found something is likely, not certain, to find it again.
"""

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final, Literal

from actors.messages.commands import Lane
from actors.messages.ids import SessionKey

Way = Literal["queue", "direct", "inbox"]


class Kind(StrEnum):
    """A kind of fault."""

    BROWSER = "kill browser"
    RENDERER = "kill renderer"
    DRIVER = "kill node driver"
    ACTOR = "kill actor"
    FREEZE = "freeze actor"
    SUPERVISOR = "kill supervisor"
    GATEWAY = "kill gateway"
    NATS = "kill nats-server"
    DROP = "drop socket"
    DROP_ALL = "drop all sockets"
    UPLOAD = "refuse uploads"
    NO_ACK = "no acks"
    LOSE = "lose messages"
    NACK = "refuse messages"
    REBOOT = "reboot machine"


OF_ONE_SESSION: Final = frozenset(
    {
        Kind.BROWSER, Kind.RENDERER, Kind.DRIVER, Kind.ACTOR, Kind.FREEZE, Kind.DROP,
        Kind.UPLOAD, Kind.NO_ACK, Kind.LOSE, Kind.NACK,
    }
)  # fmt: skip
"""Kinds that befall one session; the others befall all."""
KILLS_OWNER: Final = frozenset({Kind.ACTOR, Kind.REBOOT})
"""Kinds after which a session has a new owner."""
KEEPS_FROM_RENEWING: Final = frozenset({Kind.FREEZE, Kind.NATS})
"""Kinds after which it has one if they last for so long that its lease ends."""
KNOBS: Final = {
    Kind.UPLOAD: "upload",
    Kind.NO_ACK: "no_ack",
    Kind.LOSE: "drop_before_accept",
    Kind.NACK: "nack",
}
"""What the simulated WhatsApp server is told to do, for a while."""

_ROOM_S: Final[dict[Kind, float]] = {
    Kind.BROWSER: 4, Kind.RENDERER: 3, Kind.DRIVER: 4, Kind.ACTOR: 7, Kind.FREEZE: 7, Kind.SUPERVISOR: 4,
    Kind.GATEWAY: 4, Kind.NATS: 6, Kind.DROP: 1, Kind.DROP_ALL: 2, Kind.UPLOAD: 1, Kind.NO_ACK: 1, Kind.LOSE: 1,
    Kind.NACK: 1, Kind.REBOOT: 55,
}  # fmt: skip
"""Seconds until the next fault, on average: a machine with two cores starts one browser or worker at a time."""
_LASTS_S: Final[dict[Kind, tuple[float, float]]] = {
    Kind.NATS: (0.0, 4.0),
    Kind.GATEWAY: (0.0, 2.0),
    Kind.UPLOAD: (1.0, 5.0),
    Kind.NO_ACK: (1.0, 5.0),
    Kind.LOSE: (0.5, 2.0),
    Kind.NACK: (1.0, 3.0),
    Kind.REBOOT: (1.0, 3.0),
}
_LONG_NATS_S: Final = (9.0, 12.0)
"""Past the 8 s after which owners close their browsers (DESIGN 7 "Lease")."""
_FREEZES_S: Final = ((1.0, 5.0), (9.0, 14.0))
"""Shorter than a lease's send time, and longer; a third of the frozen actors are never thawed."""
_BESIDE_OTHERS: Final = 2
"""The short form runs in `make test` beside four other lanes of tests, on the same two cores (alone it takes 42 s)."""
_SPREAD: Final = (0.5, 1.5)
_TEXTS: Final = ("Hello", "Ünïcödé ☃", "two\nlines", "a longer text " * 20)


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a run is."""

    tenants: int
    sessions: int
    """Of each tenant."""
    jobs: int
    max_messages: int
    """Of each session in any five seconds. A run proves nothing of it unless a window fills, however slow the machine:
    found by twenty runs of `make test`, one of which came to 19 of 20."""
    span_s: float
    """How long jobs are asked and faults happen."""
    settle_s: float
    """How long to wait afterwards for the next job's outcome, until all have theirs: longer than a send may last whose
    ack is lost (a file's, two minutes), and its session's next page after it."""
    wanted: tuple[Kind, ...]
    """Faults that happen in any case; more are chosen while there is room."""
    more: tuple[Kind, ...]
    """What these are chosen from; a kind may stand here more than once."""
    pace: float
    """Shortens the time between faults: 1 is what two cores can bear with eight sessions."""
    long_outages: bool
    """Whether nats-server may be away, and actors frozen, for longer than leases hold."""
    send_timeout_s: float | None
    """How long a send waits for its ack; None: as long as in the product, half a minute, files two."""
    may_take_s: float
    """How long the whole run may take, from the first program's start to the last outcome."""


FULL: Final = Scale(
    tenants=2, sessions=4, jobs=1_000, max_messages=20, span_s=270, settle_s=150,
    wanted=(
        *Kind, Kind.ACTOR, Kind.ACTOR, Kind.FREEZE, Kind.FREEZE, Kind.BROWSER, Kind.NATS, Kind.NO_ACK, Kind.LOSE,
    ),
    more=tuple(kind for kind in Kind if kind is not Kind.REBOOT),
    pace=1, long_outages=True, send_timeout_s=None, may_take_s=600,
)  # fmt: skip
SHORT: Final = Scale(
    tenants=2, sessions=1, jobs=60, max_messages=10, span_s=10, settle_s=40,
    wanted=(Kind.ACTOR, Kind.BROWSER, Kind.NATS),
    more=tuple(kind for kind in Kind if kind not in {Kind.ACTOR, Kind.BROWSER, Kind.NATS, Kind.REBOOT}),
    pace=0.4, long_outages=False, send_timeout_s=8, may_take_s=60 * _BESIDE_OTHERS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One command to send something."""

    number: int
    at_s: float
    """When it is asked, from the beginning."""
    key: SessionKey
    kind: Literal["text", "media", "location"]
    lane: Lane
    way: Way
    """Through the queue, past it, or through the inbox, which needs no gateway."""
    expires_s: float | None
    """When it expires, from when it is asked; None: not within the run."""
    recipient: int
    """Which of the simulator's known people gets it."""
    text: str
    """Text, caption or description; holds the mark by which its message is recognised."""


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault."""

    number: int
    at_s: float
    kind: Kind
    key: SessionKey | None
    """Whom it befalls; None: all."""
    lasts_s: float | None = 0.0
    """How long the fault or the outage goes on; None: for good (a frozen actor that is never thawed)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a seed decides."""

    seed: int
    scale: Scale
    sessions: tuple[SessionKey, ...]
    jobs: tuple[PlannedJob, ...]
    faults: tuple[PlannedFault, ...]


def mark_of(number: int) -> str:
    """Return the text that no other job's message has."""
    return f"[chaos:{number:05d}]"


def make_plan(seed: int, scale: Scale) -> Plan:
    """Decide everything."""
    random = Random(seed)  # noqa: S311 - repeatable, not secret
    sessions = tuple(
        SessionKey(f"chaos{tenant + 1}", f"s{session + 1}")
        for tenant in range(scale.tenants)
        for session in range(scale.sessions)
    )
    return Plan(seed, scale, sessions, _plan_jobs(random, scale, sessions), _plan_faults(random, scale, sessions))


def _plan_jobs(random: Random, scale: Scale, sessions: tuple[SessionKey, ...]) -> tuple[PlannedJob, ...]:
    """Spread the jobs: half of them evenly, half in bursts of one session that overfill its window."""
    times: list[tuple[float, SessionKey]] = []
    while len(times) < scale.jobs:
        at, key = random.uniform(0, scale.span_s), random.choice(sessions)
        burst = random.randint(20, 40) if random.random() < 1 / 30 else 1
        times += [(at + random.uniform(0, 0.5), key) for _ in range(burst)]
    times = sorted(times[: scale.jobs])
    return tuple(_plan_job(random, number, at, key) for number, (at, key) in enumerate(times))


def _plan_job(random: Random, number: int, at_s: float, key: SessionKey) -> PlannedJob:
    lanes: tuple[Lane, ...] = ("high", "normal", "normal", "bulk")
    way: Way = random.choices(("queue", "direct", "inbox"), weights=(8, 1, 1))[0]
    return PlannedJob(
        number=number,
        at_s=at_s,
        key=key,
        kind=random.choices(("text", "media", "location"), weights=(6, 2, 2))[0],
        lane="normal" if way == "direct" else random.choice(lanes),
        way=way,
        expires_s=random.uniform(0.5, 20) if way != "direct" and random.random() < 0.1 else None,
        recipient=random.randrange(50),
        text=f"{mark_of(number)} {random.choice(_TEXTS)}",
    )


def _plan_faults(random: Random, scale: Scale, sessions: tuple[SessionKey, ...]) -> tuple[PlannedFault, ...]:
    kinds = list(scale.wanted)
    room = scale.span_s / scale.pace - sum(_ROOM_S[kind] for kind in kinds)
    while True:
        kind = random.choice(scale.more)
        room -= _ROOM_S[kind]
        if room < 0:
            break
        kinds.append(kind)
    random.shuffle(kinds)
    faults, at = [], _ROOM_S[Kind.DROP]
    for number, kind in enumerate(kinds):
        key = random.choice(sessions) if kind in OF_ONE_SESSION else None
        lasts = _lasts(random, kind, scale)
        faults.append(PlannedFault(number, at, kind, key, lasts))
        at += _ROOM_S[kind] * scale.pace * random.uniform(*_SPREAD)
    return tuple(faults)


def _lasts(random: Random, kind: Kind, scale: Scale) -> float | None:
    if kind is Kind.FREEZE:
        span = random.choice((*_FREEZES_S, None)) if scale.long_outages else _FREEZES_S[0]
        return None if span is None else random.uniform(*span)
    if kind is Kind.NATS and scale.long_outages and random.random() < 1 / 4:
        return random.uniform(*_LONG_NATS_S)
    return random.uniform(*_LASTS_S.get(kind, (0.0, 0.0)))
