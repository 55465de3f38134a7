"""Joining Ray: the part of a gateway's start that takes seconds and is imported late, since it imports Ray.

The fleet's composition root: what the supervisor and the sessions are made of. Imports the actors and their ports.
"""

import secrets
from functools import partial
from typing import Final

from actors import cluster
from actors.cluster import RayControlPlane, RaySessionHost
from actors.session import SessionActor
from actors.supervisor import Supervisor
from gateway.profile_key import profile_key
from gateway.settings import Settings
from gateway.wiring import JetStreamPorts

_SUPERVISOR_TIMEOUT_S: Final = 60.0


async def join_ray(address: str) -> RayControlPlane:
    """Attach this process to a Ray cluster. Raises ``Unavailable``."""
    return await cluster.connect(address)


async def leave_ray() -> None:
    """Detach it; the actors live on."""
    await cluster.disconnect()


async def deploy_supervisor(control: RayControlPlane, settings: Settings, nats_url: str) -> None:
    """Get or create the supervisor. Raises ``Unavailable``."""
    ports = JetStreamPorts(
        nats_url, profile_key(settings), settings.wafleet_log_level, settings.queue_config().record_ttl_s
    )
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
