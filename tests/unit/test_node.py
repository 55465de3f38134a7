"""What a process knows of the machine it runs on."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from actors import node

ROOT = Path(__file__).resolve().parents[2]


def test_the_name_is_the_hosts_unless_the_node_has_one_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAFLEET_NODE", raising=False)
    assert node.name() == platform.node()
    monkeypatch.setenv("WAFLEET_NODE", "rack-3")
    assert node.name() == "rack-3"
    assert node.identity().startswith("rack-3/")


def test_processes_that_see_each_others_pids_have_one_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAFLEET_NODE", raising=False)
    asked = [sys.executable, "-c", "from actors import node; print(node.identity())"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == node.identity()


def test_hosts_of_one_name_have_different_identities(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ours = node.identity()
    (tmp_path / "boot_id").write_text("another-boot")
    monkeypatch.setattr(node, "_BOOT_ID", tmp_path / "boot_id")
    rebooted = node.identity()
    (tmp_path / "pid").symlink_to("pid:[1]")
    monkeypatch.setattr(node, "_PID_NAMESPACE", tmp_path / "pid")
    assert len({ours, rebooted, node.identity()}) == 3


def test_profiles_lie_where_the_node_says_else_where_the_fleet_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHATSAPP_SESSION_PATH", raising=False)
    assert node.sessions_path(Path("/fleet")) == Path("/fleet")
    monkeypatch.setenv("WHATSAPP_SESSION_PATH", "/node")
    assert node.sessions_path(Path("/fleet")) == Path("/node")
