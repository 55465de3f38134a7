import pytest

from actors.config import LeaseConfig
from actors.core.lease import Hold, LeaseTerm, is_ours, may_be_inherited
from actors.messages.records import LeaseRecord


@pytest.mark.parametrize(
    ("now", "hold", "may_send"),
    [(100, Hold.FIRM, True), (107.9, Hold.FIRM, True), (108, Hold.OVERDUE, False), (111, Hold.ENDED, False)],
)
def test_a_term_runs_out_in_two_steps(now: float, hold: Hold, may_send: bool) -> None:  # noqa: FBT001 - a table
    term = LeaseTerm(LeaseConfig(), 100)
    assert (term.hold(now), term.may_send(now)) == (hold, may_send)


def test_a_term_counts_from_the_moment_its_renewal_was_sent() -> None:
    term = LeaseTerm(LeaseConfig(), 100)
    term.renewed(105)
    assert (term.close_at, term.kill_at) == (113, 116)
    term.renewed(103)
    assert term.close_at == 113


def test_the_browser_is_killed_before_the_store_lets_anybody_else_in() -> None:
    config = LeaseConfig()
    assert config.renew_every_s < config.send_until_s < config.kill_after_s < config.fuse_s < config.ttl_s


def test_a_page_of_a_frozen_holder_ends_before_the_lease_does() -> None:
    term = LeaseTerm(LeaseConfig(), 100)
    term.renewed(105)
    assert term.fuse_left(105.5) == 11.5
    assert term.fuse_left(118) == -1


def test_a_lease_is_ours_by_its_owner_id() -> None:
    ours = LeaseRecord(owner_id="a", node="n", pid=1)
    assert is_ours(ours, "a")
    assert not is_ours(ours, "b")
    assert not is_ours(None, "a")


@pytest.mark.parametrize(
    ("changed", "may"),
    [
        ({}, True),
        ({"owner_id": "somebody alive"}, False),
        ({"node": "another machine"}, False),
        ({"browser_pids": ()}, False),
    ],
)
def test_a_dead_owners_lease_is_free_where_its_browser_can_be_seen_to_be_gone(
    changed: dict[str, object],
    may: bool,  # noqa: FBT001 - a table
) -> None:
    found = LeaseRecord(owner_id="a", node="n/boot", pid=1, browser_pids=((4711, 1.0),)).model_copy(update=changed)
    assert may_be_inherited(found, dead_owners=("x", "a"), node="n/boot") is may
