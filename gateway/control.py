"""Commands that change what is wanted of a session: they go to the supervisor, which writes it down and acts.

Reaches the supervisor through the ControlPlane port. Imports queries.
"""

from typing import Final

from actors.messages.commands import (
    Command,
    QueueQuery,
    SessionPause,
    SessionResume,
    SessionStart,
)
from actors.messages.ids import SessionKey
from actors.messages.replies import ErrorBody, QueueReply, Reply
from actors.ports import ControlPlane
from gateway.admission import Bound
from gateway.queries import Queries

SUPERVISOR_TIMEOUT_S: Final = 27.0
"""Longer than the supervisor gives a logout, which unlinks the device first, and shorter than any asker waits."""


class Control:
    """Passes orders on to the supervisor."""

    def __init__(self, *, queries: Queries, control: ControlPlane, asking: Bound) -> None:
        self._queries: Final = queries
        self._control: Final = control
        self._asking: Final = asking

    async def start(self, key: SessionKey, command: SessionStart) -> Reply | ErrorBody:
        """Carry out ``session.start``, also for a session never heard of."""
        return await self._order(key, command)

    async def order(self, key: SessionKey, command: Command) -> Reply | ErrorBody:
        """Carry out stop, restart or logout. Raises ``UnknownSession``."""
        await self._queries.known(key)
        return await self._order(key, command)

    async def hold(self, key: SessionKey, command: SessionPause | SessionResume) -> Reply | ErrorBody:
        """Carry out pause or resume; the answer is the queue."""
        await self._queries.known(key)
        done = await self._order(key, command)
        if isinstance(done, ErrorBody | QueueReply):
            return done
        queue = await self._queries.queue(key, QueueQuery())
        if isinstance(queue, ErrorBody):
            return queue
        return queue.model_copy(update={"paused": isinstance(command, SessionPause)})

    async def _order(self, key: SessionKey, command: Command) -> Reply | ErrorBody:
        with self._asking.place(key):
            done = await self._control.ask_supervisor(key, command, SUPERVISOR_TIMEOUT_S)
        # Whoever was answered may ask on at once; the copies in memory are told of the change a moment later only.
        await self._queries.refresh(key)
        return done
