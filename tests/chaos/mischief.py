"""Makes the planned faults happen, each at its time, and writes down what was really done."""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import psutil

from actors.clock import SystemClock
from simulator.client import SimulatedPhone
from tests.chaos.accounts import Accounts
from tests.chaos.history import Fault
from tests.chaos.plan import KNOBS, OF_ONE_SESSION, Kind, Plan, PlannedFault
from tests.chaos.stack import Stack
from tests.chaos.targets import Targets
from tests.chaos.watch import Watch
from tests.support.waiting import eventually

_RECOVER_S = 20.0
_OVERTIME = 1.3
_FIND_S = 10.0
"""How long to wait for a process that does not run just now: a browser that is being started."""


class Mischief:
    """The faults of one run."""

    def __init__(self, stack: Stack, phone: SimulatedPhone, accounts: Accounts, say: Callable[[str], None]) -> None:
        self.done: list[Fault] = []
        self.missed: list[PlannedFault] = []
        """Faults for which there was nothing to do them to, or no time left."""
        self._stack = stack
        self._targets = Targets(stack.run, stack.folder / "sessions")
        self._phone = phone
        self._accounts = accounts
        self._say = say
        self._clock = SystemClock()

    async def happen(self, fault: PlannedFault) -> None:
        """Make one fault happen, and wait until it is over (but for what never is)."""
        began = time.time()
        self._say(f"{fault.kind}{'' if fault.key is None else f' of {fault.key}'}{_lasting(fault)}")
        if fault.kind in KNOBS:
            done = await self._turn_knob(fault)
        elif fault.kind in {Kind.DROP, Kind.DROP_ALL}:
            wid = None if fault.key is None else self._accounts.wid(fault.key)
            done = await self._phone.drop(wid, everybody=fault.key is None) > 0
        elif fault.kind is Kind.NATS:
            done = await self._stack.restart_nats(fault.lasts_s or 0)
        elif fault.kind is Kind.GATEWAY:
            done = await self._stack.kill_gateway(fault.number, fault.lasts_s or 0)
        elif fault.kind is Kind.REBOOT:
            done = await self._stack.reboot(fault.lasts_s or 0)
        else:
            found = await self._signal(fault)
            done, began = found is not None, found or began
        if not done:
            self.missed.append(fault)
            self._say(f"nothing to {fault.kind} of {fault.key}")
            return
        for_good = fault.lasts_s is None
        self.done.append(Fault(fault.kind, fault.key, began, float("inf") if for_good else time.time()))

    def leave_out(self, fault: PlannedFault) -> None:
        """Do without a fault for which there is no time left."""
        self.missed.append(fault)
        self._say(f"no time left to {fault.kind}")

    async def _turn_knob(self, fault: PlannedFault) -> bool:
        if fault.key is None:
            raise AssertionError(f"{fault} is for one account")
        wid = self._accounts.wid(fault.key)
        await self._phone.fail(wid=wid, **{KNOBS[fault.kind]: True})
        await self._clock.sleep(fault.lasts_s or 0)
        await self._phone.fail(wid=wid, **{KNOBS[fault.kind]: False})
        return True

    async def _signal(self, fault: PlannedFault) -> float | None:
        """Kill or freeze a process; returns when, None if it was not to be found."""
        try:
            found = await eventually(lambda: self._targets.find(fault.kind, fault.key), within_s=_FIND_S, every_s=0.5)
        except TimeoutError:
            return None
        if found is None:
            raise AssertionError("`eventually` returns what is true")
        at = time.time()
        try:
            found.send_signal(signal.SIGSTOP if fault.kind is Kind.FREEZE else signal.SIGKILL)
        except psutil.NoSuchProcess:
            return None
        if fault.kind is Kind.FREEZE and fault.lasts_s is not None:
            await self._clock.sleep(fault.lasts_s)
            with suppress(psutil.NoSuchProcess):  # it was found hung, and killed
                found.send_signal(signal.SIGCONT)  # psutil knows it by its start time: it signals no other of that pid
        return at


def _lasting(fault: PlannedFault) -> str:
    return " for good" if fault.lasts_s is None else f" for {fault.lasts_s:.1f} s" if fault.lasts_s else ""


async def make_mischief(mischief: Mischief, plan: Plan, watch: Watch, began: float) -> None:
    """Make all faults happen, each at its time; one that lasts does not keep the next one waiting.

    Where half of the sessions are down, as on a busy machine, the next one waits a little for them to come back: what
    hits a session that is down shows nothing. What is too late then is left out; but of what the plan wants in any case
    each kind happens, at the end if need be.
    """
    clock, late = SystemClock(), 0.0
    async with asyncio.TaskGroup() as going_on:
        for fault in plan.faults:
            await clock.sleep(max(0.0, began + fault.at_s + late - clock.monotonic()))
            if len(watch.down()) > len(plan.sessions) / 2:
                with suppress(TimeoutError):
                    await eventually(lambda: len(watch.down()) <= len(plan.sessions) / 2, within_s=_RECOVER_S)
                late = max(late, clock.monotonic() - began - fault.at_s)
            if clock.monotonic() - began > plan.scale.span_s * _OVERTIME:
                mischief.leave_out(fault)
            else:
                going_on.create_task(mischief.happen(fault), name=f"fault {fault.number}: {fault.kind}")
    await _make_up_for(mischief, plan, watch)


async def _make_up_for(mischief: Mischief, plan: Plan, watch: Watch) -> None:
    """Make each wanted kind of fault that has not happened happen, to the first session that is there for it."""
    for kind in sorted(set(plan.scale.wanted) - {fault.kind for fault in mischief.done}):
        fault = next(fault for fault in plan.faults if fault.kind is kind)
        for key in plan.sessions if kind in OF_ONE_SESSION else (None,):
            with suppress(TimeoutError):
                await eventually(lambda: not watch.down(), within_s=_RECOVER_S)
            await mischief.happen(replace(fault, key=key))
            if kind in {fault.kind for fault in mischief.done}:
                break
