"""The arithmetic of a lease (promise 4): what its holder may do, by its own monotonic clock.

T0 is the moment just before the last successful renewal was *sent*: the server may count from later, never from
earlier. Until T0 + ``send_until_s`` a send may begin; from then on the browser has to be closed, and from
T0 + ``kill_after_s`` on its process tree is killed, well before the server lets anybody else take the lease
(T0 + ``ttl_s``). At T0 + ``fuse_s`` the page ends by itself, for the holder may be frozen. Pure.

Nobody may take a lease before it ran out, with one exception (``may_be_inherited``): after a crash the next owner on
the same machine can see for itself that nothing of the former one is left.
"""

from collections.abc import Collection
from enum import StrEnum, auto

from actors.config import LeaseConfig
from actors.messages.records import LeaseRecord


class Hold(StrEnum):
    """How firmly the lease is held."""

    FIRM = auto()
    OVERDUE = auto()
    """Nothing may be sent any more; close the browser."""
    ENDED = auto()
    """Kill whatever is left of the browser."""


class LeaseTerm:
    """The time a holder has, renewal by renewal."""

    def __init__(self, config: LeaseConfig, sent_at: float) -> None:
        """Begin a term.

        Args:
            config: The times of a lease.
            sent_at: Monotonic moment just before the request that took the lease was sent.
        """
        self._config = config
        self._t0 = sent_at

    def renewed(self, sent_at: float) -> None:
        """Note a successful renewal, by the moment just before it was sent."""
        self._t0 = max(self._t0, sent_at)

    def hold(self, now: float) -> Hold:
        """Tell how firmly the lease is held now."""
        if now < self._t0 + self._config.send_until_s:
            return Hold.FIRM
        return Hold.OVERDUE if now < self._t0 + self._config.kill_after_s else Hold.ENDED

    def may_send(self, now: float) -> bool:
        """Tell whether a send may begin."""
        return self.hold(now) is Hold.FIRM

    @property
    def close_at(self) -> float:
        """When the browser has to be closed."""
        return self._t0 + self._config.send_until_s

    @property
    def kill_at(self) -> float:
        """When the browser's process tree has to be killed."""
        return self._t0 + self._config.kill_after_s

    def fuse_left(self, now: float) -> float:
        """Return the seconds after which a page has to end by itself; negative where it should have ended."""
        return self._t0 + self._config.fuse_s - now


def is_ours(found: LeaseRecord | None, owner_id: str) -> bool:
    """Tell whether the lease in the store is still our own.

    A renewal that is answered "wrong last sequence" may have been our own earlier one whose answer was lost: then the
    store names us, and its revision is the one to go on with.
    """
    return found is not None and found.owner_id == owner_id


def may_be_inherited(found: LeaseRecord, *, dead_owners: Collection[str], node: str) -> bool:
    """Tell whether a lease may be overwritten before it runs out, once its processes are seen to be gone.

    An owner that names no browser may be launching one right now, or have launched one that nobody knows of.

    Args:
        found: The lease in the store.
        dead_owners: Ids of owners whose actors Ray reported dead.
        node: Where the successor runs; pids of another node can't be looked at.
    """
    return found.node == node and found.owner_id in dead_owners and bool(found.browser_pids)
