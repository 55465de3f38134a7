"""The nats-server that `wafleet up` starts."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.connection import connect
from gateway.up.nats_server import NatsServer, server_config

pytestmark = pytest.mark.nats


async def test_it_offers_jetstream_and_takes_two_megabytes(tmp_path: Path) -> None:
    server = NatsServer(tmp_path, port=0)
    await server.start()
    try:
        bus = await connect(server.url, "test")
        account = await bus.api("INFO")
        assert isinstance(account, dict)
        assert account["streams"] == 0
        assert bus.client.max_payload == 2 * 2**20
        await bus.close()
    finally:
        await server.stop()


async def test_a_port_in_use_is_replaced_and_its_owner_left_alone(tmp_path: Path) -> None:
    first, second = NatsServer(tmp_path / "first", port=0), NatsServer(tmp_path / "second", port=0)
    await first.start()
    try:
        second = NatsServer(tmp_path / "second", port=int(first.url.rpartition(":")[2]))
        await second.start()
        assert second.url != first.url
    finally:
        await second.stop()
        await first.stop()


def test_acknowledged_data_reaches_the_disk_within_a_second(tmp_path: Path) -> None:
    config = server_config(4222, tmp_path / 'a "quoted" folder', 2**20)
    assert 'sync_interval: "1s"' in config
    assert "listen: 127.0.0.1:4222" in config
    assert r"a \"quoted\" folder" in config


def test_streams_may_reserve_what_they_want_but_no_more_than_the_disk_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "nats"
    (store / "jetstream").mkdir(parents=True)
    (store / "jetstream" / "1.blk").write_bytes(bytes(1_000))
    monkeypatch.setattr("gateway.up.nats_server.shutil.disk_usage", lambda _: SimpleNamespace(free=4_000))
    assert "max_file_store: 3999\n" in server_config(4222, store, 3_999)
    assert "max_file_store: 4000\n" in server_config(4222, store, 4_001)


async def test_bounds_above_the_usual_room_are_reserved_where_the_disk_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.up.nats_server.shutil.disk_usage", lambda _: SimpleNamespace(free=2**50))
    server = NatsServer(tmp_path, port=0, streams_bytes=20 * 2**30)
    await server.start()
    try:
        assert f"max_file_store: {20 * 2**30}\n" in (tmp_path / "nats-server.conf").read_text()
    finally:
        await server.stop()
