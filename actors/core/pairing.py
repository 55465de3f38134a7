"""Pairing: the QR or link code that is shown, and how long a session waits for a phone.

WhatsApp shows a round of QRs and then none until it is asked for a new round (``QrIdle``). Rounds are bounded, and so
is the time: both count from the first QR of a start, so that a scan that fails half-way gives no new budget. Pure.
"""

from dataclasses import dataclass
from typing import Final

from actors.core.facts import CodeShown, QrShown
from actors.core.signals import AnnounceCode, AnnounceQr, RefreshQr, RequestCode
from actors.messages.records import DesiredSession

MAX_QR_ROUNDS: Final = 20
"""Rounds in one pairing; a real one lasts more than two minutes, so the time ends first."""
CODE_PATIENCE_S: Final = 20.0
"""How long after asking for a link code it is asked for again, if none came."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A QR or a link code."""

    text: str
    expires_at: float


class Pairing:
    """What the owner's phone is shown."""

    def __init__(self, desired: DesiredSession, timeout_s: float) -> None:
        self._code_number = desired.phone_number if desired.pairing == "code" else None
        self._timeout_s = timeout_s
        self._since: float | None = None
        self._rounds = 0
        self._sequence = 0
        self.qr: Shown | None = None
        self.code: Shown | None = None

    def restart(self) -> None:
        """Forget the former start."""
        self._since, self._rounds, self._sequence = None, 0, 0
        self.hide()

    def begin(self, now: float) -> float:
        """Wait for a phone and return until when."""
        if self._since is None:
            self._since = now
        return self._since + self._timeout_s

    def ask(self) -> RequestCode | None:
        """Return the request for a link code, where the session pairs by code."""
        return RequestCode(self._code_number) if self._code_number else None

    def next_round(self) -> list[RefreshQr | RequestCode] | None:
        """Return what to ask the page for after a round ended; None after the last one."""
        self._rounds += 1
        if self._rounds > MAX_QR_ROUNDS:
            return None
        code = self.ask()
        return [RefreshQr(), code] if code else [RefreshQr()]

    def show_qr(self, fact: QrShown, now: float) -> AnnounceQr | None:
        """Show a QR; none is shown to somebody who waits for a code."""
        if self._code_number:
            return None
        self._sequence += 1
        self.qr = Shown(fact.code, now + fact.ttl_s)
        return AnnounceQr(fact.code, self._sequence, fact.ttl_s)

    def show_code(self, fact: CodeShown, now: float) -> AnnounceCode:
        """Show a link code."""
        self.code = Shown(fact.code, now + fact.ttl_s)
        return AnnounceCode(fact.code, fact.phone_number, fact.ttl_s)

    def hide(self) -> None:
        """Show nothing: nobody waits for a phone any more."""
        self.qr = self.code = None
