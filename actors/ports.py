"""What actors need from outside, as Protocols (DESIGN section 6).

JetStream's side of them lives in ``gateway/``, the browser's in ``actors/browser``, Ray's in ``actors/cluster``; tests
bring in-memory ones. Every method that goes over a wire has a deadline inside its adapter and raises ``Unavailable``
past it, if nothing else is said. Imports core and messages only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from actors.config import LeaseConfig, SessionConfig
from actors.core.facts import Fact
from actors.messages.commands import Command
from actors.messages.events import Event
from actors.messages.ids import SessionKey
from actors.messages.jobs import Content, Job, JobRecord, LaneName
from actors.messages.records import DesiredSession, LeaseRecord, ProfileHead
from actors.messages.replies import ContactInfo, ErrorBody, Reply, SessionStatus

T = TypeVar("T")


class Clock(Protocol):
    """Time: monotonic inside a process, UTC for people."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        ...

    def now(self) -> datetime:
        """Return the moment in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


# --- the page -----------------------------------------------------------------------------------------------------


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
        """Find or open the chat of an address. Raises ``RecipientNotFound``."""
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


class Browser(Protocol):
    """Opens browsers on this session's profile."""

    async def open(self, request: OpenRequest, on_fact: Callable[[Fact], None]) -> Page:
        """Launch, inject, load and check. Facts come to ``on_fact`` on the event loop, none after ``close``.

        Raises:
            ProfileInUse: Another live process holds the profile.
            BrowserLaunchFailed: The browser did not start, or the page or wa-js did not load.
        """
        ...

    def generation(self) -> str:
        """Return the random id of the profile's content; makes profile and id where there is none."""
        ...

    async def quarantine(self) -> None:
        """Move the profile aside (after a logout); it is deleted after 7 days."""
        ...


# --- the job log and what surrounds it -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job in the log."""

    seq: int
    job: Job


class JobLog(Protocol):
    """The session's own lanes of ``WA_JOBS``. Only the lease owner reads it."""

    async def read(self, lane: LaneName, after_seq: int, limit: int) -> Sequence[StoredJob]:
        """Return the next jobs of a lane behind a sequence, oldest first."""
        ...

    async def delete(self, seq: int) -> None:
        """Remove a finished job; removing it twice is no error."""
        ...

    async def depths(self) -> Mapping[LaneName, int]:
        """Return the server's own count of stored jobs by lane."""
        ...

    async def listen(self, on_wake: Callable[[LaneName | None], None]) -> None:
        """Call back when jobs may have been stored; None (every lane) after the connection was lost and is back."""
        ...


@dataclass(frozen=True, slots=True)
class Revised(Generic[T]):
    """A stored value with the revision that a compare-and-set names."""

    value: T
    revision: int


class JobRecords(Protocol):
    """``wa_job_records`` of one session."""

    async def get(self, job_id: str) -> "Revised[JobRecord] | None":
        """Return a record."""
        ...

    async def create(self, record: JobRecord) -> int | None:
        """Store a first record; None if there is one already."""
        ...

    async def update(self, record: JobRecord, revision: int) -> int | None:
        """Replace a record; None if it is no longer at that revision."""
        ...


class EventSink(Protocol):
    """``WA_EVENTS`` of one session."""

    async def publish(self, event: Event) -> None:
        """Store an event; returns when JetStream has it."""
        ...

    async def last_seq(self) -> int:
        """Return the highest ``seq`` stored for this session, 0 if none: a new owner goes on from it."""
        ...


class StatusBoard(Protocol):
    """``wa_status`` of one session: what gateways answer from."""

    async def put(self, status: SessionStatus) -> None:
        """Store the newest status."""
        ...


class LeaseStore(Protocol):
    """The lease and epoch of one session."""

    async def create(self, record: LeaseRecord) -> int | None:
        """Take a free lease and return its revision; None if somebody holds it."""
        ...

    async def renew(self, record: LeaseRecord, revision: int) -> int | None:
        """Renew by compare-and-set; None on "wrong last sequence"."""
        ...

    async def read(self) -> "Revised[LeaseRecord] | None":
        """Return the lease as it is now."""
        ...

    async def release(self, revision: int) -> None:
        """Give the lease up if it is still at that revision."""
        ...

    async def raise_epoch(self) -> int:
        """Count the epoch up and return it; called after the lease is held and before a browser opens."""
        ...


