"""What people order of the supervisor: start, stop, restart, logout, pause, resume.

An order is a compare-and-set of the ``DesiredSession``, then a word to the living actor where there is one; all the
rest is the reconciliation's. Every order may be given again: the same one twice changes nothing more (Ray repeats calls
to a supervisor that it restarted). Imports core, messages and ports only.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from actors.core.fleet import FleetCore
from actors.core.fleet_actions import Phase, Wish
from actors.core.lifecycle import State, logged_out_by_order
from actors.errors import Unavailable, UnknownSession, Unsupported
from actors.messages.commands import (
    Command,
    SessionLogout,
    SessionPause,
    SessionRestart,
    SessionResume,
    SessionStart,
    SessionStop,
)
from actors.messages.ids import SessionKey
from actors.messages.records import ENDED_STATES, DesiredSession
from actors.messages.replies import ErrorBody, Reply, SessionStatus
from actors.ports import Clock, Registry, Revised, SessionHandle
from actors.status_desk import StatusDesk, begun_anew

_TRIES: Final = 20
"""Of a compare-and-set that somebody else won."""
_ASK_TIMEOUT_S: Final = 10.0
LOGOUT_TIMEOUT_S: Final = 25.0
"""A logout is a talk with WhatsApp's server."""
_KEPT_BY_A_STOP: Final = frozenset({State.STOPPED.value, State.LOGGED_OUT.value, State.BLOCKED.value})
"""Final states that a stop does not paint over: they say what became of the account."""

_log: Final = logging.getLogger("wafleet.supervisor")


