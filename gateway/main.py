"""The gateway's process, and the composition root: here all parts of the product are wired together.

``python -m gateway.main`` connects NATS and Ray, makes the streams, gets or creates the supervisor, and serves until
SIGTERM or SIGINT; then this replica finishes what is in flight and leaves. The fleet stays, unless ``--drain-fleet``
says that it ends with this process (``wafleet up``).
"""

import argparse
import asyncio
import logging
import secrets
import signal
import sys
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from actors import cluster
from actors.cluster import RayControlPlane, RaySessionHost
from actors.errors import Unavailable
from actors.session import SessionActor
from actors.supervisor import Supervisor
from gateway.connection import connect, redacted
from gateway.profile_key import profile_key
from gateway.replica import GatewayReplica
from gateway.settings import InvalidSettings, Settings, load_settings
from gateway.streams import declared, ensure
from gateway.wiring import JetStreamPorts

_USUAL_NATS_URL: Final = "nats://127.0.0.1:4222"
_SUPERVISOR_TIMEOUT_S: Final = 60.0
_DRAIN_FLEET_TIMEOUT_S: Final = 35.0

_log = logging.getLogger("wafleet.gateway")


async def serve(settings: Settings, *, drain_fleet: bool) -> None:
    """Serve until a signal comes.

    Args:
        settings: Everything that is set.
        drain_fleet: End the supervisor and all sessions, in order, when this process is told to end.

    Raises:
        Unavailable: NATS or Ray did not answer.
    """
    stopping = asyncio.Event()
    _listen_for_signals(stopping)
    async with AsyncExitStack() as leaving:
        starting = asyncio.create_task(_start(settings, leaving, stopping, drain_fleet=drain_fleet))
        told = asyncio.create_task(stopping.wait())
        await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            await told
        else:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        told.cancel()
        _log.info("leaving")


async def _start(settings: Settings, leaving: AsyncExitStack, stopping: asyncio.Event, *, drain_fleet: bool) -> None:
    """Start everything; what must be undone is put on the stack as it comes up."""
    nats_url, ray_address = settings.nats_url or _USUAL_NATS_URL, settings.ray_address or "auto"
    bus = await connect(nats_url, "gateway")
    leaving.push_async_callback(bus.close)
    await ensure(bus, declared(settings.queue_config(), settings.lease_config()))
    control = await cluster.connect(ray_address)
    leaving.push_async_callback(cluster.disconnect)
    _listen_for_signals(stopping)  # again: Ray's own handler would print a stack trace
    await _deploy_supervisor(control, settings, nats_url)
    if drain_fleet:
        leaving.push_async_callback(control.stop_supervisor, drain=True, timeout_s=_DRAIN_FLEET_TIMEOUT_S)
    replica = GatewayReplica(
        bus,
        control,
        queue=settings.queue_config(),
        allowed_private_hosts=frozenset(settings.wafleet_media_private_hosts),
    )
    await replica.start()
    leaving.push_async_callback(replica.drain)
    _log.info("wafleet gateway ready: NATS %s, Ray %s", redacted(nats_url), ray_address)


def _listen_for_signals(stopping: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)


async def _deploy_supervisor(control: RayControlPlane, settings: Settings, nats_url: str) -> None:
    ports = JetStreamPorts(nats_url, profile_key(settings), settings.wafleet_log_level)
    build = partial(
        Supervisor,
        ports,
        RaySessionHost(SessionActor, ports),
        config=settings.supervisor_config(),
        session_config=settings.session_config(),
        lease_config=settings.lease_config(),
        seed=secrets.randbits(32),
    )
    await control.deploy_supervisor(build, _SUPERVISOR_TIMEOUT_S)


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser(prog="python -m gateway.main", description=__doc__)
    parser.add_argument("--drain-fleet", action="store_true", help="end all sessions with this process")
    arguments = parser.parse_args()
    try:
        settings = load_settings()
        logging.basicConfig(level=settings.wafleet_log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
        asyncio.run(serve(settings, drain_fleet=arguments.drain_fleet))
    except (InvalidSettings, Unavailable) as error:
        sys.exit(f"wafleet gateway: {error}")


if __name__ == "__main__":
    main()
