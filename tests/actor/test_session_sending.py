"""A job's way through a session actor, with scripted pages: what is sent, how often, and what is said of it."""

from typing import Any

import pytest

from actors.core.attempts import cancelled, settled
from actors.lease_keeper import LeaseKeeper
from actors.messages.commands import RateLimitQuery, SessionPause, SessionRestart, SessionResume
from actors.messages.jobs import Job, LaneName, MediaContent
from actors.messages.replies import RateLimitReply
from actors.ports import Chat
from tests.actor.conftest import Staged
from tests.actor.stage import limit
from tests.support.fakes import FakePage, FakePorts, SendAct


def ids(jobs: list[Job]) -> list[str]:
    return [job.message_id for job in jobs]


async def test_a_queued_job_is_sent_announced_and_deleted(staged: Staged) -> None:
    stage = await staged()
    assert stage.state == "ready"
    (job,) = await stage.submit()
    assert stage.whatsapp.accepted == [job.message_id]
    assert stage.record(job).status == "sent"
    assert stage.ports.jobs.jobs == {}
    assert stage.ports.events.names() == [
        "session.starting", "session.authenticated", "session.ready", "job.sending", "message.sent",
    ]  # fmt: skip
    assert [event.seq for event in stage.ports.events.published] == [1, 2, 3, 4, 5]


async def test_many_jobs_are_sent_in_the_order_of_the_log(staged: Staged) -> None:
    stage = await staged(desired=limit(1_000), window_per_lane=8)
    jobs = await stage.submit(100)
    assert stage.whatsapp.accepted == ids(jobs)


async def test_lanes_are_served_direct_high_normal_bulk(staged: Staged) -> None:
    stage = await staged()
    stage.browser.send_takes_s = 1
    await stage.submit()
    lanes: list[LaneName] = ["bulk", "normal", "high", "direct"]
    jobs = [(await stage.submit(lane=lane))[0] for lane in lanes]
    await stage.clock.advance(10)
    assert stage.whatsapp.accepted[1:] == ids(jobs[::-1])


async def test_a_full_window_holds_the_queue_until_a_send_leaves_it(staged: Staged) -> None:
    stage = await staged(desired=limit(2, 10_000))
    await stage.submit(3)
    assert len(stage.whatsapp.accepted) == 2
    reply = await stage.ask(RateLimitQuery())
    assert reply == RateLimitReply(remaining=0, reset_in_ms=10_000, is_limited=True, max_messages=2, window_ms=10_000)
    await stage.clock.advance(9.9)
    assert len(stage.whatsapp.accepted) == 2
    await stage.clock.advance(0.1)
    assert len(stage.whatsapp.accepted) == 3


async def test_a_slow_send_counts_from_its_return(staged: Staged) -> None:
    stage = await staged(desired=limit(1, 10_000))
    stage.browser.send_takes_s = 5
    await stage.submit(2)
    await stage.clock.advance(14.9)
    assert stage.browser.page.calls.count("send") == 1
    await stage.clock.advance(0.1)
    assert stage.browser.page.calls.count("send") == 2


async def test_the_window_is_shown_under_other_limits(staged: Staged) -> None:
    stage = await staged()
    await stage.submit(3)
    reply = await stage.ask(RateLimitQuery(max_messages=2))
    assert isinstance(reply, RateLimitReply)
    assert (reply.remaining, reply.is_limited, reply.window_ms) == (0, True, 60_000)


# --- doubt --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["crash_accepted", "gone_accepted", "timeout_accepted"])
async def test_a_send_that_broke_after_the_server_had_it_is_not_repeated(staged: Staged, act: SendAct) -> None:
    stage = await staged()
    stage.browser.plan(act)
    (job,) = await stage.submit()
    await stage.clock.advance(60)
    assert stage.whatsapp.accepted == [job.message_id]
    assert stage.record(job).status == "sent"
    assert len(stage.record(job).attempts) == 1


@pytest.mark.parametrize("act", ["crash", "gone", "timeout", "timeout_stored"])
async def test_a_send_that_broke_before_is_repeated_with_the_same_id(staged: Staged, act: SendAct) -> None:
    stage = await staged()
    stage.browser.plan(act)
    (job,) = await stage.submit()
    await stage.clock.advance(60)
    assert stage.whatsapp.accepted == [job.message_id]
    attempts = stage.record(job).attempts
    assert [attempt.n for attempt in attempts] == [1, 2]
    assert len({attempt.full_key for attempt in attempts}) == 1
    assert attempts[0].page < attempts[1].page
    assert [event.id for event in stage.ports.events.of("job.sending")] == [
        f"{job.job_id}.sending",
        f"{job.job_id}.sending.2",
    ]


