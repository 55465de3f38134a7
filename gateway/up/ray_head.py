"""A local Ray head: its ports, its folder, its environment and its process (DESIGN 7 "Ray facts that bite").

Started by ``ray start --block``, never inside our own process: the raylet of an in-process ``ray.init()`` outlives a
killed parent. Everything binds to 127.0.0.1 and without tokens, so it is this machine's alone; a cluster of several
machines is made with cluster.yaml. Does not import ray.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import orjson
import psutil

from gateway.up.children import Child, PartFailed
from gateway.up.ports import choose_port

USUAL_DASHBOARD_PORT: Final = 8265
DRIVER_ENVIRONMENT: Final = {
    "RAY_AUTH_MODE": "disabled",
    # Despite its name this is what keeps Ray (2.60) on the loopback interface, on Linux too: without it 127.0.0.1 is
    # replaced by the machine's address and every port listens to the world (ray/_private/services.py).
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""What each process that attaches to this head needs; Ray's own default differs between head and driver."""
NODE_ENVIRONMENT: Final = {
    # A killed node is found after 3 s, one whose link is cut after 8 s, not after 15 s and 65 s: five checks fail in a
    # row, each of 1 s at most, half a second between them. Fewer would lose nodes that are only loaded.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
    # Ray starts workers at niceness 15, and browsers inherit it: on a busy machine everything else would run before
    # them, and sessions lose leases, starts and sends to their deadlines (seen in `make chaos`).
    "RAY_worker_niceness": "0",
    # Ray would run actors on uvloop, which is here for the gateway; sessions are tested on asyncio's own loop.
    "RAY_USE_UVLOOP": "0",
}
"""What every node needs; cluster.yaml says the same."""
_HEAD_ENVIRONMENT: Final = {
    **DRIVER_ENVIRONMENT,
    **NODE_ENVIRONMENT,
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # we drain before; Ray would wait 30 s for detached actors
}
_READY: Final = r"Ray runtime started"
_START_TIMEOUT_S: Final = 90.0
_STOP_GRACE_S: Final = 6.0
_PORT_TRIES: Final = 3
_OBJECT_STORE_BYTES: Final = 80 * 2**20
"""Close to Ray's minimum of 75 MiB: no data passes through it."""
_FOLDER_PREFIX: Final = "wafleet-"
_MAX_SOCKET_PATH: Final = 107
"""Of an AF_UNIX address on Linux."""
_SOCKET_BELOW: Final = len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.12345678")
BYTES_PER_SESSION: Final = 400 * 2**20
"""Worker, driver and a browser with a real WhatsApp page (250-500 MiB are reported for the latter)."""
_MEMORY_SHARE: Final = 0.8
_MAX_SESSIONS: Final = 500


