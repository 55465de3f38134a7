"""Questions that a page answers with an error: the job they are about ends, its session and the jobs behind it live."""

from tests.actor.conftest import Staged


async def test_a_recipient_on_which_the_page_fails_ends_its_job_and_not_the_session(staged: Staged) -> None:
    stage = await staged()
    stage.whatsapp.refusals["6289999999999@c.us"] = 1_000
    (odd,) = await stage.submit(to="6289999999999")
    (next_one,) = await stage.submit()
    await stage.clock.advance(10)
    error = stage.record(odd).error
    assert error is not None
    assert (stage.record(odd).status, error.code) == ("failed", "send_failed")
    assert "No LID for user" in error.message
    assert stage.record(next_one).status == "sent"
    assert (stage.state, stage.browser.attempts) == ("ready", 1)


async def test_an_error_that_passes_costs_a_job_a_few_seconds(staged: Staged) -> None:
    stage = await staged()
    stage.whatsapp.refusals["6289999999999@c.us"] = 2
    (job,) = await stage.submit(to="6289999999999")
    await stage.clock.advance(5)
    assert stage.record(job).status == "sent"
    assert stage.browser.attempts == 1


async def test_an_attempt_that_can_not_be_looked_up_is_unconfirmed_and_holds_up_nobody(staged: Staged) -> None:
    stage = await staged()
    stage.browser.plan("crash")
    (odd,) = await stage.submit(to="6289999999999")
    stage.whatsapp.refusals["6289999999999@c.us"] = 1_000
    (next_one,) = await stage.submit()
    await stage.clock.advance(30)
    assert stage.record(odd).status == "unconfirmed"
    assert stage.record(next_one).status == "sent"
    assert stage.whatsapp.accepted == [next_one.message_id]
    assert stage.state == "ready"