async def test_a_timed_out_call_renews_the_page_and_counts_no_reconnect_attempt(staged: Staged) -> None:
    stage = await staged()
    stage.browser.plan("timeout")
    await stage.submit()
    await stage.clock.advance(31)
    assert stage.browser.page.calls.count("reload") == 1
    assert stage.browser.attempts == 1
    assert "session.reconnecting" not in stage.ports.events.names()


async def test_a_message_without_an_ack_is_asked_for_and_found_sent(staged: Staged) -> None:
    stage = await staged()
    stage.browser.plan("pending")
    (job,) = await stage.submit()
    await stage.clock.advance(3)
    assert stage.record(job).status == "sending"
    key = stage.record(job).attempts[0].full_key
    stage.whatsapp.stored[key] = 1
    await stage.clock.advance(1)
    assert stage.record(job).status == "sent"
    assert len(stage.record(job).attempts) == 1


async def test_a_call_that_does_not_return_after_the_servers_ack_does_not_hold_the_queue(staged: Staged) -> None:
    """Found by `make chaos` (seed 2): wa-js never returns from a file that is sent again under its id."""
    stage = await staged()
    stage.browser.plan("hang_acked")
    first, second = await stage.submit(2)
    await stage.clock.advance(1)
    assert stage.record(first).status == "sending"
    await stage.clock.advance(2)
    assert [stage.record(job).status for job in (first, second)] == ["sent", "sent"]
    assert stage.whatsapp.accepted == ids([first, second])
    assert stage.browser.page.calls.count("reload") == 0
    assert [event.event for event in stage.ports.events.published if event.event == "message.ack"] == ["message.ack"]


async def test_a_message_that_is_never_acknowledged_ends_unconfirmed(staged: Staged) -> None:
    stage = await staged(max_send_attempts=2)
    stage.browser.plan("pending", "pending")
    (job,) = await stage.submit()
    await stage.clock.advance(90)
    assert stage.record(job).status == "unconfirmed"
    assert stage.ports.events.names()[-1] == "message.unconfirmed"
    assert stage.state == "ready"


async def test_a_message_that_never_leaves_fails_after_the_last_attempt(staged: Staged) -> None:
    stage = await staged(max_send_attempts=2)
    stage.browser.plan("crash", "crash")
    (job,) = await stage.submit()
    await stage.clock.advance(60)
    record = stage.record(job)
    assert (record.status, record.error and record.error.code) == ("failed", "send_failed")
    assert stage.whatsapp.accepted == []


async def test_a_lookup_on_another_profile_proves_nothing(staged: Staged) -> None:
    stage = await staged()
    stage.browser.plan("gone")
    (job,) = await stage.submit()
    stage.whatsapp.generation = "restored"
    await stage.clock.advance(10)
    assert stage.record(job).status == "unconfirmed"
    assert stage.whatsapp.accepted == []


async def test_an_attempt_names_the_profile_as_it_is_then(staged: Staged) -> None:
    stage = await staged()
    stage.whatsapp.generation = "renewed under the running browser"
    (job,) = await stage.submit()
    assert stage.record(job).attempts[-1].generation == "renewed under the running browser"


async def test_a_refused_repeat_is_never_called_failed(staged: Staged) -> None:
    stage = await staged()
    stage.browser.plan("timeout_stored", "failed")
    (job,) = await stage.submit()
    await stage.clock.advance(60)
    assert stage.record(job).status == "unconfirmed"


async def test_a_refused_repeat_of_what_was_acknowledged_meanwhile_is_sent(staged: Staged) -> None:
    """wa-js refuses an id that the page holds; whether it arrived is looked up once more."""
    stage = await staged()
    stage.browser.plan("timeout_stored", "failed")
    stage.browser.send_takes_s = 20
    (job,) = await stage.submit()
    await stage.clock.advance(60)
    stage.whatsapp.stored[stage.record(job).attempts[-1].full_key] = 1
    await stage.clock.advance(20)
    assert (stage.record(job).status, len(stage.record(job).attempts)) == ("sent", 2)


