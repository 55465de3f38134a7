"""A gateway's life, from the first connection to the last drained request.

Theory of operation. Sends need NATS only, so the replica serves as soon as it has that; Ray is joined meanwhile
(``gateway.joining``), and what needs an actor waits for it. So a gateway that died is back for its tenants long before
it has Ray. Leaving goes the other way round: the replica first.

Imports the replica; Ray's side is imported in a thread, late.
"""

import asyncio
import gc
import importlib
import logging
import signal
from contextlib import AsyncExitStack
from typing import Final

from gateway.connection import FLEET_INBOX, connect, redacted
from gateway.late_control import LateControlPlane
from gateway.replica import GatewayReplica
from gateway.settings import USUAL_NATS_URL, Settings
from gateway.streams import declared, ensure

_DRAIN_FLEET_TIMEOUT_S: Final = 35.0
_COLLECT_AFTER: Final = 20_000
"""So many more objects made than dropped start a collection of the youngest; Python's default is 700."""

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
    nats_url, ray_address = settings.nats_url or USUAL_NATS_URL, settings.ray_address or "auto"
    bus = await connect(nats_url, "gateway", inbox_prefix=FLEET_INBOX)
    leaving.push_async_callback(bus.close)
    await ensure(bus, declared(settings.queue_config(), settings.lease_config(), settings.store_config()))
    control = LateControlPlane()
    replica = GatewayReplica(
        bus,
        control,
        queue=settings.queue_config(),
        allowed_private_hosts=frozenset(settings.wafleet_media_private_hosts),
    )
    await replica.start()
    leaving.push_async_callback(replica.drain)
    _log.debug("takes sends; joining Ray at %s", ray_address)
    await _join(settings, leaving, stopping, control, drain_fleet=drain_fleet)
    leaving.push_async_callback(replica.drain)  # before Ray is left; once more does no harm
    _spare_collections()
    _log.info("wafleet gateway ready: NATS %s, Ray %s", redacted(nats_url), ray_address)


async def _join(
    settings: Settings,
    leaving: AsyncExitStack,
    stopping: asyncio.Event,
    control: LateControlPlane,
    *,
    drain_fleet: bool,
) -> None:
    """Join Ray and see to it that there is a supervisor."""
    await asyncio.to_thread(importlib.import_module, "gateway.joining")
    from gateway.joining import deploy_supervisor, join_ray, leave_ray  # noqa: PLC0415 - imported by the thread above

    plane = await join_ray(settings.ray_address or "auto")
    leaving.push_async_callback(leave_ray)
    _listen_for_signals(stopping)  # again: Ray's own handler would print a stack trace
    await deploy_supervisor(plane, settings, settings.nats_url or USUAL_NATS_URL)
    control.reached(plane)
    if drain_fleet:
        leaving.push_async_callback(plane.stop_supervisor, drain=True, timeout_s=_DRAIN_FLEET_TIMEOUT_S)


def _spare_collections() -> None:
    """Let the garbage collector leave alone what stays anyway, and come less often.

    Ray and pydantic leave some hundred thousand objects, and each request makes and drops hundreds, none of them in
    cycles. Measured with `send.text`: 0.94 ms of a gateway's CPU for each in the place of 1.1 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])


def _listen_for_signals(stopping: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
