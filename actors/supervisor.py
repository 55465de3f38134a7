"""The supervisor: keeps the fleet as desired.

Three parts, none of which knows another's business: ``FleetCore`` decides, ``FleetKeeper`` carries out, ``Orders``
takes what people want. This one holds them together: it connects, keeps the lease ``_supervisor`` (without it nothing
is done), steps every period and whenever something happened, and offers the remote methods. Ray restarts it for ever;
it then finds the living actors by name before it creates any.
"""

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from actors import node
from actors.clock import SystemClock
from actors.config import LeaseConfig, SessionConfig, SupervisorConfig
from actors.core.fleet import FleetCore
from actors.deadlines import cancel, within
from actors.errors import Unavailable, WafleetError
from actors.fleet_keeper import FleetKeeper
from actors.messages.commands import Command
from actors.messages.ids import SessionKey
from actors.messages.replies import ErrorBody, Reply
from actors.orders import Orders
from actors.ports import FleetPorts, Heartbeat, PortsFactory, SessionHost
from actors.tenure import Tenure

_TRY_EVERY_S: Final = 1.0
"""Between tries to connect, or to get the lease."""
_STEP_GAP_S: Final = 0.05
"""Between two steps, however many things happen."""
_ON_DUTY_TIMEOUT_S: Final = 10.0
_END_MARGIN_S: Final = 10.0
"""What a session may take to end beyond its own deadline for draining."""
_PERIOD_JITTER: Final = 0.1

_log: Final = logging.getLogger("wafleet.supervisor")


@dataclass(frozen=True, slots=True)
class FleetView:
    """The fleet, as the supervisor sees it."""

    on_duty: bool
    """It holds its lease and knows the living actors."""
    phases: Mapping[SessionKey, str]


