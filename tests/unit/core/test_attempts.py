from datetime import timedelta

import pytest
from pydantic import ValidationError

from actors.config import QueueConfig
from actors.core import attempts
from actors.core.attempts import Begin, Finished, Here, LookUp, RenewPage, Settle
from actors.errors import SendFailed
from actors.messages.jobs import ACK_STATUSES, JobStatus
from tests.unit.core.jobs import NOW, attempt, job, record

HERE = Here(epoch=2, generation="g1", page=3)
REFUSAL = attempts.expired()


def code(settle: object) -> str:
    assert isinstance(settle, Settle)
    assert settle.error is not None
    return settle.error.code


# --- no record ----------------------------------------------------------------------------------------------------


def test_a_new_job_needs_no_record_and_an_old_one_without_is_not_sent() -> None:
    at = NOW + attempts.RECORDED_WITHIN
    assert attempts.unrecorded(job(1), at - timedelta(seconds=1)) is None
    old = attempts.unrecorded(job(1), at)
    assert old is not None
    assert (old.outcome, code(old)) == ("unconfirmed", "send_unconfirmed")


def test_only_a_job_without_an_attempt_is_unconfirmed_by_inference() -> None:
    assert attempts.is_inferred(record(status="unconfirmed"))
    assert not attempts.is_inferred(record(attempt(), status="unconfirmed"))
    assert not attempts.is_inferred(record(status="cancelled"))


def test_no_record_goes_before_its_absence_tells_something() -> None:
    with pytest.raises(ValidationError):
        QueueConfig(record_ttl_s=2 * attempts.RECORDED_WITHIN.total_seconds() - 1)


# --- review -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["sent", "failed", "unconfirmed", "expired", "cancelled", "delivered", "read"])
def test_a_finished_job_is_never_sent(status: JobStatus) -> None:
    assert attempts.review(record(attempt(), status=status), None) == Finished()


def test_an_attempt_of_unknown_fate_is_looked_up_first_even_if_its_time_is_over() -> None:
    last = attempt(2)
    assert attempts.review(record(attempt(1), last), None) == LookUp(last)
    assert attempts.review(record(last), REFUSAL) == LookUp(last)


def test_a_fresh_job_is_attempted_unless_something_is_against_it() -> None:
    assert attempts.review(record(), None) == Begin(1)
    assert attempts.review(record(), REFUSAL) == REFUSAL


# --- after a lookup -----------------------------------------------------------------------------------------------


def after(ack: int | None, *, last: int = 1, refusal: Settle | None = None, **where: object) -> object:
    made = attempt(last, **where)  # type: ignore[arg-type]
    return attempts.after_lookup(record(made), ack, HERE, refusal=refusal, max_attempts=5)


@pytest.mark.parametrize("ack", [1, 2, 3, 4])
def test_a_message_the_server_has_is_sent(ack: int) -> None:
    assert after(ack, generation="other", refusal=REFUSAL) == Settle("sent")


def test_a_message_the_server_refused_failed() -> None:
    assert code(after(-1)) == "send_failed"


def test_an_unknown_id_proves_never_sent_only_on_the_same_profile() -> None:
    assert after(None) == Begin(2)
    assert after(None, generation="other") == attempts.unconfirmed(
        "the profile is not the one of the attempt, so its message can't be looked up"
    )


def test_a_message_without_ack_is_sent_again_also_on_a_restored_profile() -> None:
    assert after(0) == Begin(2, in_doubt=True)
    assert after(0, generation="other") == Begin(2, in_doubt=True)
    assert after(None, in_doubt=True) == Begin(2, in_doubt=True), "a doubt stays with the job"


@pytest.mark.parametrize("ack", [None, 0])
@pytest.mark.parametrize("refusal", [None, REFUSAL])
def test_nothing_is_decided_while_the_call_may_be_alive(ack: int | None, refusal: Settle | None) -> None:
    assert after(ack, epoch=2, page=3, refusal=refusal) == RenewPage()
    assert after(ack, epoch=2, page=2, refusal=refusal) != RenewPage()
    assert after(ack, epoch=1, page=3, refusal=refusal) != RenewPage()


