"""Snapshots in the object store of a real server: two slots, one writer, nothing left behind."""

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest

from actors.config import StoreConfig
from actors.errors import SnapshotDamaged, Unavailable
from actors.messages.ids import SessionKey
from gateway.answers import Refused
from gateway.connection import Bus, connect
from gateway.objects import CHUNK_BYTES, ObjectStore
from gateway.snapshots import JetStreamSnapshotStore
from gateway.streams import RETIRED_SNAPSHOTS, SNAPSHOTS, declared, ensure
from tests.gateway.building import make_manifest, unanswered
from tests.support.nats import NatsServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.nats


@pytest.fixture
def store(bus: Bus, key: SessionKey) -> JetStreamSnapshotStore:
    return JetStreamSnapshotStore(bus, key)


def file_of(folder: Path, content: bytes) -> Path:
    path = folder / hashlib.sha256(content).hexdigest()[:8]
    path.write_bytes(content)
    return path


async def chunk_names(bus: Bus, key: SessionKey, name: str = SNAPSHOTS) -> list[str]:
    return await ObjectStore(bus, name).chunk_names(f"{key.tenant_id}.{key.session_id}")


async def put_aside(bus: Bus, key: SessionKey) -> list[bytes]:
    """What lies in the quarantine of a session."""
    store, contents = ObjectStore(bus, RETIRED_SNAPSHOTS), []
    for chunks in await chunk_names(bus, key, RETIRED_SNAPSHOTS):
        found = await store.find(chunks.rpartition("-")[0])
        assert found is not None
        assert found.nuid == chunks
        contents.append(b"".join([chunk async for chunk in store.read(found)]))
    return contents


