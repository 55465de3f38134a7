"""Leases in ``wa_leases`` and epochs in ``wa_epochs``: who owns a session, and its fencing number.

A lease ends by the bucket's TTL, never early (seen: 3.07-3.26 s at a TTL of 3 s), or by a compare-and-set deletion.
Imports buckets. The times are ``actors.config.LeaseConfig``'s; the rules are the actor's.
"""

from typing import Final

from pydantic import ValidationError

from actors.errors import Unavailable
from actors.messages.base import encode
from actors.messages.ids import SessionKey
from actors.messages.records import EpochRecord, LeaseRecord
from actors.ports import Revised
from gateway.buckets import Bucket
from gateway.connection import Bus
from gateway.streams import EPOCHS, LEASES

SUPERVISOR_LEASE: Final = "_supervisor"
"""Has no dot, so no session's key can be equal."""
_EPOCH_TRIES: Final = 20


class JetStreamLeaseStore:
    """``actors.ports.LeaseStore`` of one holder's key. Every method raises ``Unavailable``."""

    def __init__(self, bus: Bus, key: str) -> None:
        self._key: Final = key
        self._leases: Final = Bucket(bus, LEASES)
        self._epochs: Final = Bucket(bus, EPOCHS)

    @classmethod
    def of_session(cls, bus: Bus, key: SessionKey) -> "JetStreamLeaseStore":
        """Build the store of a session's lease."""
        return cls(bus, f"{key.tenant_id}.{key.session_id}")

    async def create(self, record: LeaseRecord) -> int | None:
        """Take a free lease and return its revision; None if somebody holds it."""
        return await self._leases.create(self._key, encode(record))

    async def renew(self, record: LeaseRecord, revision: int) -> int | None:
        """Renew by compare-and-set; None on "wrong last sequence"."""
        return await self._leases.update(self._key, encode(record), revision)

    async def read(self) -> Revised[LeaseRecord] | None:
        """Return the lease as it is now."""
        entry = await self._leases.get(self._key)
        if entry is None:
            return None
        try:
            return Revised(LeaseRecord.model_validate_json(entry.value), entry.revision)
        except ValidationError as exc:
            raise Unavailable(f"the lease {self._key} is not one this version can read: {exc}") from exc

    async def release(self, revision: int) -> bool:
        """Give the lease up if it is still at that revision; False if it is not."""
        return await self._leases.delete(self._key, revision)

    async def raise_epoch(self) -> int:
        """Count the epoch up and return it."""
        for _ in range(_EPOCH_TRIES):
            entry = await self._epochs.get(self._key)
            epoch = 1 if entry is None else EpochRecord.model_validate_json(entry.value).epoch + 1
            value = encode(EpochRecord(epoch=epoch))
            if entry is None:
                done = await self._epochs.create(self._key, value)
            else:
                done = await self._epochs.update(self._key, value, entry.revision)
            if done is not None:
                return epoch
        raise Unavailable(f"the epoch of {self._key} changed {_EPOCH_TRIES} times while it was raised")
