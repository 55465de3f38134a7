"""What commands are answered with. Pure."""

from typing import Any, Literal

from pydantic import Field

from actors.errors import WafleetError
from actors.messages.base import Message, Timestamp
from actors.messages.jobs import JobError, JobStatus, LaneName, StatusChange

Status = Literal["initializing", "ready", "disconnected", "error"]


class ErrorBody(Message):
    """A failure, as tenants see it."""

    code: str
    message: str
    retryable: bool
    details: dict[str, Any]

    @classmethod
    def of(cls, error: WafleetError) -> "ErrorBody":
        """Describe an error."""
        return cls(code=error.code, message=error.message, retryable=error.retryable, details=error.details)


class ErrorReply(Message):
    """The envelope of a failure."""

    error: ErrorBody


class SessionStatus(Message):
    """The status object: reply of start, stop, restart, logout and status, and item of ``sessions.list``."""

    tenant_id: str
    session_id: str
    status: Status
    state: str
    """The state the machine is in (DESIGN section 2 maps it to ``status``)."""
    phone_number: str | None = None
    wid: str | None = None
    reconnect_attempt: int = 0
    last_activity: Timestamp | None = None
    since: Timestamp
    reason: str | None = None
    epoch: int = 0
    node: str | None = None
    paused: bool = False


class SessionList(Message):
    """Sessions of a tenant, ordered by id."""

    sessions: tuple[SessionStatus, ...] = Field(strict=False)


class QrReply(Message):
    """The current QR or link code; both null when there is none."""

    qr: str | None = None
    code: str | None = None
    expires_at: Timestamp | None = None
    png: str | None = None
    """Base64 of a PNG of the QR."""
    terminal: str | None = None
    """The QR drawn in block characters."""


class RateLimitReply(Message):
    """The state of the rate window."""

    remaining: int
    reset_in_ms: int
    """Time until ``remaining`` grows (so, when limited, until there is room); 0 while nothing is counted."""
    is_limited: bool
    max_messages: int
    window_ms: int


class Waiting(Message):
    """Waiting jobs by lane, as JetStream counts them, less the one in flight."""

    high: int = 0
    normal: int = 0
    bulk: int = 0


class QueueReply(Message):
    """The depth of a session's queue."""

    waiting: Waiting
    active: int
    paused: bool
    scheduled: int = 0


class ScreenshotReply(Message):
    """A picture of the page."""

    png: str


class JobAccepted(Message):
    """Reply to a queued send."""

    job_id: str
    status: JobStatus
    duplicate: bool = False


class JobSent(Message):
    """Reply to a direct send."""

    job_id: str
    status: JobStatus
    message_id: str | None
    duplicate: bool = False
    """A repeat of an idempotency key: ``status`` is the first job's, whatever it came to."""


class JobReply(Message):
    """Reply of ``job.get`` and ``job.cancel``."""

    job_id: str
    session_id: str
    kind: str
    to: str
    lane: LaneName
    status: JobStatus
    message_id: str | None
    attempts: int
    error: JobError | None
    history: tuple[StatusChange, ...] = Field(strict=False)


class ContactInfo(Message):
    """What WhatsApp says of one number."""

    number: str
    exists: bool
    chat_id: str | None = None
    phone: str | None = None
    lid: str | None = None
    business: bool = False


class ContactList(Message):
    """Reply of ``contact.check``, in the order asked."""

    contacts: tuple[ContactInfo, ...] = Field(strict=False)


Reply = (
    SessionStatus | SessionList | QrReply | RateLimitReply | QueueReply | ScreenshotReply | JobAccepted | JobSent
    | JobReply | ContactList
)  # fmt: skip
