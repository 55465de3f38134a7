"""One suite for the ports on JetStream and for the in-memory ones that stand in for them in other tests."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from actors.config import QueueConfig
from actors.messages.ids import SessionKey
from actors.messages.jobs import Job, LaneName, new_record
from actors.messages.records import LeaseRecord, ProfileHead
from actors.ports import EventSink, JobLog, JobRecords, LeaseStore, ProfileHeads
from gateway.connection import Bus
from gateway.events import JetStreamEventSink
from gateway.jobs import JetStreamJobLog, JobWriter
from gateway.leases import JetStreamLeaseStore
from gateway.profiles import JetStreamProfileHeads
from gateway.records import JetStreamJobRecords
from tests.gateway.building import make_event, make_job
from tests.support.memory import MemoryEvents, MemoryHeads, MemoryJobLog, MemoryLease, MemoryRecords
from tests.support.waiting import eventually

pytestmark = pytest.mark.nats


@dataclass
class Ports:
    """The storage ports of one session, and how a gateway stores a job for it."""

    jobs: JobLog
    records: JobRecords
    events: EventSink
    lease: LeaseStore
    heads: ProfileHeads
    store: Callable[[Job], Awaitable[int]]


@pytest.fixture(params=["memory", "jetstream"])
def ports(request: pytest.FixtureRequest, bus: Bus, key: SessionKey) -> Ports:
    """The ports of a session that nothing is stored for."""
    if request.param == "memory":
        log = MemoryJobLog()

        async def store(job: Job) -> int:
            return log.store(job)

        return Ports(log, MemoryRecords(), MemoryEvents(), MemoryLease(), MemoryHeads(), store)
    writer = JobWriter(bus, QueueConfig())

    async def publish(job: Job) -> int:
        return (await writer.publish(job)).seq

    return Ports(
        JetStreamJobLog(bus, key),
        JetStreamJobRecords(bus, key),
        JetStreamEventSink(bus, key),
        JetStreamLeaseStore.of_session(bus, key),
        JetStreamProfileHeads(bus, key),
        publish,
    )


async def test_a_job_log_gives_each_lane_in_order_behind_a_sequence_and_forgets_what_is_deleted(
    ports: Ports, key: SessionKey
) -> None:
    lanes: tuple[LaneName, ...] = ("normal", "high", "normal", "bulk", "normal")
    jobs = [make_job(key, lane=lane) for lane in lanes]
    seqs = [await ports.store(job) for job in jobs]
    assert seqs == sorted(set(seqs))
    first = await ports.jobs.read("normal", 0, 2)
    assert [(one.seq, one.job) for one in first] == [(seqs[0], jobs[0]), (seqs[2], jobs[2])]
    assert [one.job for one in await ports.jobs.read("normal", seqs[2], 2)] == [jobs[4]]
    assert not await ports.jobs.read("direct", 0, 2)
    for _ in range(2):
        await ports.jobs.delete(seqs[0])
    assert [one.seq for one in await ports.jobs.read("normal", 0, 9)] == [seqs[2], seqs[4]]
    assert await ports.jobs.depths() == {"direct": 0, "high": 1, "normal": 2, "bulk": 1}


async def test_a_job_log_wakes_with_the_lane(ports: Ports, key: SessionKey) -> None:
    woken: list[LaneName | None] = []
    await ports.jobs.listen(woken.append)
    await ports.store(make_job(key, lane="bulk"))
    await ports.store(make_job(key, lane="direct"))
    await eventually(lambda: woken == ["bulk", "direct"], within_s=5)


async def test_records_are_created_once_and_replaced_at_their_revision_only(ports: Ports, key: SessionKey) -> None:
    record = new_record(make_job(key))
    assert await ports.records.get(record.job_id) is None
    assert await ports.records.update(record, 1) is None
    first = await ports.records.create(record)
    assert first is not None
    assert await ports.records.create(record) is None
    changed = record.model_copy(update={"seq": 5})
    second = await ports.records.update(changed, first)
    assert second is not None
    assert await ports.records.update(record, first) is None
    found = await ports.records.get(record.job_id)
    assert found is not None
    assert (found.value, found.revision) == (changed, second)


async def test_events_are_numbered_on_from_the_highest_of_the_owner(ports: Ports, key: SessionKey) -> None:
    assert await ports.events.last_seq() == 0
    for number, seq in enumerate((7, 8, None)):
        await ports.events.publish(make_event(key, number, seq=seq, event="session.ready" if seq else "session.failed"))
    await ports.events.publish(make_event(key, 1, seq=9))
    assert await ports.events.last_seq() == 8


async def test_a_lease_has_one_holder_who_renews_at_its_revision_and_can_give_it_up(ports: Ports) -> None:
    mine, other = (LeaseRecord(owner_id=name, node="n", pid=1) for name in ("a", "b"))
    assert await ports.lease.read() is None
    assert await ports.lease.renew(mine, 1) is None
    first = await ports.lease.create(mine)
    assert first is not None
    assert await ports.lease.create(other) is None
    second = await ports.lease.renew(mine, first)
    assert second is not None
    assert await ports.lease.renew(other, first) is None
    await ports.lease.release(first)
    held = await ports.lease.read()
    assert held is not None
    assert (held.value, held.revision) == (mine, second)
    await ports.lease.release(second)
    assert await ports.lease.read() is None
    assert await ports.lease.create(other) is not None
    assert [await ports.lease.raise_epoch() for _ in range(2)] == [1, 2]


async def test_the_head_is_the_last_one_written(ports: Ports) -> None:
    assert await ports.heads.read() is None
    for epoch in (1, 2):
        await ports.heads.write(ProfileHead(epoch=epoch, node="n", generation="g"))
    assert await ports.heads.read() == ProfileHead(epoch=2, node="n", generation="g")
