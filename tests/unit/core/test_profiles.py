"""Which copy of a profile is launched, what its head says, which snapshot makes room."""

import pytest

from actors.core import profiles
from actors.core.facts import AccountBlocked, AckChanged, Linked, QrShown, Synced, Unlinked
from actors.core.logins import LoginWatch
from actors.core.profiles import (
    Choice,
    Held,
    Source,
    choose,
    head_after,
    head_after_logout,
    head_at_launch,
    may_replace,
    newest_first,
    slot_for,
    wants_snapshots,
)
from actors.core.signals import ProfileChosen
from actors.messages.records import ProfileHead

HEAD = ProfileHead(epoch=3, node="a", generation="g1", linked=True)
NEVER_LINKED = HEAD.model_copy(update={"linked": False})


@pytest.mark.parametrize(
    ("local", "head", "snapshots", "distrust", "expected"),
    [
        (None, None, 2, None, Choice(Source.FRESH)),
        ("g9", None, 2, None, Choice(Source.LOCAL, login=True)),
        ("g1", HEAD, 2, None, Choice(Source.LOCAL, login=True)),
        ("g0", HEAD, 1, None, Choice(Source.SNAPSHOT, "profile_restored", login=True)),
        (None, HEAD, 1, None, Choice(Source.SNAPSHOT, "profile_restored", login=True)),
        ("g1", HEAD, 1, "login_lost", Choice(Source.SNAPSHOT, "login_lost", login=True)),
        ("g0", HEAD, 0, None, Choice(Source.LOCAL, "profile_outdated", renew=True, login=True)),
        ("g1", HEAD, 0, "login_lost", Choice(Source.LOCAL, "login_lost", login=True)),
        ("g2", HEAD, 0, "profile_damaged", Choice(Source.LOCAL, "profile_damaged", renew=True, login=True)),
        (None, HEAD, 0, None, Choice(Source.FRESH, "profile_lost")),
        (None, HEAD, 0, "snapshot_unreadable", Choice(Source.FRESH, "snapshot_unreadable")),
        (None, NEVER_LINKED, 2, None, Choice(Source.FRESH)),
        ("g0", NEVER_LINKED, 2, None, Choice(Source.FRESH)),
        ("g1", NEVER_LINKED, 2, None, Choice(Source.LOCAL)),
        ("g1", NEVER_LINKED, 2, "login_lost", Choice(Source.LOCAL)),
    ],
)
def test_a_local_profile_counts_only_if_the_head_names_it(
    local: str | None, head: ProfileHead | None, snapshots: int, distrust: str | None, expected: Choice
) -> None:
    assert choose(local, head, snapshots=snapshots, linked=True, distrust=distrust) == expected


@pytest.mark.parametrize(
    ("local", "head", "snapshots", "distrust", "expected"),
    [
        ("g9", None, 2, None, Choice(Source.LOCAL)),
        ("g1", HEAD, 0, None, Choice(Source.LOCAL, login=True)),
        ("g0", HEAD, 1, None, Choice(Source.SNAPSHOT, "profile_restored", login=True)),
        ("g0", HEAD, 0, None, Choice(Source.LOCAL, "profile_lost", renew=True)),
        ("g0", HEAD, 0, "snapshot_unreadable", Choice(Source.LOCAL, "snapshot_unreadable", renew=True)),
    ],
)
def test_a_local_profile_without_a_login_is_not_expected_to_have_the_one_that_is_missing(
    local: str, head: ProfileHead | None, snapshots: int, distrust: str | None, expected: Choice
) -> None:
    assert choose(local, head, snapshots=snapshots, linked=False, distrust=distrust) == expected


def test_the_head_names_what_is_launched_but_a_login_that_was_not_found_stays_named() -> None:
    def at_launch(head: ProfileHead | None, chosen: Choice) -> ProfileHead:
        return head_at_launch(head, chosen, epoch=4, node="b", generation="g2")

    launched = ProfileHead(epoch=4, node="b", generation="g2")
    with_login = launched.model_copy(update={"linked": True})
    assert at_launch(None, Choice(Source.FRESH)) == launched
    assert at_launch(NEVER_LINKED, Choice(Source.FRESH)) == launched
    assert at_launch(HEAD, Choice(Source.SNAPSHOT, login=True)) == with_login
    for missing in (Choice(Source.FRESH, "profile_lost"), Choice(Source.LOCAL, "profile_lost", renew=True)):
        assert at_launch(HEAD, missing) == ProfileHead(epoch=4, node="b", generation="g1", linked=True)


