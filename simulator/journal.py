"""The world on disk: one file of facts, a JSON array a line, appended as they happen and read once at start.

A fact is written with one system call to an unbuffered file before the change is answered, so a killed simulator
forgets nothing that it told anyone. (It is not synced to the disk: a power cut is no fault that the simulator models.)
"""

import fcntl
import io
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

_log = logging.getLogger(__name__)

FILE_NAME: Final = "world.jsonl"


class FileJournal:
    """Facts in a file of a folder. Open it, read what is there, append."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._file: io.FileIO | None = None

    def open(self) -> None:
        """Open the file for this process alone; a last line that a kill cut off is removed.

        Raises:
            OSError: the folder cannot be written, or another simulator uses it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise OSError(f"{self._path.parent} is in use by another simulator: name another --data folder") from error
        self._remove_cut_off_line(self._file)

    def facts(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """All facts of earlier runs, oldest first."""
        with self._path.open("rb") as file:
            for line in file:
                kind, fact = json.loads(line)
                yield kind, fact

    def append(self, kind: str, fact: Mapping[str, Any]) -> None:
        """Write one fact."""
        if self._file is None:
            raise ValueError("the journal is closed")
        self._file.write(json.dumps([kind, fact], separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        """Close the file; a journal that is not open stays so."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _remove_cut_off_line(self, file: io.FileIO) -> None:
        size = whole = self._path.stat().st_size
        with self._path.open("rb") as reader:
            for line in reader:
                if not line.endswith(b"\n"):
                    whole -= len(line)
        if whole < size:
            _log.warning("%s: the last line was cut off by a kill and is removed", self._path)
            file.truncate(whole)
