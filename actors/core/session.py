"""The session core: every decision of a session, without a clock, a wire or a page.

``handle(input, now)`` returns the effects the shell must carry out; ``next_deadline()`` says when to call again with
``Tick`` although nothing happened. The core joins the machine (state, deadlines, attempts, pairing) and the dispatcher
(mailbox, rate window, the job in flight). Pure: time and randomness are arguments.
"""

from random import Random
from typing import Final

from actors.config import SessionConfig
from actors.core import lifecycle, signals
from actors.core.dispatch import Dispatcher
from actors.core.echoes import Echoes
from actors.core.facts import (
    AccountBlocked,
    AckChanged,
    ActionNeeded,
    BrowserEnded,
    CodeShown,
    ConnectionLost,
    Fact,
    Linked,
    PageEnded,
    QrIdle,
    QrShown,
    SendStranded,
    Synced,
    Unlinked,
)
from actors.core.hearing import Hearing, Verdict
from actors.core.lifecycle import Input, State
from actors.core.machine import Cause, Machine
from actors.core.recovery import Remedy
from actors.core.recycling import Recycler
from actors.core.signals import SessionEffect, SessionInput
from actors.messages.records import DesiredSession

READ_RETRY_S: Final = 1.0
"""How long after a failed read the job log is read again."""
_INPUT_OF: Final[dict[type[Fact], Input]] = {
    QrIdle: Input.QR_IDLE,
    QrShown: Input.QR_SHOWN,
    Linked: Input.LINKED,
    Synced: Input.SYNCED,
    ConnectionLost: Input.CONNECTION_LOST,
    SendStranded: Input.SEND_DOUBTED,
    Unlinked: Input.UNLINKED,
    AccountBlocked: Input.ACCOUNT_BLOCKED,
    ActionNeeded: Input.ACTION_NEEDED,
    PageEnded: Input.BROWSER_CRASHED,
    BrowserEnded: Input.BROWSER_CRASHED,
}


