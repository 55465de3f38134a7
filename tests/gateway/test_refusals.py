"""Refusals of inbox commands are found however often they are asked for, and each is read once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.messages.events import JobData, JobEvent
from actors.messages.ids import SessionKey
from actors.messages.jobs import JobError
from gateway import refusals
from gateway.answers import Stored
from gateway.connection import Bus, connect
from gateway.direct import StoredMessage, read_all
from gateway.events import publish_event
from gateway.refusals import ToldRefusals, refusal_id
from gateway.streams import WA_EVENTS, WA_INBOX, ensure, event_subject
from tests.support.nats import NatsServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.nats
BEFORE_ALL = datetime(2026, 1, 1, tzinfo=UTC)


def stored_at(inbox_seq: int) -> datetime:
    """When each command was stored: in a backlog that is before anything was refused."""
    return BEFORE_ALL + timedelta(seconds=inbox_seq)


async def refuse(bus: Bus, key: SessionKey, *inbox_seqs: int, at: datetime | None = None) -> None:
    for seq in inbox_seqs:
        await publish_event(
            bus,
            JobEvent(
                id=refusal_id(key, seq, at or stored_at(seq)),
                event="job.rejected",
                tenant_id=key.tenant_id,
                session_id=key.session_id,
                time=datetime.now(UTC),
                data=JobData(
                    job_id=f"job{seq}",
                    to="",
                    inbox_seq=seq,
                    error=JobError(code="queue_full", message="full", details={}),
                ),
            ),
        )


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[StoredMessage]:
    """What was read of the stream."""
    seen: list[StoredMessage] = []

    async def counted(*args: Any, **options: Any) -> AsyncIterator[StoredMessage]:
        async for message in read_all(*args, **options):
            seen.append(message)
            yield message

    monkeypatch.setattr(refusals, "read_all", counted)
    return seen


async def test_a_backlog_reads_each_refusal_once(bus: Bus, key: SessionKey, read: list[StoredMessage]) -> None:
    told = ToldRefusals(bus)
    await refuse(bus, key, *range(1, 6))
    assert [await told.has(key, seq, stored_at(seq)) for seq in range(1, 11)] == [True] * 5 + [False] * 5
    assert len(read) == 5
    await refuse(bus, key, 8)
    assert await told.has(key, 8, stored_at(8))
    assert len(read) == 6


async def test_many_at_once_read_each_refusal_once(bus: Bus, key: SessionKey, read: list[StoredMessage]) -> None:
    told = ToldRefusals(bus)
    await refuse(bus, key, *range(1, 6))
    assert await asyncio.gather(*(told.has(key, seq, stored_at(1)) for seq in range(1, 11))) == [True] + [False] * 9
    assert len(read) == 5


async def test_a_command_that_is_older_than_the_first_one_is_found(bus: Bus, key: SessionKey) -> None:
    told = ToldRefusals(bus)
    await refuse(bus, key, 1)
    assert not await told.has(key, 2, datetime.now(UTC) + timedelta(minutes=1))
    assert await told.has(key, 1, stored_at(1))


async def test_a_clock_behind_the_other_hides_no_refusal(bus: Bus, key: SessionKey) -> None:
    ahead = datetime.now(UTC) + timedelta(seconds=5)
    await refuse(bus, key, 1, at=ahead)
    assert await ToldRefusals(bus).has(key, 1, ahead)


async def test_refusals_of_another_session_or_of_no_inbox_command_say_nothing(bus: Bus, key: SessionKey) -> None:
    told = ToldRefusals(bus)
    await refuse(bus, SessionKey(key.tenant_id, "other"), 1)
    for body in (b"", b"[]", b'{"id": "x", "data": {}}'):
        assert isinstance(await bus.store(event_subject(key, "job.rejected"), body), Stored)
    assert not await told.has(key, 1, stored_at(1))


async def test_an_inbox_made_anew_whose_numbers_begin_again_loses_no_command(bus: Bus, key: SessionKey) -> None:
    told = ToldRefusals(bus)
    await refuse(bus, key, 1)
    assert await told.has(key, 1, stored_at(1))
    assert not await told.has(key, 1, datetime.now(UTC))


async def test_events_made_anew_are_read_from_their_begin(own_nats_server: NatsServer, key: SessionKey) -> None:
    async with await connect(own_nats_server.url, "gateway") as bus:
        await ensure(bus)
        told = ToldRefusals(bus)
        await refuse(bus, key, 1, 2, 3)
        assert not await told.has(key, 9, stored_at(1))
        await bus.api(f"STREAM.DELETE.{WA_EVENTS}")
        own_nats_server.kill()
        own_nats_server.start()
        await eventually(lambda: bus.reconnects == 1, within_s=10)
        await ensure(bus)
        await refuse(bus, key, 9)
        assert await told.has(key, 9, stored_at(9))


async def test_a_backlog_beyond_what_fits_into_memory_reads_each_refusal_once_too(
    own_nats_server: NatsServer, key: SessionKey, read: list[StoredMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done with is dropped: the inbox holds no command before the ones that are handled now."""
    monkeypatch.setattr(refusals, "MAX_KNOWN", 10)
    async with await connect(own_nats_server.url, "gateway") as bus:
        await ensure(bus)
        told = ToldRefusals(bus)
        for each in range(1, 41):
            answer = await bus.store(f"wa.{key.tenant_id}.inbox.{key.session_id}.send.text", b"{}")
            assert answer == Stored(each, duplicate=False)
        for each in range(1, 41):
            assert not await told.has(key, each, stored_at(each))
            await refuse(bus, key, each)
            assert await told.has(key, each, stored_at(each))
            await bus.api(f"STREAM.MSG.DELETE.{WA_INBOX}", {"seq": each})
    assert len(read) == 40
    assert sum(len(known.told) for known in told._sessions.values()) <= 10


async def test_where_nothing_can_be_dropped_all_is_read_again(
    bus: Bus, key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MAX_KNOWN", 4)
    told = ToldRefusals(bus)
    seqs = range(10**6, 10**6 + 6)
    await refuse(bus, key, *seqs)
    assert [await told.has(key, seq, stored_at(seq)) for seq in seqs] == [True] * 6
