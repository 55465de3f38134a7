"""`wafleet demo`: exits 0 only if everything it shows has happened, and leaves nothing behind."""

import sys
from pathlib import Path

import pytest

from tests.support.leftovers import Run
from tests.support.processes import Program

pytestmark = pytest.mark.e2e

WAFLEET = Path(sys.executable).with_name("wafleet")


async def test_the_demo_keeps_every_promise_it_makes(tmp_path: Path) -> None:
    run = Run()
    # An address that is set is not used: the demo must not meet anybody's data.
    env = {**run.env, "NATS_URL": "nats://127.0.0.1:1", "RAY_ADDRESS": "127.0.0.1:1"}
    async with Program(WAFLEET, "demo", env=env, cwd=tmp_path, stop_s=60) as demo:
        code = await demo.ended(within_s=180)
    assert code == 0, demo.tail()
    assert any("15 of 15 messages, none twice" in line for line in demo.lines), demo.tail()
    assert run.left() == []
    assert list((tmp_path / ".wafleet").iterdir()) == []
