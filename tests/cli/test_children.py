"""One child process of `wafleet up`: its lines, its end, its log."""

import asyncio
import errno
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gateway.up.children import Child, PartFailed
from gateway.up.logs import OutputLog, unbreakable
from tests.support.leftovers import is_gone

STUBBORN = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
p = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("ready", p.pid, flush=True)
signal.pause()
"""


TALKATIVE = """
for number in range(20_000):
    print("a line that fills the pipe", number)
print("all said", flush=True)
"""


def child(code: str, log: Path, *, grace_s: float = 5.0, on_line: Callable[[str], None] | None = None) -> Child:
    return Child("the part", [sys.executable, "-c", code], log=log, grace_s=grace_s, on_line=on_line)


async def test_a_line_is_waited_for_and_the_whole_output_is_kept(tmp_path: Path) -> None:
    part = child("print('one'); print('two 2', flush=True); import signal; signal.pause()", tmp_path / "logs" / "out")
    await part.start()
    assert await part.line(r"two \d", within_s=20) == "two 2"
    assert part.pid is not None
    await part.stop()
    assert part.pid is None
    assert (tmp_path / "logs" / "out").read_text() == "one\ntwo 2\n"


async def test_a_part_that_ends_while_starting_says_why(tmp_path: Path) -> None:
    part = child("import sys; print('no room'); sys.exit(3)", tmp_path / "out")
    await part.start()
    with pytest.raises(
        PartFailed, match=r"the part ended with code 3 while it started; .*out; the end of it:\n +no room"
    ):
        await part.line("never", within_s=20)
    await part.stop()


async def test_a_part_that_never_gets_ready_is_told_apart_from_one_that_ended(tmp_path: Path) -> None:
    part = child("import signal; signal.pause()", tmp_path / "out")
    await part.start()
    with pytest.raises(PartFailed, match=r"was not ready within 0.2 s"):
        await part.line("never", within_s=0.2)
    await part.stop()


async def test_a_program_that_does_not_exist_is_a_failed_part(tmp_path: Path) -> None:
    with pytest.raises(PartFailed, match="cannot be started"):
        await Child("ghost", [tmp_path / "ghost"], log=tmp_path / "out").start()


async def test_a_part_deaf_to_sigterm_is_killed_with_its_own_children(tmp_path: Path) -> None:
    part = child(STUBBORN, tmp_path / "out", grace_s=0.2)
    await part.start()
    below = psutil.Process(int((await part.line("ready", within_s=20)).split()[1]))
    await part.stop()
    assert part.pid is None
    psutil.wait_procs([below], timeout=10)
    assert is_gone(below)


def test_a_log_file_begins_anew_when_it_is_full(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "out", max_bytes=10)
    assert log.feed(b"0123456789\nab") == ["0123456789"]
    assert log.feed(b"c\n") == ["abc"]
    assert (tmp_path / "out").read_text() == "c\n"
    assert (tmp_path / "out.1").read_text() == "0123456789\nab"
    assert log.tail() == ["0123456789", "abc"]


def test_output_without_an_end_of_line_is_handed_on_in_pieces(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "out")
    assert log.feed(b"x" * 70_000) == ["x" * 70_000]


def test_a_full_disk_costs_the_log_file_not_the_part(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = OutputLog(tmp_path / "no such folder" / "out")
    assert log.feed(b"one\ntwo\n") == ["one", "two"]
    assert log.feed(b"three\n") == ["three"]
    assert log.tail() == ["one", "two", "three"]
    assert caplog.text.count("output is not kept") == 1
    log.path.parent.mkdir()
    log.feed(b"four\n")
    assert log.path.read_text() == "four\n"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), SystemExit(1)])
async def test_a_terminal_that_takes_nothing_freezes_no_part(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    tries: list[str] = []

    def broken(line: str) -> None:
        tries.append(line)
        raise error

    part = child(TALKATIVE, tmp_path / "out", on_line=unbreakable(broken))
    await part.start()
    assert await part.line("all said", within_s=20) == "all said"
    assert await part.ended() == 0
    await part.stop()
    assert tries == ["a line that fills the pipe 0"]
    assert (tmp_path / "out").read_text().endswith("19999\nall said\n")
    assert caplog.text.count("nothing more is shown here") == 1


async def test_the_end_of_a_part_never_raises_even_where_its_reader_did(tmp_path: Path) -> None:
    def broken(line: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    part = child("print('one', flush=True); import signal; signal.pause()", tmp_path / "out", on_line=broken)
    await part.start()
    assert part._reading is not None
    await asyncio.wait({part._reading}, timeout=20)
    reading = part._reading
    await part.stop()
    assert part.pid is None
    assert isinstance(reading.exception(), OSError)
