"""Facts: what a page tells its session, as past-tense values. The browser adapter makes them, the core handles them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QrShown:
    """WhatsApp shows a QR; every refresh is a fact of its own."""

    code: str
    sequence: int
    ttl_s: float


@dataclass(frozen=True, slots=True)
class QrIdle:
    """All QRs of this round were shown and none was scanned; a refresh starts a new round."""


@dataclass(frozen=True, slots=True)
class CodeShown:
    """WhatsApp made a link code for a phone number."""

    code: str
    phone_number: str
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Linked:
    """The page holds a login: just scanned, or restored from the profile."""

    wid: str | None
    lid: str | None


@dataclass(frozen=True, slots=True)
class Synced:
    """The readiness rule holds: registered, socket connected, synced, stream in MAIN, listeners confirmed."""

    wid: str
    lid: str | None


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The socket to WhatsApp is down; the page tries to get it back by itself."""

    reason: str


@dataclass(frozen=True, slots=True)
class SendStranded:
    """The page wanted a new socket while a send was in flight and got none: it can't send or hear any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unlinked:
    """The login is gone: logged out on the phone, or the device was removed."""

    reason: str


@dataclass(frozen=True, slots=True)
class AccountBlocked:
    """WhatsApp banned or blocked the account."""

    reason: str


@dataclass(frozen=True, slots=True)
class ActionNeeded:
    """A person must act on the page or phone (terms of service, passkey)."""

    reason: str


@dataclass(frozen=True, slots=True)
class PageEnded:
    """The renderer crashed or the page was closed; the browser may live on."""

    reason: str


@dataclass(frozen=True, slots=True)
class BrowserEnded:
    """The browser or Playwright's driver is gone."""

    reason: str


@dataclass(frozen=True, slots=True)
class AckChanged:
    """WhatsApp acknowledged messages that this account sent."""

    message_ids: tuple[str, ...]
    """Full keys."""
    chat_id: str
    ack: int


Fact = (
    QrShown | QrIdle | CodeShown | Linked | Synced | ConnectionLost | SendStranded | Unlinked | AccountBlocked
    | ActionNeeded | PageEnded | BrowserEnded | AckChanged
)  # fmt: skip
