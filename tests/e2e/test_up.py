"""`wafleet up` with everything real, used through the command line; at the end nothing of it is left."""

import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from simulator.client import SimulatedPhone
from tests.support.command_line import wafleet, wafleet_json
from tests.support.leftovers import Run
from tests.support.processes import Program
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

WAFLEET = Path(sys.executable).with_name("wafleet")
WID = "6281100000009@c.us"
RECIPIENT = "6281200000009"


class Up:
    """A running `wafleet up --simulator`."""

    def __init__(self, program: Program, run: Run, folder: Path, line: dict[str, Any]) -> None:
        self.program = program
        self.run = run
        self.folder = folder
        self.line = line


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Up]:
    run, folder = Run(), tmp_path_factory.mktemp("up")
    command = (
        WAFLEET,
        "up",
        "--simulator",
        "--json",
        "--nats-port",
        "0",
        "--dashboard-port",
        "0",
        "--simulator-port",
        "0",
    )
    without = {"NATS_URL": "", "RAY_ADDRESS": "", "WAFLEET_MAX_SESSIONS": "2"}
    async with Program(*command, env={**run.env, **without}, cwd=folder, stop_s=60) as program:
        yield Up(program, run, folder, json.loads(await program.line(r"^\{", within_s=120)))


@pytest.fixture(autouse=True)
def beside(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find it by the folder they are run in."""
    monkeypatch.chdir(up.folder)
    for name in ("NATS_URL", "RAY_ADDRESS", "DEFAULT_TENANT_ID", "WAFLEET_DIR"):
        monkeypatch.delenv(name, raising=False)


async def test_the_line_says_where_everything_is(up: Up) -> None:
    assert set(up.line) >= {"nats_url", "ray_address", "dashboard_url", "whatsapp_web_url", "pid"}
    assert up.line["pid"] == up.program.pid
    assert up.line["ray_address"].startswith("127.0.0.1:")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http:
        for url in (up.line["dashboard_url"], up.line["whatsapp_web_url"]):
            async with http.get(url) as page:
                assert page.status == 200
    report = await wafleet_json("doctor")
    assert {check["part"]: check["verdict"] for check in report["checks"]} == {
        "browser": "ok", "wa-js": "ok", "disk": "ok", "profiles": "ok", "memory": "ok", "shared memory": "ok",
        "NATS": "ok", "JetStream": "ok", "gateway": "ok", "Ray": "ok",
    }  # fmt: skip


async def test_a_session_is_linked_and_a_message_sent_by_the_command_line(up: Up) -> None:
    started = await wafleet_json("session start", "s1", "--max-messages", "3", "--window-ms", "60000")
    assert started["status"] in {"initializing", "disconnected"}
    async with SimulatedPhone(up.line["whatsapp_web_url"]) as phone:
        code = (await wafleet_json("session qr", "s1", "--timeout", "60"))["qr"]
        assert "█" in (await wafleet("session", "qr", "s1")).stdout
        await phone.user(f"{RECIPIENT}@c.us")
        await phone.scan(code, WID)
        assert (await wafleet_json("session start", "s1", "--wait", "--timeout", "60"))["wid"] == WID
        sent = await wafleet("send", "text", "s1", RECIPIENT, "from the command line", "--wait", "20", "--json")
        assert sent.exit_code == 0, sent.output
        accepted, outcome = (json.loads(line) for line in sent.stdout.splitlines())
        assert (accepted["status"], outcome["event"]) == ("accepted", "message.sent")
        late = await wafleet("send", "text", "s1", RECIPIENT, "too late", "--wait", "20", "--expires-at", "2020-01-01")
        assert late.exit_code == 4
        assert "timezone" not in late.stderr
        assert "past" in late.stderr
        direct = await wafleet_json("send location", "s1", RECIPIENT, "--direct", "--", "-6.2", "106.8")
        assert direct["status"] == "sent"
        log = await phone.sent()
    assert [(entry.type, entry.body) for entry in log][:1] == [("chat", "from the command line")]
    assert [entry.type for entry in log] == ["chat", "location"]


async def test_looking_at_it_changes_nothing(up: Up) -> None:
    assert (await wafleet_json("queue", "s1"))["waiting"] == {"high": 0, "normal": 0, "bulk": 0}
    rate = await wafleet_json("rate", "s1")
    assert (rate["remaining"], rate["max_messages"]) == (1, 3)
    [listed] = (await wafleet_json("session list"))["sessions"]
    assert (listed["session_id"], listed["state"]) == ("s1", "ready")
    events = await wafleet("events", "--since", "300", "--name", "message.sent", "--count", "2", "--timeout", "20")
    assert events.stdout.count("message.sent") == 2
    log = up.folder / ".wafleet" / "logs" / "sessions.log"
    await eventually(lambda: "[Session:default:s1] syncing -> ready" in log.read_text(), within_s=10)


async def test_refusals_of_the_service_end_with_4(up: Up) -> None:
    unknown = await wafleet_json("session status", "nobody", expect=4)
    assert unknown["error"]["code"] == "unknown_session"
    assert (await wafleet_json("send text", "s1", "12", "x", expect=4))["error"]["code"] == "invalid_command"


async def test_at_sigterm_everything_ends_and_nothing_is_left(up: Up) -> None:
    assert len(up.run.named("user-data-dir")) >= 1
    up.program.send(signal.SIGTERM)
    assert await up.program.ended(within_s=60) == 0, up.program.tail()
    assert up.run.left() == []
    assert not (up.folder / ".wafleet" / "up.json").exists()
    assert not (up.folder / ".wafleet" / "ray").is_symlink()
