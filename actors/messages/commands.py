"""Every command a tenant may send, as a frozen model, and the table that finds it by name.

A command's name is the tail of its subject and never part of its body. Bodies are validated straight from bytes by
TypeAdapters built once at import. Patterns are Rust's (pydantic-core): ``$`` is the very end of the text. Pure.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from actors.errors import InvalidCommand, Unsupported
from actors.messages.base import Message, Timestamp
from actors.messages.ids import ID_PATTERN, JobId, PhoneNumber, Recipient

MAX_BODY_BYTES: Final = 1_000_000
MAX_TEXT_CHARS: Final = 65_536
_MAX_SHOWN_ERRORS: Final = 8

Lane = Literal["high", "normal", "bulk"]
"""A lane a tenant may choose; ``direct`` is internal."""
MediaKind = Literal["auto", "image", "video", "audio", "voice", "document", "sticker"]


class RateLimit(Message):
    """A sliding window: no span of ``window_ms`` holds more than ``max_messages`` sends."""

    max_messages: int = Field(default=20, ge=1, le=1_000)
    window_ms: int = Field(default=60_000, ge=1_000, le=3_600_000)


class Command(Message):
    """Base of all commands."""

    name: ClassVar[str]


class SessionStart(Command):
    """Start a session, or return the status of a running one."""

    name: ClassVar[str] = "session.start"
    phone_number: PhoneNumber | None = None
    """The number that will link; needed for a link code."""
    pairing: Literal["qr", "code"] = "qr"
    rate_limit: RateLimit = RateLimit()
    proxy: Annotated[str, Field(max_length=500, pattern=r"^(https?|socks5)://[^\s]+$")] | None = None
    """``http://``, ``https://`` or ``socks5://`` address the browser goes through."""

    @model_validator(mode="after")
    def _code_needs_a_number(self) -> Self:
        if self.pairing == "code" and self.phone_number is None:
            msg = 'pairing "code" needs phone_number'
            raise ValueError(msg)
        return self


class SessionStop(Command):
    """Stop a session; its login and its queued jobs stay."""

    name: ClassVar[str] = "session.stop"


class SessionRestart(Command):
    """Close the browser and start it again."""

    name: ClassVar[str] = "session.restart"


class SessionLogout(Command):
    """Unlink the device, cancel the queued jobs and put the profile into quarantine."""

    name: ClassVar[str] = "session.logout"


class SessionStatusQuery(Command):
    """Ask for the status object."""

    name: ClassVar[str] = "session.status"


class SessionQr(Command):
    """Ask for the current QR or link code."""

    name: ClassVar[str] = "session.qr"


class RateLimitQuery(Command):
    """Ask for the remaining sends, optionally under other limits."""

    name: ClassVar[str] = "session.rate_limit"
    max_messages: int | None = Field(default=None, ge=1, le=1_000)
    window_ms: int | None = Field(default=None, ge=1_000, le=3_600_000)


class QueueQuery(Command):
    """Ask for the depth of the queue."""

    name: ClassVar[str] = "session.queue"


class SessionPause(Command):
    """Hold all queued jobs; direct sends go on."""

    name: ClassVar[str] = "session.pause"


class SessionResume(Command):
    """End a pause."""

    name: ClassVar[str] = "session.resume"


class Screenshot(Command):
    """Ask for a picture of the page."""

    name: ClassVar[str] = "session.screenshot"


class SendCommand(Command):
    """What all sends have in common."""

    to: Recipient
    mode: Literal["queue", "direct"] = "queue"
    on_limit: Literal["wait", "reject"] = "wait"
    lane: Lane | None = None
    """Null means ``normal``; not allowed in direct mode."""
    send_at: Timestamp | None = None
    expires_at: Timestamp | None = None
    reply_to: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Id of the message this one quotes."""
    idempotency_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None

    @model_validator(mode="after")
    def _direct_bypasses_the_queue(self) -> Self:
        if self.mode == "direct" and (self.lane is not None or self.send_at is not None):
            msg = "direct mode bypasses the queue: leave lane and send_at out"
            raise ValueError(msg)
        return self


class SendText(SendCommand):
    """Send a text."""

    name: ClassVar[str] = "send.text"
    message: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)


class SendMedia(SendCommand):
    """Send a file from a URL, from base64 in the body, or from the tenant's object store."""

    name: ClassVar[str] = "send.media"
    url: Annotated[str, Field(max_length=2_048, pattern=r"^https?://[^\s]+$")] | None = None
    data: Annotated[str, Field(min_length=4)] | None = None
    """Base64 of the file."""
    object: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    caption: Annotated[str, Field(max_length=MAX_TEXT_CHARS)] | None = None
    filename: Annotated[str, Field(min_length=1, max_length=240, pattern=r"^[^/\\\x00-\x1f]+$")] | None = None
    mimetype: Annotated[str, Field(max_length=100, pattern=r"^[\w.+-]+/[\w.+-]+$")] | None = None
    as_: MediaKind = Field(default="auto", alias="as")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.url, self.data, self.object)) != 1:
            msg = "give exactly one of url, data and object"
            raise ValueError(msg)
        if self.filename in {".", ".."}:
            msg = "filename must be a plain name"
            raise ValueError(msg)
        return self


