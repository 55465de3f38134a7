"""The supervisor's side of ``wa_status``: statuses written in the place of a session that can't do it itself."""

from datetime import datetime
from typing import Any

from actors.core.lifecycle import STATUS_OF, State
from actors.messages.events import SessionData, SessionEvent
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.messages.replies import SessionStatus
from actors.ports import Clock, Registry


class StatusDesk:
    """Reads last statuses and writes new ones from them."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    async def read(self, key: SessionKey) -> SessionStatus:
        """Return a session's last status; one that never wrote any is stopped."""
        return await self._registry.status(key) or self._blank(key)

    async def announce(
        self, key: SessionKey, state: State, reason: str | None, desired: DesiredSession | None = None
    ) -> SessionStatus:
        """Write a state with its reason, and keep what is known besides.

        Args:
            key: The session.
            state: Its new state.
            reason: Why.
            desired: A new order, whose number and pause are shown at once.
        """
        last = await self.read(key)
        change: dict[str, Any] = {
            "status": STATUS_OF[state],
            "state": state.value,
            "reason": reason,
            "reconnect_attempt": 0,
        }
        if last.state != state:
            change["since"] = self._clock.now()
        if desired is not None:
            change |= {"phone_number": desired.phone_number or last.phone_number, "paused": desired.paused}
        return await self._put(last.model_copy(update=change))

    async def pause(self, key: SessionKey, *, paused: bool) -> SessionStatus:
        """Write whether a session without an actor is paused."""
        last = await self.read(key)
        return await self._put(last.model_copy(update={"paused": paused}))

    async def _put(self, status: SessionStatus) -> SessionStatus:
        await self._registry.put_status(status)
        return status

    def _blank(self, key: SessionKey) -> SessionStatus:
        return SessionStatus(
            tenant_id=key.tenant_id,
            session_id=key.session_id,
            status=STATUS_OF[State.STOPPED],
            state=State.STOPPED.value,
            since=self._clock.now(),
        )


def failure_event(previous: SessionStatus, failed: SessionStatus, now: datetime) -> SessionEvent:
    """Tell that a session failed, in the place of an owner that can't: without ``seq``, under the last epoch.

    Its id is the same however often it is told: a state begins once.
    """
    return SessionEvent(
        id=f"{failed.session_id}.{failed.epoch or 0}.{failed.state}.{int(failed.since.timestamp() * 1000)}",
        event="session.failed",
        tenant_id=failed.tenant_id,
        session_id=failed.session_id,
        time=now,
        epoch=failed.epoch,
        data=SessionData(
            status=failed.status,
            state=failed.state,
            previous_state=previous.state,
            reason=failed.reason,
            phone_number=failed.phone_number,
            wid=failed.wid,
        ),
    )


def begun_anew(status: SessionStatus, desired: DesiredSession) -> SessionStatus:
    """Show a session whose last life has ended and whose next one was ordered, but has not said a word yet."""
    state = State.STARTING
    change = {"state": state.value, "status": STATUS_OF[state], "reason": None, "since": desired.started_at}
    return status.model_copy(update=change)
