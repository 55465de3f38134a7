"""The session core as a conversation: inputs on one side, effects on the other."""

import pytest

from actors.core import signals
from actors.core.facts import (
    AccountBlocked,
    AckChanged,
    ActionNeeded,
    BrowserEnded,
    CodeShown,
    ConnectionLost,
    Fact,
    Linked,
    PageEnded,
    QrIdle,
    QrShown,
    SendStranded,
    Synced,
    Unlinked,
)
from actors.core.lifecycle import State
from actors.core.mailbox import Read
from actors.core.signals import Fate, SessionInput
from actors.errors import InvalidTransition
from tests.unit.core.jobs import held
from tests.unit.core.talk import READY, WID, Talk, logged

STRANDED = SendStranded("send_in_doubt")

# --- start --------------------------------------------------------------------------------------------------------


def test_a_core_begins_stopped_and_waits_for_nothing() -> None:
    talk = Talk()
    assert (talk.state, talk.core.next_deadline(), talk.core.ended) == (State.STOPPED, None, False)
    assert talk.say(signals.Woken(None), QrShown("2@", 1, 20)) == []


def test_start_opens_the_browser_and_reads_every_lane() -> None:
    talk = Talk()
    effects = talk.core.handle(signals.Start(), 100)
    assert signals.OpenBrowser() in effects
    assert signals.Announce("session.starting", State.STARTING, State.STOPPED, None) in effects
    assert [effect.read.lane for effect in effects if isinstance(effect, signals.ReadJobs)] == [
        "direct", "high", "normal", "bulk",
    ]  # fmt: skip


def test_the_status_is_written_before_the_event_that_tells_of_it() -> None:
    talk = Talk()
    talk.say(signals.Start())
    kinds = [type(effect) for effect in talk.effects]
    assert kinds.index(signals.PutStatus) < kinds.index(signals.Announce)


def test_starting_twice_is_a_bug_and_changes_nothing() -> None:
    talk = Talk(signals.Start())
    with pytest.raises(InvalidTransition):
        talk.core.handle(signals.Start(), 100)
    assert talk.state is State.STARTING


def test_a_login_brings_number_and_state() -> None:
    talk = Talk(*READY)
    assert (talk.state, talk.core.wid, talk.core.phone_number) == (State.READY, WID, "+6281111111111")
    assert talk.core.reconnect_attempt == 0


def test_a_link_without_a_number_is_a_link() -> None:
    talk = Talk(signals.Start(), Linked(None, None))
    assert (talk.state, talk.core.wid) == (State.SYNCING, None)


def test_sends_of_former_owners_fill_the_window() -> None:
    talk = Talk(signals.Start((95.0, 90.0)), *READY[1:])
    state = talk.core.dispatcher.window.state(talk.now)
    assert (state.remaining, state.reset_at) == (18, 150)


# --- deadlines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "after_s", "state", "reason"),
    [
        ((), 45, State.RECONNECTING, "start_timeout"),
        ((QrShown("2@", 1, 20),), 300, State.STOPPED, "qr_timeout"),
        ((Linked(WID, None),), 120, State.RECONNECTING, "sync_timeout"),
        ((ActionNeeded("terms"),), 900, State.STOPPED, "action_timeout"),
    ],
)
def test_every_transient_state_has_a_deadline(
    inputs: tuple[SessionInput, ...], after_s: float, state: State, reason: str
) -> None:
    talk = Talk(signals.Start(), *inputs)
    talk.until(talk.now + after_s - 0.1)
    assert talk.state is not state
    talk.until(talk.now + 0.1)
    assert (talk.state, talk.core.reason) == (state, reason)


def test_ready_is_probed_and_has_no_deadline() -> None:
    talk = Talk(*READY)
    probes = [effect for effect in talk.until(talk.now + 300) if isinstance(effect, signals.ProbePage)]
    assert 9 <= len(probes) <= 11
    assert talk.state is State.READY


def test_a_scan_that_fails_half_way_gives_no_new_time() -> None:
    talk = Talk(signals.Start(), QrShown("a", 1, 20))
    talk.until(talk.now + 250)
    talk.say(Linked(WID, None), QrShown("b", 2, 20))
    assert talk.state is State.PAIRING
    talk.until(talk.now + 50)
    assert talk.core.reason == "qr_timeout"


# --- pairing ------------------------------------------------------------------------------------------------------


def test_qrs_are_announced_while_pairing_and_only_then() -> None:
    talk = Talk(signals.Start(), QrShown("a", 1, 20))
    assert talk.wants(signals.AnnounceQr) == [signals.AnnounceQr("a", 1, 20)]
    talk.say(Linked(WID, None), CodeShown("ABCD", "+62", 180))
    assert talk.wants(signals.AnnounceCode) == []
    assert talk.core.pairing.qr is None


