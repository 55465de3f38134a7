"""Storing a job once: job log and record together, and what it means when one of the two already had it.

Theory of operation (DESIGN 7 "Job record"). Publishing the job and creating its record go out together; one after the
other takes too long. The record decides: whoever creates it made the job. If it exists with this request's id, the
session's owner read the job first and created it, which is as good. With another request's id the command is a repeat
of an idempotency key, answered with the first job as it is now. The job log may hold a repeat a second time where the
server forgot the first (it forgets what was deleted, and everything older than its duplicate window): the session
drops what has a final record or another body hash, so a stray is taken back here only for tidiness. For the session to
drop it, the record must be there as long as the stray: so each repeat renews the record of a job that has its outcome,
and takes its own copy back where the first still waits.

Where the server knew the id of a job, it may know it from another body under the same key, which is dropped or taken
back: so what the log holds is looked at then, and a job whose record stands is stored once more, under an id of its
body.

A record whose job the log refused must not survive, else a later repeat would be told "accepted" of a job that nobody
holds. But a gateway may die before it takes it back. So a record that no owner has touched proves nothing by itself:
before a repeat is answered from it alone, the log is asked, and a record that has no job there is taken back. A publish
without an answer is another matter: the job may be stored, so the record stays and the asker is told to ask again with
the same key.

The other way round, a job whose record was not taken lies in the log and will be sent. Whoever asks again stores the
record then, but one who is to be refused stores nothing: so before a refusal the log is asked too, by the message id,
which the server knows for two minutes after the job was stored.

Imports job log and records.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from actors.errors import InvalidCommand, Unavailable, WafleetError
from actors.messages.jobs import Job, JobRecord, new_record
from actors.ports import Revised
from gateway.inbox import Begun
from gateway.jobs import JobWriter, PubAck
from gateway.records import RecordStore

_MAX_TRIES: Final = 4
"""A record that vanishes between our create and our read was taken back by another request: then it is made again."""
_TAKEN_BACK_WITHIN: Final = timedelta(seconds=30)
"""An untouched record younger than this may belong to a request whose job is being stored or refused right now."""

_log = logging.getLogger("wafleet.gateway")


@dataclass(frozen=True, slots=True)
class Stored:
    """The job is in the log, or was before."""

    record: JobRecord
    duplicate: bool
    """An earlier request made it; ``record`` is as that job is now."""


@dataclass(frozen=True, slots=True)
class Storing:
    """A job on its way into log and record."""

    job: Job
    record: JobRecord
    publishing: Begun[PubAck]
    creating: Begun[int | None]


class JobStore:
    """Stores jobs so that each key makes one job, whoever asks and however often."""

    def __init__(self, jobs: JobWriter, records: RecordStore) -> None:
        self._jobs: Final = jobs
        self._records: Final = records

    async def find(self, job: Job) -> Stored | None:
        """Find the job that an earlier request with the same key made.

        Raises:
            InvalidCommand: That request said something else.
            Unavailable: JetStream did not answer, or that request is just being dealt with.
        """
        if job.idempotency_key is None:
            return None
        being_stored = Unavailable(f"job {job.job_id} is being stored; ask again", {"job_id": job.job_id})
        found = await self._earlier(job, undecided=being_stored)
        return None if found is None else Stored(found.value, duplicate=True)

    async def recall(self, job: Job) -> Stored | None:
        """Find the job that an earlier request made, before this one is refused: the log may hold it without a record.

        Raises:
            InvalidCommand: That request said something else.
            Unavailable: JetStream did not answer, or that request is just being dealt with.
        """
        earlier = await self.find(job)
        if earlier is not None or (job.idempotency_key is None and job.inbox_seq is None):
            return earlier
        logged = await self._jobs.find_recent(job)
        if logged is None:
            return None
        record = new_record(logged)
        _check_same(job, record)
        await self._make_up(record)
        return Stored(record, duplicate=logged.request_id != job.request_id)

    async def resume(self, job: Job) -> Stored | None:
        """Find the job that an earlier delivery of the same request made; what it left half-made is taken back.

        Raises:
            Unavailable: JetStream did not answer.
        """
        for _ in range(_MAX_TRIES):
            found = await self._records.get(job.key, job.job_id)
            if found is None or found.value.request_id != job.request_id:
                return None
            if await self._was_logged(found.value):
                return Stored(found.value, duplicate=False)
            if await self._records.delete(found.value, found.revision):
                return None
        raise _restless(job)

    async def store(self, job: Job) -> Stored:
        """Store a job. Raises as ``finish``."""
        return await self.finish(await self.begin(job))

    async def begin(self, job: Job) -> Storing:
        """Send what stores a job; an error of it is raised by ``finish``."""
        record = new_record(job)
        return Storing(job, record, await self._jobs.begin(job), await self._records.begin_create(record))

    async def finish(self, storing: Storing) -> Stored:
        """Wait until a job is stored.

        Raises:
            InvalidCommand: Its key was used for something else, or it is too large.
            QueueFull: The lane is full.
            Unavailable: JetStream refused it or did not answer; with the same key it is safe to ask again.
        """
        job, record = storing.job, storing.record
        for _ in range(_MAX_TRIES):
            created = await storing.creating.outcome()  # the later one first: one wake-up
            published = await storing.publishing.outcome()
            if isinstance(published, PubAck) and published.duplicate and isinstance(created, int):
                published = await self._assured(job, published)
            if isinstance(published, WafleetError):
                earlier = await self._refused(job, record, published, created)
                return Stored(earlier, duplicate=True)
            if isinstance(created, WafleetError):
                raise created
            if created is not None:
                return Stored(record, duplicate=False)
            found = await self._records.get(job.key, job.job_id)
            if found is not None:
                return await self._met(job, found, published)
            storing = await self.begin(job)
        raise _restless(job)

    async def _earlier(self, job: Job, *, undecided: WafleetError) -> Revised[JobRecord] | None:
        """Return the record of another request's job; one whose job never came into the log is taken back.

        Raises:
            InvalidCommand: That request said something else.
            WafleetError: ``undecided``, where that job may be on its way into the log.
        """
        for _ in range(_MAX_TRIES):
            found = await self._records.get(job.key, job.job_id)
            if found is None or found.value.request_id == job.request_id:
                return None
            record = found.value
            _check_same(job, record)
            if await self._was_logged(record):
                return found
            # It may have been carried out since the record was read: then its revision is another one.
            if job.accepted_at - record.history[0].time < _TAKEN_BACK_WITHIN:
                if await self._records.get(job.key, job.job_id) == found:
                    raise undecided
            elif await self._records.delete(record, found.revision):
                return None
        raise _restless(job)

    async def _was_logged(self, record: JobRecord) -> bool:
        """Tell whether a record's job is in the log or was: its owner has touched the record, or the log holds it."""
        return _is_touched(record) or await self._jobs.find_seq(record) is not None

    async def _met(self, job: Job, found: Revised[JobRecord], published: PubAck) -> Stored:
        """Judge a record that was there before ours."""
        record = found.value
        if record.request_id == job.request_id:
            return Stored(record, duplicate=False)
        await self._outlive_copies(found)
        stray = not published.duplicate and (record.body_hash != job.body_hash or not record.is_open)
        if stray:
            await self._take_back(job, published.seq)
        _check_same(job, record)
        if published.duplicate and not _is_touched(record):
            assured = await self._assured(job, published)
            if isinstance(assured, WafleetError):
                raise assured
            published = assured
        if not published.duplicate and record.is_open:
            await self._take_back_second(job, record, published.seq)
        return Stored(record, duplicate=True)

    async def _assured(self, job: Job, known: PubAck) -> PubAck | WafleetError:
        """See to it that the log holds a job whose record stands and whose id the server knew already.

        It may know it from a request that said something else: the record decides between the two, and this job's is
        the one that stands.
        """
        logged = await self._jobs.at(job.key, known.seq)
        if logged is not None and logged.body_hash == job.body_hash:
            return known
        return await (await self._jobs.begin(job, of_its_body=True)).outcome()

    async def _outlive_copies(self, found: Revised[JobRecord]) -> None:
        """Begin the time of a record with an outcome anew: a copy that this repeat may leave in the log is as young."""
        if found.value.is_open:
            return
        try:
            await self._records.update(found.value, found.revision)  # who is faster has renewed it
        except WafleetError as exc:
            _log.warning("the record of repeated job %s was not renewed: %s", found.value.job_id, exc)

    async def _take_back_second(self, job: Job, record: JobRecord, seq: int) -> None:
        """Take a copy back that lies behind the first: in a long pause it would outlive the record of its outcome."""
        try:
            first = await self._jobs.find_seq(record)
        except WafleetError as exc:
            _log.warning("a repeat of job %s may stay in the log for its session to drop: %s", job.job_id, exc)
            return
        if first is not None and first < seq:
            await self._take_back(job, seq)

    async def _take_back(self, job: Job, seq: int) -> None:
        try:
            await self._jobs.delete(job.key, seq)
        except WafleetError as exc:
            _log.warning("a repeat of job %s stays in the log for its session to drop: %s", job.job_id, exc)

    async def _refused(
        self, job: Job, record: JobRecord, error: WafleetError, created: int | WafleetError | None
    ) -> JobRecord:
        """The log did not take the job: undo the record, or find the earlier job that this one repeats."""
        if isinstance(created, int):
            if _is_definite(error):
                await self._undo(record, created)
            raise error
        earlier = None if isinstance(created, WafleetError) else await self._earlier(job, undecided=error)
        if earlier is None:
            raise error
        await self._outlive_copies(earlier)
        return earlier.value

    async def _make_up(self, record: JobRecord) -> None:
        """Create the record that a job in the log has not, as its session does where it comes first."""
        try:
            await self._records.create(record)
        except WafleetError as exc:
            _log.warning("job %s has no record until its session makes it: %s", record.job_id, exc)

    async def _undo(self, record: JobRecord, revision: int) -> None:
        try:
            await self._records.delete(record, revision)
        except WafleetError as exc:
            _log.warning("the record of refused job %s stays until it expires: %s", record.job_id, exc)


def _is_touched(record: JobRecord) -> bool:
    """Tell whether an owner has seen the job, or somebody ended it."""
    return not record.is_open or bool(record.attempts) or record.seq is not None


def _is_definite(error: WafleetError) -> bool:
    """Tell a refusal from an answer that did not come."""
    return not isinstance(error, Unavailable) or "err_code" in error.details


def _restless(job: Job) -> Unavailable:
    return Unavailable(f"the record of job {job.job_id} changes all the time; ask again", {"job_id": job.job_id})


def _check_same(job: Job, record: JobRecord) -> None:
    if record.body_hash != job.body_hash:
        raise InvalidCommand(
            f"idempotency_key was used for another command (job {record.job_id}); use a new key for a new message",
            {"field": "idempotency_key", "job_id": record.job_id},
        )
