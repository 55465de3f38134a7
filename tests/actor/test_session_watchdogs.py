"""What watches a session's page and processes, with a clock that tests move."""

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from actors.config import MemoryConfig, RetryConfig
from actors.messages.events import SessionEvent
from tests.actor.conftest import Staged
from tests.actor.stage import Stage
from tests.support.fakes import FakeBrowser, FakePage, FakePorts, settle

OVER = 1_000 * 2**20
SILENT = {"server_answered": False}
DEAF = {"unheard": 3, "unheard_for_ms": 120_000}


async def test_a_page_that_hears_nothing_is_reloaded_and_counts_as_an_attempt(staged: Staged) -> None:
    stage = await staged()
    stage.browser.page.hearing = SILENT
    await stage.clock.advance(35.5)
    status = stage.actor.status()
    assert (status.state, status.reason, status.reconnect_attempt) == ("reconnecting", "server_silent", 1)
    await stage.clock.advance(2)
    assert (stage.state, stage.browser.attempts, stage.browser.page.page_number) == ("ready", 1, 2)
    stage.browser.page.hearing = DEAF
    await stage.clock.advance(36)
    lost = stage.ports.events.of("session.disconnected")
    assert [event.data.reason for event in lost if isinstance(event, SessionEvent)] == ["server_silent", "page_deaf"]
    assert (stage.state, stage.browser.attempts, stage.browser.page.page_number) == ("ready", 1, 3)


async def test_a_job_under_which_the_page_is_renewed_costs_no_second_renewal(staged: Staged) -> None:
    stage = await staged(probe_every_s=1)
    stage.browser.plan("hang")
    (job,) = await stage.submit()
    stage.browser.page.hearing = DEAF
    await stage.clock.advance(3)
    assert (stage.state, stage.browser.page.calls.count("reload")) == ("ready", 1)
    assert stage.whatsapp.accepted == [job.message_id]


async def test_a_browser_over_its_budget_is_renewed_after_the_send_in_flight(staged: Staged) -> None:
    ports = FakePorts()
    ports.browser.send_takes_s = 100
    stage = await staged(ports)
    jobs = await stage.submit(2)
    stage.browser.pss_bytes = OVER
    await stage.clock.advance(99)
    assert (stage.state, stage.browser.attempts) == ("ready", 1)
    await stage.clock.advance(1)
    assert (stage.state, stage.browser.attempts, stage.browser.open_pages) == ("ready", 2, 1)
    assert stage.ports.events.names().count("session.reconnecting") == 0
    await stage.clock.advance(160)
    assert stage.whatsapp.accepted == [job.message_id for job in jobs]
    assert stage.browser.attempts == 2, "renewed again within the hour"


@pytest.mark.parametrize("budget_mib", [0, 2_000])
async def test_without_a_budget_or_within_it_nothing_is_renewed(staged: Staged, budget_mib: int) -> None:
    ports = FakePorts()
    ports.browser.pss_bytes = OVER
    stage = await staged(ports, memory=MemoryConfig(budget_mib=budget_mib))
    await stage.clock.advance(130)
    assert (stage.state, stage.browser.attempts) == ("ready", 1)


@pytest.mark.parametrize("hangs", [True, False])
async def test_memory_that_can_not_be_told_is_no_reason_for_anything(
    staged: Staged,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    hangs: bool,  # noqa: FBT001 - a table
) -> None:
    async def hang(_: FakeBrowser) -> int | None:
        return await asyncio.get_running_loop().create_future() if hangs else None

    monkeypatch.setattr(FakeBrowser, "memory", hang)
    stage = await staged()
    await stage.clock.advance(200)
    assert (stage.state, stage.browser.attempts) == ("ready", 1)
    assert any("Memory not measured" in message for message in caplog.messages) is hangs


async def test_what_was_weighed_before_a_new_page_is_not_held_against_it(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def late(_: FakeBrowser) -> int | None:
        return await asyncio.shield(answer)

    monkeypatch.setattr(FakeBrowser, "memory", late)
    stage = await staged()
    await stage.clock.advance(61)
    stage.browser.page.crash()
    await stage.clock.advance(2)
    answer.set_result(OVER)
    await settle()
    assert (stage.state, stage.browser.attempts) == ("ready", 1)


# --- anything at any time -----------------------------------------------------------------------------------------

Fault = Callable[[Stage], None]


def _on_page(act: Callable[[FakePage], object]) -> Fault:
    def fault(stage: Stage) -> None:
        if not stage.browser.page.closed:
            act(stage.browser.page)

    return fault


FAULTS: list[Fault] = [
    _on_page(FakePage.crash),
    _on_page(FakePage.lose_browser),
    _on_page(lambda page: page.lose_browser(silently=True)),
    _on_page(lambda page: setattr(page, "wedged", True)),
    _on_page(lambda page: setattr(page, "deaf", True)),
    _on_page(lambda page: setattr(page, "hearing", SILENT)),
    _on_page(lambda page: setattr(page, "hearing", DEAF)),
    lambda stage: setattr(stage.browser, "pss_bytes", OVER),
    lambda stage: stage.browser.opens.append("fail"),
    lambda stage: stage.browser.opens.append("hang"),
    lambda stage: stage.browser.opens.append("silent"),
    lambda stage: stage.browser.reloads.append("fail"),
    lambda stage: stage.browser.reloads.append("silent"),
    lambda stage: stage.browser.plan("crash_accepted"),
    lambda stage: stage.browser.plan("gone"),
    lambda stage: stage.browser.plan("timeout_accepted"),
    lambda stage: stage.browser.plan("pending"),
    lambda stage: setattr(stage.browser, "close_takes_s", 60.0),
]


@pytest.mark.parametrize("seed", range(8))
async def test_faults_at_the_same_time_leave_no_session_stuck_and_no_job_lost_or_sent_under_two_ids(
    staged: Staged, seed: int
) -> None:
    random = Random(seed)  # noqa: S311 - a plan that can be repeated
    ports = FakePorts()
    ports.browser.send_takes_s = 0.5
    stage = await staged(ports, retry=RetryConfig(max_attempts=100), memory=MemoryConfig(min_interval_s=100))
    jobs = []
    for _ in range(6):
        jobs += await stage.submit()
        for fault in random.sample(FAULTS, 2):
            fault(stage)
            await stage.clock.advance(random.choice([0, 0, 0.3, 1, 12]))
        await stage.clock.advance(random.choice([0, 2, 33]))
    stage.browser.pss_bytes = None
    for _ in range(40):
        await stage.clock.advance(30)
        if stage.state == "ready" and not stage.ports.jobs.jobs:
            break
    assert stage.state == "ready"
    assert stage.browser.open_pages == 1
    assert stage.ports.jobs.jobs == {}
    assert {stage.record(job).status for job in jobs} <= {"sent", "unconfirmed", "failed"}
    sent = {job.message_id for job in jobs if stage.record(job).status == "sent"}
    assert sent <= set(stage.whatsapp.accepted) <= {job.message_id for job in jobs}
    assert len(sent) >= len(jobs) - 2
