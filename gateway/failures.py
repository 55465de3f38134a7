"""From an error's code back to its class, for those who read replies and records. Pure."""

from typing import Final

from actors.errors import (
    AccountRestricted,
    InvalidCommand,
    JobCancelled,
    JobExpired,
    MediaRejected,
    QueueFull,
    RateLimited,
    RecipientNotFound,
    ReconnectExhausted,
    SendFailed,
    SendUnconfirmed,
    SessionNotReady,
    Unavailable,
    UnknownJob,
    UnknownSession,
    Unsupported,
    WafleetError,
)
from actors.messages.jobs import JobError, JobStatus
from actors.messages.replies import ErrorBody

_CLASSES: Final[dict[str, type[WafleetError]]] = {
    error.code: error
    for error in (
        AccountRestricted, InvalidCommand, JobCancelled, JobExpired, MediaRejected, QueueFull, RateLimited,
        RecipientNotFound, ReconnectExhausted, SendFailed, SendUnconfirmed, SessionNotReady, Unavailable, UnknownJob,
        UnknownSession, Unsupported,
    )
}  # fmt: skip


class UnknownFailure(WafleetError):
    """An error code that this version does not know; ``details["code"]`` holds it."""

    code = "unknown"


def error_of(body: ErrorBody) -> WafleetError:
    """Build the exception for a failure that came as a value."""
    error = _CLASSES.get(body.code)
    if error is None:
        return UnknownFailure(body.message, {**body.details, "code": body.code, "retryable": body.retryable})
    return error(body.message, body.details)


def error_of_job(error: JobError | None, job_id: str, status: JobStatus) -> WafleetError:
    """Build the exception for a job that was not sent."""
    if error is None:
        cause = SendUnconfirmed if status == "unconfirmed" else SendFailed
        return cause(f"job {job_id} ended as {status}", {"job_id": job_id, "status": status})
    return error_of(
        ErrorBody(
            code=error.code,
            message=error.message,
            retryable=False,
            details={**error.details, "job_id": job_id, "status": status},
        )
    )