def test_a_job_that_may_have_left_is_never_called_expired_and_one_that_did_not_leave_is() -> None:
    for possible in (after(0, refusal=REFUSAL), after(None, in_doubt=True, refusal=REFUSAL)):
        assert code(possible) == "send_unconfirmed"
    # Found by `make chaos` (seed 1): an expiry during a reconnect left a doubt without cause.
    assert after(None, refusal=REFUSAL) == REFUSAL


def test_attempts_end_failed_where_nothing_left_and_unconfirmed_where_something_may_have() -> None:
    assert after(None, last=4) == Begin(5)
    assert code(after(None, last=5)) == "send_failed"
    assert code(after(0, last=5)) == "send_unconfirmed"
    assert code(after(None, last=5, in_doubt=True)) == "send_unconfirmed"


# --- refusals -----------------------------------------------------------------------------------------------------


def test_a_refusal_proves_nothing_about_an_earlier_attempt_that_may_have_left() -> None:
    error, doubtful = SendFailed("no", {"error": "X"}), attempt(2, in_doubt=True)
    assert attempts.after_refusal(attempt(1), None, error) == attempts.failed(error)
    assert attempts.after_refusal(attempt(2), None, error) == attempts.failed(error), "attempt 1 did not leave"
    assert code(attempts.after_refusal(doubtful, None, error)) == "send_unconfirmed"
    assert code(attempts.after_refusal(doubtful, 0, error)) == "send_unconfirmed"
    assert attempts.after_refusal(doubtful, 1, error) == Settle("sent")


def test_a_refusal_that_a_new_owner_finds_is_the_same_as_one_that_was_answered() -> None:
    assert code(after(-1, last=2)) == "send_failed"
    assert code(after(-1, last=2, in_doubt=True)) == "send_unconfirmed"


def test_a_refusal_ends_a_fresh_job_and_leaves_the_fate_of_one_in_doubt_open() -> None:
    assert attempts.refuse(attempts.cancelled(), in_doubt=False).outcome == "cancelled"
    assert attempts.refuse(attempts.cancelled(), in_doubt=True).outcome == "unconfirmed"


def test_a_rate_limit_says_when_to_try_again() -> None:
    settle = attempts.rate_limited(44.2)
    assert settle.error is not None
    assert settle.error.message == "Rate limit exceeded. Try again in 45 seconds"
    assert settle.error.details == {"retry_after_ms": 44_200}


# --- records ------------------------------------------------------------------------------------------------------


def test_an_attempt_and_its_outcome_are_written_down() -> None:
    later = NOW + timedelta(seconds=1)
    sending = attempts.sending(record(), attempt(), seq=7, now=later)
    assert (sending.status, sending.seq, sending.sent_key) == ("sending", 7, attempt().full_key)
    again = attempts.sending(sending, attempt(2), seq=7, now=later)
    assert [made.n for made in again.attempts] == [1, 2]
    sent = attempts.settled(again, Settle("sent"), sent_key=None, now=later)
    assert (sent.status, sent.sent_key, sent.error) == ("sent", attempt().full_key, None)
    assert [change.status for change in sent.history] == ["accepted", "sending", "sending", "sent"]
    assert attempts.settled(again, Settle("sent"), sent_key="true_x@lid_Y", now=later).sent_key == "true_x@lid_Y"


@pytest.mark.parametrize(
    ("status", "ack", "raised"),
    [
        ("sent", 1, None), ("sent", 2, "delivered"), ("sent", 4, "played"), ("read", 2, None), ("read", 3, None),
        ("sent", -1, None), ("sent", 5, None), ("sent", 0, None), ("failed", 2, None), ("sending", 2, None),
    ],
)  # fmt: skip
def test_acks_only_raise_a_sent_record(status: JobStatus, ack: int, raised: JobStatus | None) -> None:
    changed = attempts.acknowledged(record(attempt(), status=status), ack, NOW)
    assert (changed and changed.status) == raised
    assert changed is None or changed.history[-1].status == raised
    assert len(ACK_STATUSES) == 4
