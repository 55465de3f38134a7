"""An owner that dies at a chosen step: every call of a port is two steps, before it has its effect and after.

What the process was about to do next never happens; whatever else of it still runs reaches nothing any more. So a test
may let an owner die at every step there is, one after the other.
"""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, cast

from actors.errors import BrowserGone, Unavailable
from actors.ports import FleetPorts, SessionPorts, SessionSpec
from tests.support.fakes import FakePage, FakePorts

_STEPS: Final = frozenset({
    "get", "create", "update", "publish", "delete", "read", "prepare", "resolve", "send", "lookup", "reload", "discard",
})  # fmt: skip
"""What stands between a job and its outcome. Leases, statuses and browsers have tests of their own."""
_OF_PAGES: Final = frozenset({"open", "close", "reload", "prepare", "resolve", "send", "lookup", "discard", "probe"})


class Life:
    """Counts the steps of one owner and ends it at one of them."""

    def __init__(self, dies_at: int | None) -> None:
        self.dies_at = dies_at
        self.steps = 0
        self.dead = False
        self.last = ""
        """The step it died at."""
        self._buried = asyncio.Event()

    async def step(self, name: str) -> None:
        """Make one step, or die of it."""
        await self.alive(name)
        self.steps += 1
        if self.steps == self.dies_at:
            self.dead, self.last = True, name
            await self.alive(name)

    async def alive(self, name: str) -> None:
        """Return while it lives; what a dead owner asks for gets no answer."""
        if self.dead:
            await self._buried.wait()
            # What pages raise when they are gone, and stores when they do not answer.
            error = BrowserGone if name.rsplit(maxsplit=1)[-1] in _OF_PAGES else Unavailable
            raise error(f"{name}: this owner is dead")

    def bury(self) -> None:
        """Let what still waits for answers end, so that its remains can be cleared away."""
        self.dead = True
        self._buried.set()


class _Mortal:
    """A port through which a life reaches the world."""

    def __init__(self, port: object, life: Life) -> None:
        self._port = port
        self._life = life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        return self._mortal(name, found) if inspect.iscoroutinefunction(found) else found

    def _mortal(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        async def step_and_call(*args: Any, **kwargs: Any) -> Any:
            if name not in _STEPS:
                await self._life.alive(name)
                result = await call(*args, **kwargs)
                return _Mortal(result, self._life) if isinstance(result, FakePage) else result
            await self._life.step(f"before {name}")
            result = await call(*args, **kwargs)
            await self._life.step(f"after {name}")
            return result

        return step_and_call


class MortalPorts:
    """The ports of an owner with a given life; what they lead to outlives it."""

    def __init__(self, ports: FakePorts, life: Life) -> None:
        self._ports = ports
        self._life = life

    async def connect(self, spec: SessionSpec) -> SessionPorts:
        ports = await self._ports.connect(spec)
        mortal = {
            name: cast("Any", _Mortal(getattr(ports, name), self._life))
            for name in ("browser", "jobs", "records", "events", "status", "lease", "heads", "profile", "snapshots")
        }
        return replace(ports, **mortal)

    async def connect_fleet(self) -> FleetPorts:
        raise Unavailable("these are the ports of one session")
