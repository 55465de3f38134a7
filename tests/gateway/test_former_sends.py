"""The rate window over a change of owners: what a new one learns from the events of the former, on both sides."""

from datetime import UTC, datetime

import pytest

from actors.messages.events import JobData, JobEventName, build_event
from actors.messages.ids import SessionKey
from actors.ports import EventSink
from gateway.connection import Bus
from gateway.events import JetStreamEventSink
from gateway.leases import JetStreamLeaseStore
from tests.support.memory import MemoryEvents

pytestmark = pytest.mark.nats


@pytest.fixture(params=["memory", "jetstream"])
def sink(request: pytest.FixtureRequest, bus: Bus, key: SessionKey) -> EventSink:
    return MemoryEvents() if request.param == "memory" else JetStreamEventSink(bus, key)


async def tell(sink: EventSink, key: SessionKey, job: str, event: JobEventName, attempt: int) -> None:
    data = JobData(job_id=job, to="6281234567890", attempt=attempt)
    await sink.publish(
        build_event(
            id=f"{job}.{event}.{attempt}", event=event, tenant_id=key.tenant_id, session_id=key.session_id,
            time=datetime.now(UTC), seq=None, epoch=1, data=data,
        )
    )  # fmt: skip


async def test_sends_of_the_former_owner_are_known_by_the_servers_clock(
    sink: EventSink, bus: Bus, key: SessionKey
) -> None:
    for n in range(300):
        await tell(sink, key, f"job-{n}", "job.sending", 1)
        await tell(sink, key, f"job-{n}", "message.sent", 1)
    await tell(sink, key, "refused", "job.sending", 1)
    await tell(sink, key, "refused", "message.failed", 1)
    await tell(sink, key, "expired", "message.failed", 0)
    await tell(sink, key, "accepted", "job.accepted", 0)
    await tell(sink, key, "doubted", "job.sending", 1)
    other = SessionKey(key.tenant_id, "s2")
    await tell(JetStreamEventSink(bus, other), other, "others", "message.sent", 1)
    await JetStreamLeaseStore.of_session(bus, key).raise_epoch()
    ages = await sink.former_sends(60)
    assert len(ages) == 302
    assert all(0 <= age < 30 for age in ages)
    assert ages[-1] == 0
    assert list(await sink.former_sends(0)) == []


async def test_a_session_without_a_past_has_sent_nothing(sink: EventSink, bus: Bus, key: SessionKey) -> None:
    assert list(await sink.former_sends(60)) == []
    await JetStreamLeaseStore.of_session(bus, key).raise_epoch()
    assert list(await sink.former_sends(60)) == []