async def test_a_page_that_answers_nothing_any_more_is_reopened_as_an_attempt(staged: Staged) -> None:
    stage = await staged()
    stage.browser.send_takes_s = 1
    stage.browser.plan("timeout")
    (job,) = await stage.submit()
    stage.browser.page.wedged = True
    await stage.clock.advance(60)
    assert stage.browser.attempts == 2
    assert stage.record(job).status == "sent"
    assert stage.whatsapp.accepted == [job.message_id]


# --- refusals -----------------------------------------------------------------------------------------------------


async def test_a_refusal_by_the_server_fails_the_job_with_its_word(staged: Staged) -> None:
    stage = await staged()
    stage.browser.plan("refused")
    (job,) = await stage.submit()
    error = stage.record(job).error
    assert error is not None
    assert (error.code, error.details["error"]) == ("send_failed", "ERROR_UNKNOWN")
    assert stage.ports.events.names()[-1] == "message.failed"
    assert stage.ports.jobs.jobs == {}


async def test_a_refusal_by_wa_js_fails_the_job(staged: Staged) -> None:
    stage = await staged()
    stage.browser.plan("failed")
    (job,) = await stage.submit()
    assert stage.record(job).status == "failed"


async def test_an_unknown_recipient_costs_no_place_in_the_window(staged: Staged) -> None:
    stage = await staged(desired=limit(1))
    stage.browser.plan("no_recipient")
    first, second = await stage.submit(2)
    error = stage.record(first).error
    assert error is not None
    assert error.code == "recipient_not_found"
    assert stage.record(second).status == "sent"


async def test_rejected_media_fails_the_job_and_good_media_is_discarded_after(staged: Staged, tmp_path: Any) -> None:
    stage = await staged()
    stage.browser.media_path = tmp_path / "a.png"
    (bad,) = await stage.submit(content=MediaContent(url="https://x/bad.png"))
    (good,) = await stage.submit(content=MediaContent(url="https://x/good.png"))
    assert [stage.record(job).status for job in (bad, good)] == ["failed", "sent"]
    assert [prepared.path for prepared in stage.browser.page.discarded] == [tmp_path / "a.png"]


# --- records ------------------------------------------------------------------------------------------------------


async def test_a_cancelled_job_is_never_sent(staged: Staged) -> None:
    stage = await staged()
    await stage.ask(SessionPause())
    (job,) = await stage.submit()
    stage.ports.records.put(settled(stage.record(job), cancelled(), sent_key=None, now=stage.clock.now()))
    await stage.ask(SessionResume())
    assert stage.whatsapp.accepted == []
    assert stage.ports.jobs.jobs == {}
    assert stage.ports.events.of("message.failed")[0].id == f"{job.job_id}.cancelled"


