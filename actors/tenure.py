"""The supervisor's term of office: the lease ``_supervisor``, without which it decides nothing.

Ray runs one actor of a name, but in a partition the old one lives on beside the new one. Unlike a session's lease, this
one guards no browser: losing it means to stop acting, so nothing has to be closed in time. A supervisor that Ray
restarts on the same node does not wait for its predecessor's lease to run out where that process is seen to be gone.
"""

import logging
import os
from typing import Final

import psutil

from actors import node
from actors.config import LeaseConfig
from actors.core.lease import LeaseTerm, is_ours
from actors.errors import Unavailable
from actors.messages.records import LeaseRecord
from actors.ports import Clock, LeaseStore

_log: Final = logging.getLogger("wafleet.supervisor")


class Tenure:
    """Holds the lease, or tries to get it."""

    def __init__(self, store: LeaseStore, owner_id: str, config: LeaseConfig, clock: Clock) -> None:
        """Prepare to take it.

        Args:
            store: The lease ``_supervisor``.
            owner_id: Random id of this supervisor's life.
            config: The times of a lease.
            clock: Own time.
        """
        self._store = store
        self._record = LeaseRecord(owner_id=owner_id, node=node.identity(), pid=os.getpid(), actor_name="supervisor")
        self._config = config
        self._clock = clock
        self._revision: int | None = None
        self._term: LeaseTerm | None = None

    def held(self) -> bool:
        """Tell whether this supervisor may act now."""
        return self._term is not None and self._term.may_send(self._clock.monotonic())

    async def keep(self) -> bool:
        """Take or renew the lease, one try.

        Returns:
            Whether it is held now.

        Raises:
            Unavailable: The store did not answer; what is held runs out by itself.
        """
        sent_at = self._clock.monotonic()
        revision = await self._renew(self._revision) if self._revision else await self._take()
        if revision is None:
            if self._revision is not None:
                _log.error("[Supervisor] another one holds the lease; waiting")
            self._revision = self._term = None
        else:
            self._revision, self._term = revision, LeaseTerm(self._config, sent_at)
        return self.held()

    async def release(self) -> None:
        """Give it up, if it is still ours; never raises, since it runs out by itself too."""
        if self._revision is not None:
            try:
                await self._store.release(self._revision)
            except Unavailable as exc:
                _log.warning("[Supervisor] lease not released, it runs out by itself: %s", exc)
        self._revision = self._term = None

    async def _take(self) -> int | None:
        revision = await self._store.create(self._record)
        if revision is not None:
            return revision
        found = await self._store.read()
        if found is None or not (is_ours(found.value, self._record.owner_id) or self._is_gone(found.value)):
            return None
        return await self._store.renew(self._record, found.revision)

    async def _renew(self, revision: int) -> int | None:
        renewed = await self._store.renew(self._record, revision)
        if renewed is not None:
            return renewed
        # The answer to an earlier renewal may have been lost: then the store names us.
        found = await self._store.read()
        if found is None or not is_ours(found.value, self._record.owner_id):
            return None
        return await self._store.renew(self._record, found.revision)

    def _is_gone(self, holder: LeaseRecord) -> bool:
        """Tell whether the holder was a process of this machine that has ended; with our pid it can only be older."""
        if holder.node != self._record.node:
            return False
        return holder.pid == self._record.pid or not psutil.pid_exists(holder.pid)
