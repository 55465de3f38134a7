"""Rules of the judge about messages whose ack got lost: what became of them, and what came again. Pure.

A job in doubt needs a killed owner of its own, a repeat needs an ack that broke between its two arrivals; the notes
name the same faults that the rules go by.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from actors.config import QueueConfig
from tests.chaos.history import Arrived, Asked, Fault, History, Outcome
from tests.chaos.plan import KEEPS_FROM_RENEWING, KILLS_OWNER, Kind

_BREAKS_ACK: Final = frozenset(
    {
        Kind.BROWSER, Kind.RENDERER, Kind.DRIVER, Kind.ACTOR, Kind.FREEZE, Kind.NATS, Kind.DROP, Kind.DROP_ALL,
        Kind.NO_ACK, Kind.REBOOT,
    }
)  # fmt: skip
"""After these a message that the server has may lack its ack in the page, and is sent again under its id."""
_LEAVES_NO_ACK: Final = _BREAKS_ACK | {Kind.LOSE}
"""After these the page can't tell whether the server has a message: it looks the same where it got lost."""
_LOOKUP_S: Final = 10.0
"""How long the lookup after a send's deadline takes."""
_UNNOTICED_S: Final = 5.0
"""How long before an attempt a fault may have happened that its session has not noticed yet."""
_JUST_BEFORE_S: Final = 1.0
"""How long before an arrival a fault may have been over that its ack fell victim to: it goes out a moment later."""
_LEASE_S: Final = 6.0
"""An owner that was just about to renew its lease has so much left (DESIGN 7 "Lease")."""
TOLERANCE_S: Final = 1.0
"""By how much the moments that programs write down may differ."""


def due_at(one: Asked) -> float | None:
    """Return when a job's time is over; None if not within the run."""
    if one.job.way == "direct":
        return one.asked_at + QueueConfig().direct_expiry_s
    return None if one.job.expires_s is None else one.asked_at + one.job.expires_s


def was_due(one: Asked, at: float) -> bool:
    """Tell whether a job's time was over at a moment."""
    due = due_at(one)
    return due is not None and at >= due - TOLERANCE_S


def killed_owner(fault: Fault) -> bool:
    """Tell whether a fault ended the owners it befell: where leases can't be renewed for so long, they end too."""
    too_late = fault.kind in KEEPS_FROM_RENEWING and fault.until - fault.at >= _LEASE_S
    return fault.kind in KILLS_OWNER or too_late


def unconfirmed(history: History) -> list[tuple[Asked, Outcome]]:
    """Return the jobs in doubt."""
    return [
        (one, outcome)
        for one in history.accepted()
        if (outcome := history.outcome(one)) is not None and outcome.status == "unconfirmed"
    ]


def too_many_unconfirmed(history: History) -> Iterator[str]:
    """Each fault that killed an owner may leave one job in doubt, which that owner had in flight, and nothing else may.

    One, even where it killed the owners of all sessions: they have their profiles, and their pages know what they sent.
    """
    excuses = [
        (one, [number for number, fault in enumerate(history.faults) if _left_in_doubt(history, fault, one, outcome)])
        for one, outcome in unconfirmed(history)
        if not expired_in_doubt(history, one, outcome)
    ]
    excused: dict[int, Asked] = {}
    for one, faults in excuses:
        if not _excuse(one, faults, excused, dict(excuses), set()):
            yield f"{one} is unconfirmed, and {len(faults)} faults killed its owner while it was sent, none only for it"


def _excuse(
    one: Asked, faults: Sequence[int], excused: dict[int, Asked], all_faults: Mapping[Asked, Sequence[int]],
    tried: set[int],
) -> bool:  # fmt: skip
    """Find a fault that excuses no other job; a job that took it gives way if there is another one for it."""
    for fault in faults:
        if fault in tried:
            continue
        tried.add(fault)
        other = excused.get(fault)
        if other is None or _excuse(other, all_faults[other], excused, all_faults, tried):
            excused[fault] = one
            return True
    return False


def _left_in_doubt(history: History, fault: Fault, one: Asked, outcome: Outcome) -> bool:
    """Tell whether a fault killed the owner of a job that it had in flight."""
    flight_s = _flight_s(history, one)
    return (
        killed_owner(fault)
        and fault.befell(one.job.key)
        and any(fault.at <= min(outcome.at, at + flight_s) and fault.felt_until >= at for at in outcome.attempted)
    )


def expired_in_doubt(history: History, one: Asked, outcome: Outcome) -> bool:
    """Tell whether a job's ack got lost, and its time was over before its id could be sent again (DESIGN 2 "Jobs")."""
    return was_due(one, outcome.at) and bool(_no_ack_of(history, one, outcome))


def unexplained_repeats(history: History) -> Iterator[str]:
    """Messages that came again under the same id, although no ack can have been lost between."""
    for number, before, again in repeats(history):
        if not broke_ack(history, before, again):
            yield f"job {number} arrived again after {again.at - before.at:.1f} s, which no fault explains"


def repeats(history: History) -> Iterator[tuple[int, Arrived, Arrived]]:
    """Yield each message that arrived again under its id: its job's number, the arrival before, and that one."""
    for number, those in history.arrivals().items():
        for message_id in dict.fromkeys(one.message_id for one in those):
            for before, again in pairwise(one for one in those if one.message_id == message_id):
                yield number, before, again


def broke_ack(history: History, before: Arrived, again: Arrived) -> list[Fault]:
    """Return the faults that can have kept the ack of an arrival from the owner, before the next arrival."""
    asked = next((one for one in history.asked if one.job.number == before.number), None)
    until = min(again.at, before.at + _flight_s(history, asked))
    return _grave(history.befallen(before.key, _BREAKS_ACK, before.at - _JUST_BEFORE_S, until))


def behind_doubt(history: History, one: Asked, outcome: Outcome) -> list[Fault]:
    """Return the faults that can have put a job in doubt."""
    killed = [fault for fault in history.faults if _left_in_doubt(history, fault, one, outcome)]
    return killed or _no_ack_of(history, one, outcome)


def _no_ack_of(history: History, one: Asked, outcome: Outcome) -> list[Fault]:
    flight_s = _flight_s(history, one)
    return [
        fault
        for at in outcome.attempted
        for fault in _grave(
            history.befallen(one.job.key, _LEAVES_NO_ACK, at - _UNNOTICED_S, min(outcome.at, at + flight_s))
        )
    ]


def _grave(faults: Sequence[Fault]) -> list[Fault]:
    """Leave out outages of nats-server during which no browser is closed: acks come by another way."""
    return [fault for fault in faults if fault.kind is not Kind.NATS or killed_owner(fault)]


def _flight_s(history: History, one: Asked | None) -> float:
    """Return how long after its attempt a job may be in flight: the deadline of a send, and the lookup after it."""
    is_file = one is None or one.job.kind == "media"
    return (history.media_send_timeout_s if is_file else history.send_timeout_s) + _LOOKUP_S
