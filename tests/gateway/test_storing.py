"""What log and record of one job mean together, also where a request came only half-way."""

from datetime import timedelta

import pytest

from actors.config import QueueConfig
from actors.errors import QueueFull, Unavailable
from actors.messages.ids import SessionKey, dedup_id
from actors.messages.jobs import Job, new_record
from gateway.connection import Bus, connect
from gateway.jobs import JetStreamJobLog, JobWriter
from gateway.records import RecordStore
from gateway.storing import JobStore
from gateway.streams import declared, ensure
from tests.gateway.building import make_job
from tests.support.nats import NatsServer

pytestmark = pytest.mark.nats


def store_on(bus: Bus) -> JobStore:
    """A gateway's store."""
    return JobStore(JobWriter(bus, QueueConfig()), RecordStore(bus))


def keyed(key: SessionKey, body: str = "0") -> Job:
    """A job as a request with an idempotency key makes it."""
    return make_job(key).model_copy(update={"idempotency_key": "k", "body_hash": body * 64})


def again(job: Job, *, after_s: float = 0) -> Job:
    """The job of a later request with the same key."""
    moment = job.accepted_at + timedelta(seconds=after_s)
    return job.model_copy(update={"request_id": f"{job.request_id}-{after_s:g}", "accepted_at": moment})


async def logged(bus: Bus, key: SessionKey) -> list[Job]:
    return [stored.job for stored in await JetStreamJobLog(bus, key).read("normal", 0, 100)]


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server know no message id of a job stored so far, as minutes later or after a deletion and a restart."""
    monkeypatch.setattr("gateway.jobs.dedup_id", lambda *parts: dedup_id(*parts, "later"))


# --- a record that was left behind ------------------------------------------------------------------------------------


async def leave_record(bus: Bus, store: JobStore, key: SessionKey) -> Job:
    """Refuse a job in a full lane and die before its record is taken back."""
    job = keyed(key)
    storing = await store.begin(job)
    assert isinstance(await storing.publishing.outcome(), QueueFull)
    assert isinstance(await storing.creating.outcome(), int)
    return job


async def test_a_record_without_a_job_is_no_earlier_request(own_nats_server: NatsServer, key: SessionKey) -> None:
    async with await connect(own_nats_server.url, "test") as bus:
        await ensure(bus, declared(QueueConfig(max_waiting_per_lane=1)))
        store, records = store_on(bus), RecordStore(bus)
        await store.store(make_job(key))
        left = await leave_record(bus, store, key)
        with pytest.raises(QueueFull):
            await store.store(again(left, after_s=29))
        with pytest.raises(Unavailable, match="is being stored"):
            await store.find(again(left, after_s=29))
        assert await records.get(key, left.job_id) is not None, "its job may still be on its way"
        with pytest.raises(QueueFull):
            await store.store(again(left, after_s=31))
        assert await records.get(key, left.job_id) is None
        left = await leave_record(bus, store, key)
        assert await store.find(again(left, after_s=31)) is None
        assert await records.get(key, left.job_id) is None


async def test_a_job_that_still_waits_is_an_earlier_request_however_full_its_lane_is(
    own_nats_server: NatsServer, key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await connect(own_nats_server.url, "test") as bus:
        await ensure(bus, declared(QueueConfig(max_waiting_per_lane=1)))
        store, job = store_on(bus), keyed(key)
        await store.store(job)
        for after_s in (1, 31):
            found = await store.find(again(job, after_s=after_s))
            assert found is not None
            assert (found.record.request_id, found.duplicate) == (job.request_id, True)
        forget(monkeypatch)
        stored = await store.store(again(job, after_s=86_400))
        assert (stored.record.request_id, stored.duplicate) == (job.request_id, True)
        assert await logged(bus, key) == [job]


async def test_a_job_that_is_carried_out_while_it_is_looked_for_is_an_earlier_request(
    bus: Bus, key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, records, job = store_on(bus), RecordStore(bus), keyed(key)
    await records.create(new_record(job))

    async def sent_meanwhile(*_: object) -> None:
        found = await records.get(key, job.job_id)
        assert found is not None
        await records.update(found.value.model_copy(update={"status": "sent"}), found.revision)

    monkeypatch.setattr(JobWriter, "find_seq", sent_meanwhile)
    for after_s in (1, 31):
        found = await store.find(again(job, after_s=after_s))
        assert found is not None
        assert found.record.status == "sent"
