"""Rules of the judge about jobs that were not sent and what their tenants were told: a reason needs its cause. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from actors.messages.ids import SessionKey
from tests.chaos.doubts import was_due
from tests.chaos.history import ACCEPTED, NOT_SENT, SENT, Asked, History
from tests.chaos.plan import KEEPS_FROM_RENEWING, Kind
from tests.chaos.readiness import away

_REASONS: Final[Mapping[str, frozenset[Kind]]] = {
    "send_failed": frozenset({Kind.NACK, Kind.UPLOAD, Kind.LOSE}),
    "media_rejected": frozenset({Kind.UPLOAD}),
}
"""Codes of a failed job that only such a fault explains."""
_AFTER_S: Final = 60.0
"""How long after a fault its effect on a message may still show: a send's deadline (30 s) and a reconnect."""
_TOO_LATE: Final = frozenset({"expired", "invalid_command"})
"""Codes of a job whose time was over before it could be accepted."""
_STALE_S: Final = 2.0
"""By how much the status that a gateway goes by may be late."""
_LATE_S: Final = 10.0
"""How long after an outage or a thaw statuses may be late: they wait for their turn, with pauses of up to 5 s."""
_WINDOWS: Final = 2
"""Sends count from when their calls return, so a full window's attempts may lie further back."""
_LOADED: Final = 0.5
"""Which part of a full window must show: repeats and what is in doubt take places that no attempt tells of."""


def bad_reasons(history: History) -> Iterator[str]:
    """Jobs that failed without a fault that explains it, or expired before their time was over."""
    for one in history.accepted():
        outcome = history.outcome(one)
        if outcome is None or outcome.status not in NOT_SENT:
            continue
        reason = outcome.error or outcome.status
        if reason == "expired":
            fits = was_due(one, outcome.at)
        elif reason == "rate_limited":
            waited = one.job.way == "direct" and was_due(one, outcome.at)
            fits = waited and _is_loaded(history, one.job.key, outcome.at)
        else:
            faults = _REASONS.get(reason, frozenset())
            fits = bool(history.befallen(one.job.key, faults, outcome.at - _AFTER_S, outcome.at))
        if not fits:
            yield f"{one} failed as {reason!r} after {outcome.at - one.asked_at:.1f} s, which nothing explains"


def bad_answers(history: History) -> Iterator[str]:
    """Answers that do not fit what became of the job, or what its session was in."""
    for one in history.asked:
        outcome = history.outcome(one)
        if not one.answer:
            yield f"{one} was never answered"
        elif one.answer in SENT and one.job.way == "direct" and (outcome is None or outcome.status not in SENT):
            yield f"{one} was answered {one.answer!r}, but is {outcome.status if outcome else 'unknown'}"
        elif outcome is None and not _may_refuse(history, one):
            yield f"{one} was refused as {one.answer!r}, which nothing explains"
        elif one.job_id in history.rejected and (outcome is not None or not _may_reject(history, one)):
            fate = outcome.status if outcome else "unknown"
            yield f"{one} was rejected from the inbox as {history.rejected[one.job_id]!r}, and is {fate}"
        elif outcome is not None and one.answer not in {*ACCEPTED, outcome.error}:
            yield f"{one} was refused as {one.answer!r}, but is {outcome.status} ({outcome.error})"


def _may_reject(history: History, one: Asked) -> bool:
    """Tell whether a job of the inbox may be rejected: nobody read it until its time was over."""
    return one.job.expires_s is not None and history.rejected[one.job_id] in _TOO_LATE


def _may_refuse(history: History, one: Asked) -> bool:
    """Tell whether a refusal is right; ``queue_full`` never is, no run has as many jobs as a lane holds."""
    answered_at = one.answered_at or one.asked_at
    if one.answer in ACCEPTED:
        return True  # no refusal at all
    if one.answer == "invalid_command":  # asked again, without an answer so far, until it lay in the past
        return one.job.expires_s is not None and answered_at > one.asked_at + one.job.expires_s
    if one.job.way != "direct":
        return False
    if one.answer == "rate_limited":
        return _is_loaded(history, one.job.key, answered_at)
    return one.answer == "session_not_ready" and _may_seem_down(history, one.job.key, one.asked_at, answered_at)


def _may_seem_down(history: History, key: SessionKey, since: float, until: float) -> bool:
    """Tell whether a gateway may hold a session for not ready at some moment of a span."""
    if any(span.touches(since - _STALE_S, until + _STALE_S) for span in away(history, key)):
        return True
    return bool(history.befallen(key, KEEPS_FROM_RENEWING | {Kind.REBOOT}, since - _LATE_S, until))


def _is_loaded(history: History, key: SessionKey, at: float) -> bool:
    """Tell whether so much was sent by a session just before a moment that its window may have been full."""
    since = at - _WINDOWS * history.window_s
    attempts = [
        begun
        for one in history.asked
        if one.job.key == key and (outcome := history.outcome(one))
        for begun in outcome.attempted
    ]
    return sum(since <= begun <= at for begun in attempts) >= _LOADED * history.max_messages
