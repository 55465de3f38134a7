"""What log and record of one job mean together, also where a request came only half-way."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from actors.clock import SystemClock
from actors.config import QueueConfig
from actors.errors import InvalidCommand, QueueFull, ReconnectExhausted, Unavailable
from actors.messages.commands import SendText
from actors.messages.ids import SessionKey, dedup_id, job_id_of_key
from actors.messages.jobs import Job, new_record
from actors.messages.records import DesiredSession
from actors.messages.replies import JobAccepted, QueueReply, RateLimitReply, SessionStatus
from gateway.command_inbox import MAX_TRIES, CommandInbox
from gateway.connection import Bus, connect
from gateway.inbox import Begun
from gateway.jobs import JetStreamJobLog, JobWriter, PubAck
from gateway.pulling import Again, Delivery
from gateway.records import RecordStore
from gateway.sends import Sends
from gateway.storing import JobStore, Storing
from gateway.streams import declared, ensure
from tests.gateway.building import make_desired, make_job, make_status
from tests.gateway.replicas import PHONE
from tests.gateway.test_inbox import told
from tests.support.nats import NatsServer

pytestmark = pytest.mark.nats


def store_on(bus: Bus) -> JobStore:
    """A gateway's store."""
    return JobStore(JobWriter(bus, QueueConfig()), RecordStore(bus))


def keyed(key: SessionKey, body: str = "0") -> Job:
    """A job as a request with an idempotency key makes it."""
    job = make_job(key, job_id=job_id_of_key(key, "k"))
    return job.model_copy(update={"idempotency_key": "k", "body_hash": body * 64})


def again(job: Job, *, after_s: float = 0) -> Job:
    """The job of a later request with the same key."""
    moment = job.accepted_at + timedelta(seconds=after_s)
    return job.model_copy(update={"request_id": f"{job.request_id}-{after_s:g}", "accepted_at": moment})


async def logged(bus: Bus, key: SessionKey) -> list[Job]:
    return [stored.job for stored in await JetStreamJobLog(bus, key).read("normal", 0, 100)]


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server know no message id of a job stored so far, as minutes later or after a deletion and a restart."""
    monkeypatch.setattr("gateway.jobs.dedup_id", lambda *parts: dedup_id(*parts, "later"))


# --- a record that was left behind ------------------------------------------------------------------------------------


async def leave_record(bus: Bus, store: JobStore, key: SessionKey) -> Job:
    """Refuse a job in a full lane and die before its record is taken back."""
    job = keyed(key)
    storing = await store.begin(job)
    assert isinstance(await storing.publishing.outcome(), QueueFull)
    assert isinstance(await storing.creating.outcome(), int)
    return job


async def test_a_record_without_a_job_is_no_earlier_request(own_nats_server: NatsServer, key: SessionKey) -> None:
    async with await connect(own_nats_server.url, "test") as bus:
        await ensure(bus, declared(QueueConfig(max_waiting_per_lane=1)))
        store, records = store_on(bus), RecordStore(bus)
        await store.store(make_job(key))
        left = await leave_record(bus, store, key)
        with pytest.raises(QueueFull):
            await store.store(again(left, after_s=29))
        with pytest.raises(Unavailable, match="is being stored"):
            await store.find(again(left, after_s=29))
        assert await records.get(key, left.job_id) is not None, "its job may still be on its way"
        with pytest.raises(QueueFull):
            await store.store(again(left, after_s=31))
        assert await records.get(key, left.job_id) is None
        left = await leave_record(bus, store, key)
        assert await store.find(again(left, after_s=31)) is None
        assert await records.get(key, left.job_id) is None


async def test_a_job_that_still_waits_is_an_earlier_request_however_full_its_lane_is(
    own_nats_server: NatsServer, key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await connect(own_nats_server.url, "test") as bus:
        await ensure(bus, declared(QueueConfig(max_waiting_per_lane=1)))
        store, job = store_on(bus), keyed(key)
        await store.store(job)
        for after_s in (1, 31):
            found = await store.find(again(job, after_s=after_s))
            assert found is not None
            assert (found.record.request_id, found.duplicate) == (job.request_id, True)
        forget(monkeypatch)
        stored = await store.store(again(job, after_s=86_400))
        assert (stored.record.request_id, stored.duplicate) == (job.request_id, True)
        assert await logged(bus, key) == [job]


async def test_a_job_that_is_carried_out_while_it_is_looked_for_is_an_earlier_request(
    bus: Bus, key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, records, job = store_on(bus), RecordStore(bus), keyed(key)
    await records.create(new_record(job))

    async def sent_meanwhile(*_: object) -> None:
        found = await records.get(key, job.job_id)
        assert found is not None
        await records.update(found.value.model_copy(update={"status": "sent"}), found.revision)

    monkeypatch.setattr(JobWriter, "find_seq", sent_meanwhile)
    for after_s in (1, 31):
        found = await store.find(again(job, after_s=after_s))
        assert found is not None
        assert found.record.status == "sent"


# --- a job whose record was not taken ---------------------------------------------------------------------------------


class KnownSession:
    """A session that takes sends until it is told otherwise."""

    state = "ready"

    async def current(self, key: SessionKey) -> tuple[DesiredSession, SessionStatus]:
        return make_desired(key), make_status(key, self.state)

    async def window_and_queue(self, key: SessionKey) -> tuple[RateLimitReply, QueueReply]:
        raise Unavailable("nobody knows")


@pytest.fixture
def session() -> KnownSession:
    return KnownSession()


@pytest.fixture
def sends(bus: Bus, session: KnownSession) -> Sends:
    nobody: Any = None
    return Sends(
        queries=session, store=store_on(bus), direct=nobody, outbox=nobody, clock=SystemClock(), queue=QueueConfig()
    )


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The bucket of records takes nothing."""
    refusal = Unavailable("JetStream refused a write: maximum bytes exceeded", {"err_code": 10077})

    async def refused(*_: object) -> Begun[int | None]:
        async def judge(_: object) -> int | None:
            return None

        return Begun(refusal, judge)

    async def raises(*_: object) -> int | None:
        raise refusal

    monkeypatch.setattr(RecordStore, "begin_create", refused)
    monkeypatch.setattr(RecordStore, "create", raises)
    return monkeypatch


