"""`wafleet demo`: exits 0 only if everything it shows has happened, and leaves nothing behind."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.leftovers import Run
from tests.support.processes import Program

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

WAFLEET = Path(sys.executable).with_name("wafleet")
PROMISED_S = 90.0
"""From the command to the last check, on a busy machine with two cores too."""


async def test_the_demo_keeps_every_promise_it_makes(tmp_path: Path) -> None:
    run = Run()
    # An address that is set is not used, nor is a folder: the demo must not meet anybody's data.
    theirs = tmp_path / "sessions of the user"
    theirs.mkdir()
    env = {
        **run.env,
        "NATS_URL": "nats://127.0.0.1:1",
        "RAY_ADDRESS": "127.0.0.1:1",
        "WHATSAPP_SESSION_PATH": str(theirs),
    }
    async with Program(WAFLEET, "demo", "--json", env=env, cwd=tmp_path, stop_s=60) as demo:
        code = await demo.ended(within_s=180)
    assert code == 0, demo.tail()
    [summary] = [json.loads(line) for line in demo.lines if line.startswith("{")]
    assert "15 of 15 messages, none twice" in [step["note"] for step in summary["shown"]], demo.tail()
    assert summary["in_all_s"] <= PROMISED_S, demo.tail()
    assert list(theirs.iterdir()) == []
    assert run.left() == []
    assert list((tmp_path / ".wafleet").iterdir()) == []
