"""The copies of a session's profile: which one a browser opens on, and when snapshots are taken (DESIGN 7 "Profiles").

Before each launch the local profile is compared with the head and, where it is not the newest, replaced by the last
snapshot; then the head is written. Snapshots are taken of a running browser in a quiet moment, and of a stopped one if
it was ready. Decides nothing about copies itself: ``core.profiles`` does. Only the lease's owner gets to any of this.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from actors.config import ProfileConfig
from actors.core import profiles, signals
from actors.core.facts import AccountBlocked, Fact, Linked, QrShown, Synced, Unlinked
from actors.core.profiles import Choice, Source
from actors.core.signals import SessionInput
from actors.deadlines import cancel, within
from actors.errors import PageFailure, ProfileUnsteady, SnapshotFailure, Unavailable
from actors.messages.records import ProfileHead, SnapshotManifest
from actors.ports import Browser, Clock, LocalProfile, ProfileHeads, Sealed, SnapshotStore, StoredSnapshot

_RETIRE_TIMEOUT_S: Final = 30.0
_DELETE_TIMEOUT_S: Final = 10.0
"""After that, for what could not be put aside: a deletion moves no contents."""
_FAILURES: Final = (SnapshotFailure, PageFailure, Unavailable, TimeoutError, OSError)
"""What may come of making or storing a snapshot; the session goes on without it."""


class ProfileKeeper:
    """Keeps the copies of one session's profile."""

    def __init__(
        self,
        browser: Browser,
        local: LocalProfile,
        *,
        heads: ProfileHeads,
        snapshots: SnapshotStore,
        config: ProfileConfig,
        clock: Clock,
        node: str,
        is_busy: Callable[[], bool],
        may_write: Callable[[], bool],
        tell: Callable[[SessionInput], None],
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        """Prepare to keep copies.

        Args:
            browser: Knows the id of the content that it opens.
            local: The profile on this machine.
            heads: Where it is noted which content was launched last.
            snapshots: Where snapshots are stored.
            config: When copies are made, and their deadlines.
            clock: Own time.
            node: Name of this machine.
            is_busy: Tells whether a send is in flight.
            may_write: Tells whether the lease is held.
            tell: Takes what became of a snapshot.
            log: Where it is written what was restored, and what went wrong.
        """
        self._browser = browser
        self._local = local
        self._heads = heads
        self._snapshots = snapshots
        self._config = config
        self._clock = clock
        self._node = node
        self._is_busy = is_busy
        self._may_write = may_write
        self._tell = tell
        self._log = log
        self._head: ProfileHead | None = None
        self._wanted: ProfileHead | None = None
        """What the head should say, by what the page told."""
        self._elsewhere = False
        """Whether the login that the head names was not found when this browser was launched."""
        self._was_ready = False
        """Whether the last browser reached READY, and its login was not ended since."""
        self._copied: str | None = None
        """Fingerprint of the last snapshot."""
        self._bad: set[int] = set()
        """Revisions of snapshots that could not be read; no more than are stored."""
        self._copying: asyncio.Task[None] | None = None

    # --- before a launch ------------------------------------------------------------------------------------------

    async def prepare(self, epoch: int, distrust: str | None) -> signals.ProfileChosen:
        """See to it that the newest copy lies here, and write the head.

        Args:
            epoch: The owner's.
            distrust: Why the local copy is not to be used even if it is the newest, if so.

        Raises:
            Unavailable: A store did not answer.
            ProfileInUse: Another live process holds the profile.
        """
        await self.rest()
        self._was_ready = False
        head = await self._heads.read()
        chosen = await self._choose(head, distrust)
        if chosen.source is Source.FRESH and self._local.generation() is not None:
            await self._local.set_aside()
        if chosen.renew:
            self._local.renew()
        generation = self._browser.generation()
        self._wanted = profiles.head_at_launch(head, chosen, epoch=epoch, node=self._node, generation=generation)
        self._elsewhere = self._wanted.generation != generation
        await self._heads.write(self._wanted)
        self._head = self._wanted
        return signals.ProfileChosen(chosen.login, chosen.reason)

    async def _choose(self, head: ProfileHead | None, distrust: str | None) -> Choice:
        """Choose a copy, and bring it here if it is a snapshot."""
        local, linked = self._local.generation(), self._local.linked()
        if not profiles.wants_snapshots(local, head, distrust):
            return profiles.choose(local, head, snapshots=0, linked=linked, distrust=distrust)
        stored = await self._snapshots.stored()
        chosen = profiles.choose(local, head, snapshots=len(stored), linked=linked, distrust=distrust)
        if chosen.source is not Source.SNAPSHOT:
            return chosen
        for snapshot in stored:
            if await self._restore(snapshot):
                return chosen
        return profiles.choose(local, head, snapshots=0, linked=linked, distrust=distrust or profiles.UNREADABLE)

    async def _restore(self, snapshot: StoredSnapshot) -> bool:
        """Put a snapshot in the place of the local profile; False if it is of no use."""
        manifest = snapshot.manifest
        self._tell(signals.Restoring())
        try:
            await within(self._clock, self._config.restore_timeout_s, self._bring(snapshot))
        except SnapshotFailure as exc:
            self._log.error("Snapshot of %s not restored: %s", manifest.taken_at, exc)
            self._bad.add(snapshot.revision)
            return False
        except (TimeoutError, OSError) as exc:
            raise Unavailable(f"the snapshot was not restored: {exc}") from exc
        self._log.warning(
            "Profile restored from the snapshot of %s (epoch %d, %s, %d bytes)",
            manifest.taken_at, manifest.epoch, manifest.browser_build, manifest.size_bytes,
        )  # fmt: skip
        return True

    async def _bring(self, snapshot: StoredSnapshot) -> None:
        target = await self._local.incoming()
        await self._snapshots.fetch(snapshot, target)
        await self._local.unseal(target)

    # --- while it runs --------------------------------------------------------------------------------------------

    def hear(self, fact: Fact) -> bool:
        """Take a fact of the page; True if the head has to be written anew (``note_head``)."""
        if isinstance(fact, Synced):
            self._was_ready = True
        elif isinstance(fact, Unlinked | AccountBlocked | QrShown):
            self._was_ready = False
            if self._copying:
                self._copying.cancel()  # what it would copy now is a profile that was emptied
        if self._wanted and isinstance(fact, Linked | Synced | Unlinked | AccountBlocked):
            generation = self._browser.generation()
            self._wanted = profiles.head_after(self._wanted, fact, generation, elsewhere=self._elsewhere)
            self._elsewhere = self._elsewhere and self._wanted.generation != generation
        return self._wanted != self._head

    async def note_head(self) -> None:
        """Write the head as the page's facts want it; where the store does not answer, the next occasion does it."""
        wanted = self._wanted
        if wanted is None or wanted == self._head or not self._may_write():
            return
        try:
            await self._heads.write(wanted)
        except Unavailable as exc:
            self._log.warning("Profile head not written: %s", exc)
        else:
            self._head = wanted

    def copy(self) -> None:
        """Begin to make a snapshot of the running browser's profile, unless that is under way or its login is gone."""
        if self._was_ready and (self._copying is None or self._copying.done()):
            self._copying = asyncio.create_task(self._copy_running(), name="profile:copy")
            self._copying.add_done_callback(self._ended)

    def _ended(self, copying: "asyncio.Task[None]") -> None:
        if not copying.cancelled() and (error := copying.exception()):
            self._log.error("The snapshot of the running profile failed", exc_info=error)
            self._tell(signals.CopyMissed())

    async def rest(self) -> None:
        """End a snapshot that is being made."""
        if self._copying:
            await cancel(self._copying)
            self._copying = None

    async def _copy_running(self) -> None:
        await self.note_head()
        try:
            await within(self._clock, self._config.copy_timeout_s, self._copy_in_a_quiet_moment())
        except _FAILURES as exc:
            self._log.warning("No snapshot of the running profile: %s", exc)
            self._tell(signals.CopyMissed())

    async def _copy_in_a_quiet_moment(self) -> None:
        while True:
            if not self._is_busy():
                try:
                    await self._store(running=True)
                except ProfileUnsteady as exc:
                    self._log.debug("The profile is not quiet: %s", exc)
                else:
                    return
            await self._clock.sleep(self._config.copy_retry_s)

    # --- at the end -----------------------------------------------------------------------------------------------

    async def copy_stopped(self) -> None:
        """Make the last snapshot, of a browser that is closed; nothing happens if it is not worth keeping."""
        await self.rest()
        await self.note_head()
        if not (self._was_ready and self._may_write()):
            return
        try:
            await within(self._clock, self._config.stop_copy_timeout_s, self._store(running=False))
        except _FAILURES as exc:
            self._log.warning("No snapshot of the stopped profile: %s", exc)

    async def retire(self, epoch: int) -> None:
        """Note that the login was ended on purpose: its copies are put aside with it, or else deleted."""
        await self.rest()
        self._was_ready = False
        try:
            await within(self._clock, _RETIRE_TIMEOUT_S, self._retire(epoch, put_aside=True))
        except (Unavailable, TimeoutError) as exc:
            # Nobody comes back to this session: what its owner ended must not stay for want of a fast link.
            self._log.warning("Snapshots not put aside for 7 days but deleted at once: %s", exc)
        else:
            return
        try:
            await within(self._clock, _DELETE_TIMEOUT_S, self._retire(epoch, put_aside=False))
        except (Unavailable, TimeoutError) as exc:
            self._log.error("Snapshots of the ended login not deleted: %s", exc)

    async def _retire(self, epoch: int, *, put_aside: bool) -> None:
        head = await self._heads.read()
        if head:
            # First: with such a head nobody restores what may be left behind by the next step.
            ended = profiles.head_after_logout(epoch=epoch, node=self._node)
            await self._heads.write(ended)
            self._head = self._wanted = ended
        await self._snapshots.retire(put_aside=put_aside)

    async def _store(self, *, running: bool) -> None:
        """Make a snapshot and store it."""
        head = self._wanted
        sealed = await self._local.seal(running=running, unless=self._copied)
        if sealed is None or head is None:
            return
        try:
            if self._may_write():
                await self._upload(sealed, head.epoch, running=running)
        finally:
            await self._local.discard(sealed)

    async def _upload(self, sealed: Sealed, epoch: int, *, running: bool) -> None:
        manifest = SnapshotManifest(
            epoch=epoch,
            generation=sealed.generation,
            browser_build=sealed.browser_build,
            sha256=sealed.sha256,
            size_bytes=sealed.size_bytes,
            taken_at=self._clock.now(),
            was_running=running,
        )
        if await self._snapshots.store(sealed.path, manifest, bad=frozenset(self._bad)):
            self._copied = sealed.fingerprint
            self._log.info("Snapshot stored: %d bytes, was running: %s", sealed.size_bytes, running)
        else:
            self._log.warning("Snapshot not stored: an owner of a higher epoch has written one")
