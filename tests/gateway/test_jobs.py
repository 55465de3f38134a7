"""The job log on a real nats-server."""

import asyncio

import pytest

from actors.config import QueueConfig
from actors.errors import InvalidCommand, QueueFull
from actors.messages.ids import SessionKey
from gateway.connection import Bus, connect
from gateway.jobs import JetStreamJobLog, JobWriter
from gateway.streams import declared, ensure
from tests.gateway.building import make_job
from tests.support.nats import NatsServer

pytestmark = pytest.mark.nats


@pytest.fixture
def writer(bus: Bus) -> JobWriter:
    return JobWriter(bus, QueueConfig())


async def test_jobs_are_read_lane_by_lane_in_the_order_they_were_stored(
    bus: Bus, writer: JobWriter, key: SessionKey
) -> None:
    log = JetStreamJobLog(bus, key)
    high = [make_job(key, lane="high", text=str(n)) for n in range(3)]
    normal = [make_job(key, text=str(n)) for n in range(3)]
    for pair in zip(high, normal, strict=True):
        for job in pair:
            await writer.publish(job)
    assert [stored.job for stored in await log.read("high", 0, 10)] == high
    first = await log.read("normal", 0, 1)
    rest = await log.read("normal", first[0].seq, 10)
    assert [stored.job for stored in (*first, *rest)] == normal
    assert await log.read("bulk", 0, 10) == []


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


async def test_deleting_twice_is_no_error_and_depths_follow(bus: Bus, writer: JobWriter, key: SessionKey) -> None:
    log = JetStreamJobLog(bus, key)
    ack = await writer.publish(make_job(key, lane="bulk"))
    await writer.publish(make_job(key, lane="direct"))
    assert await log.depths() == {"direct": 1, "high": 0, "normal": 0, "bulk": 1}
    await log.delete(ack.seq)
    await log.delete(ack.seq)
    assert await log.depths() == {"direct": 1, "high": 0, "normal": 0, "bulk": 0}


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
