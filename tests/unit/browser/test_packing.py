"""What of a profile is copied, and that a copy is of one moment."""

import io
import os
import tarfile
import time
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.browser import packing
from actors.browser.packing import inventory, pack, unpack
from actors.errors import ProfileUnsteady, SnapshotDamaged, SnapshotTooLarge

PARTS = ("browser", "generation", "linked")
LIMIT = 10_000_000
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def packed(folder: Path, **options: float) -> io.BytesIO:
    target = io.BytesIO()
    pack(folder, PARTS, target, max_bytes=int(options.pop("max_bytes", LIMIT)), **options)  # type: ignore[arg-type]
    target.seek(0)
    return target


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@given(files=st.dictionaries(NAMES, st.binary(max_size=5_000), max_size=6))
@settings(max_examples=25, deadline=None)
def test_a_copy_opens_to_the_same_files(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    named = {f"browser/Default/{number}-{name}": content for number, (name, content) in enumerate(files.items())}
    try:
        source = write(tmp_path_factory.mktemp("source"), named)
    except OSError:
        return  # a name that this file system does not take
    target = tmp_path_factory.mktemp("target")
    unpack(packed(source), target, max_bytes=LIMIT)
    assert contents(target) == named


def test_caches_reports_locks_and_what_is_the_nodes_own_stay_behind(tmp_path: Path) -> None:
    kept = {
        "generation": b"g",
        "linked": b"",
        "browser/Local State": b"{}",
        "browser/Default/IndexedDB/x.indexeddb.leveldb/000003.log": b"login",
        "browser/Default/Service Worker/Database/000003.log": b"worker",
    }
    left = (
        "owner.json", "media/a/content", "copies/x", "browser/Crashpad/r.dmp", "browser/SingletonLock",
        "browser/Default/Cache/Cache_Data/f", "browser/Default/Code Cache/js/f", "browser/Default/GPUCache/data_0",
        "browser/Default/IndexedDB/x.indexeddb.leveldb/LOCK",
    )  # fmt: skip
    source = write(tmp_path / "source", kept | dict.fromkeys(left, b"x"))
    (source / "browser" / "SingletonCookie").symlink_to("nowhere")
    (source / "browser" / "link").symlink_to(source / "owner.json")
    target = tmp_path / "target"
    unpack(packed(source), target, max_bytes=LIMIT)
    assert contents(target) == kept
    assert (target / "browser/Default").stat().st_mode & 0o777 == 0o700
    assert (target / "generation").stat().st_mode & 0o777 == 0o600


def test_a_profile_over_the_limit_is_refused_and_named(tmp_path: Path) -> None:
    write(tmp_path, {"browser/a": b"x" * 600, "browser/b": b"x" * 500, "browser/Cache/c": b"x" * 9_000})
    with pytest.raises(SnapshotTooLarge, match="1100 bytes without its caches, at most 1000") as caught:
        packed(tmp_path, max_bytes=1_000)
    assert caught.value.details == {"size_bytes": 1_100, "max_bytes": 1_000}
    stream = packed(tmp_path, max_bytes=1_100)
    with pytest.raises(SnapshotTooLarge):
        unpack(stream, tmp_path / "target", max_bytes=1_000)


def test_a_profile_of_too_many_files_is_refused_when_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "source", {f"browser/{number}": b"x" for number in range(4)})
    stream = packed(tmp_path / "source")
    monkeypatch.setattr(packing, "_MAX_FILES", 3)
    with pytest.raises(SnapshotTooLarge, match="4 files without its caches, at most 3") as caught:
        packed(tmp_path / "source")
    assert caught.value.details == {"files": 4, "max_files": 3}
    with pytest.raises(SnapshotTooLarge, match="4 files"):
        unpack(stream, tmp_path / "target", max_bytes=LIMIT)
    (tmp_path / "source/browser/0").unlink()
    unpack(packed(tmp_path / "source"), tmp_path / "other", max_bytes=LIMIT)


