"""One owner (promise 4), events that arrive in order, and acks: what a session keeps up besides its page."""

import asyncio

import pytest

from actors.core.facts import AckChanged, QrShown, Unlinked
from actors.core.signals import Logout
from actors.errors import InvalidCommand
from actors.messages.commands import SessionLogout, SessionStop
from actors.messages.events import AckEvent, Event
from actors.ports import Ended
from tests.actor.conftest import Staged
from tests.actor.stage import Stage
from tests.support.fakes import FakePorts, settle
from tests.support.memory import MemoryEvents


async def died(stage: Stage) -> str:
    """Let an owner end without a chance to give its lease back; returns its id."""
    stage.ports.lease.fail_next.append("release")
    await stage.close()
    return (await stage.actor.heartbeat()).owner_id


# --- the lease ----------------------------------------------------------------------------------------------------


async def test_a_lease_that_somebody_keeps_is_not_taken(staged: Staged) -> None:
    ports = FakePorts()
    ports.lease.take_over()
    stage = await staged(ports)
    assert stage.state == "starting"
    await stage.clock.advance(25)
    assert await stage.ended() == Ended("failed", "lease_held")
    assert (ports.browser.attempts, ports.events.published, ports.board.statuses) == (0, [], [])


async def test_a_lease_that_runs_out_is_taken_then(staged: Staged) -> None:
    ports = FakePorts()
    ports.lease.take_over()
    stage = await staged(ports)
    await stage.clock.advance(10)
    ports.lease.held = None
    await stage.clock.advance(1)
    assert stage.state == "ready"


async def test_a_session_that_waits_for_its_lease_can_be_stopped_but_not_logged_out(staged: Staged) -> None:
    ports = FakePorts()
    ports.lease.take_over()
    stage = await staged(ports)
    logout = asyncio.create_task(stage.actor.ask(SessionLogout()))
    await settle()
    assert ports.whatsapp.quarantined == 0
    await stage.ask(SessionStop())
    assert await stage.ended() == Ended("stopped", "stopped")
    await logout
    assert ports.lease.held is not None
    assert ports.whatsapp.quarantined == 0


async def test_a_create_whose_answer_was_lost_is_our_own(staged: Staged) -> None:
    ports = FakePorts()
    create = ports.lease.create

    async def stored_but_unanswered(record: object) -> int | None:
        await create(record)  # type: ignore[arg-type]
        return None

    ports.lease.create = stored_but_unanswered  # type: ignore[method-assign]
    stage = await staged(ports)
    assert stage.state == "ready"
    assert ports.lease.held is not None
    assert ports.lease.held.value.browser_pids == ((4711, 1.0),)


async def test_the_lease_is_renewed_and_names_the_browser(staged: Staged) -> None:
    stage = await staged()
    await stage.clock.advance(60)
    assert stage.state == "ready"
    assert 30 <= stage.ports.lease.renewals <= 31
    assert stage.ports.lease.held is not None
    assert stage.ports.lease.held.value.browser_pids == ((4711, 1.0),)


async def test_a_renewal_whose_answer_was_lost_is_gone_on_with(staged: Staged) -> None:
    stage = await staged()
    stage.ports.lease.lose_answers = 1
    await stage.clock.advance(60)
    assert stage.state == "ready"


async def test_the_browser_stands_in_the_lease_at_once_and_not_before_it_is_launched(staged: Staged) -> None:
    ports = FakePorts()
    ports.browser.opens.append("qr")
    stage = await staged(ports)
    assert stage.ports.lease.held is not None
    assert stage.ports.lease.held.value.browser_pids == ((4711, 1.0),)
    ports.browser.opens.append("hang")
    ports.browser.page.lose_browser()
    await stage.clock.advance(1.5)
    assert (stage.state, ports.browser.attempts) == ("reconnecting", 2)
    assert not stage.ports.lease.held.value.browser_pids


async def test_a_browser_is_not_launched_as_long_as_the_lease_names_the_former_one(staged: Staged) -> None:
    stage = await staged()
    stage.browser.page.lose_browser()
    stage.ports.lease.down = True
    await stage.clock.advance(3)
    assert stage.browser.attempts == 1
    stage.ports.lease.down = False
    await stage.clock.advance(0.3)
    assert stage.browser.attempts == 2


async def test_each_renewal_arms_the_pages_fuse_for_what_is_left_of_twelve_seconds(staged: Staged) -> None:
    stage = await staged()
    stage.browser.armings.clear()
    await stage.clock.advance(10)
    assert stage.browser.armings == [12.0] * 5
    stage.ports.lease.down = True
    await stage.clock.advance(6)
    assert stage.browser.armings == [12.0] * 5


