"""The ports of a session without what makes it safe, to measure what that costs. The product has no such switch.

Left out: the lease (it is simply held), the record of each attempt, and its announcement, which is what the next
owner's rate window is counted from. Outcomes are stored and told as ever.
"""

import itertools
from dataclasses import dataclass, replace
from typing import Any, cast

from actors.messages.events import Event
from actors.messages.jobs import JobRecord
from actors.messages.records import LeaseRecord
from actors.ports import EventSink, FleetPorts, JobRecords, LeaseStore, PortsFactory, Revised, SessionPorts, SessionSpec


class HeldLease:
    """A lease that nobody disputes and that costs nothing."""

    def __init__(self, lease: LeaseStore) -> None:
        self._lease = lease
        self._revision = itertools.count(1)

    async def create(self, _record: LeaseRecord) -> int | None:
        """Take it."""
        return next(self._revision)

    async def renew(self, _record: LeaseRecord, _revision: int) -> int | None:
        """Renew it."""
        return next(self._revision)

    async def read(self) -> Revised[LeaseRecord] | None:
        """Nobody else holds it."""
        return None

    async def release(self, _revision: int) -> None:
        """Give it up."""

    async def raise_epoch(self) -> int:
        """Raise the epoch; once for an owner, so it costs no send anything."""
        return await self._lease.raise_epoch()


class NoAttempts:
    """Records in which attempts are not written down, only outcomes."""

    def __init__(self, records: JobRecords) -> None:
        self._records = records
        self._revisions: dict[str, int] = {}

    async def get(self, job_id: str) -> Revised[JobRecord] | None:
        """Read a record."""
        return await self._records.get(job_id)

    async def create(self, record: JobRecord) -> int | None:
        """Create a record."""
        return await self._records.create(record)

    async def update(self, record: JobRecord, revision: int) -> int | None:
        """Store an outcome; say of an attempt that it was stored."""
        if record.status == "sending":
            self._revisions[record.job_id] = revision
            return revision
        return await self._records.update(record, self._revisions.pop(record.job_id, revision))


class NoAnnouncements:
    """An event sink that drops the announcements of attempts."""

    def __init__(self, events: EventSink) -> None:
        self._events = events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._events, name)

    async def publish(self, event: Event) -> None:
        """Store an event."""
        if event.event != "job.sending":
            await self._events.publish(event)


@dataclass(frozen=True, slots=True)
class UnsafePorts:
    """Another factory's ports, without the safety."""

    factory: PortsFactory

    async def connect(self, spec: SessionSpec) -> SessionPorts:
        """Connect the ports and put the cheap ones in their place."""
        ports = await self.factory.connect(spec)
        return replace(
            ports,
            lease=cast("LeaseStore", HeldLease(ports.lease)),
            records=NoAttempts(ports.records),
            events=cast("EventSink", NoAnnouncements(ports.events)),
        )

    async def connect_fleet(self) -> FleetPorts:
        """There is no fleet in this measurement."""
        raise NotImplementedError
