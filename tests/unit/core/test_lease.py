import pytest

from actors.config import LeaseConfig
from actors.core.lease import Hold, LeaseTerm, is_ours
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
    assert config.renew_every_s < config.send_until_s < config.kill_after_s < config.ttl_s


def test_a_lease_is_ours_by_its_owner_id() -> None:
    ours = LeaseRecord(owner_id="a", node="n", pid=1)
    assert is_ours(ours, "a")
    assert not is_ours(ours, "b")
    assert not is_ours(None, "a")
