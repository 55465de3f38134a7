"""Jobs: what is stored in ``WA_JOBS``, and the record that says what became of it (DESIGN 7 "Job record"). Pure."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from actors.messages.base import Message, Timestamp
from actors.messages.ids import BareMessageId, JobId, SessionId, SessionKey, TenantId, address_of

LaneName = Literal["direct", "high", "normal", "bulk"]
LANES: Final[tuple[LaneName, ...]] = ("direct", "high", "normal", "bulk")
"""All lanes in the order they are served."""

JobStatus = Literal[
    "scheduled", "accepted", "sending", "sent", "failed", "unconfirmed", "expired", "cancelled", "delivered", "read",
    "played",
]  # fmt: skip
OPEN_STATUSES: Final[frozenset[JobStatus]] = frozenset({"scheduled", "accepted", "sending"})
"""Statuses of jobs that still belong in the job log; every other status is final for the log."""
ACK_STATUSES: Final[tuple[JobStatus, ...]] = ("sent", "delivered", "read", "played")
"""Statuses in the order in which acks raise them."""


class TextContent(Message):
    """A text message."""

    kind: Literal["text"] = "text"
    message: str
    reply_to: str | None = None


class MediaContent(Message):
    """A file; exactly one of ``url``, ``data`` and ``object`` is set."""

    kind: Literal["media"] = "media"
    url: str | None = None
    data: str | None = None
    object: str | None = None
    caption: str | None = None
    filename: str | None = None
    mimetype: str | None = None
    media_kind: Literal["auto", "image", "video", "audio", "voice", "document", "sticker"] = "auto"
    reply_to: str | None = None


class LocationContent(Message):
    """A location."""

    kind: Literal["location"] = "location"
    latitude: float
    longitude: float
    description: str | None = None
    reply_to: str | None = None


Content = Annotated[TextContent | MediaContent | LocationContent, Field(discriminator="kind")]


class JobError(Message):
    """Why a job failed."""

    code: str
    message: str
    details: dict[str, Any] = Field(default_factory=dict)


class Job(Message):
    """An accepted job as it lies in the job log. It never changes; what changes is its record."""

    job_id: JobId
    request_id: str
    """The gateway request that made it: tells a repeat of a key from the owner's own create."""
    tenant_id: TenantId
    session_id: SessionId
    lane: LaneName
    to: str
    """The recipient as the tenant wrote it."""
    content: Content
    message_id: BareMessageId
    """The bare WhatsApp id, fixed for all attempts."""
    body_hash: str
    """SHA-256 of the command's body without its key: a repeated key with another body is refused."""
    idempotency_key: str | None = None
    on_limit: Literal["wait", "reject"] = "wait"
    inbox_seq: int | None = None
    """Sequence in ``WA_INBOX`` of the command that made it, if it came that way."""
    accepted_at: Timestamp
    expires_at: Timestamp

    @property
    def key(self) -> SessionKey:
        """The session the job belongs to."""
        return SessionKey(self.tenant_id, self.session_id)

    @property
    def address(self) -> str:
        """The recipient as a WhatsApp address."""
        return address_of(self.to)


class Attempt(Message):
    """One call into the page. ``full_key`` and ``chat_id`` are what a lookup after a crash needs."""

    n: int
    """1-based."""
    epoch: int
    """Fencing number of the owner that made it."""
    generation: str
    """Id of the profile's content; a lookup that finds nothing proves "never sent" only on the same one."""
    full_key: str
    """The whole message key given to wa-js, e.g. ``true_628…@c.us_3EB0…``."""
    chat_id: str
    page: int = 0
    """Page generation inside this owner: a timed-out call may still send until this page is gone."""
    in_doubt: bool = False
    """Whether WhatsApp's server may have had the message before this attempt: then a refusal of it proves nothing."""


class StatusChange(Message):
    """One step of a job's history."""

    status: JobStatus
    time: Timestamp


class JobRecord(Message):
    """What became of a job; every change is compare-and-set. Key ``<tenant>.<session>.<job_id>``.

    It is kept as long as the job may wait, and 3 days after the outcome.
    """

    job_id: JobId
    request_id: str
    tenant_id: TenantId
    session_id: SessionId
    kind: Literal["text", "media", "location"]
    to: str
    lane: LaneName
    seq: int | None = None
    """Sequence in ``WA_JOBS``, once the owner has seen it."""
    message_id: BareMessageId
    body_hash: str
    idempotency_key: str | None = None
    inbox_seq: int | None = None
    expires_at: Timestamp
    status: JobStatus
    sent_key: str | None = None
    """The full message key, once an attempt was made."""
    attempts: tuple[Attempt, ...] = Field(default=(), strict=False)
    error: JobError | None = None
    history: tuple[StatusChange, ...] = Field(strict=False)

    @property
    def is_open(self) -> bool:
        """Whether the job still waits for its outcome."""
        return self.status in OPEN_STATUSES

    @property
    def key(self) -> SessionKey:
        """The session the job belongs to."""
        return SessionKey(self.tenant_id, self.session_id)

    def is_of(self, job: Job) -> bool:
        """Tell whether a job of the log is this one; the log may hold another body under the same id."""
        return (self.job_id, self.body_hash) == (job.job_id, job.body_hash)


def new_record(job: Job, *, seq: int | None = None) -> JobRecord:
    """Build the first record of a job: accepted, no attempt."""
    return JobRecord(
        job_id=job.job_id,
        request_id=job.request_id,
        tenant_id=job.tenant_id,
        session_id=job.session_id,
        kind=job.content.kind,
        to=job.to,
        lane=job.lane,
        seq=seq,
        message_id=job.message_id,
        body_hash=job.body_hash,
        idempotency_key=job.idempotency_key,
        inbox_seq=job.inbox_seq,
        expires_at=job.expires_at,
        status="accepted",
        history=(StatusChange(status="accepted", time=job.accepted_at),),
    )
