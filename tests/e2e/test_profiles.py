"""A login survives the loss of its profile: real Chromium, real nats-server, the simulator; a node is a folder here."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from actors.browser.driver import shares
from actors.browser.profile import QUARANTINE
from actors.clock import SystemClock
from actors.config import BrowserConfig, LeaseConfig, ProfileConfig, SessionConfig
from actors.messages.commands import SessionLogout, SessionQr
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


async def test_a_stopped_session_is_ready_on_another_node_without_a_new_scan(place: Place) -> None:
    async with place.life("a") as actor:
        await place.linked(actor)
    (stored,) = await place.snapshots.stored()
    assert (stored.manifest.was_running, stored.manifest.epoch) == (False, 1)
    codes = await place.codes_shown()
    head = await place.heads.read()
    async with place.life("b") as actor:
        status = await reached(actor, "ready", "pairing")
        assert (status.state, status.reason, status.epoch) == ("ready", "profile_restored", 2)
    # And back: what lies there is not the newest any more.
    async with place.life("a") as actor:
        assert (await reached(actor, "ready", "pairing")).reason == "profile_restored"
        newest = await place.heads.read()
        assert head is not None
        assert newest is not None
        assert (newest.linked, newest.epoch, newest.generation != head.generation) == (True, 3, True)
    async with place.life("a") as actor:
        assert (await reached(actor, "ready", "pairing")).reason is None
    assert await place.codes_shown() == codes
    assert ("session.starting", "profile_restored") in await place.events()
    assert len(await place.snapshots.stored()) == 2
    (aside,) = (place.profile("a").parents[1] / QUARANTINE).iterdir()
    assert aside.name.endswith(head.generation)


async def test_a_snapshot_of_a_running_browser_is_enough(place: Place) -> None:
    async with place.life("a", copy_after_s=0.3) as actor:
        await place.linked(actor)
        (stored,) = await eventually(place.snapshots.stored, within_s=WITHIN_S)
        assert stored.manifest.was_running
        # The node is lost: nothing of its end reaches anybody.
        actor._parts.profiles._was_ready = False  # type: ignore[union-attr]
    shutil.rmtree(place.profile("a"))
    async with place.life("a") as actor:
        status = await reached(actor, "ready", "pairing")
        assert (status.state, status.reason) == ("ready", "profile_restored")
    assert len(await place.snapshots.stored()) == 2


async def test_a_damaged_profile_is_restored_once_and_then_a_person_has_to_scan(place: Place) -> None:
    async with place.life("a") as actor:
        await place.linked(actor)
    codes = await place.codes_shown()
    for file in place.profile("a").glob("browser/Default/IndexedDB/*/*"):
        file.write_bytes(os.urandom(300))
    async with place.life("a") as actor:
        status = await reached(actor, "ready", "pairing")
        assert (status.state, status.reason) == ("ready", "login_lost")
        await place.phone.storage_error(place.wid)
        await reached(actor, "logged_out")
        await actor.wait_ended()
    assert await place.codes_shown() == codes
    async with place.life("a") as actor:
        assert (await reached(actor, "ready", "pairing")).reason == "profile_restored"


async def test_after_a_logout_nothing_is_restored_and_everything_lies_aside(place: Place) -> None:
    async with place.life("a") as actor:
        await place.linked(actor)
    async with place.life("a") as actor:
        await reached(actor, "ready")
        await actor.ask(SessionLogout())
        await actor.wait_ended()
    assert await place.snapshots.stored() == []
    assert not place.profile("a").exists()
    async with place.life("b") as actor:
        assert (await reached(actor, "ready", "pairing")).state == "pairing"
