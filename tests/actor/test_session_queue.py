"""Waiting in a session actor: expiry, pause, direct sends, the window, and the log that is read in pieces."""

from datetime import timedelta

import pytest

from actors.core.attempts import cancelled, settled
from actors.messages.commands import QueueQuery, SessionLogout, SessionPause, SessionResume
from actors.messages.jobs import Job, new_record
from actors.messages.replies import QueueReply
from actors.ports import Ended
from tests.actor.conftest import Staged
from tests.actor.stage import Stage, limit
from tests.support.fakes import FakePorts, SendAct, settle


def ids(jobs: list[Job]) -> list[str]:
    return [job.message_id for job in jobs]


# --- time, pause, direct ------------------------------------------------------------------------------------------


async def test_an_expired_job_is_announced_in_time_although_nothing_can_be_sent(staged: Staged) -> None:
    ports = FakePorts()
    ports.browser.opens.append("qr")
    stage = await staged(ports)
    assert stage.state == "pairing"
    (job,) = await stage.submit(expires_in_s=5)
    await stage.clock.advance(4.9)
    assert stage.record(job).status == "accepted"
    await stage.clock.advance(0.1)
    assert stage.record(job).status == "expired"
    event = stage.ports.events.of("message.failed")[0]
    assert event.id == f"{job.job_id}.expired"


async def test_a_job_deep_in_the_queue_expires_behind_a_full_window(staged: Staged) -> None:
    stage = await staged(desired=limit(1, 60_000))
    await stage.submit(2)
    (job,) = await stage.submit(expires_in_s=5)
    await stage.clock.advance(5)
    assert stage.record(job).status == "expired"
    assert stage.ports.events.of("message.failed")


@pytest.mark.parametrize(("act", "outcome"), [("gone", "expired"), ("gone_stored", "unconfirmed")])
async def test_a_job_with_an_attempt_of_unknown_fate_is_not_called_expired_before_the_page_was_asked(
    staged: Staged, act: SendAct, outcome: str
) -> None:
    stage = await staged()
    stage.browser.plan(act)
    stage.browser.opens.extend(["fail", "fail"])
    (job,) = await stage.submit(expires_in_s=2)
    await stage.clock.advance(3)
    assert stage.record(job).status == "sending"
    await stage.clock.advance(20)
    assert stage.record(job).status == outcome
    assert stage.whatsapp.accepted == []


async def test_pause_holds_all_but_direct(staged: Staged) -> None:
    stage = await staged()
    reply = await stage.ask(SessionPause())
    assert isinstance(reply, QueueReply)
    assert reply.paused
    await stage.submit(2)
    await stage.submit(1, lane="high")
    assert stage.whatsapp.accepted == []
    (direct,) = await stage.submit(lane="direct", expires_in_s=30)
    assert stage.whatsapp.accepted == [direct.message_id]
    reply = await stage.ask(QueueQuery())
    assert isinstance(reply, QueueReply)
    assert (reply.waiting.high, reply.waiting.normal, reply.active) == (1, 2, 0)
    await stage.ask(SessionResume())
    assert len(stage.whatsapp.accepted) == 4


async def test_the_job_in_flight_is_active_and_waits_no_more(staged: Staged) -> None:
    stage = await staged()
    stage.browser.send_takes_s = 1
    await stage.submit(3)
    reply = await stage.ask(QueueQuery())
    assert isinstance(reply, QueueReply)
    assert (reply.waiting.normal, reply.active) == (2, 1)


async def test_a_direct_send_that_would_not_wait_is_refused_at_once(staged: Staged) -> None:
    stage = await staged(desired=limit(1, 60_000))
    await stage.submit()
    (job,) = await stage.submit(lane="direct", on_limit="reject", expires_in_s=30)
    error = stage.record(job).error
    assert error is not None
    assert (error.code, error.details) == ("rate_limited", {"retry_after_ms": 60_000})


async def test_a_direct_send_waits_for_the_window_until_its_time_is_over(staged: Staged) -> None:
    stage = await staged(desired=limit(1, 60_000))
    await stage.submit()
    (job,) = await stage.submit(lane="direct", expires_in_s=30)
    await stage.clock.advance(29)
    assert stage.record(job).status == "accepted"
    await stage.clock.advance(1)
    error = stage.record(job).error
    assert error is not None
    assert (stage.record(job).status, error.code) == ("failed", "rate_limited")


async def test_a_direct_send_that_finds_room_in_time_is_sent_before_the_queue(staged: Staged) -> None:
    stage = await staged(desired=limit(1, 10_000))
    await stage.submit(2)
    (job,) = await stage.submit(lane="direct", expires_in_s=30)
    await stage.clock.advance(10)
    assert stage.whatsapp.accepted[-1] == job.message_id


async def test_a_cancelled_job_leaves_a_full_window_at_once(staged: Staged) -> None:
    stage = await staged(desired=limit(1, 60_000))
    await stage.submit()
    gone, job = stage.job(), stage.job()
    stage.ports.records.put(settled(new_record(gone), cancelled(), sent_key=None, now=stage.clock.now()))
    stage.ports.jobs.store(gone)
    stage.accept(job)
    await settle()
    assert [one.job_id for one in stage.ports.jobs.jobs.values()] == [job.job_id]
    await stage.clock.advance(60)
    assert stage.record(job).status == "sent"


