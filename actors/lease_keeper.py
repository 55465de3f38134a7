"""Takes a session's lease, keeps it, and says at once when it can't (promise 4; the arithmetic is ``core.lease``).

Two tasks: one renews; one watches the time, so that a renewal that hangs can't hide that the term is over.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from actors.config import LeaseConfig
from actors.core.lease import Hold, LeaseTerm, is_ours
from actors.deadlines import cancel, within
from actors.errors import Unavailable
from actors.messages.records import LeaseRecord
from actors.ports import Clock, LeaseStore

_TAKE_EVERY_S: Final = 1.0
"""Between tries to take a lease."""
_RENEW_AGAIN_S: Final = 0.25
"""After a renewal that failed: between the time of renewal and the end of the term there are but 3 s."""
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
            on_overdue: Called once when the browser has to be closed: the lease is lost or could not be renewed.
            on_ended: Called once when whatever is left of the browser has to be killed.
            log: Where losses are written.
        """
        self._store = store
        self._record = record
        self._config = config
        self._clock = clock
        self._on_overdue = on_overdue
        self._on_ended = on_ended
        self._log = log
        self._revision = 0
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

    def note_processes(self, processes: Sequence[tuple[int, float]]) -> None:
        """Write the browser's pids into the lease with the next renewal."""
        self._record = self._record.model_copy(update={"browser_pids": tuple(processes)})

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
                await within(self._clock, _RELEASE_TIMEOUT_S, self._store.release(self._revision))
            except (Unavailable, TimeoutError) as exc:
                self._log.warning("Lease not released, it runs out by itself: %s", exc)
        self._lost = True

    async def _try_take(self) -> bool:
        sent_at = self._clock.monotonic()
        try:
            revision = await self._store.create(self._record)
            if revision is None:
                # Our own create whose answer was lost? Then a renewal makes a term that begins now.
                found = await self._store.read()
                if found and is_ours(found.value, self._record.owner_id):
                    sent_at = self._clock.monotonic()
                    revision = await self._store.renew(self._record, found.revision)
        except Unavailable:
            return False
        if revision is None:
            return False
        self._revision, self._term = revision, LeaseTerm(self._config, sent_at)
        return True

    async def _renew_for_ever(self) -> None:
        delay = self._config.renew_every_s
        while not self._lost:
            await self._clock.sleep(delay)
            delay = self._config.renew_every_s if await self._renew() else _RENEW_AGAIN_S

    async def _renew(self) -> bool:
        sent_at = self._clock.monotonic()
        try:
            revision = await within(self._clock, _RENEW_TIMEOUT_S, self._store.renew(self._record, self._revision))
            if revision is None:
                found = await within(self._clock, _RENEW_TIMEOUT_S, self._store.read())
                if not found or not is_ours(found.value, self._record.owner_id):
                    self._lose("another owner holds the lease" if found else "the lease is gone")
                    return False
                self._revision = found.revision
                return False
        except (Unavailable, TimeoutError) as exc:
            self._log.warning("Lease not renewed: %s", exc)
            return False
        self._revision = revision
        if self._term:
            self._term.renewed(sent_at)
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
