"""Direct mode: the job goes through the lane ``direct``, and the answer is its outcome.

Theory of operation. The outcome's event is listened for before the job is stored; since an event may be lost with a
connection, the record is read as well every few seconds. The job expires by itself within 30 s. If nobody has touched
it a little later, no owner reads its lane: it is ended here, so that "expired" is true when it is answered. A repeat of
a key joins the wait for the first job and is answered with its status, whatever it came to.

Imports outcomes, storing and job commands.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from actors.errors import Unavailable, WafleetError
from actors.messages.events import JobEvent
from actors.messages.jobs import ACK_STATUSES, Job, JobError, JobRecord, JobStatus
from actors.messages.replies import JobSent
from actors.ports import Clock
from gateway.admission import Bound
from gateway.failures import error_of_job
from gateway.job_commands import JobCommands
from gateway.outcomes import Outcome, Outcomes
from gateway.records import RecordStore
from gateway.storing import JobStore

_LOOK_EVERY_S: Final = 5.0
_GRACE_S: Final = 5.0
"""How long after its ``expires_at`` a job that is being sent may take to its outcome."""


class DirectSends:
    """Sends past the queue and waits for the outcome."""

    def __init__(
        self,
        *,
        outcomes: Outcomes,
        store: JobStore,
        records: RecordStore,
        commands: JobCommands,
        clock: Clock,
        waiting: Bound,
    ) -> None:
        self._outcomes: Final = outcomes
        self._store: Final = store
        self._records: Final = records
        self._commands: Final = commands
        self._clock: Final = clock
        self._waiting: Final = waiting

    async def send(self, job: Job, refusal: WafleetError | None, announce: Callable[[Job], Awaitable[None]]) -> JobSent:
        """Store a job and wait for its outcome.

        Args:
            job: The job, in the lane ``direct``.
            refusal: What speaks against it; it is raised unless an earlier request with the same key made the job.
            announce: Tells the world that the job was accepted.

        Raises:
            WafleetError: The refusal, the job's failure, or ``Unavailable`` where the outcome did not come in time.
        """
        with self._waiting.place(job.key):
            async with self._outcomes.expect(job.key, job.job_id) as outcome:
                if refusal is None:
                    stored = await self._store.store(job)
                else:
                    earlier = await self._store.recall(job)
                    if earlier is None:
                        raise refusal
                    stored = earlier
                if stored.duplicate:
                    # The request that ended it may have come no further than its record.
                    await self._commands.finish_unsent(stored.record)
                else:
                    await announce(job)
                ended = await self._ended(job, outcome, look_first=stored.duplicate)
        if stored.duplicate or ended.status in ACK_STATUSES:
            return JobSent(
                job_id=job.job_id, status=ended.status, message_id=ended.message_id, duplicate=stored.duplicate
            )
        raise error_of_job(ended.error, job.job_id, ended.status)

    async def _ended(self, job: Job, outcome: Outcome, *, look_first: bool) -> "_End":
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max(0.0, (job.expires_at - self._clock.now()).total_seconds()) + _GRACE_S
        if look_first and (end := await self._look(job)) is not None:
            return end
        while (left := deadline - loop.time()) > 0:
            done, _ = await asyncio.wait({outcome}, timeout=min(left, _LOOK_EVERY_S))
            if done:
                return _End.told_by(outcome.result())
            if (end := await self._look(job)) is not None:
                return end
        return await self._give_up(job)

    async def _look(self, job: Job) -> "_End | None":
        """Read the outcome from the record; an answer that does not come now may come next time."""
        try:
            found = await self._records.get(job.key, job.job_id)
        except Unavailable:
            return None
        return None if found is None or found.value.is_open else _End.recorded_in(found.value)

    async def _give_up(self, job: Job) -> "_End":
        found = await self._records.get(job.key, job.job_id)
        record = None if found is None else await self._commands.end_unsent(found, "expired")
        if record is None or record.is_open:
            raise Unavailable(
                f"job {job.job_id} has no outcome yet; ask job.get, or wait for its event", {"job_id": job.job_id}
            )
        return _End.recorded_in(record)


@dataclass(frozen=True, slots=True)
class _End:
    """What became of a job."""

    status: JobStatus
    message_id: str | None
    error: JobError | None

    @classmethod
    def told_by(cls, event: JobEvent) -> "_End":
        """Read an outcome event, whose id ends in the status."""
        status: Any = event.id.rpartition(".")[2]
        return cls(status, event.data.message_id, event.data.error)

    @classmethod
    def recorded_in(cls, record: JobRecord) -> "_End":
        """Read a final record."""
        return cls(record.status, record.sent_key, record.error)
