"""Which commands of the inbox were refused before: what was told stands, whatever has changed since.

Theory of operation. A refusal leaves nothing but its event, so the events are asked, for each command: how often a
command was handed out says nothing, a nats-server that crashed may have forgotten it. An event is known by its id,
which is made of what the command is, so no clock decides. Each session's refusals are read once, from the moment on at
which its first command here was stored; afterwards only those that were added since. So a backlog of which much is
refused costs one read of each refusal and not one per command. Kept are those whose commands may still lie in the
inbox.

Imports the connection, direct reads and the streams' names.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import orjson

from actors.messages.ids import SessionKey, job_id_of_inbox
from gateway.answers import Refused
from gateway.connection import Bus
from gateway.direct import read_all
from gateway.streams import WA_EVENTS, WA_INBOX, event_subject

MAX_KNOWN: Final = 100_000
"""Sessions and refusals in memory, some 20 MB; beyond it what can't be asked for any more is looked for and dropped."""
_CLOCKS_DIFFER_BY: Final = timedelta(seconds=10)
"""Between two servers of a cluster, one of which stamps the inbox and the other the events."""


def refusal_id(key: SessionKey, inbox_seq: int, stored_at: datetime) -> str:
    """Name the event that refuses a command: the same for every delivery, another one where an inbox begins anew."""
    return f"{job_id_of_inbox(key, inbox_seq, stored_at)}.rejected"


@dataclass(slots=True)
class _Known:
    """What was read of one session: complete from ``since`` to ``after_seq``."""

    since: datetime
    after_seq: int = 0
    told: dict[str, int] = field(default_factory=dict)
    """By the event's id, the command's sequence in the inbox."""
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class ToldRefusals:
    """The refusals of all sessions that send by the inbox."""

    def __init__(self, bus: Bus) -> None:
        self._bus: Final = bus
        self._sessions: Final[dict[SessionKey, _Known]] = {}
        self._count = 0
        self._reconnects = bus.reconnects
        self._first_seq = 0

    async def has(self, key: SessionKey, inbox_seq: int, stored_at: datetime) -> bool:
        """Tell whether a command was refused.

        Args:
            key: Its session.
            inbox_seq: Its sequence in ``WA_INBOX``.
            stored_at: When it was stored there, by the server's clock.

        Raises:
            Unavailable: JetStream did not answer.
        """
        if self._reconnects != self._bus.reconnects:  # the stream may be another one
            self._forget()
        if self._count >= MAX_KNOWN:
            await self._make_room()
        known = self._sessions.get(key)
        if known is None or stored_at < known.since:
            known = self._sessions[key] = _Known(stored_at)
            self._count += 1
        async with known.reading:
            await self._read_on(key, known)
        return refusal_id(key, inbox_seq, stored_at) in known.told

    async def _read_on(self, key: SessionKey, known: _Known) -> None:
        since = known.since - _CLOCKS_DIFFER_BY if known.after_seq == 0 else None
        subject = event_subject(key, "job.rejected")
        async for message in read_all(self._bus, WA_EVENTS, subject, since=since, after=known.after_seq):
            known.after_seq = message.seq
            event_id, inbox_seq = _read(message.body)
            if inbox_seq >= self._first_seq and event_id not in known.told:
                known.told[event_id] = inbox_seq
                self._count += 1

    async def _make_room(self) -> None:
        """Drop what was said of commands that are done with: the inbox holds what may come again, and nothing else."""
        answer = await self._bus.api(f"STREAM.INFO.{WA_INBOX}")
        if isinstance(answer, Refused):
            raise answer.unavailable("to read the inbox")
        self._first_seq = first_seq = int(answer["state"]["first_seq"])
        for known in self._sessions.values():
            known.told = {event_id: seq for event_id, seq in known.told.items() if seq >= first_seq}
        self._count = len(self._sessions) + sum(len(known.told) for known in self._sessions.values())
        if self._count >= MAX_KNOWN:
            self._forget()

    def _forget(self) -> None:
        self._sessions.clear()
        self._count = self._first_seq = 0
        self._reconnects = self._bus.reconnects


def _read(body: bytes) -> tuple[str, int]:
    """Return an event's id and the sequence of the command that it refuses, -1 if it refuses none."""
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:  # nobody but the fleet may publish there, but a server may be open to all
        event = None
    match event:
        case {"id": str(event_id), "data": {"inbox_seq": int(inbox_seq)}}:
            return event_id, inbox_seq
    return "", -1
