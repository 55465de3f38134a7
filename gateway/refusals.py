"""Which commands of the inbox were refused before: what was told stands, whatever has changed since.

Theory of operation. A refusal leaves nothing but its event, so the events are asked, for each command: how often a
command was handed out says nothing, a nats-server that crashed may have forgotten it. Each session's refusals are read
once, from the moment on at which its first command here was stored; afterwards only those that were added since. So a
backlog of which much is refused costs one read of each refusal and not one per command.

Imports the events.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from actors.messages.events import JobEvent
from actors.messages.ids import SessionKey
from gateway.connection import Bus
from gateway.events import stored_events
from gateway.streams import event_subject

MAX_KNOWN: Final = 100_000
"""Sessions and refusals kept in memory, some 10 MB; beyond it they are read again as they are asked for."""


@dataclass(slots=True)
class _Known:
    """What was read of one session: complete from ``since`` to ``after_seq``."""

    since: datetime
    after_seq: int = 0
    told_at: dict[int, datetime] = field(default_factory=dict)
    """When each command was refused, by its sequence in the inbox."""
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class ToldRefusals:
    """The refusals of all sessions that send by the inbox."""

    def __init__(self, bus: Bus) -> None:
        self._bus: Final = bus
        self._sessions: Final[dict[SessionKey, _Known]] = {}
        self._count = 0

    async def has(self, key: SessionKey, inbox_seq: int, stored_at: datetime) -> bool:
        """Tell whether a command was refused.

        Args:
            key: Its session.
            inbox_seq: Its sequence in ``WA_INBOX``.
            stored_at: When it was stored there, by the server's clock.

        Raises:
            Unavailable: JetStream did not answer.
        """
        if self._count >= MAX_KNOWN:
            self._sessions.clear()
            self._count = 0
        known = self._sessions.get(key)
        if known is None or stored_at < known.since:
            known = self._sessions[key] = _Known(stored_at)
            self._count += 1
        async with known.reading:
            await self._read_on(key, known)
        told_at = known.told_at.get(inbox_seq)
        return told_at is not None and told_at >= stored_at  # a stream that was made anew counts from 1 again

    async def _read_on(self, key: SessionKey, known: _Known) -> None:
        since = known.since if known.after_seq == 0 else None
        subject = event_subject(key, "job.rejected")
        told = stored_events(self._bus, subject, after_seq=known.after_seq, since=since, follow=False)
        async for stored in told:
            if isinstance(stored.event, JobEvent) and stored.event.data.inbox_seq is not None:
                known.told_at[stored.event.data.inbox_seq] = stored.stored_at
                self._count += 1
            known.after_seq = stored.stream_seq
