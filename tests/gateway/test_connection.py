"""The connection: deadlines, sizes, and what happens when nats-server is killed in the middle."""

import asyncio
import time

import pytest
from nats.aio.msg import Msg

from actors.clock import SystemClock
from actors.config import QueueConfig
from actors.errors import InvalidCommand, Unavailable
from actors.messages.ids import SessionKey
from actors.messages.jobs import LaneName, new_record
from gateway.connection import SIZE_RESERVE_BYTES, Bus, connect, redacted
from gateway.jobs import JetStreamJobLog, JobWriter
from gateway.records import RecordStore
from gateway.streams import ensure
from tests.gateway.building import make_job
from tests.support.nats import NatsServer
from tests.support.ports import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.nats


async def _mute(_: Msg) -> None:
    """Take a request and never answer it."""


async def test_no_acknowledged_job_is_lost_when_the_server_is_killed_while_jobs_are_stored(
    own_nats_server: NatsServer, key: SessionKey
) -> None:
    async with await connect(own_nats_server.url, "test") as bus:
        await ensure(bus)
        writer, records, log = JobWriter(bus, QueueConfig()), RecordStore(bus), JetStreamJobLog(bus, key)
        stored: list[str] = []
        refused: list[str] = []
        over = asyncio.Event()

        async def send() -> None:
            while not over.is_set():
                job = make_job(key)
                try:
                    await asyncio.gather(writer.publish(job), records.create(new_record(job)))
                except Unavailable:
                    refused.append(job.job_id)
                else:
                    stored.append(job.job_id)

        senders = [asyncio.create_task(send()) for _ in range(16)]
        await eventually(lambda: len(stored) > 200, within_s=10)
        await asyncio.to_thread(own_nats_server.restart)
        before = len(stored)
        await eventually(lambda: len(stored) > before + 200, within_s=10)
        over.set()
        await asyncio.gather(*senders)
        found = {one.job.job_id for one in await log.read("normal", 0, 10_000)}
        assert refused
        assert set(stored) <= found
        assert found <= set(stored) | set(refused)
        for job_id in (stored[0], stored[before - 1], stored[-1]):
            assert await records.get(key, job_id) is not None


async def test_a_session_is_woken_by_its_own_jobs_and_for_all_lanes_after_a_crash(
    own_nats_server: NatsServer, key: SessionKey
) -> None:
    async with (
        await connect(own_nats_server.url, "session") as session,
        await connect(own_nats_server.url, "gateway") as gateway,
    ):
        await ensure(gateway)
        writer, woken = JobWriter(gateway, QueueConfig()), asyncio.Queue[LaneName | None]()
        await JetStreamJobLog(session, key).listen(woken.put_nowait)
        await writer.publish(make_job(SessionKey(key.tenant_id, "s2")))
        await writer.publish(make_job(key, lane="bulk"))
        async with asyncio.timeout(10):
            assert await woken.get() == "bulk"
            await asyncio.to_thread(own_nats_server.restart)
            assert await woken.get() is None
            await writer.publish(make_job(key, lane="direct"))
            assert await woken.get() == "direct"


async def test_a_request_under_way_fails_at_once_when_the_connection_is_lost(own_nats_server: NatsServer) -> None:
    async with await connect(own_nats_server.url, "test") as bus:
        await bus.subscribe("mute", _mute)
        asking = asyncio.create_task(bus.request("mute", timeout_s=60))
        await eventually(lambda: bus.client.stats["in_msgs"] > 0, within_s=5)
        own_nats_server.kill()
        with pytest.raises(Unavailable, match="lost before the answer"):
            async with asyncio.timeout(5):
                await asking


async def test_a_request_in_the_moment_in_which_the_connection_breaks_fails_like_one_before_it(bus: Bus) -> None:
    """The loop knows a turn before nats-py does that nothing goes out any more; uvloop raises at a write then."""
    back = asyncio.Event()
    bus.on_reconnected(back.set)
    bus.client._abort()
    await SystemClock().sleep(0)
    assert bus.is_connected
    with pytest.raises(Unavailable, match="lost before the answer"):
        await bus.request("$JS.API.INFO")
    async with asyncio.timeout(10):
        await back.wait()
    assert isinstance(await bus.api("INFO"), dict)


async def test_a_request_made_while_the_server_is_away_waits_within_its_deadline(own_nats_server: NatsServer) -> None:
    async with await connect(own_nats_server.url, "test") as bus:
        own_nats_server.kill()
        await eventually(lambda: not bus.is_connected, within_s=5)
        with pytest.raises(Unavailable, match="away"):
            await bus.request("$JS.API.INFO", timeout_s=0.2)
        asking = asyncio.create_task(bus.api("INFO"))
        await asyncio.to_thread(own_nats_server.start)
        assert isinstance(await asking, dict)


async def test_no_answer_within_the_deadline_is_unavailable(bus: Bus) -> None:
    await bus.subscribe("mute", _mute)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"no answer to mute within 0\.2 s"):
        await bus.request("mute", timeout_s=0.2)
    assert time.monotonic() - began < 2


async def test_a_subject_nobody_listens_on_is_unavailable_at_once(bus: Bus) -> None:
    with pytest.raises(Unavailable, match="nobody answers"):
        await bus.request("nobody.there", timeout_s=60)


