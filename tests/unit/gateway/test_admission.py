"""A tenant that floods takes its own places."""

import pytest

from actors.errors import Unavailable
from actors.messages.ids import SessionKey
from gateway.admission import Bound

A1, A2, A3, B1, C1 = (SessionKey(*name) for name in ("a1", "a2", "a3", "b1", "c1"))


def test_places_are_bounded_in_all_per_tenant_and_per_session_and_come_back() -> None:
    bound = Bound("guests", total=4, per_tenant=3, per_session=2)
    with bound.place(A1), bound.place(A1):
        with pytest.raises(Unavailable), bound.place(A1):
            pytest.fail("a third place for one session")
        with bound.place(A2):
            with pytest.raises(Unavailable) as refused, bound.place(A3):
                pytest.fail("a fourth place for one tenant")
            assert refused.value.details == {"max_total": 4, "max_per_tenant": 3, "max_per_session": 2}
            with bound.place(B1), pytest.raises(Unavailable), bound.place(C1):
                pytest.fail("a fifth place in all")
    with bound.place(A1), bound.place(A1):
        pass


def test_a_place_comes_back_after_a_failure() -> None:
    bound = Bound("guests", total=1, per_tenant=1, per_session=1)
    with pytest.raises(RuntimeError), bound.place(A1):
        raise RuntimeError
    with bound.place(B1):
        pass
