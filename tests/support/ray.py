"""A real, small Ray cluster for tests: its own ports and temp folder, ended by its own pid.

`ray stop` would end every cluster of this machine; `--block` keeps one process that ends all the others with itself.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from actors.cluster import BROWSER_RESOURCE
from gateway.up.ray_head import DRIVER_ENVIRONMENT, NODE_ENVIRONMENT
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
RAY = Path(sys.executable).with_name("ray")
_CHOSEN_PORTS = ("port", "ray-client-server-port", "dashboard-port")
"""Fixed by default, so a second cluster on this machine would collide; and 0 is refused."""
OWN_PORTS = (
    "dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port", "metrics-export-port",
    "min-worker-port", "max-worker-port",
)  # fmt: skip
"""Ray chooses them itself, given 0."""
_ENVIRONMENT = {
    **DRIVER_ENVIRONMENT,
    **NODE_ENVIRONMENT,
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    "PYTHONPATH": str(ROOT),  # workers import `actors` and `tests` from here; nothing is uploaded
}
_STARTED = "Ray runtime started"


class RayHead:
    """A head node with a few `browser` slots. `with` starts it and makes sure that it has ended."""

    def __init__(self, *, slots: int = 4, env: Mapping[str, str] | None = None, within_s: float = 90) -> None:
        self._slots = slots
        self._within_s = within_s
        self._env = {**os.environ, **_ENVIRONMENT, **(env or {})}
        self._output: list[str] = []
        self._ready = threading.Event()
        self.address = ""

    @property
    def folder(self) -> Path:
        """Ray's own folder, with its logs; there once started."""
        return Path(self._folder)

    def __enter__(self) -> Self:
        # The path is short: Ray puts sockets below it, and a socket's path has at most 107 characters.
        self._folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
        ports = dict(zip(_CHOSEN_PORTS, _free_ports(len(_CHOSEN_PORTS)), strict=True)) | dict.fromkeys(OWN_PORTS, 0)
        self.address = f"127.0.0.1:{ports['port']}"
        self._process = subprocess.Popen(
            [
                str(RAY), "start", "--head", "--block", "--disable-usage-stats",
                "--node-ip-address=127.0.0.1", "--include-dashboard=false", "--include-log-monitor=false",
                "--no-monitor", "--num-cpus=0", "--object-store-memory=100000000",
                f"--resources={json.dumps({BROWSER_RESOURCE: self._slots})}", f"--temp-dir={self._folder}",
                *(f"--{name}={number}" for name, number in ports.items()),
            ],
            cwd=ROOT, env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(self._within_s) or self._process.poll() is not None:
            self._end()
            raise AssertionError(f"`ray start` did not come up within {self._within_s} s:\n{''.join(self._output)}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
        self._reader.join(10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self) -> None:
        if self._process.stdout is None:
            raise AssertionError("`ray start` was started without a pipe")
        with self._process.stdout as lines:
            for line in lines:
                self._output.append(line)
                if _STARTED in line:
                    self._ready.set()
        self._ready.set()


def _free_ports(count: int) -> list[int]:
    """TCP ports that nothing listens on now, and that no outgoing connection takes before Ray does."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return sorted(ports)
