"""The fleet's decisions: facts in, actions out. Seconds are plain numbers; nothing here runs."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal

import pytest

from actors.config import SupervisorConfig
from actors.core.fleet import FleetCore
from actors.core.fleet_actions import Action, Adopt, Announce, Beat, End, Kill, Observed, Phase, Start, Wish
from actors.core.lifecycle import STATUS_OF, State
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.messages.replies import SessionStatus

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
S1, S2, S3, S4 = (SessionKey("acme", f"s{n}") for n in range(1, 5))


def wants(
    key: SessionKey, target: Literal["running", "stopped", "logged_out"] = "running", *, revision: int = 1
) -> DesiredSession:
    return DesiredSession(
        tenant_id=key.tenant_id, session_id=key.session_id, target=target, revision_of_start=revision, changed_at=NOON
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

    def step(self, now: float, *, living: tuple[SessionKey, ...] = (), nodes: int = 1) -> list[Action]:
        observed = Observed(self.statuses, living, nodes)
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


# --- starting -----------------------------------------------------------------------------------------------------


def test_a_desired_session_is_started_once() -> None:
    fleet = Fleet(wants(S1))
    assert fleet.step(0) == [Start(S1, wants(S1))]
    assert fleet.step(1) == []
    fleet.core.started(S1, 2)
    assert fleet.starts(3) == []
    assert fleet.core.phase(S1) is Phase.LIVING
    assert fleet.core.has_actor(S1)


def test_nothing_is_known_of_a_session_nobody_wants() -> None:
    fleet = Fleet()
    assert fleet.step(0) == []
    assert fleet.core.phase(S1) is None
    assert not fleet.core.has_actor(S1)
    assert fleet.core.next_deadline == float("inf")


def test_only_so_many_sessions_start_at_once_per_node() -> None:
    fleet = Fleet(wants(S1), wants(S2), wants(S3), max_concurrent_starts=1)
    assert fleet.starts(0, nodes=2) == [S1, S2]
    fleet.core.started(S1, 1)
    fleet.core.beat(S1, "starting", 2)
    assert fleet.starts(2, nodes=2) == []
    fleet.core.beat(S1, "pairing", 3)
    assert fleet.starts(3, nodes=2) == [S3]


def test_a_start_that_takes_very_long_holds_nobody_up() -> None:
    fleet = Fleet(wants(S1), wants(S2), max_concurrent_starts=1)
    assert fleet.starts(0) == [S1]
    fleet.core.started(S1, 1)
    assert fleet.starts(10.9) == []
    assert fleet.starts(11) == [S2]


def test_starts_are_spaced() -> None:
    fleet = Fleet(wants(S1), wants(S2), start_spacing_s=0.25)
    assert fleet.starts(10) == [S1]
    assert fleet.core.next_deadline == 10.25
    assert fleet.starts(10.2) == []
    assert fleet.starts(10.25) == [S2]


def test_orders_of_people_go_first_and_then_the_recently_active() -> None:
    fleet = Fleet(wants(S1), wants(S2), wants(S3), wants(S4), max_concurrent_starts=8)
    fleet.statuses = {
        S1: status(S1, State.READY),
        S2: status(S2, State.READY, active_minutes_ago=50),
        S3: status(S3, State.READY, active_minutes_ago=2),
    }
    fleet.core.ordered(S4, 0)
    assert fleet.starts(0) == [S4, S3, S2, S1]


def test_slots_are_wanted_for_all_that_live_or_shall() -> None:
    fleet = Fleet(wants(S1), wants(S2), wants(S3, "stopped"))
    fleet.step(0)
    assert fleet.core.slots_wanted() == 2


# --- ends and deaths ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["stopped", "failed", "blocked", "logged_out"])
def test_an_ended_session_stays_ended_until_a_person_starts_it(state: str) -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    assert fleet.core.ended(S1, state, "why", 5) == ()
    assert fleet.step(100) == []
    assert fleet.core.needs_order(S1)
    fleet.want(wants(S1, revision=2))
    assert fleet.starts(101) == [S1]


@pytest.mark.parametrize("reason", ["lease_lost", "lease_held", "unavailable", "internal_error", "stopped"])
def test_an_end_that_nobody_wished_for_is_a_death(reason: str) -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    assert fleet.core.ended(S1, "stopped", reason, 5) == (Announce(S1, State.RECONNECTING, reason),)
    assert fleet.starts(7) == [S1]


def test_a_dead_actor_is_restarted_with_backoff() -> None:
    fleet = Fleet(wants(S1), session_max_restarts=3)
    now, delays = 0.0, []
    for _ in range(3):
        fleet.bring_up(S1, now)
        assert fleet.core.died(S1, "actor_died", now) == (Announce(S1, State.RECONNECTING, "actor_died"),)
        assert fleet.starts(now) == []
        delays.append(fleet.core.next_deadline - now)
        now = fleet.core.next_deadline
    assert delays == [pytest.approx(1, rel=0.1), pytest.approx(2, rel=0.1), pytest.approx(4, rel=0.1)]


def test_beyond_its_budget_a_session_has_failed_until_a_person_starts_it() -> None:
    fleet = Fleet(wants(S1), session_max_restarts=1, session_max_seconds=60)
    fleet.bring_up(S1, 0)
    fleet.core.died(S1, "actor_died", 1)
    fleet.bring_up(S1, 5)
    assert fleet.core.died(S1, "actor_died", 6) == (Announce(S1, State.FAILED, "restart_intensity"),)
    assert fleet.step(1000) == []
    fleet.core.ordered(S1, 1001)
    fleet.want(wants(S1, revision=2))
    fleet.bring_up(S1, 1001)
    fleet.core.died(S1, "actor_died", 1002)
    assert fleet.starts(1005) == [S1]


def test_deaths_long_ago_are_forgotten() -> None:
    fleet = Fleet(wants(S1), session_max_restarts=1, session_max_seconds=60)
    fleet.bring_up(S1, 0)
    fleet.core.died(S1, "actor_died", 1)
    fleet.bring_up(S1, 5)
    assert fleet.core.died(S1, "actor_died", 62) == (Announce(S1, State.RECONNECTING, "actor_died"),)


def test_a_person_cuts_a_backoff_short() -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    assert not fleet.core.needs_order(S1)
    fleet.core.died(S1, "actor_died", 1)
    assert fleet.core.needs_order(S1)
    fleet.core.ordered(S1, 1)
    assert fleet.starts(1) == [S1]


def test_a_spent_budget_of_the_fleet_holds_restarts_back_but_fails_nobody() -> None:
    fleet = Fleet(wants(S1), wants(S2), fleet_max_restarts=1, fleet_max_seconds=60)
    assert fleet.starts(0) == [S1, S2]
    for key in (S1, S2):
        fleet.core.started(key, 0)
        fleet.core.died(key, "actor_died", 1)
    assert fleet.starts(10) == [S1]
    assert fleet.starts(11) == []
    fleet.core.started(S1, 12)
    assert fleet.starts(13) == []
    fleet.want(wants(S3))
    assert fleet.starts(14) == [S3]
    fleet.core.started(S3, 14)
    fleet.core.beat(S3, "ready", 14)
    assert fleet.starts(73) == [S2]


def test_a_restart_that_fails_counts_against_the_fleet() -> None:
    fleet = Fleet(wants(S1), wants(S2), fleet_max_restarts=1)
    fleet.starts(0)
    for key in (S1, S2):
        fleet.core.started(key, 0)
        fleet.core.died(key, "actor_died", 1)
    assert fleet.starts(10) == [S1]
    fleet.core.died(S1, "start_failed", 11)
    assert fleet.starts(20) == []


def test_a_session_that_cannot_be_created_is_tried_again() -> None:
    fleet = Fleet(wants(S1))
    assert fleet.starts(0) == [S1]
    assert fleet.core.died(S1, "start_failed", 1) == (Announce(S1, State.RECONNECTING, "start_failed"),)
    assert fleet.starts(3) == [S1]


# --- heartbeats ---------------------------------------------------------------------------------------------------


def test_hearts_are_listened_to_often_while_starting_and_then_every_period() -> None:
    fleet = Fleet(wants(S1), heartbeat_every_s=5)
    fleet.starts(0)
    fleet.core.started(S1, 0)
    assert fleet.step(0.9) == []
    assert fleet.core.next_deadline == 1
    assert fleet.step(1) == [Beat(S1)]
    assert fleet.step(9) == []
    fleet.core.beat(S1, "starting", 9)
    assert fleet.step(9) == [Beat(S1)]
    fleet.core.beat(S1, "ready", 9.5)
    assert fleet.step(10) == [Beat(S1)]
    fleet.core.beat(S1, "ready", 10)
    assert fleet.step(14.9) == []
    assert fleet.step(15) == [Beat(S1)]


def test_after_three_missed_heartbeats_an_actor_is_killed_and_restarted() -> None:
    fleet = Fleet(wants(S1), max_missed_heartbeats=3)
    fleet.bring_up(S1, 0)
    for _ in range(2):
        fleet.core.beat(S1, None, 10)
        assert of(Kill, fleet.step(10)) == []
    fleet.core.beat(S1, None, 15)
    assert fleet.step(15) == [Kill(S1)]
    assert fleet.core.needs_order(S1)
    assert fleet.step(100) == []
    fleet.core.died(S1, "actor_died", 101)
    assert fleet.starts(103) == [S1]


def test_an_answer_makes_missed_heartbeats_good() -> None:
    fleet = Fleet(wants(S1), max_missed_heartbeats=2)
    fleet.bring_up(S1, 0)
    for state in (None, "ready", None):
        fleet.core.beat(S1, state, 10)
    assert of(Kill, fleet.step(10)) == []


def test_a_kill_that_fails_is_tried_again() -> None:
    fleet = Fleet(wants(S1), max_missed_heartbeats=1, heartbeat_every_s=5)
    fleet.bring_up(S1, 0)
    fleet.core.beat(S1, None, 5)
    assert fleet.step(5) == [Kill(S1)]
    fleet.core.kill_failed(S1, 20)
    assert fleet.step(24.9) == []
    assert fleet.step(25) == [Kill(S1)]


def test_a_late_heartbeat_of_a_forgotten_session_means_nothing() -> None:
    fleet = Fleet()
    fleet.core.beat(S1, "ready", 0)
    assert fleet.core.phases() == {}


# --- stopping and logging out ---------------------------------------------------------------------------------------


def test_a_session_that_shall_stop_is_asked_to_once() -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    fleet.want(wants(S1, "stopped"))
    assert of(End, fleet.step(1)) == [End(S1, Wish.STOP)]
    assert of(End, fleet.step(2)) == []
    assert fleet.core.ended(S1, "stopped", "stopped", 3) == ()
    assert fleet.step(4) == []


def test_a_session_that_does_not_end_in_time_is_killed_and_is_stopped_then() -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    fleet.want(wants(S1, "stopped"))
    fleet.step(1)
    assert of(Kill, fleet.step(30.9)) == []
    assert of(Kill, fleet.step(31)) == [Kill(S1)]
    assert fleet.core.died(S1, "actor_died", 32) == (Announce(S1, State.STOPPED, None),)
    assert fleet.step(100) == []


def test_a_session_stopped_before_it_started_never_starts() -> None:
    fleet = Fleet(wants(S1), wants(S2), max_concurrent_starts=1)
    assert fleet.starts(0) == [S1]
    fleet.want(wants(S2, "stopped"))
    assert fleet.step(1) == [Announce(S2, State.STOPPED, None)]
    assert fleet.step(2) == []


def test_a_stop_that_was_announced_already_is_not_announced_again() -> None:
    fleet = Fleet(wants(S1, "stopped"))
    fleet.core.ordered(S1, 0)
    fleet.statuses = {S1: status(S1, State.STOPPED)}
    assert fleet.step(0) == []
    assert fleet.core.phase(S1) is Phase.ENDED


def test_a_session_stopped_while_it_is_created_is_asked_to_end_when_it_lives() -> None:
    fleet = Fleet(wants(S1))
    fleet.starts(0)
    fleet.want(wants(S1, "stopped"))
    assert fleet.step(1) == []
    fleet.core.started(S1, 2)
    assert of(End, fleet.step(2)) == [End(S1, Wish.STOP)]


def test_a_start_while_draining_is_carried_out_after_the_end() -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    fleet.want(wants(S1, "stopped"))
    fleet.step(1)
    assert fleet.core.needs_order(S1)
    fleet.core.ordered(S1, 2)
    fleet.want(wants(S1, revision=2))
    assert fleet.starts(3) == []
    fleet.core.ended(S1, "stopped", None, 4)
    assert fleet.starts(4) == [S1]


def test_a_living_session_is_asked_to_log_out_and_stays_logged_out() -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    fleet.want(wants(S1, "logged_out", revision=2))
    assert of(End, fleet.step(1)) == [End(S1, Wish.LOG_OUT)]
    fleet.core.ended(S1, "logged_out", None, 2)
    assert fleet.step(3) == []


def test_a_logout_without_an_actor_gets_a_life_of_its_own() -> None:
    fleet = Fleet(wants(S1, "logged_out", revision=2))
    fleet.statuses = {S1: status(S1, State.STOPPED)}
    assert fleet.step(0) == [Start(S1, wants(S1, "logged_out", revision=2))]
    fleet.core.started(S1, 1)
    assert of(End, fleet.step(1)) == []
    fleet.core.ended(S1, "logged_out", None, 2)
    assert fleet.step(3) == []


def test_a_logout_that_dies_is_tried_again() -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    fleet.want(wants(S1, "logged_out", revision=2))
    fleet.step(1)
    fleet.core.died(S1, "actor_died", 2)
    assert fleet.starts(4) == [S1]


def test_an_actor_that_nobody_wants_is_ended_and_forgotten() -> None:
    fleet = Fleet()
    assert fleet.step(0, living=(S1,)) == [Adopt(S1)]
    fleet.core.adopted(S1, None, "ready", 1)
    assert of(End, fleet.step(1)) == [End(S1, Wish.STOP)]
    fleet.core.ended(S1, "stopped", None, 2)
    fleet.step(3)
    assert fleet.core.phases() == {}


def test_an_order_is_kept_until_what_is_desired_shows_it() -> None:
    fleet = Fleet()
    fleet.core.ordered(S1, 0)
    fleet.step(1)
    fleet.want(wants(S1))
    assert fleet.starts(2) == [S1]


# --- room ---------------------------------------------------------------------------------------------------------


def test_without_a_free_slot_one_session_at_a_time_probes_for_room() -> None:
    fleet = Fleet(wants(S1), wants(S2), reconcile_every_s=2)
    assert fleet.starts(0) == [S1, S2]
    fleet.core.no_slot(S1, 0)
    fleet.core.no_slot(S2, 0)
    assert fleet.starts(1.9) == []
    assert fleet.core.next_deadline == 2
    assert fleet.starts(2) == [S1]
    assert fleet.starts(4) == []
    fleet.core.started(S1, 4)
    assert fleet.starts(4) == [S2]


def test_a_session_without_a_slot_fails_in_the_end() -> None:
    fleet = Fleet(wants(S1), no_capacity_after_s=60)
    assert fleet.starts(0) == [S1]
    fleet.core.no_slot(S1, 1)
    assert fleet.starts(60.9) == [S1]
    fleet.core.no_slot(S1, 60.9)
    assert fleet.step(61) == [Announce(S1, State.FAILED, "no_capacity")]
    assert fleet.step(100) == []
    fleet.want(wants(S1, revision=2))
    assert fleet.starts(101) == [S1]


def test_who_comes_later_has_the_whole_time_too() -> None:
    fleet = Fleet(wants(S1), no_capacity_after_s=60)
    fleet.starts(0)
    fleet.core.no_slot(S1, 1)
    fleet.core.ordered(S2, 50)
    fleet.want(wants(S2))
    assert fleet.step(61) == [Announce(S1, State.FAILED, "no_capacity"), Start(S2, wants(S2))]


def test_a_logout_waits_for_a_slot_for_ever() -> None:
    fleet = Fleet(wants(S1, "logged_out"), no_capacity_after_s=60)
    fleet.starts(0)
    fleet.core.no_slot(S1, 1)
    assert fleet.starts(1000) == [S1]


# --- a new supervisor -----------------------------------------------------------------------------------------------


def test_living_actors_are_adopted_and_never_started_again() -> None:
    fleet = Fleet(wants(S1))
    fleet.statuses = {S1: status(S1, State.READY)}
    assert fleet.step(0, living=(S1,)) == [Adopt(S1)]
    assert fleet.step(1, living=(S1,)) == []
    fleet.core.adopted(S1, wants(S1), "ready", 2)
    assert fleet.step(2, living=(S1,)) == [Beat(S1)]


def test_an_actor_adopted_while_draining_is_ending() -> None:
    fleet = Fleet(wants(S1, revision=2))
    fleet.step(0, living=(S1,))
    fleet.core.adopted(S1, wants(S1, revision=2), "draining", 1)
    assert fleet.core.phase(S1) is Phase.ENDING
    fleet.core.ended(S1, "stopped", None, 2)
    assert fleet.starts(3) == [S1]


def test_of_an_actor_gone_before_its_adoption_the_status_decides() -> None:
    fleet = Fleet(wants(S1), wants(S2))
    fleet.statuses = {S1: status(S1, State.READY), S2: status(S2, State.FAILED, reason="reconnect_exhausted")}
    assert fleet.step(0, living=(S1, S2)) == [Adopt(S1), Adopt(S2)]
    fleet.core.lost(S1)
    fleet.core.lost(S2)
    assert fleet.starts(1) == [S1]


def test_a_list_older_than_an_end_changes_nothing() -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    fleet.core.ended(S1, "failed", "reconnect_exhausted", 1)
    assert fleet.step(2, living=(S1,)) == [Adopt(S1)]
    fleet.core.lost(S1)
    assert fleet.core.phase(S1) is Phase.ENDED
    assert fleet.step(3) == []


@pytest.mark.parametrize(
    ("target", "state", "reason", "starts"),
    [
        ("running", State.READY, None, True),
        ("running", State.FAILED, "reconnect_exhausted", False),
        ("running", State.STOPPED, "qr_timeout", False),
        ("running", State.STOPPED, "shutdown", True),
        ("running", State.STOPPED, "stopped", True),
        ("stopped", State.STOPPED, "stopped", False),
        ("logged_out", State.FAILED, "restart_intensity", True),
        ("logged_out", State.LOGGED_OUT, None, False),
        ("stopped", State.STOPPED, None, False),
    ],
)
def test_a_new_supervisor_judges_a_session_by_its_last_status(
    target: Literal["running", "stopped", "logged_out"], state: State, reason: str | None, *, starts: bool
) -> None:
    fleet = Fleet(wants(S1, target))
    fleet.statuses = {S1: status(S1, state, reason=reason)}
    assert fleet.starts(0) == ([S1] if starts else [])


def test_a_session_stopped_under_a_dead_supervisor_is_announced_as_stopped() -> None:
    fleet = Fleet(wants(S1, "stopped"))
    fleet.statuses = {S1: status(S1, State.READY)}
    assert fleet.step(0) == [Announce(S1, State.STOPPED, None)]
