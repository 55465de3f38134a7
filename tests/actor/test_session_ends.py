"""Every way to the end of a session actor, and what it answers on its way."""

import asyncio
import logging

import pytest

from actors.core.facts import (
    AccountBlocked,
    Unlinked,
)
from actors.messages.commands import (
    ContactCheck,
    JobGet,
    QueueQuery,
    Screenshot,
    SessionLogout,
    SessionPause,
    SessionRestart,
    SessionResume,
    SessionStart,
    SessionStatusQuery,
    SessionStop,
)
from actors.messages.jobs import Job
from actors.messages.replies import ContactList, ErrorBody, ScreenshotReply, SessionStatus
from actors.ports import Ended
from tests.actor.conftest import Staged
from tests.actor.stage import JOB_IDS, Stage
from tests.support.fakes import FakePorts, SendAct, settle

WID = "6281111111111@c.us"


def attempts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "Reconnect attempt" in record.getMessage()]


async def started_with(staged: Staged, *opens: str, **config: object) -> Stage:
    ports = FakePorts()
    ports.browser.opens.extend(opens)  # type: ignore[arg-type]
    return await staged(ports, **config)


async def owner_died_under(staged: Staged, act: SendAct) -> tuple[Stage, Job]:
    """Return a paused session that took over from an owner that died in the middle of a send, and the send."""
    stage = await staged()
    stage.browser.plan(act)
    (job,) = await stage.submit()
    await stage.close()
    stage.ports.lease.held = None
    return await staged(stage.ports, desired={"paused": True}), job


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
    assert stage.browser.let_go == 1


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
    assert stage.browser.let_go == 1
    assert (stage.record(first).status, stage.record(second).status) == ("sent", "accepted")
    assert len(stage.ports.jobs.jobs) == 1


async def test_a_drain_does_not_wait_for_ever(staged: Staged) -> None:
    stage = await staged(draining_timeout_s=20)
    stage.browser.plan("hang")
    await stage.submit()
    await stage.ask(SessionStop())
    await stage.clock.advance(20)
    assert await stage.ended() == Ended("stopped", "stopped")
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
    assert stage.browser.let_go == 0, "the next browser wants what was kept"
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


async def test_jobs_queued_for_a_number_are_not_sent_by_another_one(staged: Staged) -> None:
    stage = await staged()
    await stage.ask(SessionPause())
    jobs = [*await stage.submit(70), *await stage.submit(2, lane="high")]
    stage.browser.page.tell(Unlinked("LOGOUT"))
    assert (await stage.ended()).state == "logged_out"
    successor = await staged(stage.ports, desired={"paused": True})
    assert successor.state == "ready"
    assert {successor.record(job).status for job in jobs} == {"accepted"}
    await successor.close()
    stage.ports.lease.held = None
    stage.whatsapp.wid = "6282222222222@c.us"
    other = await staged(stage.ports)
    (new,) = await other.submit(n=500)
    assert {other.record(job).status for job in jobs} == {"cancelled"}
    assert stage.whatsapp.accepted == [new.message_id]
    assert len(stage.ports.events.of("message.failed")) == 72
    status = other.actor.status()
    assert (status.wid, status.phone_number) == ("6282222222222@c.us", "+6282222222222")
    assert stage.ports.board.statuses[-1].wid == status.wid


async def test_logout_lets_the_send_in_flight_end_first(staged: Staged) -> None:
    stage = await staged()
    stage.browser.send_takes_s = 2
    (job,) = await stage.submit()
    await stage.ask(SessionLogout())
    await stage.clock.advance(2)
    assert await stage.ended() == Ended("logged_out", "logout")
    assert stage.record(job).status == "sent"


@pytest.mark.parametrize(("act", "outcome"), [("hang", "unconfirmed"), ("timeout_accepted", "sent")])
async def test_logout_asks_the_page_before_it_calls_a_send_that_hangs_unconfirmed(
    staged: Staged, act: SendAct, outcome: str
) -> None:
    stage = await staged()
    stage.browser.plan(act)
    (job,) = await stage.submit()
    await stage.ask(SessionLogout())
    await stage.clock.advance(5)
    assert await stage.ended() == Ended("logged_out", "logout")
    assert stage.record(job).status == outcome


@pytest.mark.parametrize(
    ("act", "outcome"),
    [("timeout_accepted", "sent"), ("timeout", "cancelled"), ("timeout_stored", "unconfirmed")],
)
async def test_logout_asks_the_page_about_what_a_former_owner_left_in_doubt(
    staged: Staged, act: SendAct, outcome: str
) -> None:
    stage, doubted = await owner_died_under(staged, act)
    (waiting,) = await stage.submit(n=500)
    await stage.ask(SessionLogout())
    assert await stage.ended() == Ended("logged_out", "logout")
    assert (stage.record(doubted).status, stage.record(waiting).status) == (outcome, "cancelled")
    assert stage.ports.jobs.jobs == {}
    assert stage.ports.events.repeats == []


@pytest.mark.parametrize("trouble", ["page", "store"])
async def test_a_logout_does_not_wait_for_who_could_tell_of_a_doubt(staged: Staged, trouble: str) -> None:
    stage, doubted = await owner_died_under(staged, "timeout_accepted")
    stage.browser.page.wedged = trouble == "page"
    stage.ports.jobs.down = trouble == "store"
    await stage.ask(SessionLogout())
    await stage.clock.advance(15)
    assert stage.whatsapp.quarantined == 1
    stage.ports.jobs.down = False
    await stage.clock.advance(1)
    assert await stage.ended() == Ended("logged_out", "logout")
    assert stage.record(doubted).status == "unconfirmed"


async def test_logout_does_not_end_a_job_that_only_shares_a_refused_key(staged: Staged) -> None:
    stage = await staged()
    (sent,) = await stage.submit()
    await stage.ask(SessionPause())
    stage.ports.jobs.store(sent.model_copy(update={"body_hash": "another"}))
    await stage.ask(SessionLogout())
    await stage.ended()
    assert stage.record(sent).status == "sent"
    assert stage.ports.jobs.jobs == {}
    assert stage.ports.events.repeats == []


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


@pytest.mark.parametrize("broken", ["hangs", "raises"])
async def test_a_driver_that_does_not_go_does_not_hold_up_the_end(
    staged: Staged, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    async def close() -> None:
        if broken == "raises":
            raise OSError(broken)
        await asyncio.get_running_loop().create_future()

    stage = await staged()
    monkeypatch.setattr(stage.browser, "close", close)
    await stage.ask(SessionStop())
    await stage.clock.advance(10)
    assert await stage.ended() == Ended("stopped", "stopped")
    assert stage.ports.lease.held is None


async def test_without_a_connection_nothing_begins(staged: Staged) -> None:
    ports = FakePorts(unreachable=True)
    stage = await staged(ports)
    assert await stage.ended() == Ended("stopped", "unavailable")
    assert (stage.state, stage.actor.status().reason) == ("stopped", "unavailable")


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
