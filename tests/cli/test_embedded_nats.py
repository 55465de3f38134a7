"""The nats-server that `wafleet up` starts."""

from pathlib import Path

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
    config = server_config(4222, tmp_path / 'a "quoted" folder')
    assert 'sync_interval: "1s"' in config
    assert "listen: 127.0.0.1:4222" in config
    assert r"a \"quoted\" folder" in config
