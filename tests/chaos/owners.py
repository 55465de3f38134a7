"""Rules of the judge about owners: one at a time, and their events tell which came later. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from tests.chaos.doubts import killed_owner
from tests.chaos.history import Heard, History
from tests.chaos.plan import KEEPS_FROM_RENEWING

_LAST_WORDS_S: Final = 30.0
"""How long after a thaw or an outage a replaced owner may store what it had to say."""


def two_owners(history: History) -> Iterator[str]:
    """Sessions of which two browsers were connected at once."""
    for key, count in history.conflicts.items():
        if count:
            yield f"{key} was connected by two pages at once, {count} times"


def misnumbered_events(history: History) -> Iterator[str]:
    """Epochs that fall and numbers that come again: nobody could tell a replaced owner's events from the new one's."""
    for key in history.linked_at:
        ids: dict[str, Heard] = {}
        for one in history.heard:
            if one.key == key:
                ids.setdefault(one.event_id, one)  # a repeat of an id is dropped by whoever reads
        for wrong in _misnumbered(history, list(ids.values())):
            yield f"{key}: {wrong}"


def _misnumbered(history: History, heard: Sequence[Heard]) -> Iterator[str]:
    numbers: set[int] = set()
    first = last = None  # of the present owner
    for one in heard:
        if first and one.epoch < first.epoch:
            if not _was_replaced_alive(history, first):
                yield f"event {one.event_id} of epoch {one.epoch} came after epoch {first.epoch} had begun"
            continue  # clients drop it
        if first is None or one.epoch > first.epoch:
            first = one
        elif last and one.seq <= last.seq:
            yield f"event {one.event_id} has the number {one.seq} after {last.seq}, in epoch {one.epoch}"
        if one.seq in numbers:
            yield f"event {one.event_id} has a number that was given out before, {one.seq}"
        numbers.add(one.seq)
        last = one


def _was_replaced_alive(history: History, successor: Heard) -> bool:
    """Tell whether an owner was followed while it lived on, frozen or cut off: it may store its last words late."""
    at = successor.at
    faults = history.befallen(successor.key, KEEPS_FROM_RENEWING, at - _LAST_WORDS_S, at)
    return any(killed_owner(fault) for fault in faults)
