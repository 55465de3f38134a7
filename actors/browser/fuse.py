"""The fuse of a browser's pages: every page ends by itself at a moment that only its living owner moves on.

Theory of operation. A moment is told in the page's own time, so that an arming that was held up on its way (a frozen
driver) moves nothing too far: whatever is left of the lease is counted from the last time the page told its clock,
and both clocks run alike. An answer that took long makes the fuse shorter, never longer. The page's side is
``scripts/fuse.js``. Knows Playwright's page, but no wa-js.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors.browser.lifeline import Lifeline
from actors.errors import BrowserGone, PageCrashed

if TYPE_CHECKING:
    from playwright.async_api import Page

_SCRIPT: Final = Path(__file__).parent / "scripts" / "fuse.js"
_NOW: Final = "performance.timeOrigin + performance.now()"
_ARM: Final = "(moment) => window.__wafleetFuse ? window.__wafleetFuse.arm(moment) : null"
_MS: Final = 1_000.0
BLANK: Final = "about:blank"
"""Where a page is before it loads, and after its end."""


class Fuse:
    """Arms the pages of one browser."""

    def __init__(self, left_s: Callable[[], float]) -> None:
        """Prepare.

        Args:
            left_s: After how many seconds a page has to end.
        """
        self._left_s = left_s
        self._ahead_ms = 0.0
        """What the page's clock showed at least when ours showed 0."""

    async def lay(self, page: "Page", lifeline: Lifeline, timeout_s: float) -> None:
        """Arm what will be loaded into a blank page, from its first script on."""
        self._heard(await lifeline.call("the page's clock", page.evaluate(_NOW), timeout_s))
        left_s = self._left_s()
        script = f"({_SCRIPT.read_text(encoding='utf-8')})({self._moment(left_s)!r}, {left_s * _MS!r})"
        await lifeline.call("lay the fuse", page.add_init_script(script), timeout_s)

    async def arm(self, page: "Page", lifeline: Lifeline, *, left_s: float, timeout_s: float) -> bool:
        """Move the moment on; False if the page has none: it ended, or has not loaded yet.

        Raises ``PageUnresponsive``.
        """
        try:
            told = await lifeline.call("arm the fuse", page.evaluate(_ARM, self._moment(left_s)), timeout_s)
        except (PageCrashed, BrowserGone):
            return False
        if told is None:
            return False
        self._heard(told)
        return True

    def _moment(self, left_s: float) -> float:
        return self._ahead_ms + (time.monotonic() + left_s) * _MS

    def _heard(self, page_ms: float) -> None:
        self._ahead_ms = page_ms - time.monotonic() * _MS
