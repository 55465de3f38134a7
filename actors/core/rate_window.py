"""The rate window of one session: an exact sliding log (promise 3).

Theory of operation: no span of ``window_ms`` may hold more than ``max_messages`` sends *as WhatsApp's server sees
them*. The server sees a send somewhere between its call and the return of the call. So a send is stamped when its call
returns and counts as "now" while it is in flight: stamped at its start, a slow send followed by fast ones would squeeze
the span on the server's side. Direct sends and repeats count like any other.

Only the newest ``MAX_MESSAGES`` stamps are kept: the largest limit that can be set or asked about needs no more.
Pure: monotonic seconds are an argument.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from actors.messages.commands import RateLimit

MAX_MESSAGES: Final = 1_000
"""The largest ``max_messages`` (DESIGN section 2)."""


@dataclass(frozen=True, slots=True)
class Admit:
    """A send may begin; it is in flight until ``release`` or ``give_back``."""


@dataclass(frozen=True, slots=True)
class Defer:
    """The window is full."""

    until: float
    """No room before this monotonic moment."""


@dataclass(frozen=True, slots=True)
class WindowState:
    """The window at one moment."""

    remaining: int
    reset_at: float | None
    """When ``remaining`` grows; None while nothing is counted."""

    @property
    def is_limited(self) -> bool:
        """Whether a send would have to wait."""
        return self.remaining == 0

    def reset_in_s(self, now: float) -> float:
        """Return the seconds until ``remaining`` grows, 0 while nothing is counted."""
        return 0.0 if self.reset_at is None else max(0.0, self.reset_at - now)


class RateWindow:
    """Counts the sends of one session."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._stamps: deque[float] = deque(maxlen=MAX_MESSAGES)
        self._in_flight = 0

    @property
    def limit(self) -> RateLimit:
        """The limit sends are held to."""
        return self._limit

    def try_acquire(self, now: float) -> Admit | Defer:
        """Take a place in the window for a send that begins now."""
        leaves = self._leaves(now, self._limit)
        over = len(leaves) - self._limit.max_messages
        if over >= 0:
            return Defer(leaves[over])
        self._in_flight += 1
        return Admit()

    def release(self, now: float) -> None:
        """Stamp a send whose call returned, or whose page ended under it."""
        self.give_back()
        self.count(now)

    def give_back(self) -> None:
        """Free the place of a send that never began."""
        if not self._in_flight:
            msg = "no send is in flight: release and give_back answer one try_acquire each"
            raise AssertionError(msg)
        self._in_flight -= 1

    def count(self, at: float) -> None:
        """Count a send that was made outside this window, e.g. by the former owner of the session."""
        self._stamps.append(max(at, self._stamps[-1]) if self._stamps else at)

    def state(self, now: float, limit: RateLimit | None = None) -> WindowState:
        """Describe the window, optionally as it would be under another limit."""
        asked = limit or self._limit
        leaves = self._leaves(now, asked)
        over = len(leaves) - asked.max_messages
        return WindowState(max(0, -over), leaves[max(0, over)] if leaves else None)

    def _leaves(self, now: float, limit: RateLimit) -> list[float]:
        """List when each counted send leaves the window, earliest first."""
        window_s = limit.window_ms / 1000
        leaves = [leave for stamp in self._stamps if now < (leave := stamp + window_s)]
        # A send in flight leaves one window after it returned, so not before now + window.
        return leaves + [now + window_s] * self._in_flight
