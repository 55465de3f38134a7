"""Whether a page that answers still hears what WhatsApp tells it (DESIGN, promise 6).

Theory of operation: a deaf page looks alive. It answers every call, its socket says CONNECTED, but nothing arrives.
Each probe brings two signs of it, which the page itself collects (``scripts/hearing.js``):

- **The server does not answer.** The probe asks WhatsApp a question whose answer cannot come from the page's memory,
  but only where nothing at all arrived for ``quiet_after_s``: whatever arrived proves the line. Two silences in a row
  (the second question follows soon) mean a dead line. Certain on every page.
- **Pushes that nobody took in.** What the server tells unasked is answered by the client's own frames, or shows as an
  event of wa-js. Where several frames came in and neither followed for ``unheard_after_s``, the client's handlers are
  stuck. This sign is circumstantial (a frame's kind cannot be seen from outside), so it counts at most once in
  ``doubt_pause_s``: a false alarm costs one reload and can never use the attempts up.

A quiet session raises neither: no push comes, and the question is answered. Pure.
"""

from enum import StrEnum, auto

from actors.config import HearingConfig
from actors.core.signals import Probed


class Verdict(StrEnum):
    """What a probe says of a page's hearing."""

    HEARS = auto()
    UNSURE = auto()
    """Ask again soon."""
    SERVER_SILENT = auto()
    """Deaf: the server does not answer this page."""
    PAGE_DEAF = auto()
    """Deaf: what the server tells is not taken in."""


class Hearing:
    """Judges the probes of one session."""

    def __init__(self, config: HearingConfig) -> None:
        self._config = config
        self._silences = 0
        """Questions in a row that the server left unanswered."""
        self._doubted_at: float | None = None
        """When pushes that nobody took in last counted."""

    def judge(self, probed: Probed, now: float) -> Verdict:
        """Take a probe of a page that says it is ready."""
        if probed.server_answered is False:
            self._silences += 1
            if self._silences < self._config.max_silences:
                return Verdict.UNSURE
            self._silences = 0
            return Verdict.SERVER_SILENT
        self._silences = 0
        if self._is_stuck(probed) and self._may_doubt(now):
            self._doubted_at = now
            return Verdict.PAGE_DEAF
        return Verdict.HEARS

    def forget(self) -> None:
        """Begin anew with another page; when it was last doubted stays known."""
        self._silences = 0

    def _is_stuck(self, probed: Probed) -> bool:
        enough = probed.unheard >= self._config.unheard_pushes
        return enough and probed.unheard_for_s >= self._config.unheard_after_s

    def _may_doubt(self, now: float) -> bool:
        return self._doubted_at is None or now - self._doubted_at >= self._config.doubt_pause_s
