"""A lane that was woken is looked at again, soon and then less soon."""

import pytest

from actors.core.echoes import DELAYS_S, Echoes


def test_a_wake_up_is_followed_by_a_look_after_each_delay() -> None:
    echoes = Echoes()
    echoes.woken("normal", 100.0)
    for delay in DELAYS_S:
        assert echoes.next_at() == pytest.approx(100.0 + delay)
        assert echoes.take(100.0 + delay - 0.001) == []
        assert echoes.take(100.0 + delay) == ["normal"]
    assert echoes.next_at() is None


def test_late_looks_are_joined() -> None:
    echoes = Echoes()
    echoes.woken("normal", 0.0)
    echoes.woken("high", 1.0)
    assert echoes.take(1.5) == ["normal", "high"]
    assert echoes.take(2.5) == ["normal"]
    assert echoes.take(3.5) == ["high"]
    assert echoes.next_at() is None


def test_another_wake_up_begins_anew() -> None:
    echoes = Echoes()
    echoes.woken("bulk", 0.0)
    assert echoes.take(0.02) == ["bulk"]
    echoes.woken("bulk", 0.1)
    assert echoes.next_at() == pytest.approx(0.12)
