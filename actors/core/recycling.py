"""When a browser that grew too large is closed and opened again on purpose.

A planned recycle is no failure and no attempt. It waits until no send is in flight; the queue is held meanwhile, as in
every state but READY. Two recycles are at least ``min_interval_s`` apart: a budget below what the page simply needs
must not make the session restart for ever. Pure: sizes and time are arguments.
"""

from actors.config import MemoryConfig


class Recycler:
    """Watches one session's memory budget."""

    def __init__(self, config: MemoryConfig) -> None:
        self._config = config
        self._recycled_at: float | None = None
        self._wanted = False

    @property
    def watches(self) -> bool:
        """Whether there is a budget at all."""
        return self._config.budget_mib > 0

    def weigh(self, pss_bytes: int, now: float) -> bool:
        """Take a measurement.

        Args:
            pss_bytes: What all processes of the session hold, shared memory in proportion.
            now: Monotonic seconds.

        Returns:
            Whether it calls for a recycle that was not called for before.
        """
        before = self._wanted
        over = self.watches and pss_bytes > self._config.budget_mib * 2**20
        self._wanted = over and self._may_recycle(now)
        return self._wanted and not before

    def take(self, now: float, *, idle: bool) -> bool:
        """Return whether to recycle now; if so, it counts as done."""
        if not (self._wanted and idle):
            return False
        self._wanted, self._recycled_at = False, now
        return True

    def forget(self) -> None:
        """Drop what was wanted: the browser that was weighed is gone."""
        self._wanted = False

    def _may_recycle(self, now: float) -> bool:
        return self._recycled_at is None or now - self._recycled_at >= self._config.min_interval_s
