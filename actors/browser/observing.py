"""From the page's reports to facts: a pure reducer, fed by the binding and by probes.

Theory of operation: ``scripts/bridge.js`` reports the whole state whenever it changes (at the edges of any event, and
the level at every probe), so a lost edge heals by itself. A fact is the difference between two states. Reports of an
older page load, or older than one already seen, are dropped. May not import playwright.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from actors.core.facts import (
    AccountBlocked,
    AckChanged,
    ActionNeeded,
    CodeShown,
    ConnectionLost,
    Fact,
    Linked,
    QrIdle,
    QrShown,
    SendStranded,
    Synced,
    Unlinked,
)

BAN_REASONS: Final = frozenset({"banned", "account_locked"})
"""Logout reasons that mean a ban; the real client's 403 is ``account_locked``."""
LOCKED_CODE: Final = "3"
"""``LOGOUT_REASON_CODE.ACCOUNT_LOCKED`` in ``?post_logout=1&logout_reason=``."""
ACTION_STATES: Final = frozenset({"TOS_BLOCK", "SMB_TOS_BLOCK"})
"""Socket states that last until a person accepts something."""
_MAX_TTL_S: Final = 600.0
_MS_FROM: Final = 1_000.0
"""``Conn.refTTL`` was seen in seconds and in milliseconds; no QR lives for 1,000 s."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What one report came to."""

    facts: tuple[Fact, ...] = ()
    new_load: bool = False
    """The page was loaded anew: calls of the load before it have ended."""
    injected: bool = False
    """wa-js found WhatsApp's modules: its functions may be used."""
    linked_now: bool | None = None
    """With ``Linked``: whether it was linked just now (True) or restored from the profile (False)."""


NOTHING: Final = Observed()


class PageObserver:
    """Turns the reports of one browser's pages into facts."""

    def __init__(self, *, qr_ttl_s: float, code_ttl_s: float) -> None:
        self._qr_ttl_s = qr_ttl_s
        self._code_ttl_s = code_ttl_s
        self.load: str | None = None
        """The current page load."""
        self._number = 0
        self._synced = False
        self._linked = False
        self._held_login = False
        self._saw_unlinked = False
        self._ended_login = False
        self._action: str | None = None
        self._qr: str | None = None
        self._qr_sequence = 0

    def expect_reload(self) -> None:
        """Say that the page is replaced on purpose: the end of the old one is no news."""
        self._synced = False
        self.load = None

    def feed(self, report: Mapping[str, Any]) -> Observed:
        """Take one report of the page.

        Args:
            report: ``{load, number, kind, data}`` as ``bridge.js`` builds it.
        """
        kind, data = report["kind"], report["data"]
        if kind == "hello":
            return self._hello(report["load"], data)
        if report["load"] != self.load or report["number"] <= self._number:
            return NOTHING
        self._number = report["number"]
        if kind == "state":
            return self._state(data)
        return Observed(self._facts(kind, data), injected=kind == "injected")

    def _facts(self, kind: str, data: Mapping[str, Any]) -> tuple[Fact, ...]:
        facts: tuple[Fact, ...] = ()
        match kind:
            case "qr":
                facts = self._qr_facts(data)
            case "qr_idle":
                facts = (QrIdle(),)
            case "code":
                facts = (CodeShown(data["code"], data["phone"] or "", self._code_ttl_s),)
            case "logout":
                facts = self._login_ended(data["reason"])
            case "fate":
                facts = self._fate(data)
            case "stranded":
                facts = (SendStranded("send_in_doubt"),)
            case "ack":
                facts = (AckChanged(tuple(data["ids"]), data["chat"] or "", int(data["ack"])),)
        return facts

    def _hello(self, load: str, data: Mapping[str, Any]) -> Observed:
        facts: list[Fact] = []
        query = parse_qs(str(data["query"]).removeprefix("?"))
        if "post_logout" in query:
            code = query.get("logout_reason", ["unknown"])[0]
            facts += self._login_ended("account_locked" if code == LOCKED_CODE else code)
        elif self._synced:
            facts.append(ConnectionLost("the page loaded itself anew"))
        self.load, self._number = load, 0
        self._synced = self._linked = self._saw_unlinked = False
        self._action = self._qr = None
        return Observed(tuple(facts), new_load=True)

    def _state(self, state: Mapping[str, Any]) -> Observed:
        facts: list[Fact] = []
        linked_now: bool | None = None
        if state["registered"] and not self._linked:
            linked_now = self._saw_unlinked
            self._linked = self._held_login = True
            self._ended_login = False
            facts.append(Linked(state["wid"], state["lid"]))
        elif not state["registered"]:
            self._linked = False
            self._saw_unlinked = True
        facts += self._action_facts(state)
        facts += self._sync_facts(state)
        return Observed(tuple(facts), linked_now=linked_now)

    def _action_facts(self, state: Mapping[str, Any]) -> list[Fact]:
        action = next((one for one in (state["state"], state["mode"]) if one in ACTION_STATES), None)
        if action == self._action:
            return []
        self._action = action
        if action is not None:
            self._synced = False
            return [ActionNeeded(action.lower())]
        return [Linked(state["wid"], state["lid"])] if self._linked else []

    def _sync_facts(self, state: Mapping[str, Any]) -> list[Fact]:
        if state["ready"] and not self._synced:
            self._synced = True
            self._ended_login = False
            return [Synced(state["wid"], state["lid"])]
        if self._synced and not state["ready"]:
            self._synced = False
            # Without registration this is the start of a logout, which is told by name.
            return [ConnectionLost(f"socket {state['state'].lower()}")] if state["registered"] else []
        return []

    def _qr_facts(self, data: Mapping[str, Any]) -> tuple[Fact, ...]:
        if data["code"] == self._qr:
            return ()
        # A QR after a login in this browser, without a word about a logout: the storage was lost.
        before = self._login_ended("login_lost") if self._held_login else ()
        self._qr = data["code"]
        self._qr_sequence += 1
        self._saw_unlinked = True
        return (*before, QrShown(data["code"], self._qr_sequence, self._ttl_s(data["ttl"])))

    def _ttl_s(self, ttl: float | None) -> float:
        if ttl is None or ttl <= 0:
            return self._qr_ttl_s
        seconds = float(ttl) / 1_000 if ttl > _MS_FROM else float(ttl)
        return seconds if seconds <= _MAX_TTL_S else self._qr_ttl_s

    def _fate(self, data: Mapping[str, Any]) -> tuple[Fact, ...]:
        if data["name"] == "account_temporarily_banned":
            if not data["active"] or self._ended_login:
                return ()
            self._ended_login = True
            return (AccountBlocked(f"temp_banned (code {data['code']}, {data['expire']} s left)"),)
        return self._login_ended(data["name"])

    def _login_ended(self, reason: str | None) -> tuple[Fact, ...]:
        """Tell the end of a login once: its reason, the logout itself and the reload all report it."""
        if self._ended_login:
            return ()
        self._ended_login = True
        self._synced = False
        if reason in BAN_REASONS:
            return (AccountBlocked(reason),)
        return (Unlinked(reason or "logged_out"),)
