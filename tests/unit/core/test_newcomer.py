"""Another number is linked: the jobs queued for the former one end before any is handed out."""

from actors.core import signals
from actors.core.facts import Linked, QrShown, Synced
from actors.core.lifecycle import State
from actors.core.signals import Fate
from tests.unit.core.jobs import held
from tests.unit.core.talk import Talk

FORMER = "6281111111111@c.us"
OTHER = "6282222222222:3@c.us"
RELINKED = (signals.Start(wid=FORMER), QrShown("2@", 1, 20.0), Linked(OTHER, None), Synced(OTHER, None))


def test_the_same_number_on_another_device_takes_its_jobs_over() -> None:
    talk = Talk(signals.Start(wid="6281111111111:1@c.us"), Linked("6281111111111:2@c.us", None))
    assert talk.wants(signals.CancelJobs) == []
    talk.say(Synced("6281111111111:2@c.us", None))
    talk.give(held(1))
    assert talk.wants(signals.HandleJob)


def test_the_first_number_ever_takes_the_jobs_that_wait() -> None:
    talk = Talk(signals.Start(), Linked(OTHER, None), Synced(OTHER, None))
    assert talk.wants(signals.CancelJobs) == []
    assert talk.core.phone_number == "+6282222222222"


def test_another_number_cancels_the_queue_once_and_sends_nothing_before_that() -> None:
    talk = Talk(*RELINKED)
    assert talk.state is State.READY
    assert talk.wants(signals.CancelJobs) == [signals.CancelJobs()]
    assert talk.say(signals.Woken("normal")) == []
    assert talk.core.wid == FORMER
    effects = talk.say(signals.JobsCancelled())
    assert signals.PutStatus() in effects
    assert (talk.core.wid, talk.core.phone_number) == (OTHER, "+6282222222222")
    talk.give(held(7))
    assert talk.wants(signals.HandleJob) == [signals.HandleJob(held(7), ready=True, may_send=True)]


def test_a_third_number_waits_for_the_same_end() -> None:
    talk = Talk(*RELINKED[:-1])
    third = "6283333333333@c.us"
    talk.say(QrShown("2@", 2, 20.0), Linked(third, None), Synced(third, None))
    assert talk.wants(signals.CancelJobs) == []
    talk.say(signals.JobsCancelled())
    assert talk.core.wid == third


def test_a_job_that_ends_while_the_queue_is_cancelled_is_missed_by_nobody() -> None:
    """An expired job may be in hand while another number is linked."""
    talk = Talk(signals.Start(wid=FORMER))
    talk.give(held(1, expires_at=talk.now), held(2))
    [order] = talk.wants(signals.HandleJob)
    assert isinstance(order, signals.HandleJob)
    talk.say(Linked(OTHER, None), signals.JobsCancelled())
    assert talk.wants(signals.HandleJob) == []
    talk.say(signals.Handled(order.held, Fate.FINISHED, called=False))
    assert len(talk.core.dispatcher.mailbox) == 0


def test_a_cancelled_queue_without_a_newcomer_changes_nothing() -> None:
    talk = Talk(signals.Start(wid=FORMER), Linked(FORMER, None))
    assert talk.say(signals.JobsCancelled()) == []


def test_a_logout_forgets_the_number() -> None:
    talk = Talk(signals.Start(wid=FORMER), Linked(FORMER, None), Synced(FORMER, None))
    talk.say(signals.Logout())
    assert talk.core.wid is None
