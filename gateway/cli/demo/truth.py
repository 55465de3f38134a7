"""Judges the simulator's truth log: was each accepted job sent exactly once, and was the window ever exceeded. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from simulator.client import SentMessage


def bare_id(message_id: str) -> str:
    """Return the bare id in a full key like ``true_6281234567890@c.us_3EB0…``."""
    return message_id.split("_")[2]


def discrepancies(jobs: Mapping[str, str], log: Sequence[SentMessage]) -> list[str]:
    """Compare what was reported as sent with what WhatsApp's server saw.

    Args:
        jobs: The full message id of each job, by job id.
        log: The truth log since before the first job.

    Returns:
        What is wrong, nothing if every job's message is there exactly once and nothing else is.
    """
    seen = Counter(entry.id for entry in log)
    wanted = {bare_id(message_id): job_id for job_id, message_id in jobs.items()}
    wrong = [f"job {job} never reached WhatsApp" for bare, job in wanted.items() if seen[bare] == 0]
    wrong += [f"job {job} reached WhatsApp {seen[bare]} times" for bare, job in wanted.items() if seen[bare] > 1]
    wrong += [f"message {entry.id} belongs to no job" for entry in log if entry.id not in wanted]
    return wrong


def fullest_window(log: Iterable[SentMessage], wid: str, window_s: float) -> int:
    """Return the most messages of one account within any span of the window's length, by the server's clock."""
    times = sorted(entry.at for entry in log if entry.wid == wid)
    return max((sum(start <= time < start + window_s for time in times) for start in times), default=0)
