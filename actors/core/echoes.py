"""A wake-up may come before the job it tells of: when to look again.

A job's wake-up is the job's own message on its way to plain subscribers; nats-server hands it to them beside storing
it, not after: of 100 jobs that came one by one, two were not in the stream yet when their owner read it (measured
2026-11-22), and would have waited for the next poll. So after each wake-up its lane is read again, soon and then less
soon; a wake-up that comes meanwhile begins anew. Pure.
"""

from typing import Final

from actors.messages.jobs import LaneName

DELAYS_S: Final = (0.02, 0.2, 2.0)
"""After a wake-up. The last one covers a disk that hangs; the poll of the log covers the rest."""


class Echoes:
    """What is left to be looked at again, by lane."""

    def __init__(self) -> None:
        self._due: dict[LaneName, tuple[float, ...]] = {}

    def woken(self, lane: LaneName, now: float) -> None:
        """Note a wake-up."""
        self._due[lane] = tuple(now + delay for delay in DELAYS_S)

    def take(self, now: float) -> list[LaneName]:
        """Return the lanes that are due."""
        due: list[LaneName] = [lane for lane, moments in self._due.items() if moments[0] <= now]
        for lane in due:
            left = tuple(moment for moment in self._due.pop(lane) if moment > now)
            if left:
                self._due[lane] = left
        return due

    def next_at(self) -> float | None:
        """Return when ``take`` has a lane next."""
        return min((moments[0] for moments in self._due.values()), default=None)
