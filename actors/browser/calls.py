"""Calls of the bridge's operations in one page, bounded and translated. Knows Playwright's page, but no wa-js."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from actors.browser.lifeline import Lifeline
from actors.errors import PageCrashed, PageRefused, PageUnresponsive

if TYPE_CHECKING:
    from playwright.async_api import JSHandle, Page

_PASSING: Final = re.compile(r"time.?out|not connected|disconnected|network|offline", re.IGNORECASE)
"""Errors of a question that went unanswered, as opposed to "there is no such group"."""
_RUN: Final = """([name, argument, load]) =>
  window.__wafleet ? window.__wafleet.run(name, argument, load) : { stale: true }"""
_FILE_INPUT: Final = """() => {
  const input = document.createElement('input');
  input.type = 'file';
  return input;
}"""


@dataclass(slots=True)
class OperationFailed(Exception):
    """An operation threw in the page; the page itself is well."""

    operation: str
    code: str | None
    """``WPPError.code`` where wa-js refused."""
    message: str
    connected: bool
    """Whether the socket was up when it threw."""

    def __str__(self) -> str:
        return f"{self.operation}: {self.code or 'error'}: {self.message}"

    @property
    def is_answer(self) -> bool:
        """Whether the error is about the question; else the line was down or the question went unanswered."""
        return self.connected and not _PASSING.search(self.message)

    def as_failure(self) -> PageUnresponsive | PageRefused:
        """Describe the failure by what may heal it: another page, or nothing but time."""
        details = {"call": self.operation, "code": self.code, "connected": self.connected}
        return PageRefused(str(self), details) if self.is_answer else PageUnresponsive(str(self), details)


class PageCalls:
    """How everything is asked of one page."""

    def __init__(self, page: "Page", lifeline: Lifeline, load: Callable[[], str | None]) -> None:
        self.page = page
        self.lifeline = lifeline
        self._load = load

    async def run(self, operation: str, argument: object = None, *, timeout_s: float, load: str | None = None) -> Any:
        """Run one operation of the bridge.

        Args:
            operation: Its name in ``scripts/*.js``.
            argument: JSON, or a handle into the page.
            timeout_s: Own deadline; Playwright's ``evaluate`` has none.
            load: The page load it is meant for; the current one if not given.

        Raises:
            OperationFailed: It threw.
            PageUnresponsive: No answer in time.
            PageCrashed: The page ended, or is no longer the load it was meant for.
            BrowserGone: The browser ended.
        """
        calling = self.page.evaluate(_RUN, [operation, argument, load or self._load()])
        answer = await self.lifeline.call(operation, calling, timeout_s)
        if "stale" in answer:
            raise PageCrashed(f"{operation}: the page has loaded itself anew since", {"call": operation})
        if "error" in answer:
            error = answer["error"]
            raise OperationFailed(operation, error["code"], error["message"], error["connected"])
        return answer.get("value")

    async def ask(self, operation: str, argument: object = None, *, timeout_s: float) -> Any:
        """Run one operation that may be asked again.

        Raises:
            PageRefused: It threw, and that was an answer.
            PageUnresponsive: It threw because the line is down, or did not answer in time.
            PageCrashed: As ``run``.
            BrowserGone: As ``run``.
        """
        try:
            return await self.run(operation, argument, timeout_s=timeout_s)
        except OperationFailed as exc:
            raise exc.as_failure() from exc

    async def file_input(self, path: str, deadline: "Deadline") -> "JSHandle":
        """Bring a file into the page through an input element that is never shown."""
        handle = await self.lifeline.call("file input", self.page.evaluate_handle(_FILE_INPUT), deadline.left_s)
        element = handle.as_element()
        if element is None:
            raise PageCrashed("file input: the page made no element")
        await self.lifeline.call("set_input_files", element.set_input_files(path), deadline.left_s)
        return handle


class Deadline:
    """One time limit over several calls."""

    def __init__(self, timeout_s: float) -> None:
        self._ends = time.monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._ends - time.monotonic())
