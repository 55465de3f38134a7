"""What tests of the fleet's decisions share: wishes, statuses, and a fleet to reconcile."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal

from actors.config import SupervisorConfig
from actors.core.fleet import FleetCore
from actors.core.fleet_actions import Action, Observed, Start
from actors.core.lifecycle import STATUS_OF, State
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.messages.replies import SessionStatus

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
S1, S2, S3, S4 = (SessionKey("acme", f"s{n}") for n in range(1, 5))


def wants(
    key: SessionKey,
    target: Literal["running", "stopped", "logged_out"] = "running",
    *,
    revision: int = 1,
    ordered_s: float | None = None,
) -> DesiredSession:
    """What is desired, ordered so many seconds after what `status` tells of."""
    return DesiredSession(
        tenant_id=key.tenant_id,
        session_id=key.session_id,
        target=target,
        revision_of_start=revision,
        started_at=None if ordered_s is None else NOON + timedelta(seconds=ordered_s),
        changed_at=NOON,
    )


def status(
    key: SessionKey, state: State, *, reason: str | None = None, active_minutes_ago: int | None = None
) -> SessionStatus:
    return SessionStatus(
        tenant_id=key.tenant_id,
        session_id=key.session_id,
        status=STATUS_OF[state],
        state=state.value,
        reason=reason,
        since=NOON,
        last_activity=None if active_minutes_ago is None else NOON - timedelta(minutes=active_minutes_ago),
    )


class Fleet:
    """A core with what is desired of it; `step` reconciles and returns the actions."""

    def __init__(self, *desired: DesiredSession, **limits: Any) -> None:
        config = {"start_spacing_s": 0.0, **limits}
        self.core = FleetCore(SupervisorConfig(**config), end_within_s=30, random=Random(1))  # noqa: S311
        self.desired = {SessionKey(each.tenant_id, each.session_id): each for each in desired}
        self.statuses: dict[SessionKey, SessionStatus] = {}

    def want(self, desired: DesiredSession) -> None:
        self.desired[SessionKey(desired.tenant_id, desired.session_id)] = desired

    def step(
        self,
        now: float,
        *,
        living: tuple[SessionKey, ...] = (),
        nodes: int = 1,
        leaving: tuple[SessionKey, ...] = (),
    ) -> list[Action]:
        observed = Observed(self.statuses, living, nodes, leaving)
        return list(self.core.reconcile(self.desired.values(), observed, now))

    def starts(self, now: float, *, nodes: int = 1) -> list[SessionKey]:
        return [action.key for action in self.step(now, nodes=nodes) if isinstance(action, Start)]

    def bring_up(self, key: SessionKey, now: float) -> None:
        """Start a session and let it become ready."""
        assert key in self.starts(now)
        self.core.started(key, now)
        self.core.beat(key, "ready", now)


def of(kind: type[Action], actions: list[Action]) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]
