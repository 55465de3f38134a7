"""The session actor: one WhatsApp login, its browser, its queue (DESIGN section 7).

A thin shell around ``core.session.SessionCore``. One loop feeds it inputs (commands, facts, wake-ups, ends of jobs,
time) and carries its effects out. What takes long belongs to parts of their own (``session_parts``): the browser, the
job in flight, events, acks, the lease, questions. The actor ends by itself when the machine reaches a final state: no
browser, no process, lease released.

A plain class: ``actors.cluster`` makes it a Ray actor. The constructor does no I/O. Imports stay light, since every
import costs memory in every session's process.
"""

import asyncio
import logging
import os
import platform
import secrets
from collections.abc import Coroutine, MutableMapping
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from actors.core import signals
from actors.core.facts import AckChanged, BrowserEnded, Fact, PageEnded
from actors.core.lifecycle import STATUS_OF, State
from actors.core.mailbox import Held, Read
from actors.core.session import SessionCore
from actors.core.signals import SessionEffect, SessionInput
from actors.deadlines import cancel, within
from actors.errors import BrowserGone, PageCrashed, PageUnresponsive, SessionNotReady, Unavailable, WafleetError
from actors.inbox import Inbox
from actors.messages import commands
from actors.messages.commands import Command
from actors.messages.events import CodeData, QrData, SessionData
from actors.messages.replies import ErrorBody, Reply, SessionStatus
from actors.ports import Ended, Heartbeat, PortsFactory, SessionSpec
from actors.session_parts import SessionParts, assemble

_FLUSH_TIMEOUT_S: Final = 5.0
"""How long the last events may take."""
_BEGIN_RETRY_S: Final = 1.0
_STATE_COMMANDS: Final = (
    commands.SessionStop, commands.SessionRestart, commands.SessionLogout, commands.SessionPause,
    commands.SessionResume,
)  # fmt: skip


class SessionLog(logging.LoggerAdapter[logging.Logger]):
    """Begins every line with the session, as users know it."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the session before a message."""
        return f"[Session:{(self.extra or {}).get('key')}] {msg}", kwargs


