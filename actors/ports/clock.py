"""Time, as a port."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time: monotonic inside a process, UTC for people."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        ...

    def now(self) -> datetime:
        """Return the moment in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...
