"""A session whose login is not to be had where it starts: what a person is told, and that nothing is given up."""

import pytest

from actors.core import profiles
from actors.core.facts import AccountBlocked, Fact, Linked, Unlinked
from actors.core.profiles import Source
from actors.errors import SnapshotKeyWrong
from actors.messages.commands import SessionLogout, SessionStop
from tests.actor.conftest import Staged
from tests.actor.stage import on_another_node
from tests.support.fakes import settle

WID = "6281111111111@c.us"


async def test_where_nothing_can_be_restored_a_person_has_to_scan_and_knows_why(staged: Staged) -> None:
    for snapshots, failure, reason in (
        ((), None, "profile_lost"),
        ((1,), SnapshotKeyWrong("another key"), "snapshot_unreadable"),
    ):
        ports = on_another_node(snapshots=snapshots)
        ports.profile.unreadable.append(failure)
        ports.browser.opens.append("qr")
        stage = await staged(ports)
        assert (stage.state, stage.actor.status().reason) == ("pairing", reason)
        head = ports.heads.head
        assert head is not None
        assert (head.epoch, head.linked, head.generation) == (2, True, "theirs"), "the login lies where it lay"


async def test_what_could_not_be_read_once_is_restored_as_soon_as_it_can_be(staged: Staged) -> None:
    ports = on_another_node()
    ports.profile.unreadable.extend([SnapshotKeyWrong("another key")] * 3)
    ports.browser.opens.extend(["qr", "qr", "qr"])
    stage = await staged(ports)
    stage.browser.page.lose_browser()
    await stage.clock.advance(2)
    assert (stage.state, stage.actor.status().reason) == ("pairing", "snapshot_unreadable")
    await stage.ask(SessionStop())
    await stage.ended()
    stage = await staged(ports)
    assert (stage.state, stage.actor.status().reason) == ("pairing", "snapshot_unreadable")
    assert ports.profile.set_asides == 0, "an empty profile takes no place in the quarantine"
    await stage.ask(SessionStop())
    await stage.ended()
    # The key is mended.
    stage = await staged(ports)
    assert (stage.state, stage.actor.status().reason, ports.profile.restored) == ("ready", "profile_restored", 1)


@pytest.mark.parametrize("told", [None, Unlinked("device_removed"), AccountBlocked("banned"), Unlinked("login_lost")])
async def test_a_login_that_lies_on_another_node_outlives_a_start_that_found_nothing(
    staged: Staged, told: Fact | None
) -> None:
    ports = on_another_node(snapshots=())
    ports.browser.opens.append("qr")
    stage = await staged(ports)
    if told:
        stage.browser.page.tell(told)
        await settle()
    await stage.close()
    assert profiles.choose("theirs", ports.heads.head, snapshots=0, linked=True).source is Source.LOCAL


async def test_where_somebody_scans_anew_that_login_is_the_newest(staged: Staged) -> None:
    ports = on_another_node(snapshots=())
    ports.browser.opens.append("qr")
    stage = await staged(ports)
    stage.browser.page.tell(Linked(WID, None))
    await settle()
    head = ports.heads.head
    assert head is not None
    assert (head.linked, head.generation, head.node) == (True, "generation-1+", stage.actor.status().node)
    stage.browser.page.tell(Unlinked("device_removed"))
    await stage.ended()
    head = ports.heads.head
    assert head is not None
    assert not head.linked


async def test_a_logout_ends_a_login_that_lies_on_another_node_too(staged: Staged) -> None:
    ports = on_another_node(snapshots=())
    ports.browser.opens.append("qr")
    stage = await staged(ports)
    await stage.ask(SessionLogout())
    await stage.ended()
    assert profiles.choose("theirs", ports.heads.head, snapshots=0, linked=True).source is Source.FRESH


async def test_leftovers_without_a_login_are_no_outdated_profile(staged: Staged) -> None:
    ports = on_another_node(snapshots=())
    ports.whatsapp.missing = False
    ports.browser.opens.append("qr")
    stage = await staged(ports)
    assert (stage.state, stage.actor.status().reason) == ("pairing", "profile_lost")