class ProfileHeads(Protocol):
    """Which copy of the profile is the newest (used for restoring snapshots)."""

    async def read(self) -> ProfileHead | None:
        """Return the head."""
        ...

    async def write(self, head: ProfileHead) -> None:
        """Store the head; done before each launch."""
        ...


@dataclass(frozen=True, slots=True)
class SessionPorts:
    """All ports of one session, connected."""

    clock: Clock
    browser: Browser
    jobs: JobLog
    records: JobRecords
    events: EventSink
    status: StatusBoard
    lease: LeaseStore
    heads: ProfileHeads
    close: "Closer"


class Closer(Protocol):
    """Ends the connections behind a bundle of ports."""

    async def __call__(self) -> None:
        """Flush and disconnect; never raises."""
        ...


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """Everything a session actor is made from, besides its ports."""

    desired: DesiredSession
    config: SessionConfig
    lease: LeaseConfig

    @property
    def key(self) -> SessionKey:
        """The session's address."""
        return SessionKey(self.desired.tenant_id, self.desired.session_id)


class PortsFactory(Protocol):
    """A small picklable object that connects inside the process of the actor."""

    async def connect(self, spec: SessionSpec) -> SessionPorts:
        """Connect all ports. Raises ``Unavailable``."""
        ...

    async def connect_fleet(self) -> "FleetPorts":
        """Connect what the supervisor needs. Raises ``Unavailable``."""
        ...


# --- the fleet -----------------------------------------------------------------------------------------------------


class Registry(Protocol):
    """``wa_sessions`` and ``wa_status`` of the whole fleet."""

    async def desired(self, key: SessionKey) -> "Revised[DesiredSession] | None":
        """Return what is wanted of one session."""
        ...

    async def put_desired(self, desired: DesiredSession, revision: int | None) -> int | None:
        """Create (revision None) or compare-and-set; None if somebody else was faster."""
        ...

    async def all_desired(self) -> Sequence[DesiredSession]:
        """Return everything wanted."""
        ...

    async def status(self, key: SessionKey) -> SessionStatus | None:
        """Return the last status a session wrote."""
        ...

    async def all_statuses(self) -> Sequence[SessionStatus]:
        """Return the last status of every session."""
        ...

    async def put_status(self, status: SessionStatus) -> None:
        """Store a status in the place of an owner that can't (it died, or there is no slot for it)."""
        ...


@dataclass(frozen=True, slots=True)
class FleetPorts:
    """The supervisor's ports, connected."""

    clock: Clock
    registry: Registry
    lease: LeaseStore
    """The lease ``_supervisor``."""
    close: Closer


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life of a session actor."""

    state: str
    pid: int
    node: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How a session actor ended by itself."""

    state: str
    """Its last state: stopped, logged_out, failed or blocked."""
    reason: str | None


@dataclass(frozen=True, slots=True)
class Died:
    """A session actor's process ended without a word."""

    reason: str


class SessionHandle(Protocol):
    """A running session actor, seen from the supervisor or the gateway."""

    async def heartbeat(self, timeout_s: float) -> Heartbeat | None:
        """Ask for a sign of life; None if none came in time."""
        ...

    async def ask(self, command: Command, timeout_s: float) -> Reply | ErrorBody:
        """Put a command to the session. Raises ``Unavailable`` if it does not answer in time or is gone."""
        ...

    async def wait_ended(self) -> Ended | Died:
        """Wait until the actor ended; has no deadline of its own."""
        ...

    async def kill(self, timeout_s: float) -> None:
        """Kill the process and wait until its pid is gone."""
        ...


class SessionHost(Protocol):
    """Where session actors live (Ray, or one event loop in tests)."""

    async def create(self, spec: SessionSpec) -> SessionHandle | None:
        """Create the actor and let it run; None if no node has a free ``browser`` slot right now."""
        ...

    async def find(self, key: SessionKey) -> SessionHandle | None:
        """Look a living actor up by its name."""
        ...

    async def living(self) -> Sequence[SessionKey]:
        """List all living session actors."""
        ...


class ControlPlane(Protocol):
    """How a gateway reaches supervisor and sessions."""

    async def ask_supervisor(self, key: SessionKey, command: Command, timeout_s: float) -> Reply | ErrorBody:
        """Put start, stop, restart, logout, pause or resume to the supervisor. Raises ``Unavailable``."""
        ...

    async def ask_session(self, key: SessionKey, command: Command, timeout_s: float) -> Reply | ErrorBody | None:
        """Put a command to a session; None if it has no actor. Raises ``Unavailable``."""
        ...