async def test_a_job_that_is_cancelled_just_before_its_attempt_is_not_sent(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await staged()
    resolve = FakePage.resolve

    async def cancel_then_resolve(page: FakePage, address: str) -> Chat:
        for stored in list(stage.ports.records.stored.values()):
            stage.ports.records.put(settled(stored.value, cancelled(), sent_key=None, now=stage.clock.now()))
        return await resolve(page, address)

    monkeypatch.setattr(FakePage, "resolve", cancel_then_resolve)
    (job,) = await stage.submit()
    await stage.clock.advance(5)
    assert stage.whatsapp.accepted == []
    assert stage.record(job).status == "cancelled"
    assert stage.ports.jobs.jobs == {}


async def test_a_job_with_a_final_record_is_announced_again_and_deleted(staged: Staged) -> None:
    stage = await staged()
    (job,) = await stage.submit()
    stage.ports.jobs.store(job)
    await stage.clock.advance(1)
    assert len(stage.whatsapp.accepted) == 1
    assert [event.id for event in stage.ports.events.repeats] == [f"{job.job_id}.sent"]
    assert stage.ports.jobs.jobs == {}


async def test_a_job_whose_record_tells_of_another_body_is_dropped_without_a_word(staged: Staged) -> None:
    """A gateway refused it: its idempotency key was used for something else."""
    stage = await staged()
    stage.browser.send_takes_s = 1
    (first,) = await stage.submit()
    queued = stage.job(lane="bulk")
    stage.accept(queued)
    stage.ports.jobs.store(queued.model_copy(update={"lane": "high", "body_hash": "another"}))
    await stage.clock.advance(10)
    assert stage.whatsapp.accepted == ids([first, queued])
    assert stage.record(queued).lane == "bulk"
    assert stage.ports.jobs.jobs == {}
    assert [event.id for event in stage.ports.events.repeats] == []


async def test_where_the_owner_is_first_its_create_is_the_record(staged: Staged) -> None:
    stage = await staged()
    job = stage.job()
    stage.ports.jobs.store(job)
    await stage.clock.advance(0)
    record = stage.record(job)
    assert (record.status, record.seq, record.request_id) == ("sent", 1, job.request_id)


async def test_an_outcome_is_insisted_on_while_the_store_is_away(staged: Staged) -> None:
    stage = await staged()
    stage.browser.send_takes_s = 1
    (job,) = await stage.submit()
    stage.ports.records.down = True
    await stage.clock.advance(4)
    assert stage.record(job).status == "sending"
    stage.ports.records.down = False
    await stage.clock.advance(1)
    assert stage.record(job).status == "sent"
    assert len(stage.whatsapp.accepted) == 1


async def test_sending_pauses_while_the_records_are_away(staged: Staged) -> None:
    stage = await staged()
    stage.ports.records.down = True
    await stage.submit()
    await stage.clock.advance(3)
    assert stage.whatsapp.accepted == []
    stage.ports.records.down = False
    await stage.clock.advance(1)
    assert len(stage.whatsapp.accepted) == 1


async def test_an_attempt_whose_record_may_not_be_stored_is_not_made(staged: Staged) -> None:
    stage = await staged()
    stage.ports.records.fail_next.append("update")
    (job,) = await stage.submit()
    assert stage.whatsapp.accepted == []
    await stage.clock.advance(1)
    assert stage.record(job).status == "sent"


async def test_a_new_owner_finds_what_the_former_one_sent_and_counts_it(staged: Staged) -> None:
    ports = FakePorts()
    first = await staged(ports, desired=limit(1, 60_000))
    first.browser.send_takes_s = 2
    (job,) = await first.submit()
    await first.clock.advance(1)
    await first.close()
    ports.lease.held = None
    ports.browser.page.kill()
    key = first.record(job).attempts[0].full_key
    ports.whatsapp.accept(key)

    second = await staged(ports, desired=limit(1, 60_000))
    await second.clock.advance(1)
    assert second.record(job).status == "sent"
    assert ports.whatsapp.accepted == [job.message_id]
    assert second.record(job).attempts[0].epoch == 1
    reply = await second.ask(RateLimitQuery())
    assert isinstance(reply, RateLimitReply)
    assert reply.remaining == 0


async def test_a_new_owner_repeats_what_the_former_one_did_not_send(staged: Staged) -> None:
    ports = FakePorts()
    first = await staged(ports)
    first.browser.send_takes_s = 2
    (job,) = await first.submit()
    await first.close()
    ports.lease.held = None
    ports.browser.page.kill()
    second = await staged(ports)
    await second.clock.advance(5)
    assert [(attempt.n, attempt.epoch) for attempt in second.record(job).attempts] == [(1, 1), (2, 2)]
    assert ports.whatsapp.accepted == [job.message_id]


async def test_a_job_that_expires_while_it_is_made_ready_is_not_sent(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await staged()
    resolve = FakePage.resolve

    async def resolve_slowly(page: FakePage, address: str) -> Chat:
        await stage.clock.sleep(8)
        return await resolve(page, address)

    monkeypatch.setattr(FakePage, "resolve", resolve_slowly)
    (job,) = await stage.submit(expires_in_s=5)
    await stage.clock.advance(8)
    assert (stage.record(job).status, stage.record(job).attempts) == ("expired", ())
    assert stage.whatsapp.accepted == []


async def test_a_lease_that_ends_while_the_attempt_is_written_down_stops_the_call(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await staged()
    answers = [True, False]
    monkeypatch.setattr(LeaseKeeper, "may_send", lambda _: answers.pop(0) if answers else False)
    (job,) = await stage.submit()
    await stage.clock.advance(3)
    assert len(stage.record(job).attempts) == 1
    assert "send" not in stage.browser.page.calls


async def test_a_restart_ends_a_send_that_hangs_and_repeats_it_with_the_same_id(staged: Staged) -> None:
    stage = await staged()
    stage.browser.plan("hang")
    (job,) = await stage.submit()
    await stage.ask(SessionRestart())
    await stage.clock.advance(1)
    assert stage.whatsapp.accepted == [job.message_id]
    assert [attempt.n for attempt in stage.record(job).attempts] == [1, 2]
