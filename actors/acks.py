"""Acks of sent messages: an event for each, and the job's record raised sent, delivered, read, played.

Keeps a bounded map from message id to job for the newest messages. Acks of the message in flight wait until its outcome
is stored, so that nobody hears "read" before "sent". Records are raised by one task, one after the other.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from typing import Final

from actors.core.attempts import ACK_SENT, acknowledged
from actors.core.facts import AckChanged
from actors.deadlines import cancel
from actors.errors import WafleetError
from actors.messages.events import ACK_NAMES, AckData
from actors.messages.ids import SessionKey
from actors.outbox import Outbox
from actors.ports import Clock, JobRecords

_MAX_MESSAGES: Final = 10_000
"""How many messages are remembered."""
_MAX_RAISES: Final = 10_000
"""How many records may wait to be raised; the oldest is dropped first, its event went out."""
_CAS_TRIES: Final = 3


class AckBook:
    """Follows what becomes of sent messages."""

    def __init__(
        self,
        key: SessionKey,
        *,
        outbox: Outbox,
        records: JobRecords,
        clock: Clock,
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._key = key
        self._outbox = outbox
        self._records = records
        self._clock = clock
        self._log = log
        self._jobs: OrderedDict[str, str] = OrderedDict()
        self._in_flight: str | None = None
        self._held: list[AckChanged] = []
        self._acked = asyncio.Event()
        self._raises: deque[tuple[str, int]] = deque(maxlen=_MAX_RAISES)
        self._stirred = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start raising records."""
        self._task = asyncio.create_task(self._raise_all(), name=f"acks:{self._key}")

    async def close(self) -> None:
        """Stop raising records."""
        if self._task:
            await cancel(self._task)

    def sending(self, message_id: str, job_id: str) -> None:
        """Note that a message is in flight."""
        self._in_flight, self._acked = message_id, asyncio.Event()
        self._jobs[message_id] = job_id
        self._jobs.move_to_end(message_id)
        if len(self._jobs) > _MAX_MESSAGES:
            self._jobs.popitem(last=False)

    async def acked(self) -> None:
        """Wait until the page tells that WhatsApp's server has the message in flight."""
        await self._acked.wait()

    def settled(self) -> None:
        """Note that the outcome of the message in flight is stored, or that it is no longer in flight."""
        self._in_flight, held, self._held = None, self._held, []
        for fact in held:
            self.hear(fact)

    def hear(self, fact: AckChanged) -> None:
        """Take acks from the page."""
        if self._in_flight in fact.message_ids:
            # At most one per ack level and page load, so the list stays short.
            self._held.append(fact)
            if fact.ack >= ACK_SENT:
                self._acked.set()
            return
        for message_id in fact.message_ids:
            job_id = self._jobs.get(message_id)
            self._outbox.put(
                "message.ack",
                AckData(
                    message_id=message_id,
                    chat_id=fact.chat_id,
                    phone=fact.chat_id if fact.chat_id.endswith("@c.us") else None,
                    lid=fact.chat_id if fact.chat_id.endswith("@lid") else None,
                    job_id=job_id,
                    ack=fact.ack,
                    ack_name=ACK_NAMES.get(fact.ack, "UNKNOWN"),
                ),
                f"{self._key.session_id}.{message_id}.ack.{fact.ack}",
            )
            if job_id is not None:
                self._raises.append((job_id, fact.ack))
                self._stirred.set()

    async def _raise_all(self) -> None:
        while True:
            while self._raises:
                job_id, ack = self._raises.popleft()
                try:
                    await self._raise(job_id, ack)
                except WafleetError as exc:
                    # The event tells it too; the record is a convenience that the next ack brings up to date.
                    self._log.warning("record of job %s not raised to ack %d: %s", job_id, ack, exc)
            self._stirred.clear()
            await self._stirred.wait()

    async def _raise(self, job_id: str, ack: int) -> None:
        for _ in range(_CAS_TRIES):
            found = await self._records.get(job_id)
            raised = found and acknowledged(found.value, ack, self._clock.now())
            if not found or not raised or await self._records.update(raised, found.revision) is not None:
                return