async def test_a_read_that_failed_is_made_again(staged: Staged) -> None:
    stage = await staged()
    stage.ports.jobs.fail_next.append("read")
    await stage.submit()
    assert stage.whatsapp.accepted == []
    await stage.clock.advance(1)
    assert len(stage.whatsapp.accepted) == 1


async def test_a_wake_up_that_comes_before_its_job_is_stored_costs_no_poll(staged: Staged) -> None:
    stage = await staged()
    job = stage.job()
    stage.ports.jobs.wake("normal")
    await settle()
    stage.ports.jobs.store(job, wake=False)
    await stage.clock.advance(0.02)
    assert stage.whatsapp.accepted == [job.message_id]


async def test_jobs_whose_wake_up_was_lost_are_found_by_looking(staged: Staged) -> None:
    stage = await staged()
    job = stage.job()
    stage.ports.jobs.store(job, wake=False)
    await stage.clock.advance(29)
    assert stage.whatsapp.accepted == []
    await stage.clock.advance(1)
    assert stage.whatsapp.accepted == [job.message_id]


async def test_the_queue_survives_a_stop(staged: Staged) -> None:
    ports = FakePorts()
    first = await staged(ports, desired={"paused": True})
    jobs = await first.submit(3)
    await first.actor.drain()
    assert ports.whatsapp.accepted == []
    second: Stage = await staged(ports)
    await second.clock.advance(1)
    assert ports.whatsapp.accepted == ids(jobs)


async def test_a_restarted_session_goes_on_with_the_window_of_the_former_one(staged: Staged) -> None:
    ports = FakePorts()
    first = await staged(ports, desired=limit(2, 60_000))
    await first.submit()
    await first.clock.advance(20)
    await first.submit(2)
    await first.actor.drain()
    second = await staged(ports, desired=limit(2, 60_000))
    await second.clock.advance(39)
    assert len(ports.whatsapp.accepted) == 2
    await second.clock.advance(1)
    assert len(ports.whatsapp.accepted) == 3


async def test_a_window_that_can_not_be_read_delays_the_start(staged: Staged) -> None:
    ports = FakePorts()
    ports.events.fail_next.append("former_sends")
    stage = await staged(ports)
    assert (stage.state, ports.browser.attempts) == ("starting", 0)
    await stage.clock.advance(1)
    assert stage.state == "ready"


# --- records ------------------------------------------------------------------------------------------------------


def aged(job: Job) -> Job:
    """Return a job that was accepted four days ago."""
    return job.model_copy(update={"accepted_at": job.accepted_at - timedelta(days=4)})


async def test_an_old_job_without_a_record_is_never_sent_and_one_that_only_waited_is(staged: Staged) -> None:
    """A job with an outcome stays in the log where no session runs to delete it; then its record runs out."""
    ports = FakePorts()
    before = Stage(ports)
    forgotten, waiting = before.accept(aged(before.job())), before.accept(aged(before.job()))
    del ports.records.stored[forgotten.job_id]
    stage = await staged(ports)
    assert stage.whatsapp.accepted == [waiting.message_id]
    assert (stage.record(forgotten).status, stage.record(waiting).status) == ("unconfirmed", "sent")
    assert [event.id for event in ports.events.of("message.unconfirmed")] == [f"{forgotten.job_id}.unconfirmed"]
    assert ports.jobs.jobs == {}


async def test_a_logout_calls_an_old_job_without_a_record_unconfirmed(staged: Staged) -> None:
    ports = FakePorts()
    ports.browser.opens.append("qr")
    stage = await staged(ports)
    job = stage.accept(aged(stage.job()))
    del ports.records.stored[job.job_id]
    await stage.ask(SessionLogout())
    assert await stage.ended() == Ended("logged_out", "logout")
    assert stage.record(job).status == "unconfirmed"
    assert ports.jobs.jobs == {}


async def test_an_old_job_that_was_taken_out_of_the_log_while_it_waited_in_memory_is_told_no_more(
    staged: Staged,
) -> None:
    """A gateway cancelled it in a pause, and told so; since then the record of it has run out."""
    stage = await staged()
    await stage.ask(SessionPause())
    gone, waiting = stage.accept(aged(stage.job())), stage.accept(aged(stage.job()))
    await settle()
    stage.ports.jobs.jobs = {seq: job for seq, job in stage.ports.jobs.jobs.items() if job != gone}
    del stage.ports.records.stored[gone.job_id]
    await stage.ask(SessionResume())
    assert stage.whatsapp.accepted == [waiting.message_id]
    assert stage.ports.events.of("message.unconfirmed") == []
    assert gone.job_id not in stage.ports.records.stored
    reply = await stage.ask(QueueQuery())
    assert isinstance(reply, QueueReply)
    assert (reply.waiting.normal, reply.active) == (0, 0)
