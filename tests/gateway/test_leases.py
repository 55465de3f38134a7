"""Leases and epochs."""

import asyncio

import pytest

from actors.config import LeaseConfig
from actors.messages.ids import SessionKey
from actors.messages.records import LeaseRecord
from gateway.connection import Bus, connect
from gateway.leases import SUPERVISOR_LEASE, JetStreamLeaseStore
from gateway.streams import declared, ensure
from tests.support.nats import NatsServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.nats


def _owner(name: str) -> LeaseRecord:
    return LeaseRecord(owner_id=name, node="n1", pid=1)


async def test_of_many_takers_one_gets_the_lease(bus: Bus, key: SessionKey) -> None:
    store = JetStreamLeaseStore.of_session(bus, key)
    taken = await asyncio.gather(*(store.create(_owner(str(n))) for n in range(10)))
    (revision,) = [revision for revision in taken if revision is not None]
    held = await store.read()
    assert held is not None
    assert (held.value.owner_id, held.revision) == (str(taken.index(revision)), revision)


async def test_a_released_lease_is_free_at_once_and_only_its_holder_can_release_it(bus: Bus, key: SessionKey) -> None:
    store = JetStreamLeaseStore.of_session(bus, key)
    first = await store.create(_owner("a"))
    assert first is not None
    await store.release(first - 1)
    assert await store.create(_owner("b")) is None
    await store.release(first)
    assert await store.read() is None
    taken = await asyncio.gather(*(store.create(_owner(name)) for name in "bcd"))
    assert sum(revision is not None for revision in taken) == 1


async def test_a_lease_runs_out_unless_it_is_renewed_and_can_be_taken_then(
    own_nats_server: NatsServer, key: SessionKey
) -> None:
    async with await connect(own_nats_server.url, "test") as bus:
        await ensure(bus, declared(lease=LeaseConfig(ttl_s=3)))
        left, kept = JetStreamLeaseStore.of_session(bus, key), JetStreamLeaseStore(bus, SUPERVISOR_LEASE)
        assert await left.create(_owner("a")) is not None
        revision = await kept.create(_owner("s"))

        async def renewed_and_free() -> bool:
            nonlocal revision
            assert revision is not None
            revision = await kept.renew(_owner("s"), revision)
            return await left.read() is None

        await eventually(renewed_and_free, within_s=12, every_s=0.1)
        assert await left.create(_owner("b")) is not None
        assert await kept.create(_owner("t")) is None


async def test_every_raise_of_an_epoch_gives_a_higher_number(bus: Bus, key: SessionKey) -> None:
    store = JetStreamLeaseStore.of_session(bus, key)
    assert [await store.raise_epoch() for _ in range(3)] == [1, 2, 3]
    raised = await asyncio.gather(*(store.raise_epoch() for _ in range(5)))
    assert sorted(raised) == [4, 5, 6, 7, 8]
