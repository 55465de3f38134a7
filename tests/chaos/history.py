"""What happened in a run, as data: what was asked and answered, what the stores say, what WhatsApp's server saw. Pure.

All moments are seconds since 1970; every process of a run is on one machine.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

from actors.config import SessionConfig
from actors.messages.ids import SessionKey
from actors.messages.jobs import ACK_STATUSES
from tests.chaos.plan import Kind, PlannedFault, PlannedJob

SENT: Final = frozenset(ACK_STATUSES)
"""Statuses of a job whose message the server acknowledged."""
ACCEPTED: Final = frozenset({"accepted", "sending", "stored", *SENT})
"""Answers, also to a repeated request, that mean that the job is held."""
NOT_SENT: Final = frozenset({"failed", "expired", "cancelled"})
"""Statuses of a job whose message never left."""
_REPLACED_S: Final = 60.0
"""A frozen owner is found by its heart, killed and followed within 35 s (``make bench``); on a busy machine later."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A job that a tenant asked for, and what he was told."""

    job: PlannedJob
    job_id: str
    asked_at: float
    answered_at: float | None
    answer: str
    """The reply's status, the code of an error, or "" where no answer came at all."""

    def __str__(self) -> str:
        return f"job {self.job.number} ({self.job.kind}, {self.job.way} {self.job.lane}, {self.job.key}, {self.job_id})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the stores say became of a job."""

    status: str
    error: str | None = None
    attempts: int = 1
    at: float = 0.0
    """When it became so."""
    attempted: tuple[float, ...] = ()
    """When each attempt to send it was written down."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that WhatsApp's server took."""

    key: SessionKey | None
    """Whose account sent it; None: an account of no session."""
    number: int | None
    """Of the job whose mark it bears; None: of no job."""
    message_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was made."""

    kind: Kind
    key: SessionKey | None
    at: float
    until: float
    """When the fault itself was over; infinity for one that lasts for good."""

    def befell(self, key: SessionKey | None) -> bool:
        """Tell whether it concerned a session."""
        return self.key is None or self.key == key

    @property
    def felt_until(self) -> float:
        """When it could be felt no more: what is frozen for good is replaced."""
        return self.at + _REPLACED_S if self.until == inf else self.until


@dataclass(frozen=True, slots=True)
class Told:
    """A session's event."""

    key: SessionKey
    event: str
    at: float


@dataclass(frozen=True, slots=True)
class Heard:
    """An event that an owner stored, as it lies in the stream: nobody has dropped a replaced owner's yet."""

    key: SessionKey
    event_id: str
    at: float
    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class History:
    """One whole run."""

    max_messages: int
    window_s: float
    linked_at: Mapping[SessionKey, float]
    """When each session was ready for the first time."""
    ended_at: float
    asked: Sequence[Asked]
    outcomes: Mapping[str, Outcome]
    """By job id; jobs that no store knows are missing."""
    announced: Mapping[str, Sequence[str]]
    """Names of the outcome events that a tenant saw, by job id."""
    arrived: Sequence[Arrived]
    """In the server's order."""
    faults: Sequence[Fault]
    wanted: Sequence[Kind]
    """Kinds of faults without which the run shows too little."""
    missed: Sequence[PlannedFault]
    """Planned faults that did not happen: there was nothing to do them to, or no time left."""
    took_s: float
    may_take_s: float
    told: Sequence[Told]
    states: Mapping[SessionKey, str]
    """Of the sessions at the end."""
    waiting: Mapping[SessionKey, int] = field(default_factory=dict)
    """Jobs that still lie in a session's log at the end."""
    rejected: Mapping[str, str] = field(default_factory=dict)
    """By job id, the code with which an event rejected a job from the inbox."""
    conflicts: Mapping[SessionKey, int] = field(default_factory=dict)
    """How often WhatsApp's server saw a second page log in while the first one was still connected."""
    heard: Sequence[Heard] = ()
    """In the stream's order."""
    send_timeout_s: float = SessionConfig().send_timeout_s
    media_send_timeout_s: float = SessionConfig().media_send_timeout_s

    def befallen(self, key: SessionKey | None, kinds: Iterable[Kind], since: float, until: float) -> list[Fault]:
        """Return the faults of some kinds that were going on for a session within a span."""
        wanted = frozenset(kinds)
        return [
            fault
            for fault in self.faults
            if fault.kind in wanted and fault.befell(key) and fault.at <= until and fault.felt_until >= since
        ]

    def outcome(self, one: Asked) -> Outcome | None:
        """Return what became of a job; None if no store knows it."""
        return self.outcomes.get(one.job_id)

    def accepted(self) -> list[Asked]:
        """Return the jobs that were accepted: the tenant was told so, or a store holds them."""
        return [one for one in self.asked if one.job_id in self.outcomes or self.refusal(one) in ACCEPTED]

    def refusal(self, one: Asked) -> str:
        """Return the answer to a job, or as what it was rejected later, when it was read from the inbox."""
        return self.rejected.get(one.job_id, one.answer)

    def arrivals(self) -> dict[int, list[Arrived]]:
        """Return the messages that bear a mark, by the number of the job."""
        found: defaultdict[int, list[Arrived]] = defaultdict(list)
        for one in self.arrived:
            if one.number is not None:
                found[one.number].append(one)
        return dict(found)

    def fullest_windows(self) -> dict[SessionKey, int]:
        """Return the most messages of each session within any span of the window's length, by the server's clock."""
        times: defaultdict[SessionKey, list[float]] = defaultdict(list)
        for one in self.arrived:
            if one.key is not None:
                times[one.key].append(one.at)
        return {
            key: max(sum(start <= at < start + self.window_s for at in those) for start in those)
            for key, those in times.items()
        }

    def is_linked(self, told: Told) -> bool:
        """Tell whether an event came after its session had been linked."""
        return told.key in self.linked_at and told.at > self.linked_at[told.key]
