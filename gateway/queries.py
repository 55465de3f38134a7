"""Questions about sessions: from memory and JetStream where these know, from the session's actor where only it knows.

A session without an actor (stopped, failed, waiting for a slot) still answers: no QR, the limits it would have, the
queue as JetStream counts it. Imports the registry and the job log; reaches actors through the ControlPlane port.
"""

import asyncio
from typing import Final

from actors.errors import SessionNotReady, Unavailable, UnknownSession
from actors.messages.commands import (
    Command,
    ContactCheck,
    QueueQuery,
    RateLimitQuery,
    Screenshot,
    SessionQr,
    SessionsList,
    SessionStatusQuery,
)
from actors.messages.ids import SessionKey
from actors.messages.records import ENDED_STATES, DesiredSession
from actors.messages.replies import (
    ErrorBody,
    QrReply,
    QueueReply,
    RateLimitReply,
    Reply,
    SessionList,
    SessionStatus,
    Waiting,
)
from actors.ports import ControlPlane
from actors.status_desk import begun_anew
from gateway.admission import Bound
from gateway.failures import error_of
from gateway.jobs import JobWriter
from gateway.registry import JetStreamRegistry

ASK_TIMEOUT_S: Final = 5.0
PAGE_TIMEOUT_S: Final = 15.0
"""For questions that the session puts to its page, which has 10 s."""


