"""`wafleet up` with a stand-in for the gateway: what is started again, what ends everything, what is left."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gateway.settings import load_settings
from gateway.up.children import PartFailed
from gateway.up.stack import AlreadyRunning, Moment, Plan, Stack
from gateway.up.state import find_located
from tests.support.leftovers import Run
from tests.support.waiting import eventually

pytestmark = pytest.mark.nats

STAND_IN = "import signal; print('wafleet gateway ready', flush=True); signal.pause()"
NO_RAY = "127.0.0.1:1"


class Seen:
    """What was reported of the parts."""

    def __init__(self) -> None:
        self.moments: list[tuple[str, Moment]] = []

    def __call__(self, name: str, moment: Moment, text: str) -> None:
        self.moments.append((name, moment))

    def twice_ready(self, name: str) -> bool:
        return self.moments.count((name, "ready")) == 2


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    mark = Run()
    for name, value in mark.env.items():
        monkeypatch.setenv(name, value)
    return mark


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(
        settings=load_settings(nats_url=None, ray_address=NO_RAY, wafleet_dir=tmp_path),
        state=tmp_path,
        simulator=True,
        gateway_command=(sys.executable, "-c", STAND_IN),
    )


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
async def stack(plan: Plan, run: Run, seen: Seen) -> AsyncIterator[Stack]:
    stack = Stack(plan, seen)
    await stack.start()
    yield stack
    await stack.stop()
    assert run.left() == []
    assert find_located(plan.state) is None


async def test_gateway_and_nats_server_are_started_again(stack: Stack, plan: Plan, run: Run, seen: Seen) -> None:
    located = find_located(plan.state)
    assert located is not None
    watching = asyncio.create_task(stack.watch())
    for part, command in (("gateway", "wafleet gateway ready"), ("nats-server", "nats-server.conf")):
        [process] = run.named(command)
        process.kill()
        await eventually(partial(seen.twice_ready, part), within_s=20)
    assert find_located(plan.state) == located
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_the_end_of_what_cannot_be_started_again_ends_the_watch(stack: Stack, run: Run, seen: Seen) -> None:
    [simulator] = run.named("-m simulator")
    watching = asyncio.create_task(stack.watch())
    simulator.kill()
    with pytest.raises(PartFailed, match=r"simulator ended with code -9; its whole output is in .*simulator.log"):
        async with asyncio.timeout(10):
            await watching
    assert ("simulator", "lost") in seen.moments


async def test_a_state_folder_serves_one_at_a_time(stack: Stack, plan: Plan, seen: Seen) -> None:
    second = Stack(plan, seen)
    with pytest.raises(
        AlreadyRunning, match=r"runs already .*\(pid \d+, NATS at nats://127.0.0.1:\d+\); stop it first"
    ):
        await second.start()
    await second.stop()
    assert find_located(plan.state) is not None


async def test_a_part_that_does_not_start_ends_the_others(plan: Plan, run: Run, seen: Seen) -> None:
    broken = Plan(
        settings=plan.settings,
        state=plan.state,
        simulator=True,
        simulator_knobs=("no_such_knob=1",),
        gateway_command=plan.gateway_command,
    )
    stack = Stack(broken, seen)
    with pytest.raises(PartFailed, match=r"(?s)simulator ended with code 2 while it started.*no_such_knob"):
        await stack.start()
    await stack.stop()
    assert run.left() == []
    assert ("gateway", "starting") not in seen.moments


async def test_a_closed_terminal_ends_no_part_and_every_part_still_ends_in_order(plan: Plan, run: Run) -> None:
    def closed(*told: str) -> None:
        raise SystemExit(1)

    stack = Stack(replace(plan, on_line=closed), closed)
    located = await stack.start()
    assert located == find_located(plan.state)
    await stack.stop()
    assert run.left() == []
