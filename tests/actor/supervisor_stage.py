"""The supervisor as a plain object: real decisions, a fake host, a clock that the test moves."""

import asyncio
from typing import Any

from actors.config import LeaseConfig, SessionConfig, SupervisorConfig
from actors.messages.commands import (
    Command,
)
from actors.messages.ids import SessionKey
from actors.messages.replies import ErrorBody, SessionStatus
from actors.supervisor import Supervisor
from tests.support.fakes import FakeClock, settle
from tests.support.fleet import FakeHost, FleetFactory, MemoryRegistry
from tests.support.memory import MemoryLease


class Stage:
    """A supervisor and its world. A new one on the same world is what Ray makes of a dead one."""

    def __init__(self, *, slots: int = 100, **config: Any) -> None:
        self.clock = FakeClock()
        self.registry = MemoryRegistry()
        self.lease = MemoryLease()
        self.host = FakeHost(self.clock, self.registry, slots=slots)
        self.factory = FleetFactory(self.clock, self.registry, self.lease)
        self.config = SupervisorConfig(**{"start_spacing_s": 0.0, "max_concurrent_starts": 10, **config})
        self._run: asyncio.Task[None] | None = None

    async def supervise(self) -> "Stage":
        self.supervisor = Supervisor(
            self.factory,
            self.host,
            config=self.config,
            session_config=SessionConfig(),
            lease_config=LeaseConfig(),
            seed=1,
        )
        self._run = asyncio.create_task(self.supervisor.run())
        await self.clock.advance(0.2)
        return self

    async def dies(self) -> None:
        """End the supervisor as a killed process ends."""
        if self._run:
            self._run.cancel()
            await asyncio.wait({self._run})
        await settle()

    async def order(self, session_id: str, command: Command) -> Any:
        asking = asyncio.create_task(self.supervisor.ask(SessionKey("acme", session_id), command))
        await self.clock.advance(0.2)
        return await asking

    async def phase(self, session_id: str) -> str | None:
        return (await self.supervisor.observe()).phases.get(SessionKey("acme", session_id))

    def status(self, session_id: str) -> SessionStatus:
        return self.registry.statuses[SessionKey("acme", session_id)]


def code(reply: Any) -> str:
    assert isinstance(reply, ErrorBody)
    return reply.code
