"""The rules of the judge: each takes a run's history and yields what is wrong with it, in words. Pure.

A job is recognised by the mark in its message, never by its id, so that a message that was sent twice under two ids is
seen. What the faults themselves may cause (a repeat under the same id after a lost ack, a refusal while the server
refuses) needs a fault of that kind on that session at that time, else it is wrong too.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from actors.config import SessionConfig
from actors.messages.ids import message_id_of_job
from actors.messages.jobs import OPEN_STATUSES
from tests.chaos.history import ACCEPTED, SENT, Arrived, Asked, Fault, History, Outcome
from tests.chaos.plan import KEEPS_FROM_RENEWING, KILLS_OWNER, Kind

Rule = Callable[[History], Iterator[str]]

BREAKS_ACK: Final = frozenset(
    {
        Kind.BROWSER, Kind.RENDERER, Kind.DRIVER, Kind.ACTOR, Kind.FREEZE, Kind.NATS, Kind.DROP, Kind.DROP_ALL,
        Kind.NO_ACK, Kind.REBOOT,
    }
)  # fmt: skip
"""After these a message that the server has may lack its ack in the page, and is sent again under its id."""
_EVENT_OF: Final = {"failed": "message.failed", "expired": "message.failed", "cancelled": "message.failed",
                    "unconfirmed": "message.unconfirmed"}  # fmt: skip
_REASONS: Final[Mapping[str, frozenset[Kind]]] = {
    "send_failed": frozenset({Kind.NACK, Kind.UPLOAD, Kind.LOSE}),
    "media_rejected": frozenset({Kind.UPLOAD}),
}
"""Codes of a failed job that only such a fault explains."""
_AFTER_S: Final = 60.0
"""How long after a fault its effect on a message may still show: a send's deadline (30 s) and a reconnect."""
_FLIGHT_S: Final = SessionConfig().media_send_timeout_s + 10.0
"""How long after its attempt a job may be in flight: the longest deadline of a send, and the lookup after it."""
_UNNOTICED_S: Final = 5.0
"""How long before an attempt a fault may have happened that its session has not noticed yet."""
_AROUND_S: Final = 1.0
"""How far from an arrival a fault may be that was going on just then: the server answers a moment later."""
_LEASE_S: Final = 6.0
"""An owner that was just about to renew its lease has so much left (DESIGN 7 "Lease")."""
_REFUSED_DIRECT: Final = frozenset({"session_not_ready", "rate_limited", "queue_full"})
"""What a direct send may be answered with before it is accepted; a queued one only with the last of them."""
_QR_EVENTS: Final = frozenset({"session.qr", "session.code"})


def lost(history: History) -> Iterator[str]:
    """Accepted jobs that no store knows, that have no outcome, or whose message the server never saw."""
    arrivals = history.arrivals()
    for one in history.accepted():
        outcome = history.outcome(one)
        if outcome is None:
            yield f"{one} is lost: it was answered {one.answer!r}, and no store knows it"
        elif outcome.status in OPEN_STATUSES:
            yield f"{one} has no outcome: it is {outcome.status} after {outcome.attempts} attempts"
        elif outcome.status in SENT and one.job.number not in arrivals:
            yield f"{one} is lost: it is {outcome.status}, but never reached WhatsApp's server"


def duplicates(history: History) -> Iterator[str]:
    """Jobs whose message arrived under more than one id."""
    asked = {one.job.number: one for one in history.asked}
    for number, those in history.arrivals().items():
        ids = {one.message_id for one in those}
        if len(ids) > 1:
            yield f"{asked.get(number, number)} was sent twice, under the ids {', '.join(sorted(ids))}"


def strangers(history: History) -> Iterator[str]:
    """Messages that nobody ordered, of the wrong account, or under another id than the job's."""
    known = {one.job.number: one for one in history.accepted()}
    for one in history.arrived:
        owner = known.get(one.number) if one.number is not None else None
        if owner is None:
            yield f"message {one.message_id} of {one.key} (job {one.number}) belongs to no accepted job"
        elif one.key != owner.job.key:
            yield f"{owner} was sent by {one.key}"
        elif one.message_id != message_id_of_job(owner.job_id):
            yield f"{owner} was sent under {one.message_id}, not under the id fixed when it was accepted"


