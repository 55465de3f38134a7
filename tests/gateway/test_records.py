"""Job records: every change is a compare-and-set."""

import asyncio

import pytest

from actors.config import QueueConfig
from actors.errors import InvalidCommand
from actors.messages.ids import SessionKey
from actors.messages.jobs import JobRecord, StatusChange, new_record
from gateway.answers import Refused
from gateway.connection import Bus
from gateway.records import JetStreamJobRecords, RecordStore
from gateway.streams import JOB_RECORDS, declared
from tests.gateway.building import MOMENT, make_job
from tests.support.waiting import eventually

pytestmark = pytest.mark.nats


def _moved(record: JobRecord, status: str) -> JobRecord:
    step = StatusChange.model_validate({"status": status, "time": MOMENT})
    return record.model_copy(update={"status": status, "history": (*record.history, step)})


async def test_a_record_is_read_back_as_it_was_written_by_session_and_by_gateway(bus: Bus, key: SessionKey) -> None:
    records, store = JetStreamJobRecords(bus, key), RecordStore(bus)
    record = new_record(make_job(key), seq=7)
    assert await records.get(record.job_id) is None
    revision = await records.create(record)
    for found in (await records.get(record.job_id), await store.get(key, record.job_id)):
        assert found is not None
        assert (found.value, found.revision) == (record, revision)
    assert await store.get(SessionKey(key.tenant_id, "other"), record.job_id) is None


async def test_an_open_record_outlives_every_job_and_one_with_an_outcome_goes_sooner(bus: Bus, key: SessionKey) -> None:
    """What still waits may have been tried: forgotten, it would be sent again."""
    queue, store = QueueConfig(), RecordStore(bus, ttl_s=1)
    (spec,) = [spec for spec in declared(queue) if spec.name == f"KV_{JOB_RECORDS}"]
    assert spec.max_age_s >= queue.max_expiry_s + queue.record_ttl_s
    waiting, tried, done, taken_back = (new_record(make_job(key)) for _ in range(4))
    for record in (waiting, tried, done, taken_back):
        assert await store.create(record) is not None
    assert await store.update(_moved(tried, "sending"), await _revision(store, key, tried))
    assert await store.update(_moved(done, "sent"), await _revision(store, key, done))
    assert await store.delete(taken_back, await _revision(store, key, taken_back))
    prefix = f"$KV.{JOB_RECORDS}.{key.tenant_id}.>"

    async def left() -> int:
        info = await bus.api(f"STREAM.INFO.KV_{JOB_RECORDS}", {"subjects_filter": prefix})
        assert not isinstance(info, Refused)
        return len(info["state"].get("subjects") or {})

    async def gone() -> bool:
        return await left() == 2

    await eventually(gone, within_s=10)
    assert await store.get(key, done.job_id) is None
    assert await store.get(key, waiting.job_id) is not None
    assert await store.get(key, tried.job_id) is not None


async def _revision(store: RecordStore, key: SessionKey, record: JobRecord) -> int:
    found = await store.get(key, record.job_id)
    assert found is not None
    return found.revision


async def test_of_two_creators_one_wins(bus: Bus, key: SessionKey) -> None:
    record = new_record(make_job(key))
    other = record.model_copy(update={"request_id": "another"})
    done = await asyncio.gather(*(RecordStore(bus).create(one) for one in (record, other, record, other)))
    assert sum(revision is not None for revision in done) == 1


async def test_cancel_and_attempt_race_for_an_accepted_job_and_one_wins(bus: Bus, key: SessionKey) -> None:
    store = RecordStore(bus)
    for _ in range(20):
        record = new_record(make_job(key))
        revision = await store.create(record)
        assert revision is not None
        rivals = [_moved(record, "cancelled"), _moved(record, "sending")]
        outcomes = await asyncio.gather(*(store.update(rival, revision) for rival in rivals))
        winners = [rival for rival, outcome in zip(rivals, outcomes, strict=True) if outcome is not None]
        found = await store.get(key, record.job_id)
        assert found is not None
        assert [found.value] == winners
        assert len(found.value.history) == 2


async def test_a_record_too_large_for_the_server_is_refused_and_the_connection_lives(bus: Bus, key: SessionKey) -> None:
    record = new_record(make_job(key))
    with pytest.raises(InvalidCommand):
        await RecordStore(bus).create(record.model_copy(update={"to": "6" * bus.client.max_payload}))
    assert await RecordStore(bus).create(record) is not None
