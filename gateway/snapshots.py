"""Encrypted profile snapshots in the object store ``wa_profile_snapshots``: two slots a session, the older one reused.

Names are ``<tenant>.<session>.<slot>``, chunks ``<tenant>.<session>.<epoch>-<id>``: what a crash left of an upload is
found by that name and deleted by the next owner. A slot is written by compare-and-set and its manifest carries the
epoch, so an owner of old cannot replace what a newer one has written. Snapshots of an ended login go to
``wa_profile_quarantine``, where everything ends by itself after 7 days; where that has no room, they are deleted at
once. Imports objects.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from typing import IO, Final

from pydantic import ValidationError

from actors.core import profiles
from actors.core.profiles import SLOTS, Held
from actors.errors import SnapshotDamaged, Unavailable
from actors.messages.ids import SessionKey
from actors.messages.records import SnapshotManifest
from actors.ports import StoredSnapshot
from gateway.connection import Bus
from gateway.objects import CHUNK_BYTES, ObjectStore, StoredObject
from gateway.streams import RETIRED_SNAPSHOTS, SNAPSHOTS

_TRIES: Final = 3
"""Of a compare-and-set that somebody else won."""
_MANIFEST: Final = "manifest"

_log = logging.getLogger("wafleet.nats")


class JetStreamSnapshotStore:
    """``actors.ports.SnapshotStore`` of one session. Every method raises ``Unavailable``."""

    def __init__(self, bus: Bus, key: SessionKey) -> None:
        self._objects: Final = ObjectStore(bus, SNAPSHOTS)
        self._retired: Final = ObjectStore(bus, RETIRED_SNAPSHOTS)
        self._prefix: Final = f"{key.tenant_id}.{key.session_id}"
        self._begun: Final[set[str]] = set()
        """Our own uploads, whatever became of them."""

    async def stored(self) -> Sequence[StoredSnapshot]:
        """List the snapshots, the newest first; what no manifest can be read of is left out."""
        readable = {
            found.revision: StoredSnapshot(slot, found.revision, manifest)
            for slot, found in (await self._slots()).items()
            if (manifest := _manifest(found))
        }
        held = [Held(one.slot, one.manifest.epoch, one.revision) for one in readable.values()]
        return [readable[one.revision] for one in profiles.newest_first(held)]

    async def store(self, content: Path, manifest: SnapshotManifest, *, bad: Collection[int] = ()) -> bool:
        """Store a snapshot in the place of the older one; False if an owner of a higher epoch has written."""
        # First: in a store full of what was cut short, or where each try runs into its deadline, no later sweep comes.
        await self._sweep(manifest.epoch, None)
        metadata = {_MANIFEST: manifest.model_dump_json()}
        for _ in range(_TRIES):
            slots = await self._slots()
            slot = profiles.slot_for(_held(slots), epoch=manifest.epoch, bad=bad)
            if slot is None:
                return False
            old = slots.get(slot)
            nuid = f"{self._prefix}.{manifest.epoch}-{secrets.token_hex(8)}"
            self._begun.add(nuid)
            done = await self._objects.put(
                f"{self._prefix}.{slot}", nuid, _pieces(content), metadata, revision=old.revision if old else 0
            )
            if done:
                await self._sweep(manifest.epoch, old)
                return True
        return False

    async def fetch(self, snapshot: StoredSnapshot, target: Path) -> None:
        """Bring a snapshot into a new file. Raises ``SnapshotDamaged`` if it is not what its manifest says."""
        found = await self._objects.find(f"{self._prefix}.{snapshot.slot}")
        if found is None or found.revision != snapshot.revision:
            raise SnapshotDamaged("the snapshot was replaced while it was fetched")
        digest, size = hashlib.sha256(), 0
        with await asyncio.to_thread(target.open, "xb") as file:
            async for chunk in self._objects.read(found):
                size += len(chunk)
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
        if (size, digest.hexdigest()) != (snapshot.manifest.size_bytes, snapshot.manifest.sha256):
            raise SnapshotDamaged(
                f"the store holds {size} bytes of the snapshot's {snapshot.manifest.size_bytes}, or other ones"
            )

    async def retire(self, *, put_aside: bool = True) -> None:
        """Delete all, the newest only after it was put aside for 7 days, if that is wanted: the login was ended."""
        slots = await self._slots()
        newest_first = [slots[one.slot] for one in profiles.newest_first(_held(slots))]
        for found in newest_first[1:]:
            await self._objects.delete(found)
        for found in newest_first[:1]:
            if put_aside:
                await self._put_aside(found)
            await self._objects.delete(found)
        # Whoever began them: no other owner may come to sweep here.
        for nuid in await self._objects.chunk_names(self._prefix):
            await self._objects.drop_chunks(nuid)
        self._begun.clear()

    async def _put_aside(self, found: StoredObject) -> None:
        """Copy a snapshot; its chunks' name is its name there, since earlier logins may lie there still."""
        if await self._retired.find(found.nuid) is not None:
            return  # by a try whose deletion failed
        chunks = f"{found.nuid}-{secrets.token_hex(8)}"
        try:
            await self._retired.put(found.nuid, chunks, self._objects.read(found), found.metadata, revision=0)
        except Unavailable as exc:
            if "err_code" not in exc.details:
                raise
            # Refused, e.g. for want of room: a login that its owner ended must not stay for that.
            _log.warning("a snapshot of %s is deleted at once, not kept for 7 days: %s", self._prefix, exc)

    async def _slots(self) -> dict[int, StoredObject]:
        found = [await self._objects.find(f"{self._prefix}.{slot}") for slot in range(SLOTS)]
        return {slot: one for slot, one in enumerate(found) if one is not None}

    async def _sweep(self, epoch: int, replaced: StoredObject | None) -> None:
        """Delete chunks of the replaced snapshot and of uploads that were cut short: our own, and of owners of old.

        One of these may still get its name by a write that is on its way, if nothing was stored in that slot meanwhile.
        Whoever fetches it finds it damaged and takes the other slot's, which that write cannot touch.
        """
        # Listed before the slots are read: what is named after that was not there yet.
        there = set(await self._objects.chunk_names(self._prefix))
        named = {found.nuid for found in (await self._slots()).values()}
        ours = self._begun | ({replaced.nuid} if replaced else set())
        for nuid in there - named:
            writer = nuid.removeprefix(f"{self._prefix}.").partition("-")[0]
            if nuid in ours or (writer.isdigit() and int(writer) < epoch):
                await self._objects.drop_chunks(nuid)
        self._begun.intersection_update(named)


def _held(slots: dict[int, StoredObject]) -> list[Held]:
    """Describe the slots for a choice; one that cannot be read is as old as can be."""
    return [
        Held(slot, manifest.epoch if (manifest := _manifest(found)) else 0, found.revision)
        for slot, found in slots.items()
    ]


def _manifest(found: StoredObject) -> SnapshotManifest | None:
    try:
        return SnapshotManifest.model_validate_json(found.metadata.get(_MANIFEST, ""))
    except ValidationError:
        return None


async def _pieces(content: Path) -> AsyncIterator[bytes]:
    file: IO[bytes] = await asyncio.to_thread(content.open, "rb")
    with file:
        while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield piece