async def test_a_page_that_can_not_be_armed_is_wedged(staged: Staged) -> None:
    stage = await staged()
    stage.browser.page.wedged = True
    await stage.clock.advance(12)
    assert (stage.state, stage.actor.status().reason) == ("reconnecting", "probe_timeout")
    await stage.clock.advance(2)
    assert stage.state == "ready"


async def test_the_lease_of_a_dead_owner_is_taken_over_at_once(staged: Staged) -> None:
    ports = FakePorts()
    owner = await died(await staged(ports))
    second = await staged(ports, dead_owners=(owner,))
    assert second.state == "ready"
    assert (await second.actor.heartbeat()).epoch == 2
    assert [former.owner_id for former in ports.browser.inherited] == [owner]


@pytest.mark.parametrize("doubt", ["not reported", "leftovers", "launching", "another node"])
async def test_in_doubt_the_lease_of_a_dead_owner_has_to_run_out(staged: Staged, doubt: str) -> None:
    ports = FakePorts()
    owner = await died(await staged(ports))
    assert ports.lease.held is not None
    if doubt == "launching":
        ports.lease.amend({"browser_pids": ()})
    elif doubt == "another node":
        ports.lease.amend({"node": "other"})
    ports.browser.leftovers = doubt == "leftovers"
    second = await staged(ports, dead_owners=() if doubt == "not reported" else (owner,))
    await second.clock.advance(10)
    assert second.state == "starting"
    ports.lease.held = None
    await second.clock.advance(1)
    assert second.state == "ready"


async def test_a_lost_lease_closes_the_browser_and_ends_the_actor(staged: Staged) -> None:
    stage = await staged()
    stage.browser.plan("hang")
    (job,) = await stage.submit()
    stage.ports.lease.take_over()
    statuses = len(stage.ports.board.statuses)
    await stage.clock.advance(5)
    assert await stage.ended() == Ended("stopped", "lease_lost")
    assert stage.browser.open_pages == 0
    assert stage.record(job).status == "sending"
    # The new owner speaks now: the old one leaves its status and its lease alone.
    assert len(stage.ports.board.statuses) == statuses
    assert stage.ports.lease.held is not None
    assert "session.stopped" not in stage.ports.events.names()


async def test_a_lease_that_vanished_is_lost(staged: Staged) -> None:
    stage = await staged()
    stage.ports.lease.held = None
    await stage.clock.advance(5)
    assert await stage.ended() == Ended("stopped", "lease_lost")


async def test_an_absence_of_nats_of_almost_six_seconds_is_survived_whenever_it_begins(staged: Staged) -> None:
    stage = await staged()
    await stage.clock.advance(1.9)
    stage.ports.all_down(down=True)
    (job,) = await stage.submit()
    await stage.clock.advance(5.8)
    assert stage.whatsapp.accepted == []
    stage.ports.all_down(down=False)
    await stage.clock.advance(3)
    assert stage.browser.attempts == 1
    assert stage.state == "ready"
    assert stage.record(job).status == "sent"


async def test_a_long_absence_of_nats_closes_the_browser_before_the_lease_runs_out(staged: Staged) -> None:
    stage = await staged()
    stage.ports.all_down(down=True)
    await stage.clock.advance(7.9)
    assert stage.browser.open_pages == 1
    await stage.clock.advance(0.2)
    assert stage.browser.open_pages == 0
    assert await stage.ended() == Ended("stopped", "lease_lost")


async def test_nothing_is_sent_while_the_browser_of_a_lease_that_ran_out_is_closing(staged: Staged) -> None:
    stage = await staged()
    stage.browser.close_takes_s = 2
    stage.ports.lease.down = True
    await stage.clock.advance(8)
    await stage.submit()
    await stage.clock.advance(3)
    assert stage.whatsapp.accepted == []


async def test_a_browser_that_does_not_close_is_killed_before_anybody_else_may_begin(staged: Staged) -> None:
    stage = await staged()
    stage.browser.close_takes_s = 1_000
    stage.ports.lease.down = True
    await stage.clock.advance(10.9)
    assert not stage.browser.page.killed
    await stage.clock.advance(0.2)
    assert stage.browser.page.killed


