"""A session whose login vanished, and when its profile is copied: the core as a conversation."""

from actors.core import signals
from actors.core.facts import BrowserEnded, ConnectionLost, Linked, QrShown, Synced, Unlinked
from actors.core.lifecycle import State
from tests.unit.core.talk import READY, WID, Talk


def test_a_qr_in_place_of_a_login_is_answered_by_the_last_snapshot_once() -> None:
    for loss in ((BrowserEnded("gone"), QrShown("a", 1, 20)), (QrShown("a", 1, 20),), (Unlinked("login_lost"),)):
        talk = Talk(*READY, *loss)
        assert (talk.state, talk.core.reason) == (State.STARTING, "login_lost")
        assert talk.effects[-2:] == [signals.CloseBrowser(), signals.OpenBrowser("login_lost")]
        # What the browser before it still had to say is of no interest.
        talk.say(QrShown("b", 2, 20), BrowserEnded("closed"))
        assert talk.state is State.STARTING
        talk.say(signals.ProfileChosen(expects_login=True, reason="login_lost"), QrShown("c", 1, 20))
        assert (talk.state, talk.core.reason) == (State.PAIRING, "login_lost")
        assert talk.wants(signals.OpenBrowser) == []


def test_a_login_that_is_lost_again_soon_after_its_restore_ends_the_session_but_long_after_it_does_not() -> None:
    reopened = signals.ProfileChosen(expects_login=True, reason="profile_damaged")
    restored = (*READY, Unlinked("0"), reopened, Synced(WID, None))
    talk = Talk(*restored)
    assert (talk.state, talk.core.reason) == (State.READY, "profile_damaged")
    talk.say(Unlinked("login_lost"))
    assert (talk.state, talk.core.reason) == (State.LOGGED_OUT, "login_lost")
    talk = Talk(*restored)
    talk.until(talk.now + 300)
    talk.say(Unlinked("login_lost"))
    assert talk.state is State.STARTING


def test_a_store_that_is_away_when_the_restore_begins_is_asked_again_by_the_next_attempt() -> None:
    talk = Talk(*READY, BrowserEnded("gone"), QrShown("a", 1, 20), signals.OpenFailed("unavailable"))
    assert talk.state is State.RECONNECTING
    opened = [effect for effect in talk.until(talk.now + 5) if isinstance(effect, signals.OpenBrowser)]
    assert opened == [signals.OpenBrowser("login_lost")]
    talk.say(signals.ProfileChosen(expects_login=True, reason="profile_restored"), signals.OpenFailed("unavailable"))
    opened = [effect for effect in talk.until(talk.now + 10) if isinstance(effect, signals.OpenBrowser)]
    assert opened == [signals.OpenBrowser()]


def test_a_qr_where_no_login_was_is_a_pairing() -> None:
    talk = Talk(signals.Start(), signals.ProfileChosen(expects_login=False, reason="profile_lost"), QrShown("a", 1, 20))
    assert (talk.state, talk.core.reason) == (State.PAIRING, "profile_lost")


def test_a_restored_profile_shows_in_event_and_status_and_not_in_the_next_life_of_the_browser() -> None:
    talk = Talk(signals.Start(), signals.ProfileChosen(expects_login=True, reason="profile_restored"))
    assert talk.wants(signals.Announce)[-1] == signals.Announce(
        "session.starting", State.STARTING, State.STARTING, "profile_restored"
    )
    talk.say(Linked(WID, None), Synced(WID, None))
    assert talk.wants(signals.Announce)[-1] == signals.Announce(
        "session.ready", State.READY, State.SYNCING, "profile_restored"
    )
    talk.say(BrowserEnded("gone"), signals.ProfileChosen(expects_login=True, reason="profile_restored"))
    assert talk.wants(signals.Announce)[-1] == signals.Announce(
        "session.reconnecting", State.RECONNECTING, State.RECONNECTING, "profile_restored"
    )
    talk.say(signals.ProfileChosen(expects_login=True, reason=None), Synced(WID, None))
    assert talk.core.reason is None


def test_a_qr_after_a_failed_restore_while_reconnecting_is_a_lost_login() -> None:
    talk = Talk(*READY, BrowserEnded("gone"), QrShown("a", 1, 20), signals.OpenFailed("browser_launch_failed"))
    assert talk.state is State.RECONNECTING
    talk.say(signals.ProfileChosen(expects_login=True, reason=None), QrShown("b", 1, 20))
    assert (talk.state, talk.core.reason) == (State.LOGGED_OUT, "login_lost")


def test_a_person_who_starts_over_gets_another_restore() -> None:
    gone = (BrowserEnded("gone"), QrShown("a", 1, 20))
    talk = Talk(*READY, *gone, signals.Restart(), signals.ProfileChosen(expects_login=True, reason=None), gone[1])
    assert talk.effects[-1] == signals.OpenBrowser("login_lost")


def test_a_running_profile_is_copied_soon_after_ready_then_at_intervals_and_sooner_after_a_failure() -> None:
    talk = Talk(*READY)

    def copies(seconds: float) -> int:
        return talk.until(talk.now + seconds).count(signals.CopyProfile())

    assert (copies(2.9), copies(0.2), copies(800)) == (0, 1, 0)
    talk.say(ConnectionLost("x"), Synced(WID, None))
    assert (copies(90), copies(20)) == (0, 1)
    talk.say(signals.CopyMissed())
    assert (copies(29), copies(2)) == (0, 1)
    talk.say(ConnectionLost("x"), signals.CopyMissed())
    assert copies(4) == 0


def test_a_browser_that_starts_on_any_profile_but_this_one_opens_on_the_last_snapshot_once() -> None:
    opening = (signals.Start(), signals.ProfileChosen(expects_login=True, reason=None))
    talk = Talk(*opening, signals.OpenFailed("browser_launch_failed"))
    assert (talk.state, talk.core.reason) == (State.RECONNECTING, "browser_launch_failed")
    talk = Talk(*opening, signals.OpenFailed("profile_damaged"))
    assert talk.effects[-1] == signals.OpenBrowser("profile_damaged")
    talk.say(signals.ProfileChosen(expects_login=True, reason="profile_damaged"), signals.OpenFailed("profile_damaged"))
    assert (talk.state, talk.wants(signals.OpenBrowser)) == (State.RECONNECTING, [])


def test_a_profile_that_comes_from_afar_gives_the_browser_more_time() -> None:
    talk = Talk(signals.Start(), signals.Restoring())
    talk.until(talk.now + 164)
    assert talk.state is State.STARTING
    talk.until(talk.now + 2)
    assert (talk.state, talk.core.reason) == (State.RECONNECTING, "start_timeout")
    # While an attempt waits, or once the browser is up, there is nothing to be given time.
    due = talk.core.next_deadline()
    talk.say(signals.Restoring())
    assert talk.core.next_deadline() == due
    talk = Talk(*READY, signals.Restoring())
    assert talk.state is State.READY