@pytest.mark.parametrize("change", ["grows", "shrinks", "vanishes", "appears", "is rewritten", "is written anew"])
def test_a_profile_that_changes_under_the_copy_is_unsteady(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    write(tmp_path, {"browser/a": b"x" * 600, "browser/b": b"y" * 500})
    add, victim = packing._add, tmp_path / "browser" / "b"
    past = time.time() - 100
    os.utime(victim, (past, past))

    def meddle(tar: tarfile.TarFile, folder: Path, name: str, seen: packing.Seen) -> None:
        if name == "browser/a":
            match change:
                case "grows":
                    victim.write_bytes(b"y" * 501)
                case "shrinks":
                    victim.write_bytes(b"")
                case "vanishes":
                    victim.unlink()
                case "appears":
                    (tmp_path / "browser" / "c").write_bytes(b"")
                case "is rewritten":
                    victim.write_bytes(b"z" * 500)
                case _:
                    victim.unlink()
                    victim.write_bytes(b"y" * 500)
        add(tar, folder, name, seen)

    monkeypatch.setattr(packing, "_add", meddle)
    with pytest.raises(ProfileUnsteady):
        packed(tmp_path)


def test_a_profile_that_was_just_written_is_not_quiet(tmp_path: Path) -> None:
    write(tmp_path, {"browser/a": b"x"})
    with pytest.raises(ProfileUnsteady, match="just now"):
        packed(tmp_path, quiet_s=3_600.0)
    past = time.time() - 7_200
    os.utime(tmp_path / "browser/a", (past, past))
    packed(tmp_path, quiet_s=3_600.0)


def test_a_time_that_is_still_to_come_tells_nothing_of_when_a_file_changed(tmp_path: Path) -> None:
    write(tmp_path, {"browser/a": b"x", "browser/b": b"x"})
    past, future = time.time() - 7_200, time.time() + 86_400
    os.utime(tmp_path / "browser/a", (future, future))
    os.utime(tmp_path / "browser/b", (past, past))
    packed(tmp_path, quiet_s=3_600.0)
    os.utime(tmp_path / "browser/b")
    with pytest.raises(ProfileUnsteady, match="just now"):
        packed(tmp_path, quiet_s=3_600.0)


def test_a_copy_that_is_given_up_ends(tmp_path: Path) -> None:
    write(tmp_path, {"browser/a": b"x"})
    with pytest.raises(ProfileUnsteady, match="given up"):
        pack(tmp_path, PARTS, io.BytesIO(), max_bytes=LIMIT, aborted=lambda: True)


def test_what_vanishes_under_the_listing_is_unsteady(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"browser/a": b"x"})
    (tmp_path / "browser" / "a").unlink()
    listed = tmp_path / "browser" / "a"
    monkeypatch.setattr(Path, "iterdir", lambda _: iter([listed]))
    with pytest.raises(ProfileUnsteady, match="vanished"):
        inventory(tmp_path, PARTS)


def archive(*entries: tarfile.TarInfo) -> io.BytesIO:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w|") as tar:
        for entry in entries:
            tar.addfile(entry, io.BytesIO(b"x" * entry.size))
    return io.BytesIO(zstandard.compress(plain.getvalue()))


def entry(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size = kind, 1 if kind == tarfile.REGTYPE else 0
    return made


@pytest.mark.parametrize(
    "stream",
    [
        io.BytesIO(b"nothing like it"),
        io.BytesIO(b""),
        io.BytesIO(zstandard.compress(b"no archive")),
        archive(entry("../outside")),
        archive(entry("/outside")),
        archive(entry("browser/../../outside")),
        archive(entry("browser/link", tarfile.SYMTYPE)),
        archive(entry("browser/device", tarfile.CHRTYPE)),
        archive(entry("browser"), entry("browser/a")),
    ],
)
def test_what_is_no_copy_of_a_profile_is_refused(stream: io.BytesIO, tmp_path: Path) -> None:
    stream.seek(0)
    with pytest.raises(SnapshotDamaged):
        unpack(stream, tmp_path / "in" / "here", max_bytes=LIMIT)
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "in" / "outside").exists()
