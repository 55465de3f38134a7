"""A bucket in memory: newest revision wins, deletions are seen, strange values do no harm."""

from collections.abc import AsyncIterator

import pytest

from actors.errors import Unavailable
from actors.messages.base import encode
from actors.messages.ids import SessionKey
from actors.messages.replies import SessionStatus
from gateway.buckets import Bucket, Entry
from gateway.connection import Bus, connect
from gateway.mirror import Mirror
from gateway.streams import STATUS, ensure
from tests.gateway.building import make_status
from tests.support.nats import NatsServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.nats


@pytest.fixture
async def mirror(bus: Bus) -> AsyncIterator[Mirror[SessionStatus]]:
    started = Mirror(bus, STATUS, SessionStatus.model_validate_json)
    await started.start()
    yield started
    await started.stop()


async def test_a_late_old_value_does_not_replace_a_newer_one(mirror: Mirror[SessionStatus], key: SessionKey) -> None:
    name = ".".join(key)
    old = await mirror.put(name, encode(make_status(key, "starting")))
    await mirror.put(name, encode(make_status(key, "ready")))
    mirror._take(Entry(name, encode(make_status(key, "starting")), old))
    assert mirror.peek(name) == make_status(key, "ready")


async def test_a_deleted_key_is_gone_here_too(bus: Bus, mirror: Mirror[SessionStatus], key: SessionKey) -> None:
    name = ".".join(key)
    revision = await mirror.put(name, encode(make_status(key)))
    assert await Bucket(bus, STATUS).delete(name, revision)
    await eventually(lambda: mirror.peek(name) is None, within_s=2)
    assert await mirror.get(name) is None
    assert await mirror.compare_and_set(name, encode(make_status(key)), None) is not None
    assert mirror.peek(name) == make_status(key)


async def test_a_value_that_cannot_be_read_is_reported_and_spares_the_others(
    bus: Bus, mirror: Mirror[SessionStatus], key: SessionKey
) -> None:
    revision = await Bucket(bus, STATUS).put(f"{key.tenant_id}.odd", b'{"no": "status"}')
    await mirror.put(".".join(key), encode(make_status(key)))
    with pytest.raises(Unavailable, match=r"wa_status: .*odd is not one this version can read"):
        await mirror.get(f"{key.tenant_id}.odd")
    fresh = Mirror(bus, STATUS, SessionStatus.model_validate_json)
    await fresh.start()
    assert fresh.peek(".".join(key)) == make_status(key)
    await fresh.stop()
    assert await Bucket(bus, STATUS).delete(f"{key.tenant_id}.odd", revision)


async def test_a_bucket_that_was_made_anew_is_seen_without_a_reconnect(
    own_nats_server: NatsServer, key: SessionKey
) -> None:
    gone, name = f"{key.tenant_id}.gone", ".".join(key)
    async with await connect(own_nats_server.url, "test") as bus:
        await ensure(bus)
        mirror = Mirror(bus, STATUS, SessionStatus.model_validate_json)
        await mirror.start()
        bucket = Bucket(bus, STATUS)
        assert await bucket.leaders(name) is None
        await bucket.put(gone, encode(make_status(key)))
        for state in ("starting", "failed"):
            await bucket.put(name, encode(make_status(key, state)))
        await eventually(lambda: mirror.peek(name) == make_status(key, "failed"), within_s=2)
        await bus.api(f"STREAM.DELETE.KV_{STATUS}")
        await ensure(bus)
        revision = await bucket.put(name, encode(make_status(key, "ready")))
        await eventually(lambda: mirror.values() == {name: make_status(key, "ready")}, within_s=5)
        assert await bucket.leaders(name) == Entry(name, encode(make_status(key, "ready")), revision)
        assert await bucket.delete(name, revision)
        assert await bucket.leaders(name) is None
        await mirror.stop()
