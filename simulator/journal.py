"""The world on disk: one file of facts, a JSON array a line, appended as they happen and read once at start.

A fact is written with one system call to an unbuffered file before the change is answered, so a killed simulator
forgets nothing that it told anyone. (It is not synced to the disk: a power cut is no fault that the simulator models.)
"""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

_log = logging.getLogger(__name__)

FILE_NAME: Final = "world.jsonl"


class FileJournal:
    """Facts in a file of a folder; only one simulator may use a folder at a time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._file: Any = None

    def facts(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """All facts of earlier runs, oldest first; a last line that was cut off by a kill is left out."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    _log.warning("%s: line %d was cut off by a kill and is left out", self._path, number)
                    return
                kind, fact = json.loads(line)
                yield kind, fact

    def open(self) -> None:
        """Open the file for appending, behind its last whole line."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab", buffering=0)
        content_end = self._end_of_last_line()
        if content_end < self._path.stat().st_size:
            self._file.truncate(content_end)

    def append(self, kind: str, fact: Mapping[str, Any]) -> None:
        """Write one fact."""
        self._file.write(json.dumps([kind, fact], separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        """Close the file; a journal that is not open stays so."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _end_of_last_line(self) -> int:
        end = 0
        with self._path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    end += len(line)
        return end
