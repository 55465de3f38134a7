"""Key-value buckets with compare-and-set, straight on JetStream's messages (NATS ADR-8).

nats-py's ``KeyValue`` does the same through two more layers; here every call goes through the one connection with its
deadline and size check, and a lost race is a value (None), not an exception. Imports the connection and direct reads.
"""

from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from math import ceil
from typing import Final

from nats.aio.msg import Msg

from gateway.answers import EXPECTED_LAST, Refused, Stored, publish_ack
from gateway.connection import Bus
from gateway.direct import last_message, read_all
from gateway.inbox import Begun, begun

_NO_MESSAGE: Final = 10037
_DELETION_MARKS: Final = (b"KV-Operation", b"Nats-Marker-Reason")
_TTL: Final = "Nats-TTL"
"""Header of a message that goes earlier than its stream's ``max_age`` says (NATS ADR-43), in whole seconds."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's value and the revision a compare-and-set names."""

    key: str
    value: bytes
    revision: int


class Bucket:
    """One bucket. Every method raises ``Unavailable`` where JetStream does not answer or refuses."""

    def __init__(self, bus: Bus, name: str) -> None:
        self.name: Final = name
        self._bus: Final = bus
        self._stream: Final = f"KV_{name}"
        self._prefix: Final = f"$KV.{name}."

    async def get(self, key: str) -> Entry | None:
        """Return a key's value."""
        found = await last_message(self._bus, self._stream, self._prefix + key)
        return None if found is None or found.is_deletion else Entry(key, found.body, found.seq)

    async def leaders(self, key: str) -> Entry | None:
        """Return a key's value as the stream's leader has it: ``get`` may read from a replica that lags."""
        answer = await self._bus.api(f"STREAM.MSG.GET.{self._stream}", {"last_by_subj": self._prefix + key})
        if isinstance(answer, Refused):
            if answer.err_code == _NO_MESSAGE:
                return None
            raise answer.unavailable(f"a look at {key} of {self.name}")
        message = answer["message"]
        headers = b64decode(message.get("hdrs", ""))
        if any(mark in headers for mark in _DELETION_MARKS):
            return None
        return Entry(key, b64decode(message.get("data", "")), message["seq"])

    async def entries(self) -> AsyncIterator[Entry]:
        """Read all keys, the longest unchanged first."""
        async for message in read_all(self._bus, self._stream, f"{self._prefix}>"):
            if not message.is_deletion:
                yield Entry(message.subject.removeprefix(self._prefix), message.body, message.seq)

    async def put(self, key: str, value: bytes) -> int:
        """Store a value whatever was there; return its revision."""
        answer = await self._bus.store(self._prefix + key, value)
        if isinstance(answer, Refused):
            raise answer.unavailable(f"a write to {self.name}")
        return answer.seq

    async def create(self, key: str, value: bytes) -> int | None:
        """Store a value where there is none; None if there is one. A deleted key counts as none."""
        revision = await self.update(key, value, 0)
        return await self._create_over_deletion(key, value) if revision is None else revision

    async def begin_create(self, key: str, value: bytes) -> Begun[int | None]:
        """Send a ``create`` whose outcome is waited for later."""

        async def judge(answer: Msg) -> int | None:
            revision = self._revision(publish_ack(answer))
            return await self._create_over_deletion(key, value) if revision is None else revision

        return await begun(self._bus.begin(self._prefix + key, value, headers={EXPECTED_LAST: "0"}), judge)

    async def _create_over_deletion(self, key: str, value: bytes) -> int | None:
        """Create where the first try met something: a value, the mark of a deletion, or what has just expired."""
        found = await last_message(self._bus, self._stream, self._prefix + key)
        if found is None:
            return await self.update(key, value, 0)
        return await self.update(key, value, found.seq) if found.is_deletion else None

    async def update(self, key: str, value: bytes, revision: int, *, ttl_s: float | None = None) -> int | None:
        """Replace a value that is still at a revision; None if it is not.

        Args:
            key: The key.
            value: Its new value.
            revision: What it must be at.
            ttl_s: How long the value is kept, where that is shorter than in the whole bucket, which must allow it.
        """
        return await self._write(key, value, {EXPECTED_LAST: str(revision)}, ttl_s)

    async def delete(self, key: str, revision: int, *, ttl_s: float | None = None) -> bool:
        """Delete a key that is still at a revision; False if it is not. The mark of it is kept as in ``update``."""
        headers = {EXPECTED_LAST: str(revision), "KV-Operation": "DEL"}
        return await self._write(key, b"", headers, ttl_s) is not None

    async def _write(self, key: str, value: bytes, headers: dict[str, str], ttl_s: float | None) -> int | None:
        if ttl_s is not None:
            headers[_TTL] = str(ceil(ttl_s))
        return self._revision(await self._bus.store(self._prefix + key, value, headers=headers))

    def _revision(self, answer: Stored | Refused) -> int | None:
        if isinstance(answer, Refused):
            if answer.lost_race:
                return None
            raise answer.unavailable(f"a write to {self.name}")
        return answer.seq
