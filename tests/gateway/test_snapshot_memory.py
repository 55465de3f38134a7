"""A snapshot goes to the object store and comes back in pieces: a real server, and a file much larger than they are."""

import hashlib
import os
from pathlib import Path

import pytest

from actors.messages.ids import SessionKey
from gateway.connection import Bus
from gateway.snapshots import JetStreamSnapshotStore
from tests.gateway.building import make_manifest
from tests.support.memory_use import peak

pytestmark = pytest.mark.nats

MIB = 2**20


async def test_a_large_snapshot_needs_little_memory_to_be_stored_and_fetched(
    bus: Bus, key: SessionKey, tmp_path: Path
) -> None:
    content = os.urandom(MIB) * 32
    (tmp_path / "sealed").write_bytes(content)
    manifest, digest = make_manifest(content), hashlib.sha256(content).digest()
    del content
    store = JetStreamSnapshotStore(bus, key)
    with peak() as storing:
        assert await store.store(tmp_path / "sealed", manifest)
    (stored,) = await store.stored()
    with peak() as fetching:
        await store.fetch(stored, tmp_path / "fetched")
    assert hashlib.sha256((tmp_path / "fetched").read_bytes()).digest() == digest
    assert max(storing.allocated_bytes, fetching.allocated_bytes) < 12 * MIB
