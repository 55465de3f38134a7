"""The fleet's decisions on orders, room, and after a change of supervisors. Seconds are plain numbers; nothing runs."""

from typing import Literal

import pytest

from actors.core.fleet_actions import Adopt, Announce, Beat, End, Kill, Phase, Start, Wish
from actors.core.lifecycle import State
from tests.unit.core.fleet_stage import S1, S2, Fleet, of, status, wants

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
    assert fleet.starts(100) == []


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
    fleet.core.ended(S1, "logged_out", "logout", 2)
    assert fleet.step(3) == []


def test_a_logout_without_an_actor_gets_a_life_of_its_own() -> None:
    fleet = Fleet(wants(S1, "logged_out", revision=2))
    fleet.statuses = {S1: status(S1, State.STOPPED)}
    assert fleet.step(0) == [Start(S1, wants(S1, "logged_out", revision=2))]
    fleet.core.started(S1, 1)
    assert of(End, fleet.step(1)) == []
    fleet.core.ended(S1, "logged_out", "logout", 2)
    assert fleet.step(3) == []


def test_a_start_during_a_logout_is_carried_out_after_it() -> None:
    fleet = Fleet(wants(S1, "logged_out", revision=2))
    fleet.bring_up(S1, 0)
    fleet.core.ordered(S1, 1)
    fleet.want(wants(S1, revision=3))
    assert fleet.starts(2) == []
    fleet.core.ended(S1, "logged_out", "logout", 3)
    assert fleet.starts(4) == [S1]


def test_an_order_that_finds_its_session_living_is_answered_by_that_life() -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    fleet.core.ordered(S1, 1)
    fleet.want(wants(S1, revision=2))
    fleet.step(1)
    fleet.core.ended(S1, "failed", "reconnect_exhausted", 2)
    assert fleet.starts(3) == []


def test_a_logout_that_dies_is_tried_again() -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    fleet.want(wants(S1, "logged_out", revision=2))
    fleet.step(1)
    fleet.core.died(S1, "actor_died", 2)
    assert fleet.starts(4) == [S1]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("stopped", "lease_lost"),
        ("stopped", "unavailable"),
        ("failed", "lease_held"),
        ("failed", "internal_error"),
        ("failed", "reconnect_exhausted"),
        ("logged_out", "lease_lost"),
        ("logged_out", "unlinked"),
    ],
)
def test_a_logout_that_did_not_come_to_its_end_is_tried_again(state: str, reason: str) -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    fleet.want(wants(S1, "logged_out", revision=2))
    fleet.step(1)
    assert fleet.core.ended(S1, state, reason, 2) == (Announce(S1, State.RECONNECTING, reason),)
    assert fleet.step(4) == [Start(S1, wants(S1, "logged_out", revision=2))]
    fleet.core.started(S1, 5)
    fleet.core.ended(S1, "logged_out", "logout", 6)
    assert fleet.starts(7) == []


def test_a_logout_is_not_given_up_however_often_it_dies() -> None:
    fleet = Fleet(wants(S1, "logged_out"), session_max_restarts=1)
    for now in range(0, 100, 10):
        assert fleet.starts(now) == [S1]
        assert fleet.core.died(S1, "actor_died", now) == (Announce(S1, State.RECONNECTING, "actor_died"),)


def test_a_start_ordered_before_a_logout_came_to_its_end_is_carried_out_after_it() -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    fleet.want(wants(S1, "logged_out", revision=2))
    fleet.step(1)
    fleet.core.ordered(S1, 2)
    fleet.want(wants(S1, revision=3))
    fleet.core.died(S1, "actor_died", 3)
    assert fleet.step(5) == [Start(S1, wants(S1, "logged_out", revision=2))]
    fleet.core.started(S1, 6)
    assert of(End, fleet.step(6)) == []
    fleet.core.ended(S1, "logged_out", "logout", 7)
    assert fleet.step(7) == [Start(S1, wants(S1, revision=3))]


def test_a_logout_that_waits_for_its_actor_goes_before_a_start_too() -> None:
    fleet = Fleet(wants(S1, "logged_out", revision=2), no_capacity_after_s=60)
    assert fleet.starts(0) == [S1]
    fleet.core.no_slot(S1, 1)
    fleet.core.ordered(S1, 2)
    fleet.want(wants(S1, revision=3))
    assert fleet.step(100) == [Start(S1, wants(S1, "logged_out", revision=2))]


@pytest.mark.parametrize("state", ["starting", "ready", "reconnecting"])
def test_an_actor_that_does_something_else_than_the_logout_it_was_created_for_is_asked_for_it(state: str) -> None:
    fleet = Fleet(wants(S1, "logged_out", revision=2))
    assert fleet.starts(0) == [S1]
    fleet.core.started(S1, 1)
    assert fleet.core.beat(S1, state, 2) == (End(S1, Wish.LOG_OUT),)
    assert fleet.core.beat(S1, state, 3) == ()
    assert of(Kill, fleet.step(31.9)) == []
    assert of(Kill, fleet.step(32)) == [Kill(S1)]
    fleet.core.died(S1, "actor_died", 33)
    assert fleet.starts(35) == [S1]


