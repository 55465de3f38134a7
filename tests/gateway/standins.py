"""Stand-ins for what lies behind a gateway: the control plane in memory, and a session's owner on the real job log."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Literal

from actors.core.echoes import DELAYS_S
from actors.errors import SessionNotReady, Unavailable
from actors.messages.commands import (
    Command,
    ContactCheck,
    QueueQuery,
    RateLimitQuery,
    Screenshot,
    SessionLogout,
    SessionPause,
    SessionQr,
    SessionResume,
    SessionStart,
    SessionStop,
)
from actors.messages.events import JobData, JobEvent
from actors.messages.ids import SessionKey
from actors.messages.jobs import LANES, Attempt, Job, JobError, JobRecord, JobStatus, LaneName, StatusChange, new_record
from actors.messages.records import DesiredSession
from actors.messages.replies import (
    ContactInfo,
    ContactList,
    ErrorBody,
    QrReply,
    QueueReply,
    RateLimitReply,
    Reply,
    ScreenshotReply,
    SessionStatus,
    Status,
    Waiting,
)
from actors.ports import Revised, StoredJob
from gateway.connection import Bus
from gateway.events import JetStreamEventSink
from gateway.jobs import JetStreamJobLog
from gateway.records import JetStreamJobRecords
from gateway.registry import JetStreamRegistry, JetStreamStatusBoard

STATUS_OF_STATE: Final[dict[str, Status]] = {
    "starting": "initializing",
    "pairing": "initializing",
    "ready": "ready",
    "reconnecting": "disconnected",
    "stopped": "disconnected",
    "logged_out": "disconnected",
    "failed": "error",
    "blocked": "error",
}
Fate = Literal["sent", "failed", "unconfirmed", "rate_limited"]


def status_of(key: SessionKey, state: str, *, reason: str | None = None) -> SessionStatus:
    """A status as an owner writes it."""
    return SessionStatus(
        tenant_id=key.tenant_id,
        session_id=key.session_id,
        status=STATUS_OF_STATE[state],
        state=state,
        since=datetime.now(UTC),
        reason=reason,
        epoch=1,
    )


async def put_session(bus: Bus, key: SessionKey, state: str, *, reason: str | None = None) -> None:
    """Make a session exist, in a state."""
    registry = JetStreamRegistry(bus)
    found = await registry.desired(key)
    if found is None:
        desired = DesiredSession(
            tenant_id=key.tenant_id, session_id=key.session_id, target="running", changed_at=datetime.now(UTC)
        )
        await registry.put_desired(desired, None)
    await JetStreamStatusBoard(bus, key).put(status_of(key, state, reason=reason))


class StandInControl:
    """``ControlPlane`` in memory. Sessions that start are ready at once; what was asked is kept."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.asked: list[tuple[SessionKey, Command]] = []
        self.owners: dict[SessionKey, StandInOwner] = {}
        self.hanging = 0
        """Questions that hang right now."""
        self._go_on = asyncio.Event()
        self._go_on.set()

    def hang(self) -> None:
        """From now on no actor answers."""
        self._go_on.clear()

    def go_on(self) -> None:
        """Actors answer again; what hung is told that its actor is unavailable."""
        self._go_on.set()

    async def ask_supervisor(self, key: SessionKey, command: Command, timeout_s: float) -> Reply | ErrorBody:
        await self._maybe_hang(timeout_s)
        self.asked.append((key, command))
        registry = JetStreamRegistry(self._bus)
        state = {SessionStop: "stopped", SessionLogout: "logged_out"}.get(type(command), "ready")
        if isinstance(command, SessionStart):
            await put_session(self._bus, key, "ready")
        elif isinstance(command, SessionPause | SessionResume):
            found = await registry.desired(key)
            if found is None:
                raise AssertionError("the gateway passed on a command for an unknown session")
            paused = isinstance(command, SessionPause)
            await registry.put_desired(found.value.model_copy(update={"paused": paused}), found.revision)
        else:
            found = await registry.desired(key)
            if found is None:
                raise AssertionError("the gateway passed on a command for an unknown session")
            # The owner writes its last status when it has ended, which is later.
            target = "running" if state == "ready" else state
            await registry.put_desired(found.value.model_copy(update={"target": target}), found.revision)
        return status_of(key, state)

    async def ask_session(self, key: SessionKey, command: Command, timeout_s: float) -> Reply | ErrorBody | None:
        await self._maybe_hang(timeout_s)
        self.asked.append((key, command))
        owner = self.owners.get(key)
        return None if owner is None else await owner.ask(command)

    async def _maybe_hang(self, timeout_s: float) -> None:
        if self._go_on.is_set():
            return
        self.hanging += 1
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._go_on.wait()
        self.hanging -= 1
        raise Unavailable("the actor did not answer")


