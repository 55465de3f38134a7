"""A session actor's life: pairing, ready, loss and return, and every way to the end."""

import logging

import pytest

from actors.core.facts import (
    AccountBlocked,
    ActionNeeded,
    CodeShown,
    ConnectionLost,
    Linked,
    PageEnded,
    QrIdle,
    QrShown,
    Synced,
    Unlinked,
)
from actors.messages.commands import (
    ContactCheck,
    JobGet,
    QueueQuery,
    Screenshot,
    SessionLogout,
    SessionPause,
    SessionQr,
    SessionRestart,
    SessionResume,
    SessionStart,
    SessionStatusQuery,
    SessionStop,
)
from actors.messages.events import CodeEvent, QrEvent, SessionEvent
from actors.messages.replies import ContactList, ErrorBody, QrReply, ScreenshotReply, SessionStatus
from actors.ports import Ended
from tests.actor.conftest import Staged
from tests.actor.stage import JOB_IDS, Stage
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
    await stage.clock.advance(35)
    assert stage.state == "ready"
    assert stage.browser.pages[0].calls.count("probe") == 1


async def test_a_qr_in_place_of_the_login_means_logged_out(staged: Staged) -> None:
    stage = await staged()
    stage.browser.opens.append("qr")
    stage.browser.page.lose_browser()
    await stage.clock.advance(2)
    assert await stage.ended() == Ended("logged_out", "login_lost")
    assert stage.whatsapp.quarantined == 0


async def test_facts_of_a_former_page_are_not_heard(staged: Staged) -> None:
    stage = await staged()
    old = stage.browser.page
    old.lose_browser()
    await stage.clock.advance(2)
    old.closed = False
    old.tell(PageEnded("late"))
    await settle()
    assert stage.state == "ready"


# --- ends ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fact", "state", "event"),
    [
        (Unlinked("device_removed"), "logged_out", "session.logged_out"),
        (AccountBlocked("banned"), "blocked", "session.restricted"),
    ],
)
async def test_a_login_that_is_gone_is_never_retried(
    staged: Staged, fact: Unlinked | AccountBlocked, state: str, event: str
) -> None:
    stage = await staged()
    stage.browser.page.tell(fact)
    assert await stage.ended() == Ended(state, fact.reason)
    assert stage.ports.events.names()[-1] == event
    assert stage.ports.board.statuses[-1].state == state
    assert stage.browser.attempts == 1
    assert stage.whatsapp.quarantined == 0
    assert (stage.browser.open_pages, stage.ports.lease.held, stage.ports.closed) == (0, None, 1)


async def test_stop_finishes_the_send_in_flight_and_keeps_the_queue(staged: Staged) -> None:
    stage = await staged()
    stage.browser.send_takes_s = 5
    first, second = await stage.submit(2)
    status = await stage.ask(SessionStop())
    assert isinstance(status, SessionStatus)
    assert status.state == "draining"
    await stage.ask(SessionStop())
    await stage.clock.advance(5)
    assert await stage.ended() == Ended("stopped", "stopped")
    assert (stage.record(first).status, stage.record(second).status) == ("sent", "accepted")
    assert len(stage.ports.jobs.jobs) == 1


async def test_a_drain_does_not_wait_for_ever(staged: Staged) -> None:
    stage = await staged(draining_timeout_s=20)
    stage.browser.plan("hang")
    await stage.submit()
    await stage.ask(SessionStop())
    await stage.clock.advance(20)
    assert await stage.ended() == Ended("stopped", "drain_timeout")
    assert stage.ports.events.names()[-1] == "session.stopped"


async def test_stop_in_the_middle_of_a_start_ends_it(staged: Staged) -> None:
    stage = await started_with(staged, "hang")
    await stage.ask(SessionStop())
    assert await stage.ended() == Ended("stopped", "stopped")


async def test_restart_is_a_new_browser_and_no_attempt(staged: Staged, caplog: pytest.LogCaptureFixture) -> None:
    stage = await staged()
    await stage.ask(SessionPause())
    jobs = await stage.submit(2)
    await stage.ask(SessionRestart())
    assert stage.state == "ready"
    assert stage.browser.attempts == 2
    assert stage.browser.open_pages == 1
    assert attempts(caplog) == []
    await stage.ask(SessionResume())
    assert len(stage.whatsapp.accepted) == len(jobs)


async def test_logout_unlinks_quarantines_and_cancels_the_queue(staged: Staged) -> None:
    stage = await staged()
    await stage.ask(SessionPause())
    jobs = [*await stage.submit(70), *await stage.submit(2, lane="high")]
    status = await stage.ask(SessionLogout())
    assert isinstance(status, SessionStatus)
    assert status.state == "logged_out"
    assert await stage.ended() == Ended("logged_out", "logout")
    assert (stage.whatsapp.logouts, stage.whatsapp.quarantined) == (1, 1)
    assert {stage.record(job).status for job in jobs} == {"cancelled"}
    assert stage.ports.jobs.jobs == {}
    assert len(stage.ports.events.of("message.failed")) == 72
    assert stage.ports.events.names()[-1] == "session.logged_out"


async def test_logout_lets_the_send_in_flight_end_first(staged: Staged) -> None:
    stage = await staged()
    stage.browser.send_takes_s = 2
    (job,) = await stage.submit()
    await stage.ask(SessionLogout())
    await stage.clock.advance(2)
    assert await stage.ended() == Ended("logged_out", "logout")
    assert stage.record(job).status == "sent"


