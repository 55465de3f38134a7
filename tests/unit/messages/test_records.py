"""A new order outdates the end of the life before it, and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.messages.records import DesiredSession
from actors.messages.replies import SessionStatus

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)


def desired(**fields: Any) -> DesiredSession:
    values: dict[str, Any] = {"target": "running", "changed_at": LATER, "started_at": LATER} | fields
    return DesiredSession(tenant_id="acme", session_id="s1", **values)


def status(state: str, since: datetime) -> SessionStatus:
    return SessionStatus(tenant_id="acme", session_id="s1", status="disconnected", state=state, since=since)


@pytest.mark.parametrize("state", ["stopped", "failed", "blocked", "logged_out"])
def test_an_end_before_the_last_start_says_nothing_of_the_new_life(state: str) -> None:
    assert desired().outdates(status(state, NOW))


def test_an_end_after_the_last_start_is_this_lifes_end() -> None:
    assert not desired(started_at=NOW).outdates(status("stopped", LATER))


def test_a_living_state_is_never_outdated() -> None:
    assert not desired().outdates(status("ready", NOW))


@pytest.mark.parametrize("fields", [{"target": "stopped"}, {"started_at": None}])
def test_without_an_order_to_start_an_end_stays_an_end(fields: dict[str, Any]) -> None:
    assert not desired(**fields).outdates(status("stopped", NOW))


@pytest.mark.parametrize("target", ["running", "stopped", "logged_out"])
def test_an_order_comes_after_what_was_so_before_it(target: str) -> None:
    assert desired(target=target).ordered_after(status("ready", NOW))
    assert not desired(target=target).ordered_after(status("ready", LATER))
    assert not desired(target=target, started_at=None).ordered_after(status("ready", NOW))
