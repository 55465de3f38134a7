"""Stand-ins for the copies of a profile: the local one is the ``FakeWhatsApp``'s content, snapshots are manifests."""

import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from actors.core import profiles
from actors.messages.records import SnapshotManifest
from actors.ports import Sealed, StoredSnapshot
from tests.support.memory import Store

if TYPE_CHECKING:
    from actors.errors import SnapshotFailure, WafleetError


class Content(Protocol):
    """What lies in the profile's folder."""

    generation: str
    missing: bool
    marked_linked: bool


class FakeLocalProfile:
    """The profile of one session on this machine."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.build = 1
        """Raised when the profile changes."""
        self.failures: deque[WafleetError] = deque()
        """What the next copies meet."""
        self.unreadable: deque[SnapshotFailure | None] = deque()
        """What the next restores meet."""
        self.sealed: list[bool] = []
        """For each copy that was made, whether its browser was running."""
        self.discarded = 0
        self.restored = 0
        self.set_asides = 0

    def generation(self) -> str | None:
        return None if self.content.missing else self.content.generation

    def linked(self) -> bool:
        return self.content.marked_linked and not self.content.missing

    def renew(self) -> None:
        self.content.generation += "'"

    async def seal(self, *, running: bool, unless: str | None) -> Sealed | None:
        if self.failures:
            raise self.failures.popleft()
        fingerprint = f"{self.content.generation}/{self.build}"
        if fingerprint == unless:
            return None
        self.sealed.append(running)
        return Sealed(Path("/sealed"), "0" * 64, 1_000, self.content.generation, "shell 1", fingerprint)

    async def discard(self, sealed: Sealed) -> None:
        self.discarded += 1

    async def incoming(self) -> Path:
        return Path("/incoming")

    async def unseal(self, snapshot: Path) -> None:
        failure = self.unreadable.popleft() if self.unreadable else None
        if failure:
            raise failure
        self.restored += 1
        self.content.missing, self.content.marked_linked = False, True
        self.content.generation = f"restored-{self.restored}"

    async def set_aside(self) -> None:
        self.set_asides += 1
        self.content.missing = True


class MemorySnapshots(Store):
    """The snapshots of one session."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, StoredSnapshot] = {}
        self.retired: list[SnapshotManifest] = []
        self.bad: list[Collection[int]] = []
        """What each write was told to be of no use."""
        self.wait: Callable[[], Awaitable[None]] | None = None
        """Awaited by every upload and download, and by what is put aside."""
        self._revision = itertools.count(1)

    async def stored(self) -> Sequence[StoredSnapshot]:
        self.reach("stored")
        return [self.held[one.slot] for one in profiles.newest_first(self._slots())]

    async def store(self, content: Path, manifest: SnapshotManifest, *, bad: Collection[int] = ()) -> bool:
        self.reach("store")
        if self.wait:
            await self.wait()
        self.bad.append(bad)
        slot = profiles.slot_for(self._slots(), epoch=manifest.epoch, bad=bad)
        if slot is None:
            return False
        self.held[slot] = StoredSnapshot(slot, next(self._revision), manifest)
        return True

    async def fetch(self, snapshot: StoredSnapshot, target: Path) -> None:
        self.reach("fetch")
        if self.wait:
            await self.wait()

    async def retire(self, *, put_aside: bool = True) -> None:
        self.reach("retire")
        if put_aside:
            if self.wait:
                await self.wait()
            self.retired += [one.manifest for one in await self.stored()][:1]
        self.held.clear()

    def _slots(self) -> list[profiles.Held]:
        return [profiles.Held(one.slot, one.manifest.epoch, one.revision) for one in self.held.values()]
