"""How long to wait before trying again, and when to stop trying.

``RetryPolicy`` gives the delay before an attempt; ``RestartBudget`` says whether one more restart is allowed in the
last ``max_seconds`` (the rule of OTP supervisors: more than ``max_restarts`` in that time means giving up). Pure: the
time and the random numbers are arguments.
"""

from collections import deque
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential delays with jitter, e.g. 1, 2, 4, 8, 16 and then 30 s, and an end."""

    first_delay_s: float = 1.0
    max_delay_s: float = 30.0
    jitter: float = 0.1
    """Each delay is spread by up to this fraction, downwards and upwards: a fleet must not come back in step."""
    max_attempts: int = 5

    def delay(self, attempt: int, random: Random) -> float:
        """Return the seconds to wait before an attempt.

        Args:
            attempt: 1 for the first one; higher than ``max_attempts`` is allowed for callers that count themselves.
            random: Where the jitter comes from.

        Returns:
            Seconds, never more than ``max_delay_s``.
        """
        # The exponent is bounded, else a caller that counts for weeks would overflow a float.
        plain = min(self.max_delay_s, self.first_delay_s * 2.0 ** min(attempt - 1, 60))
        return min(self.max_delay_s, plain * random.uniform(1 - self.jitter, 1 + self.jitter))

    def allows(self, attempt: int) -> bool:
        """Tell whether an attempt of this number (1-based) may still be made."""
        return attempt <= self.max_attempts


class RestartBudget:
    """Restart intensity: at most ``max_restarts`` within any ``max_seconds``."""

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        self._max_restarts = max_restarts
        self._max_seconds = max_seconds
        self._restarts: deque[float] = deque(maxlen=max_restarts + 1)

    def try_restart(self, now: float) -> bool:
        """Count a restart and tell whether it is allowed.

        Args:
            now: Monotonic seconds.

        Returns:
            False once there are more than ``max_restarts`` in the last ``max_seconds``: give up and say so.
        """
        self._forget(now)
        self._restarts.append(now)
        return len(self._restarts) <= self._max_restarts

    def spent(self, now: float) -> int:
        """Return how many restarts of the last ``max_seconds`` are counted."""
        self._forget(now)
        return len(self._restarts)

    def refill(self) -> None:
        """Forget all restarts: a person started it again, or it was stable for long."""
        self._restarts.clear()

    def _forget(self, now: float) -> None:
        while self._restarts and now > self._restarts[0] + self._max_seconds:
            self._restarts.popleft()