class RayHead:
    """A Ray head node on this machine."""

    def __init__(
        self,
        state: Path,
        *,
        sessions: int | None,
        dashboard_port: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare it.

        Args:
            state: The state folder; Ray's own lies elsewhere (see ``_folder``) with a link ``ray`` here.
            sessions: Slots ``browser``; None: by free memory.
            dashboard_port: Replaced by a free one where it is in use.
            environment: Further variables for its workers, which prefer their own to the gateway's settings.
        """
        self._state: Final = state
        self._sessions: Final = sessions or sessions_by_memory()
        self._dashboard_port = dashboard_port
        self._environment: Final = dict(environment or {})
        self._folder: Path | None = None
        self._child: Child | None = None
        self.address = ""
        self.dashboard_url = ""

    @property
    def folder(self) -> Path:
        """Ray's own folder, by its link."""
        return self._state / "ray"

    @property
    def child(self) -> Child:
        """The process; there is one after ``start``."""
        if self._child is None:
            raise RuntimeError("Ray was not started")
        return self._child

    async def start(self) -> None:
        """Start it and wait until drivers can attach. Raises ``PartFailed``."""
        for attempt in range(1, _PORT_TRIES + 1):
            try:
                await self._start_once()
            except PartFailed as failure:
                # Seconds pass until Ray binds its dashboard's port, and it does without none: somebody may take it.
                if attempt == _PORT_TRIES or "address already in use" not in str(failure):
                    raise
                self._dashboard_port = 0
                await self._end_remains()
            else:
                return

    async def _start_once(self) -> None:
        log = self._state / "logs" / "ray.log"
        self._remove_remains()
        folder = self._folder = _make_folder(log)
        self.folder.symlink_to(folder, target_is_directory=True)
        port, dashboard = choose_port(0), choose_port(self._dashboard_port)
        self._child = Child(
            "Ray",
            [_executable(log), "start", "--head", "--block", *self._arguments(port, dashboard, folder)],
            log=log,
            environment={**_HEAD_ENVIRONMENT, "PYTHONPATH": python_path(), **self._environment},
            grace_s=_STOP_GRACE_S,
        )
        await self._child.start()
        await self._child.line(_READY, within_s=_START_TIMEOUT_S)
        self.address = f"127.0.0.1:{port}"
        self.dashboard_url = f"http://127.0.0.1:{dashboard}"

    async def stop(self) -> None:
        """End it; its folder is left for what still reads the logs there, see ``clean``."""
        if self._child is not None:
            await self._child.stop()

    def clean(self) -> None:
        """Delete its folder; to be called when none of its processes is left."""
        self.folder.unlink(missing_ok=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _end_remains(self) -> None:
        """End what a start that failed left running: its processes name their folder, which is theirs alone."""
        await self.stop()
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if any(str(self._folder) in word for word in process.cmdline()):
                    process.kill()

    def _remove_remains(self) -> None:
        """Delete the folder of a head whose `wafleet up` was killed; our lock on the state folder says it is gone."""
        if self.folder.is_symlink():
            remains = self.folder.readlink()
            self.folder.unlink()
            if remains.name.startswith(_FOLDER_PREFIX):
                shutil.rmtree(remains, ignore_errors=True)

    def _arguments(self, port: int, dashboard: int, folder: Path) -> list[str]:
        options = {
            "node-ip-address": "127.0.0.1",
            "port": port,
            "dashboard-host": "127.0.0.1",
            "dashboard-port": dashboard,
            "include-dashboard": "true",
            "include-log-monitor": "false",  # see gateway.up.worker_logs
            # Ray's fixed defaults would collide with a second head on this machine; 0 lets it choose.
            "ray-client-server-port": choose_port(0),
            "dashboard-agent-listen-port": 0,
            "dashboard-agent-grpc-port": 0,
            "runtime-env-agent-port": 0,
            "metrics-export-port": 0,
            "min-worker-port": 0,
            "max-worker-port": 0,
            "num-cpus": 1,  # sessions ask for browser slots, not CPUs; each CPU would only start an idle worker
            "resources": orjson.dumps({"browser": self._sessions}).decode(),
            "object-store-memory": _OBJECT_STORE_BYTES,
            "temp-dir": folder,
            "log-style": "record",
        }
        flags = ["--disable-usage-stats", "--no-monitor"]  # the latter: no autoscaler, this is one machine
        return [text for name, value in options.items() for text in (f"--{name}", str(value))] + flags


def sessions_by_memory() -> int:
    """Return how many sessions this machine's free memory holds."""
    free = psutil.virtual_memory().available
    return max(1, min(_MAX_SESSIONS, int(free * _MEMORY_SHARE / BYTES_PER_SESSION)))


def python_path() -> str:
    """Return the search path on which workers find the packages, installed or not."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))


def _make_folder(log: Path) -> Path:
    """Make Ray's folder under the system's own for temporary files: its sockets bear no long path."""
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
    length = len(str(folder)) + _SOCKET_BELOW
    if length > _MAX_SOCKET_PATH:
        with suppress(OSError):
            folder.rmdir()
        reason = f"cannot put its sockets under {folder.parent}: {length} characters, {_MAX_SOCKET_PATH} are allowed"
        raise PartFailed("Ray", f"{reason}; set TMPDIR to a shorter path", (), log)
    return folder


def _executable(log: Path) -> Path:
    beside = Path(sys.executable).with_name("ray")
    if not beside.exists():
        raise PartFailed(
            "Ray", f"is not installed ({beside} is missing); run `make setup`, or set RAY_ADDRESS", (), log
        )
    return beside
