"""``WA_INBOX``: sends that were published durably, carried out once, each answered by an event.

Theory of operation (DESIGN 2, 7). The job of a command is fixed by its key or its place in the stream, so a command
that is handed out again (its gateway died, the acknowledgement was lost) meets what its first delivery left: its job,
or the event that refused it. The event is stored before the command is acknowledged. A refusal is told at once, a full
queue too: commands that wait for room would keep those of other tenants waiting. Only where a part of the system is
away is a command handed out again, with growing delays and an end. Direct mode works as in a request, but nobody waits
here: its outcome is an event like any other.

Subjects and bodies are the tenants' own. A subject that names no session can be answered by nobody and is dropped.
Imports sends, events, refusals and subjects.
"""

import logging
from typing import Any, Final, Protocol

import orjson

from actors.errors import Unavailable, WafleetError
from actors.messages.commands import SendCommand, parse_command
from actors.messages.events import JobData, JobEvent
from actors.messages.ids import SessionKey, job_id_of_inbox, job_id_of_key
from actors.messages.jobs import JobError
from actors.ports import Clock
from gateway.connection import Bus
from gateway.events import publish_event
from gateway.intake import InboxOrigin
from gateway.pulling import Again, Delivery
from gateway.refusals import ToldRefusals, refusal_id
from gateway.storing import Stored
from gateway.subjects import inbox_command, inbox_session

MAX_TRIES: Final = 10
"""Handed out more often, a command is refused: with delays of 1, 2, 4 … 30 s that is after some two and a half minutes
without JetStream, or ten gateways that died of it."""
_MAX_SHOWN_CHARS: Final = {"to": 80, "idempotency_key": 200}

_log = logging.getLogger("wafleet.gateway")


class InboxSends(Protocol):
    """Where commands of the inbox become jobs (``gateway.sends``)."""

    async def take(self, key: SessionKey, command: SendCommand, origin: InboxOrigin) -> Stored:
        """Take one send; raises what speaks against it."""
        ...


class CommandInbox:
    """Deals with the messages of ``WA_INBOX``."""

    def __init__(self, bus: Bus, sends: InboxSends, clock: Clock) -> None:
        self._bus: Final = bus
        self._sends: Final = sends
        self._clock: Final = clock
        self._refusals: Final = ToldRefusals(bus)

    async def handle(self, delivery: Delivery) -> Again | None:
        """Carry one command out, or say why not; ``Again`` where a part of the system is away."""
        key = inbox_session(delivery.subject)
        if key is None:
            _log.warning("inbox: %d names no session and is dropped: %r", delivery.seq, delivery.subject[:200])
            return None
        try:
            if await self._refusals.has(key, delivery.seq, delivery.stored_at):
                return None
            event = await self._carry_out(key, delivery)
            await publish_event(self._bus, event)
        except Unavailable as exc:
            return Again(exc.message)
        return None

    async def _carry_out(self, key: SessionKey, delivery: Delivery) -> JobEvent:
        """Make the job and return the event that says so, or the one that refuses it. Raises ``Unavailable``."""
        given_up = delivery.tries > MAX_TRIES
        origin = InboxOrigin(delivery.seq, delivery.stored_at, given_up=given_up)
        try:
            command = parse_command(inbox_command(delivery.subject), delivery.body)
            if not isinstance(command, SendCommand):
                msg = f"{command.name} is no send"
                raise TypeError(msg)
            stored = await self._sends.take(key, command, origin)
        except WafleetError as exc:
            if isinstance(exc, Unavailable) and not given_up:
                raise
            return self._rejected(key, delivery, exc)
        return self._accepted(key, command, stored, delivery.seq)

    def _accepted(self, key: SessionKey, command: SendCommand, stored: Stored, seq: int) -> JobEvent:
        record = stored.record
        return JobEvent(
            # A repeat of a key is an answer of its own.
            id=f"{record.job_id}.accepted" + (f".{seq}" if stored.duplicate else ""),
            event="job.accepted",
            tenant_id=key.tenant_id,
            session_id=key.session_id,
            time=self._clock.now() if stored.duplicate else record.history[0].time,
            data=JobData(job_id=record.job_id, idempotency_key=command.idempotency_key, to=command.to, inbox_seq=seq),
        )

    def _rejected(self, key: SessionKey, delivery: Delivery, error: WafleetError) -> JobEvent:
        said = _said(delivery.body)
        own_key = said.get("idempotency_key")
        job_id = job_id_of_key(key, own_key) if own_key else job_id_of_inbox(key, delivery.seq, delivery.stored_at)
        return JobEvent(
            id=refusal_id(key, delivery.seq, delivery.stored_at),
            event="job.rejected",
            tenant_id=key.tenant_id,
            session_id=key.session_id,
            time=self._clock.now(),
            data=JobData(
                job_id=job_id,
                idempotency_key=own_key,
                to=said.get("to", ""),
                inbox_seq=delivery.seq,
                error=JobError(code=error.code, message=error.message, details=error.details),
            ),
        )


def _said(body: bytes) -> dict[str, Any]:
    """Read from a body, which may be anything, what its sender knows it by."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(fields, dict):
        return {}
    return {
        name: value
        for name, limit in _MAX_SHOWN_CHARS.items()
        if isinstance(value := fields.get(name), str) and 0 < len(value) <= limit
    }
