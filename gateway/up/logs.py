"""A child's output: the last lines in memory, all of it in a file that cannot grow without a bound.

A file that cannot be written (the disk is full) costs the file, never the part: who stopped reading its pipe would
freeze it as soon as the pipe is full. The same holds for a terminal or pipe on which it is shown.
"""

import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, ParamSpec

_MAX_FILE_BYTES: Final = 10 * 2**20
_TAIL_LINES: Final = 20
_MAX_LINE_BYTES: Final = 64 * 2**10

_log = logging.getLogger("wafleet.up")

P = ParamSpec("P")


def unbreakable(show: Callable[P, None]) -> Callable[P, None]:
    """Wrap what shows something to people: once it has failed, nothing more is shown, and everything goes on.

    Rich makes a closed pipe (`| tee` has ended) a ``SystemExit``, which in a task would end the whole stack; and what
    it could not write it keeps in memory for the next time, so there is no next time.
    """
    is_shown = True

    def try_to_show(*args: P.args, **kwargs: P.kwargs) -> None:
        nonlocal is_shown
        if not is_shown:
            return
        try:
            show(*args, **kwargs)
        except (OSError, SystemExit) as error:
            is_shown = False
            _log.warning("nothing more is shown here: %s; the log files go on", error)

    return try_to_show


class OutputLog:
    """Takes a child's bytes, gives lines. At 10 MiB the file becomes ``<name>.1`` and a new one begins."""

    def __init__(self, path: Path, *, max_bytes: int = _MAX_FILE_BYTES) -> None:
        self.path: Final = path
        self._max_bytes: Final = max_bytes
        self._tail: Final[deque[str]] = deque(maxlen=_TAIL_LINES)
        self._partial = b""
        self._size = 0
        self._is_kept = True

    def feed(self, chunk: bytes) -> list[str]:
        """Store a chunk and return the lines that it completes."""
        self._keep(chunk)
        *whole, self._partial = (self._partial + chunk).split(b"\n")
        if len(self._partial) > _MAX_LINE_BYTES:  # no line at all: hand it on in pieces
            whole.append(self._partial)
            self._partial = b""
        lines = [line.decode(errors="replace").rstrip() for line in whole]
        self._tail.extend(line for line in lines if line)
        return lines

    def tail(self) -> list[str]:
        """Return the last lines."""
        return list(self._tail)

    def _keep(self, chunk: bytes) -> None:
        try:
            self._store(chunk)
        except OSError as error:
            if self._is_kept:  # said once, not for every chunk
                _log.warning("output is not kept: %s; make room, or let %s be written", error, self.path.parent)
            self._is_kept = False
        else:
            self._is_kept = True

    def _store(self, chunk: bytes) -> None:
        if self._size > self._max_bytes:
            self.path.replace(self.path.with_name(self.path.name + ".1"))
        with self.path.open("ab") as file:
            file.write(chunk)
            self._size = file.tell()