class SessionActor:
    """Owns one session."""

    def __init__(self, spec: SessionSpec, factory: PortsFactory) -> None:
        """Remember what to do; ``run`` does it.

        Args:
            spec: The session.
            factory: Connects its ports.
        """
        self._spec = spec
        self._factory = factory
        self._log = SessionLog(logging.getLogger("wafleet.session"), {"key": str(spec.key)})
        # Jitter only; nothing secret comes from it.
        self._random = Random(secrets.randbits(64))  # noqa: S311
        self._core = SessionCore(spec.desired, spec.config, self._random)
        self._inbox = Inbox()
        self._node = platform.node()
        self._epoch = 0
        self._since: datetime = spec.desired.changed_at
        self._last_activity: datetime | None = None
        self._parts: SessionParts | None = None
        self._begun = asyncio.Event()
        self._ended: Ended | None = None
        self._over = asyncio.Event()
        self._faulted = False
        self._alarm: tuple[float, asyncio.Task[None]] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._probing = False

    def __repr__(self) -> str:
        return f"session:{self._spec.key}"

    # --- remote methods -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live; called once, returns when the session has ended."""
        try:
            parts = self._parts = await self._connect()
            if parts:
                await self._live(parts)
        finally:
            self._inbox.close()
            self._begun.set()
            self._over.set()

    async def wait_ended(self) -> Ended:
        """Return how the session ended, once it has."""
        await self._over.wait()
        return self._ended or Ended("failed", "internal_error")

    async def heartbeat(self) -> Heartbeat:
        """Give a sign of life."""
        return Heartbeat(self.status().state, os.getpid(), self._node, self._epoch)

    async def drain(self) -> None:
        """Finish the send in flight, close, release the lease; returns when all of it is done."""
        await self._command(signals.Stop("drained"))
        await self._over.wait()

    async def ask(self, command: Command) -> Reply | ErrorBody:
        """Answer a command; errors are values."""
        if isinstance(command, commands.SessionStatusQuery | commands.SessionStart):
            return self.status()
        if isinstance(command, _STATE_COMMANDS):
            return await self._obey(command)
        if self._parts is None or self._over.is_set():
            return ErrorBody.of(SessionNotReady.in_state(self.status().state))
        return await self._parts.answers.answer(command)

    def status(self) -> SessionStatus:
        """Describe the session as it is now."""
        core = self._core
        # Before the lease is held the machine has not begun, but somebody waits for a session that is starting.
        waiting = core.state is State.STOPPED and not core.ended and self._ended is None
        state = State.STARTING if waiting else core.state
        return SessionStatus(
            tenant_id=self._spec.key.tenant_id,
            session_id=self._spec.key.session_id,
            status=STATUS_OF[state],
            state=state,
            phone_number=core.phone_number,
            wid=core.wid,
            reconnect_attempt=core.reconnect_attempt,
            last_activity=self._last_activity,
            since=self._since,
            reason=core.reason,
            epoch=self._epoch,
            node=self._node,
            paused=core.dispatcher.paused,
        )

    async def _obey(self, command: Command) -> Reply | ErrorBody:
        match command:
            case commands.SessionStop():
                await self._command(signals.Stop("stopped"))
            case commands.SessionRestart():
                # Without the lease nothing may be touched, and there is nothing to restart yet.
                await self._begun.wait()
                await self._command(signals.Restart())
            case commands.SessionLogout():
                await self._begun.wait()
                await self._command(signals.Logout())
            case _:
                await self._command(signals.Pause(isinstance(command, commands.SessionPause)))
                if self._parts and not self._over.is_set():
                    return await self._parts.answers.answer(commands.QueueQuery())
        return self.status()

    async def _command(self, item: SessionInput) -> None:
        if not self._over.is_set():
            await self._inbox.ask(item)

    # --- life -----------------------------------------------------------------------------------------------------

    async def _connect(self) -> SessionParts | None:
        try:
            ports = await self._factory.connect(self._spec)
        except WafleetError as exc:
            self._log.error("Not started: %s", exc)
            self._ended = Ended(State.STOPPED, "unavailable")
            return None
        return assemble(
            self._spec,
            ports,
            core=self._core,
            node=self._node,
            random=self._random,
            log=self._log,
            tell=self._hear,
            lease_overdue=self._lose_lease,
            end=self._end,
        )

    async def _live(self, parts: SessionParts) -> None:
        """Run the loop until the end, then give everything back."""
        self._since = parts.ports.clock.now()
        pages = asyncio.create_task(parts.keeper.run(), name=f"pages:{self._spec.key}")
        self._spawn(self._begin(parts))
        try:
            while self._ended is None:
                item, done = await self._inbox.take()
                self._feed(parts, item)
                if done and not done.done():
                    done.set_result(None)
        finally:
            parts.keeper.kill()
            await parts.sender.abort(0)
            await cancel(pages, *self._tasks, *([self._alarm[1]] if self._alarm else []))
            await parts.outbox.close(0)
            await parts.acks.close()
            await parts.lease.release()
            await parts.ports.close()

    async def _begin(self, parts: SessionParts) -> None:
        """Become the owner, then start."""
        if not await parts.lease.take():
            self._inbox.put(signals.Faulted("lease_held"))
            return
        clock, ports = parts.ports.clock, parts.ports
        while parts.lease.held:
            try:
                self._epoch = parts.keeper.epoch = await ports.lease.raise_epoch()
                parts.outbox.begin(epoch=self._epoch, last_seq=await ports.events.last_seq())
                await ports.jobs.listen(self._inbox.wake)
            except Unavailable as exc:
                self._log.warning("Start waits: %s", exc)
                await clock.sleep(_BEGIN_RETRY_S)
            else:
                break
        parts.acks.begin()
        logs_out = self._spec.desired.target == "logged_out"
        self._inbox.put(signals.Logout() if logs_out else signals.Start())
        self._begun.set()

    def _feed(self, parts: SessionParts, item: SessionInput) -> None:
        """Let the core decide and carry out what it wants: the one place where nothing may escape."""
        state = self._core.state
        try:
            effects = self._core.handle(item, parts.ports.clock.monotonic())
            if self._core.state is not state:
                self._since = parts.ports.clock.now()
            for effect in effects:
                self._carry_out(parts, effect)
            self._arm_alarm(parts)
        except Exception:  # noqa: BLE001 - the session loop: logged, and made a visible failure
            self._log.exception("Broken by %s in state %s", type(item).__name__, state)
            self._break_down()

    def _break_down(self) -> None:
        """End as failed; if even that broke, without any further ceremony."""
        if self._faulted:
            self._ended = Ended(State.FAILED, "internal_error")
        self._faulted = True
        self._inbox.put(signals.Faulted("internal_error"))

    # --- effects --------------------------------------------------------------------------------------------------

    def _carry_out(self, parts: SessionParts, effect: SessionEffect) -> None:
        match effect:
            case signals.HandleJob():
                parts.sender.begin(effect)
            case signals.ReadJobs(read):
                self._spawn(self._read(parts, read))
            case signals.ProbePage():
                self._spawn(self._probe(parts))
            case signals.PutStatus():
                parts.outbox.put_status(self.status())
            case signals.Log(text, warning):
                self._log.log(logging.WARNING if warning else logging.INFO, "%s", text)
            case signals.Announce() | signals.AnnounceQr() | signals.AnnounceCode():
                self._announce(parts, effect)
            case _:
                parts.keeper.request(effect)

    def _announce(
        self, parts: SessionParts, effect: signals.Announce | signals.AnnounceQr | signals.AnnounceCode
    ) -> None:
        now = parts.ports.clock.now()
        match effect:
            case signals.Announce(event, previous, _, retry_in_s):
                retry_in_ms = None if retry_in_s is None else round(retry_in_s * 1000)
                parts.outbox.put(event, self._session_data(previous, retry_in_ms))
            case signals.AnnounceQr(qr, sequence, ttl_s):
                data = QrData(qr=qr, sequence=sequence, expires_at=now + timedelta(seconds=ttl_s))
                parts.outbox.put("session.qr", data)
            case signals.AnnounceCode(code, phone_number, ttl_s):
                expires_at = now + timedelta(seconds=ttl_s)
                parts.outbox.put("session.code", CodeData(code=code, phone_number=phone_number, expires_at=expires_at))

    def _session_data(self, previous: State, retry_in_ms: int | None = None) -> SessionData:
        core = self._core
        return SessionData(
            status=STATUS_OF[core.state],
            state=core.state,
            previous_state=previous,
            reason=core.reason,
            phone_number=core.phone_number,
            wid=core.wid,
            reconnect_attempt=core.reconnect_attempt,
            retry_in_ms=retry_in_ms,
        )

    async def _end(self, end: signals.End) -> None:
        """Tell the world and let the loop go; the browser is closed already."""
        parts = self._parts
        if parts and parts.lease.held:
            # Who lost the lease has nothing to say any more: another owner may be speaking.
            parts.outbox.put_status(self.status())
            parts.outbox.put(end.event, self._session_data(end.previous))
            await parts.outbox.close(_FLUSH_TIMEOUT_S)
        self._ended = Ended(end.state, end.reason)
        self._inbox.put(signals.Tick())

    async def _read(self, parts: SessionParts, read: Read) -> None:
        clock = parts.ports.clock
        try:
            stored = await parts.ports.jobs.read(read.lane, read.after_seq, read.limit)
        except Unavailable as exc:
            self._log.info("Jobs not read: %s", exc)
            self._inbox.put(signals.ReadFailed(read.lane))
            return
        # Deadlines are monotonic inside a process: a step of the machine's clock must not expire a queue.
        offset = clock.monotonic() - clock.now().timestamp()
        jobs = [Held(found.seq, found.job, found.job.expires_at.timestamp() + offset) for found in stored]
        self._inbox.put(signals.JobsRead(read, jobs))

    async def _probe(self, parts: SessionParts) -> None:
        page = parts.keeper.page
        if page is None or self._probing:
            return
        self._probing, number = True, parts.keeper.page_number
        try:
            vitals = await within(parts.ports.clock, self._spec.config.probe_timeout_s, page.probe())
            found: SessionInput = signals.Probed(vitals.ready, f"probe: socket {vitals.socket_state}")
        except (PageUnresponsive, TimeoutError):
            found = signals.PageSilent("probe_timeout")
        except PageCrashed as exc:
            found = PageEnded(exc.code)
        except BrowserGone as exc:
            found = BrowserEnded(exc.code)
        finally:
            self._probing = False
        if number == parts.keeper.page_number:
            self._inbox.put(found)

    # --- inputs ---------------------------------------------------------------------------------------------------

    def _hear(self, item: SessionInput) -> None:
        """Take what a part has to tell."""
        parts = self._parts
        if isinstance(item, AckChanged):
            self._touch()
            if parts:
                parts.acks.hear(item)
        elif isinstance(item, Fact):
            if not self._inbox.put_fact(item):
                self._log.warning("%s dropped: the page tells too much", type(item).__name__)
        else:
            if isinstance(item, signals.Handled) and item.called:
                self._touch()
            self._inbox.put(item)

    def _touch(self) -> None:
        if self._parts:
            self._last_activity = self._parts.ports.clock.now()

    def _lose_lease(self) -> None:
        """Stop at once: from here on another owner may take the session."""
        if self._parts:
            self._parts.keeper.abandon()
        self._inbox.put(signals.Stop("lease_lost", drain=False))

    # --- time -----------------------------------------------------------------------------------------------------

    def _arm_alarm(self, parts: SessionParts) -> None:
        """See to it that the core hears of its next deadline; an alarm that rings too early does no harm."""
        due = self._core.next_deadline()
        if due is None or (self._alarm and self._alarm[0] <= due):
            return
        if self._alarm:
            self._alarm[1].cancel()
        self._alarm = (due, asyncio.create_task(self._ring(parts, due), name=f"alarm:{self._spec.key}"))

    async def _ring(self, parts: SessionParts, due: float) -> None:
        clock = parts.ports.clock
        await clock.sleep(max(0.0, due - clock.monotonic()))
        self._alarm = None
        self._inbox.put(signals.Tick())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the loop; what escapes it is a bug, and ends the session visibly."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned_ended)

    def _spawned_ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._log.error("Broken in %s", task.get_name(), exc_info=error)
            self._break_down()
