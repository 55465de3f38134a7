"""Job records in ``wa_job_records``: what became of each job, every change a compare-and-set.

How long they live. An open record stays as long as its job may wait (the bucket's own age): it is what tells a session
that an attempt was made, and a tenant that the job is there. One with an outcome is written with ``record_ttl_s``; kept
as long as the others, they would fill the bucket ten times over. Where a job is still in the log then, because no
session ran to delete it, ``core.attempts.unrecorded`` ends it unsent.

Imports buckets and the records' model. History and attempts are kept inside the record, so one key holds all.
"""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from actors.config import QueueConfig
from actors.errors import Unavailable
from actors.messages.base import encode
from actors.messages.ids import SessionKey
from actors.messages.jobs import JobRecord
from actors.ports import Revised
from gateway.buckets import Bucket
from gateway.connection import Bus
from gateway.inbox import Begun
from gateway.streams import JOB_RECORDS

_RECORD: Final[TypeAdapter[JobRecord]] = TypeAdapter(JobRecord)
USUAL_TTL_S: Final = QueueConfig().record_ttl_s


class RecordStore:
    """Records of all sessions: the gateway's view. Every method raises ``Unavailable``."""

    def __init__(self, bus: Bus, *, ttl_s: float = USUAL_TTL_S) -> None:
        """Take the connection, and how long records with an outcome are kept."""
        self._bucket: Final = Bucket(bus, JOB_RECORDS)
        self._ttl_s: Final = ttl_s

    async def get(self, key: SessionKey, job_id: str) -> Revised[JobRecord] | None:
        """Return a record."""
        entry = await self._bucket.get(_key(key, job_id))
        if entry is None:
            return None
        try:
            return Revised(_RECORD.validate_json(entry.value), entry.revision)
        except ValidationError as exc:
            raise Unavailable(f"the record of job {job_id} is not one this version can read: {exc}") from exc

    async def create(self, record: JobRecord) -> int | None:
        """Store a first record; None if there is one already."""
        return await self._bucket.create(_key_of(record), encode(record))

    async def begin_create(self, record: JobRecord) -> Begun[int | None]:
        """Send a ``create`` whose outcome is waited for later."""
        return await self._bucket.begin_create(_key_of(record), encode(record))

    async def update(self, record: JobRecord, revision: int) -> int | None:
        """Replace a record; None if it is no longer at that revision."""
        ttl_s = None if record.is_open else self._ttl_s
        return await self._bucket.update(_key_of(record), encode(record), revision, ttl_s=ttl_s)

    async def delete(self, record: JobRecord, revision: int) -> bool:
        """Take a record back that is still at a revision; False if it is not."""
        return await self._bucket.delete(_key_of(record), revision, ttl_s=self._ttl_s)


class JetStreamJobRecords:
    """``actors.ports.JobRecords`` of one session."""

    def __init__(self, bus: Bus, key: SessionKey, *, ttl_s: float = USUAL_TTL_S) -> None:
        """Take the connection, the session, and how long records with an outcome are kept."""
        self._store: Final = RecordStore(bus, ttl_s=ttl_s)
        self._key: Final = key

    async def get(self, job_id: str) -> Revised[JobRecord] | None:
        """Return a record."""
        return await self._store.get(self._key, job_id)

    async def create(self, record: JobRecord) -> int | None:
        """Store a first record; None if there is one already."""
        return await self._store.create(record)

    async def update(self, record: JobRecord, revision: int) -> int | None:
        """Replace a record; None if it is no longer at that revision."""
        return await self._store.update(record, revision)


def _key(key: SessionKey, job_id: str) -> str:
    return f"{key.tenant_id}.{key.session_id}.{job_id}"


def _key_of(record: JobRecord) -> str:
    return f"{record.tenant_id}.{record.session_id}.{record.job_id}"