class StandInOwner:
    """A session's owner: reads the real job log, keeps the real records, publishes real events; sends to a list."""

    def __init__(
        self, bus: Bus, key: SessionKey, *, fate: Callable[[Job], Fate] = lambda _: "sent", holds_lease: bool = True
    ) -> None:
        self.key = key
        self.sent: list[Job] = []
        self.dropped: list[Job] = []
        self.remaining = 20
        self.waiting = Waiting()
        self.active = 0
        self.refusal = None if holds_lease else ErrorBody.of(SessionNotReady.in_state("starting"))
        """Its answer to everything, if it has one."""
        self._fate = fate
        self._log = JetStreamJobLog(bus, key)
        self._records = JetStreamJobRecords(bus, key)
        self._events = JetStreamEventSink(bus, key)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._handling = asyncio.Lock()

    async def start(self) -> None:
        await self._log.listen(lambda _: self._wake.set())
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def ask(self, command: Command) -> Reply | ErrorBody:
        if self.refusal is not None:
            return self.refusal
        match command:
            case SessionQr():
                return QrReply(qr="2@abc")
            case RateLimitQuery():
                limit = command.max_messages or 20
                window_ms = command.window_ms or 60_000
                left = min(self.remaining, limit)
                return RateLimitReply(
                    remaining=left, reset_in_ms=0, is_limited=not left, max_messages=limit, window_ms=window_ms
                )
            case QueueQuery():
                return QueueReply(waiting=self.waiting, active=self.active, paused=False)
            case Screenshot():
                return ScreenshotReply(png="iVBORw0KGgo=")
            case ContactCheck():
                return ContactList(contacts=tuple(ContactInfo(number=n, exists=True) for n in command.numbers))
            case _:
                raise AssertionError(f"a gateway does not ask a session {command.name}")

    async def drain_once(self) -> None:
        """Handle everything that lies in the log now; an owner is one, so it waits for what it is doing already."""
        async with self._handling:
            for lane in LANES:
                for stored in await self._log.read(lane, 0, 1_000):
                    await self._handle(stored, lane)

    async def _work(self) -> None:
        looks = iter(DELAYS_S)  # a wake-up may come before its job (actors.core.echoes)
        while True:
            self._wake.clear()
            await self.drain_once()
            with suppress(TimeoutError):
                async with asyncio.timeout(next(looks, None)):
                    await self._wake.wait()
                looks = iter(DELAYS_S)

    async def _handle(self, stored: StoredJob, lane: LaneName) -> None:
        job = stored.job
        found = await self._records.get(job.job_id)
        if found is None:
            revision = await self._records.create(record := new_record(job, seq=stored.seq))
            if revision is None:
                return await self._handle(stored, lane)
            found = Revised(record, revision)
        if not found.value.is_open or found.value.body_hash != job.body_hash:
            self.dropped.append(job)
            return await self._log.delete(stored.seq)
        await self._send(stored, found)
        return None

    async def _send(self, stored: StoredJob, found: Revised[JobRecord]) -> None:
        job, key = stored.job, f"true_{stored.job.address}_{stored.job.message_id}"
        attempt = Attempt(n=1, epoch=1, generation="g", full_key=key, chat_id=job.address)
        sending = _moved(found.value, "sending", sent_key=key, attempts=(attempt,), seq=stored.seq)
        revision = await self._records.update(sending, found.revision)
        if revision is None:
            return await self._handle(stored, job.lane)
        fate = self._fate(job)
        status: JobStatus = "failed" if fate == "rate_limited" else fate
        error = None if fate == "sent" else JobError(code=_CODES[fate], message=f"it was {fate}")
        if fate == "sent":
            self.sent.append(job)
        if await self._records.update(_moved(sending, status, error=error), revision) is None:
            raise AssertionError("somebody else moved a record that was being sent")
        await self._events.publish(
            JobEvent(
                id=f"{job.job_id}.{status}",
                event=_EVENTS[status],
                tenant_id=job.tenant_id,
                session_id=job.session_id,
                time=datetime.now(UTC),
                seq=stored.seq,
                epoch=1,
                data=JobData(
                    job_id=job.job_id, to=job.to, message_id=key, attempt=1, inbox_seq=job.inbox_seq, error=error
                ),
            )
        )
        await self._log.delete(stored.seq)
        return None


_CODES: Final[dict[Fate, str]] = {
    "failed": "send_failed",
    "unconfirmed": "send_unconfirmed",
    "rate_limited": "rate_limited",
}
_EVENTS: Final[dict[str, Literal["message.sent", "message.failed", "message.unconfirmed"]]] = {
    "sent": "message.sent",
    "failed": "message.failed",
    "unconfirmed": "message.unconfirmed",
}


def _moved(record: JobRecord, status: JobStatus, **changes: object) -> JobRecord:
    history = (*record.history, StatusChange(status=status, time=datetime.now(UTC)))
    return record.model_copy(update={"status": status, "history": history, **changes})
