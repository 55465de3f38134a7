"""Uploaded files, by key: in memory within a bound, and in the data folder where there is one."""

import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 1 << 30
"""All files together; beyond it the oldest are forgotten, as WhatsApp's server forgets files after some weeks."""
_KEY: Final = re.compile(r"[0-9a-f]{1,64}")


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
        self._files: OrderedDict[str, MediaFile] = OrderedDict()
        self._size = 0

    def put(self, key: str, file: MediaFile) -> None:
        """Keep a file."""
        self._remember(key, file)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path(key).write_bytes(file.mimetype.encode() + b"\n" + file.content)

    def get(self, key: str) -> MediaFile | None:
        """The file of a key, or None where there is none (any more)."""
        if key in self._files:
            return self._files[key]
        if self._folder is None or not _KEY.fullmatch(key) or not self._path(key).is_file():
            return None
        mimetype, _, content = self._path(key).read_bytes().partition(b"\n")
        file = MediaFile(mimetype.decode(), content)
        self._remember(key, file)
        return file

    def _path(self, key: str) -> Path:
        return (self._folder or Path()) / key

    def _remember(self, key: str, file: MediaFile) -> None:
        self._files[key] = file
        self._size += len(file.content)
        while self._size > self._max_bytes and len(self._files) > 1:
            old_key, old = self._files.popitem(last=False)
            self._size -= len(old.content)
            if self._folder is not None:
                self._path(old_key).unlink(missing_ok=True)
