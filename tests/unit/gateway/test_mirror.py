"""A bucket in memory, where the server may say something else by now: it is asked until all is loaded again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from actors.errors import Unavailable
from actors.messages.base import encode
from actors.messages.ids import SessionKey
from actors.messages.replies import SessionStatus
from gateway.buckets import Entry
from gateway.mirror import Mirror
from gateway.streams import STATUS, republished
from tests.gateway.building import make_status
from tests.support.fakes import settle

KEY = SessionKey("acme", "s1")
NAME = "acme.s1"


def _entry(state: str, revision: int, name: str = NAME) -> Entry:
    return Entry(name, encode(make_status(KEY, state)), revision)


class _Bus:
    """A connection that a test loses and brings back, and whose subscription it feeds."""

    def __init__(self) -> None:
        self.is_connected = True
        self.came_back: list[Callable[[], None]] = []
        self._listener: Callable[[Msg], Awaitable[None]] | None = None

    async def subscribe(self, _subject: str, listener: Callable[[Msg], Awaitable[None]]) -> None:
        self._listener = listener

    def on_reconnected(self, hook: Callable[[], None]) -> Callable[[], None]:
        self.came_back.append(hook)
        return lambda: self.came_back.remove(hook)

    async def tell(self, entry: Entry) -> None:
        headers = {"Nats-Sequence": str(entry.revision)}
        assert self._listener is not None
        subject = f"{republished(STATUS)}{entry.key}"
        await self._listener(Msg(_client=Client(), subject=subject, data=entry.value, headers=headers))

    async def come_back(self) -> None:
        self.is_connected = True
        for hook in self.came_back:
            hook()
        await settle()


class _Bucket:
    """What the server has; a replica may lag behind, and reading all of it may wait or fail."""

    name = STATUS

    def __init__(self, *entries: Entry) -> None:
        self.stored = {entry.key: entry for entry in entries}
        self.replica: dict[str, Entry] | None = None
        self.asked = 0
        self.errors: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def store(self, entry: Entry) -> None:
        self.stored[entry.key] = entry

    async def entries(self) -> AsyncIterator[Entry]:
        if self.errors:
            raise self.errors.pop(0)
        found = list((self.stored if self.replica is None else self.replica).values())
        await self.gate.wait()
        for entry in found:
            yield entry

    async def get(self, key: str) -> Entry | None:
        self.asked += 1
        return self.stored.get(key)

    async def leaders(self, key: str) -> Entry | None:
        return self.stored.get(key)


Started = tuple[Mirror[SessionStatus], _Bus, _Bucket]


@pytest.fixture
async def started(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Started]:
    bucket = _Bucket(_entry("failed", 5_000))
    monkeypatch.setattr("gateway.mirror.Bucket", lambda *_: bucket)
    monkeypatch.setattr("gateway.mirror._RETRY_S", 0.0)
    bus: Any = _Bus()
    mirror = Mirror(bus, STATUS, SessionStatus.model_validate_json)
    await mirror.start()
    yield mirror, bus, bucket
    await mirror.stop()
    assert bus.came_back == []


async def _state(mirror: Mirror[SessionStatus]) -> str | None:
    found = await mirror.get(NAME)
    return None if found is None else found.state


async def test_what_is_held_is_answered_without_a_question(started: Started) -> None:
    mirror, _, bucket = started
    assert (await _state(mirror), bucket.asked) == ("failed", 0)


async def test_the_server_is_asked_from_the_loss_of_the_connection_until_all_is_loaded_again(started: Started) -> None:
    mirror, bus, bucket = started
    bus.is_connected = False
    bucket.store(_entry("ready", 5_003))
    assert await _state(mirror) == "ready"
    bucket.store(_entry("logged_out", 5_005))
    bucket.gate.clear()
    await bus.come_back()
    assert await _state(mirror) == "logged_out"
    bucket.gate.set()
    await settle()
    bucket.asked = 0
    assert (await _state(mirror), bucket.asked) == ("logged_out", 0)


async def test_a_connection_lost_again_while_loading_is_loaded_after_once_more(started: Started) -> None:
    mirror, bus, bucket = started
    bucket.gate.clear()
    await bus.come_back()
    bus.is_connected = False
    bucket.store(_entry("ready", 5_003))
    await bus.come_back()
    bucket.gate.set()
    await settle()
    assert (await _state(mirror), bucket.asked) == ("ready", 0)


async def test_a_change_seen_while_loading_is_kept(started: Started) -> None:
    mirror, bus, bucket = started
    bucket.gate.clear()
    await bus.come_back()
    bucket.store(changed := _entry("ready", 5_001))
    await bus.tell(changed)
    bucket.gate.set()
    await settle()
    assert (await _state(mirror), bucket.asked) == ("ready", 0)


async def test_a_server_that_lost_its_last_writes_is_believed(started: Started) -> None:
    mirror, bus, bucket = started
    bucket.store(_entry("ready", 4_996))
    await bus.come_back()
    assert (await _state(mirror), bucket.asked) == ("ready", 0)
    await bus.tell(_entry("stopped", 4_997))
    assert (await _state(mirror), bucket.asked) == ("stopped", 0)


async def test_what_the_server_no_longer_has_is_not_held(started: Started) -> None:
    mirror, bus, bucket = started
    bucket.stored.clear()
    await bus.come_back()
    assert await _state(mirror) is None
    assert mirror.values() == {}


async def test_a_replica_that_lags_takes_nothing_back(started: Started) -> None:
    mirror, bus, bucket = started
    for lagging in ({}, {NAME: _entry("starting", 4_990)}):
        bucket.replica = lagging
        await bus.come_back()
        assert (await _state(mirror), bucket.asked) == ("failed", 0)


async def test_revisions_that_start_over_while_connected_are_noticed(started: Started) -> None:
    mirror, bus, bucket = started
    await bus.tell(_entry("failed", 5_001, "acme.other"))
    for revision, state in ((1, "starting"), (2, "ready")):
        bucket.store(changed := _entry(state, revision))
        await bus.tell(changed)
        await settle()
        assert (await _state(mirror), bucket.asked) == (state, 0)


async def test_whatever_goes_wrong_while_loading_it_is_tried_again(
    started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    mirror, bus, bucket = started
    bucket.errors = [Unavailable("no answer"), ValueError("a bug")]
    bucket.store(_entry("ready", 5_003))
    await bus.come_back()
    assert (await _state(mirror), bucket.asked) == ("ready", 0)
    assert caplog.text.count("reading it again failed, trying on") == 2
