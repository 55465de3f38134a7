"""All parts of a running wafleet on one machine, in the order in which they need each other.

Theory of operation. nats-server, Ray and the simulator start side by side (each only if it is not given by address),
then the gateway, which attaches to them and brings the supervisor up. nats-server and the gateway lose nothing when
they end, so they are started again within a restart budget; Ray holds the actors and the simulator its world in memory,
so the end of either ends everything. Stopping goes the other way round: the gateway drains the fleet and leaves, then
the rest. Every failure on the way, and every cancellation, comes through ``stop``.
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, Literal

import psutil
from filelock import FileLock, Timeout

from actors.clock import SystemClock
from actors.core.backoff import RestartBudget, RetryPolicy
from gateway.connection import redacted
from gateway.settings import Settings
from gateway.streams import declared, reserved_bytes
from gateway.up.children import Child, PartFailed
from gateway.up.descendants import reap_orphans
from gateway.up.logs import unbreakable
from gateway.up.nats_server import NatsServer
from gateway.up.ports import choose_port
from gateway.up.ray_head import DRIVER_ENVIRONMENT, RayHead, python_path
from gateway.up.state import Located, find_located, forget_located, write_located
from gateway.up.worker_logs import WorkerLogs

_GATEWAY_READY: Final = r"wafleet gateway ready"
_GATEWAY_START_TIMEOUT_S: Final = 90.0
_GATEWAY_STOP_GRACE_S: Final = 45.0
"""It drains the fleet: every session ends what is in flight (20 s at most) and closes its browser."""
_QUICK_GRACE_S: Final = 5.0
_SIMULATOR_START_TIMEOUT_S: Final = 20.0
_MAX_RESTARTS: Final = 5
_RESTART_SPAN_S: Final = 60.0
_REAP_EVERY_S: Final = 5.0

_log = logging.getLogger("wafleet.up")

Moment = Literal["starting", "ready", "given", "lost", "stopping"]
Report = Callable[[str, Moment, str], None]
"""Told of each part: its name, what happens, and an address or a reason."""


class AlreadyRunning(Exception):
    """Another ``wafleet up`` uses this state folder."""


class FolderUnusable(Exception):
    """The folder of data and logs, or the system's own for temporary files, cannot be written."""

    def __init__(self, state: Path, error: BaseException) -> None:
        super().__init__(
            f"{state.absolute()} cannot hold the data and logs: {error}; "
            "give yourself the right to write there, or choose another folder with WAFLEET_DIR"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start, and where."""

    settings: Settings
    state: Path
    simulator: bool = False
    nats_port: int = 0
    dashboard_port: int = 0
    simulator_port: int = 0
    """Preferred ports: one that is in use is replaced by a free one, 0 by any."""
    simulator_knobs: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    """Further variables for the gateway and for Ray with the sessions on it."""
    gateway_command: tuple[str, ...] = (sys.executable, "-m", "gateway.main")
    on_line: Callable[[str], None] | None = None
    """Told of what gateway, supervisor and sessions log."""


class Stack:
    """The parts of one ``wafleet up``. ``start``, ``watch``, and in every case ``stop``."""

    def __init__(self, plan: Plan, report: Report) -> None:
        self._plan: Final = plan
        self._report: Final = unbreakable(report)
        self._on_line: Final = None if plan.on_line is None else unbreakable(plan.on_line)
        self._clock: Final = SystemClock()
        self._policy: Final = RetryPolicy(jitter=0.0)
        self._ends: Final = AsyncExitStack()
        self._nats: NatsServer | None = None
        self._ray: RayHead | None = None
        self._worker_logs: WorkerLogs | None = None
        self._simulator: Child | None = None
        self._gateway: Child | None = None

    async def start(self) -> Located:
        """Start everything and say where it is.

        Raises:
            AlreadyRunning: The state folder is in use.
            FolderUnusable: It cannot be written.
            PartFailed: A part did not come up; what had been started is still to be stopped.
        """
        self._take_state_folder()
        try:
            async with asyncio.TaskGroup() as starts:
                nats = starts.create_task(self._start_nats())
                ray = starts.create_task(self._start_ray())
                page = starts.create_task(self._start_simulator())
        except* PartFailed as failures:
            raise failures.exceptions[0] from None
        except* OSError as failures:
            raise FolderUnusable(self._plan.state, failures.exceptions[0]) from None
        located = Located(
            nats_url=nats.result(),
            ray_address=ray.result(),
            dashboard_url=None if self._ray is None else self._ray.dashboard_url,
            whatsapp_web_url=page.result(),
            pid=os.getpid(),
            ray_environment={} if self._ray is None else dict(DRIVER_ENVIRONMENT),
            started=psutil.Process().create_time(),
        )
        await self._start_gateway(located)
        write_located(self._plan.state, located)
        self._ends.callback(forget_located, self._plan.state)
        return located

    async def watch(self) -> None:
        """Keep the parts running; returns never. Raises ``PartFailed`` when one ended for good."""
        try:
            async with asyncio.TaskGroup() as watches:
                watches.create_task(self._reap())
                if self._ray is not None:
                    watches.create_task(self._expect_no_end(self._ray.child))
                if self._worker_logs is not None:
                    watches.create_task(self._worker_logs.follow())
                if self._simulator is not None:
                    watches.create_task(self._expect_no_end(self._simulator))
                if self._nats is not None:
                    watches.create_task(self._restart(self._nats.child, self._nats.wait_ready))
                if self._gateway is not None:
                    watches.create_task(self._restart(self._gateway, self._wait_gateway))
        except* PartFailed as failures:
            raise failures.exceptions[0] from None

    async def stop(self) -> None:
        """End every part, the last started first."""
        await self._ends.aclose()

    def clean(self) -> None:
        """Delete what is of no use once no process is left."""
        if self._ray is not None:
            self._ray.clean()

    # --- starting ---------------------------------------------------------------------------------------------------

    def _take_state_folder(self) -> None:
        state = self._plan.state
        lock = FileLock(state / "up.lock", timeout=0)
        try:
            state.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            running = find_located(state)
            who = "" if running is None else f" (pid {running.pid}, NATS at {redacted(running.nats_url)})"
            raise AlreadyRunning(f"wafleet up runs already for {state.absolute()}{who}; stop it first") from None
        except OSError as error:
            raise FolderUnusable(state, error) from error
        self._ends.callback(lock.release)

    async def _start_nats(self) -> str:
        given = self._plan.settings.nats_url
        if given is not None:
            self._report("nats-server", "given", redacted(given))
            return given
        streams_bytes = reserved_bytes(declared(store=self._plan.settings.store_config()))
        self._nats = NatsServer(self._plan.state, port=self._plan.nats_port, streams_bytes=streams_bytes)
        self._ends.push_async_callback(self._end, "nats-server", self._nats)
        self._report("nats-server", "starting", "")
        await self._nats.start()
        self._report("nats-server", "ready", self._nats.url)
        return self._nats.url

    async def _start_ray(self) -> str:
        settings = self._plan.settings
        if settings.ray_address is not None:
            self._report("Ray", "given", settings.ray_address)
            return settings.ray_address
        self._ray = RayHead(
            self._plan.state,
            sessions=settings.wafleet_max_sessions,
            dashboard_port=self._plan.dashboard_port,
            environment=dict(self._plan.environment),
        )
        self._ends.push_async_callback(self._end, "Ray", self._ray)
        self._report("Ray", "starting", "")
        await self._ray.start()
        logs = self._worker_logs = WorkerLogs(
            self._ray.folder, self._plan.state / "logs" / "sessions.log", self._on_line
        )
        self._ends.callback(logs.collect)  # their last words, before Ray and its folder go
        self._report("Ray", "ready", f"{self._ray.address}, dashboard {self._ray.dashboard_url}")
        return self._ray.address

    async def _start_simulator(self) -> str:
        if not self._plan.simulator:
            return self._plan.settings.whatsapp_web_url
        options = [text for knob in self._plan.simulator_knobs for text in ("--set", knob)]
        self._simulator = Child(
            "simulator",
            [
                sys.executable,
                "-m",
                "simulator",
                "--port",
                str(choose_port(self._plan.simulator_port)),
                "--json",
                *options,
            ],
            log=self._plan.state / "logs" / "simulator.log",
            environment={"PYTHONPATH": python_path()},
        )
        self._ends.push_async_callback(self._end, "simulator", self._simulator)
        self._report("simulator", "starting", "")
        await self._simulator.start()
        line = await self._simulator.line(r"^\{", within_s=_SIMULATOR_START_TIMEOUT_S)
        url: str = json.loads(line)["url"]
        self._report("simulator", "ready", url)
        return url

    async def _start_gateway(self, located: Located) -> None:
        environment = {
            "PYTHONPATH": python_path(),
            "NATS_URL": located.nats_url,
            "RAY_ADDRESS": located.ray_address,
            "WHATSAPP_WEB_URL": located.whatsapp_web_url,
            "WAFLEET_DIR": str(self._plan.state.absolute()),
            **located.ray_environment,
            **dict(self._plan.environment),
        }
        self._gateway = Child(
            "gateway",
            # A fleet on our own Ray ends with it, so in order; one on another's lives on.
            [*self._plan.gateway_command, *(() if self._ray is None else ("--drain-fleet",))],
            log=self._plan.state / "logs" / "gateway.log",
            environment=environment,
            on_line=self._on_line,
        )
        self._ends.push_async_callback(self._end, "gateway", self._gateway)
        self._report("gateway", "starting", "")
        await self._gateway.start()
        await self._wait_gateway()
        self._report("gateway", "ready", "NATS service wafleet")

    async def _wait_gateway(self) -> None:
        if self._gateway is not None:
            await self._gateway.line(_GATEWAY_READY, within_s=_GATEWAY_START_TIMEOUT_S)
            self._gateway.grace_s = _GATEWAY_STOP_GRACE_S  # before, there was nothing to drain

    # --- watching and ending ----------------------------------------------------------------------------------------

    async def _expect_no_end(self, child: Child) -> None:
        code = await child.ended()
        self._report(child.name, "lost", f"ended with code {code}")
        if self._gateway is not None and child.name == "Ray":
            self._gateway.grace_s = _QUICK_GRACE_S  # the fleet is gone: there is nothing to drain any more
        raise child.failure(f"ended with code {code}")

    async def _restart(self, child: Child, wait_ready: Callable[[], Awaitable[None]]) -> None:
        """Start a part again whenever it ends, within the budget."""
        budget = RestartBudget(_MAX_RESTARTS, _RESTART_SPAN_S)
        while True:
            code = await child.ended()
            self._report(child.name, "lost", f"ended with code {code}")
            if not budget.try_restart(self._clock.monotonic()):
                raise child.failure(f"ended {_MAX_RESTARTS + 1} times within {_RESTART_SPAN_S:g} s")
            spent = budget.spent(self._clock.monotonic())
            if spent > 1:  # the first time at once
                await self._clock.sleep(self._policy.delay(spent - 1, Random(0)))  # noqa: S311 - no jitter asked
            self._report(child.name, "starting", "")
            await child.start()
            try:
                await wait_ready()
            except PartFailed as failure:
                _log.warning("%s", failure)
                await child.stop()
            else:
                self._report(child.name, "ready", "again")

    async def _reap(self) -> None:
        """Collect the zombies that were adopted (see ``gateway.up.descendants``)."""
        while True:
            children = [part.child for part in (self._nats, self._ray) if part is not None]
            children += [child for child in (self._simulator, self._gateway) if child is not None]
            reap_orphans(child.pid for child in children if child.pid is not None)
            await self._clock.sleep(_REAP_EVERY_S)

    async def _end(self, name: str, part: NatsServer | RayHead | Child) -> None:
        self._report(name, "stopping", "")
        await part.stop()
