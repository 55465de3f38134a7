"""``JetStreamPorts``: the small object that is pickled into an actor and connects its ports there.

Imports late, inside ``connect``: what is imported here is paid in every process that only hands the object on, and each
session's worker pays for what its own process needs.
"""

import logging
from dataclasses import dataclass, field

from actors.config import QueueConfig
from actors.messages.ids import SessionKey
from actors.ports import FleetPorts, SessionPorts, SessionSpec, actor_name

# ruff: noqa: PLC0415 - see above


@dataclass(frozen=True, slots=True)
class JetStreamPorts:
    """``actors.ports.PortsFactory`` on one NATS server (or cluster); streams and buckets must exist."""

    nats_url: str
    profile_key: bytes = field(repr=False)
    """Key of profile snapshots, the same on every node."""
    log_level: str = "INFO"
    record_ttl_s: float = QueueConfig().record_ttl_s
    """How long the records of jobs with an outcome are kept."""

    async def connect(self, spec: SessionSpec) -> SessionPorts:
        """Connect all ports of a session. Raises ``Unavailable``."""
        self._log_to_stderr()
        from gateway.lean import import_nats

        import_nats(self.nats_url)
        from actors.browser.browser import ChromiumBrowser
        from actors.browser.copies import ProfileCopies
        from actors.clock import SystemClock
        from actors.node import sessions_path
        from gateway.connection import FLEET_INBOX, connect
        from gateway.events import JetStreamEventSink
        from gateway.jobs import JetStreamJobLog
        from gateway.leases import JetStreamLeaseStore
        from gateway.profiles import JetStreamProfileHeads
        from gateway.records import JetStreamJobRecords
        from gateway.registry import JetStreamStatusBoard
        from gateway.snapshots import JetStreamSnapshotStore

        key = SessionKey(spec.desired.tenant_id, spec.desired.session_id)
        config = spec.config.model_copy(update={"sessions_path": sessions_path(spec.config.sessions_path)})
        bus = await connect(self.nats_url, actor_name(key), inbox_prefix=FLEET_INBOX)
        browser = ChromiumBrowser(key, config)

        async def close() -> None:
            try:
                await browser.close()
            finally:
                await bus.close()

        return SessionPorts(
            clock=SystemClock(),
            browser=browser,
            jobs=JetStreamJobLog(bus, key),
            records=JetStreamJobRecords(bus, key, ttl_s=self.record_ttl_s),
            events=JetStreamEventSink(bus, key),
            status=JetStreamStatusBoard(bus, key),
            lease=JetStreamLeaseStore.of_session(bus, key),
            heads=JetStreamProfileHeads(bus, key),
            profile=ProfileCopies(browser.profile, self.profile_key, config),
            snapshots=JetStreamSnapshotStore(bus, key),
            close=close,
        )

    async def connect_fleet(self) -> FleetPorts:
        """Connect what the supervisor needs. Raises ``Unavailable``."""
        self._log_to_stderr()
        from gateway.lean import import_nats

        import_nats(self.nats_url)
        from actors.clock import SystemClock
        from gateway.connection import FLEET_INBOX, connect
        from gateway.events import JetStreamEventPublisher
        from gateway.leases import SUPERVISOR_LEASE, JetStreamLeaseStore
        from gateway.registry import JetStreamRegistry

        bus = await connect(self.nats_url, "supervisor", inbox_prefix=FLEET_INBOX)
        registry = JetStreamRegistry(bus)
        try:
            await registry.start()
        except BaseException:
            await bus.close()
            raise

        async def close() -> None:
            await registry.stop()
            await bus.close()

        return FleetPorts(
            clock=SystemClock(),
            registry=registry,
            lease=JetStreamLeaseStore(bus, SUPERVISOR_LEASE),
            events=JetStreamEventPublisher(bus),
            close=close,
        )

    def _log_to_stderr(self) -> None:
        """Set logging up in the actor's process, where nobody else does; Ray keeps what it writes in a file."""
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
        logging.getLogger("wafleet").setLevel(self.log_level)
