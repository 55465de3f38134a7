"""What a session answers to questions: QR, rate window, queue, screenshot, contacts.

Answers from the core where it knows and asks page or job log where it does not. Drawing a QR needs ``segno``, which is
imported when the first one is asked for: every import costs memory in every session.
"""

import base64
import io
from datetime import datetime, timedelta
from typing import Final

from actors.core.lifecycle import State
from actors.core.session import SessionCore
from actors.deadlines import within
from actors.errors import InvalidCommand, PageFailure, SessionNotReady, Unavailable, WafleetError
from actors.messages.commands import Command, ContactCheck, QueueQuery, RateLimit, RateLimitQuery, Screenshot, SessionQr
from actors.messages.replies import (
    ContactList,
    ErrorBody,
    QrReply,
    QueueReply,
    RateLimitReply,
    Reply,
    ScreenshotReply,
    Waiting,
)
from actors.page_keeper import PageKeeper
from actors.ports import Clock, JobLog, Page

_QR_SCALE = 6
"""Pixels of one module."""

_CONTACTS_TIMEOUT_S: Final = 14.0
"""Many numbers take their time; a gateway waits 15 s for the answer."""


class Answers:
    """Answers the questions put to one session."""

    def __init__(self, core: SessionCore, keeper: PageKeeper, jobs: JobLog, clock: Clock, *, timeout_s: float) -> None:
        self._core = core
        self._keeper = keeper
        self._jobs = jobs
        self._clock = clock
        self._timeout_s = timeout_s

    async def answer(self, command: Command) -> Reply | ErrorBody:
        """Answer a question; errors are values."""
        try:
            timeout_s = _CONTACTS_TIMEOUT_S if isinstance(command, ContactCheck) else self._timeout_s
            return await within(self._clock, timeout_s, self._answer(command))
        except PageFailure as exc:
            return ErrorBody.of(Unavailable(f"the page did not answer ({exc.code}); try again", {"reason": exc.code}))
        except WafleetError as exc:
            return ErrorBody.of(exc)
        except TimeoutError as exc:
            return ErrorBody.of(Unavailable(f"{command.name}: {exc}; try again"))

    async def _answer(self, command: Command) -> Reply:
        match command:
            case SessionQr():
                return self._qr()
            case RateLimitQuery():
                return self._rate_limit(command)
            case QueueQuery():
                return await self.queue()
            case Screenshot():
                return ScreenshotReply(png=base64.b64encode(await self._page().screenshot()).decode())
            case ContactCheck():
                if self._core.state is not State.READY:
                    raise SessionNotReady.in_state(self._core.state)
                return ContactList(contacts=tuple(await self._page().check_contacts(command.numbers)))
        raise InvalidCommand(f"{command.name} is no question to a session", {"command": command.name})

    async def queue(self) -> QueueReply:
        """Count what waits; the job in flight is active, direct sends are nobody's queue."""
        depths = dict(await self._jobs.depths())
        active = self._core.dispatcher.active
        if active:
            lane = active.held.job.lane
            depths[lane] = max(0, depths.get(lane, 0) - 1)
        return QueueReply(
            waiting=Waiting(high=depths.get("high", 0), normal=depths.get("normal", 0), bulk=depths.get("bulk", 0)),
            active=1 if active else 0,
            paused=self._core.dispatcher.paused,
        )

    def _page(self) -> Page:
        if self._keeper.page is None:
            raise SessionNotReady.in_state(self._core.state)
        return self._keeper.page

    def _qr(self) -> QrReply:
        qr, code = self._core.pairing.qr, self._core.pairing.code
        if code:
            return QrReply(code=code.text, expires_at=self._moment(code.expires_at))
        if not qr:
            return QrReply()
        png, terminal = draw_qr(qr.text)
        return QrReply(qr=qr.text, expires_at=self._moment(qr.expires_at), png=png, terminal=terminal)

    def _rate_limit(self, query: RateLimitQuery) -> RateLimitReply:
        window = self._core.dispatcher.window
        asked = RateLimit(
            max_messages=query.max_messages or window.limit.max_messages,
            window_ms=query.window_ms or window.limit.window_ms,
        )
        now = self._clock.monotonic()
        state = window.state(now, asked)
        return RateLimitReply(
            remaining=state.remaining,
            reset_in_ms=round(state.reset_in_s(now) * 1000),
            is_limited=state.is_limited,
            max_messages=asked.max_messages,
            window_ms=asked.window_ms,
        )

    def _moment(self, at: float) -> datetime:
        return self._clock.now() + timedelta(seconds=at - self._clock.monotonic())


def draw_qr(text: str) -> tuple[str, str]:
    """Draw a QR as base64 of a PNG and in block characters."""
    import segno  # noqa: PLC0415 - see the header

    code = segno.make(text, micro=False)
    png, terminal = io.BytesIO(), io.StringIO()
    code.save(png, kind="png", scale=_QR_SCALE)
    code.terminal(terminal, compact=True)
    return base64.b64encode(png.getvalue()).decode(), terminal.getvalue()
