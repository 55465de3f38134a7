import pytest

from actors.core.rate_window import MAX_MESSAGES, Admit, Defer, RateWindow
from actors.messages.commands import RateLimit


def window(max_messages: int = 2, window_ms: int = 10_000) -> RateWindow:
    return RateWindow(RateLimit(max_messages=max_messages, window_ms=window_ms))


def send(rates: RateWindow, begin: float, end: float) -> None:
    assert rates.try_acquire(begin) == Admit()
    rates.release(end)


def test_a_full_window_names_the_moment_it_has_room() -> None:
    rates = window()
    send(rates, 0, 1)
    send(rates, 2, 3)
    assert rates.try_acquire(4) == Defer(11)
    assert rates.try_acquire(11) == Admit()


def test_a_send_in_flight_counts_although_it_has_no_stamp() -> None:
    rates = window(max_messages=1)
    assert rates.try_acquire(0) == Admit()
    assert rates.try_acquire(100) == Defer(110)


def test_a_send_is_stamped_when_its_call_returns() -> None:
    rates = window(max_messages=1)
    send(rates, 0, 30)
    assert rates.try_acquire(39.9) == Defer(40)


def test_a_send_that_never_began_gives_its_place_back() -> None:
    rates = window(max_messages=1)
    rates.try_acquire(0)
    rates.give_back()
    assert rates.try_acquire(0) == Admit()


def test_answering_one_acquire_twice_is_a_bug() -> None:
    rates = window()
    with pytest.raises(AssertionError, match="no send is in flight"):
        rates.give_back()


def test_sends_of_a_former_owner_count() -> None:
    rates = window(max_messages=2)
    rates.count(5)
    rates.count(4)
    assert rates.try_acquire(14.5) == Defer(15)


def test_state_tells_what_remains_and_when_it_grows() -> None:
    rates = window(max_messages=3)
    assert rates.state(0).remaining == 3
    assert rates.state(0).reset_at is None
    assert rates.state(0).reset_in_s(0) == 0
    send(rates, 0, 1)
    send(rates, 1, 2)
    state = rates.state(4)
    assert (state.remaining, state.is_limited, state.reset_in_s(4)) == (1, False, 7)
    send(rates, 4, 5)
    state = rates.state(6)
    assert (state.remaining, state.is_limited, state.reset_in_s(6)) == (0, True, 5)


def test_state_answers_under_other_limits() -> None:
    rates = window(max_messages=3)
    for at in (1, 2, 3):
        send(rates, at, at)
    assert rates.limit.max_messages == 3
    fewer = rates.state(4, RateLimit(max_messages=2, window_ms=10_000))
    assert (fewer.remaining, fewer.reset_at) == (0, 12)
    shorter = rates.state(4, RateLimit(max_messages=3, window_ms=2_000))
    assert (shorter.remaining, shorter.reset_at) == (2, 5)
    longer = rates.state(100, RateLimit(max_messages=30, window_ms=3_600_000))
    assert longer.remaining == 27


def test_the_log_is_bounded_by_the_largest_limit() -> None:
    rates = window(max_messages=MAX_MESSAGES, window_ms=1_000)
    for n in range(3 * MAX_MESSAGES):
        send(rates, n, n)
    asked = RateLimit(max_messages=MAX_MESSAGES, window_ms=3_600_000)
    assert rates.state(3 * MAX_MESSAGES, asked).remaining == 0
    assert len(rates._stamps) == MAX_MESSAGES
