"""Events: stored once, numbered on, followed live and from the past."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from actors.messages.ids import SessionKey
from gateway.connection import Bus, connect
from gateway.direct import Batch, read_batch
from gateway.events import EventOutbox, JetStreamEventSink, live_events, stored_events
from gateway.streams import ensure, event_subject
from tests.gateway.building import make_event
from tests.support.nats import NatsServer

pytestmark = pytest.mark.nats
T = TypeVar("T")


async def _next(events: AsyncIterator[T]) -> T:
    async with asyncio.timeout(5):
        return await anext(events)


async def test_the_last_seq_is_the_highest_the_owner_stored(bus: Bus, key: SessionKey) -> None:
    sink = JetStreamEventSink(bus, key)
    assert await sink.last_seq() == 0
    names = ("session.starting", "session.ready", "session.disconnected", "session.ready")
    for number, name in enumerate(names, start=1):
        await sink.publish(make_event(key, number, seq=number, event=name))
    await sink.publish(make_event(key, 99, seq=None, event="session.failed"))
    await JetStreamEventSink(bus, SessionKey(key.tenant_id, "s2")).publish(
        make_event(SessionKey(key.tenant_id, "s2"), 1, seq=50)
    )
    assert await sink.last_seq() == 4


OWNED = ("session.starting", "job.sending", "message.sent", "message.failed")
STORED = st.tuples(st.sampled_from((*OWNED, "job.accepted")), st.booleans())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])  # each has a session of its own
@example(story=[("session.starting", True), ("message.failed", True), ("message.failed", False)])
@example(story=[("message.failed", True), ("message.failed", False), ("job.accepted", False)])
@given(story=st.lists(STORED, max_size=8))
async def test_what_a_gateway_says_of_a_job_hides_no_number_of_the_owner(
    bus: Bus, story: list[tuple[str, bool]]
) -> None:
    key = SessionKey(f"t-{uuid4().hex[:12]}", "s1")
    seq = 0
    for name, owned in story:
        numbered = owned and name in OWNED
        seq += numbered
        await bus.store(event_subject(key, name), orjson.dumps({"seq": seq if numbered else None}))
    assert await JetStreamEventSink(bus, key).last_seq() == seq


async def test_an_event_published_twice_is_stored_once_but_not_mixed_up_between_sessions(
    bus: Bus, key: SessionKey
) -> None:
    other = SessionKey(key.tenant_id, "s2")
    for each in (key, key, other):
        await JetStreamEventSink(bus, each).publish(make_event(each, 1, seq=1))
    subject = event_subject(SessionKey(key.tenant_id, "*"), ">")
    stored = [found.event.session_id async for found in stored_events(bus, subject, follow=False)]
    assert stored == [key.session_id, "s2"]


async def test_live_events_begin_where_the_context_begins(bus: Bus, key: SessionKey) -> None:
    sink = JetStreamEventSink(bus, key)
    await sink.publish(make_event(key, 1, seq=1))
    async with live_events(bus, event_subject(key, ">")) as events:
        await sink.publish(make_event(key, 2, seq=2))
        await bus.publish(event_subject(key, "session.ready"), b"not an event")
        await sink.publish(make_event(key, 3, seq=3))
        assert [(await _next(events)).seq for _ in range(2)] == [2, 3]


async def test_stored_events_are_replayed_and_followed_without_a_gap(bus: Bus, key: SessionKey) -> None:
    sink = JetStreamEventSink(bus, key)
    for number in range(1, 301):
        await sink.publish(make_event(key, number, seq=number))
    async with aclosing(stored_events(bus, event_subject(key, ">"))) as events:
        seen = [await _next(events) for _ in range(300)]
        publishing = asyncio.gather(*(sink.publish(make_event(key, n, seq=n)) for n in range(301, 401)))
        seen += [await _next(events) for _ in range(100)]
        await publishing
    assert [found.event.seq for found in seen[:300]] == list(range(1, 301))
    assert {found.event.seq for found in seen} == set(range(1, 401))
    rest = stored_events(bus, event_subject(key, ">"), after_seq=seen[-2].stream_seq, follow=False)
    assert [found async for found in rest] == seen[-1:]


async def test_events_are_replayed_from_a_moment(bus: Bus, key: SessionKey) -> None:
    sink = JetStreamEventSink(bus, key)
    await sink.publish(make_event(key, 1, seq=1))
    moment = datetime.now(UTC)
    await sink.publish(make_event(key, 2, seq=2))
    subject = event_subject(key, ">")
    assert [found.event.seq async for found in stored_events(bus, subject, since=moment, follow=False)] == [2]


async def test_the_outbox_stores_everything_before_it_closes(bus: Bus, key: SessionKey) -> None:
    outbox = EventOutbox(bus, limit=5)
    outbox.start()
    for number in range(100):
        await outbox.put(make_event(key, number, seq=None))
    await outbox.close()
    subject = event_subject(key, ">")
    stored = [found.event.id async for found in stored_events(bus, subject, follow=False)]
    assert sorted(stored) == sorted(f"e{number}" for number in range(100))


async def test_an_event_that_wakes_its_follower_before_it_is_stored_comes_soon(
    bus: Bus, key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = 0

    async def read_late(*args: Any, **kwargs: Any) -> Batch:
        nonlocal hidden
        if hidden:
            hidden -= 1
            return Batch((), 0)
        return await read_batch(*args, **kwargs)

    monkeypatch.setattr("gateway.events.read_batch", read_late)
    sink = JetStreamEventSink(bus, key)
    await sink.publish(make_event(key, 1, seq=1))
    async with aclosing(stored_events(bus, event_subject(key, ">"))) as events:
        assert (await _next(events)).event.seq == 1
        hidden = 2
        await sink.publish(make_event(key, 2, seq=2))
        assert (await _next(events)).event.seq == 2
        assert hidden == 0


async def test_a_follower_that_ends_before_it_follows_leaves_nothing_behind(
    bus: Bus, key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck(*_: object, **__: object) -> None:
        subscribing.set()
        await asyncio.Event().wait()

    subscribing, hooks = asyncio.Event(), len(bus._hooks)
    monkeypatch.setattr(bus, "subscribe", stuck)
    following = asyncio.create_task(anext(stored_events(bus, event_subject(key, ">"))))
    await subscribing.wait()
    following.cancel()
    await asyncio.wait({following})
    assert len(bus._hooks) == hooks


async def test_nothing_is_missed_by_a_follower_or_lost_by_the_outbox_while_the_server_is_away(
    own_nats_server: NatsServer, key: SessionKey
) -> None:
    async with await connect(own_nats_server.url, "gateway") as gateway, await connect(own_nats_server.url, "c") as bus:
        await ensure(gateway)
        outbox = EventOutbox(gateway)
        outbox.start()
        async with aclosing(stored_events(bus, event_subject(key, ">"))) as events:
            await outbox.put(make_event(key, 0, seq=None))
            seen = [await _next(events)]
            own_nats_server.kill()
            for number in range(1, 21):
                await outbox.put(make_event(key, number, seq=None))
            await asyncio.to_thread(own_nats_server.start)
            await outbox.close()
            seen += [await _next(events) for _ in range(20)]
        assert sorted(found.event.id for found in seen) == sorted(f"e{number}" for number in range(21))
