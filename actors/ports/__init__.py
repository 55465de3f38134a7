"""What actors need from outside, as Protocols (DESIGN section 6).

JetStream's side of them lives in ``gateway/``, the browser's in ``actors/browser``, Ray's in ``actors/cluster``; tests
bring in-memory ones. Every method that goes over a wire has a deadline inside its adapter and raises ``Unavailable``
past it, if nothing else is said. Imports config, core and messages only.
"""

from actors.ports.clock import Clock
from actors.ports.fleet import (
    Closer,
    ControlPlane,
    Died,
    Ended,
    FleetPorts,
    Heartbeat,
    PortsFactory,
    Registry,
    SessionHandle,
    SessionHost,
    SessionPorts,
    SessionSpec,
    actor_name,
)
from actors.ports.page import Browser, Chat, Found, OpenRequest, Page, Prepared, Sent, Vitals
from actors.ports.profiles import LocalProfile, Sealed, SnapshotStore, StoredSnapshot
from actors.ports.storage import (
    EventPublisher,
    EventSink,
    JobLog,
    JobRecords,
    LeaseStore,
    ProfileHeads,
    Revised,
    StatusBoard,
    StoredJob,
)

__all__ = [
    "Browser",
    "Chat",
    "Clock",
    "Closer",
    "ControlPlane",
    "Died",
    "Ended",
    "EventPublisher",
    "EventSink",
    "FleetPorts",
    "Found",
    "Heartbeat",
    "JobLog",
    "JobRecords",
    "LeaseStore",
    "LocalProfile",
    "OpenRequest",
    "Page",
    "PortsFactory",
    "Prepared",
    "ProfileHeads",
    "Registry",
    "Revised",
    "Sealed",
    "Sent",
    "SessionHandle",
    "SessionHost",
    "SessionPorts",
    "SessionSpec",
    "SnapshotStore",
    "StatusBoard",
    "StoredJob",
    "StoredSnapshot",
    "Vitals",
    "actor_name",
]
