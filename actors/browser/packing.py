"""A profile folder as one stream: what belongs into a copy, tar and zstd. Synchronous; meant to run in a thread.

Copied is what makes the login and the messages; left out are caches and crash reports, which Chromium makes anew, and
lock files. Chromium's files are not frozen while they are read: an ``inventory`` before and after tells whether the
copy is of one moment (LevelDB and SQLite recover from such a copy as they do after a power cut; measured on the
simulator's page: a copy of a running headless shell opens to the same login). Imports zstandard late.
"""

import io
import os
import stat
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

from actors.errors import ProfileUnsteady, SnapshotDamaged, SnapshotTooLarge

_CACHES: Final = frozenset({
    "Cache", "Code Cache", "GPUCache", "DawnCache", "DawnGraphiteCache", "DawnWebGPUCache", "GrShaderCache",
    "GraphiteDawnCache", "ShaderCache", "Shared Dictionary", "component_crx_cache", "extensions_crx_cache",
})  # fmt: skip
_REPORTS: Final = frozenset({"Crashpad", "Crash Reports", "BrowserMetrics", "DeferredBrowserMetrics"})
_LOCKS: Final = frozenset({"LOCK", "lockfile", "SingletonLock", "SingletonCookie", "SingletonSocket"})
_LEFT_OUT: Final = _CACHES | _REPORTS | _LOCKS
_LEVEL: Final = 3
_BLOCK_BYTES: Final = 256 * 1024
_MAX_FILES: Final = 100_000
_MAX_WINDOW_BYTES: Final = 2**27
"""Memory a decompression may take at most: what zstd's own tool allows."""


Stream = io.RawIOBase | IO[bytes]


class Seen(NamedTuple):
    """What tells whether a file changed."""

    size: int
    changed_ns: int


Inventory = Mapping[str, Seen]
"""Files by their path in the folder."""


def inventory(folder: Path, parts: tuple[str, ...]) -> dict[str, Seen]:
    """List what belongs into a copy.

    Args:
        folder: The session's folder.
        parts: Names in it to copy; those that are not there are left out.

    Raises:
        ProfileUnsteady: Something vanished under the listing.
    """
    try:
        return dict(_files(folder, parts))
    except FileNotFoundError as exc:
        raise ProfileUnsteady(f"{exc.filename} vanished while the profile was listed") from exc


def _files(folder: Path, parts: tuple[str, ...]) -> Iterator[tuple[str, Seen]]:
    waiting = [folder / part for part in parts if (folder / part).exists()]
    while waiting:
        path = waiting.pop()
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode):
            waiting += [one for one in path.iterdir() if one.name not in _LEFT_OUT]
        elif stat.S_ISREG(found.st_mode):
            yield str(path.relative_to(folder)), Seen(found.st_size, found.st_mtime_ns)


def pack(
    folder: Path,
    parts: tuple[str, ...],
    target: Stream,
    *,
    max_bytes: int,
    quiet_s: float = 0.0,
    aborted: Callable[[], bool] = lambda: False,
) -> Inventory:
    """Write a copy of one moment.

    Args:
        folder: The session's folder.
        parts: Names in it to copy.
        target: Takes the stream; is not closed.
        max_bytes: What all files may weigh together, uncompressed.
        quiet_s: For how long nothing may have changed before.
        aborted: Asked now and then; true ends the work.

    Returns:
        What was copied.

    Raises:
        ProfileUnsteady: The profile changed meanwhile, or the work was aborted.
        SnapshotTooLarge: It weighs more than ``max_bytes``, or has more files than ``unpack`` takes.
    """
    import zstandard  # noqa: PLC0415 - late, see the module's docstring

    before = inventory(folder, parts)
    if len(before) > _MAX_FILES:
        raise SnapshotTooLarge.of_files(len(before), _MAX_FILES)
    size_bytes = sum(seen.size for seen in before.values())
    if size_bytes > max_bytes:
        raise SnapshotTooLarge.beyond(size_bytes, max_bytes)
    now_ns = time.time_ns()
    # A time to come was set by somebody or left by a clock that was put back: it tells nothing and may lie far ahead.
    newest_ns = max((seen.changed_ns for seen in before.values() if seen.changed_ns <= now_ns), default=0)
    if quiet_s and now_ns - newest_ns < quiet_s * 1e9:
        raise ProfileUnsteady("the profile changed just now")
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    with (
        compressor.stream_writer(cast("IO[bytes]", target), closefd=False) as compressing,
        tarfile.open(fileobj=compressing, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_BLOCK_BYTES) as tar,
    ):
        for name, seen in sorted(before.items()):
            if aborted():
                raise ProfileUnsteady("the copy was given up")
            _add(tar, folder, name, seen)
    if inventory(folder, parts) != before:
        raise ProfileUnsteady("the profile changed while it was copied")
    return before


def _add(tar: tarfile.TarFile, folder: Path, name: str, seen: Seen) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = seen.size, 0o600
    try:
        with (folder / name).open("rb") as file:
            tar.addfile(entry, file)
    except OSError as exc:
        # Also what tarfile raises for a file that became shorter.
        raise ProfileUnsteady(f"{name} changed while it was copied") from exc


def unpack(source: Stream, folder: Path, *, max_bytes: int) -> None:
    """Write a stream's files into an empty folder.

    Raises:
        SnapshotDamaged: It is no such stream.
        SnapshotTooLarge: Its files weigh more than ``max_bytes``, or are too many.
    """
    import zstandard  # noqa: PLC0415 - late

    decompressing = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    try:
        with decompressing.stream_reader(cast("IO[bytes]", source), closefd=False) as stream:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK_BYTES) as tar:
                _extract(tar, folder, max_bytes)
            while stream.read(_BLOCK_BYTES):
                pass
    except (tarfile.TarError, zstandard.ZstdError, EOFError, FileExistsError, NotADirectoryError) as exc:
        raise SnapshotDamaged(f"the snapshot cannot be unpacked: {exc}") from exc


def _extract(tar: tarfile.TarFile, folder: Path, max_bytes: int) -> None:
    size_bytes = 0
    for number, entry in enumerate(tar, start=1):
        size_bytes += entry.size
        if number > _MAX_FILES:
            raise SnapshotTooLarge.of_files(number, _MAX_FILES)
        if size_bytes > max_bytes:
            raise SnapshotTooLarge.beyond(size_bytes, max_bytes)
        path = folder / entry.name
        if not entry.isreg() or ".." in path.parts or not path.is_relative_to(folder):
            raise SnapshotDamaged(f"the snapshot holds {entry.name!r}, which no profile does")
        for parent in reversed(path.relative_to(folder).parents):
            (folder / parent).mkdir(mode=0o700, parents=True, exist_ok=True)
        content = tar.extractfile(entry)
        if content is None:
            raise SnapshotDamaged(f"the snapshot holds {entry.name!r} without content")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            while block := content.read(_BLOCK_BYTES):
                file.write(block)
