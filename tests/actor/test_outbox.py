"""The outbox numbers what is stored: no number is missing, none is given out twice."""

import logging
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from actors.errors import Unavailable
from actors.messages.events import Event, JobData
from actors.messages.ids import SessionKey
from actors.outbox import Outbox
from tests.support.fakes import FakeClock, settle
from tests.support.memory import MemoryBoard, MemoryEvents

KEY = SessionKey("acme", "s1")
DATA = JobData(job_id="X", to="6281234567890")


class _Events(MemoryEvents):
    """An event stream whose next answer may be lost, though it stored the event."""

    lost = 0

    async def publish(self, event: Event) -> bool:
        is_new = await super().publish(event)
        if self.lost:
            self.lost -= 1
            raise Unavailable("the connection was lost before the answer came")
        return is_new


class Owners:
    """The outboxes of one owner after the other, on one stream."""

    def __init__(self) -> None:
        self.events = _Events()
        self.clock = FakeClock()
        self._outboxes: list[Outbox] = []

    async def next(self) -> Outbox:
        outbox = Outbox(
            KEY,
            events=self.events,
            board=MemoryBoard(),
            clock=self.clock,
            limit=100,
            random=Random(1),  # noqa: S311 - jitter
            log=logging.LoggerAdapter(logging.getLogger("wafleet.session")),
        )
        self._outboxes.append(outbox)
        outbox.begin(epoch=len(self._outboxes), last_seq=await self.events.last_seq())
        return outbox

    async def close(self) -> None:
        for outbox in self._outboxes:
            await outbox.close(0)

    def stored(self) -> list[tuple[str, Any, Any]]:
        return [(event.id, event.epoch, event.seq) for event in self.events.published]


@pytest.fixture
async def owners() -> AsyncIterator[Owners]:
    all_owners = Owners()
    yield all_owners
    await all_owners.close()


async def test_an_outcome_that_a_former_owner_had_told_leaves_no_gap_in_the_numbers(owners: Owners) -> None:
    await (await owners.next()).publish("message.sent", DATA, "X.sent")
    second = await owners.next()
    second.put("job.sending", DATA, "W.sending")
    await second.publish("message.sent", DATA, "X.sent")
    second.put("job.sending", DATA, "Y.sending")
    second.put("job.sending", DATA)
    await settle()
    assert owners.stored() == [("X.sent", 1, 1), ("W.sending", 2, 2), ("Y.sending", 2, 3), ("s1.2.4", 2, 4)]
    assert [event.id for event in owners.events.repeats] == ["X.sent"]


async def test_the_number_of_an_event_whose_answer_was_lost_is_not_given_out_again(owners: Owners) -> None:
    outbox = await owners.next()
    owners.events.lost = 2
    outbox.put("job.sending", DATA, "X.sending")
    outbox.put("job.sending", DATA)
    await owners.clock.advance(10)
    assert owners.stored() == [("X.sending", 1, 1), ("s1.1.2", 1, 2)]
    assert [event.seq for event in owners.events.repeats] == [1, 1]