class Supervisor:
    """Keeps the fleet as desired, session by session."""

    def __init__(
        self,
        factory: PortsFactory,
        host: SessionHost,
        *,
        config: SupervisorConfig,
        session_config: SessionConfig,
        lease_config: LeaseConfig,
        seed: int,
    ) -> None:
        """Prepare; ``run`` begins.

        Args:
            factory: Connects the ports.
            host: Where session actors live.
            config: Limits and periods.
            session_config: What sessions are made with.
            lease_config: Times of the sessions' leases, and of its own.
            seed: Of the jitter of delays.
        """
        self._factory = factory
        self._host = host
        self._config = config
        self._session_config = session_config
        self._lease_config = lease_config
        self._random = Random(seed)  # noqa: S311 - jitter, no secret
        self._end_within_s = session_config.draining_timeout_s + _END_MARGIN_S
        self._core = FleetCore(config, end_within_s=self._end_within_s, random=self._random)
        self._office: _Office | None = None
        self._on_duty = asyncio.Event()
        self._stopping = asyncio.Event()
        """No more steps are made."""
        self._let_go = asyncio.Event()
        """The lease is not needed any more."""
        self._keeping: asyncio.Task[None] | None = None
        """Keeps the lease."""

    def __repr__(self) -> str:
        return "supervisor"

    async def run(self) -> None:
        """Look after the fleet until ``stop``; called once."""
        ports = await self._connect()
        tenure = Tenure(ports.lease, secrets.token_hex(8), self._lease_config, ports.clock)
        keeper = FleetKeeper(
            self._core,
            self._host,
            ports.registry,
            events=ports.events,
            clock=ports.clock,
            session_config=self._session_config,
            lease_config=self._lease_config,
            heartbeat_timeout_s=self._config.heartbeat_every_s,
            may_act=tenure.held,
        )
        orders = Orders(self._core, keeper.handles, ports.registry, ports.clock, keeper.nudge.set)
        self._office = office = _Office(ports, tenure, keeper, orders)
        try:
            async with asyncio.TaskGroup() as group:
                lease = self._keeping = group.create_task(self._keep_lease(office))
                loops = [group.create_task(work) for work in (self._keep_fleet(office), keeper.watch_nodes())]
                await self._stopping.wait()
                await cancel(*loops)
                # A drain takes longer than the lease lasts, and no other supervisor may start meanwhile what it ends.
                await self._let_go.wait()
                await cancel(lease)
        finally:
            self._on_duty.clear()

    async def ask(self, key: SessionKey, command: Command) -> Reply | ErrorBody:
        """Carry out an order about one session; errors are values.

        Args:
            key: The session.
            command: Start, stop, restart, logout, pause or resume.
        """
        try:
            async with asyncio.timeout(_ON_DUTY_TIMEOUT_S):
                await self._on_duty.wait()
            if self._office is None or not self._office.tenure.held():
                raise Unavailable("the supervisor has lost its lease; try again")
            return await self._office.orders.carry_out(key, command)
        except TimeoutError:
            return ErrorBody.of(Unavailable("the supervisor waits for its lease; try again"))
        except WafleetError as error:
            return ErrorBody.of(error)

    async def heartbeat(self) -> Heartbeat:
        """Give a sign of life."""
        state = "on_duty" if self._on_duty.is_set() else "waiting"
        return Heartbeat(state=state, pid=os.getpid(), node=node.name(), epoch=0)

    async def observe(self) -> FleetView:
        """Tell where every session is."""
        return FleetView(self._on_duty.is_set(), {key: phase.value for key, phase in self._core.phases().items()})

    async def stop(self, *, drain: bool) -> None:
        """Stop looking after the fleet.

        Args:
            drain: End all sessions too, in order; the next supervisor starts them again.
        """
        on_duty = self._on_duty.is_set()
        self._stopping.set()
        if self._office is None:
            self._let_go.set()
            return
        office, self._office = self._office, None
        try:
            if drain and on_duty:
                await office.keeper.drain(self._end_within_s)
        finally:
            self._let_go.set()
        if self._keeping is not None:
            # Else it might take the lease once more after it was given back.
            await cancel(self._keeping)
        await office.keeper.close()
        await office.tenure.release()
        await office.ports.close()

    async def _connect(self) -> FleetPorts:
        while True:
            try:
                return await self._factory.connect_fleet()
            except Unavailable as error:
                _log.warning("[Supervisor] not connected yet: %s", error)
                await SystemClock().sleep(_TRY_EVERY_S)

    async def _keep_lease(self, office: "_Office") -> None:
        while True:
            held = False
            try:
                held = await office.tenure.keep()
            except Unavailable as error:
                _log.warning("[Supervisor] lease not renewed: %s", error)
            if held and not self._on_duty.is_set():
                office.keeper.look_again()
                office.keeper.nudge.set()
            elif not office.tenure.held():
                self._on_duty.clear()
            await office.ports.clock.sleep(self._lease_config.renew_every_s if held else _TRY_EVERY_S)

    async def _keep_fleet(self, office: "_Office") -> None:
        clock, nudge = office.ports.clock, office.keeper.nudge
        while True:
            nudge.clear()
            wait = self._config.reconcile_every_s * self._random.uniform(1 - _PERIOD_JITTER, 1 + _PERIOD_JITTER)
            if office.tenure.held() and await self._step(office):
                wait = min(wait, self._core.next_deadline - clock.monotonic())
            await clock.sleep(_STEP_GAP_S)
            with contextlib.suppress(TimeoutError):
                await within(clock, wait - _STEP_GAP_S, nudge.wait())

    async def _step(self, office: "_Office") -> bool:
        try:
            await office.keeper.step()
        except Unavailable as error:
            _log.warning("[Supervisor] step not done: %s", error)
        except Exception:  # noqa: BLE001 - the loop outlives every error of a step
            _log.exception("[Supervisor] step failed; the next one tries again")
        else:
            self._on_duty.set()
            return True
        return False


@dataclass(frozen=True, slots=True)
class _Office:
    """What a connected supervisor works with."""

    ports: FleetPorts
    tenure: Tenure
    keeper: FleetKeeper
    orders: Orders
