"""Promise 3: no span of the window holds more than the limit, as WhatsApp's server sees the sends."""

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core.rate_window import Admit, Defer, RateWindow
from actors.messages.commands import RateLimit

SENDS = st.lists(
    st.tuples(
        st.floats(0, 5, allow_nan=False),  # wait before the try
        st.floats(0, 4, allow_nan=False),  # how long the call takes
        st.floats(0, 1, allow_nan=False),  # where in the call the server sees it
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=150)
@given(SENDS, st.integers(1, 4), st.integers(1_000, 9_000), st.booleans())
def test_no_span_holds_more_than_the_limit(
    sends: list[tuple[float, float, float]],
    max_messages: int,
    window_ms: int,
    patient: bool,  # noqa: FBT001
) -> None:
    window = RateWindow(RateLimit(max_messages=max_messages, window_ms=window_ms))
    now, seen = 0.0, []
    for wait, takes, at in sends:
        now += wait
        place = window.try_acquire(now)
        if isinstance(place, Defer):
            assert place.until > now
            assert window.state(now).is_limited
            if not patient:
                continue
            now = place.until
            assert window.try_acquire(now) == Admit(), "the moment that was named has no room"
        seen.append(now + takes * at)
        now += takes
        window.release(now)
    span = window_ms / 1000
    for first in seen:
        assert sum(first <= moment < first + span for moment in seen) <= max_messages


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(0, 3, allow_nan=False), max_size=30), st.integers(1, 6), st.integers(1_000, 9_000))
def test_an_answer_under_other_limits_is_what_a_window_of_those_limits_would_say(
    gaps: list[float], max_messages: int, window_ms: int
) -> None:
    asked = RateLimit(max_messages=max_messages, window_ms=window_ms)
    wide, other = RateWindow(RateLimit(max_messages=1_000, window_ms=3_600_000)), RateWindow(asked)
    now = 0.0
    for gap in gaps:
        now += gap
        wide.count(now)
        other.count(now)
    state = wide.state(now, asked)
    assert state == other.state(now)
    assert state.remaining == 0 or isinstance(other.try_acquire(now), Admit)
