"""What is written down about a job: its record, its outcome event, and its end in the log, in this order.

The outcome is stored by compare-and-set, then announced and waited for, then the job is deleted (promise 1). Where a
store does not answer, storing an outcome is tried until it does: the outcome is known and must not be forgotten. What
ends that is the lease: its loss aborts the handling of a job. Decides nothing; ``core.attempts`` does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from actors.core import attempts
from actors.core.attempts import Settle
from actors.core.mailbox import Held
from actors.errors import Unavailable
from actors.messages.events import JobData, JobEventName
from actors.messages.ids import address_of
from actors.messages.jobs import LANES, Attempt, Job, JobRecord, JobStatus, LaneName, new_record
from actors.outbox import Outbox
from actors.ports import Clock, JobLog, JobRecords, Revised, StoredJob

T = TypeVar("T")
_INSIST_EVERY_S: Final = 1.0
_CREATE_TRIES: Final = 3
_CANCEL_BATCH: Final = 64
_NOT_STORED: Final = 0
"""The revision of a record that nothing was written of."""
_EVENT_OF: Final[dict[JobStatus, JobEventName]] = {
    "failed": "message.failed",
    "expired": "message.failed",
    "cancelled": "message.failed",
    "unconfirmed": "message.unconfirmed",
}
"""Every other outcome is ``message.sent``: acks raise a sent record further."""


class JobLedger:
    """Keeps the records of one session's jobs."""

    def __init__(
        self,
        jobs: JobLog,
        records: JobRecords,
        outbox: Outbox,
        clock: Clock,
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._jobs = jobs
        self._records = records
        self._outbox = outbox
        self._clock = clock
        self._log = log

    async def load(self, job: Job, seq: int) -> Revised[JobRecord]:
        """Return a job's record; where the owner is first, its create is the record, and that of an old job is final.

        An old job that is no longer in the log needs no record: whoever took it out told its outcome.

        Raises:
            Unavailable: The store did not answer.
        """
        for _ in range(_CREATE_TRIES):
            found = await self._records.get(job.job_id)
            if found:
                return found
            record, now = new_record(job, seq=seq), self._clock.now()
            if settle := attempts.unrecorded(job, now):
                record = attempts.settled(record, settle, sent_key=None, now=now)
                if not await self._is_logged(job.lane, seq):
                    return Revised(record, _NOT_STORED)
            revision = await self._records.create(record)
            if revision is not None:
                return Revised(record, revision)
        raise Unavailable(f"the record of job {job.job_id} is neither there nor can it be created")

    async def attempts_in_hand(self) -> int:
        """Count the attempts of the jobs that a former owner may have had in hand.

        Their announcements, which the rate window is continued from, may have died with that owner on their way.

        Raises:
            Unavailable: A store did not answer.
        """
        return sum(len(record.attempts) for _, record in await self.in_hand())

    async def in_hand(self) -> Sequence[tuple[StoredJob, JobRecord]]:
        """Return the jobs that an owner may have had in hand, each the first of its lane, and what was written of them.

        Raises:
            Unavailable: A store did not answer.
        """
        heads = await asyncio.gather(*(self._jobs.read(lane, 0, 1) for lane in LANES))
        found = [job for head in heads for job in head]
        records = await asyncio.gather(*(self._records.get(job.job.job_id) for job in found))
        return [(job, stored.value) for job, stored in zip(found, records, strict=True) if stored]

    async def begin_attempt(
        self, held: Held, stored: Revised[JobRecord], attempt: Attempt
    ) -> Revised[JobRecord] | None:
        """Write an attempt down and announce it; None if the record changed meanwhile.

        Raises:
            Unavailable: The store did not answer; the attempt may be written, but must not be made.
        """
        record = attempts.sending(stored.value, attempt, seq=held.seq, now=self._clock.now())
        revision = await self._records.update(record, stored.revision)
        if revision is None:
            return None
        repeat = f".{attempt.n}" if attempt.n > 1 else ""
        self._outbox.put("job.sending", _job_data(record), f"{record.job_id}.sending{repeat}")
        return Revised(record, revision)

    async def settle(
        self, held: Held, stored: Revised[JobRecord], settle: Settle, *, sent_key: str | None = None
    ) -> JobRecord:
        """Store an outcome, announce it, and delete the job; returns when all of it is done."""
        record = await self._store_outcome(stored, settle, sent_key)
        await self.finish(held.seq, record)
        return record

    async def finish(self, seq: int, record: JobRecord) -> None:
        """Announce the outcome that a record holds and delete the job; both may be repeated.

        An outcome that was only inferred (``attempts.unrecorded``) is for a job in the log: what a gateway cancelled or
        expired while it waited here in memory has been told.
        """
        if attempts.is_inferred(record) and not await self._insist(partial(self._is_logged, record.lane, seq)):
            return
        outcome = "sent" if record.status not in _EVENT_OF else record.status
        event = _EVENT_OF.get(record.status, "message.sent")
        await self._outbox.publish(event, _job_data(record), f"{record.job_id}.{outcome}")
        await self._insist(partial(self._jobs.delete, seq))

    async def _is_logged(self, lane: LaneName, seq: int) -> bool:
        """Tell whether the log still holds a job."""
        return any(stored.seq == seq for stored in await self._jobs.read(lane, seq - 1, 1))

    async def drop(self, seq: int) -> None:
        """Delete what is no job of its own; nothing is announced, its record belongs to another."""
        await self._insist(partial(self._jobs.delete, seq))

    async def cancel_all(self) -> None:
        """End every job of the log: as cancelled, or unconfirmed where an attempt may have left."""
        for lane in LANES:
            after_seq = 0
            while batch := await self._read(lane, after_seq):
                await asyncio.gather(*(self._cancel(stored) for stored in batch))
                after_seq = batch[-1].seq

    async def _read(self, lane: LaneName, after_seq: int) -> Sequence[StoredJob]:
        return await self._insist(partial(self._jobs.read, lane, after_seq, _CANCEL_BATCH))

    async def _cancel(self, job: StoredJob) -> None:
        stored = await self._insist(partial(self.load, job.job, job.seq))
        record = stored.value
        if record.body_hash != job.job.body_hash:
            await self.drop(job.seq)
            return
        if record.is_open:
            settle = attempts.refuse(attempts.cancelled(), in_doubt=bool(record.attempts))
            record = await self._store_outcome(stored, settle, None)
        await self.finish(job.seq, record)

    async def _store_outcome(self, stored: Revised[JobRecord], settle: Settle, sent_key: str | None) -> JobRecord:
        """Store an outcome; where somebody was faster (or our own answer was lost), theirs counts."""
        record = attempts.settled(stored.value, settle, sent_key=sent_key, now=self._clock.now())
        revision = stored.revision
        while await self._insist(partial(self._records.update, record, revision)) is None:
            found = await self._insist(partial(self._records.get, record.job_id))
            if found is None:
                # Its time in the store ran out; the event still tells the outcome.
                return record
            if not found.value.is_open:
                return found.value
            revision = found.revision
        return record

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await call()
            except Unavailable as exc:
                self._log.warning("A job's outcome waits to be stored: %s", exc)
                await self._clock.sleep(_INSIST_EVERY_S)


def _job_data(record: JobRecord) -> JobData:
    """Describe a job; only from its record, so that a repeated event is the same."""
    chat_id = record.attempts[-1].chat_id if record.attempts else None
    address = address_of(record.to)
    return JobData(
        job_id=record.job_id,
        idempotency_key=record.idempotency_key,
        to=record.to,
        chat_id=chat_id,
        phone=address if address.endswith("@c.us") else None,
        lid=chat_id if chat_id and chat_id.endswith("@lid") else None,
        message_id=record.sent_key,
        attempt=len(record.attempts),
        inbox_seq=record.inbox_seq,
        error=record.error,
    )
