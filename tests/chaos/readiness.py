"""When sessions were not ready, by their own word; and the rule for how long that may last. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from actors.config import LeaseConfig, SessionConfig, SupervisorConfig
from actors.messages.ids import SessionKey
from tests.chaos.doubts import killed_owner
from tests.chaos.history import Fault, History
from tests.chaos.plan import Kind

_BUSY_S: Final = 30.0
"""What a machine on which eight browsers start at once may take longer."""
BACK_WITHIN_S: Final = (
    LeaseConfig().ttl_s + SupervisorConfig().restart_max_delay_s + SessionConfig().starting_timeout_s + _BUSY_S
)
"""From a fault to ready: a dead owner's lease runs out, the longest backoff, and a start that takes its whole time."""
_REBOOT_S: Final = 60.0
"""How much longer it takes where Ray, nats-server and the gateways start as well."""
_NOTICED_S: Final[Mapping[Kind, float]] = {
    Kind.FREEZE: 45.0,
    Kind.ACTOR: 30.0,
    Kind.REBOOT: 90.0,
    Kind.NATS: 30.0,
    Kind.NO_ACK: 45.0,
    Kind.LOSE: 45.0,
}
"""How long after a fault a session may go down for it."""
_SOON_S: Final = 6.0
"""The same for every other kind."""
_TAKES_DOWN: Final = frozenset({Kind.BROWSER, Kind.RENDERER, Kind.DRIVER})


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time."""

    since: float
    until: float

    @property
    def lasted_s(self) -> float:
        """Its length."""
        return self.until - self.since

    def touches(self, since: float, until: float) -> bool:
        """Tell whether it has a moment in common with another one."""
        return self.since <= until and self.until >= since


def not_ready(history: History, key: SessionKey) -> list[Span]:
    """Return when a session was not ready after it had been linked, as its events say."""
    spans: list[Span] = []
    since: float | None = None
    for told in sorted(history.told, key=lambda told: told.at):
        if told.key != key or not history.is_linked(told):
            continue
        if told.event != "session.ready":
            since = told.at if since is None else since
        elif since is not None:
            spans.append(Span(since, told.at))
            since = None
    return spans if since is None else [*spans, Span(since, history.ended_at)]


def longest_not_ready(history: History) -> dict[SessionKey, float]:
    """Return each session's longest stretch, whatever befell it meanwhile."""
    return {key: max((span.lasted_s for span in away(history, key)), default=0.0) for key in sorted(history.linked_at)}


def away(history: History, key: SessionKey) -> Iterator[Span]:
    """Yield the stretches from what took the session down.

    A dead owner says nothing: the supervisor puts the status in its place, and only its successor has events.
    """
    before = 0.0
    for span in not_ready(history, key):
        causes = [
            fault.at
            for fault in history.faults
            if fault.befell(key)
            and _takes_down(fault)
            and max(before, span.since - _untold_s(fault)) <= fault.at <= span.since
        ]
        yield Span(min(causes, default=span.since), span.until)
        before = span.until


def _untold_s(fault: Fault) -> float:
    """Return how long a session may be down for a fault before an event says so: until its next owner starts."""
    if not killed_owner(fault):
        return noticed_within_s(fault)
    return BACK_WITHIN_S + _REBOOT_S if fault.kind is Kind.REBOOT else BACK_WITHIN_S


def noticed_within_s(fault: Fault) -> float:
    """Return how long after a fault a session may go down for it."""
    return _NOTICED_S.get(fault.kind, _SOON_S)


def _takes_down(fault: Fault) -> bool:
    return killed_owner(fault) or fault.kind in _TAKES_DOWN


def too_long_not_ready(history: History) -> Iterator[str]:
    """Sessions that stayed away for longer than every deadline together, counted from the last fault meanwhile."""
    for key in sorted(history.linked_at):
        for span in away(history, key):
            since, may_take_s = span.since, BACK_WITHIN_S
            for fault in history.faults:
                if _takes_down(fault) and fault.befell(key) and span.touches(fault.at, fault.felt_until):
                    since = max(since, min(fault.felt_until, span.until))
                    may_take_s = BACK_WITHIN_S + _REBOOT_S if fault.kind is Kind.REBOOT else may_take_s
            if span.until - since > may_take_s:
                yield (
                    f"{key} was not ready for {span.lasted_s:.0f} s, {span.until - since:.0f} s of them after the last "
                    f"fault; {may_take_s:.0f} s are allowed"
                )
