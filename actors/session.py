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
import secrets
from collections.abc import MutableMapping
from random import Random
from typing import Any, Final

from actors import node
from actors.core import signals
from actors.core.facts import AckChanged, Fact
from actors.core.lifecycle import State
from actors.core.session import SessionCore
from actors.core.signals import SessionEffect, SessionInput
from actors.deadlines import cancel
from actors.errors import SessionNotReady, Unavailable, WafleetError
from actors.inbox import Inbox
from actors.messages import commands
from actors.messages.commands import Command
from actors.messages.replies import ErrorBody, Reply, SessionStatus
from actors.ports import Ended, Heartbeat, PortsFactory, SessionSpec, actor_name
from actors.session_parts import SessionParts, assemble
from actors.session_view import SessionView

_FLUSH_TIMEOUT_S: Final = 5.0
"""How long the last events may take."""
_BEGIN_RETRY_S: Final = 1.0
_ACTIVITY_EVERY_S: Final = 10.0
"""At most so often the status is written for nothing but its `last_activity`."""
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
        self._owner_id = secrets.token_hex(16)
        self._core = SessionCore(spec.desired, spec.config, self._random)
        self._view = SessionView(spec.key, self._core, node=node.name(), since=spec.desired.changed_at)
        self._inbox = Inbox()
        self._parts: SessionParts | None = None
        self._begun = asyncio.Event()
        self._ended: Ended | None = None
        self._over = asyncio.Event()
        self._faulted = False
        self._activity_told: float | None = None
        self._alarm: tuple[float, asyncio.Task[None]] | None = None

    def __repr__(self) -> str:
        return actor_name(self._spec.key)

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
        return self._ended or Ended(State.FAILED.value, "internal_error")

    async def heartbeat(self) -> Heartbeat:
        """Give a sign of life."""
        view = self._view
        return Heartbeat(view.state.value, os.getpid(), view.node, view.epoch, self._owner_id)

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
            return ErrorBody.of(SessionNotReady.in_state(self._view.state))
        return await self._parts.answers.answer(command)

    def status(self) -> SessionStatus:
        """Describe the session as it is now."""
        return self._view.status()

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
            # Nothing is there that could carry effects out; the core has to know nevertheless that it is over.
            self._core.handle(signals.Stop("unavailable"), 0.0)
            self._ended = Ended(State.STOPPED.value, "unavailable")
            return None
        return assemble(
            self._spec,
            ports,
            core=self._core,
            node=self._view.node,
            owner_id=self._owner_id,
            random=self._random,
            log=self._log,
            tell=self._hear,
            lease_overdue=self._lose_lease,
            end=self._end,
            on_broken=self._break_down,
        )

    async def _live(self, parts: SessionParts) -> None:
        """Run the loop until the end, then give everything back."""
        self._view.since = parts.ports.clock.now()
        pages = asyncio.create_task(parts.keeper.run(), name=f"pages:{self._spec.key}")
        parts.errands.send(self._begin(parts))
        try:
            while self._ended is None:
                item, done = await self._inbox.take()
                self._feed(parts, item)
                if done and not done.done():
                    done.set_result(None)
        finally:
            parts.keeper.kill()
            await parts.sender.abort(0)
            await parts.profiles.rest()
            await cancel(pages, *([self._alarm[1]] if self._alarm else []))
            await parts.errands.close()
            await parts.outbox.close(0)
            await parts.acks.close()
            await parts.lease.release()
            await parts.ports.close()

    async def _begin(self, parts: SessionParts) -> None:
        """Become the owner, then start."""
        if not await parts.lease.take():
            self._inbox.put(signals.Faulted("lease_held"))
            return
        clock = parts.ports.clock
        give_up_at = clock.monotonic() + self._spec.config.starting_timeout_s
        start = await self._take_over(parts)
        while start is None and parts.lease.held:
            if clock.monotonic() >= give_up_at:
                # The supervisor tells of it and tries again; a start that only waits would show nothing, for ever.
                self._inbox.put(signals.Stop("unavailable", drain=False))
                return
            await clock.sleep(_BEGIN_RETRY_S)
            start = await self._take_over(parts)
        if start is not None:
            self._inbox.put(signals.Logout() if self._spec.desired.target == "logged_out" else start)
            self._begun.set()

    async def _take_over(self, parts: SessionParts) -> signals.Start | None:
        """Go on where the former owner ended: epoch, numbers of events, rate window; None if that must be repeated."""
        ports, window_s = parts.ports, self._spec.desired.rate_limit.window_ms / 1000
        try:
            epoch = await ports.lease.raise_epoch()
            now = ports.clock.monotonic()
            ages = [*await ports.events.former_sends(window_s), *[0.0] * await parts.ledger.attempts_in_hand()]
            last_seq = await ports.events.last_seq()
            last_status = await ports.status.last()
            await ports.jobs.listen(self._inbox.wake)
        except Unavailable as exc:
            self._log.warning("Start waits: %s", exc)
            return None
        self._view.epoch = parts.keeper.epoch = epoch
        if last_status:
            self._view.last_activity = last_status.last_activity
        parts.outbox.begin(epoch=epoch, last_seq=last_seq)
        parts.acks.begin()
        return signals.Start(tuple(now - age for age in ages), last_status.wid if last_status else None)

    def _feed(self, parts: SessionParts, item: SessionInput) -> None:
        """Let the core decide and carry out what it wants: the one place where nothing may escape."""
        state = self._core.state
        try:
            effects = self._core.handle(item, parts.ports.clock.monotonic())
            if self._core.state is not state:
                self._view.since = parts.ports.clock.now()
            for effect in effects:
                self._carry_out(parts, effect)
            self._arm_alarm(parts)
        except Exception:  # noqa: BLE001 - the session loop: logged, and made a visible failure
            self._log.exception("Broken by %s in state %s", type(item).__name__, state)
            self._break_down()

    def _carry_out(self, parts: SessionParts, effect: SessionEffect) -> None:
        match effect:
            case signals.HandleJob():
                parts.sender.begin(effect)
            case signals.ReadJobs(read):
                parts.errands.read(read)
            case signals.ProbePage():
                parts.errands.probe()
            case signals.CopyProfile():
                parts.profiles.copy()
            case signals.WeighProcesses():
                parts.errands.weigh()
            case signals.PutStatus():
                parts.outbox.put_status(self.status())
            case signals.Log(text, warning):
                self._log.log(logging.WARNING if warning else logging.INFO, "%s", text)
            case signals.Announce() | signals.AnnounceQr() | signals.AnnounceCode():
                parts.outbox.put(*self._view.event(effect, parts.ports.clock.now()))
            case _:
                parts.keeper.request(effect)

    async def _end(self, end: signals.End) -> None:
        """Tell the world and let the loop go; the browser is closed already."""
        parts = self._parts
        if parts and parts.lease.held:
            # Who lost the lease has nothing to say any more: another owner may be speaking.
            parts.outbox.put_status(self.status())
            parts.outbox.put(end.event, self._view.change(end.state, end.previous, end.reason))
            await parts.outbox.close(_FLUSH_TIMEOUT_S)
        # Half a logout is none: whoever looks after the session has to know that it is still to be done.
        half_done = parts is not None and parts.keeper.gave_up_logout
        self._ended = Ended(State.STOPPED.value, "lease_lost") if half_done else Ended(end.state.value, end.reason)
        self._inbox.put(signals.Tick())

    def _break_down(self) -> None:
        """End as failed; if even that broke, without any further ceremony."""
        if self._faulted:
            self._ended = Ended(State.FAILED.value, "internal_error")
        self._faulted = True
        self._inbox.put(signals.Faulted("internal_error"))

    # --- inputs ---------------------------------------------------------------------------------------------------

    def _hear(self, item: SessionInput) -> None:
        """Take what a part has to tell."""
        parts = self._parts
        if parts and (isinstance(item, AckChanged) or (isinstance(item, signals.Handled) and item.called)):
            self._note_activity(parts)
        if parts and isinstance(item, AckChanged):
            parts.acks.hear(item)
        elif not isinstance(item, Fact):
            self._inbox.put(item)
        elif not self._inbox.put_fact(item):
            self._log.warning("%s dropped: the page tells too much", type(item).__name__)

    def _note_activity(self, parts: SessionParts) -> None:
        """Remember when the session last did something, and tell it now and then."""
        self._view.last_activity, now = parts.ports.clock.now(), parts.ports.clock.monotonic()
        due = self._activity_told is None or now - self._activity_told >= _ACTIVITY_EVERY_S
        if due and parts.lease.held:
            self._activity_told = now
            parts.outbox.put_status(self.status())

    def _lose_lease(self) -> None:
        """Stop at once: from here on another owner may take the session."""
        if self._parts:
            self._parts.keeper.abandon()
        self._inbox.put(signals.Stop("lease_lost", drain=False))

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
