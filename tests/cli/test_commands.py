"""Exit codes and output of commands where nothing runs; with everything running: tests/e2e/test_up.py."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from actors.errors import ReconnectExhausted
from actors.messages.commands import COMMANDS
from gateway.cli.checks import _ray
from gateway.cli.exits import exit_codes
from gateway.cli.main import app
from gateway.cli.output import Output
from gateway.settings import load_settings
from gateway.up.stack import FolderUnusable, Plan, Stack
from tests.support.command_line import wafleet, wafleet_json
from tests.support.ports import free_port


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine is found: no settings, no running `wafleet up`."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "NATS_URL",
        "RAY_ADDRESS",
        "DEFAULT_TENANT_ID",
        "WAFLEET_DIR",
        "WAFLEET_BROWSER",
        "WHATSAPP_SESSION_PATH",
    ):
        monkeypatch.delenv(name, raising=False)


async def test_a_nats_server_that_does_not_answer_ends_with_3() -> None:
    url = f"nats://user:secret@127.0.0.1:{free_port()}"
    answer = await wafleet_json("queue", "s1", "--nats-url", url, expect=3)
    assert answer["error"]["code"] == "unavailable"
    assert answer["error"]["retryable"] is True
    assert "secret" not in str(answer)


async def test_wrong_usage_and_wrong_settings_end_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await wafleet("send", "text", "s1")).exit_code == 2
    assert (await wafleet("send", "media", "s1", "6281234567890", "no-such-file")).exit_code == 2
    monkeypatch.setenv("WAFLEET_LEASE", '{"ttl_s": -1}')
    result = await wafleet("doctor")
    assert result.exit_code == 2
    assert "WAFLEET_LEASE.ttl_s" in result.stderr


async def test_a_tenant_id_that_is_none_is_refused_before_anything_is_sent() -> None:
    answer = await wafleet_json("session list", "--tenant", "a.b", expect=4)
    assert answer["error"]["code"] == "invalid_command"


async def test_doctor_is_green_before_anything_runs_and_says_what_up_would_start() -> None:
    report = await wafleet_json("doctor")
    assert report["healthy"] is True
    found = {check["part"]: check for check in report["checks"]}
    assert found["NATS"]["found"] == found["Ray"]["found"] == "not running here; `wafleet up` would start it"
    assert found["wa-js"]["verdict"] == "ok"


async def test_doctor_is_red_where_something_named_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forged = tmp_path / "forged.js"
    forged.write_text("not wa-js")
    monkeypatch.setenv("WAFLEET_BROWSER", str(tmp_path / "no-browser"))
    monkeypatch.setenv("WAFLEET_BUNDLE", str(forged))
    monkeypatch.setenv("NATS_URL", f"nats://127.0.0.1:{free_port()}")
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    result = await wafleet("doctor")
    report = result.stdout
    assert result.exit_code == 1
    for part in ("browser", "NATS", "Ray"):
        assert f"red      {part}" in report
    assert "→ start it, correct RAY_ADDRESS" in report
    assert "warning  wa-js" in report


async def test_doctor_takes_the_address_that_a_cluster_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    found = {check["part"]: check for check in (await wafleet_json("doctor"))["checks"]}
    assert found["Ray"]["verdict"] == "ok"


async def test_doctor_does_not_mind_how_ray_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def reset(_: asyncio.StreamWriter) -> None:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(asyncio.StreamWriter, "wait_closed", reset)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        found = await _ray(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert found.verdict == "ok"


async def test_schema_knows_every_command_and_says_when_it_does_not_know_one() -> None:
    for name in (*COMMANDS, "message.sent"):
        assert (await wafleet("schema", name)).exit_code == 0
    assert (await wafleet_json("schema", "send.text"))["body"]["type"] == "object"
    unknown = await wafleet("schema", "send.carrier_pigeon")
    assert unknown.exit_code == 1
    assert "no command or event is called 'send.carrier_pigeon'" in unknown.stderr


def test_every_command_takes_json() -> None:
    def refusing(command: Any, path: str) -> list[str]:
        if below := getattr(command, "commands", None):
            return [one for name, part in below.items() for one in refusing(part, f"{path} {name}")]
        return [] if any("--json" in option.opts for option in command.params) else [path]

    assert refusing(get_command(app), "wafleet") == []


async def test_a_final_failure_says_where_the_log_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), exit_codes(Output()):
        raise ReconnectExhausted.after("no_capacity")
    said = " ".join(capsys.readouterr().err.split())
    assert "no_capacity; the log of its sessions says more (logs/sessions.log in the folder of `wafleet up`" in said


async def test_up_says_so_where_its_folder_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = await wafleet("doctor", "--dir", str(tmp_path / "file" / "state"))
    assert re.search(r"red +disk", result.stdout)
    with pytest.raises(FolderUnusable, match=r"cannot hold the data and logs: .*WAFLEET_DIR"):
        await Stack(Plan(load_settings(), tmp_path / "file" / "state"), lambda *_: None).start()


async def test_doctor_is_red_where_profiles_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WHATSAPP_SESSION_PATH", str(tmp_path / "file" / "sessions"))
    result = await wafleet("doctor")
    assert result.exit_code == 1
    assert re.search(r"red +profiles", result.stdout)
    assert "set WHATSAPP_SESSION_PATH to another one" in result.stdout


def test_a_table_is_never_broken_to_the_width_of_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table("session", "since", rows=[("s" * 64, "2026-11-22 13:53:50")])
    assert f"{'s' * 64}  2026-11-22 13:53:50" in capsys.readouterr().out
