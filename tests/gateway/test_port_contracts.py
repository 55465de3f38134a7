"""One suite for the ports on JetStream and for the in-memory ones that stand in for them in other tests."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from actors.config import QueueConfig
from actors.errors import Unavailable
from actors.messages.ids import SessionKey
from actors.messages.jobs import Job, LaneName, new_record
from actors.messages.records import LeaseRecord, ProfileHead
from actors.messages.replies import SessionStatus
from actors.ports import (
    EventSink,
    JobLog,
    JobRecords,
    LeaseStore,
    ProfileHeads,
    Registry,
    SnapshotStore,
    StatusBoard,
)
from gateway.connection import Bus
from gateway.events import JetStreamEventSink
from gateway.jobs import JetStreamJobLog, JobWriter
from gateway.leases import JetStreamLeaseStore
from gateway.profiles import JetStreamProfileHeads
from gateway.records import JetStreamJobRecords
from gateway.registry import JetStreamRegistry, JetStreamStatusBoard
from gateway.snapshots import JetStreamSnapshotStore
from tests.gateway.building import make_desired, make_event, make_job, make_manifest, make_status
from tests.support.copies import MemorySnapshots
from tests.support.fleet import MemoryRegistry
from tests.support.memory import MemoryBoard, MemoryEvents, MemoryHeads, MemoryJobLog, MemoryLease, MemoryRecords
from tests.support.waiting import eventually

pytestmark = pytest.mark.nats


@dataclass
class Ports:
    """The storage ports of one session and of the fleet, and how a gateway stores a job for the session."""

    jobs: JobLog
    records: JobRecords
    events: EventSink
    lease: LeaseStore
    heads: ProfileHeads
    board: StatusBoard
    snapshots: SnapshotStore
    registry: Registry
    store: Callable[[Job], Awaitable[int]]


@pytest.fixture(params=["memory", "jetstream"])
async def ports(request: pytest.FixtureRequest, bus: Bus, key: SessionKey) -> AsyncIterator[Ports]:
    """The ports of a session that nothing is stored for."""
    if request.param == "memory":
        log = MemoryJobLog()

        async def store(job: Job) -> int:
            return log.store(job)

        yield Ports(
            jobs=log,
            records=MemoryRecords(),
            events=MemoryEvents(),
            lease=MemoryLease(),
            heads=MemoryHeads(),
            board=MemoryBoard(),
            snapshots=MemorySnapshots(),
            registry=MemoryRegistry(),
            store=store,
        )
        return
    writer = JobWriter(bus, QueueConfig())

    async def publish(job: Job) -> int:
        return (await writer.publish(job)).seq

    registry = JetStreamRegistry(bus)
    await registry.start()
    yield Ports(
        jobs=JetStreamJobLog(bus, key),
        records=JetStreamJobRecords(bus, key),
        events=JetStreamEventSink(bus, key),
        lease=JetStreamLeaseStore.of_session(bus, key),
        heads=JetStreamProfileHeads(bus, key),
        board=JetStreamStatusBoard(bus, key),
        snapshots=JetStreamSnapshotStore(bus, key),
        registry=registry,
        store=publish,
    )
    await registry.stop()


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
        name = "session.ready" if seq else "session.failed"
        assert await ports.events.publish(make_event(key, number, seq=seq, event=name))
    assert not await ports.events.publish(make_event(key, 1, seq=9))
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


async def test_the_head_is_the_last_one_written_by_the_newest_owner(ports: Ports) -> None:
    assert await ports.heads.read() is None
    for epoch, generation in ((1, "a"), (2, "b"), (2, "c")):
        await ports.heads.write(head := ProfileHead(epoch=epoch, node="n", generation=generation))
        assert await ports.heads.read() == head
    with pytest.raises(Unavailable):
        await ports.heads.write(ProfileHead(epoch=1, node="n", generation="a", linked=True))
    assert await ports.heads.read() == head


async def test_the_status_is_the_last_one_put(ports: Ports, key: SessionKey) -> None:
    assert await ports.board.last() is None
    for state in ("starting", "ready"):
        await ports.board.put(status := make_status(key, state))
        assert await ports.board.last() == status


async def test_the_two_newest_snapshots_are_held_and_an_owner_of_old_writes_none(ports: Ports, tmp_path: Path) -> None:
    async def store(epoch: int, *, bad: tuple[int, ...] = ()) -> bool:
        content = b"content %d" % epoch
        path = tmp_path / f"{epoch}"
        path.write_bytes(content)
        return await ports.snapshots.store(path, make_manifest(content, epoch=epoch), bad=bad)

    async def epochs() -> list[int]:
        return [one.manifest.epoch for one in await ports.snapshots.stored()]

    assert await epochs() == []
    for epoch, held in ((1, [1]), (2, [2, 1]), (2, [2, 2]), (3, [3, 2])):
        assert await store(epoch)
        assert await epochs() == held
    assert not await store(2)
    assert await epochs() == [3, 2]
    newest, older = await ports.snapshots.stored()
    assert {newest.slot, older.slot} == {0, 1}
    assert newest.revision > older.revision
    assert await store(4, bad=(newest.revision,))
    assert await epochs() == [4, 2]
    for put_aside in (True, False):
        await ports.snapshots.retire(put_aside=put_aside)
        assert await epochs() == []
        assert await store(1)


async def test_what_is_wanted_is_created_once_and_replaced_at_its_revision_only(ports: Ports, key: SessionKey) -> None:
    wanted, changed = make_desired(key), make_desired(key, starts=2)
    assert await ports.registry.desired(key) is None
    assert await ports.registry.put_desired(wanted, 1) is None
    first = await ports.registry.put_desired(wanted, None)
    assert first is not None
    assert await ports.registry.put_desired(wanted, None) is None
    second = await ports.registry.put_desired(changed, first)
    assert second is not None
    assert await ports.registry.put_desired(wanted, first) is None
    assert [one for one in await ports.registry.all_desired() if one.tenant_id == key.tenant_id] == [changed]
    found = await ports.registry.desired(key)
    assert found is not None
    assert (found.value, found.revision) == (changed, second)


async def test_the_fleet_sees_the_last_status_of_each_session(ports: Ports, key: SessionKey) -> None:
    assert await ports.registry.status(key) is None
    for state in ("starting", "failed"):
        await ports.registry.put_status(status := make_status(key, state))

        async def seen(expected: SessionStatus = status) -> bool:
            every = [one for one in await ports.registry.all_statuses() if one.tenant_id == key.tenant_id]
            return await ports.registry.status(key) == expected and every == [expected]

        await eventually(seen, within_s=5)
