"""The real ``LocalProfile`` of ``actors.ports``: packs, seals, opens and replaces one session's profile folder.

All work on files runs in threads; one that nobody waits for any more ends by itself soon. The format is ``sealing``'s
and ``packing``'s, the folder's order ``profile``'s.
"""

import asyncio
import hashlib
import secrets
import shutil
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from actors.browser.finding import find_browser, major_version
from actors.browser.packing import Inventory, inventory, pack, unpack
from actors.browser.profile import Profile, private_folder
from actors.browser.sealing import SealingWriter, UnsealingReader
from actors.config import SessionConfig
from actors.errors import BrowserLaunchFailed, ProfileUnsteady, SnapshotDamaged
from actors.ports import Sealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_PARTS: Final = ("browser", "generation", "linked")
"""What of a session's folder makes its content."""


class ProfileCopies:
    """Copies of one session's profile."""

    def __init__(self, profile: Profile, secret: bytes, config: SessionConfig) -> None:
        """Prepare to copy.

        Args:
            profile: The one that the session's browser uses too, since it knows who holds it.
            secret: The fleet's key for snapshots, 32 bytes.
            config: The session's limits.
        """
        self._profile = profile
        self._secret = secret
        self._context = f"{profile.key.tenant_id}.{profile.key.session_id}".encode()
        self._browser = config.browser
        self._limits = config.profile

    def generation(self) -> str | None:
        """Return the id of the content; None if there is none here."""
        return self._profile.known_generation()

    def linked(self) -> bool:
        """Tell whether the content has held a login that nobody has ended since."""
        return self._profile.linked

    def renew(self) -> None:
        """Give the content a new id."""
        self._profile.renew_generation()

    async def seal(self, *, running: bool, unless: str | None) -> Sealed | None:
        """Copy the profile into an encrypted file; the caller discards it.

        Args:
            running: Whether our own browser uses it.
            unless: Fingerprint of a copy that need not be made again.

        Raises:
            ProfileUnsteady: It changes all the time, or cannot be read.
            SnapshotTooLarge: It is larger than the limit.
            ProfileInUse: Somebody else's browser uses it.
        """
        build = await self._build()
        given_up = threading.Event()
        async with self._held(already=running):
            try:
                quiet_s = self._limits.quiet_s if running else 0.0
                return await asyncio.to_thread(self._seal, build, quiet_s, unless, given_up)
            except OSError as exc:
                raise ProfileUnsteady(f"the profile cannot be copied: {exc}") from exc
            finally:
                given_up.set()

    async def discard(self, sealed: Sealed) -> None:
        """Delete the file of a copy."""
        await asyncio.to_thread(sealed.path.unlink, missing_ok=True)

    async def incoming(self) -> "Path":
        """Return where a snapshot that is to be restored may be put; what lay there before is deleted."""
        folder = self._profile.incoming_folder
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        private_folder(folder)
        return folder / "snapshot"

    async def unseal(self, snapshot: "Path") -> None:
        """Put a snapshot's content in the place of the local profile, which is moved aside; it gets a new id.

        Raises:
            SnapshotDamaged: It cannot be read; the local profile is as it was.
            SnapshotKeyWrong: It was made with another key; as above.
            SnapshotTooLarge: It is larger than the limit; as above.
            ProfileInUse: A live browser uses the profile.
        """
        content = self._profile.incoming_folder / secrets.token_hex(8)
        async with self._held(already=False):
            await asyncio.to_thread(self._unseal, snapshot, content)
            # Not in the thread, which goes on if nobody waits for it any more: a browser might run by then.
            self._profile.replace_with(content)
        await asyncio.to_thread(shutil.rmtree, self._profile.incoming_folder, ignore_errors=True)

    async def set_aside(self) -> None:
        """Move the profile into the quarantine. Raises ``ProfileInUse``."""
        await self._profile.quarantine()

    # ---- in a thread ----

    def _seal(self, build: str, quiet_s: float, unless: str | None, given_up: threading.Event) -> Sealed | None:
        self._profile.sweep_quarantine()
        generation = self._profile.known_generation()
        if generation is None:
            raise ProfileUnsteady("there is no profile here to be copied")
        folder = self._profile.folder
        if unless is not None and _fingerprint(inventory(folder, _PARTS)) == unless:
            return None
        private_folder(self._profile.copies_folder)
        path = self._profile.copies_folder / secrets.token_hex(8)
        try:
            with path.open("xb") as file:
                sealing = SealingWriter(file, self._secret, self._context)
                copied = pack(
                    folder,
                    _PARTS,
                    sealing,
                    max_bytes=self._limits.max_bytes,
                    quiet_s=quiet_s,
                    aborted=given_up.is_set,
                )
                sealing.finish()
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return Sealed(path, sha256, path.stat().st_size, generation, build, _fingerprint(copied))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _unseal(self, snapshot: "Path", content: "Path") -> None:
        private_folder(content)
        with snapshot.open("rb") as file:
            opening = UnsealingReader(file, self._secret, self._context)
            unpack(opening, content, max_bytes=self._limits.max_bytes)
            opening.drain()
        if not (content / "browser").is_dir():
            raise SnapshotDamaged("the snapshot holds no browser profile")
        self._profile.renew_generation(content)

    # ---- within ----

    @asynccontextmanager
    async def _held(self, *, already: bool) -> "AsyncIterator[None]":
        if already:
            yield
            return
        await self._profile.hold()
        try:
            yield
        finally:
            self._profile.release()

    async def _build(self) -> str:
        try:
            executable = find_browser(self._browser.executable)
            return f"{executable.name} {await major_version(executable)}"
        except BrowserLaunchFailed:
            return "unknown"


def _fingerprint(files: Inventory) -> str:
    lines = (f"{name}\0{seen.size}\0{seen.changed_ns}\n" for name, seen in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
