"""How a session looks from outside: its status, and the data of the events that tell of its changes.

Reads the core, adds what the core does not know (node, epoch, wall-clock moments). Changes nothing.
"""

from datetime import datetime, timedelta

from actors.core import signals
from actors.core.lifecycle import STATUS_OF, State
from actors.core.session import SessionCore
from actors.messages.events import CodeData, EventData, QrData, SessionData
from actors.messages.ids import SessionKey
from actors.messages.replies import SessionStatus


class SessionView:
    """The outside of one session."""

    def __init__(self, key: SessionKey, core: SessionCore, *, node: str, since: datetime) -> None:
        self._key = key
        self._core = core
        self.node = node
        self.epoch = 0
        self.since = since
        """When the state began."""
        self.last_activity: datetime | None = None
        """When a message last went out or was acknowledged, under this owner or a former one."""

    @property
    def state(self) -> State:
        """The state as users see it: who waits for its lease is starting, though the machine has not begun."""
        core = self._core
        return State.STARTING if core.state is State.STOPPED and not core.ended else core.state

    def status(self) -> SessionStatus:
        """Describe the session as it is now."""
        core = self._core
        return SessionStatus(
            tenant_id=self._key.tenant_id,
            session_id=self._key.session_id,
            status=STATUS_OF[self.state],
            state=self.state,
            phone_number=core.phone_number,
            wid=core.wid,
            reconnect_attempt=core.reconnect_attempt,
            last_activity=self.last_activity,
            since=self.since,
            reason=core.reason,
            epoch=self.epoch,
            node=self.node,
            paused=core.dispatcher.paused,
        )

    def change(self, state: State, previous: State, reason: str | None, retry_in_s: float | None = None) -> SessionData:
        """Describe a change of state; the core may be further already."""
        core = self._core
        return SessionData(
            status=STATUS_OF[state],
            state=state,
            previous_state=previous,
            reason=reason,
            phone_number=core.phone_number,
            wid=core.wid,
            reconnect_attempt=core.reconnect_attempt,
            retry_in_ms=None if retry_in_s is None else round(retry_in_s * 1000),
        )

    def event(
        self, effect: signals.Announce | signals.AnnounceQr | signals.AnnounceCode, now: datetime
    ) -> tuple[str, EventData]:
        """Return name and data of the event an effect asks for."""
        match effect:
            case signals.Announce(event, state, previous, reason, retry_in_s):
                return event, self.change(state, previous, reason, retry_in_s)
            case signals.AnnounceQr(qr, sequence, ttl_s):
                return "session.qr", QrData(qr=qr, sequence=sequence, expires_at=now + timedelta(seconds=ttl_s))
            case signals.AnnounceCode(code, phone_number, ttl_s):
                expires_at = now + timedelta(seconds=ttl_s)
                return "session.code", CodeData(code=code, phone_number=phone_number, expires_at=expires_at)
