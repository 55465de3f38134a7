"""Requests under way: one inbox for all answers of a connection, and the client that hands them straight over.

Theory of operation. Every request gets the reply subject ``<prefix>.<token>``; the token finds its question. nats-py
would put each answer into its subscription's queue and wake a task for it; ``InboxClient`` gives messages of the inbox
to the question while it reads, and asking is apart from waiting (``Question``), so that two requests go out together
without a task for each. Measured, publish and record of one job: p50 0.42 ms in the place of 0.62, 6,300 pairs/s in the
place of 4,400 at 64 at once (two processes on two shared cores). Imports ``gateway.wire``.
"""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final, Generic, TypeVar

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.protocol.parser import PERMISSIONS_ERR

from actors.errors import Unavailable, WafleetError
from gateway.wire import WireClient

T = TypeVar("T")

_NO_RESPONDERS: Final = "503"


class Question:
    """One request that was sent. Ends by its answer, its deadline or the loss of the connection."""

    __slots__ = ("_collects", "_forget", "_future", "_timer", "answers", "subject")

    def __init__(self, subject: str, timeout_s: float, *, collects: bool, forget: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self.subject: Final = subject
        self.answers: Final[list[Msg]] = []
        """What came before the message that ended a batch."""
        self._collects: Final = collects
        self._forget: Final = forget
        self._future: Final[asyncio.Future[Msg]] = loop.create_future()
        self._timer: Final = loop.call_later(timeout_s, self._expire, timeout_s)

    def take(self, msg: Msg) -> None:
        """Take one message: the first ends a plain request, one with a status ends a batch."""
        if self._future.done():
            return
        status = msg.headers.get("Status") if msg.headers else None
        if status == _NO_RESPONDERS and not msg.data:
            self.fail(_unavailable(f"nobody answers on {self.subject}; is JetStream on and set up?", self.subject))
        elif self._collects and status is None:
            self.answers.append(msg)
        else:
            self._future.set_result(msg)
            self.end()

    def fail(self, error: Exception) -> None:
        """End without an answer."""
        if not self._future.done():
            self._future.set_exception(error)
            self._future.exception()  # counts as looked at, also where nobody waits any more
        self.end()

    def end(self) -> None:
        """Free what the question holds; it takes no further message."""
        self._timer.cancel()
        self._forget()

    def _expire(self, timeout_s: float) -> None:
        self.fail(_unavailable(f"no answer to {self.subject} within {timeout_s:g} s", self.subject))

    async def answer(self) -> Msg:
        """Wait for the message that ended it. Raises ``Unavailable``."""
        try:
            return await self._future
        finally:
            self.end()


class Begun(Generic[T]):
    """A write that was sent, so that another can be sent before its outcome is waited for."""

    __slots__ = ("_judge", "_question")

    def __init__(self, question: Question | WafleetError, judge: Callable[[Msg], Awaitable[T]]) -> None:
        self._question: Final = question
        self._judge: Final = judge

    async def outcome(self) -> T | WafleetError:
        """Wait for the outcome; an error is returned, not raised."""
        if isinstance(self._question, WafleetError):
            return self._question
        try:
            return await self._judge(await self._question.answer())
        except WafleetError as exc:
            return exc


async def begun(asking: Awaitable[Question], judge: Callable[[Msg], Awaitable[T]]) -> Begun[T]:
    """Send a write; an error of the sending is kept for ``outcome``."""
    try:
        return Begun(await asking, judge)
    except WafleetError as exc:
        return Begun(exc, judge)


class Inbox:
    """The questions of one connection, by token."""

    def __init__(self) -> None:
        self.prefix = ""
        self._open: Final[dict[str, Question]] = {}
        self._tokens: Final = count()

    @property
    def waiting(self) -> int:
        """How many questions wait for their answer."""
        return len(self._open)

    def ask(self, subject: str, timeout_s: float, *, collects: bool = False) -> tuple[Question, str]:
        """Open a question; returns it and the reply subject for its request."""
        token = format(next(self._tokens), "x")
        question = Question(subject, timeout_s, collects=collects, forget=lambda: self._forget(token))
        self._open[token] = question
        return question, f"{self.prefix}.{token}"

    def _forget(self, token: str) -> None:
        self._open.pop(token, None)

    def take(self, msg: Msg) -> None:
        """Give a message to its question, if that still waits."""
        question = self._open.get(msg.subject[len(self.prefix) + 1 :])
        if question is not None:
            question.take(msg)

    def fail_all(self, why: str) -> None:
        """End all questions without an answer."""
        for question in tuple(self._open.values()):
            question.fail(_unavailable(why, question.subject))


class InboxClient(WireClient):
    """nats-py's client that gives the messages of one subscription straight to an inbox and never gives up.

    Subscriptions named to ``serve_at_once`` are served side by side: nats-py's way, a queue and one task that calls the
    listener message by message, takes two more turns of the event loop where each request is a task of its own anyway.
    """

    def __init__(self, inbox: Inbox) -> None:
        super().__init__()
        self._inbox: Final = inbox
        self._inbox_sid = -1
        self._at_once: Final[set[int]] = set()
        self._serving: Final[set[asyncio.Future[None]]] = set()

    async def open_inbox(self) -> None:
        """Subscribe to a fresh inbox; nats-py renews the subscription at each reconnect."""
        self._inbox.prefix = self.new_inbox()
        subscription = await self.subscribe(f"{self._inbox.prefix}.*")
        self._inbox_sid = subscription._id  # noqa: SLF001 - the number that the server names in each message

    def serve_at_once(self, subscription: Subscription) -> None:
        """Call a subscription's listener in a task for each message, as it comes; the listener bounds their number."""
        self._at_once.add(subscription._id)  # noqa: SLF001 - as above

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        if sid != self._inbox_sid and sid not in self._at_once:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        parsed = await self._process_headers(headers) if headers else None
        msg = self._build_message(sid, subject, reply, data, parsed)
        if sid == self._inbox_sid:
            self._inbox.take(msg)
        elif (subscription := self._subs.get(sid)) and subscription._cb:  # noqa: SLF001 - as above
            task = asyncio.ensure_future(subscription._cb(msg))  # noqa: SLF001 - as above
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    def _write_soon(self) -> None:
        """Write at once for a lone request, where the loop itself gathers what one of its turns writes (uvloop's does).

        The turn saved twice is a fifth of what accepting a lone ``send.text`` takes: p50 2.15 times an empty request's
        in the place of 2.8, ten runs each. With many under way a turn more brings more of them together: without it
        64 at once lose a third.
        """
        if len(self._serving) <= 1 and type(asyncio.get_running_loop()).__module__ == "uvloop":
            self._write_pending()
        else:
            super()._write_soon()

    async def _process_err(self, err_msg: str) -> None:
        """Take the server's ``-ERR``: nats-py closes for good then, here the connection is made again."""
        if PERMISSIONS_ERR in err_msg:
            await super()._process_err(err_msg)
            return
        error = nats.errors.Error(f"nats: {err_msg}")
        await self._error_cb(error)
        await self._process_op_err(error)


def _unavailable(why: str, subject: str) -> Unavailable:
    return Unavailable(f"NATS: {why}", {"subject": subject})
