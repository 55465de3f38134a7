"""What stands in on a real Ray cluster for the parts that are not under test: a session without a browser, and a board
(a Ray actor of its own) in the place of NATS."""

import asyncio
import itertools
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import ray

from actors.clock import SystemClock
from actors.cluster import NAMESPACE
from actors.config import LeaseConfig
from actors.core.lifecycle import STATUS_OF, State
from actors.messages.commands import Command, SessionLogout, SessionStop
from actors.messages.events import Event
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession, LeaseRecord
from actors.messages.replies import ErrorBody, Reply, SessionStatus
from actors.ports import Ended, FleetPorts, Heartbeat, Revised, SessionPorts, SessionSpec

BOARD: Final = "board"
LEASE: Final = LeaseConfig(ttl_s=5, renew_every_s=0.5, send_until_s=3.5, kill_after_s=4)


class Board:
    """Desired sessions, statuses and the supervisor's lease, and who was born when."""

    def __init__(self) -> None:
        self.desired: dict[SessionKey, Revised[DesiredSession]] = {}
        self.statuses: dict[SessionKey, SessionStatus] = {}
        self._lease: Revised[LeaseRecord] | None = None
        self._lease_until = 0.0
        self.births: list[tuple[SessionKey, int]] = []
        self.events: list[Event] = []
        self._revision = itertools.count(1)

    def get(self, name: str) -> Any:
        return getattr(self, name)

    def born(self, key: SessionKey, pid: int) -> None:
        self.births.append((key, pid))

    def told(self, event: Event) -> None:
        self.events.append(event)

    def put_status(self, status: SessionStatus) -> None:
        self.statuses[SessionKey(status.tenant_id, status.session_id)] = status

    def put_desired(self, desired: DesiredSession, revision: int | None) -> int | None:
        key = SessionKey(desired.tenant_id, desired.session_id)
        found = self.desired.get(key)
        if (found.revision if found else None) != revision:
            return None
        self.desired[key] = Revised(desired, next(self._revision))
        return self.desired[key].revision

    @property
    def lease(self) -> Revised[LeaseRecord] | None:
        return self._lease if time.monotonic() < self._lease_until else None

    def put_lease(self, record: LeaseRecord, revision: int | None) -> int | None:
        if (self.lease.revision if self.lease else None) != revision:
            return None
        self._lease = Revised(record, next(self._revision))
        self._lease_until = time.monotonic() + LEASE.ttl_s
        return self._lease.revision

    def release(self, revision: int) -> bool:
        if self._lease is None or self._lease.revision != revision:
            return False
        self._lease = None
        return True


class BoardClient:
    """Registry, lease store and birth register in one, over calls to the board."""

    def __init__(self) -> None:
        self._board: Any = ray.get_actor(BOARD, namespace=NAMESPACE)

    async def read_all(self, name: str) -> Any:
        return await self._board.get.remote(name)

    async def desired(self, key: SessionKey) -> Revised[DesiredSession] | None:
        found: Revised[DesiredSession] | None = (await self.read_all("desired")).get(key)
        return found

    async def put_desired(self, desired: DesiredSession, revision: int | None) -> int | None:
        stored: int | None = await self._board.put_desired.remote(desired, revision)
        return stored

    async def all_desired(self) -> Sequence[DesiredSession]:
        return [each.value for each in (await self.read_all("desired")).values()]

    async def status(self, key: SessionKey) -> SessionStatus | None:
        found: SessionStatus | None = (await self.read_all("statuses")).get(key)
        return found

    async def all_statuses(self) -> Sequence[SessionStatus]:
        return list((await self.read_all("statuses")).values())

    async def put_status(self, status: SessionStatus) -> None:
        await self._board.put_status.remote(status)

    async def create(self, record: LeaseRecord) -> int | None:
        return await self.renew(record, None)

    async def renew(self, record: LeaseRecord, revision: int | None) -> int | None:
        stored: int | None = await self._board.put_lease.remote(record, revision)
        return stored

    async def read(self) -> Revised[LeaseRecord] | None:
        found: Revised[LeaseRecord] | None = await self.read_all("lease")
        return found

    async def release(self, revision: int) -> bool:
        released: bool = await self._board.release.remote(revision)
        return released

    async def raise_epoch(self) -> int:
        raise AssertionError("the supervisor needs no epoch")

    async def publish(self, event: Event) -> bool:
        await self._board.told.remote(event)
        return True

    async def born(self, key: SessionKey, pid: int) -> None:
        await self._board.born.remote(key, pid)


@dataclass(frozen=True)
class BoardPorts:
    """Connects to the board; travels into the actors."""

    async def connect(self, spec: SessionSpec) -> SessionPorts:
        raise AssertionError("a stand-in session has no ports")

    async def connect_fleet(self) -> FleetPorts:
        client = BoardClient()
        return FleetPorts(SystemClock(), client, client, client, _close)


async def _close() -> None:
    return


class StandInSession:
    """A session that is ready at once; one named `fails…` ends as failed."""

    def __init__(self, spec: SessionSpec, factory: Any) -> None:
        self._spec = spec
        self._end: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"session:{self._spec.key}"

    async def run(self) -> None:
        board = BoardClient()
        await board.born(self._spec.key, os.getpid())
        await board.put_status(self._status(State.READY))
        if self._spec.key.session_id.startswith("fails"):
            self._end.set_result(Ended("failed", "reconnect_exhausted"))
        ended = await self._end
        await board.put_status(self._status(State(ended.state)))

    async def wait_ended(self) -> Ended:
        return await self._end

    async def heartbeat(self) -> Heartbeat:
        return Heartbeat("ready", os.getpid(), platform.node(), 1)

    async def ask(self, command: Command) -> Reply | ErrorBody:
        if isinstance(command, SessionStop):
            self._end.set_result(Ended("stopped", "stopped"))
            return self._status(State.DRAINING)
        return self._status(State.READY) if not isinstance(command, SessionLogout) else self._broken()

    async def drain(self) -> None:
        self._end.set_result(Ended("stopped", "drained"))

    def _broken(self) -> SessionStatus:
        raise RuntimeError("a stand-in has no account")

    def _status(self, state: State) -> SessionStatus:
        return SessionStatus(
            tenant_id=self._spec.key.tenant_id,
            session_id=self._spec.key.session_id,
            status=STATUS_OF[state],
            state=state.value,
            since=SystemClock().now(),
            epoch=1,
        )
