"""`wafleet up` with everything real, used through the command line; at the end nothing of it is left."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import pytest_asyncio
from nats.aio.msg import Msg

from actors.messages.commands import RateLimit
from actors.messages.events import JobEvent
from actors.messages.ids import SessionKey
from actors.messages.replies import SessionStatus
from gateway.client import Client
from gateway.client_events import EventStream
from gateway.client_requests import TRY_S_BY_COMMAND
from gateway.connection import FLEET_INBOX, Bus, connect
from gateway.leases import JetStreamLeaseStore
from gateway.records import RecordStore
from gateway.settings import load_settings
from gateway.snapshots import JetStreamSnapshotStore
from gateway.streams import declared, reserved_bytes
from gateway.up.nats_server import NatsServer
from simulator.client import SimulatedPhone
from tests.support.command_line import wafleet, wafleet_json
from tests.support.leftovers import Run
from tests.support.processes import Program
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

WAFLEET = Path(sys.executable).with_name("wafleet")
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
WID = "6281100000009@c.us"
OTHER_WID = "6281100000010@c.us"
EXAMPLES_WID = "6281100000011@c.us"
RECIPIENT = "6281200000009"
_SLOW_ACK_MS = 2_000
_ASKED_AT_MOST = 15
"""Until the one of two gateways that is frozen has a request: each takes one as likely as the other."""


async def job_ids(events: EventStream, count: int) -> set[str]:
    """The jobs of the next so many events."""
    found: set[str] = set()
    async with asyncio.timeout(30):
        async for event in events:
            if isinstance(event, JobEvent):
                found.add(event.data.job_id)
            if len(found) == count:
                break
    return found


async def qr_of(client: Client, session_id: str) -> str:
    """The QR of a session, once it shows one."""

    async def shown() -> str | None:
        return (await client.qr(session_id)).qr

    return await eventually(shown, within_s=60) or ""


class Up:
    """A running `wafleet up --simulator`."""

    def __init__(self, program: Program, run: Run, folder: Path, line: dict[str, Any]) -> None:
        self.program = program
        self.run = run
        self.folder = folder
        self.line = line


def pids(up: Up, part: str) -> list[int]:
    """Pids of all processes of a kind."""
    return sorted(process.pid for process in up.run.named(part))


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
    started = await wafleet_json("session start", "s1", "--max-messages", "4", "--window-ms", "60000")
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
    assert (rate["remaining"], rate["max_messages"]) == (2, 4)
    [listed] = (await wafleet_json("session list"))["sessions"]
    assert (listed["session_id"], listed["state"]) == ("s1", "ready")
    events = await wafleet("events", "--since", "300", "--name", "message.sent", "--count", "2", "--timeout", "20")
    assert events.stdout.count("message.sent") == 2
    log = up.folder / ".wafleet" / "logs" / "sessions.log"
    await eventually(lambda: "[Session:default:s1] syncing -> ready" in log.read_text(), within_s=10)


async def test_nobody_can_answer_in_the_place_of_jetstream(up: Up) -> None:
    """Tenants see to which subject an event's acknowledgement goes; the gateway must not be made to publish there."""
    seen: dict[str, str] = {}

    async def take(msg: Msg) -> None:
        seen[msg.subject.partition(".s1.")[2]] = msg.reply

    async with await connect(up.line["nats_url"], "test") as bus:
        await bus.subscribe("wa.default.evt.>", take)
        await wafleet_json("send text", "s1", RECIPIENT, "by whom?", "--direct")
        await eventually(lambda: {"job.accepted", "message.sent"} <= seen.keys(), within_s=10)
    assert {reply.rpartition(".")[0].startswith(FLEET_INBOX) for reply in seen.values()} == {True}, seen


async def test_refusals_of_the_service_end_with_4(up: Up) -> None:
    unknown = await wafleet_json("session status", "nobody", expect=4)
    assert unknown["error"]["code"] == "unknown_session"
    assert (await wafleet_json("send text", "s1", "12", "x", expect=4))["error"]["code"] == "invalid_command"


async def test_the_example_over_nats_links_a_session_and_sends(up: Up) -> None:
    options = ("--session", "s2", "--phone-number", f"+{EXAMPLES_WID.removesuffix('@c.us')}", "--to", RECIPIENT)
    async with (
        SimulatedPhone(up.line["whatsapp_web_url"]) as phone,
        Program(sys.executable, EXAMPLES / "drive_over_nats.py", *options, cwd=up.folder) as example,
    ):
        shown = await example.line(r"^Link code \w+:", within_s=60)
        await phone.code(shown.split()[2].rstrip(":"), EXAMPLES_WID)
        assert await example.ended(within_s=60) == 0, example.tail()
        assert "Hello from wafleet!" in [entry.body for entry in await phone.sent() if entry.wid == EXAMPLES_WID]
    assert f"ready as {EXAMPLES_WID}" in example.lines
    assert example.lines[-1].startswith("rate window: 19 of 20 left")


