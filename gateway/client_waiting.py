"""Waiting for a session to come into a state: status first, then events, and now and then the status again.

A final state is believed when it lasts: right after a ``session.start`` the status may still be the old one.
Imports messages and errors only.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from actors.errors import AccountRestricted, ReconnectExhausted, SessionNotReady, WafleetError
from actors.messages.events import Event, SessionEvent
from actors.messages.replies import SessionStatus
from gateway.client_events import EventStream

_LOOK_EVERY_S: Final = 2.0
_SETTLE_S: Final = 3.0
_FINAL: Final = frozenset({"stopped", "logged_out", "failed", "blocked"})
_TOLD: Final = frozenset({"status", "state", "reason", "phone_number", "wid", "reconnect_attempt"})


async def wait_until(
    ask: Callable[[str], Awaitable[SessionStatus]],
    stream: EventStream,
    session_id: str,
    wanted: str,
    timeout_s: float,
) -> SessionStatus:
    """Wait until a session's state or status is the one wanted.

    Args:
        ask: Returns the status of a session.
        stream: Its events.
        session_id: The session.
        wanted: A state or a status.
        timeout_s: How long it may take.

    Raises:
        WafleetError: The session ended in a state that it does not leave by itself.
        TimeoutError: It did not come to that in time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    final_since: float | None = None
    async with stream:
        status = await ask(session_id)
        while wanted not in {status.state, status.status}:
            now = loop.time()
            if now >= deadline:
                msg = f"session {session_id!r} is {status.state}, not {wanted}, after {timeout_s:g} s"
                raise TimeoutError(msg)
            final_since = (final_since or now) if status.state in _FINAL else None
            if final_since is not None and now - final_since >= _SETTLE_S:
                raise _ended(status)
            event = await _next(stream, min(_LOOK_EVERY_S, deadline - now))
            status = await ask(session_id) if event is None else _after(status, event)
    return status


async def _next(stream: EventStream, timeout_s: float) -> Event | None:
    try:
        async with asyncio.timeout(timeout_s):
            return await anext(stream)
    except TimeoutError:
        return None


def _after(status: SessionStatus, event: Event) -> SessionStatus:
    """Bring a status up to what an event tells."""
    if not isinstance(event, SessionEvent):
        return status
    return status.model_copy(update={**event.data.model_dump(include=set(_TOLD)), "since": event.time})


def _ended(status: SessionStatus) -> WafleetError:
    if status.state == "failed":
        return ReconnectExhausted.after(status.reason)
    if status.state == "blocked":
        return AccountRestricted("WhatsApp restricted this account; see the phone", {"reason": status.reason})
    return SessionNotReady.in_state(status.state)
