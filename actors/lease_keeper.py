"""Takes a session's lease, keeps it, and says at once when it can't (promise 4; the arithmetic is ``core.lease``).

Two tasks: one renews; one watches the time, so that a renewal that hangs can't hide that the term is over. Only the
first one writes, so no write of ours overtakes another. The lease names the browser's processes: a next owner on this
machine that sees all of them gone needs not wait until the lease runs out.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from actors.config import LeaseConfig
from actors.core.lease import Hold, LeaseTerm, is_ours, may_be_inherited
from actors.deadlines import cancel, within
from actors.errors import Unavailable
from actors.messages.records import LeaseRecord
from actors.ports import Clock, LeaseStore, Revised

_TAKE_EVERY_S: Final = 1.0
"""Between tries to take a lease."""
_RENEW_AGAIN_S: Final = 0.25
"""After a renewal that failed: how long NATS may be away depends on it."""
_RENEW_TIMEOUT_S: Final = 1.0
_PATIENCE_S: Final = 5.0
"""How long after the TTL of a former owner's lease a new owner goes on trying."""
_RELEASE_TIMEOUT_S: Final = 3.0


class LeaseKeeper:
    """Holds the lease of one session."""

    def __init__(
        self,
        store: LeaseStore,
        record: LeaseRecord,
        *,
        config: LeaseConfig,
        clock: Clock,
        dead_owners: Collection[str],
        inherit: Callable[[LeaseRecord], AbstractAsyncContextManager[bool]],
        on_renewed: Callable[[], None],
        on_overdue: Callable[[], None],
        on_ended: Callable[[], None],
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        """Prepare to take a lease.

        Args:
            store: Where leases are kept.
            record: Who we are.
            config: The times of a lease.
            clock: Own time.
            dead_owners: Owners that were reported dead: from these the lease may be taken before it runs out.
            inherit: Makes sure that nothing is left of one of them.
            on_renewed: Called after each renewal: the page may live on.
            on_overdue: Called once when the browser has to be closed: the lease is lost or could not be renewed.
            on_ended: Called once when whatever is left of the browser has to be killed.
            log: Where losses are written.
        """
        self._store = store
        self._record = record
        self._config = config
        self._clock = clock
        self._dead_owners = dead_owners
        self._inherit = inherit
        self._on_renewed = on_renewed
        self._on_overdue = on_overdue
        self._on_ended = on_ended
        self._log = log
        self._revision = 0
        self._stored: LeaseRecord | None = None
        self._to_store = asyncio.Event()
        self._renewed = asyncio.Event()
        self._term: LeaseTerm | None = None
        self._lost = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def held(self) -> bool:
        """Whether the lease was taken and is not known to be lost."""
        return self._term is not None and not self._lost

    def may_send(self) -> bool:
        """Tell whether a send may begin now."""
        return not self._lost and self._term is not None and self._term.may_send(self._clock.monotonic())

    def fuse_left_s(self) -> float:
        """Return after how many seconds a page has to end by itself."""
        return self._term.fuse_left(self._clock.monotonic()) if self._term and not self._lost else 0.0

    def note_processes(self, processes: Sequence[tuple[int, float]]) -> None:
        """Write the browser's pids into the lease, at once."""
        self._record = self._record.model_copy(update={"browser_pids": tuple(processes)})
        self._to_store.set()

    async def forget_processes(self) -> None:
        """Return once the lease names no browser: what is launched from now on is not known to a next owner."""
        if self._record.browser_pids:
            self.note_processes(())
        while self._stored is not self._record:
            self._renewed.clear()
            await self._renewed.wait()

    async def take(self) -> bool:
        """Take the lease, waiting until a former owner's has run out; False if somebody keeps it."""
        give_up_at = self._clock.monotonic() + self._config.ttl_s + _PATIENCE_S
        while not await self._try_take():
            if self._clock.monotonic() >= give_up_at:
                return False
            await self._clock.sleep(_TAKE_EVERY_S)
        self._tasks = [
            asyncio.create_task(self._renew_for_ever(), name="lease:renew"),
            asyncio.create_task(self._watch(), name="lease:watch"),
        ]
        return True

    async def release(self) -> None:
        """Give the lease up, if it is still ours."""
        await cancel(*self._tasks)
        if self.held:
            try:
                await within(self._clock, _RELEASE_TIMEOUT_S, self._give_up())
            except (Unavailable, TimeoutError) as exc:
                self._log.warning("Lease not released, it runs out by itself: %s", exc)
        self._lost = True

    async def _give_up(self) -> None:
        """Delete the lease; a renewal that was cancelled on its way may have been stored first."""
        if await self._store.release(self._revision):
            return
        found = await self._store.read()
        if found and is_ours(found.value, self._record.owner_id):
            await self._store.release(found.revision)

    async def _try_take(self) -> bool:
        sent_at = self._clock.monotonic()
        try:
            revision = await self._store.create(self._record)
            if revision is None and (found := await self._store.read()):
                sent_at, revision = await self._take_from(found)
        except Unavailable:
            return False
        if revision is None:
            return False
        self._revision, self._stored, self._term = revision, self._record, LeaseTerm(self._config, sent_at)
        return True

    async def _take_from(self, found: Revised[LeaseRecord]) -> tuple[float, int | None]:
        """Take a lease that is there already; the moment before it was written, and its revision."""
        if is_ours(found.value, self._record.owner_id):
            # Our own create whose answer was lost; a renewal makes a term that begins now.
            return self._clock.monotonic(), await self._store.renew(self._record, found.revision)
        if not may_be_inherited(found.value, dead_owners=self._dead_owners, node=self._record.node):
            return 0.0, None
        async with self._inherit(found.value) as nothing_left:
            sent_at = self._clock.monotonic()
            revision = await self._store.renew(self._record, found.revision) if nothing_left else None
        if revision is not None:
            self._log.info("Lease taken over: its owner is dead, nothing of it is left")
        return sent_at, revision

    async def _renew_for_ever(self) -> None:
        delay = self._config.renew_every_s
        while not self._lost:
            with contextlib.suppress(TimeoutError):
                await within(self._clock, delay, self._to_store.wait())
            self._to_store.clear()
            delay = self._config.renew_every_s if await self._renew() else _RENEW_AGAIN_S

    async def _renew(self) -> bool:
        record = self._record
        try:
            sent_at = self._clock.monotonic()
            revision = await within(self._clock, _RENEW_TIMEOUT_S, self._store.renew(record, self._revision))
            if revision is None and await self._find_ours():
                sent_at = self._clock.monotonic()
                revision = await within(self._clock, _RENEW_TIMEOUT_S, self._store.renew(record, self._revision))
        except (Unavailable, TimeoutError) as exc:
            self._log.warning("Lease not renewed: %s", exc)
            return False
        if revision is None or self._term is None or self._lost:
            return False
        self._revision, self._stored = revision, record
        self._term.renewed(sent_at)
        self._renewed.set()
        self._on_renewed()
        return True

    async def _find_ours(self) -> bool:
        """Find out what "wrong last sequence" means: an earlier renewal of ours without its answer, or the end."""
        found = await within(self._clock, _RENEW_TIMEOUT_S, self._store.read())
        if not found or not is_ours(found.value, self._record.owner_id):
            self._lose("another owner holds the lease" if found else "the lease is gone")
            return False
        self._revision = found.revision
        return True

    async def _watch(self) -> None:
        while self._term and not self._lost:
            now = self._clock.monotonic()
            if self._term.hold(now) is Hold.FIRM:
                await self._clock.sleep(self._term.close_at - now)
            else:
                self._lose("it could not be renewed in time")
        if self._term:
            await self._clock.sleep(max(0.0, self._term.kill_at - self._clock.monotonic()))
            self._on_ended()

    def _lose(self, why: str) -> None:
        if not self._lost:
            self._lost = True
            self._log.error("Lease lost: %s; closing the browser", why)
            self._on_overdue()
