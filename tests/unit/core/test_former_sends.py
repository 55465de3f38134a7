from actors.core.former_sends import Told, ends_of_attempts


def sending(job_id: str, attempt: int, age_s: float) -> Told:
    return Told(job_id, attempt, age_s, is_outcome=False)


def outcome(job_id: str, attempts: int, age_s: float) -> Told:
    return Told(job_id, attempts, age_s, is_outcome=True)


def test_an_attempt_ended_when_its_outcome_was_stored() -> None:
    assert ends_of_attempts([sending("a", 1, 9), outcome("a", 1, 7)]) == [7]


def test_an_attempt_in_doubt_ended_when_the_next_one_began() -> None:
    told = [sending("a", 1, 9), sending("a", 2, 5), outcome("a", 2, 4)]
    assert ends_of_attempts(told) == [5, 4]


def test_an_attempt_without_an_end_may_end_even_now() -> None:
    assert ends_of_attempts([sending("a", 1, 9), sending("b", 1, 3)]) == [0, 0]


def test_an_attempt_from_before_the_span_counts_by_what_came_after_it() -> None:
    assert ends_of_attempts([sending("a", 2, 9), outcome("a", 2, 8)]) == [9, 8]
    assert ends_of_attempts([outcome("a", 1, 8)]) == [8]


def test_an_outcome_that_is_told_again_or_cost_no_attempt_counts_nothing() -> None:
    assert ends_of_attempts([outcome("a", 1, 8), outcome("a", 1, 2), outcome("b", 0, 1)]) == [8]
