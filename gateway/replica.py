"""One gateway: all its parts wired together on one connection, without the process around it.

Theory of operation. Replicas share requests by queue group and hold nothing that another would miss: jobs and records
lie in JetStream, sessions are reached through the control plane, the registry is a mirror of the server's buckets.

Imports every part of the service; ``gateway.main`` and tests bring connection and control plane.
"""

import asyncio
import secrets
from dataclasses import dataclass, field
from random import Random
from typing import Final

from actors.clock import SystemClock
from actors.config import QueueConfig
from actors.messages.commands import (
    ContactCheck,
    JobCancel,
    JobGet,
    QueueQuery,
    RateLimitQuery,
    Screenshot,
    SendLocation,
    SendMedia,
    SendText,
    SessionLogout,
    SessionPause,
    SessionQr,
    SessionRestart,
    SessionResume,
    SessionsList,
    SessionStart,
    SessionStatusQuery,
    SessionStop,
)
from actors.ports import Clock, ControlPlane
from gateway.admission import Bound
from gateway.command_inbox import CommandInbox
from gateway.connection import Bus
from gateway.control import Control
from gateway.direct_sends import DirectSends
from gateway.dispatch import Dispatcher
from gateway.events import EventOutbox
from gateway.job_commands import JobCommands
from gateway.jobs import JobWriter
from gateway.outcomes import Outcomes
from gateway.pulling import PullReader
from gateway.queries import Queries
from gateway.records import RecordStore
from gateway.registry import JetStreamRegistry
from gateway.sends import Sends
from gateway.service import GatewayService, ServiceLimits
from gateway.storing import JobStore
from gateway.streams import WA_INBOX, inbox_reader


@dataclass(frozen=True, slots=True)
class ReplicaLimits:
    """Bounds of one replica."""

    service: ServiceLimits = field(default_factory=ServiceLimits)
    asking: int = 1_024
    """Questions to actors under way."""
    asking_per_tenant: int = 256
    asking_per_session: int = 128
    direct: int = 1_024
    """Direct sends that wait for their outcome."""
    direct_per_tenant: int = 256
    direct_per_session: int = 128
    inbox: int = 64
    """Commands of the inbox that are carried out at once."""
    drain_timeout_s: float = 10.0


def _bounds(limits: ReplicaLimits) -> tuple[Bound, Bound]:
    """Make the bounds of questions to actors and of direct sends."""
    return (
        Bound(
            "questions to sessions",
            total=limits.asking,
            per_tenant=limits.asking_per_tenant,
            per_session=limits.asking_per_session,
        ),
        Bound(
            "direct sends",
            total=limits.direct,
            per_tenant=limits.direct_per_tenant,
            per_session=limits.direct_per_session,
        ),
    )


class GatewayReplica:
    """A gateway on a connection. ``start`` it, ``drain`` it; the connection is its maker's."""

    def __init__(
        self,
        bus: Bus,
        control: ControlPlane,
        *,
        queue: QueueConfig | None = None,
        allowed_private_hosts: frozenset[str] = frozenset(),
        limits: ReplicaLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        queue = queue or QueueConfig()
        clock = clock or SystemClock()
        self._limits: Final = limits or ReplicaLimits()
        self._registry: Final = JetStreamRegistry(bus)
        self._outbox: Final = EventOutbox(bus)
        asking, waiting = _bounds(self._limits)
        jobs, records = JobWriter(bus, queue), RecordStore(bus, ttl_s=queue.record_ttl_s)
        queries = Queries(registry=self._registry, jobs=jobs, control=control, asking=asking)
        commands = JobCommands(bus, jobs, records, clock, known=queries.known)
        store = JobStore(jobs, records)
        sends = Sends(
            queries=queries,
            store=store,
            direct=DirectSends(
                outcomes=Outcomes(bus),
                store=store,
                records=records,
                commands=commands,
                clock=clock,
                waiting=waiting,
            ),
            outbox=self._outbox,
            clock=clock,
            queue=queue,
            allowed_private_hosts=allowed_private_hosts,
        )
        self._inbox: Final = PullReader(
            bus,
            WA_INBOX,
            inbox_reader(queue),
            CommandInbox(bus, sends, clock).handle,
            clock=clock,
            at_once=self._limits.inbox,
            random=Random(secrets.randbits(32)),  # noqa: S311 - jitter, no secret
        )
        orders = Control(queries=queries, control=control, asking=asking)
        dispatcher = dispatch_table(queries, orders, sends, commands)
        self._running = False
        self._service: Final = GatewayService(bus, dispatcher, self._limits.service)

    async def start(self) -> None:
        """Load the registry and take requests. Raises ``Unavailable``."""
        self._running = True
        await self._registry.start()
        self._outbox.start()
        await self._service.start()
        await self._inbox.start()

    async def drain(self) -> None:
        """Take nothing new, finish what is in flight, publish what is left to publish; may be called twice."""
        if not self._running:
            return
        self._running = False
        await asyncio.gather(
            self._service.drain(self._limits.drain_timeout_s), self._inbox.drain(self._limits.drain_timeout_s)
        )
        await self._outbox.close()
        await self._registry.stop()


def dispatch_table(queries: Queries, orders: Control, sends: Sends, jobs: JobCommands) -> Dispatcher:
    """Say which part carries out which command."""
    return Dispatcher(
        sessions={
            SessionStart: orders.start,
            SessionStop: orders.order,
            SessionRestart: orders.order,
            SessionLogout: orders.order,
            SessionPause: orders.hold,
            SessionResume: orders.hold,
            SessionStatusQuery: queries.status,
            SessionQr: queries.qr,
            RateLimitQuery: queries.rate_limit,
            QueueQuery: queries.queue,
            Screenshot: queries.from_page,
            ContactCheck: queries.from_page,
            SendText: sends.send,
            SendMedia: sends.send,
            SendLocation: sends.send,
            JobGet: jobs.get,
            JobCancel: jobs.cancel,
        },
        tenants={SessionsList: queries.sessions},
    )
