"""Reports in, facts out: the rules that the page on the simulator cannot be made to break on demand."""

from typing import Any

import pytest

from actors.browser.observing import PageObserver
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

ME, LID = "628@c.us", "1@lid"
READY = {
    "registered": True,
    "ready": True,
    "state": "CONNECTED",
    "mode": "MAIN",
    "info": "NORMAL",
    "wid": ME,
    "lid": LID,
}
SYNCING = {**READY, "ready": False, "mode": "SYNCING"}
OPENING = {**READY, "ready": False, "state": "OPENING"}
UNLINKED = {**READY, "registered": False, "ready": False, "state": "UNPAIRED", "mode": "QR", "wid": None, "lid": None}


class Page:
    """A page that reports to an observer under test."""

    def __init__(self, load: str = "a", query: str = "", observer: PageObserver | None = None) -> None:
        self.observer = observer or PageObserver(qr_ttl_s=20, code_ttl_s=180)
        self._load = load
        self._number = 1
        self.greeting = self.observer.feed({"load": load, "number": 1, "kind": "hello", "data": {"query": query}})

    def tell(self, kind: str, **data: Any) -> tuple[Fact, ...]:
        self._number += 1
        return self.observer.feed({"load": self._load, "number": self._number, "kind": kind, "data": data}).facts

    def state(self, state: dict[str, Any]) -> tuple[Fact, ...]:
        return self.tell("state", **state)

    def again(self, load: str, query: str = "") -> "Page":
        return Page(load, query, self.observer)


def test_a_page_that_refused_itself_a_socket_says_so_each_time_as_long_as_it_is_the_page() -> None:
    page = Page()
    assert page.tell("stranded") == page.tell("stranded") == (SendStranded("send_in_doubt"),)
    page.observer.expect_reload()
    assert page.tell("stranded") == ()


def test_a_restored_login_is_linked_and_synced_once_and_lost_when_the_socket_is() -> None:
    page = Page()
    assert page.state(SYNCING) == (Linked(ME, LID),)
    assert page.state(READY) == (Synced(ME, LID),)
    assert page.state({**READY, "info": "OTHER"}) == ()
    assert page.state(OPENING) == (ConnectionLost("socket opening"),)
    assert page.state({**OPENING, "state": "CONFLICT"}) == ()
    assert page.state(READY) == (Synced(ME, LID),)


def test_a_link_is_fresh_only_if_the_page_was_seen_unlinked() -> None:
    def linked(page: Page, state: dict[str, Any]) -> bool | None:
        return page.observer.feed({"load": "a", "number": 9, "kind": "state", "data": state}).linked_now

    assert linked(Page(), SYNCING) is False
    scanned = Page()
    scanned.tell("qr", code="2@x", ttl=20)
    assert linked(scanned, SYNCING) is True
    unlinked = Page()
    unlinked.state(UNLINKED)
    assert linked(unlinked, SYNCING) is True
    assert linked(unlinked, SYNCING) is None


def test_reports_of_an_older_load_or_out_of_order_change_nothing() -> None:
    page = Page()
    page.state(READY)
    older = {"load": "a", "number": 2, "kind": "state", "data": OPENING}
    assert page.observer.feed(older).facts == ()
    fresh = page.again("b")
    assert fresh.greeting.facts == (ConnectionLost("the page loaded itself anew"),)
    assert fresh.greeting.new_load
    assert page.state(READY) == ()
    assert fresh.state(READY) == (Linked(ME, LID), Synced(ME, LID))


def test_a_reload_of_ours_is_no_loss() -> None:
    page = Page()
    page.state(READY)
    page.observer.expect_reload()
    assert page.state(OPENING) == ()
    assert page.again("b").greeting.facts == ()


@pytest.mark.parametrize(
    ("ttl", "expected_s"), [(20, 20.0), (60_000, 60.0), (None, 20.0), (0, 20.0), (700, 20.0), (9_999_999, 20.0)]
)
def test_a_qr_has_a_number_and_a_believable_time(ttl: float | None, expected_s: float) -> None:
    page = Page()
    assert page.tell("qr", code="2@x", ttl=ttl) == (QrShown("2@x", 1, expected_s),)
    assert page.tell("qr", code="2@x", ttl=ttl) == ()
    assert page.tell("qr_idle") == (QrIdle(),)
    assert page.again("b").tell("qr", code="2@x", ttl=ttl) == (QrShown("2@x", 2, expected_s),)


def test_codes_and_acks_pass_through() -> None:
    page = Page()
    assert page.tell("code", code="ABCD1234", phone="+628") == (CodeShown("ABCD1234", "+628", 180),)
    assert page.tell("ack", ids=["true_1@c.us_A"], chat="1@c.us", ack=2) == (
        AckChanged(("true_1@c.us_A",), "1@c.us", 2),
    )
    assert page.tell("news of a later version") == ()


def test_a_logout_is_told_once_whatever_reports_it() -> None:
    page = Page()
    page.state(READY)
    assert page.tell("logout", reason="device_removed") == (Unlinked("device_removed"),)
    assert page.state(UNLINKED) == ()
    assert page.tell("logout", reason=None) == ()
    after = page.again("b", "?post_logout=1&logout_reason=0")
    assert after.greeting.facts == ()
    assert after.tell("qr", code="2@y", ttl=20) == (QrShown("2@y", 1, 20.0),)


@pytest.mark.parametrize(
    ("query", "fact"),
    [
        ("?post_logout=1&logout_reason=0", Unlinked("0")),
        ("?post_logout=1", Unlinked("unknown")),
        ("?post_logout=1&logout_reason=3", AccountBlocked("account_locked")),
    ],
)
def test_a_page_after_a_logout_tells_it_if_nobody_did(query: str, fact: Fact) -> None:
    page = Page()
    page.state(READY)
    assert page.again("b", query).greeting.facts == (fact,)


@pytest.mark.parametrize("reason", ["banned", "account_locked"])
def test_a_ban_is_no_unlinking(reason: str) -> None:
    page = Page()
    page.state(READY)
    assert page.tell("logout", reason=reason) == (AccountBlocked(reason),)
    assert page.tell("logout", reason=None) == ()


def test_a_temporary_ban_ends_with_the_next_sync() -> None:
    page = Page()
    page.state(READY)
    ban = {"name": "account_temporarily_banned", "active": True, "code": "101", "expire": "60"}
    assert page.tell("fate", **ban) == (AccountBlocked("temp_banned (code 101, 60 s left)"),)
    assert page.tell("fate", **ban) == ()
    assert page.tell("fate", **{**ban, "active": False}) == ()
    page.state(OPENING)
    page.state(READY)
    assert page.tell("logout", reason=None) == (Unlinked("logged_out"),)


def test_a_lost_storage_shows_as_a_qr_after_a_login() -> None:
    page = Page()
    page.state(READY)
    assert page.again("b").tell("qr", code="2@x", ttl=20) == (Unlinked("login_lost"), QrShown("2@x", 1, 20.0))
    assert Page().tell("fate", name="storage_initialization_error", active=True) == (
        Unlinked("storage_initialization_error"),
    )


def test_terms_need_a_person_and_are_not_a_lost_connection() -> None:
    page = Page()
    page.state(READY)
    blocked = {**READY, "ready": False, "state": "TOS_BLOCK", "mode": "TOS_BLOCK"}
    assert page.state(blocked) == (ActionNeeded("tos_block"),)
    assert page.state({**blocked, "info": "X"}) == ()
    assert page.state(OPENING) == (Linked(ME, LID),)
    assert page.state(READY) == (Synced(ME, LID),)
