"""What happened in a run, as data: what was asked and answered, what the stores say, what WhatsApp's server saw. Pure.

All moments are seconds since 1970; every process of a run is on one machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from actors.messages.ids import SessionKey
from tests.chaos.plan import Kind, PlannedJob


@dataclass(frozen=True, slots=True)
class Asked:
    """A job that a tenant asked for, and what he was told."""

    job: PlannedJob
    job_id: str
    asked_at: float
    answered_at: float | None
    answer: str
    """The reply's status, the code of an error, or "" where no answer came at all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the stores say became of a job."""

    status: str
    error: str | None = None
    attempts: int = 1


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
    """When the fault itself was over; for one that lasts for good, the run's end."""

    def befell(self, key: SessionKey | None) -> bool:
        """Tell whether it concerned a session."""
        return self.key is None or self.key == key


@dataclass(frozen=True, slots=True)
class Told:
    """A session's event."""

    key: SessionKey
    event: str
    at: float


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
    told: Sequence[Told]
    states: Mapping[SessionKey, str]
    """Of the sessions at the end."""
    waiting: Mapping[SessionKey, int] = field(default_factory=dict)
    """Jobs that still lie in a session's log at the end."""
