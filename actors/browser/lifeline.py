"""Bounded calls: every call into a page ends by its answer, its deadline, or the end of what it was made to.

The one place that translates Playwright's errors: to ``PageUnresponsive``, ``PageCrashed`` or ``BrowserGone``.
Playwright is imported late: whoever makes a call has loaded it.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from actors.errors import BrowserGone, PageCrashed, PageFailure, PageUnresponsive

T = TypeVar("T")

_PAGE_GONE: Final = (
    "Execution context was destroyed",
    "Cannot find context with specified id",
    "frame was detached",
    "frame got detached",
    "Frame has been detached",
    "Target crashed",
    "Page crashed",
)
"""Wordings of Playwright 1.65 for a page that crashed or loaded itself anew under a call."""
_END_GRACE_S: Final = 2.0
"""A closed target raises before the event that says what ended: 65 ms for a browser (measured); a killed driver closes
its pipe some time before its process is gone, longer on a busy machine."""


class Lifeline:
    """The life of one page, as its calls see it."""

    def __init__(self, *, end_grace_s: float = _END_GRACE_S) -> None:
        self._end_grace_s = end_grace_s
        self._ended: asyncio.Future[PageFailure] = asyncio.get_running_loop().create_future()

    @property
    def failure(self) -> PageFailure | None:
        """Why it ended; None while it lives."""
        return self._ended.result() if self._ended.done() else None

    def end(self, failure: PageFailure) -> None:
        """End it: calls in flight and all later ones raise this. Only the first end counts."""
        if not self._ended.done():
            self._ended.set_result(failure)

    async def call(self, what: str, calling: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Await a call into the page.

        Args:
            what: What is called, for the message of an error.
            calling: The coroutine; it is cancelled where it does not end in time.
            timeout_s: How long it may take.

        Raises:
            PageUnresponsive: It took longer, or Playwright gave up.
            PageCrashed: The page ended under it.
            BrowserGone: Browser or driver ended under it.
        """
        if self.failure is not None:
            calling.close()
            raise _again(self.failure)
        task = asyncio.ensure_future(calling)
        try:
            waiting: set[asyncio.Future[Any]] = {task, self._ended}
            await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return await self._result(what, task)
        finally:
            if not task.done():
                task.cancel()
                task.add_done_callback(_forget)
        if self.failure is not None:
            raise _again(self.failure)
        raise PageUnresponsive(f"{what}: no answer from the page in {timeout_s:g} s", {"call": what})

    async def _result(self, what: str, task: "asyncio.Future[T]") -> T:
        from playwright import async_api  # noqa: PLC0415 - loaded already

        try:
            return task.result()
        except async_api.TimeoutError as exc:
            raise PageUnresponsive(f"{what}: {_first_line(exc)}", {"call": what}) from exc
        except async_api.Error as exc:
            text = str(exc)
            if any(sign in text for sign in _PAGE_GONE):
                raise PageCrashed(f"{what}: the page ended under the call ({_first_line(exc)})") from exc
            if _is_closed(exc):
                raise await self._closed(what, exc) from exc
            raise PageUnresponsive(f"{what}: {_first_line(exc)}", {"call": what}) from exc

    async def _closed(self, what: str, exc: Exception) -> PageFailure:
        await asyncio.wait({self._ended}, timeout=self._end_grace_s)
        return self.failure or PageCrashed(f"{what}: the page was closed under the call ({_first_line(exc)})")


def _is_closed(exc: Exception) -> bool:
    return type(exc).__name__ == "TargetClosedError" or "Connection closed" in str(exc)


def _again(failure: PageFailure) -> PageFailure:
    """A fresh error of the same kind: one object raised twice would collect both tracebacks."""
    return type(failure)(failure.message, failure.details)


def _forget(task: "asyncio.Future[Any]") -> None:
    with contextlib.suppress(asyncio.CancelledError):
        task.exception()


def _first_line(exc: Exception) -> str:
    return str(exc).strip().split("\n", 1)[0][:300]


def browser_gone(reason: str) -> BrowserGone:
    """Build the end of a browser."""
    return BrowserGone(f"the browser is gone: {reason}", {"reason": reason})
