"""The page: one browser with WhatsApp Web in it, as its session sees it. Implemented by ``actors.browser``."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from actors.core.facts import Fact
from actors.messages.ids import SessionKey
from actors.messages.jobs import Content
from actors.messages.records import LeaseRecord
from actors.messages.replies import ContactInfo


@dataclass(frozen=True, slots=True)
class Chat:
    """A recipient as the page knows it."""

    chat_id: str
    """``…@c.us``, ``…@lid`` (LID accounts) or ``…@g.us``."""
    phone: str | None
    """``…@c.us`` where known."""
    lid: str | None
    own_id: str | None
    """Own id that ends a group message's key; None in other chats."""

    def full_key(self, bare_id: str) -> str:
        """Build the key wa-js wants as ``messageId``."""
        key = f"true_{self.chat_id}_{bare_id}"
        return f"{key}_{self.own_id}" if self.own_id else key


@dataclass(frozen=True, slots=True)
class Prepared:
    """Content that is ready to go: media fetched, checked and lying in a private file."""

    content: Content
    path: Path | None = None
    mimetype: str | None = None
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What the page answered to a send."""

    message_id: str
    """Full key."""
    ack: int
    """-1 refused, 0 not acknowledged yet, >= 1 WhatsApp's server has it."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A message the page knows."""

    message_id: str
    ack: int


@dataclass(frozen=True, slots=True)
class Vitals:
    """Answer to a probe."""

    ready: bool
    """The readiness rule holds."""
    socket_state: str
    stream_mode: str
    last_traffic_ms: int | None
    """Milliseconds since the page last received anything, None if never."""
    server_answered: bool | None = None
    """Whether WhatsApp's server answered a question; None: it was not asked, or that cannot be told."""
    unheard: int = 0
    """Frames that came in and that nothing in the page took in since."""
    unheard_for_ms: int = 0
    """Milliseconds since the first of them."""


class Page(Protocol):
    """One running browser with WhatsApp Web in it. Ends with ``close`` or ``kill``; then it is never used again.

    Calls raise ``PageUnresponsive`` past their deadline, ``PageCrashed`` or ``BrowserGone`` when it ended under them.
    A send that raises one of these three is of unknown fate.
    """

    @property
    def page_number(self) -> int:
        """Count of page loads: a call of an older number can no longer send."""
        ...

    @property
    def processes(self) -> Sequence[tuple[int, float]]:
        """Pids and start times of the browser's process tree."""
        ...

    async def reload(self) -> None:
        """Replace the page by a fresh one in the same browser (after a renderer crash, or to end calls in flight)."""
        ...

    async def refresh_qr(self) -> None:
        """Ask for a new round of QRs."""
        ...

    async def request_code(self, phone_number: str) -> None:
        """Ask for a link code; it arrives as ``CodeShown``."""
        ...

    async def resolve(self, address: str) -> Chat:
        """Find or open the chat of an address. Raises ``RecipientNotFound``, or ``PageRefused`` for another error."""
        ...

    async def prepare(self, content: Content) -> Prepared:
        """Fetch and check media; text and locations pass as they are. Raises ``MediaRejected``."""
        ...

    async def discard(self, prepared: Prepared) -> None:
        """Delete the file of prepared content."""
        ...

    async def send(self, prepared: Prepared, chat: Chat, full_key: str, *, timeout_s: float) -> Sent:
        """Send one message. Raises ``SendFailed`` only where it certainly did not leave."""
        ...

    async def lookup(self, full_key: str, bare_id: str, address: str) -> Found | None:
        """Find a message by its key, then by its bare id under phone and lid."""
        ...

    async def check_contacts(self, numbers: Sequence[str]) -> Sequence[ContactInfo]:
        """Ask which numbers (``+digits``) exist."""
        ...

    async def probe(self) -> Vitals:
        """Make a round trip through the page."""
        ...

    async def ask_server(self) -> None:
        """Ask WhatsApp's server what it can always answer; returns once it did. Raises ``PageRefused`` for an error."""
        ...

    async def screenshot(self) -> bytes:
        """Take a PNG."""
        ...

    async def logout(self) -> None:
        """Unlink this device."""
        ...

    async def close(self) -> None:
        """End the browser: politely, then by killing its tree. Never raises, may be called twice."""
        ...

    def kill(self) -> None:
        """Kill the browser's process tree at once."""
        ...


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """What a browser is opened with."""

    key: SessionKey
    proxy: str | None = None
    fuse_left_s: Callable[[], float] | None = None
    """After how many seconds a page that loads now has to end by itself, unless it is armed again; None: never."""
    on_launched: Callable[[Sequence[tuple[int, float]]], None] | None = None
    """Told of the browser's processes as soon as they run, long before the page is up."""


class Browser(Protocol):
    """Opens browsers on this session's profile."""

    def inherit(self, former: LeaseRecord) -> AbstractAsyncContextManager[bool]:
        """Hold the profile of an owner that died on this machine, with nothing of it left running.

        What is left of its browser is ended first. Yields False where that is not certain.
        """
        ...

    async def open(self, request: OpenRequest, on_fact: Callable[[Fact], None]) -> Page:
        """Launch, inject, load and check. Facts come to ``on_fact`` on the event loop, none after ``close``.

        Raises:
            ProfileInUse: Another live process holds the profile.
            BrowserLaunchFailed: The browser did not start, or the page or wa-js did not load.
            ProfileDamaged: The browser does not start on this profile, which holds a login, but would on another.
        """
        ...

    async def close(self) -> None:
        """Let go what is kept from one page to the next; the last page is closed. May be called twice."""
        ...

    async def arm_fuse(self, left_s: float) -> None:
        """Let the page that is open, or opening, end by itself after this time and no sooner: a round trip through it.

        Raises ``PageUnresponsive`` where it does not answer. A page that ended, by its fuse or else, tells so itself.
        """
        ...

    def generation(self) -> str:
        """Return the random id of the profile's content; makes profile and id where there is none."""
        ...

    async def memory(self) -> int | None:
        """Return what this process and all below it (the browser too) hold: bytes of PSS, None if nobody can tell."""
        ...

    async def quarantine(self) -> None:
        """Move the profile aside (after a logout); it is deleted after 7 days."""
        ...
