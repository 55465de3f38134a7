"""A session actor and the copies of its profile: which one it opens on, when it makes snapshots, what it says of it."""

import asyncio

import pytest

from actors.core.facts import AccountBlocked, Fact, Linked, QrShown, Synced, Unlinked
from actors.errors import ProfileInUse, ProfileUnsteady, SnapshotDamaged, SnapshotTooLarge
from actors.messages.commands import SessionLogout, SessionStop
from actors.messages.events import SessionEvent
from actors.messages.records import ProfileHead
from actors.ports import Ended
from tests.actor.conftest import Staged
from tests.actor.stage import Stage, limit, on_another_node, stored
from tests.support.fakes import FakePorts, settle

WID = "6281111111111@c.us"


def reasons(stage: Stage) -> list[tuple[str, str | None]]:
    return [(one.event, one.data.reason) for one in stage.ports.events.published if isinstance(one, SessionEvent)]


# --- before a launch ----------------------------------------------------------------------------------------------


async def test_a_node_without_the_newest_profile_restores_it_and_says_so(staged: Staged) -> None:
    stage = await staged(on_another_node())
    assert (stage.state, stage.actor.status().reason) == ("ready", "profile_restored")
    head = stage.ports.heads.head
    assert head is not None
    assert (head.epoch, head.generation, head.linked) == (2, "restored-1", True)
    assert ("session.starting", "profile_restored") in reasons(stage)
    assert reasons(stage)[-1] == ("session.ready", "profile_restored")


async def test_the_newest_local_profile_is_used_as_it_is(staged: Staged) -> None:
    ports = FakePorts()
    ports.heads.head = ProfileHead(epoch=1, node="an old name of this one", generation="generation-1", linked=True)
    stored(ports, 1)
    stage = await staged(ports)
    assert stage.actor.status().reason is None
    assert ports.profile.restored == 0


async def test_a_snapshot_that_cannot_be_read_is_passed_over_for_the_one_before_it(
    staged: Staged, caplog: pytest.LogCaptureFixture
) -> None:
    ports = on_another_node(snapshots=(1, 2))
    ports.profile.unreadable.append(SnapshotDamaged("chunk 3"))
    stage = await staged(ports, profile={"first_copy_after_s": 1})
    assert stage.actor.status().reason == "profile_restored"
    assert "not restored: chunk 3" in caplog.text
    await stage.clock.advance(1)
    assert ports.snapshots.bad == [frozenset({102})]
    assert [one.manifest.epoch for one in await ports.snapshots.stored()] == [2, 1]


async def test_an_outdated_profile_is_better_than_none_but_proves_nothing_of_former_messages(staged: Staged) -> None:
    ports = on_another_node(snapshots=())
    ports.whatsapp.missing, ports.whatsapp.marked_linked = False, True
    stage = await staged(ports)
    assert (stage.state, stage.actor.status().reason) == ("ready", "profile_outdated")
    assert ports.heads.head == ProfileHead(
        epoch=2, node=stage.actor.status().node or "", generation="generation-1'", linked=True
    )


async def test_leftovers_of_a_login_that_was_ended_are_put_aside(staged: Staged) -> None:
    ports = on_another_node(linked=False)
    ports.whatsapp.missing = False
    ports.browser.opens.append("qr")
    stage = await staged(ports)
    assert (stage.state, stage.actor.status().reason) == ("pairing", None)
    assert (ports.profile.set_asides, ports.profile.restored) == (1, 0)


async def test_a_profile_of_before_there_were_heads_keeps_its_login(staged: Staged) -> None:
    ports = FakePorts()
    ports.whatsapp.marked_linked = True
    ports.browser.opens.append("hang")
    await staged(ports)
    assert ports.heads.head is not None
    assert ports.heads.head.linked


async def test_while_the_store_is_away_nothing_is_opened(staged: Staged) -> None:
    ports = on_another_node()
    ports.snapshots.fail_next.append("stored")
    stage = await staged(ports)
    assert (stage.state, stage.actor.status().reason, ports.browser.attempts) == ("reconnecting", "unavailable", 0)
    ports.snapshots.fail_next.append("fetch")
    await stage.clock.advance(2)
    assert (stage.state, ports.browser.attempts) == ("reconnecting", 0)
    await stage.clock.advance(4)
    assert (stage.state, stage.actor.status().reason) == ("ready", "profile_restored")


