"""Nodes of a real Ray cluster as programs of their own: `ray start --block`, one temp folder, one profile folder each.

A node is started as its service manager or container would start it; SIGTERM is a planned end, `kill` an accident.
"""

import asyncio
import json
import shutil
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil
import ray
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # a compiled module
from ray.core.generated.gcs_pb2 import GcsNodeInfo  # type: ignore[attr-defined]  # generated

from actors.cluster import BROWSER_RESOURCE
from gateway.up.ray_head import NODE_ENVIRONMENT
from tests.support.leftovers import Run
from tests.support.ports import free_port
from tests.support.processes import Program
from tests.support.ray import OWN_PORTS, RAY, ROOT

_HEAD_PORTS: Final = ("ray-client-server-port", "dashboard-port")
_STARTED: Final = "Ray runtime started"
_START_S: Final = 120
_STOP_S: Final = 20


class RayNode:
    """A node with some `browser` slots. `async with` starts it and makes sure that nothing of it is left."""

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        slots: int,
        ip: str,
        head: str | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        """Prepare a node.

        Args:
            name: What it calls itself.
            folder: Where it keeps its profiles.
            slots: How many sessions it holds.
            ip: Its address; several nodes may share one that is not of the loopback interface.
            head: Address of the head's GCS; none: this one is the head.
            prefix: What goes before each command, to run it on a host of its own.
        """
        self.name = name
        self.sessions = folder / name / "sessions"
        self.address = head or f"{ip}:{free_port()}"
        self._is_head = head is None
        self._slots = slots
        self._ip = ip
        self._prefix = prefix
        self._run = Run()
        self._temp = ""
        self._program: Program | None = None

    async def start(self) -> None:
        """Start it, also once more after it has ended."""
        shutil.rmtree(self._temp, ignore_errors=True)
        # The path is short: Ray puts sockets below it, and a socket's path has at most 107 characters.
        self._temp = tempfile.mkdtemp(prefix="ray", dir="/tmp")
        self._program = Program(*self._prefix, *self._command(), env=self._environment(), cwd=ROOT, stop_s=_STOP_S)
        await self._program.start()
        await self._program.line(_STARTED, within_s=_START_S)

    def terminate(self) -> None:
        """Tell it to end, as its service manager does."""
        self._running.send(signal.SIGTERM)

    async def ended(self, *, within_s: float) -> int:
        """Wait until it has ended by itself."""
        return await self._running.ended(within_s=within_s)

    async def kill(self) -> None:
        """End everything on it at once: raylet, workers, drivers, browsers."""
        await asyncio.to_thread(self._run.kill_all)
        await self._running.ended(within_s=_STOP_S)

    def processes(self) -> list[psutil.Process]:
        """Everything that runs on it."""
        return self._run.processes()

    def browsers(self) -> list[psutil.Process]:
        """The browsers' main processes."""
        return [each for each in self._run.named("--user-data-dir=") if not _is_child_of_browser(each)]

    async def count_living(self) -> int:
        """Count the nodes that the cluster's head believes to be alive."""
        nodes = await asyncio.to_thread(lambda: GcsClient(address=self.address).get_all_node_info())
        return sum(1 for node in nodes.values() if node.state == GcsNodeInfo.GcsNodeState.Value("ALIVE"))

    async def stop(self) -> None:
        """See to it that nothing of it runs any more."""
        if self._program is not None:
            await self.kill()
            self._program = None
        shutil.rmtree(self._temp, ignore_errors=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def _running(self) -> Program:
        if self._program is None:
            raise AssertionError(f"the node {self.name} was not started")
        return self._program

    def _environment(self) -> dict[str, str]:
        return {
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            **NODE_ENVIRONMENT,
            **self._run.env,
            "PYTHONPATH": str(ROOT),
            "WAFLEET_NODE": self.name,
            "WHATSAPP_SESSION_PATH": str(self.sessions),
        }

    def _command(self) -> list[str]:
        options: dict[str, object] = {
            "node-ip-address": self._ip,
            "num-cpus": 0,
            "object-store-memory": 80 * 2**20,
            "resources": json.dumps({BROWSER_RESOURCE: self._slots}),
            "temp-dir": self._temp,
            **dict.fromkeys(OWN_PORTS, 0),
        }
        if self._is_head:
            options |= {name: free_port() for name in _HEAD_PORTS}
            options |= {"port": self.address.rsplit(":", 1)[1], "include-dashboard": "false"}
        else:
            options["address"] = self.address
        flags = ["--head"] if self._is_head else []
        return [
            str(RAY), "start", *flags, "--block", "--disable-usage-stats", "--include-log-monitor=false",
            *(f"--{name}={value}" for name, value in options.items()),
        ]  # fmt: skip


def _is_child_of_browser(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return any(part.startswith("--type=") for part in process.cmdline())
    return True


def own_address() -> str:
    """This machine's address: Ray (2.60) refuses a second node on the loopback interface."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return address
