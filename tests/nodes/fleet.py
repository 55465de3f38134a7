"""A wafleet on several nodes: nats-server, simulator and gateway beside a head, and workers that hold the sessions."""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from actors.messages.events import QrData
from actors.messages.ids import SessionKey
from actors.messages.records import SnapshotManifest
from actors.messages.replies import SessionStatus
from gateway.client import Client
from gateway.connection import Bus, connect
from gateway.snapshots import JetStreamSnapshotStore
from simulator.client import SimulatedPhone
from simulator.server import SimulatorServer
from tests.support.hosts import Host, Sites
from tests.support.nats import NatsServer
from tests.support.processes import Program
from tests.support.ray import ROOT
from tests.support.ray_nodes import RayNode, own_address
from tests.support.simulator import QUICK
from tests.support.waiting import eventually

TENANT: Final = "acme"
_LOOPBACK: Final = "127.0.0.1"
_GATEWAY_READY: Final = "wafleet gateway ready"


class Fleet:
    """The cluster. With `sites` each worker is a host of its own, without it all share this machine's network."""

    def __init__(self, folder: Path, sites: Sites | None = None) -> None:
        self._folder = folder
        self._sites = sites
        self._ends = AsyncExitStack()
        self.workers: dict[str, RayNode] = {}
        self.hosts: dict[str, Host] = {}
        self.simulator: SimulatorServer
        self._ip = ""
        self.phone: SimulatedPhone
        self.client: Client
        self.gateway: Program
        self._head: RayNode
        self._bus: Bus

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._ends.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._ends.aclose()

    async def _start(self) -> None:
        self._ip = ip = self._sites.address if self._sites else own_address()
        internet = self._sites.internet_address if self._sites else _LOOPBACK
        enter = self._ends.enter_async_context
        nats = self._ends.enter_context(NatsServer(self._folder, host=ip if self._sites else _LOOPBACK))
        self.simulator = await enter(SimulatorServer(QUICK, host=internet))
        self.phone = await enter(SimulatedPhone(self.simulator.url))
        self._head = await enter(RayNode("head", self._folder, slots=0, ip=ip))
        self.gateway = await enter(
            Program(sys.executable, "-m", "gateway.main", env=self._settings(nats.url), cwd=ROOT, stop_s=20)
        )
        self.client = await enter(await Client.connect(nats.url, TENANT))
        self._bus = await connect(nats.url, "test")
        self._ends.push_async_callback(self._bus.close)

    def _settings(self, nats_url: str) -> dict[str, str]:
        # A page must come from a secure origin, which plain http is on the loopback interface only.
        trusted = [f"--unsafely-treat-insecure-origin-as-secure={self.simulator.url}"]
        return {
            "RAY_AUTH_MODE": "disabled",
            "PYTHONPATH": str(ROOT),
            "NATS_URL": nats_url,
            "RAY_ADDRESS": self._head.address,
            "WHATSAPP_WEB_URL": self.simulator.url,
            "WHATSAPP_SESSION_PATH": str(self._folder / "nowhere"),
            "WAFLEET_SESSION": json.dumps({"browser": {"extra_args": trusted}}),
        }

    # --- nodes ----------------------------------------------------------------------------------------------------

    async def add(self, *names: str, slots: int = 2) -> None:
        """Start workers side by side; one that was there before keeps its profiles."""
        await asyncio.gather(*(self._add(name, slots) for name in names))
        await self.gateway.line(_GATEWAY_READY, within_s=90)

    async def _add(self, name: str, slots: int) -> None:
        if name not in self.workers:
            if self._sites and name not in self.hosts:
                self.hosts[name] = self._sites.host(name)
            host = self.hosts.get(name)
            self.workers[name] = RayNode(
                name,
                self._folder,
                slots=slots,
                ip=host.address if host else self._ip,
                head=self._head.address,
                prefix=host.prefix if host else (),
            )
            self._ends.push_async_callback(self.workers[name].stop)
        await self.workers[name].start()

    # --- sessions -------------------------------------------------------------------------------------------------

    async def link(self, session_id: str, wid: str) -> SessionStatus:
        """Start a session and link it by its QR."""
        async with self.client.events(session_id, names={"session.qr"}) as events:
            await self.client.start(session_id)
            async with asyncio.timeout(60):
                event = await anext(events)
            assert isinstance(event.data, QrData)
            await self.phone.scan(event.data.qr, wid)
        return await self.client.wait_until(session_id, "ready", timeout_s=60)

    async def ready_elsewhere(self, session_id: str, *, than: SessionStatus, within_s: float) -> SessionStatus:
        """Wait until a later owner of a session is ready."""

        async def moved() -> SessionStatus | None:
            status = await self.client.status(session_id)
            return status if status.epoch > than.epoch and status.state == "ready" else None

        found = await eventually(moved, within_s=within_s, every_s=0.1)
        if found is None:
            raise AssertionError("eventually returns what is true only")
        return found

    def connections(self, wid: str) -> list[str]:
        """What an account's browsers did, in order: a login of one before the other is closed must never be."""
        events = (event for event in self.simulator.service.events if event.get("wid") == wid)
        return [event["t"] for event in events if event["t"] in {"login", "closed"}]

    async def copied(self, session_id: str) -> None:
        """Wait until a snapshot of a session's profile is stored that its present owner made."""
        epoch = (await self.client.status(session_id)).epoch

        async def done() -> bool:
            return any(copy.epoch == epoch for copy in await self.copies(session_id))

        await eventually(done, within_s=30, every_s=0.2)

    async def copies(self, session_id: str) -> Sequence[SnapshotManifest]:
        """The stored snapshots of a session's profile, the newest first."""
        store = JetStreamSnapshotStore(self._bus, SessionKey(TENANT, session_id))
        return [one.manifest for one in await store.stored()]

    async def sent(self, session_id: str, job_id: str, *, within_s: float) -> None:
        """Wait until WhatsApp's server has taken a job's message."""

        async def done() -> bool:
            status = (await self.client.job(session_id, job_id)).status
            assert status not in {"failed", "unconfirmed", "expired", "cancelled"}, status
            return status not in {"accepted", "sending"}

        await eventually(done, within_s=within_s, every_s=0.1)

    async def living_nodes(self) -> int:
        """How many nodes the head believes to be alive."""
        return await self._head.count_living()

    async def sent_texts(self) -> Sequence[str | None]:
        """The texts that WhatsApp accepted."""
        return [entry.body for entry in await self.phone.sent()]
