"""Questions about one job that no page answers: that job ends, its session and the jobs behind it live.

A page that answers nothing is another matter: it is renewed, and no job pays for it.
"""

from collections.abc import Callable

import pytest

from actors.config import RetryConfig
from actors.core.facts import ConnectionLost, Synced
from actors.core.silences import MAX_SILENCES
from actors.messages.events import SessionEvent
from actors.messages.jobs import Job
from tests.actor.conftest import Staged
from tests.actor.stage import Stage
from tests.support.fakes import FakePorts

ODD = "6289999999999"
ODD_ADDRESS = f"{ODD}@c.us"
FOREVER = 1_000
PATIENCE_S = 60


def outcome(stage: Stage, job: Job) -> tuple[str, str | None]:
    record = stage.record(job)
    return record.status, record.error.code if record.error else None


def renewals(stage: Stage) -> list[str | None]:
    lost = stage.ports.events.of("session.disconnected")
    return [event.data.reason for event in lost if isinstance(event, SessionEvent)]


async def test_a_recipient_about_whom_no_page_answers_ends_its_job_and_not_the_session(staged: Staged) -> None:
    stage = await staged()
    stage.whatsapp.silences[ODD_ADDRESS] = FOREVER
    (odd,) = await stage.submit(to=ODD)
    (next_one,) = await stage.submit()
    await stage.clock.advance(PATIENCE_S)
    assert (stage.state, stage.actor.status().reconnect_attempt) == ("ready", 0)
    assert outcome(stage, odd) == ("failed", "send_failed")
    assert outcome(stage, next_one) == ("sent", None)
    assert stage.ports.events.names().count("message.failed") == 1
    assert renewals(stage) == ["question_unanswered"] * 2
    assert stage.browser.attempts == 3


async def test_an_attempt_that_no_page_can_look_up_is_unconfirmed_also_in_the_next_life(staged: Staged) -> None:
    ports = FakePorts()
    first = await staged(ports)
    first.browser.send_takes_s = 2
    (odd,) = await first.submit(to=ODD, expires_in_s=30)
    await first.close()
    ports.lease.held = None
    ports.browser.page.kill()
    ports.whatsapp.silences[ODD_ADDRESS] = FOREVER
    stage = await staged(ports)
    (next_one,) = await stage.submit(n=1)
    await stage.clock.advance(PATIENCE_S)
    assert stage.state == "ready"
    assert outcome(stage, odd) == ("unconfirmed", "send_unconfirmed")
    assert outcome(stage, next_one) == ("sent", None)
    assert ports.events.names().count("message.unconfirmed") == 1


async def test_a_hundred_such_recipients_do_not_use_up_the_attempts(staged: Staged) -> None:
    stage = await staged(retry=RetryConfig(max_attempts=1))
    numbers = [f"62899999{n:04d}" for n in range(100)]
    stage.whatsapp.silences = {f"{number}@c.us": FOREVER for number in numbers}
    odd = [(await stage.submit(to=number))[0] for number in numbers]
    (next_one,) = await stage.submit()
    await stage.clock.advance(PATIENCE_S * len(odd))
    assert {outcome(stage, job) for job in odd} == {("failed", "send_failed")}
    assert outcome(stage, next_one) == ("sent", None)


async def test_a_send_that_hangs_with_its_lookup_costs_no_attempt_and_ends_unconfirmed(staged: Staged) -> None:
    stage = await staged(retry=RetryConfig(max_attempts=1))
    stage.browser.plan("timeout")
    (odd,) = await stage.submit(to=ODD)
    stage.whatsapp.silences[ODD_ADDRESS] = FOREVER
    await stage.clock.advance(30 + PATIENCE_S)
    assert (stage.state, outcome(stage, odd)) == ("ready", ("unconfirmed", "send_unconfirmed"))
    assert renewals(stage) == ["question_unanswered"] * 2


async def test_a_question_that_the_third_browser_answers_costs_the_job_nothing(staged: Staged) -> None:
    stage = await staged()
    stage.whatsapp.silences[ODD_ADDRESS] = 2
    (odd,) = await stage.submit(to=ODD)
    await stage.clock.advance(PATIENCE_S)
    assert outcome(stage, odd) == ("sent", None)
    stage.whatsapp.silences[ODD_ADDRESS] = 2
    (again,) = await stage.submit(to=ODD)
    await stage.clock.advance(PATIENCE_S)
    assert outcome(stage, again) == ("sent", None)


# --- not the job's fault ------------------------------------------------------------------------------------------


def page_hangs(stage: Stage) -> None:
    stage.browser.page.wedged = True


def server_is_away(stage: Stage) -> None:
    stage.whatsapp.silences[stage.whatsapp.wid] = FOREVER


def line_is_lost(stage: Stage) -> None:
    """The answer went with the line, which is back before anybody misses it."""
    if stage.state == "ready":
        stage.browser.page.tell(ConnectionLost("socket opening"))
        stage.browser.page.tell(Synced(stage.whatsapp.wid, None))


@pytest.mark.parametrize("trouble", [page_hangs, server_is_away, line_is_lost])
@pytest.mark.parametrize("tried", [True, False], ids=["lookup", "resolve"])
async def test_a_page_that_is_silent_for_other_reasons_is_renewed_and_costs_no_job_its_outcome(
    staged: Staged,
    trouble: Callable[[Stage], None],
    tried: bool,  # noqa: FBT001 - a table
) -> None:
    stage = await staged(retry=RetryConfig(max_attempts=FOREVER, max_delay_s=1))
    if tried:
        stage.browser.plan("crash")
    else:
        stage.whatsapp.silences[ODD_ADDRESS] = FOREVER
    (job,) = await stage.submit(to=ODD)
    stage.whatsapp.silences[ODD_ADDRESS] = FOREVER
    for _ in range(30):
        trouble(stage)
        await stage.clock.advance(4)
    assert stage.browser.attempts >= 2 * MAX_SILENCES
    assert stage.record(job).status == ("sending" if tried else "accepted")
    stage.whatsapp.silences.clear()
    await stage.clock.advance(PATIENCE_S)
    assert (stage.state, outcome(stage, job)) == ("ready", ("sent", None))
    assert stage.whatsapp.accepted == [job.message_id]
