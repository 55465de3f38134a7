"""Sessions leave a node that is about to end, and live on elsewhere."""

import pytest

from actors.core.fleet_actions import Announce, End, Phase, Start, Wish
from actors.core.lifecycle import State
from tests.unit.core.fleet_stage import S1, S2, Fleet, of, wants


def ends(fleet: Fleet, now: float, *leaving: object) -> list[object]:
    keys = tuple(key for key in (S1, S2) if key in leaving)
    return list(of(End, fleet.step(now, leaving=keys)))


@pytest.fixture
def fleet() -> Fleet:
    fleet = Fleet(wants(S1), session_max_restarts=1)
    fleet.bring_up(S1, 0)
    return fleet


def test_a_session_on_a_draining_node_is_moved_once_at_once_and_at_no_cost(fleet: Fleet) -> None:
    for now in (10, 20, 30):
        assert ends(fleet, now, S1) == [End(S1, Wish.MOVE)]
        assert ends(fleet, now + 1, S1) == []
        assert fleet.core.ended(S1, "stopped", "drained", now + 2) == (
            Announce(S1, State.RECONNECTING, "node_drained"),
        )
        fleet.bring_up(S1, now + 2)


def test_a_session_that_does_not_live_yet_is_moved_when_it_does() -> None:
    fleet = Fleet(wants(S1))
    assert fleet.starts(0) == [S1]
    assert ends(fleet, 1, S1, S2) == []
    fleet.core.started(S1, 2)
    assert ends(fleet, 3, S1, S2) == [End(S1, Wish.MOVE)]


def test_one_that_does_not_leave_in_time_is_killed_and_comes_back_as_a_dead_one(fleet: Fleet) -> None:
    ends(fleet, 10, S1)
    fleet.step(40)
    assert fleet.core.phase(S1) is Phase.KILLING
    assert fleet.core.died(S1, "actor_died", 41) == (Announce(S1, State.RECONNECTING, "actor_died"),)
    assert fleet.starts(45) == [S1]


def test_one_that_is_stopped_while_it_leaves_stays_stopped(fleet: Fleet) -> None:
    ends(fleet, 10, S1)
    fleet.want(wants(S1, "stopped"))
    assert of(Start, fleet.step(11, leaving=(S1,))) == []
    fleet.core.ended(S1, "stopped", "drained", 12)
    assert fleet.step(13) == [Announce(S1, State.STOPPED, None)]
    assert fleet.core.phase(S1) is Phase.ENDED


def test_one_that_ends_for_good_while_it_leaves_does_not_come_back(fleet: Fleet) -> None:
    ends(fleet, 10, S1)
    assert fleet.core.ended(S1, "logged_out", None, 11) == ()
    assert fleet.starts(12) == []


def test_a_logout_is_not_interrupted(fleet: Fleet) -> None:
    fleet.want(wants(S1, "logged_out", revision=2))
    assert of(End, fleet.step(10, leaving=(S1,))) == [End(S1, Wish.LOG_OUT)]
