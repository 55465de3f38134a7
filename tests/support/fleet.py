"""Stand-ins for the supervisor's ports: a registry in memory, and a host whose session actors are objects."""

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence

from actors.core.lifecycle import STATUS_OF, State
from actors.errors import Unavailable
from actors.messages.base import encode
from actors.messages.commands import (
    Command,
    SessionLogout,
    SessionPause,
    SessionResume,
    SessionStatusQuery,
    SessionStop,
)
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.messages.replies import ErrorBody, QueueReply, Reply, SessionStatus, Waiting
from actors.ports import Clock, Died, Ended, FleetPorts, Heartbeat, Revised, SessionPorts, SessionSpec
from tests.support.memory import MemoryEvents, MemoryLease, Store

_OWNERS = itertools.count(1)


class MemoryRegistry(Store):
    """Desired sessions with revisions, and statuses."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[SessionKey, Revised[DesiredSession]] = {}
        self.statuses: dict[SessionKey, SessionStatus] = {}
        self.overtaken = 0
        """Compare-and-sets that somebody else will win."""
        self._revision = itertools.count(1)

    async def desired(self, key: SessionKey) -> Revised[DesiredSession] | None:
        self.reach("desired")
        return self.stored.get(key)

    async def put_desired(self, desired: DesiredSession, revision: int | None) -> int | None:
        self.reach("put_desired")
        if self.overtaken:
            self.overtaken -= 1
            return None
        key = SessionKey(desired.tenant_id, desired.session_id)
        found = self.stored.get(key)
        if (found.revision if found else None) != revision:
            return None
        # What is read back is what went over the wire: times have milliseconds there.
        kept = DesiredSession.model_validate_json(encode(desired))
        self.stored[key] = Revised(kept, next(self._revision))
        return self.stored[key].revision

    async def all_desired(self) -> Sequence[DesiredSession]:
        self.reach("all_desired")
        return [each.value for each in self.stored.values()]

    async def status(self, key: SessionKey) -> SessionStatus | None:
        self.reach("status")
        return self.statuses.get(key)

    async def all_statuses(self) -> Sequence[SessionStatus]:
        self.reach("all_statuses")
        return list(self.statuses.values())

    async def put_status(self, status: SessionStatus) -> None:
        self.reach("put_status")
        self.statuses[SessionKey(status.tenant_id, status.session_id)] = status


class FakeSession:
    """A session actor that does what it is told, or what a test tells it."""

    def __init__(self, spec: SessionSpec, clock: Clock, registry: MemoryRegistry) -> None:
        self.spec = spec
        self.state = "ready" if spec.desired.target == "running" else "logged_out"
        self.owner_id = f"owner-{next(_OWNERS)}"
        self.paused = spec.desired.paused
        self.silent = False
        self.stubborn = False
        """It hears an order to end, and goes on."""
        self.unkillable = False
        self.asked: list[str] = []
        self._clock = clock
        self._registry = registry
        self._fate: asyncio.Future[Ended | Died] = asyncio.get_running_loop().create_future()

    @property
    def alive(self) -> bool:
        return not self._fate.done()

    def end(self, state: str, reason: str | None = None) -> None:
        """End by itself, with a last status."""
        self.state = state
        self._registry.statuses[self.spec.key] = self.status(reason)
        self._fate.set_result(Ended(state, reason))

    def die(self, reason: str = "killed by somebody") -> None:
        """End without a word."""
        if self.alive:
            self._fate.set_result(Died(reason))

    def status(self, reason: str | None = None) -> SessionStatus:
        return SessionStatus(
            tenant_id=self.spec.key.tenant_id,
            session_id=self.spec.key.session_id,
            status=STATUS_OF[State(self.state)],
            state=self.state,
            reason=reason,
            since=self._clock.now(),
            epoch=1,
            paused=self.paused,
        )

    async def heartbeat(self, timeout_s: float) -> Heartbeat | None:
        if self.silent:
            await self._clock.sleep(timeout_s)
            return None
        return Heartbeat(self.state, 1, "node", 1, self.owner_id)

    async def ask(self, command: Command, timeout_s: float) -> Reply | ErrorBody:
        if not isinstance(command, SessionStatusQuery):
            self.asked.append(command.name)
        if not self.alive:
            raise Unavailable("the actor is not there")
        if self.silent:
            await self._clock.sleep(timeout_s)
            raise Unavailable("no answer")
        match command:
            case SessionStop() if not self.stubborn:
                self.end("stopped", "stopped")
            case SessionLogout() if not self.stubborn:
                self.end("logged_out", "logout")
            case SessionPause() | SessionResume():
                self.paused = isinstance(command, SessionPause)
                return QueueReply(waiting=Waiting(), active=0, paused=self.paused)
        return self.status()

    async def drain(self, timeout_s: float) -> None:
        self.asked.append("drain")
        if self.stubborn:
            await self._clock.sleep(timeout_s)
            raise Unavailable("no answer")
        self.end("stopped", "drained")

    async def wait_ended(self) -> Ended | Died:
        return await asyncio.shield(self._fate)

    async def kill(self, timeout_s: float) -> None:
        if self.unkillable:
            raise Unavailable("its process is still there")
        self.die("killed")


class FakeHost:
    """Where fake sessions live. They outlive a supervisor, as actors do."""

    def __init__(self, clock: Clock, registry: MemoryRegistry, *, slots: int = 100) -> None:
        self.slots = slots
        self.slots_requested: list[int] = []
        self.created: list[FakeSession] = []
        self.plan: deque[str] = deque()
        """Of the next creations: "ok", "fails" (cleanly) or "breaks" (with a bug)."""
        self.down = False
        self.draining: set[SessionKey] = set()
        """Sessions whose node is about to end."""
        self._clock = clock
        self._registry = registry
        self._living: dict[SessionKey, FakeSession] = {}

    def session(self, session_id: str) -> FakeSession:
        """The newest actor of a session."""
        return next(each for each in reversed(self.created) if each.spec.key.session_id == session_id)

    def count(self, session_id: str) -> int:
        """How many actors a session has had."""
        return sum(each.spec.key.session_id == session_id for each in self.created)

    async def create(self, spec: SessionSpec) -> FakeSession | None:
        if (found := await self.find(spec.key)) is not None:
            return found
        step = self.plan.popleft() if self.plan else "ok"
        if step == "fails":
            raise Unavailable("the actor did not come up")
        if step == "breaks":
            raise KeyError("a bug")
        if len(await self.living()) >= self.slots:
            return None
        session = FakeSession(spec, self._clock, self._registry)
        self.created.append(session)
        self._living[spec.key] = session
        return session

    async def find(self, key: SessionKey) -> FakeSession | None:
        found = self._living.get(key)
        return found if found and found.alive else None

    async def living(self) -> Sequence[SessionKey]:
        if self.down:
            raise Unavailable("the host does not answer")
        return [key for key, session in self._living.items() if session.alive]

    async def nodes(self) -> int:
        return 1

    async def leaving(self) -> frozenset[SessionKey]:
        if self.down:
            raise Unavailable("the host does not answer")
        return frozenset(self.draining)

    async def request_slots(self, wanted: int) -> None:
        self.slots_requested.append(wanted)


class FleetFactory:
    """Connects the supervisor to the stand-ins; `refusals` times it can't."""

    def __init__(self, clock: Clock, registry: MemoryRegistry, lease: MemoryLease) -> None:
        self.clock = clock
        self.registry = registry
        self.lease = lease
        self.events = MemoryEvents()
        self.refusals = 0
        self.closed = 0

    async def connect(self, spec: SessionSpec) -> SessionPorts:
        raise AssertionError("fake sessions have no ports")

    async def connect_fleet(self) -> FleetPorts:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("NATS is away")
        return FleetPorts(self.clock, self.registry, self.lease, self.events, self._close)

    async def _close(self) -> None:
        self.closed += 1