def false_outcomes(history: History) -> Iterator[str]:
    """Jobs that are said not to have been sent, although the server has their message and did not refuse it."""
    arrivals = history.arrivals()
    for one in history.accepted():
        outcome = history.outcome(one)
        if outcome is None or _EVENT_OF.get(outcome.status) != "message.failed":
            continue
        for arrived in arrivals.get(one.job.number, ()):
            if not history.befallen(one.job.key, {Kind.NACK}, arrived.at - _AROUND_S, arrived.at + _AROUND_S):
                yield f"{one} is {outcome.status} ({outcome.error}), but reached WhatsApp's server"
                break


def bad_reasons(history: History) -> Iterator[str]:
    """Jobs that failed without a fault that explains it, or expired although they never do."""
    for one in history.accepted():
        outcome = history.outcome(one)
        if outcome is None or _EVENT_OF.get(outcome.status) != "message.failed":
            continue
        reason = outcome.error or outcome.status
        if reason == "expired":
            fits = one.job.expires_s is not None or one.job.way == "direct"
        elif reason == "rate_limited":
            fits = one.job.way == "direct"
        else:
            faults = _REASONS.get(reason, frozenset())
            fits = bool(history.befallen(one.job.key, faults, outcome.at - _AFTER_S, outcome.at))
        if not fits:
            yield f"{one} failed as {reason!r}, which nothing explains"


def bad_answers(history: History) -> Iterator[str]:
    """Answers that do not fit what became of the job."""
    for one in history.asked:
        outcome = history.outcome(one)
        if not one.answer:
            yield f"{one} was never answered"
        elif one.answer in SENT and one.job.way == "direct" and (outcome is None or outcome.status not in SENT):
            yield f"{one} was answered {one.answer!r}, but is {outcome.status if outcome else 'unknown'}"
        elif outcome is None and not _may_refuse(one):
            yield f"{one} was refused as {one.answer!r}"
        elif one.job_id in history.rejected and (outcome is not None or one.job.expires_s is None):
            fate = outcome.status if outcome else "unknown"
            yield f"{one} was rejected from the inbox as {history.rejected[one.job_id]!r}, and is {fate}"
        elif outcome is not None and one.answer not in {*ACCEPTED, outcome.error}:
            yield f"{one} was refused as {one.answer!r}, but is {outcome.status} ({outcome.error})"


def _may_refuse(one: Asked) -> bool:
    if one.answer in ACCEPTED:
        return True  # no refusal at all
    if one.answer == "invalid_command":  # asked again, without an answer so far, until it lay in the past
        return one.job.expires_s is not None and (one.answered_at or 0) > one.asked_at + one.job.expires_s
    return one.answer in _REFUSED_DIRECT if one.job.way == "direct" else one.answer == "queue_full"


