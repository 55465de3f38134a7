from actors.config import MemoryConfig
from actors.core.recycling import Recycler

MIB = 2**20


def recycler(budget_mib: int = 100, min_interval_s: float = 60) -> Recycler:
    return Recycler(MemoryConfig(budget_mib=budget_mib, min_interval_s=min_interval_s))


def test_what_is_over_the_budget_is_recycled_once_it_is_idle() -> None:
    it = recycler()
    assert not it.weigh(100 * MIB, 0)
    assert not it.take(0, idle=True)
    assert it.weigh(100 * MIB + 1, 1)
    assert not it.weigh(200 * MIB, 2)
    assert not it.take(3, idle=False)
    assert it.take(4, idle=True)
    assert not it.take(5, idle=True)


def test_what_shrank_or_went_away_meanwhile_is_left_alone() -> None:
    it = recycler()
    it.weigh(200 * MIB, 0)
    it.weigh(50 * MIB, 1)
    assert not it.take(2, idle=True)
    it.weigh(200 * MIB, 3)
    it.forget()
    assert not it.take(4, idle=True)


def test_a_budget_that_is_too_small_does_not_recycle_for_ever() -> None:
    it = recycler(min_interval_s=60)
    it.weigh(200 * MIB, 0)
    assert it.take(0, idle=True)
    assert not it.weigh(200 * MIB, 59.9)
    assert not it.take(59.9, idle=True)
    assert it.weigh(200 * MIB, 60)
    assert it.take(60, idle=True)


def test_no_budget_no_recycle() -> None:
    it = recycler(budget_mib=0)
    assert not it.watches
    assert not it.weigh(10**12, 0)
    assert not it.take(0, idle=True)
