"""Refusals of inbox commands are found however often they are asked for, and each is read once."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.messages.events import JobData, JobEvent
from actors.messages.ids import SessionKey
from actors.messages.jobs import JobError
from gateway import refusals
from gateway.connection import Bus
from gateway.events import StoredEvent, publish_event, stored_events
from gateway.refusals import ToldRefusals

pytestmark = pytest.mark.nats
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


async def refuse(bus: Bus, key: SessionKey, *inbox_seqs: int | None) -> None:
    for seq in inbox_seqs:
        await publish_event(
            bus,
            JobEvent(
                id=f"{seq}.rejected",
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
def read(monkeypatch: pytest.MonkeyPatch) -> list[StoredEvent]:
    """What was read of the stream."""
    seen: list[StoredEvent] = []

    async def counted(*args: Any, **options: Any) -> AsyncGenerator[StoredEvent, None]:
        async for stored in stored_events(*args, **options):
            seen.append(stored)
            yield stored

    monkeypatch.setattr(refusals, "stored_events", counted)
    return seen


async def test_a_backlog_reads_each_refusal_once(bus: Bus, key: SessionKey, read: list[StoredEvent]) -> None:
    told = ToldRefusals(bus)
    await refuse(bus, key, *range(1, 6))
    found = [await told.has(key, seq, LONG_AGO + timedelta(seconds=seq)) for seq in range(1, 11)]
    assert found == [True] * 5 + [False] * 5
    assert len(read) == 5
    await refuse(bus, key, 8)
    assert await told.has(key, 8, LONG_AGO + timedelta(seconds=8))
    assert len(read) == 6


async def test_what_was_stored_earlier_than_what_was_asked_first_is_found(bus: Bus, key: SessionKey) -> None:
    told = ToldRefusals(bus)
    await refuse(bus, key, 1)
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert not await told.has(key, 2, later)
    assert await told.has(key, 1, LONG_AGO)


async def test_refusals_of_another_session_or_of_no_inbox_command_say_nothing(bus: Bus, key: SessionKey) -> None:
    told = ToldRefusals(bus)
    await refuse(bus, SessionKey(key.tenant_id, "other"), 1)
    await refuse(bus, key, None)
    assert not await told.has(key, 1, LONG_AGO)


async def test_an_inbox_made_anew_whose_numbers_begin_again_loses_no_command(bus: Bus, key: SessionKey) -> None:
    told = ToldRefusals(bus)
    await refuse(bus, key, 1)
    assert await told.has(key, 1, LONG_AGO)
    assert not await told.has(key, 1, datetime.now(UTC) + timedelta(minutes=1))


async def test_what_does_not_fit_into_memory_is_read_again(
    bus: Bus, key: SessionKey, read: list[StoredEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MAX_KNOWN", 4)
    told = ToldRefusals(bus)
    await refuse(bus, key, 1, 2, 3)
    assert await told.has(key, 1, LONG_AGO)
    assert await told.has(key, 3, LONG_AGO)
    assert len(read) == 6
    assert sum(len(known.told_at) for known in told._sessions.values()) == 3
