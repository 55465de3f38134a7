"""The judge: compares what was accepted with what WhatsApp's server saw and what the tenant was told. Pure.

Theory of operation. Each rule is a function that takes the history and yields what is wrong; a run passes if none has
anything to say. A job is recognised by the mark in its message, never by its id, so that a message that was sent twice
under two ids is seen. What the faults themselves may cause (a repeat under the same id after a lost ack, a refusal
while the server refuses) needs a fault of that kind on that session at that time, else it is wrong too.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from actors.messages.ids import SessionKey, message_id_of_job
from actors.messages.jobs import ACK_STATUSES, OPEN_STATUSES
from tests.chaos.history import Arrived, Asked, Fault, History
from tests.chaos.plan import KILLS_OWNER, Kind

_SENT: Final = frozenset(ACK_STATUSES)
_ACCEPTED: Final = frozenset({"accepted", "sending", *_SENT})
"""Answers, also to a repeated request, that mean that the job is held."""
_EVENT_OF: Final = {"failed": "message.failed", "expired": "message.failed", "cancelled": "message.failed",
                    "unconfirmed": "message.unconfirmed"}  # fmt: skip
_BREAKS_ACK: Final = frozenset(
    {
        Kind.BROWSER, Kind.RENDERER, Kind.DRIVER, Kind.ACTOR, Kind.FREEZE, Kind.NATS, Kind.DROP, Kind.DROP_ALL,
        Kind.NO_ACK, Kind.REBOOT,
    }
)  # fmt: skip
"""After these a message that the server has may lack its ack in the page, and is sent again under its id."""
_REASONS: Final[Mapping[str, frozenset[Kind]]] = {
    "send_failed": frozenset({Kind.NACK, Kind.UPLOAD, Kind.LOSE}),
    "media_rejected": frozenset({Kind.UPLOAD}),
}
"""Codes of a failed job that only such a fault explains."""
_HEAVY: Final = KILLS_OWNER | {Kind.BROWSER, Kind.RENDERER, Kind.DRIVER, Kind.NATS}
"""These may take a session down; while one of them lasts, nobody knows whose outage it is."""
_LEASE_S: Final = 3.0
"""An owner that renewed its lease 5 s ago has 3 s left (DESIGN 7 "Lease")."""
_NOTICED_S: Final[Mapping[Kind, float]] = {
    Kind.FREEZE: 45.0,
    Kind.ACTOR: 30.0,
    Kind.REBOOT: 90.0,
    Kind.NATS: 30.0,
    Kind.NO_ACK: 45.0,
    Kind.LOSE: 45.0,
}
"""How long after a fault a session may go down for it; 6 s for the others."""
_AFTER_S: Final = 60.0
"""How long after a fault its effect on a message may still show: a send's deadline (30 s) and a reconnect."""
_REFUSED_DIRECT: Final = frozenset({"session_not_ready", "rate_limited", "queue_full"})
"""What a direct send may be answered with before it is accepted; a queued one only with the last of them."""
_QR_EVENTS: Final = frozenset({"session.qr", "session.code"})
_DOWN_EVENTS: Final = frozenset(
    {"session.disconnected", "session.reconnecting", "session.starting", "session.stopped", "session.failed"}
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The numbers of a run, and what is wrong with it."""

    asked: int
    accepted: int
    refused: Mapping[str, int]
    """By the code of the answer."""
    sent: int
    failed: Mapping[str, int]
    """By reason."""
    unconfirmed: int
    lost: int
    duplicates: int
    """Jobs whose message arrived under more than one id."""
    repeats: int
    """Messages that arrived again under the same id."""
    fullest: int
    limit: int
    new_qrs: int
    """Sessions that showed a QR after they had been linked."""
    faults: Mapping[Kind, int]
    outages: Mapping[Kind, float]
    """The longest time until a session was ready again, by what befell it."""
    slowest_answer_s: float
    wrong: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong


def judge(history: History) -> Verdict:
    """Judge a run."""
    accepted = accepted_jobs(history)
    arrivals = _by_job(history)
    lost = list(_lost(history, accepted, arrivals))
    duplicates = list(_duplicates(history, arrivals))
    fullest = fullest_windows(history)
    new_qrs = sorted({told.key for told in history.told if _is_new_qr(history, told.key, told.event, told.at)})
    statuses = [history.outcomes[one.job_id] for one in accepted if one.job_id in history.outcomes]
    wrong = [
        *lost,
        *duplicates,
        *_strangers(history, accepted),
        *_false_outcomes(history, accepted, arrivals),
        *_bad_reasons(history, accepted),
        *_bad_answers(history),
        *_too_many_unconfirmed(history, accepted),
        *_unexplained_repeats(history, arrivals),
        *_silent_outcomes(history, accepted),
        *_overfull(history, fullest),
        *(f"{key} needed a new QR" for key in new_qrs),
        *_not_well_at_end(history),
    ]
    return Verdict(
        asked=len(history.asked),
        accepted=len(accepted),
        refused=Counter(one.answer or "no answer" for one in history.asked if one not in accepted),
        sent=sum(one.status in _SENT for one in statuses),
        failed=Counter(one.error or one.status for one in statuses if _EVENT_OF.get(one.status) == "message.failed"),
        unconfirmed=sum(one.status == "unconfirmed" for one in statuses),
        lost=len(lost),
        duplicates=len(duplicates),
        repeats=sum(len(those) - len({one.message_id for one in those}) for those in arrivals.values()),
        fullest=max(fullest.values(), default=0),
        limit=history.max_messages,
        new_qrs=len(new_qrs),
        faults=Counter(fault.kind for fault in history.faults),
        outages=outages(history),
        slowest_answer_s=max((one.answered_at - one.asked_at for one in history.asked if one.answered_at), default=0.0),
        wrong=tuple(wrong),
    )


def accepted_jobs(history: History) -> list[Asked]:
    """Return the jobs that were accepted: the tenant was told so, or a store holds them."""
    return [one for one in history.asked if one.answer in _ACCEPTED or one.job_id in history.outcomes]


def fullest_windows(history: History) -> dict[SessionKey, int]:
    """Return the most messages of each session within any span of the window's length, by the server's clock."""
    times: defaultdict[SessionKey, list[float]] = defaultdict(list)
    for one in history.arrived:
        if one.key is not None:
            times[one.key].append(one.at)
    return {
        key: max(sum(start <= at < start + history.window_s for at in those) for start in those)
        for key, those in times.items()
    }


def outages(history: History) -> dict[Kind, float]:
    """Return the longest outage by kind of fault: until the next ``session.ready``, if the fault took the session down.

    An outage that another fault cut into, or that had begun before, is left out: nobody could say whose it is.
    """
    longest: dict[Kind, float] = {}
    for fault in history.faults:
        for key in history.linked_at:
            if fault.befell(key) and (outage := _outage(history, fault, key)) is not None:
                longest[fault.kind] = max(longest.get(fault.kind, 0.0), outage)
    return longest


def _outage(history: History, fault: Fault, key: SessionKey) -> float | None:
    heavy = [other for other in history.faults if other is not fault and other.kind in _HEAVY and other.befell(key)]
    readies = [told.at for told in history.told if told.key == key and told.event == "session.ready"]
    if any(other.at <= fault.at and not any(other.at < at < fault.at for at in readies) for other in heavy):
        return None
    until = min((other.at for other in heavy if other.at > fault.at), default=history.ended_at)
    downs = [told.at for told in history.told if told.key == key and told.event in _DOWN_EVENTS]
    noticed_by = min(until, fault.at + _NOTICED_S.get(fault.kind, 6.0))
    down = next((at for at in downs if fault.at < at < noticed_by), None)
    if down is None:
        return None
    return next((at - fault.at for at in readies if down < at < until), None)


def _by_job(history: History) -> dict[int, list[Arrived]]:
    arrivals: defaultdict[int, list[Arrived]] = defaultdict(list)
    for one in history.arrived:
        if one.number is not None:
            arrivals[one.number].append(one)
    return dict(arrivals)


# --- rules ------------------------------------------------------------------------------------------------------------


def _lost(history: History, accepted: Sequence[Asked], arrivals: Mapping[int, Sequence[Arrived]]) -> Iterator[str]:
    for one in accepted:
        outcome = history.outcomes.get(one.job_id)
        if outcome is None:
            yield f"{_name(one)} is lost: it was answered {one.answer!r}, and no store knows it"
        elif outcome.status in OPEN_STATUSES:
            yield f"{_name(one)} has no outcome: it is {outcome.status} after {outcome.attempts} attempts"
        elif outcome.status in _SENT and one.job.number not in arrivals:
            yield f"{_name(one)} is lost: it is {outcome.status}, but never reached WhatsApp's server"


def _duplicates(history: History, arrivals: Mapping[int, Sequence[Arrived]]) -> Iterator[str]:
    asked = {one.job.number: one for one in history.asked}
    for number, those in arrivals.items():
        ids = {one.message_id for one in those}
        if len(ids) > 1:
            yield f"{_name_of(asked.get(number), number)} was sent twice, under the ids {', '.join(sorted(ids))}"


def _strangers(history: History, accepted: Sequence[Asked]) -> Iterator[str]:
    """Messages that nobody ordered, of the wrong account, or under another id than the job's."""
    known = {one.job.number: one for one in accepted}
    for one in history.arrived:
        owner = known.get(one.number) if one.number is not None else None
        if owner is None:
            yield f"message {one.message_id} of {one.key} (job {one.number}) belongs to no accepted job"
        elif one.key != owner.job.key:
            yield f"{_name(owner)} was sent by {one.key}"
        elif one.message_id != message_id_of_job(owner.job_id):
            yield f"{_name(owner)} was sent under {one.message_id}, not under the id fixed when it was accepted"


def _false_outcomes(
    history: History, accepted: Sequence[Asked], arrivals: Mapping[int, Sequence[Arrived]]
) -> Iterator[str]:
    """Jobs that are said not to have been sent, although the server has their message and did not refuse it."""
    for one in accepted:
        outcome = history.outcomes.get(one.job_id)
        if outcome is None or _EVENT_OF.get(outcome.status) != "message.failed":
            continue
        for arrived in arrivals.get(one.job.number, ()):
            if not _befallen(history, one.job.key, {Kind.NACK}, arrived.at - _AFTER_S, arrived.at + 1):
                yield f"{_name(one)} is {outcome.status} ({outcome.error}), but reached WhatsApp's server"
                break


def _bad_reasons(history: History, accepted: Sequence[Asked]) -> Iterator[str]:
    """Jobs that failed without a fault that explains it, or expired although they never do."""
    for one in accepted:
        outcome = history.outcomes.get(one.job_id)
        if outcome is None or _EVENT_OF.get(outcome.status) != "message.failed":
            continue
        reason = outcome.error or outcome.status
        if reason == "expired":
            fits = one.job.expires_s is not None or one.job.direct
        elif reason == "rate_limited":
            fits = one.job.direct
        else:
            since = one.asked_at - _AFTER_S
            fits = _befallen(history, one.job.key, _REASONS.get(reason, frozenset()), since, history.ended_at)
        if not fits:
            yield f"{_name(one)} failed as {reason!r}, which nothing explains"


def _bad_answers(history: History) -> Iterator[str]:
    for one in history.asked:
        outcome = history.outcomes.get(one.job_id)
        if not one.answer:
            yield f"{_name(one)} was never answered"
        elif one.answer in _SENT and one.job.direct and (outcome is None or outcome.status not in _SENT):
            yield f"{_name(one)} was answered {one.answer!r}, but is {outcome.status if outcome else 'unknown'}"
        elif outcome is None and not _may_refuse(one):
            yield f"{_name(one)} was refused as {one.answer!r}"
        elif outcome is not None and one.answer not in {*_ACCEPTED, outcome.error}:
            yield f"{_name(one)} was refused as {one.answer!r}, but is {outcome.status} ({outcome.error})"


def _may_refuse(one: Asked) -> bool:
    if one.answer in _ACCEPTED:
        return True  # no refusal at all
    if one.answer == "invalid_command":  # asked again, without an answer so far, until it lay in the past
        return one.job.expires_s is not None and (one.answered_at or 0) > one.asked_at + one.job.expires_s
    return one.answer in _REFUSED_DIRECT if one.job.direct else one.answer == "queue_full"


def _too_many_unconfirmed(history: History, accepted: Sequence[Asked]) -> Iterator[str]:
    """Each fault that killed an owner may leave one job of that session in doubt, and nothing else may."""
    doubted: defaultdict[SessionKey, list[Asked]] = defaultdict(list)
    for one in accepted:
        outcome = history.outcomes.get(one.job_id)
        if outcome is not None and outcome.status == "unconfirmed" and not _expired_in_doubt(history, one):
            doubted[one.job.key].append(one)
    for key, those in doubted.items():
        allowed = sum(_killed_owner(fault) and fault.befell(key) for fault in history.faults)
        if len(those) > allowed:
            names = ", ".join(_name(one) for one in those)
            yield f"{key}: {len(those)} jobs are unconfirmed, {allowed} owners were killed: {names}"


def _expired_in_doubt(history: History, one: Asked) -> bool:
    """Tell whether a job's ack got lost, and its time was over before its id could be sent again (DESIGN 2 "Jobs")."""
    ends = one.job.expires_s is not None or one.job.direct
    return ends and _befallen(history, one.job.key, _BREAKS_ACK, one.asked_at - 1, one.asked_at + _AFTER_S)


def _unexplained_repeats(history: History, arrivals: Mapping[int, Sequence[Arrived]]) -> Iterator[str]:
    for number, those in arrivals.items():
        last: dict[str, Arrived] = {}
        for one in those:
            before = last.get(one.message_id)
            last[one.message_id] = one
            if before is not None and not _befallen(history, one.key, _BREAKS_ACK, before.at - _AFTER_S, one.at):
                yield f"job {number} arrived again after {one.at - before.at:.1f} s, which no fault explains"


def _silent_outcomes(history: History, accepted: Sequence[Asked]) -> Iterator[str]:
    """Each outcome is announced, and no other one is."""
    for one in accepted:
        outcome, seen = history.outcomes.get(one.job_id), set(history.announced.get(one.job_id, ()))
        if outcome is None or outcome.status in OPEN_STATUSES:
            continue
        wanted = {_EVENT_OF.get(outcome.status, "message.sent")}
        if seen != wanted:
            said = ", ".join(sorted(seen)) or "nothing"
            yield f"{_name(one)} is {outcome.status}, but the events said {said}"


def _overfull(history: History, fullest: Mapping[SessionKey, int]) -> Iterator[str]:
    for key, most in fullest.items():
        if most > history.max_messages:
            limit = f"{history.max_messages} are allowed"
            yield f"{key}: {most} messages within {history.window_s:g} s, {limit}"


def _not_well_at_end(history: History) -> Iterator[str]:
    for key in history.linked_at:
        if history.states.get(key) != "ready":
            yield f"{key} is {history.states.get(key)} at the end"
        if history.waiting.get(key):
            yield f"{key}: {history.waiting[key]} jobs still lie in the log at the end"


# --- questions --------------------------------------------------------------------------------------------------------


def _killed_owner(fault: Fault) -> bool:
    """Tell whether a fault ended the owners it befell: where leases can't be renewed for so long, they end too."""
    return fault.kind in KILLS_OWNER or (fault.kind is Kind.NATS and fault.until - fault.at >= _LEASE_S)


def _befallen(history: History, key: SessionKey | None, kinds: Iterable[Kind], since: float, until: float) -> bool:
    """Tell whether a fault of one of these kinds was going on for a session within a span."""
    wanted = frozenset(kinds)
    return any(
        fault.kind in wanted and fault.befell(key) and fault.at <= until and fault.until >= since
        for fault in history.faults
    )


def _is_new_qr(history: History, key: SessionKey, event: str, at: float) -> bool:
    return event in _QR_EVENTS and key in history.linked_at and at > history.linked_at[key]


def _name(one: Asked) -> str:
    how = "direct" if one.job.direct else one.job.lane
    return f"job {one.job.number} ({one.job.kind}, {how}, {one.job.key}, {one.job_id})"


def _name_of(one: Asked | None, number: int) -> str:
    return f"job {number}" if one is None else _name(one)
