"""Profile heads in ``wa_profile_heads``: which copy of a session's profile is the newest. Imports buckets.

A head is written by compare-and-set on what was just read, and never over one of a higher epoch: an owner that was cut
off cannot name its own copy the newest after the next one has launched another, however late its write arrives.
"""

from typing import Final

from pydantic import ValidationError

from actors.core import profiles
from actors.errors import Unavailable
from actors.messages.base import encode
from actors.messages.ids import SessionKey
from actors.messages.records import ProfileHead
from gateway.buckets import Bucket, Entry
from gateway.connection import Bus
from gateway.streams import PROFILE_HEADS

_TRIES: Final = 3
"""Of a compare-and-set that another write came before."""


class JetStreamProfileHeads:
    """``actors.ports.ProfileHeads`` of one session. Both methods raise ``Unavailable``."""

    def __init__(self, bus: Bus, key: SessionKey) -> None:
        self._bucket: Final = Bucket(bus, PROFILE_HEADS)
        self._key: Final = f"{key.tenant_id}.{key.session_id}"

    async def read(self) -> ProfileHead | None:
        """Return the head."""
        entry = await self._bucket.get(self._key)
        return self._parsed(entry) if entry else None

    async def write(self, head: ProfileHead) -> None:
        """Store the head, unless an owner of a higher epoch has written: not even where this write arrives late."""
        for _ in range(_TRIES):
            entry = await self._bucket.get(self._key)
            stored = self._parsed(entry) if entry else None
            if stored and not profiles.may_replace(head, stored):
                raise Unavailable(
                    f"the profile head {self._key} is of epoch {stored.epoch}: that owner has replaced {head.epoch}"
                )
            if entry:
                revision = await self._bucket.update(self._key, encode(head), entry.revision)
            else:
                revision = await self._bucket.create(self._key, encode(head))
            if revision is not None:
                return
        raise Unavailable(f"the profile head {self._key} changed {_TRIES} times while it was written")

    def _parsed(self, entry: Entry) -> ProfileHead:
        try:
            return ProfileHead.model_validate_json(entry.value)
        except ValidationError as exc:
            raise Unavailable(f"the profile head {self._key} is not one this version can read: {exc}") from exc
