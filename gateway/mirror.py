"""A bucket held in memory and kept up by the server, for those who read much more often than is written.

Theory of operation. The bucket's stream republishes each stored change with its sequence to plain subscribers, so the
mirror needs no consumer: it subscribes, loads everything once, and takes whatever has the higher revision. Where it may
have missed changes (a lost connection) or revisions go back (a server that lost its last writes, a stream made anew) it
loads again, into a new map; until that is done ``get`` asks the server. Imports buckets' parts and the connection.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeAlias, TypeVar

from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from actors.clock import SystemClock
from actors.errors import Unavailable
from actors.ports import Revised
from gateway.buckets import Bucket, Entry
from gateway.connection import Bus
from gateway.streams import republished

T = TypeVar("T", bound=BaseModel)

_Held: TypeAlias = dict[str, Revised[T | None]]
"""Values by key; None is a deletion."""

_RETRY_S: Final = 0.5

_log = logging.getLogger("wafleet.nats")


class Mirror(Generic[T]):
    """All values of one bucket, parsed. ``start`` it before use; ``stop`` it before its connection is closed."""

    def __init__(self, bus: Bus, bucket: str, parse: Callable[[bytes], T]) -> None:
        self._bus: Final = bus
        self._bucket: Final = Bucket(bus, bucket)
        self._parse: Final = parse
        self._held: _Held[T] = {}
        self._coming: _Held[T] | None = None
        """What is being loaded in the place of ``_held``."""
        self._stale: Final = asyncio.Event()
        self._doubts = 0
        self._last_change = 0
        """Revision of the change heard last; 0 where the next may have any."""
        self._loader: asyncio.Task[None] | None = None
        self._forget: Callable[[], None] | None = None

    async def start(self) -> None:
        """Subscribe and load. Raises ``Unavailable``."""
        await self._bus.subscribe(f"{republished(self._bucket.name)}>", self._on_change)
        self._forget = self._bus.on_reconnected(self._doubt)
        await self._load()
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
        return {key: held.value for key, held in self._held.items() if held.value is not None}

    def peek(self, key: str) -> T | None:
        """Return the value held for a key, without asking the server."""
        held = self._held.get(key)
        return None if held is None else held.value

    async def get(self, key: str) -> T | None:
        """Return the value held for a key; ask the server where none is or it may be old. Raises ``Unavailable``."""
        if self._bus.is_connected and not self._stale.is_set() and (held := self.peek(key)):
            return held
        return None if (fresh := await self.fresh(key)) is None else fresh.value

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

    def _take(self, entry: Entry, *, is_deletion: bool = False) -> None:
        self._hold(self._held, entry, is_deletion=is_deletion)
        if self._coming is not None:
            self._hold(self._coming, entry, is_deletion=is_deletion)

    def _hold(self, values: _Held[T], entry: Entry, *, is_deletion: bool = False) -> None:
        if _revision(values, entry.key) >= entry.revision:
            return
        try:
            values[entry.key] = Revised(None if is_deletion else self._read(entry), entry.revision)
        except Unavailable as exc:
            _log.error("%s", exc)

    async def _on_change(self, msg: Msg) -> None:
        headers = msg.headers or {}
        revision = int(headers["Nats-Sequence"])
        if revision < self._last_change:
            self._doubt()
        self._last_change = revision
        key = msg.subject.removeprefix(republished(self._bucket.name))
        self._take(Entry(key, msg.data, revision), is_deletion="KV-Operation" in headers)

    def _doubt(self) -> None:
        """Note that what is held may no longer be so."""
        self._doubts += 1
        self._last_change = 0
        self._stale.set()

    async def _load(self) -> None:
        """Read everything anew; changes seen meanwhile go in as well."""
        coming: _Held[T] = {}
        self._coming = coming
        try:
            async for entry in self._bucket.entries():
                self._hold(coming, entry)
            for key in [key for key, held in self._held.items() if _revision(coming, key) < held.revision]:
                # The server lost it, or a replica has answered that lags: only the leader can tell.
                if (leaders := await self._bucket.leaders(key)) is not None:
                    self._hold(coming, leaders)
            self._held = coming
        finally:
            self._coming = None

    async def _reload(self) -> None:
        """Load again whenever what is held is in doubt, until it worked and no new doubt came up meanwhile."""
        while True:
            await self._stale.wait()
            doubts = self._doubts
            try:
                await self._load()
            except Unavailable as exc:
                _log.warning("%s: reading it again failed, trying on: %s", self._bucket.name, exc)
            except Exception:  # noqa: BLE001 - without its loader the mirror would be stale for good
                _log.exception("%s: reading it again failed, trying on", self._bucket.name)
            else:
                if doubts == self._doubts:
                    self._stale.clear()
                continue
            await SystemClock().sleep(_RETRY_S)


def _revision(values: _Held[T], key: str) -> int:
    return held.revision if (held := values.get(key)) else 0
