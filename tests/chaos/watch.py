"""Listens to all events of a run's tenants, from the stored ones of its beginning on, so that none is missed."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from actors.messages.events import CodeEvent, JobEvent, QrEvent, SessionEvent
from actors.messages.ids import SessionKey
from gateway.client import Client
from gateway.connection import connect
from gateway.events import stored_events
from gateway.streams import event_subject
from tests.chaos.history import Heard, Told


async def read_stored(nats_url: str, tenants: Iterable[str]) -> list[Heard]:
    """Read all that owners said from the stream: a client drops what comes of a replaced one."""
    heard = []
    async with await connect(nats_url, "chaos") as bus:
        for tenant in tenants:
            subject = event_subject(SessionKey(tenant, "*"), ">")
            async for stored in stored_events(bus, subject, follow=False):
                event = stored.event
                if event.seq is not None and event.epoch is not None:
                    key = SessionKey(event.tenant_id, event.session_id)
                    heard.append(Heard(key, event.id, event.time.timestamp(), event.epoch, event.seq))
    return heard


class Watch:
    """What the tenants were told."""

    def __init__(self, clients: Iterable[Client]) -> None:
        self.told: list[Told] = []
        self.announced: defaultdict[str, list[str]] = defaultdict(list)
        """Names of outcome events by job id."""
        self.rejected: dict[str, str] = {}
        """Codes by job id."""
        self._clients: Final = tuple(clients)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._listen(client)) for client in self._clients]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    def down(self) -> set[SessionKey]:
        """The sessions of which the last that was heard is that they are not ready."""
        last = {told.key: told.event for told in self.told}
        return {key for key, event in last.items() if event != "session.ready"}

    async def _listen(self, client: Client) -> None:
        async with client.events(since=datetime.now(UTC)) as events:
            async for event in events:
                key = SessionKey(event.tenant_id, event.session_id)
                if isinstance(event, SessionEvent | QrEvent | CodeEvent):
                    self.told.append(Told(key, event.event, event.time.timestamp()))
                elif isinstance(event, JobEvent) and event.event == "job.rejected":
                    self.rejected[event.data.job_id] = event.data.error.code if event.data.error else ""
                elif isinstance(event, JobEvent) and event.event.startswith("message."):
                    self.announced[event.data.job_id].append(event.event)
