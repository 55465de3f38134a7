"""What to do with a job, given its record and what the page knows (promise 2).

Asked in this order:

- ``unrecorded``: is there a record at all? An old job without one had its outcome, and is not sent.
- ``review``: what does the record say? Finished jobs are never sent; an attempt of unknown fate is looked up first.
- ``after_lookup``: the page was asked for the id of that attempt. Ack >= 1 is sent. Ack 0 is sent again with the same
  id. Unknown means never sent, but only where the profile's content is the one of the attempt (``generation``), else
  the outcome is unconfirmed. Nothing is decided while the call of the attempt may still be alive in its page.
- ``after_refusal``: WhatsApp or wa-js refused. That proves nothing about earlier attempts: where one of them may have
  left (``Attempt.in_doubt``: it was found without an ack), the outcome is unconfirmed, else the job failed.

The functions that write a record's next version stand here too, so that history has one author. Pure.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from actors.errors import JobCancelled, JobExpired, RateLimited, SendFailed, SendUnconfirmed, WafleetError
from actors.messages.jobs import ACK_STATUSES, Attempt, Job, JobError, JobRecord, StatusChange

Outcome = Literal["sent", "failed", "unconfirmed", "expired", "cancelled"]
ACK_SENT: Final = 1
"""WhatsApp's server has the message."""
ACK_REFUSED: Final = -1
RECORDED_WITHIN: Final = timedelta(hours=12)
"""How young a job is that may have no record yet. Its record goes out with it, so seconds would do; more costs nothing
up to a day, which is the least that a record with an outcome is kept (``QueueConfig.record_ttl_s``)."""


@dataclass(frozen=True, slots=True)
class Here:
    """Where a job is being handled: what an attempt made now would be recorded with."""

    epoch: int
    generation: str
    page: int

    def made(self, attempt: Attempt) -> bool:
        """Tell whether an attempt's call may still be alive: same owner, same page."""
        return (attempt.epoch, attempt.page) == (self.epoch, self.page)


@dataclass(frozen=True, slots=True)
class Finished:
    """The job has its outcome: announce it again, delete the job, never send."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Make an attempt."""

    n: int
    in_doubt: bool = False
    """Whether the server may have the message already, from an attempt before."""


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask the page for the message of an attempt of unknown fate."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class RenewPage:
    """Nothing can be said before the page of the last attempt is gone."""


@dataclass(frozen=True, slots=True)
class Settle:
    """The job has an outcome now."""

    outcome: Outcome
    error: JobError | None = None


def job_error(error: WafleetError) -> JobError:
    """Describe why a job failed."""
    return JobError(code=error.code, message=error.message, details=error.details)


def failed(error: WafleetError) -> Settle:
    """Settle a job as failed."""
    return Settle("failed", job_error(error))


def rate_limited(retry_after_s: float) -> Settle:
    """Settle a job that would not or must not wait for the window any longer."""
    return failed(RateLimited.until(max(1, round(retry_after_s * 1000))))


def expired() -> Settle:
    """Settle a job whose time passed before an attempt."""
    return Settle("expired", job_error(JobExpired("expires_at passed before an attempt began")))


def cancelled() -> Settle:
    """Settle a job that the end of its login cancels."""
    return Settle("cancelled", job_error(JobCancelled("cancelled: this login of the session was ended")))


def unconfirmed(why: str) -> Settle:
    """Settle a job whose message may or may not have left."""
    return Settle("unconfirmed", job_error(SendUnconfirmed(f"{why}; it is never sent again", {"reason": why})))


def refuse(refusal: Settle, *, in_doubt: bool) -> Settle:
    """End an open job without a further attempt; one that may have left can't be called expired or cancelled."""
    return unconfirmed("an earlier attempt may have left") if in_doubt else refusal


def unrecorded(job: Job, now: datetime) -> Settle | None:
    """Decide what a job without a record calls for; None: it is new, the record is made by whoever comes first.

    Records outlive their jobs as long as somebody deletes what has an outcome. Where no session ran for that (stopped,
    failed, its owner died in between), the job stays in the log, and its record goes ``record_ttl_s`` after the
    outcome: the message may have been sent, or the job cancelled. Sent again it must not be.
    """
    if now - job.accepted_at < RECORDED_WITHIN:
        return None
    return unconfirmed("it had its outcome so long ago that its record has run out")


