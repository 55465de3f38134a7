"""The one place that reads the machine's clock and waits."""

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's time."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the moment in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)  # noqa: TID251 - this is the Clock
