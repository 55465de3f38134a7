"""Heads of a profile on a real server: whose write arrives late, or has no answer."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from actors.errors import Unavailable
from actors.messages.ids import SessionKey
from actors.messages.records import ProfileHead
from gateway.buckets import Bucket
from gateway.connection import Bus, connect
from gateway.profiles import JetStreamProfileHeads
from gateway.streams import PROFILE_HEADS
from tests.gateway.building import unanswered
from tests.support.nats import NatsServer

pytestmark = pytest.mark.nats

OLD = ProfileHead(epoch=1, node="a", generation="GA")
NEW = ProfileHead(epoch=2, node="b", generation="GB", linked=True)


@pytest.fixture
def heads(bus: Bus, key: SessionKey) -> JetStreamProfileHeads:
    """Of another owner."""
    return JetStreamProfileHeads(bus, key)


@pytest.fixture
async def own_bus(bus: Bus, nats_server: NatsServer) -> AsyncIterator[Bus]:
    """The connection of the owner that has trouble."""
    async with await connect(nats_server.url, "test") as connected:
        yield connected


def overtaken(own_bus: Bus, monkeypatch: pytest.MonkeyPatch, by: Callable[[], Awaitable[object]]) -> None:
    """Let something happen while a write is under way."""
    store = own_bus.store

    async def late(subject: str, body: bytes, **options: Any) -> object:
        await by()
        return await store(subject, body, **options)

    monkeypatch.setattr(own_bus, "store", late)


@pytest.mark.parametrize("earlier", [None, OLD])
async def test_a_write_that_arrives_after_the_next_owners_changes_nothing(
    heads: JetStreamProfileHeads,
    own_bus: Bus,
    key: SessionKey,
    monkeypatch: pytest.MonkeyPatch,
    earlier: ProfileHead | None,
) -> None:
    if earlier:
        await heads.write(earlier)
    cut_off = JetStreamProfileHeads(own_bus, key)
    overtaken(own_bus, monkeypatch, lambda: heads.write(NEW))
    with pytest.raises(Unavailable, match="is of epoch 2: that owner has replaced 1"):
        await cut_off.write(OLD)
    assert await heads.read() == NEW


async def test_a_write_whose_answer_was_lost_is_repeated(
    heads: JetStreamProfileHeads, own_bus: Bus, key: SessionKey
) -> None:
    owner = JetStreamProfileHeads(own_bus, key)

    with unanswered(own_bus), pytest.raises(Unavailable):
        await owner.write(NEW)
    assert await heads.read() == NEW
    for head in (NEW, unlinked := NEW.model_copy(update={"linked": False})):
        await owner.write(head)
    assert await heads.read() == unlinked


async def test_what_an_owner_of_old_wrote_meanwhile_is_replaced(
    heads: JetStreamProfileHeads, own_bus: Bus, key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = iter([OLD, OLD])

    async def once_or_twice() -> None:
        if head := next(late, None):
            await heads.write(head)

    overtaken(own_bus, monkeypatch, once_or_twice)
    await JetStreamProfileHeads(own_bus, key).write(NEW)
    assert await heads.read() == NEW


async def test_a_head_that_never_stands_still_is_unavailable(
    heads: JetStreamProfileHeads, own_bus: Bus, key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaken(own_bus, monkeypatch, lambda: heads.write(OLD))
    with pytest.raises(Unavailable, match="changed 3 times while it was written"):
        await JetStreamProfileHeads(own_bus, key).write(NEW)


async def test_a_head_of_another_version_is_neither_read_nor_replaced(
    heads: JetStreamProfileHeads, bus: Bus, key: SessionKey
) -> None:
    bucket, name = Bucket(bus, PROFILE_HEADS), f"{key.tenant_id}.{key.session_id}"
    await bucket.put(name, b'{"shape": "of tomorrow"}')
    with pytest.raises(Unavailable, match="not one this version can read"):
        await heads.read()
    with pytest.raises(Unavailable, match="not one this version can read"):
        await heads.write(NEW)
    found = await bucket.get(name)
    assert found is not None
    assert found.value == b'{"shape": "of tomorrow"}'
