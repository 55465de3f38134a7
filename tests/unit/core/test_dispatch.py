import pytest

from actors.core.attempts import expired, rate_limited
from actors.core.dispatch import UNAVAILABLE_PAUSE_S, Dispatcher
from actors.core.mailbox import Held
from actors.core.signals import Fate, Handled, HandleJob
from actors.messages.commands import RateLimit
from tests.unit.core.jobs import held


def dispatcher(*jobs: Held, max_messages: int = 20) -> Dispatcher:
    it = Dispatcher(RateLimit(max_messages=max_messages, window_ms=60_000), window_per_lane=8, paused=False)
    for read in it.mailbox.reads():
        it.mailbox.put(read, [job for job in jobs if job.job.lane == read.lane])
    return it


def handled(job: Held, fate: Fate = Fate.FINISHED, *, called: bool = True) -> Handled:
    return Handled(job, fate, called=called)


def test_one_job_is_handled_at_a_time() -> None:
    first, second = held(1), held(2)
    it = dispatcher(first, second)
    assert it.begin(0, ready=True) == HandleJob(first, ready=True, may_send=True)
    assert it.begin(0, ready=True) is None
    assert it.next_deadline() is None
    it.end(handled(first), 1)
    assert it.begin(1, ready=True) == HandleJob(second, ready=True, may_send=True)


def test_nothing_is_sent_before_ready() -> None:
    it = dispatcher(held(1))
    assert it.begin(0, ready=False) is None


def test_a_job_that_is_not_in_flight_can_not_end() -> None:
    it = dispatcher(held(1))
    with pytest.raises(AssertionError, match="was not in flight"):
        it.end(handled(held(1)), 0)
    it.begin(0, ready=True)
    with pytest.raises(AssertionError, match="was not in flight"):
        it.end(handled(held(2)), 0)


def test_only_a_call_costs_a_place_in_the_window() -> None:
    first, second = held(1), held(2)
    it = dispatcher(first, second, max_messages=1)
    it.begin(0, ready=True)
    it.end(handled(first, called=False), 0)
    assert it.window.state(0).remaining == 1
    it.begin(0, ready=True)
    it.end(handled(second), 3)
    assert it.window.state(3).reset_at == 63


def test_a_message_a_former_owner_sent_counts_although_no_place_was_taken() -> None:
    job = held(1, expires_at=5)
    it = dispatcher(job)
    assert it.begin(6, ready=True) == HandleJob(job, ready=True, may_send=False, refusal=expired())
    it.end(handled(job, called=True), 7)
    assert it.window.state(7).remaining == 19


def test_behind_a_full_window_the_head_is_looked_at_once_without_a_place() -> None:
    first, second = held(1), held(2)
    it = dispatcher(first, second, max_messages=1)
    it.begin(0, ready=True)
    it.end(handled(first), 0)
    assert it.begin(1, ready=True) == HandleJob(second, ready=True, may_send=False)
    it.end(handled(second, Fate.NEEDS_SLOT, called=False), 1)
    assert it.begin(1, ready=True) is None
    assert it.next_deadline() == 60
    assert it.begin(60, ready=True) == HandleJob(second, ready=True, may_send=True)


def test_a_call_in_doubt_keeps_its_place_until_its_page_is_gone() -> None:
    job = held(1)
    it = dispatcher(job, max_messages=1)
    it.begin(0, ready=True)
    it.end(handled(job, Fate.DOUBTED), 30)
    assert (it.window.state(100).remaining, it.window.state(100).reset_at) == (0, 160), "it may leave even now"
    it.page_gone(101)
    it.page_gone(102)
    assert it.window.state(101).reset_at == 161


def test_a_call_whose_page_is_gone_ends_with_it() -> None:
    job = held(1)
    it = dispatcher(job, max_messages=1)
    it.begin(0, ready=True)
    it.end(Handled(job, Fate.DOUBTED, called=True, page_gone=True), 30)
    assert it.window.state(31).reset_at == 90


def test_a_doubted_job_is_looked_at_again_although_the_window_is_full() -> None:
    job = held(1)
    it = dispatcher(job, max_messages=1)
    it.begin(0, ready=True)
    it.end(handled(job, Fate.DOUBTED), 1)
    assert it.begin(2, ready=True) == HandleJob(job, ready=True, may_send=False)


def test_the_fate_of_a_doubted_job_is_asked_for_before_anything_else_is_sent() -> None:
    first, direct = held(1), held(2, "direct")
    it = dispatcher(first)
    it.begin(0, ready=True)
    it.end(handled(first, Fate.DOUBTED), 30)
    it.mailbox.wake("direct")
    it.mailbox.put(it.mailbox.reads()[0], [direct])
    it.page_gone(31)
    lookup = HandleJob(first, ready=True, may_send=False)
    assert it.begin(31, ready=True) == lookup
    it.end(handled(first, Fate.UNAVAILABLE, called=False), 31)
    assert it.begin(33, ready=True) == lookup
    it.end(handled(first, Fate.NEEDS_SLOT, called=False), 33)
    assert it.begin(33, ready=True) == HandleJob(direct, ready=True, may_send=True)


def test_direct_refuses_at_once_where_it_would_rather_not_wait() -> None:
    first, direct = held(1), held(2, "direct", on_limit="reject")
    it = dispatcher(first, max_messages=1)
    it.begin(0, ready=True)
    it.end(handled(first), 0)
    it.mailbox.wake("direct")
    it.mailbox.put(it.mailbox.reads()[0], [direct])
    assert it.begin(20, ready=True) == HandleJob(direct, ready=True, may_send=False, refusal=rate_limited(40))


def test_a_direct_send_whose_time_is_over_is_rate_limited_only_where_the_window_was_the_reason() -> None:
    first, direct = held(1), held(2, "direct", expires_at=30)
    it = dispatcher(first, direct, max_messages=1)
    it.window.count(0)
    late = it.begin(30, ready=True)
    assert late is not None
    assert late.refusal == rate_limited(30)
    it.end(handled(direct, Fate.UNAVAILABLE, called=False), 30)
    late = it.begin(100, ready=True)
    assert late is not None
    assert late.refusal == expired()


def test_a_store_that_does_not_answer_pauses_everything_for_a_moment() -> None:
    job = held(1, expires_at=0.5)
    it = dispatcher(job)
    it.begin(0, ready=True)
    it.end(handled(job, Fate.UNAVAILABLE, called=False), 0)
    assert it.begin(0.9, ready=True) is None
    assert it.next_deadline() == UNAVAILABLE_PAUSE_S
    assert it.begin(1, ready=True) is not None


def test_an_expired_job_that_needs_the_page_waits_for_it() -> None:
    job = held(1, expires_at=5)
    it = dispatcher(job)
    assert it.next_deadline() == 5
    assert it.begin(5, ready=False) == HandleJob(job, ready=False, may_send=False, refusal=expired())
    it.end(handled(job, Fate.NEEDS_PAGE, called=False), 5)
    assert it.begin(6, ready=False) is None
    assert it.next_deadline() is None
    assert it.begin(7, ready=True) == HandleJob(job, ready=True, may_send=False, refusal=expired())
    it.end(handled(job), 7)
    assert len(it.mailbox) == 0