async def test_the_example_over_ray_finds_the_actors_here_and_from_elsewhere(up: Up, tmp_path: Path) -> None:
    script = EXAMPLES / "drive_over_ray.py"
    told = ("--address", up.line["ray_address"])
    async with (
        Program(sys.executable, script, cwd=up.folder) as here,
        Program(sys.executable, script, *told, env=up.line["ray_environment"], cwd=tmp_path) as elsewhere,
    ):
        for example in (here, elsewhere):
            assert await example.ended(within_s=60) == 0, example.tail()
            assert {"actor session:default:s1", "actor session:default:s2"} <= set(example.lines)
            assert any(line.startswith("supervisor: ") for line in example.lines)
            assert any(line.startswith("session.status: ") and '"ready"' in line for line in example.lines)


async def test_where_nats_is_away_for_long_no_browser_stays_and_each_session_comes_back_without_a_qr(up: Up) -> None:
    [server] = up.run.named("nats-server")
    async with await Client.connect(up.line["nats_url"], "default") as client:
        before = {status.session_id: status for status in await client.sessions()}
        assert {status.state for status in before.values()} == {"ready"}
        server.suspend()
        try:
            await eventually(lambda: not up.run.named("user-data-dir"), within_s=15)
        finally:
            server.resume()

        async def back(session_id: str) -> SessionStatus | None:
            status = await client.status(session_id)
            return status if status.epoch > before[session_id].epoch and status.state == "ready" else None

        after = await asyncio.gather(*(eventually(partial(back, session), within_s=60) for session in before))
        assert {status and status.wid for status in after} == {WID, EXAMPLES_WID}, "nobody has scanned anything"


