"""A session actor's life: start, pairing, ready, loss and return."""

import pytest

from actors.core.facts import (
    ActionNeeded,
    CodeShown,
    ConnectionLost,
    Linked,
    PageEnded,
    QrIdle,
    QrShown,
    Synced,
)
from actors.messages.commands import (
    SessionQr,
    SessionStatusQuery,
)
from actors.messages.events import CodeEvent, QrEvent, SessionEvent
from actors.messages.replies import QrReply, SessionStatus
from actors.ports import Ended
from tests.actor.conftest import Staged
from tests.actor.stage import Stage
from tests.support.fakes import FakePorts, settle

WID = "6281111111111@c.us"


def attempts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "Reconnect attempt" in record.getMessage()]


async def started_with(staged: Staged, *opens: str, **config: object) -> Stage:
    ports = FakePorts()
    ports.browser.opens.extend(opens)  # type: ignore[arg-type]
    return await staged(ports, **config)


# --- start and pairing --------------------------------------------------------------------------------------------


async def test_the_owner_is_known_before_the_browser_opens(staged: Staged) -> None:
    stage = await started_with(staged, "hang")
    assert stage.ports.lease.held is not None
    assert stage.ports.lease.held.value.actor_name == "session:acme:s1"
    head = stage.ports.heads.head
    assert head is not None
    assert (head.epoch, head.generation) == (1, "generation-1")
    assert stage.state == "starting"
    assert stage.ports.events.names() == ["session.starting"]
    assert stage.ports.board.statuses[-1].state == "starting"


async def test_a_scan_brings_the_session_to_ready(staged: Staged) -> None:
    stage = await started_with(staged, "qr")
    assert stage.state == "pairing"
    reply = await stage.ask(SessionQr())
    assert isinstance(reply, QrReply)
    assert reply.qr == "2@first"
    assert reply.png
    assert reply.png.startswith("iVBOR")
    assert reply.terminal
    assert "█" in reply.terminal or "▀" in reply.terminal or "\x1b" in reply.terminal
    stage.browser.page.tell(QrShown("2@second", 2, 20.0))
    stage.browser.page.tell(Linked(WID, None))
    stage.browser.page.tell(Synced(WID, None))
    await settle()
    assert stage.state == "ready"
    qrs = [event.data for event in stage.ports.events.published if isinstance(event, QrEvent)]
    assert [(data.qr, data.sequence) for data in qrs] == [("2@first", 1), ("2@second", 2)]
    status = await stage.ask(SessionStatusQuery())
    assert isinstance(status, SessionStatus)
    assert (status.wid, status.phone_number, status.status) == (WID, "+6281111111111", "ready")
    assert await stage.ask(SessionQr()) == QrReply()


async def test_a_pairing_that_nobody_answers_stops(staged: Staged) -> None:
    stage = await started_with(staged, "qr", pairing_timeout_s=60)
    await stage.clock.advance(60)
    assert await stage.ended() == Ended("stopped", "qr_timeout")
    assert stage.browser.open_pages == 0


async def test_a_new_round_of_qrs_is_asked_for_but_not_for_ever(staged: Staged) -> None:
    stage = await started_with(staged, "qr")
    for _ in range(20):
        stage.browser.page.tell(QrIdle())
    await settle()
    assert stage.browser.page.refreshes == 20
    assert stage.state == "pairing"
    stage.browser.page.tell(QrIdle())
    assert await stage.ended() == Ended("stopped", "qr_timeout")


async def test_a_link_code_is_asked_for_shown_and_renewed_when_it_ran_out(staged: Staged) -> None:
    stage = await started_with(staged, "qr", desired={"pairing": "code", "phone_number": "+6281111111111"})
    page = stage.browser.page
    assert page.codes == ["+6281111111111"]
    page.tell(CodeShown("ABCD-EFGH", "+6281111111111", 180.0))
    await settle()
    reply = await stage.ask(SessionQr())
    assert isinstance(reply, QrReply)
    assert (reply.qr, reply.code) == (None, "ABCD-EFGH")
    events = [event.data for event in stage.ports.events.published if isinstance(event, CodeEvent)]
    assert [data.code for data in events] == ["ABCD-EFGH"]
    assert "session.qr" not in stage.ports.events.names()
    await stage.clock.advance(180)
    assert page.codes == ["+6281111111111"] * 2


async def test_a_link_code_that_does_not_come_is_asked_for_again(staged: Staged) -> None:
    stage = await started_with(staged, "qr", desired={"pairing": "code", "phone_number": "+6281111111111"})
    await stage.clock.advance(20)
    assert len(stage.browser.page.codes) == 2
    stage.browser.page.tell(QrIdle())
    await settle()
    assert (stage.browser.page.refreshes, len(stage.browser.page.codes)) == (1, 3)


async def test_a_start_that_hangs_is_given_up_and_tried_again(staged: Staged) -> None:
    stage = await started_with(staged, "hang", starting_timeout_s=45)
    await stage.clock.advance(45)
    assert stage.state == "reconnecting"
    await stage.clock.advance(2)
    assert stage.state == "ready"
    assert stage.browser.attempts == 2


async def test_a_page_that_says_nothing_is_reconnected(staged: Staged) -> None:
    stage = await started_with(staged, "silent")
    await stage.clock.advance(45)
    assert stage.state == "reconnecting"
    assert stage.browser.open_pages == 0
    await stage.clock.advance(2)
    assert stage.state == "ready"


async def test_a_sync_that_hangs_is_reconnected(staged: Staged) -> None:
    stage = await started_with(staged, "linked", syncing_timeout_s=100)
    assert stage.state == "syncing"
    await stage.clock.advance(102)
    assert stage.state == "ready"


