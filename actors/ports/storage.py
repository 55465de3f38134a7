"""What a session keeps outside itself: job log, records, events, status, lease, profile head.

Implemented on JetStream in ``gateway``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from actors.messages.events import Event
from actors.messages.jobs import Job, JobRecord, LaneName
from actors.messages.records import LeaseRecord, ProfileHead
from actors.messages.replies import SessionStatus

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job in the log."""

    seq: int
    job: Job


class JobLog(Protocol):
    """The session's own lanes of ``WA_JOBS``. Only the lease owner reads it."""

    async def read(self, lane: LaneName, after_seq: int, limit: int) -> Sequence[StoredJob]:
        """Return the next jobs of a lane behind a sequence, oldest first."""
        ...

    async def delete(self, seq: int) -> None:
        """Remove a finished job; removing it twice is no error."""
        ...

    async def depths(self) -> Mapping[LaneName, int]:
        """Return the server's own count of stored jobs by lane."""
        ...

    async def listen(self, on_wake: Callable[[LaneName | None], None]) -> None:
        """Call back when jobs may have been stored; None (every lane) after the connection was lost and is back."""
        ...


@dataclass(frozen=True, slots=True)
class Revised(Generic[T]):
    """A stored value with the revision that a compare-and-set names."""

    value: T
    revision: int


class JobRecords(Protocol):
    """``wa_job_records`` of one session."""

    async def get(self, job_id: str) -> "Revised[JobRecord] | None":
        """Return a record."""
        ...

    async def create(self, record: JobRecord) -> int | None:
        """Store a first record; None if there is one already."""
        ...

    async def update(self, record: JobRecord, revision: int) -> int | None:
        """Replace a record; None if it is no longer at that revision."""
        ...


class EventSink(Protocol):
    """``WA_EVENTS`` of one session."""

    async def publish(self, event: Event) -> bool:
        """Store an event; returns when JetStream has it: False if it had one of that id before."""
        ...

    async def last_seq(self) -> int:
        """Return the highest ``seq`` stored for this session, 0 if none: a new owner goes on from it."""
        ...

    async def former_sends(self, within_s: float) -> Sequence[float]:
        """Return how many seconds ago, by the store's clock, each send of the last ``within_s`` ended at the latest.

        Asked once by a new owner, after it raised the epoch: the rate window goes on where the former owner left it.
        """
        ...


class EventPublisher(Protocol):
    """``WA_EVENTS`` of every session, for who speaks in an owner's place."""

    async def publish(self, event: Event) -> bool:
        """Store an event; returns when JetStream has it: False if it had one of that id before."""
        ...


class StatusBoard(Protocol):
    """``wa_status`` of one session: what gateways answer from."""

    async def put(self, status: SessionStatus) -> None:
        """Store the newest status."""
        ...

    async def last(self) -> SessionStatus | None:
        """Return the status as it stands: a new owner reads there which account was linked last."""
        ...


class LeaseStore(Protocol):
    """The lease and epoch of one session."""

    async def create(self, record: LeaseRecord) -> int | None:
        """Take a free lease and return its revision; None if somebody holds it."""
        ...

    async def renew(self, record: LeaseRecord, revision: int) -> int | None:
        """Renew by compare-and-set; None on "wrong last sequence"."""
        ...

    async def read(self) -> "Revised[LeaseRecord] | None":
        """Return the lease as it is now."""
        ...

    async def release(self, revision: int) -> bool:
        """Give the lease up if it is still at that revision; False if it is not."""
        ...

    async def raise_epoch(self) -> int:
        """Count the epoch up and return it; called after the lease is held and before a browser opens."""
        ...


class ProfileHeads(Protocol):
    """Which copy of the profile is the newest (used for restoring snapshots)."""

    async def read(self) -> ProfileHead | None:
        """Return the head."""
        ...

    async def write(self, head: ProfileHead) -> None:
        """Store the head; done before each launch.

        Raises:
            Unavailable: The store did not answer, or an owner of a higher epoch has written.
        """
        ...
