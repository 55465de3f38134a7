"""A fault finds its process, also where only its parent tells whose it is."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from actors.messages.ids import SessionKey
from tests.chaos.plan import Kind
from tests.chaos.targets import Targets
from tests.support.leftovers import Run
from tests.support.waiting import eventually

KEY: Final = SessionKey("acme", "s1")
OTHER: Final = SessionKey("acme", "s10")
_START_S: Final = 5.0
_BROWSER: Final = 'env -i sh -c "read line" child --type=renderer --lang=en; :'
"""Its child names no profile and has lost its environment, as in Chromium 156."""


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    """A run with the browser of a session in it."""
    run = Run()
    browser = await asyncio.create_subprocess_exec(
        "sh", "-c", _BROWSER, "browser", f"--user-data-dir={tmp_path / 'acme' / 's1' / 'browser'}",
        env=run.env | {"PATH": "/usr/bin:/bin"}, stdin=asyncio.subprocess.PIPE,
    )  # fmt: skip
    yield run
    assert browser.stdin is not None
    browser.stdin.close()  # the child reads on, and ends
    await browser.wait()
    assert run.left() == []


async def test_a_renderer_is_found_below_the_browser_of_its_session(run: Run, tmp_path: Path) -> None:
    targets = Targets(run, tmp_path)
    renderer = await eventually(lambda: targets.find(Kind.RENDERER, KEY), within_s=_START_S)
    browser = targets.find(Kind.BROWSER, KEY)
    assert renderer is not None
    assert browser is not None
    assert renderer.ppid() == browser.pid
    assert {renderer, browser} <= set(run.processes())
    assert targets.find(Kind.RENDERER, OTHER) is None


async def test_a_process_that_ended_is_not_left(run: Run, tmp_path: Path) -> None:
    targets = Targets(run, tmp_path)
    renderer = await eventually(lambda: targets.find(Kind.RENDERER, KEY), within_s=_START_S)
    assert renderer is not None
    renderer.kill()
    psutil.wait_procs([renderer])
    assert renderer not in run.processes()
