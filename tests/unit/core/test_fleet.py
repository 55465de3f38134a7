"""The fleet's decisions on starts, ends and heartbeats. Seconds are plain numbers; nothing here runs."""

import pytest

from actors.core.fleet_actions import Announce, Beat, Kill, Phase, Start
from actors.core.lifecycle import State
from tests.unit.core.fleet_stage import S1, S2, S3, S4, Fleet, of, status, wants

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
    fleet.statuses = {S1: status(S1, State(state), reason="why")}
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


def test_a_dead_actor_is_restarted_at_once_and_then_with_backoff() -> None:
    fleet = Fleet(wants(S1), session_max_restarts=4)
    now, delays = 0.0, []
    fleet.bring_up(S1, now)
    for _ in range(4):
        assert fleet.core.died(S1, "actor_died", now) == (Announce(S1, State.RECONNECTING, "actor_died"),)
        before = now
        while not fleet.starts(now):
            now = fleet.core.next_deadline
        fleet.core.started(S1, now)
        delays.append(now - before)
    assert delays == [0, pytest.approx(1, rel=0.1), pytest.approx(2, rel=0.1), pytest.approx(4, rel=0.1)]


@pytest.mark.parametrize("reason", ["lease_lost", "lease_held", "unavailable"])
def test_an_outage_of_nats_spends_no_restarts_of_session_or_fleet(reason: str) -> None:
    fleet = Fleet(wants(S1), session_max_restarts=1, fleet_max_restarts=1)
    now = 0.0
    for _ in range(10):
        fleet.bring_up(S1, now)
        assert fleet.core.ended(S1, "stopped", reason, now) == (Announce(S1, State.RECONNECTING, reason),)
        assert fleet.starts(now) == [], "it is not tried in circles either"
        now += 1.2
    fleet.bring_up(S1, now)
    assert fleet.core.died(S1, "actor_died", now) == (Announce(S1, State.RECONNECTING, "actor_died"),)
    assert fleet.starts(now) == [S1]


def test_beyond_its_budget_a_session_has_failed_until_a_person_starts_it() -> None:
    fleet = Fleet(wants(S1), session_max_restarts=1, session_max_seconds=60)
    fleet.bring_up(S1, 0)
    fleet.core.died(S1, "actor_died", 1)
    fleet.bring_up(S1, 5)
    assert fleet.core.died(S1, "actor_died", 6) == (Announce(S1, State.FAILED, "restart_intensity"),)
    assert fleet.starts(1000) == []
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


@pytest.mark.parametrize("state", ["stopped", "failed", "blocked", "logged_out"])
def test_an_end_that_no_status_tells_of_is_told_until_one_does(state: str) -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    fleet.statuses = {S1: status(S1, State.READY)}
    fleet.core.ended(S1, state, "why", 5)
    assert fleet.step(9.9) == [], "the actor's own last word may still be on its way"
    assert fleet.core.next_deadline == 10
    for now in (10, 15, 20):
        assert fleet.step(now) == [Announce(S1, State(state), "why")]
        assert fleet.step(now + 4.9) == []
    fleet.statuses = {S1: status(S1, State(state), reason="why")}
    assert fleet.step(30) == []


def test_a_stop_is_told_also_where_its_actor_had_lost_the_lease() -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    fleet.statuses = {S1: status(S1, State.DRAINING)}
    fleet.want(wants(S1, "stopped"))
    fleet.step(1)
    fleet.core.ended(S1, "stopped", "lease_lost", 2)
    assert fleet.step(7) == [Announce(S1, State.STOPPED, "lease_lost")]


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
