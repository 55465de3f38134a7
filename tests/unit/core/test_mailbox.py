import pytest

from actors.core.mailbox import MAX_LANE_BYTES, Mailbox, Read
from actors.messages.jobs import LANES, MediaContent
from tests.unit.core.jobs import held


def filled(*seqs: int, limit: int = 4) -> Mailbox:
    mailbox = Mailbox(limit)
    reads = {read.lane: read for read in mailbox.reads()}
    mailbox.put(reads["normal"], [held(seq) for seq in seqs])
    return mailbox


def test_a_new_mailbox_reads_every_lane_from_the_start() -> None:
    assert Mailbox(4).reads() == [Read(lane, 0, 4) for lane in LANES]


def test_a_lane_is_not_read_twice_at_once() -> None:
    mailbox = Mailbox(4)
    mailbox.reads()
    mailbox.wake(None)
    assert mailbox.reads() == []


def test_a_full_window_is_not_read_until_it_has_run_down_to_half() -> None:
    mailbox = filled(1, 2, 3, 4)
    assert mailbox.reads() == []
    mailbox.remove(held(1))
    assert mailbox.reads() == []
    mailbox.remove(held(2))
    assert mailbox.reads() == [Read("normal", 4, 2)]


def test_a_lane_that_gave_less_than_asked_waits_for_a_wake_up() -> None:
    mailbox = filled(1)
    assert mailbox.reads() == []
    mailbox.wake("normal")
    assert mailbox.reads() == [Read("normal", 1, 3)]


def test_a_wake_up_during_a_read_is_not_lost() -> None:
    mailbox = Mailbox(4)
    read = mailbox.reads()[2]
    mailbox.wake("normal")
    mailbox.put(read, [])
    assert mailbox.reads() == [Read("normal", 0, 4)]


def test_a_failed_read_is_made_again_after_a_wake_up() -> None:
    mailbox = Mailbox(4)
    mailbox.reads()
    mailbox.read_failed("normal")
    assert mailbox.reads() == []
    mailbox.wake("normal")
    assert mailbox.reads() == [Read("normal", 0, 4)]


def test_a_job_is_held_once() -> None:
    mailbox = filled(1, 2)
    mailbox.put(Read("normal", 0, 4), [held(2), held(3)])
    assert len(mailbox) == 3


def test_the_head_follows_the_order_of_the_lanes() -> None:
    mailbox = Mailbox(4)
    for seq, read in enumerate(reversed(mailbox.reads()), start=1):
        mailbox.put(read, [held(seq, read.lane)])
    order = []
    while head := mailbox.head(paused=False):
        order.append(head.job.lane)
        mailbox.remove(head)
    assert order == ["direct", "high", "normal", "bulk"]


@pytest.mark.parametrize(("paused", "seq"), [(True, None), (False, 1)])
def test_a_pause_holds_all_but_direct(paused: bool, seq: int | None) -> None:  # noqa: FBT001 - a table
    head = filled(1).head(paused=paused)
    assert (head and head.seq) == seq


def test_direct_goes_on_while_paused() -> None:
    mailbox = filled(1)
    mailbox.put(Read("direct", 0, 4), [held(2, "direct")])
    head = mailbox.head(paused=True)
    assert head is not None
    assert head.seq == 2


def test_expired_jobs_are_found_wherever_they_stand() -> None:
    mailbox = Mailbox(4)
    mailbox.put(Read("normal", 0, 4), [held(1), held(2, expires_at=5)])
    mailbox.put(Read("bulk", 0, 4), [held(3, "bulk", expires_at=7)])
    assert mailbox.next_expiry(frozenset()) == 5
    assert mailbox.expired(4, frozenset()) is None
    late = mailbox.expired(5, frozenset())
    assert late is not None
    assert late.seq == 2
    assert mailbox.expired(6, frozenset({2})) is None
    assert mailbox.next_expiry(frozenset({2})) == 7
    assert Mailbox(4).next_expiry(frozenset()) is None


def test_files_in_jobs_are_bounded_by_their_weight_but_one_job_is_always_held() -> None:
    half = MediaContent(data="A" * (MAX_LANE_BYTES // 2))
    heavy = [
        held(1, content=MediaContent(data="A" * (MAX_LANE_BYTES + 4))),
        *(held(n, content=half) for n in (2, 3, 4)),
    ]
    mailbox = Mailbox(8)
    mailbox.put(Read("normal", 0, 8), heavy)
    assert len(mailbox) == 1
    assert Read("normal", 1, 7) not in mailbox.reads()
    mailbox.remove(heavy[0])
    assert mailbox.reads() == [Read("normal", 1, 8)]
    mailbox.put(Read("normal", 1, 8), heavy[1:])
    assert len(mailbox) == 2
    assert mailbox.reads() == []
    mailbox.remove(heavy[1])
    assert mailbox.reads() == [Read("normal", 3, 7)]


def test_what_is_cleared_is_dropped_with_what_is_being_read_but_for_the_job_in_flight() -> None:
    mailbox = filled(1, 2)
    mailbox.wake("normal")
    [read] = mailbox.reads()
    mailbox.clear(keep=held(1))
    mailbox.put(read, [held(3)])
    assert mailbox.head(paused=False) == held(1)
    assert len(mailbox) == 1
    assert mailbox.reads() == [Read("normal", 2, 3)]


def test_a_read_that_failed_meanwhile_does_not_spoil_the_next_one() -> None:
    mailbox = filled(1)
    mailbox.wake("normal")
    mailbox.reads()
    mailbox.clear(keep=None)
    mailbox.read_failed("normal")
    mailbox.wake("normal")
    [read] = mailbox.reads()
    mailbox.put(read, [held(3)])
    assert mailbox.head(paused=False) == held(3)
