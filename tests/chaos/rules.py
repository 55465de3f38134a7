"""The rules of the judge: each takes a run's history and yields what is wrong with it, in words. Pure.

A job is recognised by the mark in its message, never by its id, so that a message that was sent twice under two ids is
seen. What the faults themselves may cause (a repeat under the same id after a lost ack, a refusal while the server
refuses) needs a fault of that kind on that session at that time, else it is wrong too.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from actors.messages.ids import message_id_of_job
from actors.messages.jobs import OPEN_STATUSES
from tests.chaos.doubts import too_many_unconfirmed, unexplained_repeats
from tests.chaos.history import NOT_SENT, SENT, History
from tests.chaos.owners import misnumbered_events, two_owners
from tests.chaos.plan import Kind
from tests.chaos.readiness import too_long_not_ready
from tests.chaos.refusals import bad_answers, bad_reasons

Rule = Callable[[History], Iterator[str]]

_EVENT_OF: Final = {**dict.fromkeys(NOT_SENT, "message.failed"), "unconfirmed": "message.unconfirmed"}
_AROUND_S: Final = 1.0
"""How far from an arrival a fault may be that was going on just then: the server answers a moment later."""
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
        if outcome is None or outcome.status not in NOT_SENT:
            continue
        for arrived in arrivals.get(one.job.number, ()):
            if not history.befallen(one.job.key, {Kind.NACK}, arrived.at - _AROUND_S, arrived.at + _AROUND_S):
                yield f"{one} is {outcome.status} ({outcome.error}), but reached WhatsApp's server"
                break


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


def untried_windows(history: History) -> Iterator[str]:
    """A run with work enough for every window whose windows never filled: it shows nothing of their limit."""
    fullest = max(history.fullest_windows().values(), default=0)
    if len(history.arrived) > history.max_messages * len(history.linked_at) and fullest < history.max_messages:
        yield f"no window was ever full: {fullest} of {history.max_messages} messages at most"


def new_qrs(history: History) -> Iterator[str]:
    """Sessions that showed a QR or a link code after they had been linked."""
    for key in sorted({told.key for told in history.told if told.event in _QR_EVENTS and history.is_linked(told)}):
        yield f"{key} needed a new QR"


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


RULES: Final[tuple[Rule, ...]] = (
    lost, duplicates, strangers, false_outcomes, bad_reasons, bad_answers, too_many_unconfirmed, unexplained_repeats,
    silent_outcomes, overfull_windows, untried_windows, new_qrs, two_owners, misnumbered_events, too_long_not_ready,
    not_well_at_end, missing_faults, too_long,
)  # fmt: skip
"""All of them."""
