"""A bucket held in memory and kept up by the server, for those who read much more often than is written.

Theory of operation. The bucket's stream republishes each stored change with its sequence to plain subscribers, so the
mirror needs no consumer: it subscribes, loads everything once, and takes whatever has the higher revision. After a lost
connection it loads again. Imports buckets' parts and the connection.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from actors.clock import SystemClock
from actors.errors import Unavailable
from actors.ports import Revised
from gateway.buckets import Bucket, Entry
from gateway.connection import Bus
from gateway.streams import republished

T = TypeVar("T", bound=BaseModel)

_RETRY_S: Final = 0.5

_log = logging.getLogger("wafleet.nats")


class Mirror(Generic[T]):
    """All values of one bucket, parsed. ``start`` it before use; ``stop`` it before its connection is closed."""

    def __init__(self, bus: Bus, bucket: str, parse: Callable[[bytes], T]) -> None:
        self._bus: Final = bus
        self._bucket: Final = Bucket(bus, bucket)
        self._parse: Final = parse
        self._held: Final[dict[str, Revised[T] | None]] = {}
        self._stale: Final = asyncio.Event()
        self._loader: asyncio.Task[None] | None = None
        self._forget: Callable[[], None] | None = None

    async def start(self) -> None:
        """Subscribe and load. Raises ``Unavailable``."""
        await self._bus.subscribe(f"{republished(self._bucket.name)}>", self._on_change)
        await self._load()
        self._forget = self._bus.on_reconnected(self._stale.set)
        self._loader = asyncio.create_task(self._reload())

    async def stop(self) -> None:
        """End the background task."""
        if self._forget is not None:
            self._forget()
        if self._loader is not None:
            self._loader.cancel()
            await asyncio.gather(self._loader, return_exceptions=True)

    def values(self) -> Mapping[str, T]:
        """Return all values by key, as they are held now."""
        return {key: held.value for key, held in self._held.items() if held is not None}

    def peek(self, key: str) -> T | None:
        """Return the value held for a key, without asking the server."""
        held = self._held.get(key)
        return None if held is None else held.value

    async def get(self, key: str) -> T | None:
        """Return the value held for a key, or ask the server where none is. Raises ``Unavailable``."""
        return self.peek(key) or (None if (fresh := await self.fresh(key)) is None else fresh.value)

    async def fresh(self, key: str) -> Revised[T] | None:
        """Ask the server for a value and its revision. Raises ``Unavailable``."""
        entry = await self._bucket.get(key)
        if entry is None:
            return None
        self._take(entry)
        return Revised(self._read(entry), entry.revision)

    async def put(self, key: str, value: bytes) -> int:
        """Store a value whatever was there; it can be read here at once. Raises ``Unavailable``."""
        revision = await self._bucket.put(key, value)
        self._take(Entry(key, value, revision))
        return revision

    async def compare_and_set(self, key: str, value: bytes, revision: int | None) -> int | None:
        """Create (revision None) or replace a value; None if somebody else was faster. Raises ``Unavailable``."""
        if revision is None:
            done = await self._bucket.create(key, value)
        else:
            done = await self._bucket.update(key, value, revision)
        if done is not None:
            self._take(Entry(key, value, done))
        return done

    def _read(self, entry: Entry) -> T:
        try:
            return self._parse(entry.value)
        except ValidationError as exc:
            raise Unavailable(f"{self._bucket.name}: {entry.key} is not one this version can read: {exc}") from exc

    def _take(self, entry: Entry) -> None:
        if self._is_old(entry):
            return
        try:
            self._held[entry.key] = Revised(self._read(entry), entry.revision)
        except Unavailable as exc:
            _log.error("%s", exc)

    def _is_old(self, entry: Entry) -> bool:
        held = self._held.get(entry.key)
        return held is not None and held.revision >= entry.revision

    async def _on_change(self, msg: Msg) -> None:
        headers = msg.headers or {}
        key = msg.subject.removeprefix(republished(self._bucket.name))
        entry = Entry(key, msg.data, int(headers["Nats-Sequence"]))
        if "KV-Operation" not in headers:
            self._take(entry)
        elif not self._is_old(entry):
            self._held[key] = None

    async def _load(self) -> None:
        async for entry in self._bucket.entries():
            self._take(entry)

    async def _reload(self) -> None:
        """Load again whenever changes may have been missed, until it worked."""
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                await self._load()
            except Unavailable as exc:
                _log.warning("%s: reading it again failed, trying on: %s", self._bucket.name, exc)
                self._stale.set()
                await SystemClock().sleep(_RETRY_S)