async def messages(bus: Bus, key: SessionKey) -> int:
    """How many messages the store holds of a session, meta data included."""
    info = await bus.api(f"STREAM.INFO.OBJ_{SNAPSHOTS}", {"subjects_filter": ">"})
    assert not isinstance(info, Refused)

    def is_mine(subject: str) -> bool:
        kind, _, name = subject.removeprefix(f"$O.{SNAPSHOTS}.").partition(".")
        name = base64.urlsafe_b64decode(name).decode() if kind == "M" else name
        return name.startswith(f"{key.tenant_id}.")

    return sum(count for subject, count in (info["state"].get("subjects") or {}).items() if is_mine(subject))


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 5, 30 * CHUNK_BYTES])
async def test_a_snapshot_comes_back_as_it_was_and_the_stock_client_reads_it_too(
    store: JetStreamSnapshotStore, key: SessionKey, tmp_path: Path, nats_server: NatsServer, size: int
) -> None:
    content = os.urandom(size)
    assert await store.store(file_of(tmp_path, content), make_manifest(content))
    (held,) = await store.stored()
    assert (held.slot, held.manifest) == (0, make_manifest(content))
    await store.fetch(held, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == content
    client = await nats.connect(nats_server.url)
    try:
        stock = await client.jetstream().object_store(SNAPSHOTS)
        result = await stock.get(f"{key.tenant_id}.{key.session_id}.0")
    finally:
        await client.close()
    assert (result.data, result.info.size, result.info.chunks) == (content, size, -(-size // CHUNK_BYTES))


async def test_the_last_two_are_kept_and_nothing_else_stays(
    store: JetStreamSnapshotStore, bus: Bus, key: SessionKey, tmp_path: Path
) -> None:
    contents = [bytes([number]) * (2 * CHUNK_BYTES) for number in range(4)]
    for content in contents:
        assert await store.store(file_of(tmp_path, content), make_manifest(content))
    assert [one.manifest for one in await store.stored()] == [make_manifest(contents[3]), make_manifest(contents[2])]
    assert len(await chunk_names(bus, key)) == 2
    assert await messages(bus, key) == 2 * (2 + 1), "chunks and meta data of two"


async def test_a_snapshot_that_was_found_bad_goes_first(store: JetStreamSnapshotStore, tmp_path: Path) -> None:
    for content in (b"good", b"bad"):
        await store.store(file_of(tmp_path, content), make_manifest(content))
    bad = (await store.stored())[0]
    assert await store.store(file_of(tmp_path, b"new"), make_manifest(b"new"), bad={bad.revision})
    assert [one.manifest for one in await store.stored()] == [make_manifest(b"new"), make_manifest(b"good")]


async def test_an_owner_of_old_cannot_replace_what_a_newer_one_wrote(
    store: JetStreamSnapshotStore, bus: Bus, key: SessionKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = file_of(tmp_path, b"old" * CHUNK_BYTES), file_of(tmp_path, b"new")
    assert await store.store(old, make_manifest(old.read_bytes(), epoch=5))
    assert await store.store(new, make_manifest(b"new", epoch=6))
    assert not await store.store(old, make_manifest(old.read_bytes(), epoch=5))
    # And one that was frozen in the middle of its upload: the slot is not what it was when it chose it.
    put = store._objects.put
    stranger = JetStreamSnapshotStore(bus, key)

    async def overtaken(*args: object, **kwargs: object) -> bool:
        assert await stranger.store(new, make_manifest(b"new", epoch=8))
        return await put(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(store._objects, "put", overtaken)
    assert not await store.store(old, make_manifest(old.read_bytes(), epoch=7))
    assert [one.manifest.epoch for one in await store.stored()] == [8, 6]
    assert len(await chunk_names(bus, key)) == 2


async def test_of_two_that_write_at_once_each_leaves_a_whole_snapshot_or_none(
    store: JetStreamSnapshotStore, bus: Bus, key: SessionKey, tmp_path: Path
) -> None:
    contents = [bytes([number]) * (3 * CHUNK_BYTES) for number in range(4)]
    done = await asyncio.gather(
        *(JetStreamSnapshotStore(bus, key).store(file_of(tmp_path, one), make_manifest(one)) for one in contents)
    )
    assert any(done)
    for number, held in enumerate(await store.stored()):
        await store.fetch(held, tmp_path / f"fetched{number}")


async def test_what_a_crash_left_of_an_upload_goes_with_the_next_owners_snapshot_but_a_newer_ones_does_not(
    store: JetStreamSnapshotStore, bus: Bus, key: SessionKey, tmp_path: Path
) -> None:
    prefix = f"$O.{SNAPSHOTS}.C.{key.tenant_id}.{key.session_id}"
    for nuid in ("3-aa", "4-bb", "6-cc"):
        await bus.store(f"{prefix}.{nuid}", b"left behind")
    await store.store(file_of(tmp_path, b"new"), make_manifest(b"new", epoch=5))
    names = sorted(name.rpartition(".")[2] for name in await chunk_names(bus, key))
    assert len(names) == 2
    assert names[1] == "6-cc"


async def test_what_was_given_up_half_way_goes_with_the_next_try(
    store: JetStreamSnapshotStore, bus: Bus, key: SessionKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = asyncio.Event()

    async def pieces(content: Path) -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"a piece"
        stuck.set()
        await asyncio.Event().wait()

    async def all_there() -> bool:
        return await messages(bus, key) == 20

    given_up: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr("gateway.snapshots._pieces", pieces)
        for _ in range(3):
            upload = asyncio.create_task(store.store(file_of(tmp_path, b"large"), make_manifest(b"large")))
            await asyncio.wait_for(stuck.wait(), timeout=10)
            await eventually(all_there, within_s=10)
            upload.cancel()
            await asyncio.wait({upload})
            stuck.clear()
            given_up += await chunk_names(bus, key)
    assert len(given_up) == len(set(given_up)) == 3, "only the last try's lies there at any time"
    assert await store.store(file_of(tmp_path, b"new"), make_manifest(b"new"))
    assert len(await chunk_names(bus, key)) == 1


async def test_a_store_that_uploads_of_the_dead_have_filled_takes_the_next_owners_snapshot(
    own_nats_server: NatsServer, key: SessionKey, tmp_path: Path
) -> None:
    async with await connect(own_nats_server.url, "test") as bus:
        await ensure(bus, declared(store=StoreConfig(snapshots_max_bytes=2**20)))
        orphan = f"$O.{SNAPSHOTS}.C.{key.tenant_id}.{key.session_id}.3-aa"
        for _ in range(7):
            assert not isinstance(await bus.store(orphan, os.urandom(CHUNK_BYTES)), Refused)
        assert isinstance(await bus.store(orphan, os.urandom(CHUNK_BYTES)), Refused)
        content = os.urandom(2 * CHUNK_BYTES)
        store = JetStreamSnapshotStore(bus, key)
        assert await store.store(file_of(tmp_path, content), make_manifest(content, epoch=5))
        assert len(await chunk_names(bus, key)) == 1


async def test_damage_in_the_store_is_found(
    store: JetStreamSnapshotStore, bus: Bus, key: SessionKey, tmp_path: Path
) -> None:
    content = os.urandom(2 * CHUNK_BYTES)
    await store.store(file_of(tmp_path, content), make_manifest(content))
    (held,) = await store.stored()
    found = await ObjectStore(bus, SNAPSHOTS).find(f"{key.tenant_id}.{key.session_id}.0")
    assert found is not None
    await bus.api(f"STREAM.PURGE.OBJ_{SNAPSHOTS}", {"filter": f"$O.{SNAPSHOTS}.C.{found.nuid}", "keep": 1})
    with pytest.raises(SnapshotDamaged, match=f"holds {CHUNK_BYTES} bytes of the snapshot's {2 * CHUNK_BYTES}"):
        await store.fetch(held, tmp_path / "cut")
    await store.store(file_of(tmp_path, b"a"), make_manifest(b"a"))
    await store.store(file_of(tmp_path, b"b"), make_manifest(b"b"))
    with pytest.raises(SnapshotDamaged, match="was replaced"):
        await store.fetch(held, tmp_path / "replaced")


async def test_other_bytes_of_the_same_size_are_found_by_their_checksum(
    store: JetStreamSnapshotStore, bus: Bus, key: SessionKey, tmp_path: Path
) -> None:
    await store.store(file_of(tmp_path, b"what was stored"), make_manifest(b"what was stored"))
    (held,) = await store.stored()
    found = await ObjectStore(bus, SNAPSHOTS).find(f"{key.tenant_id}.{key.session_id}.0")
    assert found is not None
    chunks = f"$O.{SNAPSHOTS}.C.{found.nuid}"
    await bus.api(f"STREAM.PURGE.OBJ_{SNAPSHOTS}", {"filter": chunks})
    await bus.store(chunks, b"what was altered")
    with pytest.raises(SnapshotDamaged, match="bytes of the snapshot's 15, or other ones"):
        await store.fetch(held, tmp_path / "longer")
    await bus.api(f"STREAM.PURGE.OBJ_{SNAPSHOTS}", {"filter": chunks})
    await bus.store(chunks, b"what was changed"[:15])
    with pytest.raises(SnapshotDamaged, match="holds 15 bytes of the snapshot's 15, or other ones"):
        await store.fetch(held, tmp_path / "altered")


async def test_a_slot_that_says_nothing_is_no_snapshot_and_the_first_to_be_used_again(
    store: JetStreamSnapshotStore, bus: Bus, key: SessionKey, tmp_path: Path
) -> None:
    for content in (b"a", b"b"):
        await store.store(file_of(tmp_path, content), make_manifest(content))
    objects, name = ObjectStore(bus, SNAPSHOTS), f"{key.tenant_id}.{key.session_id}.1"
    found = await objects.find(name)
    assert found is not None

    async def nothing() -> AsyncIterator[bytes]:
        for piece in (b"",):
            yield piece

    assert await objects.put(name, f"{key.tenant_id}.{key.session_id}.1-x", nothing(), {}, revision=found.revision)
    assert [one.manifest for one in await store.stored()] == [make_manifest(b"a")]
    await store.store(file_of(tmp_path, b"c"), make_manifest(b"c"))
    assert [one.manifest for one in await store.stored()] == [make_manifest(b"c"), make_manifest(b"a")]


async def test_snapshots_of_an_ended_login_lie_aside_for_seven_days(
    store: JetStreamSnapshotStore, bus: Bus, key: SessionKey, tmp_path: Path
) -> None:
    await store.retire()
    for content in (b"older", b"newest"):
        await store.store(file_of(tmp_path, content), make_manifest(content))
    await store.retire()
    assert await store.stored() == []
    assert await messages(bus, key) == 0
    assert await put_aside(bus, key) == [b"newest"]
    info = await bus.api(f"STREAM.INFO.OBJ_{RETIRED_SNAPSHOTS}")
    assert not isinstance(info, Refused)
    assert info["config"]["max_age"] == 7 * 86_400 * 10**9
    # The next login begins anew, and its snapshots too.
    assert await store.store(file_of(tmp_path, b"next"), make_manifest(b"next"))


async def test_snapshots_of_an_ended_login_are_deleted_at_once_where_that_is_wanted(
    store: JetStreamSnapshotStore, bus: Bus, key: SessionKey, tmp_path: Path
) -> None:
    for content in (b"older", b"newest"):
        await store.store(file_of(tmp_path, content), make_manifest(content))
    await store.retire(put_aside=False)
    assert (await messages(bus, key), await put_aside(bus, key)) == (0, [])


async def test_what_owners_of_old_left_of_an_upload_goes_with_the_login(
    store: JetStreamSnapshotStore, bus: Bus, key: SessionKey
) -> None:
    await bus.store(f"$O.{SNAPSHOTS}.C.{key.tenant_id}.{key.session_id}.3-aa", b"left behind")
    await store.retire()
    assert await messages(bus, key) == 0


async def test_a_retirement_that_failed_half_way_is_done_again_and_spoils_nothing(
    store: JetStreamSnapshotStore, bus: Bus, key: SessionKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: object) -> None:
        raise Unavailable("NATS is away")

    await store.store(file_of(tmp_path, b"login"), make_manifest(b"login"))
    with monkeypatch.context() as patched:
        patched.setattr(store._objects, "delete", away)
        with pytest.raises(Unavailable):
            await store.retire()
    assert await put_aside(bus, key) == [b"login"]
    await JetStreamSnapshotStore(bus, key).retire()
    assert await store.stored() == []
    assert await messages(bus, key) == 0
    assert await put_aside(bus, key) == [b"login"]


async def test_a_quarantine_without_room_keeps_no_ended_login_alive(
    own_nats_server: NatsServer, key: SessionKey, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with await connect(own_nats_server.url, "test") as bus:
        await ensure(bus, declared(store=StoreConfig(retired_snapshots_max_bytes=2**20)))
        store = JetStreamSnapshotStore(bus, key)
        for content in (os.urandom(9 * CHUNK_BYTES), os.urandom(9 * CHUNK_BYTES)):
            await store.store(file_of(tmp_path, content), make_manifest(content))
        await store.retire()
        assert await store.stored() == []
        assert await messages(bus, key) == 0
        assert await put_aside(bus, key) == []
        assert "is deleted at once, not kept for 7 days: JetStream refused a write to wa_profile_quar" in caplog.text


async def test_a_snapshot_whose_last_write_was_stored_without_an_answer_is_whole(
    store: JetStreamSnapshotStore, bus: Bus, key: SessionKey, tmp_path: Path
) -> None:
    with unanswered(bus), pytest.raises(Unavailable):
        await store.store(file_of(tmp_path, b"whole"), make_manifest(b"whole"))
    (held,) = await store.stored()
    await store.fetch(held, tmp_path / "fetched")
    for content in (b"next", b"last"):
        assert await store.store(file_of(tmp_path, content), make_manifest(content))
    assert len(await chunk_names(bus, key)) == 2


async def test_what_was_never_named_goes_with_the_login(
    store: JetStreamSnapshotStore, bus: Bus, key: SessionKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object, **__: object) -> None:
        raise Unavailable("no answer within 5 s")

    with monkeypatch.context() as patched:
        patched.setattr(bus, "store", lost)
        with pytest.raises(Unavailable):
            await store.store(file_of(tmp_path, b"lost"), make_manifest(b"lost"))
    assert len(await chunk_names(bus, key)) == 1
    await store.retire()
    assert await chunk_names(bus, key) == []


async def test_a_store_without_room_or_without_a_server_is_unavailable(
    own_nats_server: NatsServer, key: SessionKey, tmp_path: Path
) -> None:
    async with await connect(own_nats_server.url, "test") as bus:
        store = JetStreamSnapshotStore(bus, key)
        with pytest.raises(Unavailable):
            await store.stored()
        await ensure(bus)
        config = {
            "name": f"OBJ_{SNAPSHOTS}", "subjects": [f"$O.{SNAPSHOTS}.C.>", f"$O.{SNAPSHOTS}.M.>"],
            "max_bytes": 4 * CHUNK_BYTES, "discard": "new", "allow_direct": True, "allow_rollup_hdrs": True,
            "storage": "file", "retention": "limits", "num_replicas": 1,
        }  # fmt: skip
        assert not isinstance(await bus.api(f"STREAM.UPDATE.OBJ_{SNAPSHOTS}", config), Refused)
        assert await store.store(file_of(tmp_path, b"small"), make_manifest(b"small"))
        large = file_of(tmp_path, os.urandom(9 * CHUNK_BYTES))
        with pytest.raises(Unavailable, match="maximum bytes exceeded"):
            await store.store(large, make_manifest(large.read_bytes()))
        assert [one.manifest for one in await store.stored()] == [make_manifest(b"small")]
        assert len(await chunk_names(bus, key)) == 1
        own_nats_server.kill()
        with pytest.raises(Unavailable):
            await store.store(large, make_manifest(large.read_bytes()))
        own_nats_server.start()