def test_an_idle_qr_is_refreshed_also_when_it_is_the_first_word() -> None:
    talk = Talk(signals.Start())
    assert signals.RefreshQr() in talk.say(QrIdle())
    assert talk.state is State.PAIRING


def test_rounds_end_before_the_time_does() -> None:
    talk = Talk(signals.Start(), *[QrIdle()] * 21)
    assert (talk.state, talk.core.reason) == (State.STOPPED, "qr_timeout")


def test_a_link_code_is_renewed_when_it_runs_out() -> None:
    talk = Talk(signals.Start(), wanted={"pairing": "code", "phone_number": "+6281111111111"})
    request = signals.RequestCode("+6281111111111")
    assert request in talk.say(QrShown("a", 1, 20))
    talk.say(CodeShown("ABCD", "+6281111111111", 180))
    assert request not in talk.until(talk.now + 179)
    assert request in talk.until(talk.now + 1)


# --- reconnect ----------------------------------------------------------------------------------------------------


def test_attempts_are_announced_made_and_end() -> None:
    talk = Talk(*READY)
    talk.say(BrowserEnded("gone"))
    assert signals.Announce("session.disconnected", State.RECONNECTING, State.READY, "gone") in talk.effects
    assert signals.Announce("session.reconnecting", State.RECONNECTING, State.READY, "gone", 1.0) in talk.effects
    assert signals.CloseBrowser() in talk.effects
    lines: list[str] = []
    for delay in (1, 2, 4, 8, 16):
        seen = talk.until(talk.now + delay)
        assert signals.OpenBrowser() in seen
        lines += logged(seen)
        talk.say(signals.OpenFailed("no"))
    assert [line for line in lines if "attempt" in line] == [f"Reconnect attempt {n}/5" for n in range(1, 6)]
    assert (talk.state, talk.core.reason, talk.core.reconnect_attempt) == (State.FAILED, "no", 5)
    assert talk.wants(signals.End) == [signals.End(State.FAILED, "session.failed", State.RECONNECTING, "no")]


def test_an_attempt_that_hangs_is_over_after_its_time() -> None:
    talk = Talk(*READY, BrowserEnded("gone"))
    talk.until(talk.now + 1)
    seen = talk.until(talk.now + 30)
    assert signals.CloseBrowser() in seen
    assert (talk.core.reconnect_attempt, talk.core.reason) == (2, "reconnect_timeout")


def test_a_socket_that_heals_itself_is_no_attempt_and_one_that_does_not_is_reloaded() -> None:
    talk = Talk(*READY, ConnectionLost("socket"))
    assert (talk.state, talk.core.reconnect_attempt) == (State.RECONNECTING, 0)
    talk.say(Synced(WID, None), ConnectionLost("socket"))
    assert signals.CloseBrowser() not in talk.until(talk.now + 5)
    assert talk.core.reconnect_attempt == 1
    assert signals.ReloadPage() in talk.until(talk.now + 1)


def test_a_page_that_lost_its_socket_under_a_send_is_renewed_at_once_and_once() -> None:
    talk, job = Talk(*READY), held(1)
    talk.give(job)
    talk.say(ConnectionLost("socket"), STRANDED, STRANDED)
    assert talk.wants(signals.ReloadPage) == [signals.ReloadPage()]
    assert (talk.state, talk.core.reconnect_attempt) == (State.RECONNECTING, 0)
    talk.say(signals.Handled(job, Fate.DOUBTED, called=True, page_gone=True), Synced(WID, None))
    assert talk.wants(signals.HandleJob) == [signals.HandleJob(job, ready=True, may_send=False)]
    assert talk.core.dispatcher.window.state(talk.now).remaining == 19


def test_a_renewal_that_fails_is_followed_by_counted_attempts_and_what_waits_for_one_is_left_to_it() -> None:
    talk = Talk(*READY, STRANDED)
    assert (talk.state, talk.core.reason, talk.core.reconnect_attempt) == (State.RECONNECTING, "send_in_doubt", 0)
    talk.say(signals.OpenFailed("no"))
    talk.wants(signals.ReloadPage)
    talk.say(STRANDED)
    assert talk.wants(signals.ReloadPage) == []
    assert talk.core.reconnect_attempt == 1
    assert signals.OpenBrowser() in talk.until(talk.now + 1)


