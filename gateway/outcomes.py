"""Who waits here for the outcome of a job, and the live events that tell it.

One plain subscription per session that somebody waits for, however many wait. Events that a lost connection swallows
are made up for by whoever waits: he looks at the record as well. Imports the connection, streams' subjects, messages.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from actors.errors import WafleetError
from actors.messages.events import JobEvent, parse_event
from actors.messages.ids import SessionKey
from gateway.connection import Bus
from gateway.streams import event_subject

_OUTCOMES: Final = frozenset({"sent", "failed", "unconfirmed"})

_log = logging.getLogger("wafleet.gateway")

Outcome = asyncio.Future[JobEvent]


@dataclass(slots=True)
class _Listening:
    """One session's subscription and who waits behind it."""

    subscription: asyncio.Task[Subscription]
    waiting: dict[str, list[Outcome]] = field(default_factory=dict)


class Outcomes:
    """Hands outcome events to those who wait for them."""

    def __init__(self, bus: Bus) -> None:
        self._bus: Final = bus
        self._sessions: Final[dict[SessionKey, _Listening]] = {}

    @asynccontextmanager
    async def expect(self, key: SessionKey, job_id: str) -> AsyncIterator[Outcome]:
        """Listen for a job's outcome; publish the job inside, then await the future. Raises ``Unavailable``."""
        outcome: Outcome = asyncio.get_running_loop().create_future()
        listening = self._sessions.get(key)
        if listening is None:
            listening = self._sessions[key] = _Listening(asyncio.create_task(self._subscribe(key)))
        listening.waiting.setdefault(job_id, []).append(outcome)
        try:
            await asyncio.shield(listening.subscription)
            yield outcome
        finally:
            outcome.cancel()
            await self._leave(key, listening, job_id, outcome)

    async def _subscribe(self, key: SessionKey) -> Subscription:
        async def take(msg: Msg) -> None:
            if msg.subject.rpartition(".")[2] in _OUTCOMES:
                self._take(key, msg.data)

        return await self._bus.subscribe(event_subject(key, "message.*"), take)

    def _take(self, key: SessionKey, body: bytes) -> None:
        listening = self._sessions.get(key)
        if listening is None:
            return
        try:
            event = parse_event(body)
        except WafleetError as exc:
            _log.warning("an event of %s cannot be read: %s", key, exc)
            return
        if not isinstance(event, JobEvent):
            return
        for outcome in listening.waiting.get(event.data.job_id, ()):
            if not outcome.done():
                outcome.set_result(event)

    async def _leave(self, key: SessionKey, listening: _Listening, job_id: str, outcome: Outcome) -> None:
        waiting = listening.waiting[job_id]
        waiting.remove(outcome)
        if not waiting:
            del listening.waiting[job_id]
        if listening.waiting or self._sessions.get(key) is not listening:
            return
        del self._sessions[key]
        if not listening.subscription.done():
            listening.subscription.cancel()
        elif listening.subscription.exception() is None:
            try:
                await listening.subscription.result().unsubscribe()
            except (OSError, nats.errors.Error) as exc:
                _log.debug("unsubscribe from %s: %r", key, exc)