async def test_a_lost_lease_ends_a_logout_half_way(staged: Staged) -> None:
    stage = await staged(desired={"paused": True})
    await stage.submit(3)
    stage.ports.records.down = True
    await stage.ask(SessionLogout())
    stage.ports.lease.take_over()
    await stage.clock.advance(10)
    assert await stage.ended() == Ended("stopped", "lease_lost"), "it is still to be done"
    assert len(stage.ports.jobs.jobs) == 3


async def test_a_logout_that_comes_with_the_loss_of_the_lease_touches_nothing(staged: Staged) -> None:
    stage = await staged()
    stage.actor._inbox.put(Logout())
    stage.actor._lose_lease()
    assert await stage.ended() == Ended("stopped", "lease_lost")
    assert (stage.whatsapp.logouts, stage.whatsapp.quarantined) == (0, 0)


async def test_the_end_of_a_login_that_whatsapp_told_of_is_told_also_without_a_lease(staged: Staged) -> None:
    stage = await staged()
    stage.browser.close_takes_s = 9
    stage.browser.page.tell(Unlinked("device_removed"))
    stage.ports.lease.take_over()
    await stage.clock.advance(10)
    assert await stage.ended() == Ended("logged_out", "device_removed")


async def test_a_start_that_cannot_read_what_it_needs_is_given_up(staged: Staged) -> None:
    ports = FakePorts()
    ports.events.down = True
    stage = await staged(ports, starting_timeout_s=30)
    await stage.clock.advance(29)
    assert stage.state == "starting"
    await stage.clock.advance(2)
    assert await stage.ended() == Ended("stopped", "unavailable")
    assert (stage.actor.status().reason, ports.lease.held, ports.browser.attempts) == ("unavailable", None, 0)


async def test_an_epoch_that_can_not_be_raised_delays_the_start(staged: Staged) -> None:
    ports = FakePorts()
    ports.lease.fail_next.append("raise_epoch")
    stage = await staged(ports)
    assert stage.state == "starting"
    await stage.clock.advance(1)
    assert stage.state == "ready"


async def test_a_head_that_can_not_be_written_is_a_failed_start(staged: Staged) -> None:
    ports = FakePorts()
    ports.heads.fail_next.append("write")
    stage = await staged(ports)
    assert (stage.state, stage.actor.status().reason) == ("reconnecting", "unavailable")
    await stage.clock.advance(2)
    assert stage.state == "ready"


async def test_a_lease_that_can_not_be_released_runs_out_by_itself(staged: Staged) -> None:
    stage = await staged()
    stage.ports.lease.fail_next.append("release")
    await stage.ask(SessionStop())
    assert await stage.ended() == Ended("stopped", "stopped")
    assert stage.ports.lease.held is not None


# --- events -------------------------------------------------------------------------------------------------------


async def test_a_new_owner_goes_on_with_the_numbers_of_the_former_one(staged: Staged) -> None:
    ports = FakePorts()
    first = await staged(ports)
    await first.actor.drain()
    await staged(ports)
    assert [event.seq for event in ports.events.published] == list(range(1, 8))
    assert [event.epoch for event in ports.events.published] == [1, 1, 1, 1, 2, 2, 2]


async def test_events_wait_for_jetstream_and_keep_their_order(staged: Staged) -> None:
    stage = await staged()
    stage.ports.events.down = True
    (job,) = await stage.submit()
    await stage.clock.advance(3)
    assert stage.ports.events.names()[-1] == "session.ready"
    assert stage.ports.jobs.jobs != {}, "a job is deleted only when its outcome is announced"
    stage.ports.events.down = False
    await stage.clock.advance(5)
    assert stage.ports.events.names()[-2:] == ["job.sending", "message.sent"]
    assert [event.seq for event in stage.ports.events.published] == [1, 2, 3, 4, 5]
    assert stage.record(job).status == "sent"
    assert stage.ports.jobs.jobs == {}


async def test_the_outbox_is_bounded(staged: Staged, caplog: pytest.LogCaptureFixture) -> None:
    stage = await staged(event_outbox=10)
    stage.ports.events.down = True
    for n in range(20):
        stage.browser.page.tell(AckChanged((f"true_x@c.us_{n}",), "x@c.us", 2))
    await settle()
    assert any("the outbox is full" in message for message in caplog.messages)
    stage.ports.events.down = False
    await stage.clock.advance(2)
    assert len(stage.ports.events.of("message.ack")) == 9  # a place was taken by the status with the last activity
    assert [event.seq for event in stage.ports.events.published] == list(range(1, 13))