class Queries:
    """Answers what changes nothing."""

    def __init__(self, *, registry: JetStreamRegistry, jobs: JobWriter, control: ControlPlane, asking: Bound) -> None:
        self._registry: Final = registry
        self._jobs: Final = jobs
        self._control: Final = control
        self._asking: Final = asking

    async def status(self, key: SessionKey, _: SessionStatusQuery) -> SessionStatus:
        """Answer ``session.status``."""
        return await self.current_status(key)

    async def sessions(self, tenant_id: str, command: SessionsList) -> SessionList:
        """Answer ``sessions.list``, ordered by session id."""
        after = command.after or ""
        desired = [
            wanted
            for wanted in await self._registry.all_desired()
            if wanted.tenant_id == tenant_id and wanted.session_id > after
        ]
        seen = {
            status.session_id: status for status in await self._registry.all_statuses() if status.tenant_id == tenant_id
        }
        desired.sort(key=lambda wanted: wanted.session_id)
        part = desired[: command.limit]
        return SessionList(sessions=tuple(_shown(wanted, seen.get(wanted.session_id)) for wanted in part))

    async def current_status(self, key: SessionKey) -> SessionStatus:
        """Return the status of a session. Raises ``UnknownSession``."""
        return (await self.current(key))[1]

    async def current(self, key: SessionKey) -> tuple[DesiredSession, SessionStatus]:
        """Return what is wanted of a session, and its status. Raises ``UnknownSession``."""
        desired = await self.known(key)
        return desired, _shown(desired, await self._registry.status(key))

    async def refresh(self, key: SessionKey) -> None:
        """See to it that a change just made is seen by the next question here."""
        await self._registry.refresh(key)

    async def known(self, key: SessionKey) -> DesiredSession:
        """Return what is wanted of a session. Raises ``UnknownSession``."""
        desired = await self._registry.known(key)
        if desired is None:
            raise UnknownSession.named(key.session_id)
        return desired

    async def qr(self, key: SessionKey, command: SessionQr) -> Reply | ErrorBody:
        """Answer ``session.qr``; all null where no browser shows one."""
        await self.known(key)
        return await self._ask(key, command, ASK_TIMEOUT_S) or QrReply()

    async def rate_limit(self, key: SessionKey, command: RateLimitQuery) -> RateLimitReply | ErrorBody:
        """Answer ``session.rate_limit``; without an owner nothing is being sent and the whole window is free."""
        desired = await self.known(key)
        answer = await self._ask(key, command, ASK_TIMEOUT_S)
        return answer if isinstance(answer, RateLimitReply | ErrorBody) else _free_window(desired, command)

    async def queue(self, key: SessionKey, command: QueueQuery) -> QueueReply | ErrorBody:
        """Answer ``session.queue``."""
        desired = await self.known(key)
        answer = await self._ask(key, command, ASK_TIMEOUT_S)
        return answer if isinstance(answer, QueueReply | ErrorBody) else await self._stored_queue(key, desired)

    async def window_and_queue(self, key: SessionKey) -> tuple[RateLimitReply, QueueReply]:
        """Return the rate window and what stands before it, for a decision: a guess may be shown, not acted on.

        Raises:
            UnknownSession: It was never started.
            Unavailable: The session is to run and nobody owns it (it starts, moves, or has just died).
            WafleetError: What its owner answered instead.
        """
        desired, status = await self.current(key)
        # One that ended by itself, as after an unscanned QR, has no owner either, and nobody is about to be one.
        owned = desired.target == "running" and status.state not in ENDED_STATES
        window, queue = await asyncio.gather(
            self._ask(key, RateLimitQuery(), ASK_TIMEOUT_S), self._ask(key, QueueQuery(), ASK_TIMEOUT_S)
        )
        for answer in (window, queue):
            if isinstance(answer, ErrorBody):
                raise error_of(answer)
            if answer is None and owned:
                raise Unavailable(
                    f"nobody holds session {key.session_id!r} right now, so nobody knows its rate window: it starts, "
                    "moves or has just ended; try again"
                )
        return (
            window if isinstance(window, RateLimitReply) else _free_window(desired, RateLimitQuery()),
            queue if isinstance(queue, QueueReply) else await self._stored_queue(key, desired),
        )

    async def _stored_queue(self, key: SessionKey, desired: DesiredSession) -> QueueReply:
        """Return the queue of a session without an owner, as JetStream counts it."""
        depths = await self._jobs.depths(key)
        waiting = Waiting(high=depths["high"], normal=depths["normal"], bulk=depths["bulk"])
        return QueueReply(waiting=waiting, active=0, paused=desired.paused)

    async def from_page(self, key: SessionKey, command: Screenshot | ContactCheck) -> Reply | ErrorBody:
        """Answer what only a living page knows."""
        status = await self.current_status(key)
        answer = await self._ask(key, command, PAGE_TIMEOUT_S)
        if answer is None:
            raise SessionNotReady.in_state(status.state)
        return answer

    async def _ask(self, key: SessionKey, command: Command, timeout_s: float) -> Reply | ErrorBody | None:
        """Ask the owner; None where there is none, or one that has not got its lease yet or has let go of it."""
        with self._asking.place(key):
            answer = await self._control.ask_session(key, command, timeout_s)
        not_ready = isinstance(answer, ErrorBody) and answer.code == SessionNotReady.code
        return None if not_ready else answer


def _free_window(desired: DesiredSession, command: RateLimitQuery) -> RateLimitReply:
    """Return the rate window of a session that sends nothing."""
    max_messages = command.max_messages or desired.rate_limit.max_messages
    return RateLimitReply(
        remaining=max_messages,
        reset_in_ms=0,
        is_limited=False,
        max_messages=max_messages,
        window_ms=command.window_ms or desired.rate_limit.window_ms,
    )


def _shown(desired: DesiredSession, seen: SessionStatus | None) -> SessionStatus:
    """Return the status a session wrote, or what can be said of one that has written none yet."""
    running = desired.target == "running"
    if seen is not None:
        if desired.outdates(seen):
            seen = begun_anew(seen, desired)
        ending = not running and seen.state not in ENDED_STATES
        change: dict[str, object] = {"state": "draining", "status": "disconnected"} if ending else {}
        if seen.paused != desired.paused:
            change["paused"] = desired.paused
        return seen.model_copy(update=change) if change else seen
    return SessionStatus(
        tenant_id=desired.tenant_id,
        session_id=desired.session_id,
        status="initializing" if running else "disconnected",
        state="starting" if running else desired.target,
        phone_number=desired.phone_number,
        since=desired.changed_at,
        paused=desired.paused,
    )
