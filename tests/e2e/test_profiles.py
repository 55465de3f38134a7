"""A login survives the loss of its profile: real Chromium, real nats-server, the simulator; a node is a folder here."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from actors.browser.driver import shares
from actors.browser.finding import find_browser, major_version
from actors.browser.profile import QUARANTINE
from actors.clock import SystemClock
from actors.config import BrowserConfig, LeaseConfig, ProfileConfig, SessionConfig
from actors.messages.commands import SessionQr
from actors.messages.events import SessionEvent, parse_event
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.messages.replies import QrReply, SessionStatus
from actors.ports import SessionSpec
from actors.session import SessionActor
from gateway.connection import Bus, connect
from gateway.direct import read_all
from gateway.profiles import JetStreamProfileHeads
from gateway.snapshots import JetStreamSnapshotStore
from gateway.streams import WA_EVENTS, ensure, event_subject
from gateway.wiring import JetStreamPorts
from simulator.client import SimulatedPhone
from simulator.server import SimulatorServer
from tests.support.nats import NatsServer
from tests.support.simulator import QUICK
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

WITHIN_S = 30.0
SECRET = bytes(range(32))


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    driver = await shares().take()  # half a second for each browser otherwise
    async with await connect(nats_server.url, "test") as connected:
        await ensure(connected)
        yield connected
    await shares().give_back(driver)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[SimulatorServer]:
    async with SimulatorServer(QUICK) as server:
        yield server


class Place:
    """Where one session lives: NATS, a simulator, and nodes, which are folders."""

    def __init__(self, bus: Bus, world: SimulatorServer, phone: SimulatedPhone, folder: Path, session_id: str) -> None:
        self.key = SessionKey("acme", session_id)
        self.wid = f"62811{session_id.removeprefix('s'):0>7}@c.us"
        self.phone = phone
        self.snapshots = JetStreamSnapshotStore(bus, self.key)
        self.heads = JetStreamProfileHeads(bus, self.key)
        self._bus = bus
        self._url = world.url
        self._folder = folder

    def profile(self, node: str) -> Path:
        return self._folder / node / "acme" / self.key.session_id

    @asynccontextmanager
    async def life(self, node: str, *, copy_after_s: float = 3_600.0) -> AsyncIterator[SessionActor]:
        """A session actor on a node; stopped in order at the end, if it has not ended by then."""
        desired = DesiredSession(
            tenant_id="acme", session_id=self.key.session_id, target="running", changed_at=SystemClock().now()
        )
        config = SessionConfig(
            sessions_path=self._folder / node,
            browser=BrowserConfig(web_url=self._url),
            profile=ProfileConfig(first_copy_after_s=copy_after_s, copy_retry_s=0.2),
        )
        actor = SessionActor(SessionSpec(desired, config, LeaseConfig()), JetStreamPorts(self._bus.url, SECRET))
        life = asyncio.create_task(actor.run())
        try:
            yield actor
        finally:
            await actor.drain()
            await life

    async def linked(self, actor: SessionActor) -> None:
        """Scan the QR and wait for READY."""
        await reached(actor, "pairing")
        await eventually(lambda: actor._view._core.pairing.qr, within_s=WITHIN_S)
        shown = await actor.ask(SessionQr())
        assert isinstance(shown, QrReply)
        assert shown.qr is not None
        await self.phone.scan(shown.qr, self.wid)
        await reached(actor, "ready")

    async def events(self) -> list[tuple[str, str | None]]:
        """Names and reasons of all changes of state so far."""
        found = [parse_event(one.body) async for one in read_all(self._bus, WA_EVENTS, event_subject(self.key, ">"))]
        return [(one.event, one.data.reason) for one in found if isinstance(one, SessionEvent)]

    async def codes_shown(self) -> int:
        return len([one async for one in read_all(self._bus, WA_EVENTS, event_subject(self.key, "session.qr"))])


@pytest_asyncio.fixture(loop_scope="module")
async def place(
    bus: Bus, world: SimulatorServer, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Place]:
    async with SimulatedPhone(world.url) as phone:
        number = str(sum(map(ord, request.node.name)))
        yield Place(bus, world, phone, tmp_path, f"s{number}")


async def reached(actor: SessionActor, *states: str) -> SessionStatus:
    status = await eventually(lambda: one if (one := actor.status()).state in states else None, within_s=WITHIN_S)
    assert status is not None
    return status


async def test_a_login_survives_the_loss_of_a_node_a_move_and_a_damaged_profile(place: Place) -> None:
    async with place.life("a", copy_after_s=0.3) as actor:
        await place.linked(actor)
        (stored,) = await eventually(place.snapshots.stored, within_s=WITHIN_S)
        assert (stored.manifest.was_running, stored.manifest.epoch) == (True, 1)
        browser = find_browser(BrowserConfig().executable)
        assert stored.manifest.browser_build == f"{browser.name} {await major_version(browser)}"
        # The node is lost: its end makes no snapshot any more, and its disk is gone.
        assert actor._parts is not None
        actor._parts.profiles._was_ready = False
    codes = await place.codes_shown()
    shutil.rmtree(place.profile("a"))

    async with place.life("b") as actor:
        status = await reached(actor, "ready", "pairing")
        assert (status.state, status.reason, status.epoch) == ("ready", "profile_restored", 2)
    newest = (await place.snapshots.stored())[0].manifest
    assert (newest.was_running, newest.epoch) == (False, 2)
    head = await place.heads.read()
    assert head is not None
    assert (head.linked, head.epoch, head.generation) == (True, 2, newest.generation)

    for file in place.profile("b").glob("browser/Default/IndexedDB/*/*"):
        file.write_bytes(b"damaged" * 50)
    async with place.life("b") as actor:
        status = await reached(actor, "ready", "pairing")
        assert status.state == "ready"
        assert status.reason in {"login_lost", "profile_damaged"}
        (aside,) = (place.profile("b").parents[1] / QUARANTINE).iterdir()
        assert aside.name == f"acme.{place.key.session_id}.{head.generation}"
        # Once: what is lost again right after it is for a person to look at.
        await place.phone.storage_error(place.wid)
        await reached(actor, "logged_out")
    assert await place.codes_shown() == codes
    assert len(await place.snapshots.stored()) == 2
    assert ("session.starting", "profile_restored") in await place.events()
