"""What is wanted of every session (``wa_sessions``) and what was last seen of it (``wa_status``).

``JetStreamRegistry`` serves supervisor and gateways from memory, kept up by the server; what a compare-and-set is built
on is always asked of the server. ``JetStreamStatusBoard`` is the session's own side. Imports mirrors and buckets.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError

from actors.errors import Unavailable
from actors.messages.base import encode
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.messages.replies import SessionStatus
from actors.ports import Revised
from gateway.buckets import Bucket
from gateway.connection import Bus
from gateway.mirror import Mirror
from gateway.streams import SESSIONS, STATUS


class JetStreamRegistry:
    """``actors.ports.Registry``. ``start`` it before use; every method raises ``Unavailable``."""

    def __init__(self, bus: Bus) -> None:
        self._desired: Final = Mirror(bus, SESSIONS, DesiredSession.model_validate_json)
        self._status: Final = Mirror(bus, STATUS, SessionStatus.model_validate_json)

    async def start(self) -> None:
        """Load both buckets and keep them up."""
        await self._desired.start()
        await self._status.start()

    async def stop(self) -> None:
        """End the background tasks; before the connection is closed."""
        await self._desired.stop()
        await self._status.stop()

    async def desired(self, key: SessionKey) -> Revised[DesiredSession] | None:
        """Return what is wanted of one session, asked of the server."""
        return await self._desired.fresh(_key(key))

    async def known(self, key: SessionKey) -> DesiredSession | None:
        """Return what is wanted of one session, from memory; the server is asked where memory has nothing."""
        return await self._desired.get(_key(key))

    async def refresh(self, key: SessionKey) -> None:
        """Ask the server for all that is known of a session, so that what somebody has just changed is seen here."""
        await asyncio.gather(self._desired.fresh(_key(key)), self._status.fresh(_key(key)))

    async def put_desired(self, desired: DesiredSession, revision: int | None) -> int | None:
        """Create (revision None) or compare-and-set; None if somebody else was faster."""
        key = SessionKey(desired.tenant_id, desired.session_id)
        return await self._desired.compare_and_set(_key(key), encode(desired), revision)

    async def all_desired(self) -> Sequence[DesiredSession]:
        """Return everything wanted, from memory."""
        return tuple(self._desired.values().values())

    async def status(self, key: SessionKey) -> SessionStatus | None:
        """Return the last status of a session, from memory; the server is asked where memory has nothing."""
        return await self._status.get(_key(key))

    async def all_statuses(self) -> Sequence[SessionStatus]:
        """Return the last status of every session, from memory."""
        return tuple(self._status.values().values())

    async def put_status(self, status: SessionStatus) -> None:
        """Store a status in the place of an owner that can't."""
        key = SessionKey(status.tenant_id, status.session_id)
        await self._status.put(_key(key), encode(status))


class JetStreamStatusBoard:
    """``actors.ports.StatusBoard`` of one session."""

    def __init__(self, bus: Bus, key: SessionKey) -> None:
        self._bucket: Final = Bucket(bus, STATUS)
        self._key: Final = _key(key)

    async def put(self, status: SessionStatus) -> None:
        """Store the newest status."""
        await self._bucket.put(self._key, encode(status))

    async def last(self) -> SessionStatus | None:
        """Return the status as it stands. Raises ``Unavailable``."""
        entry = await self._bucket.get(self._key)
        if entry is None:
            return None
        try:
            return SessionStatus.model_validate_json(entry.value)
        except ValidationError as exc:
            raise Unavailable(f"{STATUS}: {self._key} is not one this version can read: {exc}") from exc


def _key(key: SessionKey) -> str:
    return f"{key.tenant_id}.{key.session_id}"
