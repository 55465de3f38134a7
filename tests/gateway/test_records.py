"""Job records: every change is a compare-and-set."""

import asyncio

import pytest

from actors.errors import InvalidCommand
from actors.messages.ids import SessionKey
from actors.messages.jobs import JobRecord, StatusChange, new_record
from gateway.connection import Bus
from gateway.records import JetStreamJobRecords, RecordStore
from tests.gateway.building import MOMENT, make_job

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
