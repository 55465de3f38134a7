"""When a session's former owners sent, told by the events they left behind (promise 3 over restarts and moves).

``job.sending`` stands before a call, the outcome behind it, the next attempt's ``job.sending`` behind a call in doubt.
So an attempt ended, at the latest, when the next event of its job was stored; one with nothing behind it may end even
now. Ages are by the store's clock, never by a node's. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """One event about a job."""

    job_id: str
    attempts: int
    """How many attempts had been written down."""
    age_s: float
    """How long ago the store took it."""
    is_outcome: bool


def ends_of_attempts(events: Iterable[Told]) -> list[float]:
    """Return how long ago each attempt ended at the latest.

    Args:
        events: ``job.sending`` and outcomes of a recent span, in the order in which they were stored.

    Returns:
        Ages in seconds; 0 for attempts of unknown end.
    """
    ages: list[float] = []
    calling: set[str] = set()
    done: set[str] = set()
    for event in events:
        if event.is_outcome:
            # An outcome is announced again after a crash, and one without an attempt cost nothing.
            if event.attempts and event.job_id not in done:
                ages.append(event.age_s)
            calling.discard(event.job_id)
            done.add(event.job_id)
            continue
        if event.job_id in calling or event.attempts > 1:
            ages.append(event.age_s)
        calling.add(event.job_id)
    return ages + [0.0] * len(calling)
