"""The rate window where calls hang and owners change (promise 3): what counts, and until when."""

import pytest

from actors.core.facts import ConnectionLost, SendStranded, Synced
from actors.messages.commands import RateLimitQuery
from actors.messages.replies import RateLimitReply
from tests.actor.conftest import Staged
from tests.actor.stage import Stage, limit
from tests.support.fakes import FakePorts


async def remaining(stage: Stage) -> int:
    reply = await stage.ask(RateLimitQuery())
    assert isinstance(reply, RateLimitReply)
    return reply.remaining


async def test_a_timed_out_call_counts_until_its_page_is_gone(staged: Staged) -> None:
    stage = await staged(desired=limit(1, 10_000), send_timeout_s=5)
    stage.browser.plan("late")
    stage.browser.close_takes_s = 3
    late, other = await stage.submit(2)
    await stage.clock.advance(7)
    assert (stage.whatsapp.accepted, await remaining(stage)) == ([], 0)
    await stage.clock.advance(30)
    assert stage.whatsapp.accepted == [late.message_id, other.message_id]
    left, sent = stage.whatsapp.accepted_at
    assert sent - left >= 10, "counted from its deadline on, the next would have come after 7 s"


async def test_a_timed_out_call_counts_while_its_page_heals_itself(staged: Staged) -> None:
    stage = await staged(desired=limit(1, 10_000), send_timeout_s=5)
    stage.browser.plan("late")
    (late,) = await stage.submit()
    await stage.clock.advance(4)
    page = stage.browser.page
    page.tell(ConnectionLost("socket"))
    await stage.clock.advance(0.5)
    assert stage.state == "reconnecting"
    page.tell(Synced(stage.whatsapp.wid, None))
    (direct,) = await stage.submit(lane="direct")
    await stage.clock.advance(30)
    assert stage.browser.page.calls.count("reload") == 1, "it healed, but what hung in it could leave at any moment"
    assert stage.whatsapp.accepted == [late.message_id, direct.message_id]
    assert stage.whatsapp.accepted_at[1] - stage.whatsapp.accepted_at[0] >= 10


async def test_what_the_server_may_have_from_a_lost_socket_is_repeated_as_an_attempt_with_a_place_of_its_own(
    staged: Staged,
) -> None:
    stage = await staged(desired=limit(1, 10_000))
    stage.browser.plan("hang")
    (job,) = await stage.submit()
    key = stage.record(job).attempts[-1].full_key
    stage.whatsapp.accept(key)
    stage.whatsapp.stored[key] = 0
    await stage.clock.advance(2)
    page = stage.browser.page
    page.tell(ConnectionLost("socket"))
    page.tell(SendStranded("send_in_doubt"))
    await stage.clock.advance(9.9)
    assert (stage.state, page.calls.count("reload"), await remaining(stage)) == ("ready", 1, 0)
    assert stage.whatsapp.accepted == [job.message_id]
    await stage.clock.advance(0.2)
    assert stage.whatsapp.accepted == [job.message_id] * 2
    record = stage.record(job)
    assert (record.status, [one.n for one in record.attempts]) == ("sent", [1, 2])


@pytest.mark.parametrize("takes_s", [0.0, 60.0])
async def test_an_attempt_whose_announcement_died_with_its_owner_counts_from_the_takeover(
    staged: Staged, takes_s: float
) -> None:
    ports = FakePorts()
    first = await staged(ports, desired=limit(1, 10_000))
    ports.events.down = True
    first.browser.send_takes_s = takes_s
    (job,) = await first.submit()
    await first.clock.advance(1)
    await first.close()
    ports.lease.held, ports.events.down = None, False
    ports.browser.page.kill()
    if not takes_s:
        assert ports.whatsapp.accepted == [job.message_id]
    ports.browser.send_takes_s = 0.0
    second = await staged(ports, desired=limit(1, 10_000))
    (direct,) = await second.submit(lane="direct", n=7)
    assert await remaining(second) == 0
    await second.clock.advance(9.9)
    assert direct.message_id not in ports.whatsapp.accepted
    await second.clock.advance(30)
    assert sorted(ports.whatsapp.accepted) == sorted([job.message_id, direct.message_id])


@pytest.mark.parametrize("off_by_s", [-86_400.0, 86_400.0])
async def test_a_clock_that_jumps_does_not_move_the_window(staged: Staged, off_by_s: float) -> None:
    """The first owner's clock jumps while it sends, the second one's again; only the server's time counts."""
    ports = FakePorts()
    first = await staged(ports, desired=limit(2, 10_000))
    (queued,) = await first.submit(expires_in_s=7 * 86_400)
    ports.clock.off_by_s = off_by_s
    (direct,) = await first.submit(lane="direct", expires_in_s=7 * 86_400)
    assert await remaining(first) == 0
    await first.clock.advance(4)
    await first.close()
    ports.lease.held = None
    ports.browser.page.kill()
    ports.clock.off_by_s = -off_by_s
    second = await staged(ports, desired=limit(2, 10_000))
    assert await remaining(second) == 0
    (third,) = await second.submit(expires_in_s=7 * 86_400, n=7)
    await second.clock.advance(5.9)
    assert ports.whatsapp.accepted == [queued.message_id, direct.message_id]
    await second.clock.advance(0.2)
    assert ports.whatsapp.accepted == [queued.message_id, direct.message_id, third.message_id]


async def test_an_attempt_without_an_end_counts_from_the_takeover(staged: Staged) -> None:
    ports = FakePorts()
    first = await staged(ports, desired=limit(1, 10_000))
    first.browser.plan("hang")
    (job,) = await first.submit()
    await first.clock.advance(8)
    await first.close()
    ports.lease.held = None
    ports.browser.page.kill()
    second = await staged(ports, desired=limit(1, 10_000))
    await second.clock.advance(9.9)
    assert ports.whatsapp.accepted == []
    await second.clock.advance(0.2)
    assert ports.whatsapp.accepted == [job.message_id]
