"""The Ray head's process with a stand-in for Ray: what happens to a port that is taken just before Ray binds it."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.up import ray_head
from gateway.up.children import PartFailed
from gateway.up.ray_head import RayHead
from tests.support.leftovers import Run
from tests.support.ports import free_port
from tests.support.waiting import eventually

STAND_IN = """#!{python}
import signal, socket, subprocess, sys
words = sys.argv[1:]
folder = words[words.index("--temp-dir") + 1]
silent = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # as Ray's own daemons
subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()", folder], **silent)
try:
    socket.create_server(("127.0.0.1", int(words[words.index("--dashboard-port") + 1])))
except OSError:
    print("Failed to find a valid port: address already in use")
    sys.exit(1)
print("Ray runtime started", flush=True)
signal.pause()
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    mark = Run()
    for name, value in mark.env.items():
        monkeypatch.setenv(name, value)
    yield mark
    mark.kill_all()


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = tmp_path / "ray-stand-in"
    ray.write_text(STAND_IN.format(python=sys.executable))
    ray.chmod(0o700)
    monkeypatch.setattr(ray_head, "_executable", lambda log: ray)


async def test_a_dashboard_port_that_is_taken_meanwhile_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: None, run: Run
) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    monkeypatch.setattr(ray_head, "choose_port", lambda preferred: preferred or free_port())
    head = RayHead(tmp_path, sessions=1, dashboard_port=port)
    await head.start()
    taken.close()
    assert head.dashboard_url != f"http://127.0.0.1:{port}"
    await eventually(lambda: len(run.named("--temp-dir")) == len(run.named("signal.pause()")) == 1, within_s=10)
    await head.stop()
    run.kill_all()
    head.clean()
    assert not head.folder.exists()


async def test_workers_get_the_plans_variables_in_place_of_what_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: None, run: Run
) -> None:
    monkeypatch.setenv("WHATSAPP_SESSION_PATH", str(tmp_path / "of the user"))
    own = {"WHATSAPP_SESSION_PATH": str(tmp_path / "of the demo")}
    head = RayHead(tmp_path, sessions=1, dashboard_port=0, environment=own)
    await head.start()
    seen = {process.environ()["WHATSAPP_SESSION_PATH"] for process in run.named("--temp-dir")}
    assert seen == {own["WHATSAPP_SESSION_PATH"]}
    await head.stop()
    run.kill_all()
    head.clean()


async def test_any_other_failure_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_head, "_executable", lambda log: Path("/bin/false"))
    head = RayHead(tmp_path, sessions=1, dashboard_port=0)
    with pytest.raises(PartFailed, match=r"Ray ended with code 1 while it started"):
        await head.start()
    await head.stop()
    head.clean()
