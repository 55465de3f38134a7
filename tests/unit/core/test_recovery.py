from random import Random

from actors.config import RetryConfig
from actors.core.recovery import Phase, Recovery, Remedy


def recovery() -> Recovery:
    return Recovery(RetryConfig(jitter=0), Random(1))  # noqa: S311 - jitter is no secret


def test_attempts_are_counted_delayed_and_end() -> None:
    it = recovery()
    delays = []
    for _ in range(5):
        delays.append(it.next_attempt(Remedy.REOPEN))
        it.begin_attempt()
    assert delays == [1, 2, 4, 8, 16]
    assert it.next_attempt(Remedy.REOPEN) is None
    assert (it.attempt, it.max_attempts) == (5, 5)


def test_after_a_failed_attempt_only_a_fresh_browser_will_do() -> None:
    it = recovery()
    it.begin_grace()
    assert (it.phase, it.remedy) == (Phase.GRACE, Remedy.RELOAD)
    it.next_attempt(it.remedy)
    assert (it.phase, it.remedy) == (Phase.WAITING, Remedy.RELOAD)
    it.begin_attempt()
    it.next_attempt(Remedy.RELOAD)
    assert it.remedy is Remedy.REOPEN


def test_worse_news_while_waiting_change_the_remedy() -> None:
    it = recovery()
    it.next_attempt(Remedy.RELOAD)
    remedies = []
    for news in (Remedy.RELOAD, Remedy.REOPEN, Remedy.RELOAD):
        it.worsen(news)
        remedies.append(it.remedy)
    assert remedies == [Remedy.RELOAD, Remedy.REOPEN, Remedy.REOPEN]


def test_only_a_stable_ready_gives_the_attempts_back() -> None:
    it = recovery()
    it.next_attempt(Remedy.REOPEN)
    it.ready(0)
    assert it.phase is Phase.NONE
    it.left_ready(299)
    assert it.attempt == 1
    it.left_ready(999)
    assert it.attempt == 1
    it.ready(1_000)
    it.left_ready(1_300)
    assert it.attempt == 0


def test_a_renewal_of_the_page_is_not_counted() -> None:
    it = recovery()
    for remedy in Remedy:
        it.begin_uncounted(remedy)
        assert (it.phase, it.remedy, it.attempt) == (Phase.TRYING, remedy, 0)


def test_rest_keeps_the_count_and_refill_forgets_it() -> None:
    it = recovery()
    it.next_attempt(Remedy.REOPEN)
    it.rest()
    assert (it.phase, it.attempt) == (Phase.NONE, 1)
    it.refill()
    assert it.attempt == 0
