"""Object stores with compare-and-set, in the stock format of NATS ADR-20 (``nats object`` reads and lists them).

An object is a message of meta data per name and its chunks on a subject of their own, which the meta data names. A
change of an object writes new chunks first and then, by compare-and-set, the meta data: readers see the old object or
the new one, and of two writers one wins. Chunks are written and read a few at a time, so that files of any size need
little memory. Imports the connection, answers and direct reads.
"""

import asyncio
import base64
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from actors.errors import Unavailable
from gateway.answers import EXPECTED_LAST, Refused, publish_ack
from gateway.connection import Bus
from gateway.direct import last_message, read_batch
from gateway.inbox import Question

CHUNK_BYTES: Final = 128 * 1024
"""ADR-20's default; any server takes messages of that size."""
_IN_FLIGHT: Final = 8
_READ_BATCH: Final = 16
_DIGEST: Final = "SHA-256="
_ROLLUP: Final = {"Nats-Rollup": "sub"}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's meta data."""

    name: str
    nuid: str
    """Names the subject of its chunks."""
    metadata: Mapping[str, str]
    revision: int
    """What a compare-and-set of its name is built on."""


class ObjectStore:
    """One object store. Every method raises ``Unavailable`` where JetStream does not answer or refuses."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._bus: Final = bus
        self._name: Final = name
        self._stream: Final = f"OBJ_{name}"
        self._chunks: Final = f"$O.{name}.C."

    async def find(self, name: str) -> StoredObject | None:
        """Return an object's meta data."""
        found = await last_message(self._bus, self._stream, self._meta_subject(name))
        if found is None:
            return None
        info: dict[str, Any] = orjson.loads(found.body)
        if info.get("deleted"):
            return None
        metadata = {str(key): str(value) for key, value in (info.get("metadata") or {}).items()}
        return StoredObject(name, info["nuid"], metadata, found.seq)

    async def put(
        self, name: str, nuid: str, content: AsyncIterator[bytes], metadata: Mapping[str, str], *, revision: int
    ) -> bool:
        """Store an object in the place of the one at a revision (0: of none).

        Args:
            name: The object.
            nuid: Name for its chunks, never used before.
            content: Pieces of at most ``CHUNK_BYTES``.
            metadata: Shown beside it.
            revision: What its name must still be at.

        Returns:
            False if somebody else has written it meanwhile; then nothing changed.
        """
        info = {"name": name, "bucket": self._name, "nuid": nuid, "metadata": dict(metadata)}
        try:
            info |= await self._put_chunks(nuid, content)
        except Unavailable:
            await self._drop_after_failure(nuid)
            raise
        info["options"] = {"max_chunk_size": CHUNK_BYTES}
        headers = {EXPECTED_LAST: str(revision), **_ROLLUP}
        # Where this has no answer it may be stored, so its chunks stay: a later sweep of its writer knows.
        answer = await self._bus.store(self._meta_subject(name), orjson.dumps(info), headers=headers)
        if not isinstance(answer, Refused):
            return True
        await self._drop_after_failure(nuid)
        if answer.lost_race:
            return False
        raise answer.unavailable(f"a write to {self._name}")

    async def read(self, stored: StoredObject) -> AsyncIterator[bytes]:
        """Yield an object's chunks in order; whether they are complete is the caller's to check."""
        seq = 1
        while True:
            query = {"next_by_subj": self._chunks + stored.nuid, "seq": seq, "batch": _READ_BATCH}
            page = await read_batch(self._bus, self._stream, query)
            for message in page.messages:
                yield message.body
                seq = message.seq + 1
            if not page.messages or page.pending == 0:
                return

    async def delete(self, stored: StoredObject) -> None:
        """Delete an object, without the mark that stays behind after a deletion by the stock clients."""
        await self._purge(self._meta_subject(stored.name))
        await self.drop_chunks(stored.nuid)

    async def drop_chunks(self, nuid: str) -> None:
        """Delete chunks that no meta data names."""
        await self._purge(self._chunks + nuid)

    async def chunk_names(self, prefix: str) -> list[str]:
        """List the names of all chunks that begin with a token and a dot."""
        answer = await self._bus.api(f"STREAM.INFO.{self._stream}", {"subjects_filter": f"{self._chunks}{prefix}.>"})
        if isinstance(answer, Refused):
            raise answer.unavailable(f"a look at {self._name}")
        subjects: Mapping[str, int] = answer["state"].get("subjects") or {}
        return [subject.removeprefix(self._chunks) for subject in subjects]

    async def _put_chunks(self, nuid: str, content: AsyncIterator[bytes]) -> dict[str, Any]:
        size, count, digest = 0, 0, hashlib.sha256()
        waiting: deque[Question] = deque()
        try:
            async for chunk in content:
                digest.update(chunk)
                size, count = size + len(chunk), count + 1
                waiting.append(await self._bus.begin(self._chunks + nuid, chunk))
                if len(waiting) >= _IN_FLIGHT:
                    await self._stored(waiting.popleft())
            while waiting:
                await self._stored(waiting.popleft())
        except Unavailable:
            # The server takes a purge before chunks that still wait for the stream: these would stay behind.
            await asyncio.gather(*(question.answer() for question in waiting), return_exceptions=True)
            raise
        finally:
            for question in waiting:
                question.end()
        encoded = base64.urlsafe_b64encode(digest.digest()).decode()
        return {"size": size, "chunks": count, "digest": _DIGEST + encoded}

    async def _stored(self, question: Question) -> None:
        answer = publish_ack(await question.answer())
        if isinstance(answer, Refused):
            raise answer.unavailable(f"a write to {self._name}")

    async def _drop_after_failure(self, nuid: str) -> None:
        try:
            await self.drop_chunks(nuid)
        except Unavailable:
            # The next writer of this session finds them by their name.
            return

    async def _purge(self, subject: str) -> None:
        answer = await self._bus.api(f"STREAM.PURGE.{self._stream}", {"filter": subject})
        if isinstance(answer, Refused):
            raise answer.unavailable(f"a deletion in {self._name}")

    def _meta_subject(self, name: str) -> str:
        return f"$O.{self._name}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"
