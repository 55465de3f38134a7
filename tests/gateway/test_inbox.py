"""``WA_INBOX``: what was published durably is carried out once, and an event says what came of it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from actors.config import QueueConfig
from actors.errors import InvalidCommand, Unavailable
from actors.messages.events import JobEvent
from actors.messages.ids import SessionKey
from gateway.answers import Refused, Stored
from gateway.client import Client
from gateway.command_inbox import CommandInbox
from gateway.connection import Bus, connect
from gateway.events import stored_events
from gateway.jobs import JetStreamJobLog
from gateway.pulling import Again, Delivery, PullReader
from gateway.replica import GatewayReplica
from gateway.sends import Sends
from gateway.streams import declared, ensure, event_subject
from tests.gateway.replicas import PHONE, Owner, client, control, gateway_bus, limits, owner, ready, replica
from tests.gateway.standins import StandInControl, put_session
from tests.support.nats import NatsServer
from tests.support.processes import Program
from tests.support.waiting import eventually

__all__ = ["client", "control", "gateway_bus", "limits", "owner", "ready", "replica"]

pytestmark = pytest.mark.nats
QUICK = QueueConfig(inbox_ack_wait_s=2.0)


async def put(bus: Bus, key: SessionKey, command: str = "send.text", /, **fields: object) -> int:
    """Publish to the inbox as a program in any language would."""
    return await put_raw(bus, f"wa.{key.tenant_id}.inbox.{key.session_id}.{command}", orjson.dumps(fields))


async def put_raw(bus: Bus, subject: str, body: bytes) -> int:
    answer = await bus.store(subject, body)
    assert isinstance(answer, Stored)
    return answer.seq


async def told(bus: Bus, key: SessionKey, event: str = "job.*") -> list[JobEvent]:
    """All job events of a session so far."""
    events = [stored.event async for stored in stored_events(bus, event_subject(key, event), follow=False)]
    return [event for event in events if isinstance(event, JobEvent)]


async def tells(bus: Bus, key: SessionKey, count: int, event: str = "job.*", within_s: float = 10) -> list[JobEvent]:
    """The job events of a session, once there are so many."""

    async def enough() -> Sequence[JobEvent]:
        found = await told(bus, key, event)
        return found if len(found) >= count else ()

    return list(await eventually(enough, within_s=within_s))


async def jobs(bus: Bus, key: SessionKey) -> list[Any]:
    return [stored.job for stored in await JetStreamJobLog(bus, key).read("normal", 0, 1_000)]


async def waiting(bus: Bus) -> tuple[int, int]:
    """Commands that no gateway has taken yet, and that are being carried out."""
    info = await bus.api("CONSUMER.INFO.WA_INBOX.gateways")
    assert not isinstance(info, Refused)
    return info["num_pending"], info["num_ack_pending"]


@asynccontextmanager
async def gateway(url: str, **options: Any) -> AsyncIterator[GatewayReplica]:
    async with await connect(url, "gateway") as connection:
        running = GatewayReplica(connection, StandInControl(connection), **options)
        await running.start()
        yield running
        await running.drain()


async def test_what_is_stored_while_no_gateway_runs_is_sent_when_one_comes(
    nats_server: NatsServer, bus: Bus, ready: SessionKey, client: Client, owner: Owner
) -> None:
    stored = [await client.inbox_send("s1", "send.text", to=PHONE, message=str(n)) for n in range(3)]
    assert await told(bus, ready, ">") == []
    sessions_owner = await owner(ready)
    async with gateway(nats_server.url):
        accepted = await tells(bus, ready, 3, "job.accepted")
        sent = await tells(bus, ready, 3, "message.sent")
    # Side by side, so in any order.
    assert {(event.data.job_id, event.data.inbox_seq, event.data.idempotency_key) for event in accepted} == {
        (each.job_id, each.inbox_seq, each.idempotency_key) for each in stored
    }
    assert {event.data.job_id for event in sent} == {each.job_id for each in stored}
    assert {job.inbox_seq for job in sessions_owner.sent} == {each.inbox_seq for each in stored}
    assert {(event.seq, event.epoch) for event in accepted} == {(None, None)}
    assert {event.data.inbox_seq for event in sent} == {each.inbox_seq for each in stored}


@pytest.mark.usefixtures("replica")
async def test_each_refusal_is_an_event_with_its_code_and_the_commands_place(bus: Bus, ready: SessionKey) -> None:
    tenant, past = ready.tenant_id, (datetime.now(UTC) - timedelta(seconds=9)).isoformat()
    unknown = SessionKey(tenant, "nobody")
    refused = [
        ("invalid_command", await put(bus, ready, to="12", message="x", idempotency_key="k1")),
        ("invalid_command", await put(bus, ready, to=PHONE, message="x", expires_at=past)),
        ("invalid_command", await put_raw(bus, f"wa.{tenant}.inbox.s1.send.text", b"\xff{")),
        ("invalid_command", await put_raw(bus, f"wa.{tenant}.inbox.s1.send", b"{}")),
        ("invalid_command", await put(bus, ready, "session.stop")),
        ("invalid_command", await put(bus, ready, "send.nonsense")),
        ("unsupported", await put(bus, ready, "send.poll")),
        ("unsupported", await put(bus, ready, to=PHONE, message="x", send_at="2040-01-01T00:00:00Z")),
        ("media_rejected", await put(bus, ready, "send.media", to=PHONE, url="http://127.0.0.1/x")),
    ]
    events = {event.data.inbox_seq: event for event in await tells(bus, ready, len(refused), "job.rejected")}
    assert {seq: event.data.error.code for seq, event in events.items() if seq and event.data.error} == {
        seq: code for code, seq in refused
    }
    first = events[refused[0][1]].data
    assert (first.to, first.idempotency_key) == ("12", "k1")
    await put(bus, unknown, to=PHONE, message="x")
    [event] = await tells(bus, unknown, 1, "job.rejected")
    assert event.data.error is not None
    assert event.data.error.code == "unknown_session"
    assert await jobs(bus, ready) == []
    await eventually(lambda: drained(bus), within_s=10)


async def drained(bus: Bus) -> bool:
    return await waiting(bus) == (0, 0)


@pytest.mark.usefixtures("replica")
async def test_a_key_makes_one_job_however_it_comes_and_how_often(bus: Bus, ready: SessionKey, client: Client) -> None:
    first = await client.inbox_send("s1", "send.text", to=PHONE, message="x", idempotency_key="k")
    await tells(bus, ready, 1)
    again = await client.inbox_send("s1", "send.text", to=PHONE, message="x", idempotency_key="k")
    asked = await client.send_text("s1", PHONE, "x", idempotency_key="k")
    other = await client.inbox_send("s1", "send.text", to=PHONE, message="y", idempotency_key="k")
    events = await tells(bus, ready, 3)
    assert first.job_id == again.job_id == asked.job_id
    assert asked.duplicate
    assert {event.data.inbox_seq: (event.event, event.data.job_id) for event in events} == {
        first.inbox_seq: ("job.accepted", first.job_id),
        again.inbox_seq: ("job.accepted", first.job_id),
        other.inbox_seq: ("job.rejected", first.job_id),
    }
    assert [job.job_id for job in await jobs(bus, ready)] == [first.job_id]


async def test_the_inbox_refuses_where_nothing_was_stored(client: Client) -> None:
    with pytest.raises(InvalidCommand, match="message"):
        await client.inbox_send("s1", "send.text", to=PHONE)
    with pytest.raises(InvalidCommand, match="session id"):
        await client.inbox_send("s.1", "send.text", to=PHONE, message="x")
    with pytest.raises(InvalidCommand, match=r"takes send\.\* only"):
        await client.inbox_send("s1", "session.stop")  # type: ignore[arg-type] # what a type checker would refuse


@pytest.mark.usefixtures("replica")
async def test_direct_mode_goes_past_the_queue_and_its_outcome_is_an_event(
    bus: Bus, ready: SessionKey, owner: Owner
) -> None:
    sessions_owner = await owner(ready)
    await put(bus, ready, to=PHONE, message="now", mode="direct")
    await tells(bus, ready, 1, "message.sent")
    assert [job.lane for job in sessions_owner.sent] == ["direct"]
    await put_session(bus, ready, "reconnecting")
    await put(bus, ready, to=PHONE, message="now", mode="direct")
    [event] = await tells(bus, ready, 1, "job.rejected")
    assert event.data.error is not None
    assert event.data.error.code == "session_not_ready"


async def test_a_moment_that_passed_while_nobody_read_it_is_expired(
    nats_server: NatsServer, bus: Bus, ready: SessionKey
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    await put(bus, ready, to=PHONE, message="x", expires_at=soon.isoformat())
    await eventually(lambda: datetime.now(UTC) > soon, within_s=5)
    async with gateway(nats_server.url):
        [event] = await tells(bus, ready, 1)
    assert event.data.error is not None
    assert (event.event, event.data.error.code) == ("job.rejected", "expired")


@pytest.mark.usefixtures("replica")
async def test_subjects_that_name_no_session_are_dropped_and_harm_nobody(bus: Bus, ready: SessionKey) -> None:
    tenant = ready.tenant_id
    odd = (f"wa.{tenant}.inbox.s*1.send.text", f"wa.{tenant}.inbox.>>", "wa.a\x0bb.inbox.s1.send.text",
           f"wa.{tenant}.inbox.s\xff1.send.text", "wa.\x0c\r.inbox.x")  # fmt: skip
    before = await put(bus, ready, to=PHONE, message="before")
    for subject in odd:
        line = b"PUB " + subject.encode("latin-1") + b" 2\r\n{}\r\n"
        bus.client._transport.write(line)  # type: ignore[union-attr] # nats-py would refuse to publish some of them
    forged = {"Status": "408", "Description": "Request Timeout", "Nats-Pending-Messages": "1"}
    stored = await bus.store(f"wa.{tenant}.inbox.s1.send.text", b"", headers=forged)
    assert isinstance(stored, Stored)
    # nats-server (2.15) reads the line with the CR as another subject where it arrives in two pieces.
    assert before + len(odd) <= stored.seq <= before + len(odd) + 1
    await put(bus, ready, to=PHONE, message="after")
    events = await tells(bus, ready, 3)
    assert sorted(event.event for event in events) == ["job.accepted", "job.accepted", "job.rejected"]
    await eventually(lambda: drained(bus), within_s=10)


async def test_the_end_of_a_gateway_half_way_makes_no_second_job_and_loses_none(
    tmp_path: Path, key: SessionKey
) -> None:
    with NatsServer(tmp_path) as server:
        command = [sys.executable, "-m", "tests.gateway.replica_process", server.url]
        async with await connect(server.url, "test") as bus, AsyncExitStack() as stack:
            await ensure(bus, declared(QUICK))
            await put_session(bus, key, "ready")
            both = [await stack.enter_async_context(Program(*command)) for _ in range(2)]
            for each in both:
                await each.line("ready", within_s=20)
            async with asyncio.TaskGroup() as storing:
                seqs = [storing.create_task(put(bus, key, to=PHONE, message=str(n))) for n in range(300)]
            await both[0].kill()
            events = await tells(bus, key, 300, within_s=15)
            stored = await jobs(bus, key)
            await eventually(lambda: drained(bus), within_s=10)
    assert {event.event for event in events} == {"job.accepted"}
    assert sorted(event.data.inbox_seq or 0 for event in events) == sorted(seq.result() for seq in seqs)
    assert sorted(job.inbox_seq or 0 for job in stored) == sorted(seq.result() for seq in seqs)


@pytest.mark.parametrize("forgotten", [False, True], ids=["", "a server that forgot how often it handed it out"])
async def test_a_command_handed_out_again_meets_what_its_first_delivery_left(
    tmp_path: Path, key: SessionKey, monkeypatch: pytest.MonkeyPatch, *, forgotten: bool
) -> None:
    """The acknowledgement of each first delivery is lost, and by the second the sessions have changed their minds."""
    closed = SessionKey(key.tenant_id, "closed")
    acknowledge, handle = PullReader._acknowledge, CommandInbox.handle

    async def lose(self: Any, delivery: Any, verdict: bytes) -> None:
        if delivery.tries > 1:
            await acknowledge(self, delivery, verdict)

    async def forget(self: CommandInbox, delivery: Delivery) -> Again | None:
        return await handle(self, replace(delivery, tries=1) if forgotten else delivery)

    monkeypatch.setattr(PullReader, "_acknowledge", lose)
    monkeypatch.setattr(CommandInbox, "handle", forget)
    with NatsServer(tmp_path) as server:
        async with await connect(server.url, "test") as bus:
            await ensure(bus, declared(QUICK))
            await put_session(bus, key, "ready")
            await put_session(bus, closed, "failed")
            async with gateway(server.url, queue=QUICK):
                await put(bus, key, to=PHONE, message="taken")
                await put(bus, key, to="12", message="refused")
                await put(bus, closed, to=PHONE, message="refused")
                await tells(bus, key, 2)
                await tells(bus, closed, 1)
                await put_session(bus, key, "logged_out")
                await put_session(bus, closed, "ready")
                await eventually(lambda: drained(bus), within_s=15)
            events = {each: await told(bus, each) for each in (key, closed)}
            stored = {each: await jobs(bus, each) for each in (key, closed)}
    assert sorted(event.event for event in events[key]) == ["job.accepted", "job.rejected"]
    assert [event.event for event in events[closed]] == ["job.rejected"]
    assert (len(stored[key]), len(stored[closed])) == (1, 0)


async def test_a_command_that_always_fails_is_refused_at_last_and_holds_up_nobody(
    tmp_path: Path, key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Sends.take

    async def break_on(self: Sends, key: SessionKey, command: Any, origin: Any) -> Any:
        if origin.given_up or command.message == "fine":
            return await take(self, key, command, origin)
        if command.message == "poison":
            raise ZeroDivisionError
        raise Unavailable("a part is away")

    monkeypatch.setattr(Sends, "take", break_on)
    monkeypatch.setattr("gateway.command_inbox.MAX_TRIES", 2)
    with NatsServer(tmp_path) as server:
        async with await connect(server.url, "test") as bus:
            await ensure(bus, declared(QUICK))
            await put_session(bus, key, "ready")
            async with gateway(server.url, queue=QUICK):
                poison, away = [await put(bus, key, to=PHONE, message=text) for text in ("poison", "away")]
                fine = await put(bus, key, to=PHONE, message="fine")
                events = await tells(bus, key, 3, within_s=15)
                await eventually(lambda: drained(bus), within_s=10)
    assert events[0].data.inbox_seq == fine
    outcomes = {event.data.inbox_seq: event.data.error.code for event in events if event.data.error}
    assert outcomes == {poison: "unavailable", away: "unavailable"}
