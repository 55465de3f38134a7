"""What outlives the process: the journal, and uploaded files."""

from pathlib import Path

import pytest

from simulator.journal import FILE_NAME, FileJournal
from simulator.media import MediaFile, MediaStore
from simulator.world import World

ME = "5511988887777@c.us"


def reopened(folder: Path) -> tuple[FileJournal, World]:
    journal = FileJournal(folder)
    journal.open()
    return journal, World(journal, journal.facts())


def loaded(folder: Path, *, max_bytes: int = 10) -> MediaStore:
    store = MediaStore(folder, max_bytes=max_bytes)
    store.load()
    return store


def test_facts_outlive_the_journal_that_wrote_them(tmp_path: Path) -> None:
    journal, world = reopened(tmp_path / "new" / "folder")
    world.link(ME, "token")
    journal.close()
    second, again = reopened(tmp_path / "new" / "folder")
    assert again.devices["token"].wid == ME
    second.close()


def test_one_folder_is_for_one_simulator_at_a_time(tmp_path: Path) -> None:
    journal, _ = reopened(tmp_path)
    with pytest.raises(OSError, match="in use by another simulator"):
        reopened(tmp_path)
    journal.close()
    second, _ = reopened(tmp_path)
    second.close()


def test_a_closed_journal_takes_nothing_and_says_so(tmp_path: Path) -> None:
    journal, world = reopened(tmp_path)
    journal.close()
    journal.close()
    with pytest.raises(ValueError, match="journal is closed"):
        world.link(ME, "token")


def test_a_line_that_a_kill_cut_off_is_removed_and_the_rest_stands(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal, world = reopened(tmp_path)
    world.link(ME, "token")
    journal.close()
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b'["device",{"token":"half')
    second, again = reopened(tmp_path)
    assert list(again.devices) == ["token"]
    assert "cut off by a kill" in caplog.text
    again.link(ME, "other")
    second.close()
    third, last = reopened(tmp_path)
    third.close()
    assert list(last.devices) == ["token", "other"]


def test_files_have_a_bound_and_the_oldest_go_first() -> None:
    store = MediaStore(max_bytes=10)
    for key in ("aa", "bb", "cc"):
        store.put(key, MediaFile("image/png", key.encode() * 2))
    assert store.get("aa") is None
    assert store.get("cc") == MediaFile("image/png", b"cccc")


def test_files_outlive_the_process_within_the_same_bound(tmp_path: Path) -> None:
    folder = tmp_path / "media"
    loaded(folder).put("aa", MediaFile("image/png", b"a\nb"))
    again = loaded(folder, max_bytes=20)
    assert again.get("aa") == MediaFile("image/png", b"a\nb")
    again.put("bb", MediaFile("image/png", b"1234567890"))
    assert again.get("aa") is None
    assert [path.name for path in folder.iterdir()] == ["bb"]


@pytest.mark.parametrize("key", ["../world.jsonl", "nothing", "", "/etc/hostname"])
def test_a_key_that_is_none_names_no_file(tmp_path: Path, key: str) -> None:
    (tmp_path / "world.jsonl").write_text("{}")
    assert loaded(tmp_path / "media").get(key) is None