async def test_an_action_a_person_must_take_has_its_time(staged: Staged) -> None:
    stage = await started_with(staged, "silent", action_timeout_s=900)
    stage.browser.page.tell(ActionNeeded("terms"))
    await settle()
    status = stage.actor.status()
    assert (status.state, status.status, status.reason) == ("action_required", "initializing", "terms")
    await stage.clock.advance(900)
    assert await stage.ended() == Ended("stopped", "action_timeout")


# --- reconnect ----------------------------------------------------------------------------------------------------


async def test_a_killed_browser_is_opened_again_after_the_first_delay(
    staged: Staged, caplog: pytest.LogCaptureFixture
) -> None:
    stage = await staged()
    stage.browser.page.lose_browser()
    await settle()
    status = stage.actor.status()
    assert (status.status, status.state, status.reconnect_attempt) == ("disconnected", "reconnecting", 1)
    await stage.clock.advance(1.1)
    assert stage.state == "ready"
    assert attempts(caplog) == ["[Session:acme:s1] Reconnect attempt 1/5"]
    assert stage.browser.open_pages == 1
    assert stage.ports.events.names()[-4:] == [
        "session.ready",
        "session.disconnected",
        "session.reconnecting",
        "session.ready",
    ]
    event = stage.ports.events.of("session.reconnecting")[0]
    assert isinstance(event, SessionEvent)
    assert event.data.retry_in_ms is not None
    assert 900 <= event.data.retry_in_ms <= 1_100


async def test_a_crashed_renderer_gets_a_new_page_in_the_same_browser(staged: Staged) -> None:
    stage = await staged()
    stage.browser.page.crash()
    await stage.clock.advance(1.1)
    assert stage.state == "ready"
    assert (stage.browser.attempts, stage.browser.page.page_number) == (1, 2)


async def test_five_attempts_with_growing_delays_and_then_failed(
    staged: Staged, caplog: pytest.LogCaptureFixture
) -> None:
    stage = await staged()
    stage.browser.opens.extend(["fail"] * 5)
    stage.browser.page.lose_browser()
    begun = stage.clock.monotonic()
    times = []
    for _ in range(400):
        seen = len(attempts(caplog))
        await stage.clock.advance(0.1)
        if len(attempts(caplog)) > seen:
            times.append(stage.clock.monotonic() - begun)
    assert await stage.ended() == Ended("failed", "browser_launch_failed")
    assert attempts(caplog) == [f"[Session:acme:s1] Reconnect attempt {n}/5" for n in range(1, 6)]
    delays = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
    assert delays == pytest.approx([1, 2, 4, 8, 16], rel=0.2)
    status = stage.ports.board.statuses[-1]
    assert (status.status, status.state, status.reconnect_attempt) == ("error", "failed", 5)
    assert stage.ports.events.names()[-1] == "session.failed"


async def test_a_socket_that_comes_back_by_itself_is_no_attempt(
    staged: Staged, caplog: pytest.LogCaptureFixture
) -> None:
    stage = await staged()
    stage.browser.page.tell(ConnectionLost("socket OPENING"))
    await stage.clock.advance(4)
    assert stage.state == "reconnecting"
    stage.browser.page.tell(Synced(WID, None))
    await settle()
    assert stage.state == "ready"
    assert attempts(caplog) == []


async def test_a_socket_that_stays_away_is_reloaded_then_reopened(staged: Staged) -> None:
    stage = await staged()
    stage.browser.reloads.append("silent")
    stage.browser.page.tell(ConnectionLost("socket OPENING"))
    await stage.clock.advance(6.2)
    assert stage.browser.page.calls.count("reload") == 1
    await stage.clock.advance(30 + 2.5)
    assert stage.state == "ready"
    assert stage.browser.attempts == 2


async def test_losses_in_a_row_share_one_budget_and_five_stable_minutes_refill_it(
    staged: Staged, caplog: pytest.LogCaptureFixture
) -> None:
    stage = await staged()
    for _ in range(2):
        stage.browser.page.lose_browser()
        await stage.clock.advance(10)
    await stage.clock.advance(300)
    stage.browser.page.lose_browser()
    await stage.clock.advance(10)
    numbers = [line.rsplit(" ", 1)[1] for line in attempts(caplog)]
    assert numbers == ["1/5", "2/5", "1/5"]


async def test_a_page_that_goes_deaf_or_silent_is_found_by_the_probe(staged: Staged) -> None:
    stage = await staged()
    stage.browser.page.deaf = True
    await stage.clock.advance(30)
    assert stage.actor.status().reason == "probe: socket OPENING"
    stage.browser.page.tell(Synced(WID, None))
    stage.browser.page.deaf = False
    await settle()
    stage.browser.page.wedged = True
    await stage.clock.advance(45)
    assert stage.actor.status().state == "ready"
    assert stage.browser.attempts == 2


async def test_a_driver_that_died_without_a_word_is_found_by_the_probe(staged: Staged) -> None:
    stage = await staged()
    stage.browser.page.lose_browser(silently=True)
    await stage.clock.advance(41)
    assert stage.state == "ready"
    assert stage.browser.pages[0].calls.count("probe") == 1


async def test_facts_of_a_former_page_are_not_heard(staged: Staged) -> None:
    stage = await staged()
    old = stage.browser.page
    old.lose_browser()
    await stage.clock.advance(2)
    old.closed = False
    old.tell(PageEnded("late"))
    await settle()
    assert stage.state == "ready"
