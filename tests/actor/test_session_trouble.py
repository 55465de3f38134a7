"""What goes wrong beside the page: lost answers, records that change or vanish, steps that fail, our own bugs."""

import pytest

from actors.core.facts import PageEnded, QrIdle
from actors.errors import BrowserGone, PageCrashed, Unavailable
from actors.lease_keeper import LeaseKeeper
from actors.messages.commands import SessionLogout, SessionPause, SessionStop
from actors.messages.jobs import JobRecord
from actors.messages.records import LeaseRecord
from actors.ports import Ended, Vitals
from tests.actor.conftest import Staged
from tests.support.fakes import FakeBrowser, FakePage, FakePorts
from tests.support.memory import MemoryJobLog, MemoryLease, MemoryRecords


async def test_an_outcome_whose_answer_was_lost_is_not_stored_twice(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await staged()
    update = MemoryRecords.update
    lost: list[str] = []

    async def lose_one_answer(records: MemoryRecords, record: JobRecord, revision: int) -> int | None:
        stored = await update(records, record, revision)
        if record.status == "sent" and not lost:
            lost.append(record.job_id)
            raise Unavailable("update: the answer was lost")
        return stored

    monkeypatch.setattr(MemoryRecords, "update", lose_one_answer)
    (job,) = await stage.submit()
    await stage.clock.advance(2)
    assert [change.status for change in stage.record(job).history] == ["accepted", "sending", "sent"]
    assert len(stage.ports.events.of("message.sent")) == 1
    assert stage.ports.jobs.jobs == {}


@pytest.mark.parametrize("vanishes", [True, False])
async def test_a_record_that_changes_or_vanishes_under_a_send_does_not_hide_its_outcome(
    staged: Staged,
    vanishes: bool,  # noqa: FBT001 - a table
) -> None:
    stage = await staged()
    stage.browser.send_takes_s = 1
    (job,) = await stage.submit()
    record = stage.record(job)
    if vanishes:
        del stage.ports.records.stored[job.job_id]
    else:
        stage.ports.records.put(record)
    await stage.clock.advance(1)
    assert len(stage.ports.events.of("message.sent")) == 1
    assert stage.ports.jobs.jobs == {}
    assert vanishes or stage.record(job).status == "sent"


async def test_a_record_that_can_neither_be_read_nor_made_holds_the_job(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await staged()

    async def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr(MemoryRecords, "get", nothing)
    monkeypatch.setattr(MemoryRecords, "create", nothing)
    await stage.submit()
    assert stage.whatsapp.accepted == []
    monkeypatch.undo()
    await stage.clock.advance(1)
    assert len(stage.whatsapp.accepted) == 1


async def test_a_reload_that_fails_is_followed_by_a_fresh_browser(staged: Staged) -> None:
    stage = await staged()
    stage.browser.reloads.append("fail")
    stage.browser.page.crash()
    await stage.clock.advance(1.2)
    assert (stage.state, stage.actor.status().reason) == ("reconnecting", "browser_gone")
    await stage.clock.advance(2.5)
    assert stage.state == "ready"
    assert stage.browser.attempts == 2


async def test_a_pairing_page_that_does_not_answer_is_not_the_end(staged: Staged) -> None:
    ports = FakePorts()
    ports.browser.opens.append("qr")
    stage = await staged(ports)
    stage.browser.page.wedged = True
    stage.browser.page.tell(QrIdle())
    await stage.clock.advance(11)
    assert (stage.state, stage.browser.page.refreshes) == ("pairing", 0)


async def test_a_refresh_asked_of_a_page_that_is_gone_is_dropped(staged: Staged) -> None:
    ports = FakePorts()
    ports.browser.opens.append("qr")
    stage = await staged(ports)
    stage.browser.page.tell(QrIdle())
    stage.browser.page.tell(PageEnded("crash"))
    await stage.clock.advance(3)
    assert stage.state == "ready"


async def test_a_profile_that_can_not_be_moved_does_not_hold_up_a_logout(
    staged: Staged, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(_: FakeBrowser) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(FakeBrowser, "quarantine", refuse)
    stage = await staged()
    await stage.ask(SessionLogout())
    assert await stage.ended() == Ended("logged_out", "logout")
    assert any("Profile not moved aside" in message for message in caplog.messages)


async def test_a_logout_insists_while_the_log_is_away(staged: Staged) -> None:
    stage = await staged()
    await stage.ask(SessionPause())
    (job,) = await stage.submit()
    stage.ports.jobs.down = True
    await stage.ask(SessionLogout())
    await stage.clock.advance(3)
    assert stage.record(job).status == "accepted"
    stage.ports.jobs.down = False
    await stage.clock.advance(1)
    assert await stage.ended() == Ended("logged_out", "logout")
    assert stage.record(job).status == "cancelled"


async def test_a_lease_lost_during_a_start_ends_it(staged: Staged) -> None:
    ports = FakePorts()
    ports.browser.opens.append("hang")
    stage = await staged(ports)
    ports.lease.take_over()
    await stage.clock.advance(5)
    assert await stage.ended() == Ended("stopped", "lease_lost")


async def test_a_driver_that_dies_under_a_send_is_a_reconnect(staged: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = await staged()
    first = stage.browser.page
    prepare = FakePage.prepare

    async def die_once(page: FakePage, content: object) -> object:
        if page is first:
            page.lose_browser(silently=True)
            raise BrowserGone("the driver ended")
        return await prepare(page, content)  # type: ignore[arg-type]

    monkeypatch.setattr(FakePage, "prepare", die_once)
    (job,) = await stage.submit()
    assert stage.actor.status().reason == "browser_gone"
    await stage.clock.advance(2)
    assert stage.whatsapp.accepted == [job.message_id]


# --- our own bugs -------------------------------------------------------------------------------------------------


async def broken(*_: object) -> None:
    raise RuntimeError("a bug")


@pytest.mark.parametrize(("part", "call"), [(FakePage, "resolve"), (MemoryJobLog, "read"), (FakePage, "reload")])
async def test_a_bug_anywhere_ends_the_session_as_failed_and_keeps_its_jobs(
    staged: Staged, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: type, call: str
) -> None:
    stage = await staged()
    monkeypatch.setattr(part, call, broken)
    if call == "reload":
        stage.browser.page.crash()
    await stage.submit()
    await stage.clock.advance(3)
    assert await stage.ended() == Ended("failed", "internal_error")
    assert len(stage.ports.jobs.jobs) == 1
    assert stage.browser.open_pages == 0
    assert stage.ports.board.statuses[-1].reason == "internal_error"
    assert any(record.exc_info for record in caplog.records)


async def test_a_renewal_on_its_way_does_not_keep_the_lease_from_being_released(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await staged()
    renew = MemoryLease.renew

    async def renew_slowly(lease: MemoryLease, record: LeaseRecord, revision: int) -> int | None:
        stored = await renew(lease, record, revision)
        await stage.clock.sleep(0.9)
        return stored

    monkeypatch.setattr(MemoryLease, "renew", renew_slowly)
    await stage.clock.advance(2.1)
    await stage.ask(SessionStop())
    assert await stage.ended() == Ended("stopped", "stopped")
    assert stage.ports.lease.held is None


async def test_a_probe_in_flight_does_not_disturb_the_reload_that_began_under_it(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await staged(probe_every_s=30, probe_timeout_s=60)
    probed: list[float] = []

    async def end_late(page: FakePage) -> Vitals:
        probed.append(stage.clock.monotonic())
        await stage.clock.sleep(10)
        raise PageCrashed("the page was replaced")

    monkeypatch.setattr(FakePage, "probe", end_late)
    stage.browser.close_takes_s = 12
    await stage.clock.advance(34)
    assert len(probed) == 1
    stage.browser.page.tell(PageEnded("crashed"))
    await stage.clock.advance(20)
    assert (stage.state, stage.browser.attempts, stage.browser.page.calls.count("reload")) == ("ready", 1, 1)
    assert stage.ports.events.names().count("session.reconnecting") == 1


async def test_the_last_activity_is_told_now_and_then_and_outlives_its_owner(staged: Staged) -> None:
    ports = FakePorts()
    stage = await staged(ports)
    assert ports.board.statuses[-1].last_activity is None
    await stage.submit()
    first = stage.clock.now()
    assert ports.board.statuses[-1].last_activity == first
    await stage.clock.advance(5)
    written = len(ports.board.statuses)
    await stage.submit()
    assert len(ports.board.statuses) == written
    await stage.clock.advance(6)
    await stage.submit()
    last = stage.clock.now()
    assert ports.board.statuses[-1].last_activity == last
    await stage.close()
    ports.lease.held = None
    await stage.clock.advance(60)
    following = await staged(ports)
    assert following.actor.status().last_activity == last
    assert ports.board.statuses[-1].last_activity == last


@pytest.mark.parametrize("moments", [(), (True,)], ids=["before the attempt is written", "after it"])
async def test_no_send_begins_on_a_lease_that_may_be_over(
    staged: Staged, monkeypatch: pytest.MonkeyPatch, moments: tuple[bool, ...]
) -> None:
    """The page is closed at the same moment; so the last look before a call is shown by itself."""
    stage = await staged()
    holds = iter(moments)
    monkeypatch.setattr(LeaseKeeper, "may_send", lambda _: next(holds, False))
    (job,) = await stage.submit()
    assert stage.state == "ready"
    assert len(stage.record(job).attempts) == len(moments)
    assert stage.whatsapp.accepted == []
    monkeypatch.setattr(LeaseKeeper, "may_send", lambda _: True)
    await stage.clock.advance(10)
    assert stage.whatsapp.accepted == [job.message_id]
