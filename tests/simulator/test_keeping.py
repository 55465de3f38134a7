"""What outlives the process: the journal, and uploaded files."""

from pathlib import Path

import pytest

from simulator.journal import FILE_NAME, FileJournal
from simulator.media import MediaFile, MediaStore
from simulator.world import World

ME = "5511988887777@c.us"


def reopened(folder: Path) -> tuple[FileJournal, World]:
    journal = FileJournal(folder)
    facts = list(journal.facts())
    journal.open()
    return journal, World(journal, facts)


def test_facts_outlive_the_process(tmp_path: Path) -> None:
    journal, world = reopened(tmp_path / "new" / "folder")
    world.link(ME, "token")
    # No close: a killed process closes nothing either.
    second, again = reopened(tmp_path / "new" / "folder")
    assert again.devices["token"].wid == ME
    journal.close()
    second.close()


def test_a_line_that_a_kill_cut_off_is_left_out_and_written_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal, world = reopened(tmp_path)
    world.link(ME, "token")
    journal.close()
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b'["device",{"token":"half')
    second, again = reopened(tmp_path)
    assert list(again.devices) == ["token"]
    assert "line 3 was cut off" in caplog.text
    again.link(ME, "other")
    second.close()
    third, last = reopened(tmp_path)
    third.close()
    assert list(last.devices) == ["token", "other"]


def test_closing_a_journal_twice_is_no_error(tmp_path: Path) -> None:
    journal, _ = reopened(tmp_path)
    journal.close()
    journal.close()


def test_files_have_a_bound_and_the_oldest_go_first() -> None:
    store = MediaStore(max_bytes=10)
    for key in ("aa", "bb", "cc"):
        store.put(key, MediaFile("image/png", key.encode() * 2))
    assert store.get("aa") is None
    assert store.get("cc") == MediaFile("image/png", b"cccc")


def test_files_outlive_the_process_within_the_same_bound(tmp_path: Path) -> None:
    MediaStore(tmp_path, max_bytes=10).put("aa", MediaFile("image/png", b"line\nline"))
    again = MediaStore(tmp_path, max_bytes=10)
    assert again.get("aa") == MediaFile("image/png", b"line\nline")
    again.put("bb", MediaFile("image/png", b"12345"))
    assert not (tmp_path / "aa").exists()


@pytest.mark.parametrize("key", ["../world.jsonl", "nothing", "", "/etc/hostname"])
def test_a_key_that_is_none_names_no_file(tmp_path: Path, key: str) -> None:
    assert MediaStore(tmp_path).get(key) is None
