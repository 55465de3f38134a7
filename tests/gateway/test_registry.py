"""The registry: in memory, kept up by the server, compare-and-set against the server."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors.messages.ids import SessionKey
from gateway.connection import Bus, connect
from gateway.registry import JetStreamRegistry, JetStreamStatusBoard
from gateway.streams import ensure
from tests.gateway.building import make_desired, make_status
from tests.support.nats import NatsServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.nats


@pytest.fixture
async def registry(bus: Bus) -> AsyncIterator[JetStreamRegistry]:
    started = JetStreamRegistry(bus)
    await started.start()
    yield started
    await started.stop()


async def test_a_wanted_session_is_created_once_and_changed_by_the_one_who_saw_it_last(
    registry: JetStreamRegistry, key: SessionKey
) -> None:
    assert await registry.desired(key) is None
    created = await asyncio.gather(*(registry.put_desired(make_desired(key), None) for _ in range(5)))
    (revision,) = [revision for revision in created if revision is not None]
    changed = await asyncio.gather(
        *(registry.put_desired(make_desired(key, starts=starts), revision) for starts in (2, 3, 4))
    )
    assert sum(new is not None for new in changed) == 1
    now = await registry.desired(key)
    assert now is not None
    assert now.revision == max(new or 0 for new in changed)
    assert await registry.known(key) == now.value
    assert now.value in await registry.all_desired()


async def test_what_one_process_writes_another_reads_from_memory(
    nats_server: NatsServer, registry: JetStreamRegistry, key: SessionKey
) -> None:
    async with await connect(nats_server.url, "other") as other:
        board = JetStreamStatusBoard(other, key)
        await board.put(make_status(key, "starting"))
        assert (await registry.status(key)) == make_status(key, "starting")
        await board.put(make_status(key, "ready"))

        async def followed() -> bool:
            return await registry.status(key) == make_status(key, "ready")

        await eventually(followed, within_s=2)


async def test_a_registry_started_later_knows_what_was_written_before(
    bus: Bus, registry: JetStreamRegistry, key: SessionKey
) -> None:
    keys = [SessionKey(key.tenant_id, f"s{n}") for n in range(300)]
    await asyncio.gather(*(registry.put_status(make_status(each)) for each in keys))
    later = JetStreamRegistry(bus)
    await later.start()
    mine = {status.session_id for status in await later.all_statuses() if status.tenant_id == key.tenant_id}
    assert mine == {each.session_id for each in keys}
    await later.stop()


async def test_a_registry_catches_up_after_the_server_crashed(own_nats_server: NatsServer, key: SessionKey) -> None:
    async with (
        await connect(own_nats_server.url, "watching") as watching,
        await connect(own_nats_server.url, "writing") as writing,
    ):
        await ensure(watching)
        registry = JetStreamRegistry(watching)
        await registry.start()
        await JetStreamStatusBoard(writing, key).put(make_status(key, "starting"))
        await asyncio.to_thread(own_nats_server.restart)
        await JetStreamStatusBoard(writing, key).put(make_status(key, "ready"))

        async def caught_up() -> bool:
            return await registry.all_statuses() == (make_status(key, "ready"),)

        await eventually(caught_up, within_s=10)
        await registry.stop()
