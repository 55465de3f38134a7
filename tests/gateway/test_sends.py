"""Each key makes one job, direct sends answer with their outcome, and a cancelled job is never sent."""

import asyncio
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from actors.config import QueueConfig
from actors.errors import Unavailable
from actors.messages.base import rfc3339_ms
from actors.messages.events import Event
from actors.messages.ids import SessionKey, job_id_of_key
from actors.messages.jobs import JobRecord, StatusChange, new_record
from gateway import direct_sends, job_commands
from gateway.client import Client
from gateway.connection import Bus, connect
from gateway.events import live_events
from gateway.inbox import Begun
from gateway.jobs import JetStreamJobLog, JobWriter
from gateway.records import RecordStore
from gateway.replica import GatewayReplica
from gateway.streams import event_subject
from tests.gateway.building import make_job
from tests.gateway.replicas import (
    PHONE,
    Asking,
    Owner,
    ask,
    client,
    control,
    gateway_bus,
    limits,
    owner,
    ready,
    replica,
)
from tests.gateway.standins import StandInControl, put_session
from tests.gateway.test_service import error_code
from tests.support.nats import NatsServer
from tests.support.waiting import eventually

__all__ = ["ask", "client", "control", "gateway_bus", "limits", "owner", "ready", "replica"]

pytestmark = [pytest.mark.nats, pytest.mark.usefixtures("replica")]


# --- idempotency ------------------------------------------------------------------------------------------------------


async def test_a_repeat_is_answered_with_the_first_job_and_its_status(
    ready: SessionKey, ask: Asking, owner: Owner, bus: Bus
) -> None:
    first = await ask("send.text", to=PHONE, message="x", idempotency_key="k")
    assert first["duplicate"] is False
    again = await ask("send.text", idempotency_key="k", message="x", to=PHONE, lane="normal")
    assert again == {"job_id": first["job_id"], "status": "accepted", "duplicate": True}
    session = await owner(ready)
    await session.drain_once()
    assert (await ask("send.text", to=PHONE, message="x", idempotency_key="k"))["status"] == "sent"
    assert len(session.sent) == 1


@pytest.mark.parametrize(
    ("obstacle", "code"), [("window", "rate_limited"), ("expiry", "invalid_command"), ("state", "reconnect_exhausted")]
)
async def test_a_repeat_is_answered_whatever_speaks_against_the_command_by_now(
    bus: Bus, ready: SessionKey, ask: Asking, owner: Owner, *, obstacle: str, code: str
) -> None:
    session = await owner(ready)
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    said = {"to": PHONE, "message": "x", "on_limit": "reject"}
    if obstacle == "expiry":
        said["expires_at"] = rfc3339_ms(soon)
    first = await ask("send.text", **said, idempotency_key="k")
    if obstacle == "window":
        session.remaining = 0
    elif obstacle == "expiry":
        await eventually(lambda: datetime.now(UTC) > soon, within_s=5)
    else:
        await put_session(bus, ready, "failed")

    async def refuses_others() -> bool:
        reply = await ask("send.text", **said)
        return "error" in reply and error_code(reply) == code

    await eventually(refuses_others, within_s=5)  # the gateway hears of a state a little later
    again = await ask("send.text", **said, idempotency_key="k")
    assert (again["job_id"], again["duplicate"]) == (first["job_id"], True)


async def test_the_same_key_with_another_body_is_refused_and_sends_nothing(
    ready: SessionKey, ask: Asking, owner: Owner
) -> None:
    await ask("send.text", to=PHONE, message="first", idempotency_key="k")
    for other in ({"message": "second"}, {"message": "first", "lane": "high"}, {"message": "first", "reply_to": "m"}):
        refused = await ask("send.text", to=PHONE, idempotency_key="k", **other)
        error = refused["error"]
        assert isinstance(error, dict)
        assert (error["code"], error["details"]["field"]) == ("invalid_command", "idempotency_key")
    refused = await ask("send.location", to=PHONE, latitude=1, longitude=1, idempotency_key="k")
    assert error_code(refused) == "invalid_command"
    session = await owner(ready)
    await session.drain_once()
    assert [job.content.model_dump()["message"] for job in session.sent] == ["first"]


async def test_keys_of_two_sessions_have_nothing_to_do_with_each_other(
    bus: Bus, ready: SessionKey, client: Client
) -> None:
    await put_session(bus, SessionKey(ready.tenant_id, "s2"), "ready")
    jobs = {(await client.send_text(name, PHONE, "x", idempotency_key="k")).job_id for name in ("s1", "s2")}
    assert len(jobs) == 2


