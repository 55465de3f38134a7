"""Profile heads in ``wa_profile_heads``: which copy of a session's profile is the newest. Imports buckets."""

from typing import Final

from pydantic import ValidationError

from actors.errors import Unavailable
from actors.messages.base import encode
from actors.messages.ids import SessionKey
from actors.messages.records import ProfileHead
from gateway.buckets import Bucket
from gateway.connection import Bus
from gateway.streams import PROFILE_HEADS


class JetStreamProfileHeads:
    """``actors.ports.ProfileHeads`` of one session. Both methods raise ``Unavailable``."""

    def __init__(self, bus: Bus, key: SessionKey) -> None:
        self._bucket: Final = Bucket(bus, PROFILE_HEADS)
        self._key: Final = f"{key.tenant_id}.{key.session_id}"

    async def read(self) -> ProfileHead | None:
        """Return the head."""
        entry = await self._bucket.get(self._key)
        if entry is None:
            return None
        try:
            return ProfileHead.model_validate_json(entry.value)
        except ValidationError as exc:
            raise Unavailable(f"the profile head {self._key} is not one this version can read: {exc}") from exc

    async def write(self, head: ProfileHead) -> None:
        """Store the head; only the lease owner does."""
        await self._bucket.put(self._key, encode(head))
