"""The ports of a session and of the supervisor, connected to a real server; and what connecting costs others."""

import asyncio
import pickle
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from actors.config import LeaseConfig, QueueConfig, SessionConfig
from actors.errors import Unavailable
from actors.messages.ids import SessionKey
from actors.messages.jobs import new_record
from actors.messages.records import LeaseRecord, ProfileHead
from actors.ports import SessionSpec
from gateway.connection import Bus
from gateway.jobs import JobWriter
from gateway.registry import JetStreamRegistry
from gateway.wiring import JetStreamPorts
from tests.gateway.building import make_desired, make_event, make_job, make_status
from tests.support.nats import NatsServer

pytestmark = pytest.mark.nats
KEY = bytes(32)


def _spec(key: SessionKey, folder: Path) -> SessionSpec:
    return SessionSpec(desired=make_desired(key), config=SessionConfig(sessions_path=folder), lease=LeaseConfig())


async def test_all_ports_of_a_session_work_on_one_connection_and_close_together(
    nats_server: NatsServer, bus: Bus, key: SessionKey, tmp_path: Path
) -> None:
    factory: JetStreamPorts = pickle.loads(pickle.dumps(JetStreamPorts(nats_server.url, KEY)))  # noqa: S301 - our own bytes
    ports = await factory.connect(_spec(key, tmp_path))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(ports.close)
        revision = await ports.lease.create(LeaseRecord(owner_id="a", node="n", pid=1))
        assert revision is not None
        assert await ports.lease.raise_epoch() == 1
        assert await ports.events.last_seq() == 0
        await ports.heads.write(ProfileHead(epoch=1, node="n", generation="g"))
        await ports.status.put(make_status(key))
        woken = asyncio.Event()
        await ports.jobs.listen(lambda _lane: woken.set())
        await JobWriter(bus, QueueConfig()).publish(make_job(key))
        async with asyncio.timeout(5):
            await woken.wait()
        (stored,) = await ports.jobs.read("normal", 0, 10)
        assert await ports.records.create(new_record(stored.job, seq=stored.seq)) is not None
        await ports.events.publish(make_event(key, 1, seq=1))
        await ports.jobs.delete(stored.seq)
        await ports.lease.release(revision)
    with pytest.raises(Unavailable):
        await ports.jobs.depths()


async def test_the_supervisors_ports_see_all_sessions_and_hold_a_lease_of_their_own(
    nats_server: NatsServer, bus: Bus, key: SessionKey
) -> None:
    assert await JetStreamRegistry(bus).put_desired(make_desired(key), None) is not None
    ports = await JetStreamPorts(nats_server.url, KEY).connect_fleet()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(ports.close)
        assert make_desired(key) in await ports.registry.all_desired()
        revision = await ports.lease.create(LeaseRecord(owner_id="s", node="n", pid=1))
        assert revision is not None
        await ports.lease.release(revision)


async def test_where_no_gateway_has_set_up_anything_connecting_is_unavailable(own_nats_server: NatsServer) -> None:
    with pytest.raises(Unavailable, match=r"nobody answers on .*KV_wa_sessions"):
        await JetStreamPorts(own_nats_server.url, KEY).connect_fleet()


def test_handing_the_factory_on_imports_no_nats_and_connecting_no_aiohttp(own_nats_server: NatsServer) -> None:
    program = f"""
import asyncio, sys
from gateway.wiring import JetStreamPorts
from actors.errors import Unavailable

def loaded():
    heavy = ("nats", "playwright", "ray", "aiohttp", "cryptography", "zstandard")
    return [name for name in heavy if name in sys.modules]

factory = JetStreamPorts({own_nats_server.url!r}, {KEY!r})
print(loaded())
try:
    asyncio.run(factory.connect_fleet())
except Unavailable as exc:
    print(exc.code, loaded())
import aiohttp
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "unavailable ['nats']"]
