import pytest

from actors.errors import Unavailable
from gateway.admission import Bound


def test_places_are_bounded_in_all_and_per_key_and_come_back() -> None:
    bound = Bound("guests", total=3, per_key=2)
    with bound.place("a"), bound.place("a"):
        with pytest.raises(Unavailable), bound.place("a"):
            pytest.fail("a third place for one key")
        with bound.place("b"), pytest.raises(Unavailable), bound.place("c"):
            pytest.fail("a fourth place in all")
    with bound.place("a"), bound.place("a"):
        pass


def test_a_place_comes_back_after_a_failure() -> None:
    bound = Bound("guests", total=1, per_key=1)
    with pytest.raises(RuntimeError), bound.place("a"):
        raise RuntimeError
    with bound.place("a"):
        pass