class Orders:
    """Carries orders out."""

    def __init__(
        self,
        core: FleetCore,
        handles: Mapping[SessionKey, SessionHandle],
        registry: Registry,
        clock: Clock,
        on_written: Callable[[], None],
    ) -> None:
        """Begin to take orders.

        Args:
            core: What the supervisor knows of the fleet.
            handles: The living actors.
            registry: Where desired sessions are kept.
            clock: Own time.
            on_written: Called when an order was stored: the registry shows it, the next step acts on it.
        """
        self._core = core
        self._handles = handles
        self._registry = registry
        self._clock = clock
        self._on_written = on_written
        self._desk = StatusDesk(registry, clock)

    async def carry_out(self, key: SessionKey, command: Command) -> Reply | ErrorBody:
        """Carry one order out.

        Returns:
            The actor's answer where one lives, else the status object.

        Raises:
            UnknownSession: It was never started.
            Unsupported: The command is not the supervisor's.
            Unavailable: The registry did not answer.
        """
        match command:
            case SessionStart():
                return await self._start(key, command)
            case SessionStop():
                return await self._stop(key)
            case SessionRestart():
                return await self._restart(key)
            case SessionLogout():
                return await self._log_out(key)
            case SessionPause() | SessionResume():
                return await self._pause(key, command)
            case _:
                raise Unsupported(f"{command.name} is no order to the supervisor", {"command": command.name})

    async def _start(self, key: SessionKey, command: SessionStart) -> Reply | ErrorBody:
        chosen: dict[str, Any] = {name: getattr(command, name) for name in command.model_fields_set}
        for _ in range(_TRIES):
            found = await self._registry.desired(key)
            if found and found.value.target == "running" and not self._core.needs_order(key):
                status = await self._desk.read(key)
                if not self._is_over(key, found.value, status):
                    return status
                # Its process still has to end; what is ordered now is another life.
                self._core.ending(key, Wish.STOP, found.value.revision_of_start, self._clock.monotonic())
            desired = await self._write(key, found, {**chosen, "target": "running"}, new_life=True)
            if desired is not None:
                return await self._beginning(key, desired)
        raise _contended(key)

    async def _restart(self, key: SessionKey) -> Reply | ErrorBody:
        found = await self._known(key)
        if found.value.target == "running" and not self._core.needs_order(key):
            status = await self._desk.read(key)
            handle = self._living(key)
            if handle is None:
                return status
            if not self._is_over(key, found.value, status):
                reply = await handle.ask(SessionRestart(), _ASK_TIMEOUT_S)
                if not (isinstance(reply, SessionStatus) and reply.state in ENDED_STATES):
                    return reply
            if self._living(key) is handle:
                # It has said its last word, or is about to: nothing restarts there, what is ordered is another life.
                self._core.ending(key, Wish.STOP, found.value.revision_of_start, self._clock.monotonic())
        return await self._beginning(key, await self._change(key, {"target": "running"}, new_life=True))

    async def _stop(self, key: SessionKey) -> Reply | ErrorBody:
        desired = await self._change(key, {"target": "stopped"})
        if (handle := self._living(key)) is not None:
            self._core.ending(key, Wish.STOP, desired.revision_of_start, self._clock.monotonic())
            return await self._ask_or_status(key, handle, SessionStop(), _ASK_TIMEOUT_S)
        status = await self._desk.read(key)
        if self._core.has_actor(key) or status.state in _KEPT_BY_A_STOP:
            return status
        return await self._desk.announce(key, State.STOPPED, None)

    async def _log_out(self, key: SessionKey) -> Reply | ErrorBody:
        found = await self._known(key)
        status = await self._desk.read(key)
        done = logged_out_by_order(status.state, status.reason)
        if found.value.target == "logged_out" and (self._core.has_actor(key) or done):
            return status
        # Without an actor it takes a life of its own to put the profile aside and to cancel the queue.
        desired = await self._change(key, {"target": "logged_out"}, new_life=True)
        if (handle := self._living(key)) is not None:
            self._core.ending(key, Wish.LOG_OUT, desired.revision_of_start, self._clock.monotonic())
            return await self._ask_or_status(key, handle, SessionLogout(), LOGOUT_TIMEOUT_S)
        return status

    async def _pause(self, key: SessionKey, command: SessionPause | SessionResume) -> Reply | ErrorBody:
        paused = isinstance(command, SessionPause)
        await self._change(key, {"paused": paused})
        if (handle := self._living(key)) is not None:
            return await handle.ask(command, _ASK_TIMEOUT_S)
        return await self._desk.pause(key, paused=paused)

    async def _beginning(self, key: SessionKey, desired: DesiredSession) -> SessionStatus:
        """Announce a new life; while the old one is still ending, its actor writes the status."""
        if self._core.phase(key) in {Phase.PENDING, Phase.CREATING}:
            return await self._desk.announce(key, State.STARTING, None, desired)
        status = await self._desk.read(key)
        return begun_anew(status, desired) if desired.outdates(status) else status

    async def _ask_or_status(
        self, key: SessionKey, handle: SessionHandle, command: Command, timeout_s: float
    ) -> Reply | ErrorBody:
        """Tell an actor to end. The order stands even if it does not answer: past its deadline it is killed."""
        try:
            return await handle.ask(command, timeout_s)
        except Unavailable as error:
            _log.warning("[Session:%s] %s was not answered: %s", key, command.name, error)
            return await self._desk.read(key)

    def _is_over(self, key: SessionKey, desired: DesiredSession, status: SessionStatus) -> bool:
        """Tell whether a session that counts as living has said its last word already."""
        return self._living(key) is not None and status.state in ENDED_STATES and not desired.outdates(status)

    def _living(self, key: SessionKey) -> SessionHandle | None:
        return self._handles.get(key) if self._core.phase(key) is Phase.LIVING else None

    async def _known(self, key: SessionKey) -> Revised[DesiredSession]:
        found = await self._registry.desired(key)
        if found is None:
            raise UnknownSession.named(key.session_id)
        return found

    async def _change(self, key: SessionKey, change: dict[str, Any], *, new_life: bool = False) -> DesiredSession:
        """Change a known session's order; what is so already stays untouched."""
        for _ in range(_TRIES):
            found = await self._known(key)
            if not new_life and all(getattr(found.value, name) == value for name, value in change.items()):
                return found.value
            if (written := await self._write(key, found, change, new_life=new_life)) is not None:
                return written
        raise _contended(key)

    async def _write(
        self, key: SessionKey, found: Revised[DesiredSession] | None, change: dict[str, Any], *, new_life: bool
    ) -> DesiredSession | None:
        old = found.value if found else self._unknown_yet(key)
        now = self._clock.now()
        written = old.model_copy(
            update={
                **change,
                "revision_of_start": old.revision_of_start + int(new_life),
                "started_at": now if new_life else old.started_at,
                "changed_at": now,
            }
        )
        if await self._registry.put_desired(written, found.revision if found else None) is None:
            return None
        # Nothing is awaited between these: no reconciliation may see the one without the other.
        self._on_written()
        if new_life:
            self._core.ordered(key, self._clock.monotonic())
        return written

    def _unknown_yet(self, key: SessionKey) -> DesiredSession:
        return DesiredSession(
            tenant_id=key.tenant_id, session_id=key.session_id, target="running", changed_at=self._clock.now()
        )


def _contended(key: SessionKey) -> Unavailable:
    return Unavailable(f"the order for session {key.session_id!r} was overtaken {_TRIES} times; try again")