def test_nothing_that_ends_here_ends_a_login_that_lies_elsewhere() -> None:
    for told in (Unlinked("device_removed"), AccountBlocked("banned")):
        assert head_after(HEAD, told, "g2", elsewhere=True) == HEAD
    for begun in (Linked("w", None), Synced("w", None)):
        assert head_after(HEAD, begun, "g2", elsewhere=True).generation == "g2"


def test_after_a_logout_no_profile_anywhere_is_the_newest() -> None:
    ended = head_after_logout(epoch=4, node="b")
    assert choose("g1", ended, snapshots=2, linked=True) == Choice(Source.FRESH)


def test_snapshots_are_looked_up_only_where_one_would_be_restored() -> None:
    assert wants_snapshots("g0", HEAD, None)
    assert wants_snapshots("g1", HEAD, "login_lost")
    assert not wants_snapshots("g1", HEAD, None)
    assert not wants_snapshots(None, None, None)
    assert not wants_snapshots(None, NEVER_LINKED, None)


def test_the_head_follows_the_login() -> None:
    assert head_after(NEVER_LINKED, Synced("w", None), "g1") == HEAD
    assert head_after(HEAD, Linked("w", None), "g2").generation == "g2"
    ended = head_after(HEAD, Unlinked("device_removed"), "g2")
    assert (ended.linked, ended.generation, ended.epoch) == (False, "g2", 3)
    assert head_after(HEAD, AccountBlocked("banned"), "g2") == ended
    assert head_after(HEAD, AccountBlocked("temp_banned"), "g1") == HEAD
    for told in (QrShown("q", 1, 20), AckChanged(("m",), "c", 1)):
        assert head_after(HEAD, told, "g2") == HEAD


@pytest.mark.parametrize("reason", sorted(profiles.STORAGE_LOSSES))
def test_after_a_loss_of_storage_the_head_keeps_naming_what_was_lost(reason: str) -> None:
    assert head_after(HEAD, Unlinked(reason), "g2") == HEAD
    assert profiles.is_storage_loss(Unlinked(reason))
    assert not profiles.is_storage_loss(Unlinked("device_removed"))
    assert not profiles.is_storage_loss(AccountBlocked(reason))


def test_a_damaged_storage_is_told_from_a_lost_login_and_a_logout_from_both() -> None:
    watch = LoginWatch(300)
    assert watch.vanished(QrShown("q", 1, 20), 0) is None
    watch.chosen(ProfileChosen(expects_login=True, reason=None))
    assert watch.vanished(QrShown("q", 1, 20), 0) == "login_lost"
    assert watch.vanished(Unlinked("login_lost"), 0) == "login_lost"
    assert watch.vanished(Unlinked("0"), 0) == "profile_damaged"
    assert watch.vanished(Unlinked("device_removed"), 0) is None
    watch.left_ready(1_000)
    watch.restore("profile_damaged")
    assert watch.vanished(Unlinked("0"), 0) is None
    watch.chosen(ProfileChosen(expects_login=True, reason="profile_restored"))
    assert watch.vanished(Unlinked("0"), 0) is None


def test_a_head_is_written_over_one_of_its_own_owner_or_an_earlier_one_only() -> None:
    stored = [HEAD.model_copy(update={"epoch": epoch, "generation": "g2"}) for epoch in (2, 3, 4)]
    assert [may_replace(HEAD, one) for one in stored] == [True, True, False]


def test_the_newest_snapshot_is_the_one_of_the_highest_epoch() -> None:
    old, late, new = Held(0, 5, 10), Held(1, 5, 12), Held(0, 6, 11)
    assert newest_first([old, late]) == [late, old]
    assert newest_first([late, new]) == [new, late]


def test_a_new_snapshot_takes_an_empty_slot_then_a_bad_one_then_the_oldest() -> None:
    first, second = Held(0, 5, 10), Held(1, 5, 12)
    assert slot_for([], epoch=5) == 0
    assert slot_for([first], epoch=5) == 1
    assert slot_for([second], epoch=5) == 0
    assert slot_for([second, first], epoch=5) == 0
    assert slot_for([second, first], epoch=6, bad={12}) == 1
    assert slot_for([second, first], epoch=6, bad={10, 12}) == 0


def test_an_older_epoch_writes_nothing() -> None:
    assert slot_for([Held(0, 6, 10)], epoch=5) is None
    assert slot_for([Held(0, 6, 10), Held(1, 4, 9)], epoch=5) is None
