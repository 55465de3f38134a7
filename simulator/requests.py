"""The bodies of the control API: one model an operation, unknown fields refused. Pure."""

import base64
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Wid = Annotated[str, Field(pattern=r"^[0-9]{1,20}@c\.us$", description="a phone id, as 5511990000001@c.us")]
Sender = Annotated[str, Field(pattern=r"^[0-9]{1,20}@(c\.us|lid)$", description="a person, by phone id or LID")]
Jid = Annotated[str, Field(pattern=r"^[0-9-]{1,40}@(c\.us|lid|g\.us)$", description="a person's or a group's id")]
GroupId = Annotated[str, Field(pattern=r"^[0-9-]{1,40}@g\.us$", description="a group's id")]


def _from_base64(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("expected base64 text")  # noqa: TRY004 - pydantic reports ValueErrors, not TypeErrors
    return base64.b64decode(text, validate=True)


Base64 = Annotated[bytes, BeforeValidator(_from_base64)]


class Request(BaseModel):
    """What all bodies share."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Scan(Request):
    """The phone of an account scans a QR code."""

    qr: str = Field(min_length=1, max_length=4_096)
    wid: Wid


class TypeCode(Request):
    """The phone of an account types a link code; without `wid` the account that the page asked for."""

    code: str = Field(min_length=8, max_length=9)
    wid: Wid | None = None


class Person(Request):
    """A person who is on WhatsApp."""

    wid: Wid
    name: str | None = Field(None, max_length=256)


class Inbound(Request):
    """Somebody writes to an account; `extra` are further fields of the message, such as a file's."""

    to: Wid
    sender: Sender = Field(alias="from")
    body: str | None = Field(None, max_length=1 << 20)
    type: str = Field("chat", min_length=1, max_length=32)
    group: GroupId | None = None
    id: str | None = Field(None, min_length=1, max_length=64)
    extra: dict[str, Any] = Field(default_factory=dict)


class Media(Request):
    """A file that somebody uploads, for the `extra` of an inbound message."""

    b64: Base64
    mimetype: str = Field(pattern=r"^[\w.+-]+/[\w.+-]+$", max_length=128)


class Receipt(Request):
    """Somebody's receipt for messages of an account."""

    wid: Wid
    type: Literal["delivery", "read", "played"]
    ids: list[str] = Field(min_length=1, max_length=1_000)
    sender: Jid = Field(alias="from")
    participant: Jid | None = None


class ChatState(Request):
    """Somebody types in a chat with an account."""

    wid: Wid
    chat: Jid
    state: Literal["composing", "paused", "recording"]


class Drop(Request):
    """The network drops the sockets of one account, or all of them."""

    wid: Wid | None = None
    all: bool = False


class OneAccount(Request):
    """An operation that needs the account only."""

    wid: Wid


class Ban(Request):
    """WhatsApp bans an account; `lift` ends the ban. `expire` (seconds) and `code` belong to a temporary one."""

    wid: Wid
    kind: Literal["banned", "account_locked", "temp_banned"] = "banned"
    code: int = 101
    expire: int = Field(3_600, ge=1, le=31_536_000)
    lift: bool = False


class Terms(Request):
    """WhatsApp blocks an account until new terms are accepted (`on` false)."""

    wid: Wid
    on: bool = True
    smb: bool = False


class Wedge(Request):
    """The page of an account runs a busy loop."""

    wid: Wid
    ms: int = Field(ge=1, le=600_000)


class Deaf(Request):
    """The page of an account stops hearing what others send, while everything else works."""

    wid: Wid
    on: bool = True


class StorageLoss(Request):
    """The browser evicts the page's storage; with `reload` the page then reloads."""

    wid: Wid
    reload: bool = True


class Fail(Request):
    """Fault knobs, for one account or for everybody; those not given stay as they are."""

    wid: Wid | None = None
    drop_before_accept: bool | None = None
    no_ack: bool | None = None
    nack: bool | None = None
    upload: bool | None = None
    upload_hang: bool | None = None


class SentQuery(Request):
    """Which part of the truth log to show."""

    since: int = Field(0, ge=0)
    limit: int = Field(1_000, ge=1, le=10_000)
