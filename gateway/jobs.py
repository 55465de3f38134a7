"""The job log in ``WA_JOBS``: the owner's side (read, delete, wake up) and the gateway's (publish, find).

Theory of operation (DESIGN 7 "Job log"). No consumers: the lease owner is the only reader of its lanes, reads batches
by sequence, is woken by a plain subscription to the same subjects, and deletes by sequence with ``no_erase`` (17 times
as fast as nats-py's secure erase, measured). A full lane is refused by the server itself.

Owns the translation of JetStream's answers about jobs. Imports the connection, direct reads and the streams' names.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, get_args

from nats.aio.msg import Msg
from pydantic import TypeAdapter, ValidationError

from actors.config import QueueConfig
from actors.errors import QueueFull, WafleetError
from actors.messages.base import encode
from actors.messages.ids import SessionKey, dedup_id
from actors.messages.jobs import LANES, Job, JobRecord, LaneName
from actors.ports import StoredJob
from gateway.answers import Refused, Stored, publish_ack
from gateway.connection import Bus
from gateway.direct import StoredMessage, read_all, read_batch
from gateway.inbox import Begun, begun
from gateway.streams import WA_JOBS, job_subject

_CLOCKS_DIFFER_BY: Final = timedelta(seconds=10)
"""A gateway's and the server's, where both are kept right; beyond it a search takes longer and finds the same."""
_EXPECTED_LAST_ID: Final = "Nats-Expected-Last-Msg-Id"
_MSG_ID: Final = "Nats-Msg-Id"
_NO_MESSAGE: Final = frozenset({10037, 10043, 10057})
_JOB: Final[TypeAdapter[Job]] = TypeAdapter(Job)
_LANE_NAMES: Final = frozenset(get_args(LaneName))

_log = logging.getLogger("wafleet.nats")


class JetStreamJobLog:
    """``actors.ports.JobLog`` of one session."""

    def __init__(self, bus: Bus, key: SessionKey) -> None:
        self._bus: Final = bus
        self._key: Final = key

    async def read(self, lane: LaneName, after_seq: int, limit: int) -> Sequence[StoredJob]:
        """Return the next jobs of a lane behind a sequence, oldest first; fewer than ``limit`` only at the end."""
        jobs: list[StoredJob] = []
        seq = after_seq + 1
        while len(jobs) < limit:
            query = {"next_by_subj": job_subject(self._key, lane), "seq": seq, "batch": limit - len(jobs)}
            page = await read_batch(self._bus, WA_JOBS, query)
            jobs.extend(job for message in page.messages if (job := _parse(message)) is not None)
            if not page.messages or page.pending == 0:
                break
            seq = page.messages[-1].seq + 1
        return jobs

    async def delete(self, seq: int) -> None:
        """Remove a finished job; removing it twice is no error."""
        answer = await self._bus.api(f"STREAM.MSG.DELETE.{WA_JOBS}", {"seq": seq, "no_erase": True})
        if isinstance(answer, Refused) and answer.err_code not in _NO_MESSAGE:
            raise answer.unavailable(f"to delete job {seq}")

    async def depths(self) -> Mapping[LaneName, int]:
        """Return the server's own count of stored jobs by lane."""
        return await depths(self._bus, self._key)

    async def listen(self, on_wake: Callable[[LaneName | None], None]) -> None:
        """Call back when jobs may have been stored; None (every lane) after the connection was lost and is back."""

        async def wake(msg: Msg) -> None:
            lane = msg.subject.rpartition(".")[2]
            if lane in _LANE_NAMES:
                on_wake(lane)  # type: ignore[arg-type] # the line above checked it

        forget = self._bus.on_reconnected(lambda: on_wake(None))
        try:
            await self._bus.subscribe(job_subject(self._key, "*"), wake)
        except BaseException:  # it will be tried again: one hook is enough
            forget()
            raise


@dataclass(frozen=True, slots=True)
class PubAck:
    """Where a job lies in the log."""

    seq: int
    duplicate: bool
    """The log held a job of this id already."""


