"""A session whose owner dies at every step there is, one run for each: nothing lost, nothing twice, the window kept.

An owner has three jobs: one is sent at once, one lets its deadline pass and leaves at the last moment, one is direct.
It dies before or after the k-th call of any port; a new owner takes over, on a node whose clock is off by a day. The
truth is what the (scripted) server accepted, and when.
"""

from collections import Counter
from typing import Any

from actors.messages.jobs import Job, MediaContent
from tests.actor.stage import Stage, limit
from tests.support.fakes import FakePorts
from tests.support.mortal import Life, MortalPorts

WINDOW_S = 10.0
MAX_MESSAGES = 2
WEEK_S = 7 * 86_400
OUTCOMES = {"message.sent", "message.failed", "message.unconfirmed"}
CLOCKS_OFF_BY_S = (0.0, -86_400.0, 86_400.0)
CONFIG: dict[str, Any] = {"send_timeout_s": 3.0, "media_send_timeout_s": 4.0}
MOST_STEPS = 200


async def first_owner(ports: FakePorts, life: Life) -> tuple[list[Job], bool]:
    """Let an owner handle jobs until all are done or it died; the jobs, and whether it survived."""
    ports.browser.plan("ok", "late")
    ports.browser.send_takes_s = ports.browser.close_takes_s = 1.0
    stage = Stage(ports, desired=limit(MAX_MESSAGES, int(WINDOW_S * 1_000)), **CONFIG)
    stage.actor._factory = MortalPorts(ports, life)
    await stage.start()
    jobs = [
        stage.accept(stage.job(lane="high", expires_in_s=WEEK_S)),
        stage.accept(stage.job(expires_in_s=WEEK_S, content=MediaContent(url="https://x/good.png"))),
    ]
    await stage.clock.advance(2)
    jobs.append(stage.accept(stage.job(lane="direct", expires_in_s=WEEK_S)))
    for _ in range(60):
        if life.dead or not ports.jobs.jobs:
            break
        await stage.clock.advance(0.5)
    survived = not life.dead
    life.bury()
    await stage.close()
    return jobs, survived


async def next_owner(ports: FakePorts) -> Stage:
    """Let a new owner take over and finish what is left; the former browser lived on until then."""
    for page in ports.browser.pages:
        page.leave()
        page.kill()
    ports.browser.sends.clear()
    ports.lease.held = None
    stage = await Stage(ports, desired=limit(MAX_MESSAGES, int(WINDOW_S * 1_000)), **CONFIG).start()
    for _ in range(60):
        if not ports.jobs.jobs:
            break
        await stage.clock.advance(1)
    await stage.close()
    return stage


def fullest_span(moments: list[float]) -> int:
    """Count the sends of the fullest window, as the server saw them."""
    return max((sum(first <= at < first + WINDOW_S for at in moments) for first in moments), default=0)


def assert_kept(ports: FakePorts, stage: Stage, jobs: list[Job], where: str, *, may_be_unconfirmed: int = 0) -> None:
    """Check every promise about the jobs against what the server saw."""
    assert ports.jobs.jobs == {}, f"{where}: jobs are left in the log"
    told = Counter(event.data.job_id for event in ports.events.published if event.event in OUTCOMES)  # type: ignore[union-attr]
    statuses = {job.job_id: stage.record(job).status for job in jobs}
    for job in jobs:
        arrived = ports.whatsapp.accepted.count(job.message_id)
        assert arrived <= 1, f"{where}: {job.job_id} arrived {arrived} times"
        assert told[job.job_id] == 1, f"{where}: {told[job.job_id]} outcomes were told of {job.job_id}"
        assert (statuses[job.job_id] == "sent") <= (arrived == 1), f"{where}: {statuses} but {ports.whatsapp.accepted}"
    unconfirmed = [status for status in statuses.values() if status != "sent"]
    assert set(unconfirmed) <= {"unconfirmed"}, f"{where}: {statuses}"
    assert len(unconfirmed) <= may_be_unconfirmed, f"{where}: {statuses}"
    fullest = fullest_span(ports.whatsapp.accepted_at)
    assert fullest <= MAX_MESSAGES, f"{where}: {fullest} in one window: {ports.whatsapp.accepted_at}"


async def test_wherever_an_owner_dies_every_job_is_sent_once_and_the_window_is_kept() -> None:
    seen: set[str] = set()
    for dies_at in range(1, MOST_STEPS):
        ports, life = FakePorts(), Life(dies_at)
        jobs, survived = await first_owner(ports, life)
        ports.clock.off_by_s = CLOCKS_OFF_BY_S[dies_at % 3]
        stage = await next_owner(ports)
        assert_kept(ports, stage, jobs, f"step {dies_at}, {life.last}")
        if survived:
            break
        seen.add(life.last)
    assert survived, f"an owner needs more than {MOST_STEPS} steps"
    assert seen >= {
        f"{when} {call}" for when in ("before", "after") for call in ("update", "send", "publish", "delete")
    }


async def test_wherever_an_owner_dies_and_its_profile_with_it_nothing_is_sent_twice() -> None:
    """The next profile is an older copy: it knows nothing of the messages, so their fate is told as unconfirmed."""
    unconfirmed = 0
    for dies_at in range(1, MOST_STEPS):
        ports, life = FakePorts(), Life(dies_at)
        jobs, survived = await first_owner(ports, life)
        for page in ports.browser.pages:
            page.leave()
        ports.whatsapp.generation, ports.whatsapp.stored = "an older copy", {}
        stage = await next_owner(ports)
        if survived:
            break
        assert_kept(ports, stage, jobs, f"step {dies_at}, {life.last}", may_be_unconfirmed=1)
        unconfirmed += any(stage.record(job).status == "unconfirmed" for job in jobs)
    assert unconfirmed > 0
