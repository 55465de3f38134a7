"""Uploaded files, by key: in memory, or in the data folder where there is one; within one bound either way."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 1 << 30
"""All files together; beyond it the oldest are forgotten, as WhatsApp's server forgets files after some weeks."""


@dataclass(frozen=True, slots=True)
class MediaFile:
    """One file."""

    mimetype: str
    content: bytes


class MediaStore:
    """The files that pages and people uploaded."""

    def __init__(self, folder: Path | None = None, *, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._in_memory: dict[str, MediaFile] = {}

    def load(self) -> None:
        """Know the files of earlier runs; without a folder there are none."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
            self._sizes[path.name] = path.stat().st_size

    def put(self, key: str, file: MediaFile) -> None:
        """Keep a file under a new key."""
        if self._folder is None:
            self._in_memory[key] = file
        else:
            (self._folder / key).write_bytes(file.mimetype.encode() + b"\n" + file.content)
        self._sizes[key] = len(file.content)
        while sum(self._sizes.values()) > self._max_bytes and len(self._sizes) > 1:
            self._forget_oldest()

    def get(self, key: str) -> MediaFile | None:
        """The file of a key, or None where there is none (any more)."""
        if key not in self._sizes:
            return None
        if self._folder is None:
            return self._in_memory[key]
        mimetype, _, content = (self._folder / key).read_bytes().partition(b"\n")
        return MediaFile(mimetype.decode(), content)

    def _forget_oldest(self) -> None:
        key, _ = self._sizes.popitem(last=False)
        if self._folder is None:
            del self._in_memory[key]
        else:
            (self._folder / key).unlink(missing_ok=True)