def delivery(key: SessionKey, tries: int, stored_at: datetime, **fields: object) -> Delivery:
    body = orjson.dumps({"to": PHONE, "message": "x", **fields})
    return Delivery(f"wa.{key.tenant_id}.inbox.{key.session_id}.send.text", body, 7, stored_at, tries, "")


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("fields", [{}, {"idempotency_key": "k"}], ids=["", "with a key"])
async def test_a_command_whose_job_lies_in_the_log_is_accepted_at_last_without_a_record(
    bus: Bus, key: SessionKey, sends: Sends, fields: dict[str, object]
) -> None:
    inbox, now = CommandInbox(bus, sends, SystemClock()), datetime.now(UTC)
    for tries in range(1, MAX_TRIES + 1):
        assert isinstance(await inbox.handle(delivery(key, tries, now, **fields)), Again)
    assert await inbox.handle(delivery(key, MAX_TRIES + 1, now, **fields)) is None
    [job] = await logged(bus, key)
    [event] = await told(bus, key)
    assert (event.event, event.data.job_id, event.data.inbox_seq) == ("job.accepted", job.job_id, 7)


async def test_a_command_whose_job_lies_in_the_log_is_accepted_by_a_session_that_failed_meanwhile(
    bus: Bus, key: SessionKey, sends: Sends, session: KnownSession, full: pytest.MonkeyPatch
) -> None:
    inbox, now = CommandInbox(bus, sends, SystemClock()), datetime.now(UTC)
    assert isinstance(await inbox.handle(delivery(key, 1, now)), Again)
    full.undo()
    session.state = "failed"
    assert await inbox.handle(delivery(key, 2, now)) is None
    [job] = await logged(bus, key)
    [event] = await told(bus, key)
    assert (event.event, event.data.job_id) == ("job.accepted", job.job_id)
    found = await RecordStore(bus).get(key, job.job_id)
    assert found is not None
    assert found.value == new_record(job)


async def test_a_key_whose_job_lies_in_the_log_is_repeated_at_a_session_that_failed_meanwhile(
    bus: Bus, key: SessionKey, sends: Sends, session: KnownSession, full: pytest.MonkeyPatch
) -> None:
    def saying(text: str, idempotency_key: str = "k") -> SendText:
        return SendText(to=PHONE, message=text, idempotency_key=idempotency_key)

    with pytest.raises(Unavailable, match="maximum bytes"):
        await sends.send(key, saying("x"))
    full.undo()
    session.state = "failed"
    with pytest.raises(InvalidCommand, match="another command"):
        await sends.send(key, saying("y"))
    with pytest.raises(ReconnectExhausted):
        await sends.send(key, saying("x", "another"))
    reply = await sends.send(key, saying("x"))
    [job] = await logged(bus, key)
    assert reply == JobAccepted(job_id=job.job_id, status="accepted", duplicate=True)


async def test_what_was_deleted_from_the_log_is_not_there_and_asking_stores_nothing(bus: Bus, key: SessionKey) -> None:
    writer, job = JobWriter(bus, QueueConfig()), keyed(key)
    assert await writer.find_recent(job) is None
    ack = await writer.publish(job)
    assert await writer.find_recent(job) == job
    await writer.publish(make_job(key))
    await writer.delete(key, ack.seq)
    assert await writer.find_recent(job) is None
    assert len(await logged(bus, key)) == 1


# --- one key, two bodies ----------------------------------------------------------------------------------------------


@pytest.fixture
async def other_bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    """The connection of another gateway."""
    async with await connect(nats_server.url, "another gateway") as connection:
        yield connection


async def judge(store: JobStore, records: RecordStore, job: Job, published: Begun[PubAck]) -> None:
    """Create a job's record after its publish, too late, and answer its request."""
    record = new_record(job)
    with pytest.raises(InvalidCommand, match="another command"):
        await store.finish(Storing(job, record, published, await records.begin_create(record)))


