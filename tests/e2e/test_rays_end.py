"""Ray dies under `wafleet up`: it ends, leaves nothing running, and started again it goes on with session and job."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from actors.messages.jobs import ACK_STATUSES
from gateway.client import Client
from simulator.client import SimulatedPhone
from simulator.server import SimulatorServer
from tests.support.leftovers import Run
from tests.support.processes import Program
from tests.support.simulator import phone, simulator
from tests.support.waiting import eventually

__all__ = ["phone", "simulator"]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

WAFLEET = Path(sys.executable).with_name("wafleet")
RECIPIENT = "6281200000009"
WID = "6281100000009@c.us"


@asynccontextmanager
async def up(run: Run, folder: Path, whatsapp_web_url: str) -> AsyncIterator[tuple[Program, Client]]:
    """A running `wafleet up` and a client of it."""
    command = (WAFLEET, "up", "--json", "--nats-port", "0", "--dashboard-port", "0")
    given = {"NATS_URL": "", "RAY_ADDRESS": "", "WAFLEET_MAX_SESSIONS": "1", "WHATSAPP_WEB_URL": whatsapp_web_url}
    async with Program(*command, env={**run.env, **given}, cwd=folder, stop_s=60) as program:
        line = json.loads(await program.line(r"^\{", within_s=120))
        async with await Client.connect(line["nats_url"], "default") as client:
            yield program, client


async def test_a_killed_raylet_ends_up_and_costs_neither_a_qr_nor_a_job(
    tmp_path: Path, simulator: SimulatorServer, phone: SimulatedPhone
) -> None:
    run = Run()
    await phone.user(f"{RECIPIENT}@c.us")
    async with up(run, tmp_path, simulator.url) as (program, client):
        await client.start("s1")

        async def qr() -> str:
            return (await client.qr("s1")).qr or ""

        await phone.scan(await eventually(qr, within_s=60), WID)
        first = await client.wait_until("s1", "ready", timeout_s=60)
        await client.pause("s1")
        job = await client.send_text("s1", RECIPIENT, "outlives Ray")
        [raylet] = [process for process in run.named("raylet/raylet") if process.name() == "raylet"]
        raylet.kill()
        assert await program.ended(within_s=60) == 1, program.tail()
        assert "Ray" in program.tail()
    assert run.left() == []
    async with up(run, tmp_path, simulator.url) as (program, client):

        async def back() -> bool:
            status = await client.status("s1")
            return (status.status, status.wid, status.epoch) == ("ready", WID, (first.epoch or 0) + 1)

        await eventually(back, within_s=60)
        assert (await client.queue("s1")).waiting.normal == 1
        await client.resume("s1")

        async def sent() -> bool:
            return (await client.job("s1", job.job_id)).status in ACK_STATUSES

        await eventually(sent, within_s=30)
        assert [entry.body for entry in await phone.sent()] == ["outlives Ray"]
    assert run.left() == []