class JobWriter:
    """The gateway's side of the job log, for all sessions."""

    def __init__(self, bus: Bus, queue: QueueConfig) -> None:
        self._bus: Final = bus
        self._limit: Final = queue.max_waiting_per_lane

    async def publish(self, job: Job) -> PubAck:
        """Store a job.

        Raises:
            QueueFull: The lane holds its limit.
            InvalidCommand: The job is larger than a message may be.
            Unavailable: JetStream is full, away or did not answer in time (then the job may have been stored).
        """
        outcome = await (await self.begin(job)).outcome()
        if isinstance(outcome, WafleetError):
            raise outcome
        return outcome

    async def begin(self, job: Job, *, of_its_body: bool = False) -> Begun[PubAck]:
        """Send a ``publish`` whose outcome is waited for later.

        Args:
            job: The job.
            of_its_body: Store it also where the server knows its id, unless it is known with this very body.
        """

        async def judge(answer: Msg) -> PubAck:
            return self._judge(job, publish_ack(answer))

        message_id = dedup_id(job.key, job.job_id, job.body_hash) if of_its_body else dedup_id(job.key, job.job_id)
        headers = {_MSG_ID: message_id}
        return await begun(self._bus.begin(job_subject(job.key, job.lane), encode(job), headers=headers), judge)

    def _judge(self, job: Job, answer: Stored | Refused) -> PubAck:
        if isinstance(answer, Stored):
            return PubAck(answer.seq, answer.duplicate)
        if answer.subject_is_full:
            raise QueueFull(
                f"lane {job.lane!r} of session {job.session_id!r} holds {self._limit} waiting jobs, its limit; "
                "send more when some are done",
                {"lane": job.lane, "limit": self._limit},
            )
        raise answer.unavailable("a job")

    async def find_recent(self, job: Job) -> Job | None:
        """Return what the log holds under a job's message id, where the server still knows that: two minutes long.

        It is asked by a publish that stores nothing: the id is looked for first (seen with nats-server 2.15.1), and the
        last job's id, a hash, is never the one expected. That costs the same however many jobs the lane holds.
        """
        headers = {_MSG_ID: dedup_id(job.key, job.job_id), _EXPECTED_LAST_ID: "none"}
        answer = await self._bus.store(job_subject(job.key, job.lane), b"", headers=headers)
        return await self.at(job.key, answer.seq) if isinstance(answer, Stored) else None

    async def at(self, key: SessionKey, seq: int) -> Job | None:
        """Return the job of a session at a sequence; None if it is no longer there."""
        page = await read_batch(self._bus, WA_JOBS, {"next_by_subj": job_subject(key, "*"), "seq": seq, "batch": 1})
        stored = next((_parse(message) for message in page.messages if message.seq == seq), None)
        return None if stored is None else stored.job

    async def find_seq(self, record: JobRecord) -> int | None:
        """Find the sequence of a record's job; None if it is not there (another body under the same id is not it).

        What was stored before the job was accepted is not read, unless the job is not found behind it: whoever cancels
        a full lane job by job would else read it 10,000 times.
        """
        for since in (record.history[0].time - _CLOCKS_DIFFER_BY, None):
            seq = await self._seq_since(since, record)
            if seq is not None:
                return seq
        return None

    async def _seq_since(self, since: datetime | None, record: JobRecord) -> int | None:
        needle = record.job_id.encode()
        async for message in read_all(self._bus, WA_JOBS, job_subject(record.key, record.lane), since=since):
            if needle in message.body and (found := _parse(message)) is not None and record.is_of(found.job):
                return message.seq
        return None

    async def delete(self, key: SessionKey, seq: int) -> None:
        """Remove a cancelled job; removing it twice is no error."""
        await JetStreamJobLog(self._bus, key).delete(seq)

    async def depths(self, key: SessionKey) -> Mapping[LaneName, int]:
        """Return the server's own count of a session's stored jobs by lane."""
        return await depths(self._bus, key)


async def depths(bus: Bus, key: SessionKey) -> Mapping[LaneName, int]:
    """Return the server's own count of a session's stored jobs by lane. Raises ``Unavailable``."""
    answer = await bus.api(f"STREAM.INFO.{WA_JOBS}", {"subjects_filter": job_subject(key, "*")})
    if isinstance(answer, Refused):
        raise answer.unavailable("to count jobs")
    counts: Mapping[str, int] = answer["state"].get("subjects") or {}
    return {lane: counts.get(job_subject(key, lane), 0) for lane in LANES}


def _parse(message: StoredMessage) -> StoredJob | None:
    """Read a job; one that this version cannot read stays in the log and is reported."""
    try:
        return StoredJob(message.seq, _JOB.validate_json(message.body))
    except ValidationError as exc:
        _log.error("job %d on %s cannot be read and is left alone: %s", message.seq, message.subject, exc)
        return None
