"""Events: the envelope of DESIGN section 3 and the data of each event, discriminated by the event's name. Pure.

An event's ``id`` is stable across retries, so that a stream or a consumer can drop the repeat. ``seq`` grows by one per
session and only the owner's events carry it. No secret is ever in an event.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from actors.errors import InvalidCommand
from actors.messages.base import Message, Timestamp
from actors.messages.jobs import JobError
from actors.messages.replies import Status

ACK_NAMES: Final[dict[int, str]] = {-1: "ERROR", 0: "PENDING", 1: "SERVER", 2: "DEVICE", 3: "READ", 4: "PLAYED"}


class SessionData(Message):
    """Data of every ``session.*`` event that tells of a change of state."""

    status: Status
    state: str
    previous_state: str | None = None
    reason: str | None = None
    phone_number: str | None = None
    wid: str | None = None
    reconnect_attempt: int = 0
    retry_in_ms: int | None = None
    """With ``session.reconnecting``: time until the attempt."""


class QrData(Message):
    """A QR to be scanned. Every refresh is an event of its own."""

    qr: str
    sequence: int
    """1 for the first QR of this start."""
    expires_at: Timestamp


class CodeData(Message):
    """A link code to be typed into the phone."""

    code: str
    phone_number: str
    expires_at: Timestamp


class JobData(Message):
    """Data of ``job.*`` events and of a message's outcome."""

    job_id: str
    idempotency_key: str | None = None
    to: str
    chat_id: str | None = None
    phone: str | None = None
    lid: str | None = None
    message_id: str | None = None
    attempt: int = 0
    inbox_seq: int | None = None
    """Sequence in ``WA_INBOX`` of the command that made it, if it came that way."""
    error: JobError | None = None


class AckData(Message):
    """An acknowledgement of a message we sent."""

    message_id: str
    chat_id: str
    phone: str | None = None
    lid: str | None = None
    job_id: str | None = None
    ack: int
    ack_name: str


class Envelope(Message):
    """What every event carries."""

    id: str
    tenant_id: str
    session_id: str
    time: Timestamp
    seq: int | None = None
    epoch: int | None = None


SessionEventName = Literal[
    "session.starting", "session.authenticated", "session.ready", "session.disconnected", "session.reconnecting",
    "session.logged_out", "session.action_required", "session.restricted", "session.failed", "session.stopped",
]  # fmt: skip
JobEventName = Literal[
    "job.accepted", "job.rejected", "job.sending", "message.sent", "message.failed", "message.unconfirmed"
]


class SessionEvent(Envelope):
    """A session changed its state."""

    event: SessionEventName
    data: SessionData


class QrEvent(Envelope):
    """A new QR is shown."""

    event: Literal["session.qr"] = "session.qr"
    data: QrData


class CodeEvent(Envelope):
    """A link code was produced."""

    event: Literal["session.code"] = "session.code"
    data: CodeData


class JobEvent(Envelope):
    """A job moved on, or its message has an outcome."""

    event: JobEventName
    data: JobData


class AckEvent(Envelope):
    """A message was acknowledged."""

    event: Literal["message.ack"] = "message.ack"
    data: AckData


Event = Annotated[SessionEvent | QrEvent | CodeEvent | JobEvent | AckEvent, Field(discriminator="event")]
EventData = SessionData | QrData | CodeData | JobData | AckData
_ADAPTER: Final[TypeAdapter[Event]] = TypeAdapter(Event)


def parse_event(body: bytes) -> Event:
    """Validate an event from the wire; fields that a newer version added are ignored.

    Raises:
        InvalidCommand: It is no event of this version of wafleet.
    """
    try:
        return _ADAPTER.validate_json(body, extra="ignore")
    except ValidationError as exc:
        raise InvalidCommand(f"not an event this version knows: {body[:200]!r}", {"field": "event"}) from exc


def build_event(**fields: Any) -> Event:
    """Build the event whose class fits ``event`` and ``data``."""
    return _ADAPTER.validate_python(fields)