async def test_a_gateway_that_is_told_to_end_answers_what_it_was_asked_and_leaves_the_fleet_alone(
    up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two that serve together, while a direct send waits for its outcome in its hands."""
    monkeypatch.setitem(TRY_S_BY_COMMAND, "send.text", 60.0)
    sessions, asked = pids(up, "ray::SessionProcess"), 0

    async def count(_: Msg) -> None:
        nonlocal asked
        asked += 1

    environment = {
        **up.line["ray_environment"], "NATS_URL": up.line["nats_url"], "RAY_ADDRESS": up.line["ray_address"],
    }  # fmt: skip
    async with (
        Program(sys.executable, "-m", "gateway.main", env=environment, cwd=up.folder) as leaving,
        await Client.connect(up.line["nats_url"], "default") as client,
        SimulatedPhone(up.line["whatsapp_web_url"]) as phone,
        await connect(up.line["nats_url"], "test") as bus,
    ):
        await leaving.line("wafleet gateway ready", within_s=60)
        await bus.subscribe("wa.default.cmd.s2.send.text", count)
        usual_ms = (await phone.cfg())["ack_ms"]
        leaving.send(signal.SIGSTOP)
        for number in range(_ASKED_AT_MOST):
            asking = asyncio.create_task(client.send_text("s2", RECIPIENT, f"by one of two {number}", mode="direct"))
            if not (await asyncio.wait({asking}, timeout=3))[0]:
                break
        await phone.cfg(ack_ms=_SLOW_ACK_MS)
        leaving.send(signal.SIGCONT)
        await eventually(lambda: told_to_whatsapp(phone, f"by one of two {number}"), within_s=20)
        leaving.send(signal.SIGTERM)
        assert await leaving.ended(within_s=20) == 0, leaving.tail()
        async with asyncio.timeout(5):
            assert (await asking).status == "sent"
        assert asked == number + 1, "it was asked for once more: the gateway took the answer with it"
        await phone.cfg(ack_ms=usual_ms)
    assert pids(up, "ray::SessionProcess") == sessions


async def test_a_killed_gateway_is_back_soon_and_costs_its_callers_no_message(up: Up) -> None:
    [gateway] = up.run.named("gateway.main")
    async with await Client.connect(up.line["nats_url"], "default") as client:
        await client.pause("s1")
        begun = datetime.now(UTC)
        gateway.kill()
        await asyncio.to_thread(gateway.wait, 10)  # else its last pull may take the command with it, for 10 s
        stored = await client.inbox_send("s1", "send.text", to=RECIPIENT, message="stored without a gateway")
        accepted = await client.send_text("s1", RECIPIENT, "asked for without a gateway")
        async with client.events("s1", names={"job.accepted"}, since=begun) as events:
            assert await job_ids(events, 2) == {accepted.job_id, stored.job_id}
        assert (await client.queue("s1")).waiting.normal == 2
    assert len(up.run.named("gateway.main")) == 1


async def test_sessions_send_on_while_the_supervisor_is_away(up: Up) -> None:
    supervisors, sessions = pids(up, "ray::SupervisorProcess"), pids(up, "ray::SessionProcess")
    async with (
        await Client.connect(up.line["nats_url"], "default") as client,
        SimulatedPhone(up.line["whatsapp_web_url"]) as phone,
    ):
        os.kill(supervisors[0], signal.SIGKILL)
        await client.send_text("s1", RECIPIENT, "while nobody supervises", mode="direct")
        assert (await phone.sent())[-1].body == "while nobody supervises"
        assert (await client.pause("s1")).paused  # its successor takes orders
    assert len(pids(up, "ray::SupervisorProcess")) == 1
    assert pids(up, "ray::SupervisorProcess") != supervisors
    assert pids(up, "ray::SessionProcess") == sessions


async def test_what_was_queued_for_a_number_is_not_sent_by_another_one(up: Up) -> None:
    async with (
        await Client.connect(up.line["nats_url"], "default") as client,
        SimulatedPhone(up.line["whatsapp_web_url"]) as phone,
    ):
        queued = (await client.send_text("s1", RECIPIENT, "for the first number")).job_id
        waiting = (await client.queue("s1")).waiting.normal
        async with client.events("s1", names={"message.failed"}) as events:
            await phone.unlink(WID)
            await client.wait_until("s1", "logged_out", timeout_s=30)
            await client.start("s1", rate_limit=RateLimit())
            await phone.scan(await qr_of(client, "s1"), OTHER_WID)
            assert queued in await job_ids(events, waiting)
        assert (await client.job("s1", queued)).status == "cancelled"
        assert (await client.wait_until("s1", "ready", timeout_s=30)).wid == OTHER_WID
        await client.resume("s1")
        await client.send_text("s1", RECIPIENT, "by the second number", mode="direct")
        assert [entry.body for entry in await phone.sent() if entry.wid == OTHER_WID] == ["by the second number"]


async def test_at_sigterm_everything_ends_in_order_and_nothing_is_left(up: Up) -> None:
    browsers = up.run.named("user-data-dir")
    assert len(browsers) >= 1
    workers = [psutil.Process(pid) for pid in pids(up, "ray::SessionProcess")]
    assert {one.nice() for one in workers} == {psutil.Process(up.program.pid).nice()}, "Ray would make them wait"
    in_flight = "in flight at the end"
    async with (
        await Client.connect(up.line["nats_url"], "default") as client,
        SimulatedPhone(up.line["whatsapp_web_url"]) as phone,
    ):
        await phone.cfg(ack_ms=_SLOW_ACK_MS)
        job = await client.send_text("s1", RECIPIENT, in_flight)
        await eventually(lambda: told_to_whatsapp(phone, in_flight), within_s=10)
        told_at = datetime.now(UTC)
        up.program.send(signal.SIGTERM)
        times = await times_in_its_last_log(phone, in_flight)
    assert await up.program.ended(within_s=60) == 0, up.program.tail()
    assert up.run.left() == []
    assert not (up.folder / ".wafleet" / "up.json").exists()
    assert not (up.folder / ".wafleet" / "ray").is_symlink()
    async with what_it_left(up) as bus:
        for key in (SessionKey("default", "s1"), SessionKey("default", "s2")):
            assert await JetStreamLeaseStore.of_session(bus, key).read() is None, "the next start would have to wait"
            newest, *_ = await JetStreamSnapshotStore(bus, key).stored()
            assert not newest.manifest.was_running, "the newest snapshot is of a browser that ran"
        found = await RecordStore(bus).get(SessionKey("default", "s1"), job.job_id)
    assert found is not None
    [acknowledged] = [change.time for change in found.value.history if change.status == "sent"]
    assert acknowledged > told_at, "it was not in flight any more"
    assert (len(found.value.attempts), times) == (1, 1)


async def told_to_whatsapp(phone: SimulatedPhone, body: str) -> int:
    """How often its server accepted a text."""
    return sum(entry.body == body for entry in await phone.sent())


async def times_in_its_last_log(phone: SimulatedPhone, body: str) -> int:
    """The same, asked until the simulator is gone."""
    times = 0

    async def gone() -> bool:
        nonlocal times
        try:
            times = await told_to_whatsapp(phone, body)
        except aiohttp.ClientError:
            return True
        return False

    await eventually(gone, within_s=60)
    return times


@asynccontextmanager
async def what_it_left(up: Up) -> AsyncIterator[Bus]:
    """Its nats-server, started again on the same data."""
    streams = reserved_bytes(declared(store=load_settings().store_config()))
    server = NatsServer(up.folder / ".wafleet", port=0, streams_bytes=streams)
    await server.start()
    try:
        async with await connect(server.url, "test") as bus:
            yield bus
    finally:
        await server.stop()