async def test_a_restore_that_takes_too_long_is_tried_again(staged: Staged) -> None:
    ports = on_another_node()

    async def hangs() -> None:
        await asyncio.get_running_loop().create_future()

    ports.snapshots.wait = hangs
    stage = await staged(ports, profile={"restore_timeout_s": 10})
    await stage.clock.advance(10)
    assert stage.actor.status().reason == "unavailable"
    ports.snapshots.wait = None
    await stage.clock.advance(2)
    assert stage.state == "ready"


async def test_a_profile_folder_that_cannot_be_used_is_told_in_words(
    staged: Staged, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ports = on_another_node(linked=False)
    ports.whatsapp.missing = False

    async def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ports.profile, "set_aside", full)
    stage = await staged(ports)
    assert (stage.state, stage.actor.status().reason) == ("reconnecting", "profile_unusable")
    assert "No space left on device" in caplog.text


# --- the head -----------------------------------------------------------------------------------------------------


async def test_the_head_follows_link_unlink_and_ban(staged: Staged) -> None:
    ports = FakePorts()
    ports.browser.opens.append("qr")
    stage = await staged(ports)
    assert ports.heads.head is not None
    assert not ports.heads.head.linked
    ports.heads.fail_next.append("write")
    stage.browser.page.tell(Linked(WID, None))
    stage.browser.page.tell(Synced(WID, None))
    await settle()
    assert not ports.heads.head.linked
    await stage.clock.advance(3)
    assert ports.heads.head.linked, "what could not be written is written with the next snapshot"
    for fact in (Unlinked("device_removed"), AccountBlocked("banned")):
        ports.whatsapp.generation = f"after {type(fact).__name__}"
        stage.browser.page.tell(fact)
        await stage.ended()
        assert (ports.heads.head.linked, ports.heads.head.generation) == (False, ports.whatsapp.generation)
        stage = await staged(ports)


async def test_an_owner_whom_another_has_followed_opens_no_browser_and_ends_with_its_lease(staged: Staged) -> None:
    ports = FakePorts()
    ports.heads.head = theirs = ProfileHead(epoch=9, node="other", generation="theirs")
    stage = await staged(ports)
    assert (stage.state, stage.actor.status().reason, ports.browser.attempts) == ("reconnecting", "unavailable", 0)
    ports.lease.take_over()
    await stage.clock.advance(6)
    assert await stage.ended() == Ended("stopped", "lease_lost")
    assert ports.heads.head == theirs


async def test_a_logout_of_an_owner_whom_another_has_followed_leaves_that_ones_snapshots(staged: Staged) -> None:
    stage = await staged()
    await stage.clock.advance(3)
    stage.ports.heads.head = theirs = ProfileHead(epoch=9, node="other", generation="theirs", linked=True)
    await stage.ask(SessionLogout())
    await stage.ended()
    assert (stage.ports.heads.head, len(stage.ports.snapshots.held)) == (theirs, 1)


async def test_a_lost_storage_is_restored_once_and_before_that_the_head_names_what_was_lost(staged: Staged) -> None:
    stage = await staged()
    await stage.clock.advance(3)
    before = stage.ports.heads.head
    stage.browser.opens.append("hang")
    stage.ports.whatsapp.generation = "renewed by the page"
    stage.browser.page.tell(Unlinked("0"))
    await settle()
    after = stage.ports.heads.head
    assert before is not None
    assert after is not None
    assert (after.generation, after.linked) == ("restored-1", True)
    assert (stage.state, stage.actor.status().reason) == ("starting", "profile_damaged")


async def test_a_qr_in_place_of_the_login_is_restored_once_then_shown_with_its_reason(staged: Staged) -> None:
    stage = await staged()
    await stage.clock.advance(3)
    stage.browser.opens.extend(["qr", "qr"])
    stage.browser.page.lose_browser()
    await stage.clock.advance(2)
    assert stage.ports.profile.restored == 1
    assert (stage.state, stage.actor.status().reason) == ("pairing", "login_lost")
    assert stage.ports.events.names().count("session.qr") == 1
    assert ("session.starting", "login_lost") in reasons(stage)


