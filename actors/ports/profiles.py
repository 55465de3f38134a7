"""The copies of a session's profile: the local one, and its encrypted snapshots elsewhere."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from actors.messages.records import SnapshotManifest


@dataclass(frozen=True, slots=True)
class Sealed:
    """A local profile, packed and encrypted into a file."""

    path: Path
    sha256: str
    size_bytes: int
    generation: str
    browser_build: str
    fingerprint: str
    """Two copies of an unchanged profile have the same one."""


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A snapshot in the store."""

    slot: int
    revision: int
    manifest: SnapshotManifest


class LocalProfile(Protocol):
    """The profile of one session on this machine. What takes long runs in a thread."""

    def generation(self) -> str | None:
        """Return the id of the content; None if there is none here."""
        ...

    def linked(self) -> bool:
        """Tell whether the content has held a login that nobody has ended since."""
        ...

    def renew(self) -> None:
        """Give the content a new id."""
        ...

    async def seal(self, *, running: bool, unless: str | None) -> Sealed | None:
        """Copy the profile into an encrypted file; the caller discards it.

        Args:
            running: Whether our own browser uses it.
            unless: Fingerprint of a copy that need not be made again.

        Returns:
            The file; None if the fingerprint is still the same.

        Raises:
            ProfileUnsteady: It changes all the time, or cannot be read.
            SnapshotTooLarge: It is larger than the limit.
            ProfileInUse: Somebody else's browser uses it.
        """
        ...

    async def discard(self, sealed: Sealed) -> None:
        """Delete the file of a copy."""
        ...

    async def incoming(self) -> Path:
        """Return where a snapshot that is to be restored may be put; what lay there before is deleted."""
        ...

    async def unseal(self, snapshot: Path) -> None:
        """Put a snapshot's content in the place of the local profile, which is moved aside; it gets a new id.

        Raises:
            SnapshotDamaged: It cannot be read; the local profile is as it was.
            SnapshotKeyWrong: It was made with another key; as above.
            SnapshotTooLarge: It is larger than the limit; as above.
            ProfileInUse: A live browser uses the profile.
        """
        ...

    async def set_aside(self) -> None:
        """Move the profile into the quarantine. Raises ``ProfileInUse``."""
        ...


class SnapshotStore(Protocol):
    """The last two snapshots of one session. Every method raises ``Unavailable``."""

    async def stored(self) -> Sequence[StoredSnapshot]:
        """List them, the newest first."""
        ...

    async def store(self, content: Path, manifest: SnapshotManifest, *, bad: Collection[int] = ()) -> bool:
        """Store a snapshot in the place of the older one.

        Args:
            content: The encrypted file.
            manifest: What it is.
            bad: Revisions of snapshots that are to go first.

        Returns:
            False if an owner of a higher epoch has written; nothing changed.
        """
        ...

    async def fetch(self, snapshot: StoredSnapshot, target: Path) -> None:
        """Bring a snapshot into a new file. Raises ``SnapshotDamaged`` if it is not what its manifest says."""
        ...

    async def retire(self, *, put_aside: bool = True) -> None:
        """Delete all, the newest only after it was put aside for 7 days, if that is wanted: the login was ended."""
        ...
