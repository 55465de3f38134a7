"""In-memory stores behind the ports of a session: job log, records, events, statuses, lease, profile head."""

import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from actors.core import profiles
from actors.core.former_sends import Told, ends_of_attempts
from actors.errors import Unavailable
from actors.messages.events import Event, JobEvent
from actors.messages.jobs import LANES, Job, JobRecord, LaneName
from actors.messages.records import LeaseRecord, ProfileHead
from actors.messages.replies import SessionStatus
from actors.ports import Revised, StoredJob


class Store:
    """What all in-memory stores have in common: they can be away."""

    def __init__(self) -> None:
        self.down = False
        self.fail_next: deque[str] = deque()
        """Names of calls that will fail once."""

    def reach(self, call: str) -> None:
        if self.down:
            raise Unavailable(f"{call}: no answer from the store")
        if self.fail_next and self.fail_next[0] == call:
            self.fail_next.popleft()
            raise Unavailable(f"{call}: no answer from the store")


class MemoryJobLog(Store):
    """A job log with the lanes of one session."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[int, Job] = {}
        self.deleted: list[int] = []
        self._seq = itertools.count(1)
        self._listeners: list[Callable[[LaneName | None], None]] = []

    def store(self, job: Job, *, wake: bool = True) -> int:
        """Publish a job."""
        seq = next(self._seq)
        self.jobs[seq] = job
        if wake:
            self.wake(job.lane)
        return seq

    def wake(self, lane: LaneName | None) -> None:
        for listener in self._listeners:
            listener(lane)

    async def read(self, lane: LaneName, after_seq: int, limit: int) -> Sequence[StoredJob]:
        self.reach("read")
        found = [StoredJob(seq, job) for seq, job in self.jobs.items() if job.lane == lane and seq > after_seq]
        return found[:limit]

    async def delete(self, seq: int) -> None:
        self.reach("delete")
        if self.jobs.pop(seq, None):
            self.deleted.append(seq)

    async def depths(self) -> Mapping[LaneName, int]:
        self.reach("depths")
        return {lane: sum(job.lane == lane for job in self.jobs.values()) for lane in LANES}

    async def listen(self, on_wake: Callable[[LaneName | None], None]) -> None:
        self.reach("listen")
        self._listeners.append(on_wake)


class MemoryRecords(Store):
    """Job records with revisions."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[str, Revised[JobRecord]] = {}
        self._revision = itertools.count(1)

    async def get(self, job_id: str) -> Revised[JobRecord] | None:
        self.reach("get")
        return self.stored.get(job_id)

    async def create(self, record: JobRecord) -> int | None:
        self.reach("create")
        if record.job_id in self.stored:
            return None
        return self.put(record)

    async def update(self, record: JobRecord, revision: int) -> int | None:
        self.reach("update")
        found = self.stored.get(record.job_id)
        return self.put(record) if found and found.revision == revision else None

    def put(self, record: JobRecord) -> int:
        """Store a record, whatever is there."""
        revision = next(self._revision)
        self.stored[record.job_id] = Revised(record, revision)
        return revision


class MemoryEvents(Store):
    """An event stream that drops repeated ids, as JetStream does."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[Event] = []
        self.repeats: list[Event] = []
        self.stored_at: list[datetime] = []
        """When the store took each of ``published``, by its own clock."""
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        """The store's clock."""

    async def publish(self, event: Event) -> bool:
        self.reach("publish")
        if any(earlier.id == event.id for earlier in self.published):
            self.repeats.append(event)
            return False
        self.published.append(event)
        self.stored_at.append(self.clock())
        return True

    async def last_seq(self) -> int:
        self.reach("last_seq")
        return max((event.seq or 0 for event in self.published), default=0)

    async def former_sends(self, within_s: float) -> Sequence[float]:
        self.reach("former_sends")
        now = self.clock()
        told = [
            Told(event.data.job_id, event.data.attempt, age_s, event.event != "job.sending")
            for event, stored_at in zip(self.published, self.stored_at, strict=True)
            if isinstance(event, JobEvent)
            and event.event not in {"job.accepted", "job.rejected"}
            and (age_s := max(0.0, (now - stored_at).total_seconds())) <= within_s
        ]
        return ends_of_attempts(told)

    def names(self) -> list[str]:
        """Names of all events, in order."""
        return [event.event for event in self.published]

    def of(self, name: str) -> list[Event]:
        """All events of a name."""
        return [event for event in self.published if event.event == name]


class MemoryBoard(Store):
    """The status of one session."""

    def __init__(self) -> None:
        super().__init__()
        self.statuses: list[SessionStatus] = []

    async def put(self, status: SessionStatus) -> None:
        self.reach("put")
        self.statuses.append(status)

    async def last(self) -> SessionStatus | None:
        self.reach("last")
        return self.statuses[-1] if self.statuses else None


class MemoryLease(Store):
    """A lease store without a clock: a test takes the lease away."""

    def __init__(self) -> None:
        super().__init__()
        self.held: Revised[LeaseRecord] | None = None
        self.epoch = 0
        self.renewals = 0
        self.lose_answers = 0
        """Renewals that are stored but whose answer is lost."""
        self._revision = itertools.count(1)

    def take_over(self) -> None:
        """Let somebody else hold it."""
        self.held = Revised(LeaseRecord(owner_id="somebody", node="other", pid=1), next(self._revision))

    def amend(self, changes: Mapping[str, object]) -> None:
        """Let the lease say something else, at the same revision."""
        if self.held:
            self.held = Revised(self.held.value.model_copy(update=changes), self.held.revision)

    async def create(self, record: LeaseRecord) -> int | None:
        self.reach("create")
        return self._put(record) if self.held is None else None

    async def renew(self, record: LeaseRecord, revision: int) -> int | None:
        self.reach("renew")
        if self.held is None or self.held.revision != revision:
            return None
        self.renewals += 1
        stored = self._put(record)
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unavailable("renew: the answer was lost")
        return stored

    async def read(self) -> Revised[LeaseRecord] | None:
        self.reach("read")
        return self.held

    async def release(self, revision: int) -> bool:
        self.reach("release")
        if self.held is None or self.held.revision != revision:
            return False
        self.held = None
        return True

    async def raise_epoch(self) -> int:
        self.reach("raise_epoch")
        self.epoch += 1
        return self.epoch

    def _put(self, record: LeaseRecord) -> int:
        self.held = Revised(record, next(self._revision))
        return self.held.revision


class MemoryHeads(Store):
    """The head of one profile."""

    def __init__(self) -> None:
        super().__init__()
        self.head: ProfileHead | None = None

    async def read(self) -> ProfileHead | None:
        self.reach("read")
        return self.head

    async def write(self, head: ProfileHead) -> None:
        self.reach("write")
        if self.head and not profiles.may_replace(head, self.head):
            raise Unavailable("write: an owner of a higher epoch has written")
        self.head = head
