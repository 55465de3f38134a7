"""Streams and buckets as data, and making a server have them."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from actors.config import QueueConfig, StoreConfig
from actors.errors import Unavailable
from actors.messages.ids import SessionKey
from gateway.answers import Refused
from gateway.connection import Bus, connect
from gateway.jobs import JetStreamJobLog, JobWriter
from gateway.streams import EPOCHS, PROFILE_HEADS, SESSIONS, STATUS, StreamSpec, declared, ensure, setting_of
from tests.gateway.building import make_job
from tests.support.nats import NatsServer

pytestmark = pytest.mark.nats


async def _config(bus: Bus, name: str) -> dict[str, object]:
    info = await bus.api(f"STREAM.INFO.{name}")
    assert not isinstance(info, Refused)
    config: dict[str, object] = info["config"]
    return config


async def _names(bus: Bus) -> list[str]:
    listed = await bus.api("STREAM.NAMES")
    assert not isinstance(listed, Refused)
    return sorted(listed["streams"])


def test_nothing_grows_without_a_bound() -> None:
    for spec in declared():
        assert 0 < spec.max_bytes <= 4 * 2**30
        # An object store's writers keep two objects a session; past its bytes it takes no more.
        assert spec.max_age_s > 0 or spec.max_per_subject > 0 or (spec.is_object_store and spec.discard == "new")


@pytest.mark.parametrize("bucket", [SESSIONS, STATUS, EPOCHS, PROFILE_HEADS])
def test_what_a_later_owner_goes_on_from_never_runs_out(bucket: str) -> None:
    (spec,) = (spec for spec in declared() if spec.name == f"KV_{bucket}")
    assert (spec.max_age_s, spec.discard) == (0, "new"), "an epoch that began anew at 1 would fence nobody"


async def test_many_gateways_may_set_up_one_server_at_once_and_again(own_nats_server: NatsServer) -> None:
    async with AsyncExitStack() as stack:
        buses = [await stack.enter_async_context(await connect(own_nats_server.url, "gateway")) for _ in range(4)]
        await asyncio.gather(*(ensure(bus) for bus in buses))
        await ensure(buses[0])
        assert await _names(buses[0]) == sorted(spec.name for spec in declared())
        for spec in declared():
            wanted, held = spec.config(), await _config(buses[0], spec.name)
            assert {name: held.get(name, False) for name in wanted} == wanted


async def test_a_changed_bound_is_carried_out(own_nats_server: NatsServer) -> None:
    async with await connect(own_nats_server.url, "gateway") as bus:
        await ensure(bus)
        await ensure(bus, declared(QueueConfig(max_waiting_per_lane=7)))
        assert (await _config(bus, "WA_JOBS"))["max_msgs_per_subject"] == 7


async def test_a_bucket_of_an_earlier_version_learns_to_take_lives_of_single_records(
    own_nats_server: NatsServer,
) -> None:
    async with await connect(own_nats_server.url, "gateway") as bus:
        await ensure(bus, [replace(spec, takes_ttl=False) for spec in declared()])
        assert not (await _config(bus, "KV_wa_job_records")).get("allow_msg_ttl")
        await ensure(bus)
        assert (await _config(bus, "KV_wa_job_records"))["allow_msg_ttl"] is True


def test_each_bound_has_its_setting_and_a_full_stream_names_it() -> None:
    for spec in declared():
        field = setting_of(spec.name).removeprefix("WAFLEET_STORE.")
        raised = declared(store=StoreConfig(**{field: 9 * 2**30}))
        assert {one.name for one in raised if one.max_bytes == 9 * 2**30} == {
            one.name for one in declared() if setting_of(one.name) == setting_of(spec.name)
        }
    assert {spec.config()["num_replicas"] for spec in declared(store=StoreConfig(replicas=3))} == {3}


def test_replicas_that_an_operator_raised_are_left_and_too_few_are_made_more() -> None:
    (spec, *_) = declared(store=StoreConfig(replicas=3))
    assert spec.beside({"max_bytes": 2**30, "num_replicas": 5}).replicas == 5
    assert spec.beside({"max_bytes": 2**30, "num_replicas": 1}).replicas == 3


async def test_room_that_an_operator_gave_a_stream_is_left_to_it_and_too_little_is_made_more(
    own_nats_server: NatsServer,
) -> None:
    async with await connect(own_nats_server.url, "gateway") as bus:
        small = declared(store=StoreConfig(jobs_max_bytes=2**30, events_max_bytes=2**30, inbox_max_bytes=2**20))
        await ensure(bus, small)
        for name, max_bytes in (("WA_JOBS", 2 * 2**30), ("WA_EVENTS", -1)):
            raised = {**await _config(bus, name), "max_bytes": max_bytes}
            assert not isinstance(await bus.api(f"STREAM.UPDATE.{name}", raised), Refused)
        await ensure(bus, small)
        assert [(await _config(bus, name))["max_bytes"] for name in ("WA_JOBS", "WA_EVENTS")] == [2 * 2**30, -1]
        await ensure(bus)
        assert [(await _config(bus, name))["max_bytes"] for name in ("WA_JOBS", "WA_EVENTS", "WA_INBOX")] == [
            4 * 2**30, -1, 256 * 2**20,
        ]  # fmt: skip


async def test_what_an_operator_enlarged_is_not_halved_where_there_is_little_room(tmp_path: Path) -> None:
    with NatsServer(tmp_path, max_file_store="1GB") as server:
        async with await connect(server.url, "gateway") as bus:
            await ensure(bus, [spec.halved(8) for spec in declared()])
            small = declared(store=StoreConfig(inbox_max_bytes=2**20))
            enlarged = {**await _config(bus, "WA_INBOX"), "max_bytes": 400 * 2**20}
            assert not isinstance(await bus.api("STREAM.UPDATE.WA_INBOX", enlarged), Refused)
            await ensure(bus, small)
            assert (await _config(bus, "WA_INBOX"))["max_bytes"] == 400 * 2**20
            assert (await _config(bus, "WA_JOBS"))["max_bytes"] == 128 * 2**20


async def test_a_server_that_came_back_with_less_room_than_is_reserved_is_used_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with NatsServer(tmp_path, max_file_store="1GB") as server:
        async with await connect(server.url, "gateway") as bus:
            await ensure(bus)
            held = await _config(bus, "WA_JOBS")
    caplog.clear()
    with NatsServer(tmp_path, max_file_store="500MB") as server:
        async with await connect(server.url, "gateway") as bus:
            await ensure(bus, declared(QueueConfig(max_waiting_per_lane=7)))
            assert await _config(bus, "WA_JOBS") == held
            assert "refuses to change its streams: they stay as they are" in caplog.text


async def test_a_server_with_little_room_gets_smaller_streams_and_a_warning_and_keeps_its_jobs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: SessionKey
) -> None:
    with NatsServer(tmp_path, max_file_store="1GB") as server:
        async with await connect(server.url, "gateway") as bus:
            await ensure(bus)
            assert (await _config(bus, "WA_JOBS"))["max_bytes"] == 256 * 2**20
            wanted = sum(spec.max_bytes for spec in declared()) // 2**20
            assert f"JetStream has no room for {wanted} MiB: all streams are bounded to 1/16 of that" in caplog.text
            await JobWriter(bus, QueueConfig()).publish(make_job(key))
            await ensure(bus)
            assert (await _config(bus, "WA_JOBS"))["max_bytes"] == 256 * 2**20
            assert await _names(bus) == sorted(spec.name for spec in declared())
            assert len(await JetStreamJobLog(bus, key).read("normal", 0, 2)) == 1


async def test_a_server_without_room_is_named(tmp_path: Path) -> None:
    with NatsServer(tmp_path, max_file_store="20MB") as server:
        async with await connect(server.url, "gateway") as bus:
            with pytest.raises(Unavailable, match=r"no room for \d+ MiB; raise max_file_store"):
                await ensure(bus)


async def test_what_the_server_will_not_have_is_named(bus: Bus) -> None:
    overlapping = StreamSpec("WA_OTHER", ("wa.*.job.>",), 2**20, "old")
    with pytest.raises(Unavailable, match="JetStream refused stream WA_OTHER: subjects overlap"):
        await ensure(bus, [overlapping])