class SessionCore:
    """One session's decisions."""

    def __init__(self, desired: DesiredSession, config: SessionConfig, random: Random) -> None:
        self._poll_every_s = config.poll_log_every_s
        self._echoes = Echoes()
        self._read_at: float | None = None
        self._page_goes = False
        """Whether the page of the last READY was told to go since."""
        self._hearing = Hearing(config.hearing)
        self._recycler = Recycler(config.memory)
        self._machine = Machine(desired, config, random)
        self.pairing = self._machine.pairing
        """The QR or code that is shown."""
        self.dispatcher = Dispatcher(desired.rate_limit, window_per_lane=config.window_per_lane, paused=desired.paused)
        self.phone_number = desired.phone_number
        self.wid: str | None = None
        """The account that is linked, or was last."""
        self._newcomer: str | None = None
        """Another account that was linked: it takes over when the former one's jobs are cancelled."""

    @property
    def state(self) -> State:
        """What the session is doing."""
        return self._machine.state

    @property
    def reason(self) -> str | None:
        """Why the session is in its state."""
        return self._machine.reason

    @property
    def ended(self) -> bool:
        """Whether the end was reached; nothing has an effect any more."""
        return self._machine.ended

    @property
    def reconnect_attempt(self) -> int:
        """Number of the reconnect attempt that is waited for, made or was the last one."""
        return self._machine.recovery.attempt if self.state in {State.RECONNECTING, State.FAILED} else 0

    def handle(self, item: SessionInput, now: float) -> list[SessionEffect]:
        """Take an input and decide.

        Args:
            item: What happened.
            now: Monotonic seconds.

        Returns:
            Effects in the order in which they are to be carried out.

        Raises:
            InvalidTransition: The input is not allowed now; nothing changed.
        """
        self._machine.effects = []
        if isinstance(item, signals.Handled):
            self.dispatcher.end(item, now)
        if not self.ended:
            self._decide(item, now)
            self._recycle(now)
            self._note_page(now)
            self._hand_out(now)
        return self._machine.effects

    def next_deadline(self) -> float | None:
        """Return when ``Tick`` is due; None if nothing is waited for."""
        due = [self._machine.next_deadline()]
        if self._hands_out:
            due += [self._read_at, self._echoes.next_at(), self.dispatcher.next_deadline()]
        return min((at for at in due if at is not None), default=None)

    def _decide(self, item: SessionInput, now: float) -> None:
        match item:
            case signals.Handled():
                self._after_job(item, now)
            case signals.Woken(lane):
                self.dispatcher.mailbox.wake(lane)
                if lane is not None:
                    self._echoes.woken(lane, now)
            case signals.JobsRead(read, jobs):
                self.dispatcher.mailbox.put(read, jobs)
            case signals.ReadFailed(lane):
                self.dispatcher.mailbox.read_failed(lane)
                self._read_at = now + READ_RETRY_S
            case signals.Tick():
                self._tick(now)
            case signals.JobsCancelled():
                self._welcome()
            case (
                signals.OpenFailed() | signals.Restoring() | signals.ProfileChosen() | signals.CopyMissed()
                | signals.Probed() | signals.PageSilent() | signals.Weighed()
            ):  # fmt: skip
                self._hear_of_page(item, now)
            case (
                signals.Start() | signals.Stop() | signals.Restart() | signals.Logout() | signals.Pause()
                | signals.Faulted()
            ):  # fmt: skip
                self._obey(item, now)
            case _:
                self._hear(item, now)

    def _obey(
        self,
        item: signals.Start | signals.Stop | signals.Restart | signals.Logout | signals.Pause | signals.Faulted,
        now: float,
    ) -> None:
        """Take a command, or a refusal of our own."""
        match item:
            case signals.Start(sends, wid):
                self.wid = wid
                for sent_at in sorted(sends):
                    self.dispatcher.window.count(sent_at)
                self._read_at = now + self._poll_every_s
                self._machine.apply(Cause(Input.START), now)
            case signals.Stop():
                self._stop(item, now)
            case signals.Restart():
                if lifecycle.allows(self.state, Input.RESTART):
                    self._machine.start_over()
                    self._machine.apply(Cause(Input.RESTART, "restart"), now)
            case signals.Logout():
                self.wid = None
                self._machine.apply(Cause(Input.LOGOUT, lifecycle.LOGOUT_REASON), now)
            case signals.Pause(paused):
                self.dispatcher.paused = paused
                self._machine.effects.append(signals.PutStatus())
            case _:
                self._machine.apply(Cause(Input.FAULT, item.reason), now)

    def _stop(self, item: signals.Stop, now: float) -> None:
        if item.drain and self.state is State.DRAINING:
            return
        drains = item.drain and self.dispatcher.active and lifecycle.allows(self.state, Input.DRAIN)
        self._machine.apply(Cause(Input.DRAIN if drains else Input.STOP, item.reason), now)

    def _hear_of_page(
        self,
        item: signals.OpenFailed
        | signals.Restoring
        | signals.ProfileChosen
        | signals.CopyMissed
        | signals.Probed
        | signals.PageSilent
        | signals.Weighed,
        now: float,
    ) -> None:
        """Take what the shell found out about the page; outside the states it concerns it comes too late."""
        match item:
            case signals.Restoring():
                self._machine.wait_for_profile(now)
            case signals.ProfileChosen():
                self._machine.note_profile(item)
            case signals.CopyMissed():
                self._machine.copy_again(now)
            case signals.OpenFailed(reason):
                damaged = self._machine.login.damaged(reason, now)
                failed = Input.LOGIN_VANISHED if damaged else Input.START_FAILED
                self._machine.apply_if_allowed(Cause(failed, reason), now)
            case signals.PageSilent(reason, answers_others):
                silence = Input.RECYCLE if answers_others else Input.PROBE_FAILED
                self._machine.apply_if_allowed(Cause(silence, reason), now)
            case signals.Probed() if self.state is State.READY:
                self._judge(item, now)
            case signals.Weighed(pss_bytes) if self.state is State.READY:
                self._weigh(pss_bytes, now)

    def _judge(self, probed: signals.Probed, now: float) -> None:
        """Take what a probe of a page in READY found."""
        if not probed.ready:
            self._machine.apply(Cause(Input.CONNECTION_LOST, probed.reason), now)
            return
        match self._hearing.judge(probed, now):
            case Verdict.UNSURE:
                self._machine.probe_soon(now)
            case Verdict.SERVER_SILENT | Verdict.PAGE_DEAF as verdict:
                self._machine.apply(Cause(Input.PAGE_DEAF, verdict.value, Remedy.RELOAD), now)

    def _weigh(self, pss_bytes: int, now: float) -> None:
        if self._recycler.weigh(pss_bytes, now):
            size = f"{pss_bytes / 2**20:.0f} MiB are over the budget"
            self._machine.effects.append(signals.Log(f"{size}: the browser is renewed when no send is in flight"))

    def _recycle(self, now: float) -> None:
        """Renew a browser that grew too large, between two sends; the queue is held meanwhile."""
        if self.state is not State.READY:
            self._recycler.forget()
            self._hearing.forget()
        elif self._recycler.take(now, idle=self.dispatcher.active is None):
            self._machine.apply(Cause(Input.RECYCLE, "memory"), now)

    def _hear(self, fact: Fact, now: float) -> None:
        """Take a fact of the page."""
        if isinstance(fact, AckChanged) or self.state is State.STOPPED or self._machine.login.reopening:
            return
        if isinstance(fact, CodeShown):
            self._machine.show_code(fact, now)
            return
        if isinstance(fact, Linked | Synced) and fact.wid:
            self._link(fact.wid)
        cause = Cause(
            _INPUT_OF[type(fact)],
            getattr(fact, "reason", None),
            Remedy.RELOAD if isinstance(fact, PageEnded) else Remedy.REOPEN,
        )
        vanished = self._machine.login.vanished(fact, now)
        if vanished and lifecycle.allows(self.state, Input.LOGIN_VANISHED):
            self._machine.apply(Cause(Input.LOGIN_VANISHED, vanished), now)
            return
        if isinstance(fact, QrShown | QrIdle) and self.state is State.RECONNECTING and self._machine.was_ready:
            cause = Cause(Input.UNLINKED, "login_lost")
        self._machine.apply(cause, now)
        if isinstance(fact, QrShown):
            self._machine.show_qr(fact, now)

    def _link(self, wid: str) -> None:
        """Note who is linked. Jobs that were queued for another number end; until they have, none is handed out.

        The former account stays the one of the session meanwhile: an owner that has to begin anew comes to the same
        decision.
        """
        if self._newcomer is None and (self.wid is None or _number(self.wid) == _number(wid)):
            self.wid, self.phone_number = wid, _number(wid)
            return
        if self._newcomer is None:
            self._machine.effects += [
                signals.Log("Another number was linked: the queued jobs are cancelled", warning=True),
                signals.CancelJobs(),
            ]
        self._newcomer = wid

    def _welcome(self) -> None:
        """Let the new account take over."""
        if self._newcomer is not None:
            self.wid, self.phone_number, self._newcomer = self._newcomer, _number(self._newcomer), None
            self.dispatcher.forget_queue()
            self._machine.effects.append(signals.PutStatus())

    def _after_job(self, item: signals.Handled, now: float) -> None:
        if self.state is State.DRAINING:
            self._machine.apply(Cause(Input.DRAINED, self.reason), now)
        elif item.failure:
            self._decide(item.failure, now)
        elif item.fate is signals.Fate.DOUBTED and not item.page_gone:
            self._machine.apply_if_allowed(Cause(Input.SEND_DOUBTED, "send_in_doubt"), now)

    def _note_page(self, now: float) -> None:
        """Let calls in doubt keep their places in the window until another page than theirs is READY.

        A page that healed itself (a lost socket that came back) is the same one: what hung in it may leave any moment.
        """
        if any(isinstance(effect, signals.ReloadPage | signals.CloseBrowser) for effect in self._machine.effects):
            self._page_goes = True
        elif self._page_goes and self.state is State.READY:
            self._page_goes = False
            self.dispatcher.page_gone(now)

    def _tick(self, now: float) -> None:
        if self._read_at is not None and self._read_at <= now:
            self._read_at = now + self._poll_every_s
            self.dispatcher.mailbox.wake(None)
        for lane in self._echoes.take(now):
            self.dispatcher.mailbox.wake(lane)
        self._machine.tick(now)

    @property
    def _hands_out(self) -> bool:
        """Whether jobs are read and handled: from the start until it drains or ends, but not for a newcomer yet."""
        return not self.ended and self._newcomer is None and self.state not in {State.STOPPED, State.DRAINING}

    def _hand_out(self, now: float) -> None:
        if self._hands_out:
            self._machine.effects += [signals.ReadJobs(read) for read in self.dispatcher.mailbox.reads()]
            job = self.dispatcher.begin(now, ready=self.state is State.READY)
            self._machine.effects += [job] if job else []


def _number(wid: str) -> str:
    """Return an account's phone number; behind a colon a wid names the device."""
    return "+" + wid.partition("@")[0].partition(":")[0]