async def test_a_server_that_is_not_there_is_unavailable_and_the_password_stays_secret() -> None:
    with pytest.raises(Unavailable) as refused:
        await connect(f"nats://someone:secret@127.0.0.1:{free_port()}", "test", timeout_s=0.3)
    assert "127.0.0.1" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://a:b@h:1,nats://c@g:2", "nats://h:1,nats://g:2"),
        ("user:secret@host:4222", "host:4222"),
        ("nats://u:p@h1,u:p@h2", "nats://h1,h2"),
        ("tls://u:p@ss@h", "tls://h"),
        ("127.0.0.1:4222", "127.0.0.1:4222"),
    ],
)
def test_no_user_and_no_password_is_shown(url: str, shown: str) -> None:
    assert redacted(url) == shown


async def test_what_another_publishes_after_subscribe_returned_is_seen(nats_server: NatsServer, bus: Bus) -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def take(msg: Msg) -> None:
        seen.put_nowait(msg.subject)

    async with await connect(nats_server.url, "other") as other:
        for number in range(50):
            await bus.subscribe(f"seen.{number}", take)
            await other.publish(f"seen.{number}")
        async with asyncio.timeout(5):
            assert [await seen.get() for _ in range(50)] == [f"seen.{number}" for number in range(50)]


async def test_the_size_check_counts_headers_and_the_largest_message_passes(bus: Bus) -> None:
    limit = bus.client.max_payload - SIZE_RESERVE_BYTES
    headers = {"Nats-Msg-Id": "x" * 64}
    overhead = len("NATS/1.0\r\nNats-Msg-Id: \r\n\r\n") + 64

    async def sizes(msg: Msg) -> None:
        await bus.publish(msg.reply, str(len(msg.data)).encode())

    await bus.subscribe("size", sizes)
    largest = await bus.request("size", b"x" * (limit - overhead), headers=headers)
    assert int(largest.data) == limit - overhead
    with pytest.raises(InvalidCommand) as refused:
        await bus.publish("size", b"x" * (limit - overhead + 1), headers=headers)
    assert refused.value.details == {"bytes": limit + 1, "max_bytes": limit}
    with pytest.raises(InvalidCommand, match="not a subject"):
        await bus.publish("a b")
    assert bus.is_connected


async def test_a_connection_that_the_server_cut_with_an_error_is_made_again(bus: Bus) -> None:
    back = asyncio.Event()
    bus.on_reconnected(back.set)
    await bus.client.publish("large", b"x" * bus.client.max_payload, headers={"more": "x"})  # past the size check
    async with asyncio.timeout(10):
        await back.wait()
    assert isinstance(await bus.api("INFO"), dict)


async def test_an_answer_to_a_lone_request_goes_out_at_once_and_many_wait_for_each_other(bus: Bus) -> None:
    """Where the loop gathers what one of its turns writes; asyncio's own makes a call of the kernel for each write."""
    gathers = type(asyncio.get_running_loop()).__module__ == "uvloop"
    waiting: list[int] = []
    served, together = asyncio.Event(), asyncio.Barrier(2)

    async def serve(msg: Msg) -> None:
        if msg.data:
            await together.wait()
        await bus.publish("answers", b"x")
        waiting.append(bus.client.pending_data_size)
        if msg.data:
            await together.wait()
        served.set()

    bus.client.serve_at_once(await bus.subscribe("questions", serve))
    await bus.publish("questions")
    await asyncio.wait_for(served.wait(), 5)
    assert [size > 0 for size in waiting] == [not gathers]
    waiting.clear()
    served.clear()
    await bus.publish("questions", b"1")
    await bus.publish("questions", b"2")
    await asyncio.wait_for(served.wait(), 5)
    assert all(waiting)


async def test_a_cancelled_request_leaves_nothing_behind(bus: Bus) -> None:
    await bus.subscribe("mute", _mute)
    asking = asyncio.create_task(bus.request("mute"))
    await eventually(lambda: bus._inbox.waiting, within_s=5)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert not bus._inbox.waiting


@pytest.mark.parametrize("server", ["there", "away"])
async def test_close_ends_every_task_and_request(own_nats_server: NatsServer, server: str) -> None:
    bus = await connect(own_nats_server.url, "test")
    await bus.subscribe("mute", _mute)
    asking = asyncio.create_task(bus.request("mute"))
    await eventually(lambda: bus._inbox.waiting, within_s=5)
    if server == "away":
        own_nats_server.kill()
        await eventually(lambda: not bus.is_connected, within_s=5)
    await bus.close()
    await bus.close()
    with pytest.raises(Unavailable):
        await asking
    with pytest.raises(Unavailable, match="closed"):
        await bus.request("mute")
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_subscription_that_was_not_confirmed_does_not_stand(
    bus: Bus, key: SessionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Bus) -> None:
        raise Unavailable("no answer")

    subscriptions, hooks = dict(bus.client._subs), list(bus._hooks)
    monkeypatch.setattr(Bus, "flush", fail)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await JetStreamJobLog(bus, key).listen(lambda _: None)
    assert bus.client._subs == subscriptions
    assert bus._hooks == hooks


async def test_a_connection_whose_making_was_cancelled_is_not_made_after_all(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushing = asyncio.Event()

    async def hang(_: Bus) -> None:
        flushing.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Bus, "flush", hang)
    connecting = asyncio.create_task(connect(nats_server.url, "test"))
    async with asyncio.timeout(5):
        await flushing.wait()
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    assert connecting.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}
