"""The mailbox: a bounded window of each lane of the job log, kept in memory.

The job log is the truth and may hold 10,000 jobs a lane; the mailbox holds the next ``limit`` of each and a cursor
behind which to read on. One window per lane, since one read over all lanes gives stream order: ``high`` would wait
behind every ``bulk``. A job stays in its window until its outcome is known and it was deleted from the log, so the
mailbox may die with its actor at any moment. Pure; what to read and when is said by ``reads``.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from actors.messages.jobs import LANES, Job, LaneName

MAX_LANE_BYTES: Final = 8 * 2**20
"""Files in jobs that a lane's window may hold; one job is always held, whatever it weighs."""


@dataclass(frozen=True, slots=True)
class Held:
    """A job in the mailbox."""

    seq: int
    """Its sequence in the log."""
    job: Job
    expires_at: float
    """Monotonic moment after which no attempt begins."""

    @property
    def weight(self) -> int:
        """Roughly the bytes it takes: only a file in the job itself counts."""
        content = self.job.content
        return len(content.data or "") if content.kind == "media" else 0


@dataclass(frozen=True, slots=True)
class Read:
    """Jobs to be read from the log."""

    lane: LaneName
    after_seq: int
    limit: int


@dataclass(slots=True)
class _Lane:
    window: deque[Held] = field(default_factory=deque)
    cursor: int = 0
    """Highest sequence that was read."""
    behind: bool = True
    """Whether the log may hold more behind the cursor."""
    reading: bool = False
    stale: bool = False
    """Whether what is being read was dropped meanwhile."""
    weight: int = 0
    """Of all jobs in the window."""

    def has_room(self, limit: int) -> bool:
        """Whether the window has run down to half."""
        return len(self.window) <= limit // 2 and self.weight <= MAX_LANE_BYTES // 2

    def take(self, held: Held) -> bool:
        """Add the next job; False if it is too heavy for now."""
        if self.window and self.weight + held.weight > MAX_LANE_BYTES:
            return False
        self.window.append(held)
        self.weight += held.weight
        self.cursor = held.seq
        return True


class Mailbox:
    """Jobs in memory, by lane, in the order of the log."""

    def __init__(self, limit_per_lane: int) -> None:
        self._limit = limit_per_lane
        self._lanes: dict[LaneName, _Lane] = {name: _Lane() for name in LANES}

    def wake(self, lane: LaneName | None) -> None:
        """Note that a lane (None: every lane) may hold jobs that were not read yet."""
        for name in LANES if lane is None else (lane,):
            self._lanes[name].behind = True

    def reads(self) -> list[Read]:
        """Return what should be read now and mark it as being read.

        A lane is read when it may hold more and its window has run down to half, so that a full lane is read in
        batches and not job by job.
        """
        due = []
        for name, lane in self._lanes.items():
            if lane.behind and not lane.reading and lane.has_room(self._limit):
                lane.reading, lane.behind = True, False
                due.append(Read(name, lane.cursor, self._limit - len(lane.window)))
        return due

    def put(self, read: Read, jobs: Sequence[Held]) -> None:
        """Take what a read returned."""
        lane = self._lanes[read.lane]
        lane.reading = False
        if lane.stale:
            lane.stale, lane.behind = False, True
            return
        lane.behind = lane.behind or len(jobs) >= read.limit
        for held in jobs:
            if held.seq > lane.cursor and not lane.take(held):
                lane.behind = True
                return

    def read_failed(self, lane: LaneName) -> None:
        """Note that a read gave no answer; the lane is read again after the next wake-up."""
        self._lanes[lane].reading = self._lanes[lane].stale = False

    def head(self, *, paused: bool) -> Held | None:
        """Return the next job in the order direct, high, normal, bulk; only ``direct`` goes on while paused."""
        for name, lane in self._lanes.items():
            if lane.window and (not paused or name == "direct"):
                return lane.window[0]
        return None

    def expired(self, now: float, skip: AbstractSet[int]) -> Held | None:
        """Return a job whose time has passed, wherever it stands, unless its sequence is to be skipped."""
        return next((held for held in self._all() if held.expires_at <= now and held.seq not in skip), None)

    def next_expiry(self, skip: AbstractSet[int]) -> float | None:
        """Return when the next job expires."""
        return min((held.expires_at for held in self._all() if held.seq not in skip), default=None)

    def remove(self, held: Held) -> None:
        """Drop a finished job."""
        lane = self._lanes[held.job.lane]
        lane.window.remove(held)
        lane.weight -= held.weight

    def clear(self, *, keep: Held | None) -> None:
        """Drop every job but one, and whatever is being read now."""
        for held in [held for held in self._all() if held != keep]:
            self.remove(held)
        for lane in self._lanes.values():
            lane.stale = lane.reading

    def __len__(self) -> int:
        return sum(len(lane.window) for lane in self._lanes.values())

    def _all(self) -> Iterable[Held]:
        return (held for lane in self._lanes.values() for held in lane.window)
