"""A session's owner in a process of its own that kills itself at a chosen step: ``dying_owner.py '<Orders as JSON>'``.

All its ports are the real ones. SIGKILL leaves nobody any time: no handler, no flush, no goodbye to the browser.
"""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from actors.clock import SystemClock
from actors.config import BrowserConfig, LeaseConfig, SessionConfig
from actors.messages.base import Message
from actors.messages.commands import RateLimit
from actors.messages.records import DesiredSession
from actors.ports import FleetPorts, SessionPorts, SessionSpec
from actors.session import SessionActor
from gateway.wiring import JetStreamPorts

LIMIT = RateLimit(max_messages=2, window_ms=5_000)


class Orders(Message):
    """What such an owner is to do."""

    nats_url: str
    web_url: str
    sessions_path: Path
    session_id: str
    dies: str | None = None
    """``before`` or ``after``, the call, and what it is about, e.g. ``after update sending``."""
    clock_off_by_s: float = 0.0
    dead_owners: tuple[str, ...] = ()


class JumpedClock(SystemClock):
    """The clock of a node whose wall clock is wrong."""

    def __init__(self, off_by_s: float) -> None:
        self._off_by = timedelta(seconds=off_by_s)

    def now(self) -> datetime:
        return super().now() + self._off_by


class Deadly:
    """A port that kills the process before or after one of its calls."""

    def __init__(self, port: object, call: str, dies: str | None) -> None:
        self._port = port
        self._call = call
        self._dies = dies

    def __getattr__(self, name: str) -> Any:
        return self._deadly if name == self._call else getattr(self._port, name)

    async def _deadly(self, subject: Any, *others: Any) -> Any:
        about = f"{self._call} {getattr(subject, 'status', None) or getattr(subject, 'event', '')}".rstrip()
        self._die(f"before {about}")
        answer = await getattr(self._port, self._call)(subject, *others)
        self._die(f"after {about}")
        return answer

    def _die(self, step: str) -> None:
        if step == self._dies:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class DeadlyPorts:
    """The ports of such an owner."""

    orders: Orders

    async def connect(self, spec: SessionSpec) -> SessionPorts:
        ports = await JetStreamPorts(self.orders.nats_url, bytes(32)).connect(spec)
        dies = self.orders.dies
        return replace(
            ports,
            clock=JumpedClock(self.orders.clock_off_by_s),
            records=cast("Any", Deadly(ports.records, "update", dies)),
            events=cast("Any", Deadly(ports.events, "publish", dies)),
            jobs=cast("Any", Deadly(ports.jobs, "delete", dies)),
        )

    async def connect_fleet(self) -> FleetPorts:
        raise NotImplementedError("an owner has no fleet")


async def live(orders: Orders) -> None:
    desired = DesiredSession(
        tenant_id="acme",
        session_id=orders.session_id,
        target="running",
        rate_limit=LIMIT,
        changed_at=SystemClock().now(),
    )
    config = SessionConfig(sessions_path=orders.sessions_path, browser=BrowserConfig(web_url=orders.web_url))
    actor = SessionActor(SessionSpec(desired, config, LeaseConfig(), orders.dead_owners), DeadlyPorts(orders))
    life = asyncio.create_task(actor.run())
    drains: list[asyncio.Task[None]] = []
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, lambda: drains.append(asyncio.create_task(actor.drain()))
    )
    await life


if __name__ == "__main__":
    asyncio.run(live(Orders.model_validate_json(sys.argv[1])))
