"""The judge: the numbers of a run, and what is wrong with it by the rules. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from actors.messages.ids import SessionKey
from tests.chaos import rules
from tests.chaos.doubts import behind_doubt, broke_ack, expired_in_doubt, repeats, unconfirmed
from tests.chaos.history import NOT_SENT, SENT, Fault, History
from tests.chaos.plan import KEEPS_FROM_RENEWING, KILLS_OWNER, Kind
from tests.chaos.readiness import longest_not_ready, noticed_within_s

_DOWN_EVENTS: Final = frozenset(
    {"session.disconnected", "session.reconnecting", "session.starting", "session.stopped", "session.failed"}
)
_HEAVY: Final = KILLS_OWNER | KEEPS_FROM_RENEWING | {Kind.BROWSER, Kind.RENDERER, Kind.DRIVER}
"""These may take a session down; while one of them lasts, nobody knows whose outage it is."""
_MAX_NAMED: Final = 8
"""Faults that a note names."""


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
    expired_in_doubt: int
    """Those of them whose ack got lost and whose time was over then: they need no killed owner."""
    lost: int
    duplicates: int
    """Jobs whose message arrived under more than one id."""
    repeats: int
    """Messages that arrived again under the same id."""
    fullest: int
    limit: int
    new_qrs: int
    """Sessions that showed a QR after they had been linked."""
    conflicts: int
    """How often two browsers of a session were connected at once."""
    faults: Mapping[Kind, int]
    missed: Mapping[Kind, int]
    """Planned faults that did not happen."""
    took_s: float
    outages: Mapping[Kind, float]
    """The longest time until a session was ready again, by what befell it."""
    longest_not_ready: Mapping[SessionKey, float]
    """Whatever befell the session meanwhile."""
    slowest_answer_s: float
    """Of all but direct sends, which are answered with the outcome."""
    notes: tuple[str, ...]
    """What happened that is not wrong, with the fault that explains it."""
    wrong: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong


def judge(history: History) -> Verdict:
    """Judge a run."""
    accepted, doubted = history.accepted(), unconfirmed(history)
    outcomes = [outcome for outcome in map(history.outcome, accepted) if outcome is not None]
    not_sent = [one for one in outcomes if one.status in NOT_SENT]
    answered = [one for one in history.asked if one.answered_at is not None and one.job.way != "direct"]
    return Verdict(
        asked=len(history.asked),
        accepted=len(accepted),
        refused=Counter(history.refusal(one) or "no answer" for one in history.asked if one not in accepted),
        sent=sum(one.status in SENT for one in outcomes),
        failed=Counter(one.error or one.status for one in not_sent),
        unconfirmed=len(doubted),
        expired_in_doubt=sum(expired_in_doubt(history, one, outcome) for one, outcome in doubted),
        lost=len(list(rules.lost(history))),
        duplicates=len(list(rules.duplicates(history))),
        repeats=len(list(repeats(history))),
        fullest=max(history.fullest_windows().values(), default=0),
        limit=history.max_messages,
        conflicts=sum(history.conflicts.values()),
        new_qrs=len(list(rules.new_qrs(history))),
        faults=Counter(fault.kind for fault in history.faults),
        missed=Counter(fault.kind for fault in history.missed),
        took_s=history.took_s,
        outages=outages(history),
        longest_not_ready=longest_not_ready(history),
        slowest_answer_s=max(((one.answered_at or 0) - one.asked_at for one in answered), default=0.0),
        notes=tuple(_notes(history)),
        wrong=tuple(text for rule in rules.RULES for text in rule(history)),
    )


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
    noticed_by = min(until, fault.at + noticed_within_s(fault))
    down = next((at for at in downs if fault.at < at < noticed_by), None)
    if down is None:
        return None
    return next((at - fault.at for at in readies if down < at < until), None)


def _notes(history: History) -> Iterator[str]:
    """Tell of each job in doubt and of each repeat, and of the faults by which the rules explain it."""
    for one, outcome in unconfirmed(history):
        late = ", its time was over" if expired_in_doubt(history, one, outcome) else ""
        yield f"{one} is unconfirmed{late}: {_before(outcome.at, behind_doubt(history, one, outcome))}"
    for number, before, again in repeats(history):
        why = _before(again.at, broke_ack(history, before, again))
        yield f"job {number} arrived again after {again.at - before.at:.1f} s: {why}"


def _before(at: float, faults: Sequence[Fault]) -> str:
    """Name faults, by the seconds before a moment."""
    named = dict.fromkeys(f"{fault.kind} {at - fault.at:.1f} s before" for fault in faults)
    return ", ".join(list(named)[:_MAX_NAMED]) or "no fault before"
