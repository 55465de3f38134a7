"""What sessions and supervisor log, out of the files that Ray keeps for each worker.

Ray could copy them to the gateway itself, but its log monitor costs 2 s of CPU at every start and 45 MiB; and Ray's
folder goes with Ray, while `<folder>/logs/sessions.log` stays.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from actors.clock import SystemClock
from gateway.up.logs import OutputLog

_FILES: Final = "session_latest/logs/worker-*.err"
_LOOK_EVERY_S: Final = 1.0
_MAX_READ_BYTES: Final = 2**20
_RAYS_OWN: Final = (":job_id:", ":actor_name:", ":task_name:")
"""Lines by which Ray marks who writes from there on."""


class WorkerLogs:
    """Follows the workers' standard error; new lines go to one file and to whoever listens."""

    def __init__(self, ray_folder: Path, log: Path, on_line: Callable[[str], None] | None) -> None:
        self._ray_folder: Final = ray_folder
        self._log: Final = OutputLog(log)
        self._on_line: Final = on_line
        self._read: Final[dict[Path, int]] = {}

    async def follow(self) -> None:
        """Look for new lines every second; returns never."""
        clock = SystemClock()
        while True:
            self.collect()
            await clock.sleep(_LOOK_EVERY_S)

    def collect(self) -> None:
        """Take what is new."""
        for path in sorted(self._ray_folder.glob(_FILES)):
            for line in self._new_lines(path):
                if line and not line.startswith(_RAYS_OWN):
                    self._log.feed(line.encode() + b"\n")
                    if self._on_line is not None:
                        self._on_line(line)

    def _new_lines(self, path: Path) -> list[str]:
        start = self._read.get(path, 0)
        try:
            if path.stat().st_size <= start:
                return []
            with path.open("rb") as file:
                file.seek(start)
                chunk = file.read(_MAX_READ_BYTES)
        except OSError:  # Ray has just removed or turned it
            return []
        whole = chunk[: chunk.rfind(b"\n") + 1]
        if (
            not whole and len(chunk) == _MAX_READ_BYTES
        ):  # a line without an end: take it in pieces, or never get past it
            whole = chunk
        self._read[path] = start + len(whole)
        return whole.decode(errors="replace").splitlines()