async def test_an_event_that_can_never_be_stored_does_not_hold_up_the_rest(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = MemoryEvents.publish

    async def refuse_sending(events: MemoryEvents, event: Event) -> bool:
        if event.event == "job.sending":
            raise InvalidCommand("too large")
        return await publish(events, event)

    monkeypatch.setattr(MemoryEvents, "publish", refuse_sending)
    stage = await staged()
    (job,) = await stage.submit()
    assert stage.record(job).status == "sent"
    assert stage.ports.events.names()[-1] == "message.sent"


async def test_the_last_events_have_their_time_and_no_more(staged: Staged, caplog: pytest.LogCaptureFixture) -> None:
    stage = await staged()
    stage.ports.events.down = True
    await stage.ask(SessionStop())
    await stage.clock.advance(5)
    assert await stage.ended() == Ended("stopped", "stopped")
    assert any("were not published" in message for message in caplog.messages)


async def test_an_event_never_overtakes_the_status_it_tells_of(staged: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = FakePorts()
    publish = MemoryEvents.publish
    seen: list[tuple[str, str]] = []

    async def look(events: MemoryEvents, event: Event) -> bool:
        seen.append((event.event, ports.board.statuses[-1].state))
        return await publish(events, event)

    monkeypatch.setattr(MemoryEvents, "publish", look)
    await staged(ports)
    assert seen == [("session.starting", "starting"), ("session.authenticated", "syncing"), ("session.ready", "ready")]


async def test_a_page_that_talks_without_end_is_not_listened_to_without_end(
    staged: Staged, caplog: pytest.LogCaptureFixture
) -> None:
    ports = FakePorts()
    ports.browser.opens.append("qr")
    stage = await staged(ports)
    for n in range(1_500):
        stage.browser.page.tell(QrShown(f"2@{n}", n, 20.0))
    await settle()
    assert any("the page tells too much" in message for message in caplog.messages)
    assert len(stage.ports.events.of("session.qr")) == 1_001


# --- acks ---------------------------------------------------------------------------------------------------------


async def test_acks_are_announced_and_raise_the_record(staged: Staged) -> None:
    stage = await staged()
    (job,) = await stage.submit()
    key = stage.record(job).sent_key
    assert key is not None
    for ack in (1, 2, 3, 2, 4):
        stage.browser.page.tell(AckChanged((key,), "6281234567890@c.us", ack))
        await settle()
    assert stage.record(job).status == "played"
    events = [event for event in stage.ports.events.published if isinstance(event, AckEvent)]
    assert [event.data.ack_name for event in events] == ["SERVER", "DEVICE", "READ", "PLAYED"]
    assert {event.data.job_id for event in events} == {job.job_id}
    assert [change.status for change in stage.record(job).history][-3:] == ["delivered", "read", "played"]
    assert stage.actor.status().last_activity == stage.clock.now()


async def test_nobody_hears_read_before_sent(staged: Staged) -> None:
    stage = await staged()
    stage.browser.plan("pending")
    (job,) = await stage.submit()
    key = stage.record(job).attempts[0].full_key
    stage.whatsapp.stored[key] = 3
    stage.browser.page.tell(AckChanged((key,), "6281234567890@c.us", 3))
    await settle()
    assert stage.ports.events.of("message.ack") == []
    await stage.clock.advance(1)
    assert stage.ports.events.names()[-2:] == ["message.sent", "message.ack"]
    assert stage.record(job).status == "read"


async def test_acks_of_messages_that_are_not_ours_are_announced_too(staged: Staged) -> None:
    stage = await staged()
    stage.browser.page.tell(AckChanged(("true_1@lid_X",), "1@lid", 3))
    await settle()
    (event,) = stage.ports.events.of("message.ack")
    assert isinstance(event, AckEvent)
    assert (event.data.job_id, event.data.lid, event.data.phone) == (None, "1@lid", None)


async def test_a_record_that_can_not_be_raised_is_left_behind(staged: Staged, caplog: pytest.LogCaptureFixture) -> None:
    stage = await staged()
    (job,) = await stage.submit()
    key = stage.record(job).sent_key
    assert key is not None
    stage.ports.records.fail_next.append("get")
    stage.browser.page.tell(AckChanged((key,), "6281234567890@c.us", 2))
    await settle()
    assert stage.record(job).status == "sent"
    assert any("not raised" in message for message in caplog.messages)
    stage.browser.page.tell(AckChanged((key,), "6281234567890@c.us", 3))
    await settle()
    assert stage.record(job).status == "read"