@pytest.mark.parametrize("way", [(ActionNeeded("terms"),), (ActionNeeded("terms"), Linked(WID, None))])
def test_a_page_that_waits_for_a_person_or_syncs_is_renewed_as_well(way: tuple[Fact, ...]) -> None:
    talk = Talk(*READY, *way, STRANDED)
    assert talk.wants(signals.ReloadPage) == [signals.ReloadPage()]
    assert (talk.state, talk.core.reconnect_attempt) == (State.RECONNECTING, 0)


def test_a_drain_ends_with_the_page_that_can_not_finish_it() -> None:
    talk = Talk(*READY)
    talk.give(held(1))
    talk.say(signals.Stop("stopped"), STRANDED)
    assert (talk.state, talk.core.reason) == (State.STOPPED, "stopped")


def test_a_crash_while_waiting_changes_the_remedy_and_counts_nothing() -> None:
    talk = Talk(*READY, PageEnded("crash"))
    talk.say(BrowserEnded("gone"))
    assert talk.core.reconnect_attempt == 1
    assert signals.OpenBrowser() in talk.until(talk.now + 1)


def test_a_silent_page_is_reopened_and_a_deaf_one_gets_its_grace() -> None:
    talk = Talk(*READY, signals.PageSilent("probe_timeout"))
    assert signals.OpenBrowser() in talk.until(talk.now + 1)
    talk = Talk(*READY, signals.Probed(ready=True, reason=""))
    assert talk.state is State.READY
    talk.say(signals.Probed(ready=False, reason="probe"))
    assert (talk.state, talk.core.reconnect_attempt) == (State.RECONNECTING, 0)


def test_a_page_that_leaves_a_single_question_unanswered_is_reopened_and_costs_no_attempt() -> None:
    talk = Talk(*READY)
    talk.say(signals.PageSilent("question_unanswered", answers_others=True))
    assert (talk.state, talk.core.reason) == (State.RECONNECTING, "question_unanswered")
    assert talk.core.reconnect_attempt == 0
    assert [e for e in talk.effects if isinstance(e, signals.CloseBrowser | signals.OpenBrowser)] == [
        signals.CloseBrowser(),
        signals.OpenBrowser(),
    ]


def test_what_comes_too_late_is_not_heard() -> None:
    talk = Talk(signals.Start(), QrShown("a", 1, 20))
    talk.say(signals.Probed(ready=False, reason="x"), signals.PageSilent("x"), signals.OpenFailed("x"))
    assert talk.state is State.PAIRING


def test_terminal_reasons_end_at_once() -> None:
    for fact, state in ((Unlinked("phone"), State.LOGGED_OUT), (AccountBlocked("ban"), State.BLOCKED)):
        talk = Talk(*READY, fact)
        assert (talk.state, talk.core.reason, talk.core.ended) == (state, fact.reason, True)
        assert talk.core.next_deadline() is None


# --- commands -----------------------------------------------------------------------------------------------------


def test_stop_ends_at_once_where_nothing_is_in_flight() -> None:
    talk = Talk(*READY, signals.Stop("stopped"))
    assert talk.effects[-2:] == [
        signals.CloseBrowser(),
        signals.End(State.STOPPED, "session.stopped", State.READY, "stopped"),
    ]


def test_stop_before_the_start_ends_too() -> None:
    talk = Talk(signals.Stop("stopped"))
    assert talk.wants(signals.End) == [signals.End(State.STOPPED, "session.stopped", State.STOPPED, "stopped")]


def test_stop_waits_for_the_job_in_flight_and_a_second_stop_changes_nothing() -> None:
    talk = Talk(*READY)
    job = held(1)
    talk.give(job, held(2))
    talk.say(signals.Stop("stopped"), signals.Stop("again"), signals.Restart())
    assert talk.state is State.DRAINING
    talk.say(signals.Handled(job, Fate.FINISHED, called=True))
    assert (talk.state, talk.core.reason) == (State.STOPPED, "stopped")
    assert talk.wants(signals.HandleJob) == []


def test_a_stop_that_can_not_wait_does_not() -> None:
    talk = Talk(*READY)
    job = held(1)
    talk.give(job)
    talk.say(signals.Stop("lease_lost", drain=False))
    assert talk.core.ended
    assert talk.say(signals.Handled(job, Fate.DOUBTED, called=True), signals.Restart(), signals.Tick()) == []


def test_a_drain_has_a_deadline() -> None:
    talk = Talk(*READY)
    talk.give(held(1))
    talk.say(signals.Stop("stopped"))
    talk.until(talk.now + 20)
    assert (talk.state, talk.core.reason) == (State.STOPPED, "stopped")
    assert signals.Log("drain cut short: drain_timeout", warning=True) in talk.effects