def test_such_an_actor_logs_out_before_a_start_that_was_ordered_since() -> None:
    fleet = Fleet(wants(S1, "logged_out", revision=2))
    fleet.starts(0)
    fleet.core.ordered(S1, 1)
    fleet.want(wants(S1, revision=3))
    fleet.core.started(S1, 1)
    assert fleet.core.beat(S1, "ready", 2) == (End(S1, Wish.LOG_OUT),)
    fleet.core.ended(S1, "logged_out", "logout", 3)
    assert fleet.step(4) == [Start(S1, wants(S1, revision=3))]


@pytest.mark.parametrize("state", ["waiting", "stopped", "logged_out", None])
def test_an_actor_that_logs_out_or_is_about_to_is_left_to_it(state: str | None) -> None:
    fleet = Fleet(wants(S1, "logged_out", revision=2))
    fleet.starts(0)
    fleet.core.started(S1, 1)
    assert fleet.core.beat(S1, state, 2) == ()
    assert fleet.core.phase(S1) is Phase.LIVING


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
    assert fleet.starts(100) == []
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


def test_an_adopted_actor_is_listened_to_whatever_became_of_the_one_before() -> None:
    fleet = Fleet(wants(S1), max_missed_heartbeats=2)
    fleet.bring_up(S1, 0)
    fleet.core.beat(S1, None, 1)
    assert fleet.step(5) == [Beat(S1)]
    fleet.core.ended(S1, "failed", "reconnect_exhausted", 6)
    assert fleet.step(7, living=(S1,)) == [Adopt(S1)]
    fleet.core.adopted(S1, wants(S1), "ready", 8)
    assert fleet.step(8) == [Beat(S1)]
    fleet.core.beat(S1, None, 9)
    assert of(Kill, fleet.step(9)) == []


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
        ("logged_out", State.LOGGED_OUT, "logout", False),
        ("logged_out", State.LOGGED_OUT, "unlinked", True),
        ("running", State.LOGGED_OUT, "unlinked", False),
        ("stopped", State.STOPPED, None, False),
    ],
)
def test_a_new_supervisor_judges_a_session_by_its_last_status(
    target: Literal["running", "stopped", "logged_out"], state: State, reason: str | None, *, starts: bool
) -> None:
    fleet = Fleet(wants(S1, target))
    fleet.statuses = {S1: status(S1, state, reason=reason)}
    assert fleet.starts(0) == ([S1] if starts else [])


@pytest.mark.parametrize(("ordered_s", "starts"), [(1, True), (-1, False)])
def test_a_start_ordered_after_the_end_that_the_status_tells_of_is_carried_out(
    ordered_s: float, *, starts: bool
) -> None:
    wanted = wants(S1, revision=2, ordered_s=ordered_s)
    fleet = Fleet(wanted)
    fleet.statuses = {S1: status(S1, State.STOPPED, reason="qr_timeout")}
    assert fleet.step(0) == ([Announce(S1, State.STARTING, None), Start(S1, wanted)] if starts else [])


@pytest.mark.parametrize(("ordered_s", "starts"), [(1, True), (-1, False)])
def test_a_logout_ordered_after_the_logout_that_the_status_tells_of_is_carried_out(
    ordered_s: float, *, starts: bool
) -> None:
    wanted = wants(S1, "logged_out", revision=2, ordered_s=ordered_s)
    fleet = Fleet(wanted)
    fleet.statuses = {S1: status(S1, State.LOGGED_OUT, reason="logout")}
    assert fleet.step(0) == ([Start(S1, wanted)] if starts else [])


@pytest.mark.parametrize(
    ("last", "ordered_s", "starts"),
    [(State.FAILED, 1, True), (State.READY, 1, True), (State.FAILED, -1, False), (None, 1, False)],
)
def test_an_actor_adopted_at_its_end_answers_no_order_that_came_after_it(
    last: State | None, ordered_s: float, *, starts: bool
) -> None:
    wanted = wants(S1, revision=2, ordered_s=ordered_s)
    fleet = Fleet(wanted)
    fleet.step(0, living=(S1,))
    told = status(S1, last) if last else None
    fleet.core.adopted(S1, wanted, "failed", 1, last=told)
    assert fleet.starts(1) == []
    fleet.core.ended(S1, "failed", "reconnect_exhausted", 2)
    assert fleet.starts(3) == ([S1] if starts else [])


def test_a_start_ordered_during_an_end_is_told_when_it_is_carried_out() -> None:
    fleet = Fleet(wants(S1))
    fleet.bring_up(S1, 0)
    fleet.core.ending(S1, Wish.STOP, 1, 1)
    fleet.core.ordered(S1, 1)
    fleet.want(wanted := wants(S1, revision=2, ordered_s=1))
    fleet.statuses = {S1: status(S1, State.FAILED, reason="reconnect_exhausted")}
    fleet.core.ended(S1, "failed", "reconnect_exhausted", 2)
    assert fleet.step(3) == [Announce(S1, State.STARTING, None), Start(S1, wanted)]


def test_a_session_stopped_under_a_dead_supervisor_is_announced_as_stopped() -> None:
    fleet = Fleet(wants(S1, "stopped"))
    fleet.statuses = {S1: status(S1, State.READY)}
    assert fleet.step(0) == [Announce(S1, State.STOPPED, None)]