async def test_a_job_in_doubt_is_not_sent_again_from_a_restored_profile(staged: Staged) -> None:
    """The snapshot may be older than the attempt: that it knows nothing of the message proves nothing."""
    stage = await staged()
    await stage.clock.advance(3)
    stage.browser.plan("hang")
    (job,) = await stage.submit()
    await stage.close()
    stage.ports.lease.held = None
    stage.ports.whatsapp.missing = True
    stage = await staged(stage.ports)
    assert stage.ports.profile.restored == 1
    assert stage.record(job).status == "unconfirmed"
    assert stage.whatsapp.accepted == []


# --- snapshots ----------------------------------------------------------------------------------------------------


async def test_a_quiet_running_profile_is_copied_and_again_only_if_it_changed(staged: Staged) -> None:
    stage = await staged()
    await stage.clock.advance(3)
    (one,) = await stage.ports.snapshots.stored()
    assert (one.manifest.was_running, one.manifest.epoch, one.manifest.generation) == (True, 1, "generation-1")
    await stage.clock.advance(900)
    assert stage.ports.profile.sealed == [True]
    stage.ports.profile.build += 1
    await stage.clock.advance(900)
    assert stage.ports.profile.sealed == [True, True]
    assert stage.ports.profile.discarded == 2


async def test_no_copy_is_made_while_a_send_is_in_flight_or_the_profile_changes(staged: Staged) -> None:
    stage = await staged(desired=limit(10))
    stage.browser.send_takes_s = 10
    stage.ports.profile.failures.append(ProfileUnsteady("it changes"))
    await stage.submit()
    await stage.clock.advance(9)
    assert len(stage.ports.profile.failures) == 1
    await stage.clock.advance(2)
    assert len(stage.ports.profile.failures) == 0
    assert stage.ports.profile.sealed == []
    await stage.clock.advance(2)
    assert stage.ports.profile.sealed == [True]


@pytest.mark.parametrize("told", [Unlinked("login_lost"), QrShown("q", 1, 9), AccountBlocked("banned")])
async def test_a_copy_under_way_ends_with_the_login(staged: Staged, told: Fact) -> None:
    stage = await staged()
    stage.ports.profile.failures.append(ProfileUnsteady("it changes"))
    await stage.clock.advance(3)
    stage.browser.close_takes_s = 3  # longer than until the copy is tried again
    stage.browser.page.tell(told)
    await settle()
    await stage.clock.advance(2.5)
    assert stage.ports.profile.sealed == []


async def test_no_copy_is_begun_once_the_login_is_gone(staged: Staged) -> None:
    stage = await staged()
    assert stage.actor._parts is not None
    copies = stage.actor._parts.profiles
    copies.hear(Unlinked("login_lost"))
    copies.copy()  # it was due in the same moment
    await settle()
    assert stage.ports.profile.sealed == []


async def test_a_profile_that_is_too_large_is_named_and_the_session_goes_on(
    staged: Staged, caplog: pytest.LogCaptureFixture
) -> None:
    stage = await staged()
    stage.ports.profile.failures.append(SnapshotTooLarge.beyond(2_000, 1_000))
    await stage.clock.advance(3)
    assert "the profile has 2000 bytes without its caches, at most 1000 are copied" in caplog.text
    assert stage.state == "ready"
    await stage.clock.advance(31)
    assert stage.ports.profile.sealed == [True], "it is tried again sooner than the next one is due"


async def test_a_store_that_does_not_answer_costs_a_snapshot_and_nothing_else(staged: Staged) -> None:
    stage = await staged()
    stage.ports.snapshots.fail_next.append("store")
    await stage.clock.advance(3)
    assert (stage.state, stage.ports.snapshots.held, stage.ports.profile.discarded) == ("ready", {}, 1)
    await stage.clock.advance(31)
    assert len(stage.ports.snapshots.held) == 1


async def test_a_stopped_profile_is_copied_before_its_end_is_told(staged: Staged) -> None:
    stage = await staged()
    seen: list[list[str]] = []

    async def look() -> None:
        seen.append(stage.ports.events.names())

    stage.ports.snapshots.wait = look
    await stage.ask(SessionStop())
    await stage.ended()
    (names,) = seen
    assert "session.stopped" not in names
    (one,) = await stage.ports.snapshots.stored()
    assert not one.manifest.was_running
    assert stage.browser.open_pages == 0


