"""How a session comes back: grace, waits, attempts and their end (DESIGN 7 "Reconnect").

The attempts are counted from the first loss after READY and are full again once READY held for ``stable_after_s``: five
quick losses in a row end like one long one. A recovery is in one phase at a time; every phase has an end of its own.
Pure.
"""

from enum import StrEnum, auto
from random import Random

from actors.config import RetryConfig
from actors.core.backoff import RetryPolicy


class Phase(StrEnum):
    """Where a recovery stands."""

    NONE = auto()
    GRACE = auto()
    """The page may heal itself."""
    WAITING = auto()
    """An attempt was counted and begins after its delay."""
    TRYING = auto()
    """The page is coming up again."""


class Remedy(StrEnum):
    """What an attempt does."""

    RELOAD = auto()
    """A fresh page in the same browser."""
    REOPEN = auto()
    """A fresh browser."""


class Recovery:
    """Counts reconnect attempts."""

    def __init__(self, config: RetryConfig, random: Random) -> None:
        self._policy = RetryPolicy(config.first_delay_s, config.max_delay_s, config.jitter, config.max_attempts)
        self._stable_after_s = config.stable_after_s
        self._random = random
        self._ready_since: float | None = None
        self.phase = Phase.NONE
        self.remedy = Remedy.REOPEN
        self.attempt = 0
        """Attempts spent; the number of the current one while there is one."""

    @property
    def max_attempts(self) -> int:
        """How many attempts there are."""
        return self._policy.max_attempts

    def ready(self, now: float) -> None:
        """Note that READY began: the recovery, if there was one, is over."""
        self.phase = Phase.NONE
        self._ready_since = now

    def left_ready(self, now: float) -> None:
        """Note that READY ended; if it was stable, the attempts are full again."""
        if self._ready_since is not None and now - self._ready_since >= self._stable_after_s:
            self.attempt = 0
        self._ready_since = None

    def rest(self) -> None:
        """Leave the recovery for a state with a deadline of its own; attempts stay spent."""
        self.phase = Phase.NONE

    def begin_grace(self) -> None:
        """Let the page heal itself; should it not, a reload is tried first."""
        self.phase, self.remedy = Phase.GRACE, Remedy.RELOAD

    def begin_uncounted(self, remedy: Remedy) -> None:
        """Renew page or browser without counting an attempt: the connection itself is not in question."""
        self.phase, self.remedy = Phase.TRYING, remedy

    def next_attempt(self, remedy: Remedy) -> float | None:
        """Count an attempt.

        Args:
            remedy: What it would do; after a failed attempt it is always a fresh browser.

        Returns:
            Seconds until it begins, or None if no attempt is left.
        """
        if not self._policy.allows(self.attempt + 1):
            return None
        self.remedy = Remedy.REOPEN if self.phase is Phase.TRYING else remedy
        self.attempt += 1
        self.phase = Phase.WAITING
        return self._policy.delay(self.attempt, self._random)

    def worsen(self, remedy: Remedy) -> None:
        """Note while waiting for an attempt that more broke than was known."""
        if remedy is Remedy.REOPEN:
            self.remedy = remedy

    def begin_attempt(self) -> None:
        """Note that the counted attempt begins."""
        self.phase = Phase.TRYING

    def refill(self) -> None:
        """Start afresh: a person asked for it."""
        self.phase, self.attempt, self._ready_since = Phase.NONE, 0, None
