"""The commands of cluster.yaml that start nats-server and gateway on the head, run with stand-ins for both."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from tests.support.leftovers import Run
from tests.support.nats import nats_server_binary
from tests.support.waiting import eventually

FILE = Path(__file__).resolve().parents[2] / "cluster.yaml"
COMMANDS: list[str] = yaml.safe_load(FILE.read_text())["head_start_ray_commands"]

STAND_IN = f"""#!{sys.executable}
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("started", flush=True)
with open(os.environ["HOME"] + "/starts", "a") as starts:
    starts.write("one\\n")
signal.pause()
"""


class Head:
    """A machine whose home is a folder of the test."""

    def __init__(self, home: Path) -> None:
        self.run = Run()
        self.home = home
        for name, text in {
            "wafleet/.venv/bin/python": STAND_IN,
            "wafleet/.venv/bin/nats-server": STAND_IN,
            "bin/sleep": "#!/bin/sh\n",
        }.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(text)
            (home / name).chmod(0o700)

    def shell(self, command: str) -> None:
        path = f"{self.home / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        env = {**self.run.env, "HOME": str(self.home), "PATH": path}
        subprocess.run(["/bin/bash", "-c", command], env=env, check=True, timeout=20)

    def starts(self) -> int:
        found = self.home / "starts"
        return len(found.read_text().splitlines()) if found.exists() else 0

    async def runs(self, *, start: int) -> psutil.Process:
        """The stand-in, once it has been started so many times and listens to signals."""

        def found() -> list[psutil.Process]:
            return self.run.named(sys.executable) if self.starts() == start else []

        [process] = await eventually(found, within_s=10) or []
        return process


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Head]:
    head = Head(tmp_path)
    yield head
    head.run.kill_all()


def command_with(part: str) -> str:
    [command] = [each for each in COMMANDS if part in each]
    return command


async def test_a_gateway_that_crashes_is_started_again_and_one_that_is_told_to_end_is_not(head: Head) -> None:
    head.shell(command_with("gateway.main --drain-fleet"))
    (await head.runs(start=1)).kill()
    gateway = await head.runs(start=2)
    assert (head.home / "gateway.log.1").read_text().startswith("started\n")
    # What the first command would end: by its pattern the loop, too, else a second one would run after `ray up`.
    pattern = COMMANDS[0].split()[2]
    told = [process for process in head.run.processes() if re.search(pattern, " ".join(process.cmdline()))]
    assert len(told) == 2
    assert gateway in told
    for process in told:
        process.terminate()
    await eventually(lambda: head.run.left() == [], within_s=10)
    assert head.starts() == 2


async def test_nats_server_is_started_again_and_there_is_one_however_often_the_command_runs(head: Head) -> None:
    for _ in range(2):
        head.shell(command_with("nats-server -c"))
    await head.runs(start=1)
    head.shell(command_with("nats-server -c"))
    (await head.runs(start=1)).kill()
    (await head.runs(start=2)).terminate()
    await eventually(lambda: head.run.left() == [], within_s=10)
    assert head.starts() == 2


def test_nats_servers_settings_are_such_that_it_takes_them(head: Head) -> None:
    head.shell(command_with("printf"))
    settings = head.home / "nats-server.conf"
    command = [str(nats_server_binary()), "-c", str(settings), "-t"]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert (told.returncode, "is valid" in told.stdout + told.stderr) == (0, True), told
    assert f'log_file: "{head.home}/nats-server.log"' in settings.read_text()
