"""Gateways side by side, and what the end of one costs its clients: a repetition."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import orjson
import pytest
from nats.aio.msg import Msg

from actors.errors import InvalidCommand, Unsupported
from actors.messages.ids import SessionKey
from actors.messages.replies import JobAccepted
from gateway.client import Client
from gateway.client_requests import TRY_S_BY_COMMAND
from gateway.connection import Bus, connect
from gateway.jobs import JetStreamJobLog
from gateway.replica import GatewayReplica
from gateway.streams import ensure
from tests.gateway.replicas import PHONE, client, control, ready
from tests.gateway.standins import StandInControl, put_session
from tests.support.nats import NatsServer
from tests.support.processes import Program
from tests.support.waiting import eventually

__all__ = ["client", "control", "ready"]

pytestmark = pytest.mark.nats


@pytest.fixture
async def pair(nats_server: NatsServer, bus: Bus, control: StandInControl) -> AsyncIterator[list[GatewayReplica]]:
    """Two gateways, each on a connection of its own."""
    async with AsyncExitStack() as stack:
        replicas = []
        for number in range(2):
            connection = await stack.enter_async_context(await connect(nats_server.url, f"gateway {number}"))
            replicas.append(GatewayReplica(connection, control))
            await replicas[-1].start()
            stack.push_async_callback(replicas[-1].drain)
        yield replicas


@pytest.fixture
async def asked(bus: Bus, key: SessionKey) -> Counter[str]:
    """How often each send was asked for, by its idempotency key."""
    times: Counter[str] = Counter()

    async def count(msg: Msg) -> None:
        times[orjson.loads(msg.data)["idempotency_key"]] += 1

    await bus.subscribe(f"wa.{key.tenant_id}.cmd.*.send.text", count)
    return times


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that repeats nothing only because a busy machine answers late."""
    monkeypatch.setitem(TRY_S_BY_COMMAND, "send.text", 60.0)


async def served(bus: Bus) -> list[int]:
    """How many requests each replica has taken."""
    inbox: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(msg: object) -> None:
        inbox.put_nowait(msg.data)  # type: ignore[attr-defined] # a message of nats-py

    subscription = await bus.subscribe("_INBOX.stats", take)
    await bus.publish("$SRV.STATS.wafleet", reply="_INBOX.stats")
    counts = []
    async with asyncio.timeout(5):
        for _ in range(2):
            stats = orjson.loads(await inbox.get())
            counts.append(sum(endpoint["num_requests"] for endpoint in stats["endpoints"]))
    await subscription.unsubscribe()
    return counts


@pytest.mark.usefixtures("pair", "patient")
async def test_replicas_share_the_load_and_make_no_job_twice(bus: Bus, ready: SessionKey, client: Client) -> None:
    accepted = await asyncio.gather(
        *(client.send_text("s1", PHONE, str(n), idempotency_key=str(n)) for n in range(200))
    )
    assert not any(reply.duplicate for reply in accepted)
    stored = [job.job.job_id for job in await JetStreamJobLog(bus, ready).read("normal", 0, 1_000)]
    assert sorted(stored) == sorted(reply.job_id for reply in accepted)
    assert min(await served(bus)) > 20


