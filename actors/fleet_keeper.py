"""Carries out what ``FleetCore`` decides: creates, adopts, listens to, ends and kills session actors.

One step never waits for an actor: each action is a task of its own that reports a fact back and nudges the next step.
A part that fails is logged with the session's id and becomes a fact too; the step goes on. Imports core and ports.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeVar

from actors.config import LeaseConfig, SessionConfig
from actors.core.deaths import DeathRegister
from actors.core.fleet import COMES_BACK, FleetCore
from actors.core.fleet_actions import (
    WITH_ACTOR,
    Action,
    Adopt,
    Announce,
    Beat,
    End,
    Kill,
    Observed,
    Phase,
    Start,
    Wish,
)
from actors.core.lifecycle import State
from actors.deadlines import within
from actors.errors import Unavailable
from actors.messages.commands import SessionLogout, SessionPause, SessionResume, SessionStatusQuery, SessionStop
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.messages.replies import SessionStatus
from actors.ports import Clock, Died, Ended, EventPublisher, Registry, SessionHandle, SessionHost, SessionSpec
from actors.status_desk import StatusDesk, failure_event

T = TypeVar("T")
_LIST_EVERY_S: Final = 30.0
"""How often the host is asked for its nodes, and for actors that nobody here knows of."""
_LEAVING_EVERY_S: Final = 1.0
"""How often the host is asked for sessions on nodes that are being drained; they shall live elsewhere within 10 s."""
_ASK_TIMEOUT_S: Final = 10.0
_KILL_TIMEOUT_S: Final = 15.0
_TELL_AGAIN_S: Final = 1.0
_NOTHING: Final[Mapping[SessionKey, DesiredSession]] = MappingProxyType({})

_log: Final = logging.getLogger("wafleet.supervisor")


class FleetKeeper:
    """The hands of the supervisor."""

    def __init__(
        self,
        core: FleetCore,
        host: SessionHost,
        registry: Registry,
        *,
        events: EventPublisher,
        clock: Clock,
        session_config: SessionConfig,
        lease_config: LeaseConfig,
        heartbeat_timeout_s: float,
        may_act: Callable[[], bool],
    ) -> None:
        """Prepare.

        Args:
            core: What is known and decided.
            host: Where session actors live.
            registry: What is desired, and the statuses.
            events: Where it is told that a session failed.
            clock: Own time.
            session_config: What sessions are made with.
            lease_config: Times of the sessions' leases.
            heartbeat_timeout_s: When a heartbeat counts as missed.
            may_act: Whether the supervisor's lease is held.
        """
        self._core = core
        self._host = host
        self._registry = registry
        self._events = events
        self._clock = clock
        self._session_config = session_config
        self._lease_config = lease_config
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._may_act = may_act
        self._desk = StatusDesk(registry, clock)
        self._deaths = DeathRegister()
        self._tasks: set[asyncio.Task[None]] = set()
        self._list_at = clock.monotonic()
        self._nodes = 1
        self._slots_requested = -1
        self._telling: set[SessionKey] = set()
        """Sessions whose failure is being told."""
        self._shut_down: set[SessionKey] = set()
        """Sessions that were asked to end with the fleet, and had nothing else to say at their end."""
        self._leaving: dict[SessionKey, SessionHandle] = {}
        """Actors on nodes that are being drained."""
        self.handles: dict[SessionKey, SessionHandle] = {}
        """The living actors."""
        self.nudge = asyncio.Event()
        """Set when a step has something to do."""

    def look_again(self) -> None:
        """Ask the host for all actors in the next step: another supervisor may have acted meanwhile."""
        self._list_at = self._clock.monotonic()

    async def step(self) -> None:
        """Reconcile once. Raises ``Unavailable`` if registry or host do not answer; then nothing was done."""
        now = self._clock.monotonic()
        living: Sequence[SessionKey] = ()
        if now >= self._list_at:
            living, self._nodes = await self._host.living(), await self._host.nodes()
            self._list_at = now + _LIST_EVERY_S
        desired = await self._desired()
        statuses = {SessionKey(each.tenant_id, each.session_id): each for each in await self._registry.all_statuses()}
        if not self._may_act():
            return
        # By actor, not by name: the next actor of that name lives on another node.
        leaving = [key for key, handle in self._leaving.items() if self.handles.get(key) is handle]
        observed = Observed(statuses, living, self._nodes, leaving)
        self._deaths.keep_only(desired)
        self._carry_out(self._core.reconcile(desired.values(), observed, self._clock.monotonic()), desired)
        self._ask_for_slots()

    async def watch_nodes(self) -> None:
        """Look for nodes that are about to end, for ever. Apart from the steps: the host may be slow to answer."""
        while True:
            handles = dict(self.handles)
            keys = await self._attempt(None, self._host.leaving(), frozenset())
            leaving = {key: handles[key] for key in keys if key in handles}
            if more := leaving.keys() - self._leaving.keys():
                _log.info("[Supervisor] %d sessions have to leave their node", len(more))
                self._list_at = self._clock.monotonic()
                self.nudge.set()
            self._leaving = leaving
            await self._clock.sleep(_LEAVING_EVERY_S)

    async def drain(self, within_s: float) -> None:
        """End all sessions in order, kill those that don't, and note that it was nobody's wish."""
        desired = await self._desired()
        try:
            await within(self._clock, within_s, self._end_all())
        except TimeoutError:
            await asyncio.gather(*(self._kill(key) for key in list(self.handles)))
        for key in self._shut_down:
            if key in desired and desired[key].target == "running":
                await self._desk.announce(key, State.STOPPED, "shutdown")

    async def close(self) -> None:
        """End the tasks; the actors live on."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _desired(self) -> dict[SessionKey, DesiredSession]:
        return {SessionKey(each.tenant_id, each.session_id): each for each in await self._registry.all_desired()}

    def _ask_for_slots(self) -> None:
        wanted = self._core.slots_wanted()
        if wanted != self._slots_requested:
            self._slots_requested = wanted
            self._do(None, self._host.request_slots(wanted))

    def _carry_out(self, actions: Sequence[Action], desired: Mapping[SessionKey, DesiredSession] = _NOTHING) -> None:
        for action in actions:
            match action:
                case Start(key, wanted):
                    work = self._create(key, wanted)
                case Adopt(key):
                    work = self._adopt(key, desired.get(key))
                case Beat(key):
                    work = self._beat(key)
                case End(key, wish):
                    work = self._end(key, wish)
                case Kill(key):
                    work = self._kill(key)
                case Announce(key, state, reason):
                    _log.info("[Session:%s] %s (%s)", key, state, reason)
                    work = self._announce(action)
            self._do(key, work)

    def _do(self, key: SessionKey | None, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._attempt(key, work, None))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attempt(self, key: SessionKey | None, work: Coroutine[Any, Any, T], otherwise: T) -> T:
        """Do one part of the work; if it fails, say so and go on with the others."""
        try:
            return await work
        except Unavailable as error:
            _log.warning("[Session:%s] %s", key or "*", error)
        except Exception:  # noqa: BLE001 - one session's error must not reach the others
            _log.exception("[Session:%s] the supervisor's work on it failed", key or "*")
        return otherwise

    async def _end_all(self) -> None:
        while phases := {key: phase for key, phase in self._core.phases().items() if phase in WITH_ACTOR}:
            self.nudge.clear()
            for key in (key for key, phase in phases.items() if phase is Phase.LIVING):
                self._shut_down.add(key)
                self._core.ending(key, Wish.STOP, 0, self._clock.monotonic())
                self._do(key, self._end(key, Wish.STOP))
            await self.nudge.wait()

    # --- actions --------------------------------------------------------------------------------------------------

    async def _create(self, key: SessionKey, desired: DesiredSession) -> None:
        spec = SessionSpec(desired, self._session_config, self._lease_config, self._deaths.dead_owners(key))
        made = await self._attempt(key, self._host.create(spec), Died("start_failed"))
        now = self._clock.monotonic()
        if isinstance(made, Died):
            self._carry_out(self._core.died(key, made.reason, now))
        elif made is None:
            self._core.no_slot(key, now)
        else:
            self._core.started(key, now)
            self._watch(key, made)
            self._do(key, self._meet(key, made))
            self._do(key, self._catch_up(key, made))
        self.nudge.set()

    async def _adopt(self, key: SessionKey, desired: DesiredSession | None) -> None:
        handle = await self._attempt(key, self._host.find(key), None)
        if handle is None:
            self._core.lost(key)
            self.look_again()
        else:
            self.handles[key] = handle
            state = await self._state(key, handle)
            _log.info("[Session:%s] adopted, %s", key, state or "silent")
            last = await self._attempt(key, self._registry.status(key), None)
            self._core.adopted(key, desired, state, self._clock.monotonic(), last=last)
            self._watch(key, handle)
            self._do(key, self._catch_up(key, handle))
        self.nudge.set()

    async def _catch_up(self, key: SessionKey, handle: SessionHandle) -> None:
        """Pause or resume an actor as it was ordered while it could not be told, being created or adopted."""
        paused: bool | None = None
        while self.handles.get(key) is handle:
            try:
                if paused is None and isinstance(
                    status := await handle.ask(SessionStatusQuery(), _ASK_TIMEOUT_S), SessionStatus
                ):
                    paused = status.paused
                found = await self._registry.desired(key)
                if found is None or found.value.paused == paused:
                    return
                # Looked at once more after that: another order may have overtaken this word.
                paused = found.value.paused
                await handle.ask(SessionPause() if paused else SessionResume(), _ASK_TIMEOUT_S)
            except Unavailable as error:
                _log.warning("[Session:%s] not told yet whether it is paused: %s", key, error)
                paused = None
                await self._clock.sleep(_TELL_AGAIN_S)

    def _watch(self, key: SessionKey, handle: SessionHandle) -> None:
        self.handles[key] = handle
        self._do(key, self._wait_ended(key, handle))

    async def _wait_ended(self, key: SessionKey, handle: SessionHandle) -> None:
        self._bury(key, handle, await self._attempt(key, handle.wait_ended(), Died("unknown")))

    def _bury(self, key: SessionKey, handle: SessionHandle, fate: Ended | Died) -> None:
        """Report the end of an actor, once: its watcher and a kill may both bring the news."""
        if self.handles.get(key) is not handle:
            return
        del self.handles[key]
        self._deaths.ended(key)
        now = self._clock.monotonic()
        if isinstance(fate, Ended):
            _log.info("[Session:%s] ended: %s (%s)", key, fate.state, fate.reason)
            if fate.reason not in COMES_BACK:
                self._shut_down.discard(key)
            self._carry_out(self._core.ended(key, fate.state, fate.reason, now))
        else:
            _log.error("[Session:%s] its actor died: %s", key, fate.reason)
            self._carry_out(self._core.died(key, "actor_died", now))
        self.nudge.set()

    async def _state(self, key: SessionKey, handle: SessionHandle) -> str | None:
        heartbeat = await self._attempt(key, handle.heartbeat(self._heartbeat_timeout_s), None)
        if heartbeat is None:
            return None
        if self.handles.get(key) is handle:
            self._deaths.alive(key, heartbeat.owner_id, holds_lease=heartbeat.epoch > 0)
        # No epoch yet: it waits for its lease, maybe long, and starts no browser meanwhile.
        return heartbeat.state if heartbeat.epoch else "waiting"

    async def _meet(self, key: SessionKey, handle: SessionHandle) -> None:
        """Learn who a new owner is: it may die before its first heartbeat is due, and its id proves its death."""
        await self._state(key, handle)

    async def _beat(self, key: SessionKey) -> None:
        if (handle := self.handles.get(key)) is not None:
            state = await self._state(key, handle)
            self._carry_out(self._core.beat(key, state, self._clock.monotonic()))
            self.nudge.set()

    async def _end(self, key: SessionKey, wish: Wish) -> None:
        if (handle := self.handles.get(key)) is None:
            return
        if wish is Wish.MOVE:
            await handle.drain(self._session_config.draining_timeout_s + _ASK_TIMEOUT_S)
        else:
            await handle.ask(SessionLogout() if wish is Wish.LOG_OUT else SessionStop(), _ASK_TIMEOUT_S)

    async def _kill(self, key: SessionKey) -> None:
        if (handle := self.handles.get(key)) is None:
            return
        _log.error("[Session:%s] does not answer or does not end; killing its actor", key)
        if await self._attempt(key, _killed(handle), otherwise=False):
            self._bury(key, handle, Died("killed by the supervisor"))
        else:
            self._core.kill_failed(key, self._clock.monotonic())

    async def _announce(self, action: Announce) -> None:
        if action.state is State.FAILED:
            if action.key not in self._telling:
                self._telling.add(action.key)
                try:
                    await self._announce_failure(action)
                finally:
                    self._telling.discard(action.key)
        elif self._may_act():
            await self._desk.announce(action.key, action.state, action.reason)

    async def _announce_failure(self, action: Announce) -> None:
        """Tell it until it is heard, or no longer so: nobody else is left who could."""
        previous = None
        while self._core.phase(action.key) is Phase.ENDED:
            try:
                if self._may_act():
                    previous = previous or await self._desk.read(action.key)
                    status = await self._desk.announce(action.key, action.state, action.reason)
                    await self._events.publish(failure_event(previous, status, self._clock.now()))
                    return
            except Unavailable as error:
                _log.warning("[Session:%s] its failure could not be told: %s", action.key, error)
            await self._clock.sleep(_TELL_AGAIN_S)


async def _killed(handle: SessionHandle) -> bool:
    await handle.kill(_KILL_TIMEOUT_S)
    return True