def too_many_unconfirmed(history: History) -> Iterator[str]:
    """Each fault that killed an owner may leave one job in doubt, which that owner had in flight, and nothing else may.

    One, even where it killed the owners of all sessions: they have their profiles, and their pages know what they sent.
    """
    doubted = [
        (one, outcome)
        for one in history.accepted()
        if (outcome := history.outcome(one)) is not None and outcome.status == "unconfirmed"
    ]
    excuses = [
        (one, [number for number, fault in enumerate(history.faults) if _left_in_doubt(fault, one, outcome)])
        for one, outcome in doubted
        if not _expired_in_doubt(history, one, outcome)
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


def _left_in_doubt(fault: Fault, one: Asked, outcome: Outcome) -> bool:
    """Tell whether a fault killed the owner of a job that it had in flight."""
    return (
        _killed_owner(fault)
        and fault.befell(one.job.key)
        and any(fault.at <= min(outcome.at, at + _FLIGHT_S) and fault.felt_until >= at for at in outcome.attempted)
    )


def _expired_in_doubt(history: History, one: Asked, outcome: Outcome) -> bool:
    """Tell whether a job's ack got lost, and its time was over before its id could be sent again (DESIGN 2 "Jobs")."""
    return (one.job.expires_s is not None or one.job.way == "direct") and any(
        history.befallen(one.job.key, BREAKS_ACK, at - _UNNOTICED_S, min(outcome.at, at + _FLIGHT_S))
        for at in outcome.attempted
    )


def unexplained_repeats(history: History) -> Iterator[str]:
    """Messages that came again under the same id, although no ack can have been lost."""
    for number, those in history.arrivals().items():
        last: dict[str, Arrived] = {}
        for one in those:
            before = last.get(one.message_id)
            last[one.message_id] = one
            until = min(one.at, before.at + _FLIGHT_S) if before else 0.0
            if before and not history.befallen(one.key, BREAKS_ACK, before.at - _AFTER_S, until):
                yield f"job {number} arrived again after {one.at - before.at:.1f} s, which no fault explains"


def silent_outcomes(history: History) -> Iterator[str]:
    """Each outcome is announced, and no other one is."""
    for one in history.accepted():
        outcome, seen = history.outcome(one), set(history.announced.get(one.job_id, ()))
        if outcome is None or outcome.status in OPEN_STATUSES:
            continue
        wanted = {_EVENT_OF.get(outcome.status, "message.sent")}
        if seen != wanted:
            said = ", ".join(sorted(seen)) or "nothing"
            yield f"{one} is {outcome.status}, but the events said {said}"


def overfull_windows(history: History) -> Iterator[str]:
    """Sessions that sent more than their window admits, by the server's clock."""
    for key, most in history.fullest_windows().items():
        if most > history.max_messages:
            limit = f"{history.max_messages} are allowed"
            yield f"{key}: {most} messages within {history.window_s:g} s, {limit}"


def new_qrs(history: History) -> Iterator[str]:
    """Sessions that showed a QR or a link code after they had been linked."""
    for key in sorted({told.key for told in history.told if told.event in _QR_EVENTS and history.is_linked(told)}):
        yield f"{key} needed a new QR"


def two_owners(history: History) -> Iterator[str]:
    """Sessions of which two browsers were connected at once."""
    for key, count in history.conflicts.items():
        if count:
            yield f"{key} was connected by two pages at once, {count} times"


def not_well_at_end(history: History) -> Iterator[str]:
    """Sessions that are not ready, or have jobs left, when all is over."""
    for key in history.linked_at:
        if history.states.get(key) != "ready":
            yield f"{key} is {history.states.get(key)} at the end"
        if history.waiting.get(key):
            yield f"{key}: {history.waiting[key]} jobs still lie in the log at the end"


def missing_faults(history: History) -> Iterator[str]:
    """Kinds of faults that should have happened in any case, and did not: the run proves less than it says."""
    missed = Counter(fault.kind for fault in history.missed)
    for kind in sorted(set(history.wanted) - {fault.kind for fault in history.faults}):
        yield f"no fault of the kind {kind.value!r} happened; {missed[kind]} planned ones found no target, or no time"


def too_long(history: History) -> Iterator[str]:
    """A run that took longer than its form may."""
    if history.took_s > history.may_take_s:
        yield f"the run took {history.took_s:.0f} s, {history.may_take_s:.0f} s are allowed"


def _killed_owner(fault: Fault) -> bool:
    """Tell whether a fault ended the owners it befell: where leases can't be renewed for so long, they end too."""
    too_late = fault.kind in KEEPS_FROM_RENEWING and fault.until - fault.at >= _LEASE_S
    return fault.kind in KILLS_OWNER or too_late


RULES: Final[tuple[Rule, ...]] = (
    lost, duplicates, strangers, false_outcomes, bad_reasons, bad_answers, too_many_unconfirmed, unexplained_repeats,
    silent_outcomes, overfull_windows, new_qrs, two_owners, not_well_at_end, missing_faults, too_long,
)  # fmt: skip
"""All of them."""
