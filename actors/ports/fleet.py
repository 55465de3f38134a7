"""The fleet: registry, session actors and their host, and how ports are connected inside an actor's process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.config import LeaseConfig, SessionConfig
from actors.messages.commands import Command
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.messages.replies import ErrorBody, Reply, SessionStatus
from actors.ports.clock import Clock
from actors.ports.page import Browser
from actors.ports.profiles import LocalProfile, SnapshotStore
from actors.ports.storage import (
    EventPublisher,
    EventSink,
    JobLog,
    JobRecords,
    LeaseStore,
    ProfileHeads,
    Revised,
    StatusBoard,
)


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
    profile: LocalProfile
    snapshots: SnapshotStore
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
    dead_owners: tuple[str, ...] = ()
    """Ids of this session's former owners whose actors were reported dead: their lease may be taken over early."""

    @property
    def key(self) -> SessionKey:
        """The session's address."""
        return SessionKey(self.desired.tenant_id, self.desired.session_id)


def actor_name(key: SessionKey) -> str:
    """Name a session's actor, as logs, leases and the dashboard show it: ``session:<tenant>:<session>``."""
    return f"session:{key}"


class PortsFactory(Protocol):
    """A small picklable object that connects inside the process of the actor."""

    async def connect(self, spec: SessionSpec) -> SessionPorts:
        """Connect all ports. Raises ``Unavailable``."""
        ...

    async def connect_fleet(self) -> "FleetPorts":
        """Connect what the supervisor needs. Raises ``Unavailable``."""
        ...


class Registry(Protocol):
    """``wa_sessions`` and ``wa_status`` of the whole fleet."""

    async def desired(self, key: SessionKey) -> "Revised[DesiredSession] | None":
        """Return what is wanted of one session."""
        ...

    async def put_desired(self, desired: DesiredSession, revision: int | None) -> int | None:
        """Create (revision None) or compare-and-set; None if somebody else was faster."""
        ...

    async def all_desired(self) -> Sequence[DesiredSession]:
        """Return everything wanted; what was put through this registry is seen at once."""
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
    events: EventPublisher
    close: Closer


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life of a session actor."""

    state: str
    pid: int
    node: str
    epoch: int
    """0 until it holds its lease."""
    owner_id: str = ""
    """What its lease names it by."""


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

    async def drain(self, timeout_s: float) -> None:
        """Let it finish what is in flight and end. Raises ``Unavailable`` if it has not in time or is gone."""
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

    async def nodes(self) -> int:
        """Count the nodes that take sessions: they live, offer ``browser`` slots and are not being drained."""
        ...

    async def leaving(self) -> frozenset[SessionKey]:
        """Name the sessions on nodes that are being drained."""
        ...

    async def request_slots(self, wanted: int) -> None:
        """Say how many slots the fleet needs in all, so that a cluster that can grow does."""
        ...


class ControlPlane(Protocol):
    """How a gateway reaches supervisor and sessions."""

    async def ask_supervisor(self, key: SessionKey, command: Command, timeout_s: float) -> Reply | ErrorBody:
        """Put start, stop, restart, logout, pause or resume to the supervisor. Raises ``Unavailable``."""
        ...

    async def ask_session(self, key: SessionKey, command: Command, timeout_s: float) -> Reply | ErrorBody | None:
        """Put a command to a session; None if it has no actor. Raises ``Unavailable``."""
        ...