async def test_logout_calls_a_send_that_hangs_unconfirmed(staged: Staged) -> None:
    stage = await staged()
    stage.browser.plan("hang")
    (job,) = await stage.submit()
    await stage.ask(SessionLogout())
    await stage.clock.advance(5)
    await stage.ended()
    assert stage.record(job).status == "unconfirmed"


async def test_a_logout_that_the_page_does_not_answer_still_ends(staged: Staged) -> None:
    stage = await staged()
    stage.browser.page.wedged = True
    await stage.ask(SessionLogout())
    await stage.clock.advance(15)
    assert await stage.ended() == Ended("logged_out", "logout")
    assert stage.whatsapp.quarantined == 1


async def test_an_actor_made_to_log_out_opens_no_browser(staged: Staged) -> None:
    stage = Stage(desired={"target": "logged_out"})
    job = stage.accept(stage.job())
    await stage.start()
    assert await stage.ended() == Ended("logged_out", "logout")
    assert stage.browser.attempts == 0
    assert stage.record(job).status == "cancelled"
    assert stage.whatsapp.quarantined == 1


async def test_a_browser_that_does_not_close_is_killed(staged: Staged) -> None:
    stage = await staged()
    stage.browser.close_takes_s = 1_000
    await stage.ask(SessionStop())
    await stage.clock.advance(10)
    await stage.ended()
    assert stage.browser.page.killed


async def test_without_a_connection_nothing_begins(staged: Staged) -> None:
    ports = FakePorts(unreachable=True)
    stage = await staged(ports)
    assert await stage.ended() == Ended("stopped", "unavailable")


async def test_a_bug_inside_ends_the_session_as_failed_and_says_so(
    staged: Staged, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await staged()

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(stage.actor._core.dispatcher, "end", broken)
    await stage.submit()
    assert await stage.ended() == Ended("failed", "internal_error")
    assert stage.browser.open_pages == 0
    assert any("Broken by Handled" in record.getMessage() for record in caplog.records)
    assert stage.ports.board.statuses[-1].reason == "internal_error"


async def test_a_core_that_breaks_at_everything_still_ends(staged: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = await staged()

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(stage.actor._core, "handle", broken)
    stage.browser.page.tell(Unlinked("x"))
    assert await stage.ended() == Ended("failed", "internal_error")
    assert stage.browser.open_pages == 0


# --- questions ----------------------------------------------------------------------------------------------------


async def test_questions_to_the_page_need_a_page(staged: Staged) -> None:
    stage = await started_with(staged, "qr", "qr")
    reply = await stage.ask(ContactCheck(numbers=("+6281234567890",)))
    assert isinstance(reply, ErrorBody)
    assert (reply.code, reply.details) == ("session_not_ready", {"state": "pairing"})
    assert await stage.ask(Screenshot()) == ScreenshotReply(png="iVBORw==")
    stage.browser.page.lose_browser()
    await settle()
    reply = await stage.ask(Screenshot())
    assert isinstance(reply, ErrorBody)
    assert reply.code == "session_not_ready"


async def test_contacts_are_checked_in_ready(staged: Staged) -> None:
    stage = await staged()
    reply = await stage.ask(ContactCheck(numbers=("+6281234567890",)))
    assert isinstance(reply, ContactList)
    assert reply.contacts[0].chat_id == "6281234567890@c.us"


async def test_a_page_that_does_not_answer_a_question_is_unavailable(staged: Staged) -> None:
    stage = await staged()
    stage.browser.page.alive = False
    reply = await stage.ask(Screenshot())
    assert isinstance(reply, ErrorBody)
    assert (reply.code, reply.retryable) == ("unavailable", True)


async def test_a_command_that_is_no_question_is_refused(staged: Staged) -> None:
    stage = await staged()
    reply = await stage.ask(JobGet(job_id=JOB_IDS[0]))
    assert isinstance(reply, ErrorBody)
    assert reply.code == "invalid_command"


async def test_a_queue_that_can_not_be_counted_is_unavailable(staged: Staged) -> None:
    stage = await staged()
    stage.ports.jobs.down = True
    reply = await stage.ask(QueueQuery())
    assert isinstance(reply, ErrorBody)
    assert reply.code == "unavailable"


async def test_start_of_a_running_session_answers_its_status(staged: Staged) -> None:
    stage = await staged()
    status = await stage.ask(SessionStart())
    assert isinstance(status, SessionStatus)
    assert status.state == "ready"
    assert stage.browser.attempts == 1


async def test_an_ended_actor_answers_what_is_left_to_say(staged: Staged) -> None:
    stage = await staged()
    await stage.ask(SessionStop())
    await stage.ended()
    for command in (SessionStatusQuery(), SessionStop(), SessionRestart(), SessionLogout(), SessionPause()):
        status = await stage.ask(command)
        assert isinstance(status, SessionStatus)
        assert status.state == "stopped"
    reply = await stage.ask(Screenshot())
    assert isinstance(reply, ErrorBody)
    assert reply.code == "session_not_ready"
    await stage.actor.drain()


async def test_heartbeats_and_names_say_who_it_is(staged: Staged) -> None:
    stage = await staged()
    beat = await stage.actor.heartbeat()
    assert (beat.state, beat.epoch) == ("ready", 1)
    assert repr(stage.actor) == "session:acme:s1"


async def test_every_change_of_state_is_logged_with_its_session(
    staged: Staged, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "wafleet.session")
    await staged()
    assert "[Session:acme:s1] starting -> syncing on linked" in caplog.messages
