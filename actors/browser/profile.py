"""A session's profile on disk: one owner at a time, its content's id, and what becomes of it after a logout.

Layout under the sessions' folder (all 0700, for it holds the login)::

    <tenant>/<session>.lock              held for the browser's life (headless shell has no SingletonLock of its own,
                                         and two browsers on one profile make WhatsApp log out)
    <tenant>/<session>/browser/          Chromium's user data
    <tenant>/<session>/generation        random id of the content
    <tenant>/<session>/linked            there once the profile has held a login
    <tenant>/<session>/owner.json        processes of the last browser; removed by a clean close
    <tenant>/<session>/media/            files on their way into the page
    <tenant>/<session>/artifacts/        Playwright's own, which a killed driver would leave in the system's folder
    <tenant>/<session>/copies/           snapshots on their way out, encrypted
    <tenant>/<session>.incoming/         a snapshot that is being restored
    .quarantine/<tenant>.<session>.<id>/ profiles after a logout or replaced by a snapshot, deleted after 7 days

Session ids hold no dot, so none of these names can collide.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors.browser import process
from actors.browser.process import ProcessId
from actors.errors import ProfileInUse
from actors.messages.ids import SessionKey

if TYPE_CHECKING:
    from filelock import BaseFileLock

QUARANTINE: Final = ".quarantine"
QUARANTINE_KEPT_S: Final = 7 * 86_400.0
QUARANTINE_MAX: Final = 8
"""Profiles of one session that are kept there, so that one that is replaced again and again does not fill the disk."""
_PRIVATE: Final = 0o700
_OLD_TREE_TIMEOUT_S: Final = 3.0
"""How long the tree of a dead owner may take to end by itself: Chromium needs up to 0.5 s after its pipe closed."""
_KILLED_TIMEOUT_S: Final = 5.0
_OWN_END_TIMEOUT_S: Final = 15.0
"""How long a browser of this process may take to end: 3 s politely, 5 s killed, 6 s for a driver that is silent."""


class Profile:
    """The profile of one session."""

    def __init__(self, sessions_path: Path, key: SessionKey) -> None:
        self._sessions = sessions_path.absolute()
        self.key = key
        self.folder = self._sessions / key.tenant_id / key.session_id
        self.browser_folder = self.folder / "browser"
        self.media_folder = self.folder / "media"
        self.artifacts_folder = self.folder / "artifacts"
        self.copies_folder = self.folder / "copies"
        self.incoming_folder = self.folder.with_name(f"{key.session_id}.incoming")
        self._lock: BaseFileLock | None = None
        self._free = asyncio.Event()

    # ---- ownership ----

    async def acquire(self) -> None:
        """Take the profile: lock it, see the last browser's processes gone, clear what it left behind.

        Raises:
            ProfileInUse: Another live process holds it, or the last browser's processes cannot be ended.
        """
        await self.hold()
        try:
            self.generation()
            await asyncio.to_thread(self._sweep)
        except BaseException:
            self.release()
            raise

    async def hold(self, known: Sequence[ProcessId] = ()) -> None:
        """Take the profile without making one: lock it and see the last browser's processes gone.

        Args:
            known: Processes of that browser by another's word.

        Raises:
            ProfileInUse: Another live process holds it, or the last browser's processes cannot be ended.
        """
        await self._own_end()
        self._take_lock()
        try:
            await self._end_old_tree(known)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the profile up; nothing happens if it is not held."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
            self._free.set()

    def record_owner(self, processes: Sequence[ProcessId]) -> None:
        """Write down which processes use the profile, for the next owner in case this one dies."""
        record = {"owner_pid": os.getpid(), "processes": [list(one) for one in processes]}
        _write_whole(self.folder / "owner.json", json.dumps(record))

    def clear_owner(self) -> None:
        """Say that the browser has ended in order."""
        (self.folder / "owner.json").unlink(missing_ok=True)

    async def _own_end(self) -> None:
        """Wait until this process has let go of the profile: a launch that was given up ends its processes first."""
        if self._lock is None:
            return
        try:
            async with asyncio.timeout(_OWN_END_TIMEOUT_S):
                while self._lock is not None:
                    self._free.clear()
                    await self._free.wait()
        except TimeoutError as exc:
            raise ProfileInUse(f"the profile of {self.key} is in use by this process; close its page first") from exc

    def _take_lock(self) -> None:
        from filelock import FileLock, Timeout  # noqa: PLC0415 - late, for the memory of an idle session

        private_folder(self.folder.parent)
        lock = FileLock(self.folder.with_name(f"{self.key.session_id}.lock"), timeout=0)
        try:
            lock.acquire()
        except Timeout as exc:
            raise ProfileInUse(
                f"the profile of {self.key} is held by another live process; stop that session first",
                {"profile": str(self.key), "processes": [pid for pid, _ in self._recorded()]},
            ) from exc
        self._lock = lock

    async def _end_old_tree(self, known: Sequence[ProcessId] = ()) -> None:
        """Wait for, then kill, processes of a browser whose owner died: we hold the lock, so they are orphans."""
        if not known and not (self.folder / "owner.json").exists():
            return
        users = await asyncio.to_thread(process.users_of_profile, self.browser_folder)
        old = sorted({*known, *self._recorded(), *users})
        left = await process.wait_gone(process.alive(old), _OLD_TREE_TIMEOUT_S)
        process.kill(left)
        left = await process.wait_gone(left, _KILLED_TIMEOUT_S)
        if left:
            pids = [pid for pid, _ in left]
            raise ProfileInUse(
                f"processes {pids} of an earlier browser still use the profile of {self.key} and cannot be killed; "
                "end them by hand",
                {"profile": str(self.key), "processes": pids},
            )
        self.clear_owner()

    def _recorded(self) -> list[ProcessId]:
        try:
            record = json.loads((self.folder / "owner.json").read_text())
            return [(int(pid), float(started)) for pid, started in record["processes"]]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            # A record cut short by a crash; the search by command line finds the processes just as well.
            return []

    # ---- the content's id ----

    def generation(self) -> str:
        """Return the id of the content; profile and id are made where there is no content."""
        known = self.known_generation()
        if known is not None:
            return known
        private_folder(self.folder)
        private_folder(self.browser_folder)
        return self.renew_generation()

    def known_generation(self) -> str | None:
        """Return the id of the content; None where there is no content."""
        if self.browser_folder.is_dir():
            with contextlib.suppress(FileNotFoundError):
                return (self.folder / "generation").read_text().strip() or None
        return None

    def renew_generation(self, folder: Path | None = None) -> str:
        """Give the content (or that of another folder) a new id: nothing older can be looked up in it any more."""
        generation = secrets.token_hex(16)
        _write_whole((folder or self.folder) / "generation", generation)
        return generation

    @property
    def linked(self) -> bool:
        """Whether the content has held a login that nobody has ended since."""
        return (self.folder / "linked").exists()

    def note_link(self, *, fresh: bool) -> None:
        """Note that the page holds a login.

        Args:
            fresh: It was linked just now. Where an earlier login was lost unseen, this is where it shows.
        """
        if fresh:
            self.note_login_over()
        (self.folder / "linked").touch(mode=0o600)

    def note_login_over(self) -> None:
        """Note that the login is gone, and with it the content: WhatsApp clears its database at a logout.

        The content's id changes, since a lookup that finds nothing proves nothing any more about what was sent before.
        """
        marker = self.folder / "linked"
        if marker.exists():
            self.renew_generation()
            marker.unlink()

    # ---- private files ----

    def new_media_folder(self) -> Path:
        """Make a private folder for one file on its way into the page."""
        folder = self.media_folder / secrets.token_hex(8)
        private_folder(self.media_folder)
        folder.mkdir(mode=_PRIVATE)
        return folder

    def _sweep(self) -> None:
        for leftover in (self.media_folder, self.artifacts_folder, self.copies_folder, self.incoming_folder):
            shutil.rmtree(leftover, ignore_errors=True)
        self.sweep_quarantine()

    def sweep_quarantine(self) -> None:
        """Delete what has lain in this machine's quarantine for its days, and what of this session is too much."""
        quarantine = self._sessions / QUARANTINE
        if not quarantine.is_dir():
            return
        entries: list[tuple[float, Path]] = []
        for entry in quarantine.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another session's sweep was faster
                entries.append((entry.stat().st_mtime, entry))
        oldest, mine = time.time() - QUARANTINE_KEPT_S, f"{self.key.tenant_id}.{self.key.session_id}."
        kept = 0
        for moved_at, entry in sorted(entries, reverse=True):
            kept += entry.name.startswith(mine)
            if moved_at < oldest or (entry.name.startswith(mine) and kept > QUARANTINE_MAX):
                shutil.rmtree(entry, ignore_errors=True)

    async def quarantine(self) -> None:
        """Move the profile aside; nothing happens if there is none.

        Raises:
            ProfileInUse: A live browser uses it.
        """
        await self.hold()
        try:
            self.set_aside()
        finally:
            self.release()

    def set_aside(self) -> None:
        """Move the profile, which is held, into the quarantine; nothing happens if there is none."""
        if not self.folder.exists():
            return
        name = f"{self.key.tenant_id}.{self.key.session_id}.{self.known_generation() or 'unknown'}"
        target = self._sessions / QUARANTINE / name
        if target.exists():
            target = target.with_name(f"{name}.{secrets.token_hex(4)}")
        private_folder(target.parent)
        os.utime(self.folder)  # before it goes there: another session's sweep, or a crash, may follow at once
        self.folder.rename(target)

    def replace_with(self, content: Path) -> None:
        """Put a folder in the place of the profile, which is held and moved aside."""
        self.set_aside()
        content.rename(self.folder)


def private_folder(folder: Path) -> None:
    """Make a folder for the owner's eyes only, unless it is there."""
    folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)


def _write_whole(path: Path, text: str) -> None:
    """Write a small file so that a crash leaves the old or the new one, never a part."""
    part = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