async def test_a_store_that_hangs_holds_a_drain_up_for_its_deadline_only(staged: Staged) -> None:
    stage = await staged(profile={"stop_copy_timeout_s": 6})

    async def hangs() -> None:
        await asyncio.get_running_loop().create_future()

    stage.ports.snapshots.wait = hangs
    draining = asyncio.create_task(stage.actor.drain())
    await stage.clock.advance(5.9)
    assert not draining.done()
    await stage.clock.advance(0.2)
    await draining
    assert await stage.ended() == Ended("stopped", "drained")
    assert stage.ports.profile.discarded == 1


@pytest.mark.parametrize("failure", [ProfileUnsteady("torn"), ProfileInUse("another process")])
async def test_a_last_copy_that_fails_does_not_keep_the_session_from_ending(
    staged: Staged, failure: ProfileUnsteady | ProfileInUse
) -> None:
    stage = await staged()
    stage.ports.profile.failures.append(failure)
    await stage.ask(SessionStop())
    assert await stage.ended() == Ended("stopped", "stopped")


async def test_what_was_never_ready_or_is_not_logged_in_any_more_is_no_good_copy(staged: Staged) -> None:
    for act, fact in (
        ("qr", None),
        ("linked", None),
        ("ready", Unlinked("device_removed")),
        ("ready", QrShown("q", 1, 9)),
    ):
        ports = FakePorts()
        ports.browser.opens.extend([act, "qr"])  # type: ignore[list-item]
        stage = await staged(ports)
        if fact:
            stage.browser.page.tell(fact)
            await settle()
        await stage.ask(SessionStop())
        await stage.ended()
        assert ports.profile.sealed == []


async def test_who_lost_the_lease_stores_nothing(staged: Staged) -> None:
    stage = await staged()
    await stage.clock.advance(3)
    stage.ports.lease.take_over()
    stage.ports.profile.build += 1
    await stage.clock.advance(5)
    assert await stage.ended() == Ended("stopped", "lease_lost")
    assert stage.ports.profile.sealed == [True]


async def test_a_newer_owners_snapshot_is_never_replaced(staged: Staged, caplog: pytest.LogCaptureFixture) -> None:
    stage = await staged()
    stored(stage.ports, 9)
    await stage.clock.advance(3)
    assert [one.manifest.epoch for one in await stage.ports.snapshots.stored()] == [9]
    assert "an owner of a higher epoch has written one" in caplog.text


async def test_a_logout_puts_the_snapshots_aside_and_nobody_restores_them(staged: Staged) -> None:
    stage = await staged()
    await stage.clock.advance(3)
    await stage.ask(SessionLogout())
    await stage.ended()
    assert (len(stage.ports.snapshots.retired), stage.ports.snapshots.held) == (1, {})
    assert stage.ports.profile.sealed == [True]
    stored(stage.ports, 1)
    stage.browser.opens.append("qr")
    stage = await staged(stage.ports)
    assert (stage.state, stage.ports.profile.restored) == ("pairing", 0)


async def test_a_logout_deletes_what_can_not_be_put_aside_in_time(
    staged: Staged, caplog: pytest.LogCaptureFixture
) -> None:
    stage = await staged()
    await stage.clock.advance(3)
    assert len(stage.ports.snapshots.held) == 1

    async def slow_link() -> None:
        await asyncio.Event().wait()

    stage.ports.snapshots.wait = slow_link
    await stage.ask(SessionLogout())
    await stage.clock.advance(30)
    assert (await stage.ended()).state == "logged_out"
    assert (stage.ports.snapshots.retired, stage.ports.snapshots.held) == ([], {})
    assert "deleted at once: no answer within 30 s" in caplog.text


@pytest.mark.parametrize(("failures", "left"), [(1, 0), (2, 1)])
async def test_a_logout_while_the_store_is_away_tries_once_more_and_ends(
    staged: Staged, caplog: pytest.LogCaptureFixture, failures: int, left: int
) -> None:
    stage = await staged()
    await stage.clock.advance(3)
    stage.ports.snapshots.fail_next.extend(["retire"] * failures)
    await stage.ask(SessionLogout())
    assert (await stage.ended()).state == "logged_out"
    assert len(stage.ports.snapshots.held) == left
    assert ("Snapshots of the ended login not deleted" in caplog.text) is bool(left)
    assert stage.ports.heads.head is not None
    assert not stage.ports.heads.head.linked
