"""The job log on a real nats-server."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from actors.config import QueueConfig
from actors.errors import InvalidCommand, QueueFull, Unavailable
from actors.messages.ids import SessionKey
from actors.messages.jobs import new_record
from gateway import direct
from gateway.connection import Bus, connect
from gateway.jobs import JetStreamJobLog, JobWriter, PubAck
from gateway.records import RecordStore
from gateway.streams import WA_JOBS, declared, ensure, job_subject
from tests.gateway.building import make_job
from tests.support.nats import NatsServer

pytestmark = pytest.mark.nats


@pytest.fixture
def writer(bus: Bus) -> JobWriter:
    return JobWriter(bus, QueueConfig())


async def test_a_repeated_job_is_stored_once(bus: Bus, writer: JobWriter, key: SessionKey) -> None:
    job = make_job(key)
    first, second = await writer.publish(job), await writer.publish(job)
    assert (first.duplicate, second.duplicate) == (False, True)
    assert first.seq == second.seq
    assert len(await JetStreamJobLog(bus, key).read("normal", 0, 10)) == 1


async def test_ten_thousand_jobs_are_read_completely_in_batches(bus: Bus, writer: JobWriter, key: SessionKey) -> None:
    jobs = [make_job(key, text=str(n)) for n in range(10_000)]
    for start in range(0, len(jobs), 500):
        await asyncio.gather(*(writer.publish(job) for job in jobs[start : start + 500]))
    log = JetStreamJobLog(bus, key)
    assert (await log.depths())["normal"] == 10_000
    read = [*await log.read("normal", 0, 256)]
    while page := await log.read("normal", read[-1].seq, 256):
        read.extend(page)
    assert sorted(stored.job.job_id for stored in read) == sorted(job.job_id for job in jobs)
    assert [stored.seq for stored in read] == sorted(stored.seq for stored in read)


async def test_a_full_lane_is_refused_while_its_neighbours_accept(own_nats_server: NatsServer, key: SessionKey) -> None:
    queue = QueueConfig(max_waiting_per_lane=3)
    async with await connect(own_nats_server.url, "test") as bus:
        await ensure(bus, declared(queue))
        writer = JobWriter(bus, queue)
        acks = [await writer.publish(make_job(key)) for _ in range(3)]
        with pytest.raises(QueueFull) as refused:
            await writer.publish(make_job(key))
        assert refused.value.details == {"lane": "normal", "limit": 3}
        await writer.publish(make_job(key, lane="high"))
        await writer.publish(make_job(SessionKey(key.tenant_id, "s2")))
        await writer.delete(key, acks[0].seq)
        await writer.publish(make_job(key))


async def test_a_job_too_large_for_the_server_is_refused_and_the_connection_lives(
    bus: Bus, writer: JobWriter, key: SessionKey
) -> None:
    with pytest.raises(InvalidCommand, match="NATS takes at most"):
        await writer.publish(make_job(key, text="x" * bus.client.max_payload))
    near = make_job(key, text="x" * (bus.client.max_payload - 6_000))
    await writer.publish(near)
    (stored,) = await JetStreamJobLog(bus, key).read("normal", 0, 10)
    assert stored.job == near


async def test_jobs_of_a_megabyte_are_all_read_although_no_batch_holds_them(
    bus: Bus, writer: JobWriter, key: SessionKey
) -> None:
    jobs = [make_job(key, text=str(n) * 900_000) for n in range(10)]
    for job in jobs:
        await writer.publish(job)
    log = JetStreamJobLog(bus, key)
    assert [stored.job for stored in await log.read("normal", 0, 64)] == jobs
    assert [stored.job for stored in await log.read("normal", 0, 9)] == jobs[:9]
    for stored in await log.read("normal", 0, 64):
        await log.delete(stored.seq)


async def test_a_job_that_cannot_be_read_is_reported_and_holds_up_nobody(
    bus: Bus, writer: JobWriter, key: SessionKey, caplog: pytest.LogCaptureFixture
) -> None:
    await bus.store(job_subject(key, "normal"), b'{"from": "another version"}')
    job = make_job(key)
    await writer.publish(job)
    assert [stored.job for stored in await JetStreamJobLog(bus, key).read("normal", 0, 1)] == [job]
    assert "cannot be read and is left alone" in caplog.text


@pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=1)], ids=["clocks agree", "a clock is wrong"])
async def test_a_waiting_job_is_found_by_its_id_lane_and_body(
    bus: Bus, writer: JobWriter, key: SessionKey, late: timedelta
) -> None:
    jobs = [make_job(key) for _ in range(600)]
    began = datetime.now(UTC) + late
    acks = await asyncio.gather(*(writer.publish(job) for job in jobs))
    record = new_record(jobs[500].model_copy(update={"accepted_at": began}))
    assert await writer.find_seq(record) == acks[500].seq
    for other in ({"lane": "high"}, {"body_hash": "1" * 64}):
        assert await writer.find_seq(record.model_copy(update=other)) is None
    await writer.delete(key, acks[500].seq)
    assert await writer.find_seq(record) is None


async def test_a_waiting_job_is_looked_for_from_where_it_was_accepted(
    bus: Bus, writer: JobWriter, key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.jobs._CLOCKS_DIFFER_BY", timedelta(0))
    before = await asyncio.gather(*(writer.publish(make_job(key)) for _ in range(300)))
    last = await direct.read_batch(
        bus, WA_JOBS, {"next_by_subj": job_subject(key, "normal"), "seq": max(ack.seq for ack in before), "batch": 1}
    )
    job = make_job(key)
    ack = await writer.publish(job)
    read = 0

    async def counted(bus: Bus, stream: str, query: Mapping[str, Any]) -> direct.Batch:
        nonlocal read
        batch = await read_batch(bus, stream, query)
        read += len(batch.messages)
        return batch

    read_batch = direct.read_batch
    monkeypatch.setattr(direct, "read_batch", counted)
    record = new_record(job.model_copy(update={"accepted_at": last.messages[0].stored_at}))
    assert await writer.find_seq(record) == ack.seq
    assert read == 2


async def test_a_full_stream_is_unavailable_and_not_a_full_queue(tmp_path: Path, key: SessionKey) -> None:
    with NatsServer(tmp_path, max_file_store="80MB") as server:
        async with await connect(server.url, "test") as bus:
            await ensure(bus)
            writer, large = JobWriter(bus, QueueConfig()), make_job(key, text="x" * 900_000)
            accepted = await asyncio.gather(
                *(writer.publish(make_job(key, text="x" * 900_000)) for _ in range(60)), return_exceptions=True
            )
            assert isinstance(accepted[0], PubAck)
            with pytest.raises(Unavailable, match="JetStream refused a job: maximum bytes exceeded"):
                await writer.publish(large)


async def test_a_job_and_its_record_go_out_together_and_each_tells_its_own_outcome(
    own_nats_server: NatsServer, key: SessionKey
) -> None:
    queue = QueueConfig(max_waiting_per_lane=1)
    async with await connect(own_nats_server.url, "test") as bus:
        await ensure(bus, declared(queue))
        writer, records = JobWriter(bus, queue), RecordStore(bus)
        first, second = make_job(key), make_job(key)
        for job, published in ((first, PubAck), (second, QueueFull)):
            publishing, creating = await writer.begin(job), await records.begin_create(new_record(job))
            assert isinstance(await publishing.outcome(), published)
            assert isinstance(await creating.outcome(), int)
        again = await records.begin_create(new_record(first))
        assert await again.outcome() is None
        too_large = await writer.begin(make_job(key, text="x" * bus.client.max_payload))
        assert isinstance(await too_large.outcome(), InvalidCommand)
