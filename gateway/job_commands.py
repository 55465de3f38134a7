"""``job.get`` and ``job.cancel``, and the one way in which a gateway ends a job: before any attempt began.

Theory of operation. Accepted → cancelled (or expired) is a compare-and-set on the job's record, as is the session's
accepted → sending: exactly one side wins. The winner publishes the outcome, then deletes the job from the log. If it
comes no further, whoever finds the final record does the same again: the session when it comes to the job, and, since
a session may be stopped, a repeated request. Event id and deletion are the same each time.

Imports job log, records and events.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from actors.errors import JobCancelled, JobExpired, UnknownJob, WafleetError
from actors.messages.commands import JobCancel, JobGet
from actors.messages.events import JobData, JobEvent
from actors.messages.ids import SessionKey
from actors.messages.jobs import JobError, JobRecord, JobStatus, StatusChange
from actors.messages.replies import JobReply
from actors.ports import Clock, Revised
from gateway.connection import Bus
from gateway.events import publish_event
from gateway.jobs import JobWriter
from gateway.records import RecordStore

_MAX_RACES: Final = 8
"""How often a compare-and-set is tried; each loss means that the record moved on."""
_ENDED_UNSENT: Final[frozenset[JobStatus]] = frozenset({"cancelled", "expired"})

_log = logging.getLogger("wafleet.gateway")


class JobCommands:
    """Answers questions about jobs and cancels them."""

    def __init__(
        self,
        bus: Bus,
        jobs: JobWriter,
        records: RecordStore,
        clock: Clock,
        *,
        known: Callable[[SessionKey], Awaitable[object]],
    ) -> None:
        """Take the parts.

        Args:
            bus: Where events go.
            jobs: The job log.
            records: The records.
            clock: For the times in records and events.
            known: Raises ``UnknownSession`` for a session that was never started.
        """
        self._bus: Final = bus
        self._jobs: Final = jobs
        self._records: Final = records
        self._clock: Final = clock
        self._known: Final = known

    async def get(self, key: SessionKey, command: JobGet) -> JobReply:
        """Return what is known of a job. Raises ``UnknownJob``, ``UnknownSession``, ``Unavailable``."""
        return job_reply((await self._found(key, command.job_id)).value)

    async def cancel(self, key: SessionKey, command: JobCancel) -> JobReply:
        """Cancel a job unless an attempt has begun. Raises ``UnknownJob``, ``UnknownSession``, ``Unavailable``."""
        found = await self._found(key, command.job_id)
        return job_reply(await self.end_unsent(found, "cancelled"))

    async def end_unsent(self, found: Revised[JobRecord], status: Literal["cancelled", "expired"]) -> JobRecord:
        """End a job that no attempt was made for; return its record, unchanged where it had moved on already."""
        for _ in range(_MAX_RACES):
            record = found.value
            if record.status != "accepted":
                await self.finish_unsent(record)
                return record
            ended = self._ended(record, status)
            if await self._records.update(ended, found.revision) is not None:
                await self._announce(ended)
                await self._clear(ended, ended.seq)
                return ended
            found = await self._found(SessionKey(record.tenant_id, record.session_id), record.job_id)
        return found.value

    async def finish_unsent(self, record: JobRecord) -> None:
        """Announce and clear what was ended before any attempt and still is in the log; nothing for every other record.

        Whoever ended it came no further than its record then, or is about to do the same: both do no harm twice.

        Raises:
            Unavailable: It may be neither announced nor cleared; to ask again is to go on here.
        """
        if record.status not in _ENDED_UNSENT or record.attempts:
            return
        seq = await self._jobs.find_seq(record)
        if seq is not None:
            await self._announce(record)
            await self._clear(record, seq)

    async def _found(self, key: SessionKey, job_id: str) -> Revised[JobRecord]:
        found = await self._records.get(key, job_id)
        if found is None:
            await self._known(key)
            raise UnknownJob(
                f"session {key.session_id!r} has no job {job_id}, or its record has run out", {"job_id": job_id}
            )
        return found

    def _ended(self, record: JobRecord, status: Literal["cancelled", "expired"]) -> JobRecord:
        cause: WafleetError = (
            JobCancelled("the job was cancelled before an attempt began")
            if status == "cancelled"
            else JobExpired("expires_at passed before an attempt began")
        )
        return record.model_copy(
            update={
                "status": status,
                "error": JobError(code=cause.code, message=cause.message, details=cause.details),
                "history": (*record.history, StatusChange(status=status, time=self._clock.now())),
            }
        )

    async def _announce(self, record: JobRecord) -> None:
        event = JobEvent(
            id=f"{record.job_id}.{record.status}",
            event="message.failed",
            tenant_id=record.tenant_id,
            session_id=record.session_id,
            time=record.history[-1].time,  # the same in a repeated event
            data=JobData(
                job_id=record.job_id,
                idempotency_key=record.idempotency_key,
                to=record.to,
                inbox_seq=record.inbox_seq,
                error=record.error,
            ),
        )
        await publish_event(self._bus, event)

    async def _clear(self, record: JobRecord, seq: int | None) -> None:
        """Take the job out of the log; where that fails, the session does it when it comes to the job."""
        key = SessionKey(record.tenant_id, record.session_id)
        try:
            seq = seq or await self._jobs.find_seq(record)
            if seq is not None:
                await self._jobs.delete(key, seq)
        except WafleetError as exc:
            _log.warning("job %s of %s stays in the log for its session to clear: %s", record.job_id, key, exc)


def job_reply(record: JobRecord) -> JobReply:
    """Show a record as tenants see it."""
    return JobReply(
        job_id=record.job_id,
        session_id=record.session_id,
        kind=record.kind,
        to=record.to,
        lane=record.lane,
        status=record.status,
        message_id=record.sent_key,
        attempts=len(record.attempts),
        error=record.error,
        history=record.history,
    )
