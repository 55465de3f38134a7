from random import Random

import pytest

from actors.core.backoff import RestartBudget, RetryPolicy


def seeded() -> Random:
    return Random(7)  # noqa: S311 - jitter is no secret


def test_delays_double_up_to_the_maximum() -> None:
    policy = RetryPolicy(jitter=0)
    assert [policy.delay(n, seeded()) for n in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


def test_jitter_spreads_both_ways_and_never_above_the_maximum() -> None:
    policy = RetryPolicy(jitter=0.1)
    random = seeded()
    firsts = [policy.delay(1, random) for _ in range(200)]
    assert 0.9 <= min(firsts) < 0.95
    assert 1.05 < max(firsts) <= 1.1
    assert max(policy.delay(9, random) for _ in range(200)) == 30


def test_a_caller_that_counts_for_weeks_gets_the_maximum() -> None:
    assert RetryPolicy(jitter=0).delay(5_000, seeded()) == 30


@pytest.mark.parametrize(("attempt", "allowed"), [(1, True), (5, True), (6, False)])
def test_attempts_end_after_the_fifth(attempt: int, allowed: bool) -> None:  # noqa: FBT001 - a table
    assert RetryPolicy().allows(attempt) is allowed


def test_the_budget_refuses_one_restart_too_many_in_the_span() -> None:
    budget = RestartBudget(max_restarts=2, max_seconds=10)
    assert [budget.try_restart(now) for now in (0, 5, 10)] == [True, True, False]


def test_a_restart_leaves_the_budget_after_max_seconds() -> None:
    budget = RestartBudget(max_restarts=2, max_seconds=10)
    assert [budget.try_restart(now) for now in (0, 5, 10.5)] == [True, True, True]
    assert budget.spent(10.5) == 2
    assert budget.spent(30) == 0


def test_a_refilled_budget_starts_from_nothing() -> None:
    budget = RestartBudget(max_restarts=1, max_seconds=10)
    assert budget.try_restart(0)
    budget.refill()
    assert budget.try_restart(1)
    assert not budget.try_restart(2)