async def test_many_requests_with_one_key_at_once_make_one_job(
    nats_server: NatsServer, control: StandInControl, ready: SessionKey, ask: Asking, owner: Owner
) -> None:
    connection = await connect(nats_server.url, "second gateway")
    second = GatewayReplica(connection, control)
    await second.start()
    try:
        replies = await asyncio.gather(
            *(ask("send.text", to=PHONE, message="x", idempotency_key=f"k{n // 8}") for n in range(64))
        )
        assert len({reply["job_id"] for reply in replies}) == 8
        assert sum(reply["duplicate"] is False for reply in replies) == 8
        session = await owner(ready)
        await session.drain_once()
        assert len(session.sent) == 8
    finally:
        await second.drain()
        await connection.close()


async def test_the_record_an_owner_made_first_is_no_repeat(
    bus: Bus, ready: SessionKey, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner may read a job before its record arrives; the request's id tells it from a repeat."""
    log, begin_create = JetStreamJobLog(bus, ready), RecordStore.begin_create
    outrun: list[str] = []

    async def begin_too_late(store: RecordStore, record: JobRecord) -> Begun[int | None]:
        async with asyncio.timeout(5):
            while not (stored := await log.read("normal", 0, 1)):
                pass
        assert await RecordStore(bus).create(new_record(stored[0].job, seq=stored[0].seq))
        outrun.append(record.job_id)
        return await begin_create(store, record)

    monkeypatch.setattr(RecordStore, "begin_create", begin_too_late)
    reply = await ask("send.text", to=PHONE, message="x", idempotency_key="k")
    assert reply == {"job_id": outrun[0], "status": "accepted", "duplicate": False}


async def test_what_jetstream_forgot_is_still_a_repeat(bus: Bus, ready: SessionKey, ask: Asking, owner: Owner) -> None:
    """The server's duplicate check forgets deleted messages; the record does not."""
    job_id = job_id_of_key(ready, "k")
    await ask("send.text", to=PHONE, message="x", idempotency_key="k")
    session = await owner(ready)
    await session.drain_once()
    await bus.api("STREAM.UPDATE.WA_JOBS", await _with_window(bus, 0.1))
    try:
        await _forgotten(bus, ready)
        again = await ask("send.text", to=PHONE, message="x", idempotency_key="k")
        assert (again["job_id"], again["status"], again["duplicate"]) == (job_id, "sent", True)
        other = await ask("send.text", to=PHONE, message="other", idempotency_key="k")
        assert error_code(other) == "invalid_command"
    finally:
        await bus.api("STREAM.UPDATE.WA_JOBS", await _with_window(bus, 120))
    await session.drain_once()
    assert len(session.sent) == 1
    assert await JetStreamJobLog(bus, ready).read("normal", 0, 10) == []


async def _with_window(bus: Bus, seconds: float) -> dict[str, object]:
    info = await bus.api("STREAM.INFO.WA_JOBS")
    assert isinstance(info, dict)
    config: dict[str, object] = {**info["config"], "duplicate_window": int(seconds * 1e9)}
    return config


async def _forgotten(bus: Bus, key: SessionKey) -> None:
    """Wait until the server has forgotten a message id: a job of the same id is stored a second time."""
    writer, other = JobWriter(bus, QueueConfig()), SessionKey(key.tenant_id, "other")
    job = make_job(other)
    await writer.publish(job)
    async with asyncio.timeout(5):
        while (await writer.publish(job)).duplicate:
            pass


async def test_a_retry_right_after_a_refusal_is_not_told_that_the_job_was_accepted(
    bus: Bus, ready: SessionKey, ask: Asking
) -> None:
    """Between a refused publish and the removal of its record a repeat must not take the record at its word."""
    info = await bus.api("STREAM.INFO.WA_JOBS")
    assert isinstance(info, dict)
    await bus.api("STREAM.UPDATE.WA_JOBS", {**info["config"], "max_msgs_per_subject": 1})
    try:
        await ask("send.text", to=PHONE, message="fills the lane")
        for _ in range(5):
            replies = await asyncio.gather(
                *(ask("send.text", to=PHONE, message="x", idempotency_key="k") for _ in range(8))
            )
            assert {error_code(reply) for reply in replies} == {"queue_full"}
        assert await RecordStore(bus).get(ready, job_id_of_key(ready, "k")) is None
    finally:
        await bus.api("STREAM.UPDATE.WA_JOBS", info["config"])


# --- direct -----------------------------------------------------------------------------------------------------------


async def test_a_direct_send_answers_with_the_message_id(ready: SessionKey, client: Client, owner: Owner) -> None:
    session = await owner(ready)
    sent = await client.send_text("s1", PHONE, "now", mode="direct")
    (job,) = session.sent
    assert sent.model_dump() == {
        "job_id": job.job_id,
        "status": "sent",
        "message_id": f"true_{PHONE}@c.us_{job.message_id}",
        "duplicate": False,
    }


@pytest.mark.parametrize(
    ("fate", "code"),
    [("failed", "send_failed"), ("unconfirmed", "send_unconfirmed"), ("rate_limited", "rate_limited")],
)
async def test_a_direct_send_that_fails_answers_with_its_error(
    ready: SessionKey, ask: Asking, owner: Owner, fate: str, code: str
) -> None:
    await owner(ready, fate=lambda _: fate)
    reply = await ask("send.text", to=PHONE, message="now", mode="direct", idempotency_key="k")
    error = reply["error"]
    assert isinstance(error, dict)
    assert (error["code"], error["details"]["job_id"]) == (code, job_id_of_key(ready, "k"))


async def test_a_direct_repeat_is_answered_with_the_first_ones_status(
    ready: SessionKey, ask: Asking, owner: Owner
) -> None:
    session = await owner(ready, fate=lambda job: "failed" if job.to.startswith("+") else "sent")
    sent = await ask("send.text", to=PHONE, message="now", mode="direct", idempotency_key="k")
    again = await ask("send.text", to=PHONE, message="now", mode="direct", idempotency_key="k")
    assert again == {**sent, "duplicate": True}
    await ask("send.text", to=f"+{PHONE}", message="now", mode="direct", idempotency_key="f")
    failed = await ask("send.text", to=f"+{PHONE}", message="now", mode="direct", idempotency_key="f")
    assert (failed["status"], failed["duplicate"]) == ("failed", True)
    assert len(session.sent) == 1


async def test_direct_requests_with_one_key_at_once_send_one_message(
    ready: SessionKey, ask: Asking, owner: Owner
) -> None:
    session = await owner(ready)
    replies = await asyncio.gather(
        *(ask("send.text", to=PHONE, message="now", mode="direct", idempotency_key="k") for _ in range(16))
    )
    assert {reply["status"] for reply in replies} == {"sent"}
    assert sum(reply["duplicate"] is False for reply in replies) == 1
    assert len(session.sent) == 1


async def test_a_lost_outcome_event_is_made_up_for_by_the_record(
    bus: Bus, ready: SessionKey, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_sends, "_LOOK_EVERY_S", 0.05)
    asking = asyncio.create_task(ask("send.text", to=PHONE, message="now", mode="direct", idempotency_key="k"))
    records, job_id = RecordStore(bus), job_id_of_key(ready, "k")
    async with asyncio.timeout(5):
        while (found := await records.get(ready, job_id)) is None:
            pass
    ended = found.value.model_copy(
        update={
            "status": "sent",
            "sent_key": "true_x",
            "history": (*found.value.history, StatusChange(status="sent", time=datetime.now(UTC))),
        }
    )
    assert await records.update(ended, found.revision)
    reply = await asking
    assert (reply["status"], reply["message_id"]) == ("sent", "true_x")


async def test_a_direct_send_that_nobody_takes_is_expired_and_never_sent(
    ready: SessionKey, ask: Asking, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_sends, "_GRACE_S", 0.05)
    soon = rfc3339_ms(datetime.now(UTC) + timedelta(seconds=1.5))
    reply = await ask("send.text", to=PHONE, message="now", mode="direct", expires_at=soon)
    assert error_code(reply) == "expired"
    session = await owner(ready)
    await session.drain_once()
    assert session.sent == []


async def test_direct_bypasses_the_queue_so_it_has_no_lane_and_no_time(ready: SessionKey, ask: Asking) -> None:
    later = rfc3339_ms(datetime.now(UTC) + timedelta(hours=1))
    for wrong in ({"lane": "high"}, {"send_at": later}):
        reply = await ask("send.text", to=PHONE, message="now", mode="direct", **wrong)
        assert error_code(reply) == "invalid_command"


async def test_media_of_a_private_host_that_is_allowed_is_taken(
    nats_server: NatsServer, control: StandInControl, ready: SessionKey, replica: GatewayReplica, ask: Asking
) -> None:
    url = "http://127.0.0.1/a.png"
    assert error_code(await ask("send.media", to=PHONE, url=url)) == "media_rejected"
    await replica.drain()
    async with await connect(nats_server.url, "another gateway") as connection:
        allowing = GatewayReplica(connection, control, allowed_private_hosts=frozenset({"127.0.0.1:80"}))
        await allowing.start()
        assert (await ask("send.media", to=PHONE, url=url))["status"] == "accepted"
        assert error_code(await ask("send.media", to=PHONE, url="https://127.0.0.1/")) == "media_rejected"
        await allowing.drain()


# --- cancelling -------------------------------------------------------------------------------------------------------


async def test_a_cancelled_job_leaves_the_log_and_is_told_as_failed(
    bus: Bus, ready: SessionKey, client: Client
) -> None:
    job_id = (await client.send_text("s1", PHONE, "x", idempotency_key="mine")).job_id
    async with live_events(bus, event_subject(ready, "message.failed")) as events:
        cancelled = await client.cancel("s1", job_id)
        async with asyncio.timeout(5):
            event = await anext(events)
    assert (cancelled.status, [change.status for change in cancelled.history]) == (
        "cancelled",
        ["accepted", "cancelled"],
    )
    assert await JetStreamJobLog(bus, ready).read("normal", 0, 10) == []
    assert (event.id, event.seq) == (f"{job_id}.cancelled", None)
    data = orjson.loads(event.model_dump_json())["data"]
    assert (data["error"]["code"], data["idempotency_key"]) == ("cancelled", "mine")
    assert (await client.cancel("s1", job_id)).status == "cancelled"


async def test_cancelling_after_an_attempt_changes_nothing(ready: SessionKey, client: Client, owner: Owner) -> None:
    job_id = (await client.send_text("s1", PHONE, "x")).job_id
    session = await owner(ready)
    await session.drain_once()
    assert (await client.cancel("s1", job_id)).status == "sent"


async def test_a_job_is_either_cancelled_or_sent_never_both(
    bus: Bus, ready: SessionKey, client: Client, owner: Owner
) -> None:
    jobs = [(await client.send_text("s1", PHONE, str(n))).job_id for n in range(30)]
    session = await owner(ready)
    ended = await asyncio.gather(*(client.cancel("s1", job_id) for job_id in reversed(jobs)))
    await session.drain_once()
    cancelled = {job.job_id for job in ended if job.status == "cancelled"}
    sent = [job.job_id for job in session.sent]
    assert len(sent) == len(set(sent))
    assert cancelled.isdisjoint(sent)
    assert cancelled | set(sent) == set(jobs)


async def test_a_cancel_that_came_half_way_is_finished_by_its_repetition(
    bus: Bus, ready: SessionKey, client: Client, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No owner runs that would tell and clear it."""
    job_id = (await client.send_text("s1", PHONE, "x")).job_id
    with monkeypatch.context() as away:
        away.setattr(job_commands, "publish_event", _no_answer)
        assert error_code(await ask("job.cancel", job_id=job_id)) == "unavailable"
    assert (await client.job("s1", job_id)).status == "cancelled"
    assert len(await JetStreamJobLog(bus, ready).read("normal", 0, 10)) == 1
    async with live_events(bus, event_subject(ready, "message.failed")) as events:
        for _ in range(2):
            assert (await client.cancel("s1", job_id)).status == "cancelled"
            assert await JetStreamJobLog(bus, ready).read("normal", 0, 10) == []
        other = (await client.send_text("s1", PHONE, "y")).job_id
        await client.cancel("s1", other)
        async with asyncio.timeout(5):
            told = [(await anext(events)).id for _ in range(2)]
    assert told == [f"{job_id}.cancelled", f"{other}.cancelled"]


async def test_a_direct_send_that_expired_half_way_is_finished_by_its_repetition(
    bus: Bus, ready: SessionKey, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_sends, "_GRACE_S", 0.05)
    soon = rfc3339_ms(datetime.now(UTC) + timedelta(seconds=1.5))
    said = {"to": PHONE, "message": "now", "mode": "direct", "expires_at": soon, "idempotency_key": "k"}
    with monkeypatch.context() as away:
        away.setattr(job_commands, "publish_event", _no_answer)
        assert error_code(await ask("send.text", **said)) == "unavailable"
    assert len(await JetStreamJobLog(bus, ready).read("direct", 0, 10)) == 1
    async with live_events(bus, event_subject(ready, "message.failed")) as events:
        again = await ask("send.text", **said)
        async with asyncio.timeout(5):
            event = await anext(events)
    assert (again["status"], again["duplicate"]) == ("expired", True)
    assert event.id == f"{job_id_of_key(ready, 'k')}.expired"
    assert await JetStreamJobLog(bus, ready).read("direct", 0, 10) == []


async def _no_answer(_bus: Bus, _event: Event) -> None:
    raise Unavailable("JetStream did not answer")


async def test_jobs_of_another_session_or_tenant_are_unknown(bus: Bus, ready: SessionKey, client: Client) -> None:
    await put_session(bus, SessionKey(ready.tenant_id, "s2"), "ready")
    job_id = (await client.send_text("s1", PHONE, "x")).job_id
    stranger = Asking(bus, SessionKey(ready.tenant_id, "s2"))
    assert error_code(await stranger("job.get", job_id=job_id)) == "unknown_job"
    assert error_code(await stranger("job.cancel", job_id=job_id)) == "unknown_job"
    assert (await client.job("s1", job_id)).status == "accepted"