@pytest.mark.parametrize("first_is_judged", ["before the other looks", "after it", "never"])
async def test_of_two_bodies_under_one_key_the_accepted_one_lies_in_the_log(
    bus: Bus, other_bus: Bus, key: SessionKey, monkeypatch: pytest.MonkeyPatch, *, first_is_judged: str
) -> None:
    """The log took the first, the record is the second's."""
    first, second = keyed(key, "1"), keyed(key, "2")
    published = await JobWriter(bus, QueueConfig()).begin(first)
    assert isinstance(await published.outcome(), PubAck)
    at = JobWriter.at

    async def judged_first(writer: JobWriter, key: SessionKey, seq: int) -> Job | None:
        await judge(store_on(bus), RecordStore(bus), first, published)
        return await at(writer, key, seq)

    if first_is_judged == "before the other looks":
        monkeypatch.setattr(JobWriter, "at", judged_first)
    stored = await store_on(other_bus).store(second)
    assert (stored.record.body_hash, stored.duplicate) == (second.body_hash, False)
    if first_is_judged == "after it":
        await judge(store_on(bus), RecordStore(bus), first, published)
    assert await logged(bus, key) == [first, second][first_is_judged != "never" :]


async def test_a_repeat_sees_to_it_that_the_log_holds_its_body_where_the_first_request_died(
    bus: Bus, key: SessionKey
) -> None:
    store, first, second = store_on(bus), keyed(key, "1"), keyed(key, "2")
    await JobWriter(bus, QueueConfig()).publish(first)
    assert isinstance(await (await store.begin(second)).creating.outcome(), int)
    for _ in range(2):
        assert (await store.store(again(second, after_s=1))).duplicate
        assert [job.body_hash for job in await logged(bus, key)] == [first.body_hash, second.body_hash]


async def test_a_body_that_finds_no_place_beside_the_other_is_refused_and_leaves_no_record(
    own_nats_server: NatsServer, key: SessionKey
) -> None:
    async with await connect(own_nats_server.url, "test") as bus:
        await ensure(bus, declared(QueueConfig(max_waiting_per_lane=1)))
        store, first, second = store_on(bus), keyed(key, "1"), keyed(key, "2")
        await JobWriter(bus, QueueConfig()).publish(first)
        with pytest.raises(QueueFull):
            await store.store(second)
        assert await RecordStore(bus).get(key, second.job_id) is None
        await RecordStore(bus).create(new_record(second))
        with pytest.raises(QueueFull):
            await store.store(again(second, after_s=1))


async def test_a_repeat_whose_first_record_was_not_taken_stores_no_second_copy(bus: Bus, key: SessionKey) -> None:
    job = keyed(key)
    await JobWriter(bus, QueueConfig()).publish(job)
    for duplicate in (False, True):
        assert (await store_on(bus).store(again(job, after_s=1 + duplicate))).duplicate is duplicate
    assert await logged(bus, key) == [job]


# --- a repeat of a job that has its outcome ---------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["stored", "lost", "another body"])
async def test_the_record_of_a_job_with_an_outcome_outlives_what_a_repeat_leaves_in_the_log(
    bus: Bus, key: SessionKey, monkeypatch: pytest.MonkeyPatch, *, answer: str
) -> None:
    """The copy of a repeat may stay there; without the record it would be sent."""
    store, records, job = store_on(bus), RecordStore(bus), keyed(key)
    sent = new_record(job).model_copy(update={"status": "sent"})
    before = await records.create(sent)
    assert before is not None

    async def stays(*_: object) -> None:
        raise Unavailable("no answer")

    def unheard(*_: object) -> PubAck:
        raise Unavailable("no answer")

    monkeypatch.setattr(JobWriter, "delete", stays)
    if answer == "another body":
        with pytest.raises(InvalidCommand, match="another command"):
            await store.store(again(keyed(key, "1"), after_s=60))
    else:
        repeat = again(job, after_s=60)
        if answer == "lost":
            monkeypatch.setattr(JobWriter, "_judge", unheard)
        stored = await store.store(repeat)
        assert (stored.record.status, stored.duplicate) == ("sent", True)
    found = await records.get(key, job.job_id)
    assert found is not None
    assert found.value == sent
    assert found.revision > before
    assert len(await logged(bus, key)) == 1


async def test_a_repeat_of_a_waiting_job_leaves_no_second_copy_behind_it(
    bus: Bus, key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a pause longer than a record is kept, its outcome would be guessed."""
    store, job = store_on(bus), keyed(key)
    await store.store(job)
    forget(monkeypatch)
    for after_s in (150, 300):
        assert (await store.store(again(job, after_s=after_s))).duplicate
        assert await logged(bus, key) == [job]


async def test_a_repeat_that_cannot_look_for_the_first_copy_is_answered_and_keeps_its_own(
    bus: Bus, key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, job = store_on(bus), keyed(key)
    await RecordStore(bus).create(new_record(job))

    async def away(*_: object) -> None:
        raise Unavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(JobWriter, "find_seq", away)
        assert (await store.store(again(job, after_s=150))).duplicate
    assert [job.body_hash for job in await logged(bus, key)] == [job.body_hash]