@pytest.mark.parametrize("reason", ["drained", "stopped"])
def test_a_drain_that_is_cut_short_ends_for_the_reason_it_was_begun(reason: str) -> None:
    talk = Talk(*READY)
    talk.give(held(1))
    talk.say(signals.Stop(reason), BrowserEnded("its process ended"))
    assert (talk.state, talk.core.reason) == (State.STOPPED, reason)
    assert signals.Log("drain cut short: its process ended", warning=True) in talk.effects


def test_logout_ends_the_login_its_profile_and_its_queue() -> None:
    talk = Talk(*READY, signals.Logout())
    assert [effect for effect in talk.effects if not isinstance(effect, signals.Log)][-6:] == [
        signals.SettleDoubts(), signals.LogOut(), signals.CloseBrowser(), signals.Quarantine(), signals.CancelJobs(),
        signals.End(State.LOGGED_OUT, "session.logged_out", State.READY, "logout"),
    ]  # fmt: skip


@pytest.mark.parametrize(("inputs", "asked"), [(READY[:1], False), (READY[:2], False), (READY, True)])
def test_a_logout_asks_only_a_page_that_knows_its_messages(inputs: tuple[SessionInput, ...], *, asked: bool) -> None:
    talk = Talk(*inputs, signals.Logout())
    assert talk.state is State.LOGGED_OUT
    assert (signals.SettleDoubts() in talk.effects) is asked


def test_restart_closes_opens_and_forgives() -> None:
    talk = Talk(*READY, BrowserEnded("gone"))
    talk.say(signals.Restart())
    assert [effect for effect in talk.effects if isinstance(effect, signals.CloseBrowser | signals.OpenBrowser)] == [
        signals.CloseBrowser(), signals.OpenBrowser(),
    ]  # fmt: skip
    assert talk.state is State.STARTING
    talk.say(Synced(WID, None), BrowserEnded("gone"))
    assert talk.core.reconnect_attempt == 1


def test_a_fault_is_a_visible_end() -> None:
    talk = Talk(signals.Faulted("lease_held"))
    assert (talk.state, talk.core.reason) == (State.FAILED, "lease_held")


def test_acks_mean_nothing_to_the_machine() -> None:
    talk = Talk(*READY)
    assert talk.say(AckChanged(("x",), "c", 2)) == []


# --- jobs ---------------------------------------------------------------------------------------------------------


def test_a_doubted_send_renews_the_page_and_counts_nothing() -> None:
    talk = Talk(*READY)
    job = held(1)
    talk.give(job)
    talk.say(signals.Handled(job, Fate.DOUBTED, called=True))
    assert talk.wants(signals.ReloadPage) == [signals.ReloadPage()]
    assert (talk.state, talk.core.reconnect_attempt) == (State.RECONNECTING, 0)
    talk.say(Synced(WID, None))
    assert talk.wants(signals.HandleJob) == [signals.HandleJob(job, ready=True, may_send=False)]
    talk.say(signals.Handled(job, Fate.NEEDS_SLOT, called=False))
    assert talk.wants(signals.HandleJob) == [signals.HandleJob(job, ready=True, may_send=True)]


def test_what_broke_under_a_job_is_heard() -> None:
    talk = Talk(*READY)
    job = held(1)
    talk.give(job)
    talk.say(signals.Handled(job, Fate.NEEDS_PAGE, called=False, failure=BrowserEnded("gone")))
    assert (talk.state, talk.core.reconnect_attempt) == (State.RECONNECTING, 1)


def test_pause_holds_the_queue_and_resume_lets_it_go() -> None:
    talk = Talk(*READY)
    assert talk.say(signals.Pause(paused=True)) == [signals.PutStatus()]
    assert signals.HandleJob not in {type(effect) for effect in talk.give(held(1))}
    talk.say(signals.Pause(paused=False))
    assert len(talk.wants(signals.HandleJob)) == 1


def test_the_log_is_looked_into_every_half_minute_and_soon_after_a_failure() -> None:
    talk = Talk()
    effects = talk.core.handle(signals.Start(), talk.now)
    lanes = [effect.read.lane for effect in effects if isinstance(effect, signals.ReadJobs)]
    for lane in lanes:
        talk.core.handle(signals.ReadFailed(lane), talk.now)
    assert talk.core.next_deadline() == talk.now + 1
    again = talk.core.handle(signals.Tick(), talk.now + 1)
    assert signals.ReadJobs(Read("normal", 0, 64)) in again
    for effect in again:
        if isinstance(effect, signals.ReadJobs):
            talk.core.handle(signals.JobsRead(effect.read, []), talk.now + 1)
    assert talk.core.next_deadline() == talk.now + 31