@pytest.mark.usefixtures("patient", "ready")
async def test_a_replica_that_leaves_takes_no_request_with_it(
    pair: list[GatewayReplica], client: Client, asked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one that it works on nor one on its way to it; a client's repetition would hide that it was dropped."""
    monkeypatch.setattr("gateway.service._UNSUBSCRIBE_TIMEOUT_S", 10.0)
    leaving = pair[0]._service
    sending = [asyncio.create_task(client.send_text("s1", PHONE, str(n))) for n in range(100)]
    await eventually(lambda: leaving._tasks, within_s=5, every_s=0)
    transport = leaving._bus.client._transport._io_writer.transport  # type: ignore[union-attr]
    transport.pause_reading()
    sending += [asyncio.create_task(client.send_text("s1", PHONE, str(n))) for n in range(100, 200)]
    await eventually(lambda: len(asked) == 200, within_s=10)
    draining = asyncio.create_task(pair[0].drain())
    await asyncio.wait({draining}, timeout=0.2)
    transport.resume_reading()
    async with asyncio.timeout(20):
        await draining
        replies = await asyncio.gather(*sending)
    assert len({reply.job_id for reply in replies}) == 200
    await client.send_text("s1", PHONE, "last", idempotency_key="last")
    await eventually(lambda: asked["last"], within_s=10)
    assert (len(asked), set(asked.values())) == (201, {1})
    assert (await client.status("s1")).state == "ready"


async def test_a_killed_gateway_costs_a_repetition_and_no_message(
    nats_server: NatsServer, bus: Bus, ready: SessionKey, client: Client, asked: Counter[str]
) -> None:
    command = [sys.executable, "-m", "tests.gateway.replica_process", nats_server.url]
    async with Program(*command) as first, Program(*command) as second:
        await first.line("ready", within_s=20)
        await second.line("ready", within_s=20)
        sending = [asyncio.create_task(client.send_text("s1", PHONE, str(n))) for n in range(200)]
        await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
        first.send(signal.SIGSTOP)  # its share of what comes now is with it, unanswered, when it dies
        sending += [asyncio.create_task(client.send_text("s1", PHONE, str(n))) for n in range(200, 300)]
        await eventually(lambda: len(asked) == 300, within_s=10)
        await first.kill()
        replies = await asyncio.gather(*sending)
    assert {type(reply) for reply in replies} == {JobAccepted}
    assert len(asked) == 300
    assert max(asked.values()) >= 2, "nothing was lost with the gateway that was killed"
    stored = [job.job.job_id for job in await JetStreamJobLog(bus, ready).read("normal", 0, 1_000)]
    assert sorted(stored) == sorted(reply.job_id for reply in replies)


async def test_a_request_made_before_any_gateway_runs_is_answered_when_one_does(
    nats_server: NatsServer, bus: Bus, control: StandInControl, ready: SessionKey, client: Client
) -> None:
    asking = asyncio.create_task(client.status("s1"))
    async with await connect(nats_server.url, "gateway") as connection:
        replica = GatewayReplica(connection, control)
        await replica.start()
        async with asyncio.timeout(5):
            assert (await asking).state == "ready"
        await replica.drain()


async def test_a_gateway_answers_again_when_nats_is_back(own_nats_server: NatsServer, key: SessionKey) -> None:
    async with (
        await connect(own_nats_server.url, "gateway") as connection,
        await Client.connect(own_nats_server.url, key.tenant_id) as client,
    ):
        await ensure(connection)
        replica = GatewayReplica(connection, StandInControl(connection))
        await replica.start()
        await put_session(connection, key, "ready")
        accepted = [await client.send_text("s1", PHONE, "before")]
        own_nats_server.restart()
        accepted.append(await client.send_text("s1", PHONE, "after"))
        stored = await JetStreamJobLog(connection, key).read("normal", 0, 10)
        assert [job.job.job_id for job in stored] == [reply.job_id for reply in accepted]
        await replica.drain()


async def test_a_reply_that_the_server_would_not_take_becomes_an_error(tmp_path: Path, key: SessionKey) -> None:
    """A message beyond ``max_payload`` would end the connection of all tenants."""
    with NatsServer(tmp_path, max_payload="20KB") as server:
        async with (
            await connect(server.url, "gateway") as connection,
            await Client.connect(server.url, key.tenant_id) as client,
        ):
            await ensure(connection)
            replica = GatewayReplica(connection, StandInControl(connection))
            await replica.start()
            for number in range(100):
                await put_session(connection, SessionKey(key.tenant_id, f"s{number}"), "ready")
            with pytest.raises(Unsupported, match="NATS takes at most"):
                await client.sessions()
            with pytest.raises(InvalidCommand, match="NATS takes at most"):
                await client.send_text("s1", PHONE, "x" * 16_000)
            assert (await client.status("s1")).state == "ready"
            assert connection.client.stats["reconnects"] == 0
            await replica.drain()