def is_inferred(record: JobRecord) -> bool:
    """Tell whether an outcome is that of ``unrecorded``: no other job is unconfirmed without an attempt."""
    return record.status == "unconfirmed" and not record.attempts


def review(record: JobRecord, refusal: Settle | None) -> Finished | LookUp | Settle | Begin:
    """Decide what a job's record calls for.

    Args:
        record: As it is stored now.
        refusal: Why no attempt may begin, if so.
    """
    if not record.is_open:
        return Finished()
    if record.attempts:
        return LookUp(record.attempts[-1])
    return refusal or Begin(1)


def after_lookup(
    record: JobRecord, ack: int | None, here: Here, *, refusal: Settle | None, max_attempts: int
) -> Settle | RenewPage | Begin:
    """Decide what the page's answer about the last attempt calls for.

    Args:
        record: Of a job with at least one attempt.
        ack: The message's ack, None if the page does not know the id.
        here: The present owner and page.
        refusal: Why no further attempt may begin, if so.
        max_attempts: How many attempts a job gets.
    """
    last = record.attempts[-1]
    known = _known_fate(ack, last, same_profile=last.generation == here.generation)
    if known:
        return known
    if here.made(last):
        return RenewPage()
    in_doubt = last.in_doubt or ack is not None
    if refusal:
        return refuse(refusal, in_doubt=in_doubt)
    if last.n < max_attempts:
        return Begin(last.n + 1, in_doubt)
    if in_doubt:
        return unconfirmed(f"not acknowledged in {last.n} attempts")
    return failed(SendFailed(f"not sent in {last.n} attempts", {"attempts": last.n}))


def _known_fate(ack: int | None, last: Attempt, *, same_profile: bool) -> Settle | None:
    """Say what a lookup proves by itself; None where a repeat may be right."""
    if ack is None and not same_profile:
        return unconfirmed("the profile is not the one of the attempt, so its message can't be looked up")
    if ack == ACK_REFUSED:
        return after_refusal(last, ack, SendFailed("WhatsApp refused the message"))
    return Settle("sent") if ack is not None and ack >= ACK_SENT else None


def after_refusal(last: Attempt, ack: int | None, error: SendFailed) -> Settle:
    """Decide what a refused attempt means, after one more lookup where it was a repeat.

    Args:
        last: The attempt.
        ack: What a lookup says after it, None if the id is unknown.
        error: The refusal.
    """
    if ack is not None and ack >= ACK_SENT:
        return Settle("sent")
    return unconfirmed(f"a repeat with the same id was refused ({error.message})") if last.in_doubt else failed(error)


def sending(record: JobRecord, attempt: Attempt, *, seq: int, now: datetime) -> JobRecord:
    """Write an attempt into a record, before its call."""
    return record.model_copy(
        update={
            "status": "sending",
            "seq": seq,
            "sent_key": attempt.full_key,
            "attempts": (*record.attempts, attempt),
            "history": (*record.history, StatusChange(status="sending", time=now)),
        }
    )


def settled(record: JobRecord, settle: Settle, *, sent_key: str | None, now: datetime) -> JobRecord:
    """Write an outcome into a record."""
    return record.model_copy(
        update={
            "status": settle.outcome,
            "sent_key": sent_key or record.sent_key,
            "error": settle.error,
            "history": (*record.history, StatusChange(status=settle.outcome, time=now)),
        }
    )


def acknowledged(record: JobRecord, ack: int, now: datetime) -> JobRecord | None:
    """Raise a sent record's status by an ack; None if that changes nothing."""
    if record.status not in ACK_STATUSES or not ACK_SENT <= ack <= len(ACK_STATUSES):
        return None
    status = ACK_STATUSES[ack - 1]
    if ACK_STATUSES.index(status) <= ACK_STATUSES.index(record.status):
        return None
    change = StatusChange(status=status, time=now)
    return record.model_copy(update={"status": status, "history": (*record.history, change)})
