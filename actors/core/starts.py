"""When the next session may start: staggered, bounded per node, braked after a wave of deaths. Pure.

A start costs about 0.6 s of CPU, so it holds one of ``max_concurrent_starts`` slots per node until its browser is up,
and two starts are ``start_spacing_s`` apart. While no node has a free ``browser`` slot, one session at a time probes
for room. Once the fleet's restart budget is spent, restarts wait until it has room again; first starts go on.
"""

from typing import Final

from actors.config import SupervisorConfig
from actors.core.backoff import RestartBudget

START_SLOT_S: Final = 10.0
"""A start that takes longer waits for something other than this machine's CPU, so it holds nobody up any more."""


class StartGate:
    """Lets starts through."""

    def __init__(self, config: SupervisorConfig) -> None:
        self._config = config
        self._restarts = RestartBudget(config.fleet_max_restarts, config.fleet_max_seconds)
        self._next_start = 0.0
        self._full_since: float | None = None

    @property
    def next_start(self) -> float:
        """When the next start may be tried."""
        return self._next_start

    def admits(self, *, starting: int, restarting: int, nodes: int, is_restart: bool, now: float) -> bool:
        """Tell whether one more start may begin.

        Args:
            starting: Starts that hold a slot.
            restarting: Restarts among them that are not counted in the budget yet.
            nodes: Nodes with ``browser`` slots.
            is_restart: Whether this one follows a death.
            now: Monotonic seconds.
        """
        if now < self._next_start or starting >= self._config.max_concurrent_starts * max(1, nodes):
            return False
        if self._full_since is not None and starting > 0:
            return False
        return not is_restart or self._restarts.spent(now) + restarting < self._config.fleet_max_restarts

    def begun(self, now: float) -> None:
        """Note that a start was let through."""
        self._next_start = now + self._config.start_spacing_s

    def restarted(self, now: float) -> None:
        """Count a restart, whether it succeeded or not."""
        self._restarts.try_restart(now)

    def found_room(self) -> None:
        """Note that a node had a free slot."""
        self._full_since = None

    def found_none(self, now: float) -> None:
        """Note that no node had a free slot; the next probe is one period away."""
        if self._full_since is None:
            self._full_since = now
        self._next_start = now + self._config.reconcile_every_s

    def gives_up(self, waiting_since: float, now: float) -> bool:
        """Tell whether a session that wants a slot since then has waited for one too long."""
        if self._full_since is None:
            return False
        return now >= max(self._full_since, waiting_since) + self._config.no_capacity_after_s
