"""The ports of a session, from which a benchmark can take what makes it safe. The product has no such switch.

What can be taken: the record of each attempt, and its announcement, which is what the next owner's rate window is
counted from. Outcomes are stored and told as ever.
"""

from dataclasses import dataclass, field, replace
from typing import Any, cast

from actors.messages.events import Event
from actors.messages.jobs import JobRecord
from actors.ports import EventSink, FleetPorts, JobRecords, PortsFactory, SessionPorts, SessionSpec


@dataclass(slots=True)
class Switch:
    """Whether a session is as safe as it is made."""

    safe: bool = True


class Records:
    """Records in which attempts are written down only if that is switched on; outcomes always are."""

    def __init__(self, records: JobRecords, switch: Switch) -> None:
        self._records = records
        self._switch = switch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    async def update(self, record: JobRecord, revision: int) -> int | None:
        """Store an outcome; say of an attempt that it was stored."""
        if record.status == "sending" and not self._switch.safe:
            return revision
        return await self._records.update(record, revision)


class Events:
    """An event sink that drops the announcements of attempts where they are switched off."""

    def __init__(self, events: EventSink, switch: Switch) -> None:
        self._events = events
        self._switch = switch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._events, name)

    async def publish(self, event: Event) -> bool:
        """Store an event."""
        if event.event == "job.sending" and not self._switch.safe:
            return False
        return await self._events.publish(event)


@dataclass(frozen=True, slots=True)
class SwitchedPorts:
    """Another factory's ports, with a switch."""

    factory: PortsFactory
    switch: Switch = field(default_factory=Switch)

    async def connect(self, spec: SessionSpec) -> SessionPorts:
        """Connect the ports and put the switched ones in their place."""
        ports = await self.factory.connect(spec)
        return replace(
            ports,
            records=cast("JobRecords", Records(ports.records, self.switch)),
            events=cast("EventSink", Events(ports.events, self.switch)),
        )

    async def connect_fleet(self) -> FleetPorts:
        """There is no fleet in this measurement."""
        raise NotImplementedError