class SendLocation(SendCommand):
    """Send a location."""

    name: ClassVar[str] = "send.location"
    latitude: float = Field(ge=-90, le=90, allow_inf_nan=False)
    longitude: float = Field(ge=-180, le=180, allow_inf_nan=False)
    description: Annotated[str, Field(max_length=1_000)] | None = None


class JobGet(Command):
    """Ask for a job's record."""

    name: ClassVar[str] = "job.get"
    job_id: JobId


class JobCancel(Command):
    """Cancel a job unless an attempt has begun."""

    name: ClassVar[str] = "job.cancel"
    job_id: JobId


class ContactCheck(Command):
    """Ask WhatsApp which numbers exist."""

    name: ClassVar[str] = "contact.check"
    numbers: tuple[PhoneNumber, ...] = Field(min_length=1, max_length=50, strict=False)


class SessionsList(Command):
    """Ask for the status of the tenant's sessions: all of them, ordered by id, or a part."""

    name: ClassVar[str] = "sessions.list"
    after: Annotated[str, Field(pattern=ID_PATTERN)] | None = None
    """Those whose id comes behind this one, byte by byte."""
    limit: int | None = Field(default=None, ge=1, le=1_000)
    """At most so many; a reply with fewer is the last part."""


SESSION_COMMANDS: Final[tuple[type[Command], ...]] = (
    SessionStart, SessionStop, SessionRestart, SessionLogout, SessionStatusQuery, SessionQr, RateLimitQuery,
    QueueQuery, SessionPause, SessionResume, Screenshot, SendText, SendMedia, SendLocation, JobGet, JobCancel,
    ContactCheck,
)  # fmt: skip
TENANT_COMMANDS: Final[tuple[type[Command], ...]] = (SessionsList,)
COMMANDS: Final[Mapping[str, type[Command]]] = {c.name: c for c in (*SESSION_COMMANDS, *TENANT_COMMANDS)}
PLANNED: Final = frozenset({
    "send.contact", "send.poll", "send.reaction", "message.edit", "message.delete", "message.mark_read",
    "message.download", "chat.list", "chat.messages", "chat.typing", "group.list", "group.create", "group.info",
    "group.add", "group.remove", "group.promote", "group.demote", "group.invite", "group.leave", "group.update",
    "broadcast.create", "broadcast.get", "broadcast.pause", "broadcast.resume", "broadcast.cancel", "webhook.put",
    "webhook.list", "webhook.delete", "webhook.redrive",
})  # fmt: skip
"""Commands of the contract that answer ``unsupported`` until they are built."""
_ADAPTERS: Final[Mapping[str, TypeAdapter[Command]]] = {name: TypeAdapter(cls) for name, cls in COMMANDS.items()}


def parse_command(name: str, body: bytes) -> Command:
    """Validate a command body.

    Args:
        name: The command, e.g. ``send.text``.
        body: JSON of the arguments; empty means ``{}``.

    Raises:
        Unsupported: The command belongs to the contract but is not built yet.
        InvalidCommand: The name is unknown, the body too long, no JSON, or does not fit the model.
    """
    adapter = _ADAPTERS.get(name)
    if adapter is None:
        if name in PLANNED:
            raise Unsupported(f"{name} is not built yet", {"command": name})
        raise InvalidCommand(
            f"unknown command {name[:80]!r}; see `wafleet schema` for all commands", {"command": name[:80]}
        )
    if len(body) > MAX_BODY_BYTES:
        raise InvalidCommand(
            f"the body has {len(body)} bytes, at most {MAX_BODY_BYTES} are allowed; put large media at a url",
            {"max_bytes": MAX_BODY_BYTES, "bytes": len(body)},
        )
    try:
        return adapter.validate_json(body or b"{}")
    except ValidationError as exc:
        raise _invalid(name, exc) from exc


def _invalid(name: str, exc: ValidationError) -> InvalidCommand:
    """Render pydantic's findings as key, expected and got, without echoing whole bodies."""
    found: list[dict[str, Any]] = []
    errors = exc.errors(include_url=False, include_context=False)
    for error in errors[:_MAX_SHOWN_ERRORS]:
        field = ".".join(str(part) for part in error["loc"]) or "body"
        problem = error["msg"].removeprefix("Value error, ")[:200]
        found.append({"field": field[:100], "problem": problem, "got": repr(error["input"])[:80]})
    first = found[0]
    # Our own rules say what they got; one over several fields would show the whole body.
    got = "" if errors[0]["type"] == "value_error" else f" (got {first['got']})"
    return InvalidCommand(
        f"{name}: {first['field']}: {first['problem']}{got}", {"field": first["field"], "errors": found}
    )
