"""The session core and what watches its page: hearing, memory, and time that cannot be won anew."""

from typing import Any

from actors.config import MemoryConfig
from actors.core import signals
from actors.core.facts import BrowserEnded, Linked, QrShown, Synced
from actors.core.lifecycle import State
from actors.core.signals import Fate
from tests.unit.core.jobs import held
from tests.unit.core.talk import READY, WID, Talk, logged


def heard(**found: Any) -> signals.Probed:
    return signals.Probed(ready=True, reason="", **found)


def test_a_page_whose_server_is_silent_twice_is_reloaded_as_an_attempt() -> None:
    talk = Talk(*READY, heard(server_answered=False))
    assert talk.state is State.READY
    assert signals.ProbePage() in talk.until(talk.now + 5)
    talk.say(heard(server_answered=False))
    assert (talk.state, talk.core.reason, talk.core.reconnect_attempt) == (State.RECONNECTING, "server_silent", 1)
    assert signals.ReloadPage() in talk.until(talk.now + 1)
    talk.say(Synced(WID, None), heard(server_answered=False))
    assert talk.state is State.READY


def test_a_page_that_takes_nothing_in_is_deaf_and_a_false_alarm_can_not_use_the_attempts_up() -> None:
    talk = Talk(*READY)
    deaf = heard(unheard=3, unheard_for_s=60.0)
    attempts = []
    for _ in range(100):
        talk.say(deaf)
        attempts.append(talk.core.reconnect_attempt)
        talk.until(talk.now + 2)
        talk.say(Synced(WID, None))
        talk.until(talk.now + 28)
    assert talk.state is State.READY
    assert attempts.count(1) == 5
    assert max(attempts) == 1


def test_a_browser_over_its_budget_is_renewed_between_two_sends_and_the_queue_is_held() -> None:
    talk = Talk(*READY)
    first = held(1)
    talk.give(first, held(2))
    talk.say(signals.Weighed(901 * 2**20))
    assert talk.state is State.READY
    assert logged(talk.effects) == ["901 MiB are over the budget: the browser is renewed when no send is in flight"]
    assert logged(talk.say(signals.Weighed(902 * 2**20))) == []
    talk.say(signals.Handled(first, Fate.FINISHED, called=True))
    assert (talk.state, talk.core.reason, talk.core.reconnect_attempt) == (State.RECONNECTING, "memory", 0)
    renewal = [e for e in talk.effects if isinstance(e, signals.CloseBrowser | signals.OpenBrowser)]
    assert renewal == [signals.CloseBrowser(), signals.OpenBrowser()]
    assert talk.wants(signals.HandleJob) == []
    talk.say(Linked(WID, None), Synced(WID, None))
    assert (talk.state, len(talk.wants(signals.HandleJob))) == (State.READY, 1)


def test_memory_is_weighed_in_ready_only_and_not_without_a_budget() -> None:
    talk = Talk(*READY)
    assert talk.until(talk.now + 60).count(signals.WeighProcesses()) == 1
    assert talk.until(talk.now + 67).count(signals.WeighProcesses()) == 1
    talk.say(BrowserEnded("gone"), signals.Weighed(10**12))
    assert talk.core.reason == "gone"
    talk = Talk(*READY, memory=MemoryConfig(budget_mib=0))
    assert signals.WeighProcesses() not in talk.until(talk.now + 300)
    talk.say(signals.Weighed(10**12))
    assert talk.state is State.READY


def test_what_was_too_large_is_forgotten_with_its_browser() -> None:
    talk = Talk(*READY)
    job = held(1)
    talk.give(job)
    talk.say(signals.Weighed(10**12), BrowserEnded("gone"))
    talk.say(signals.Handled(job, Fate.UNAVAILABLE, called=False))
    talk.until(talk.now + 1)
    talk.say(Synced(WID, None))
    assert talk.state is State.READY


def test_a_page_that_goes_back_and_forth_gets_no_new_time() -> None:
    talk = Talk(signals.Start())
    for _ in range(11):
        talk.say(Linked(WID, None))
        talk.until(talk.now + 5)
        talk.say(QrShown("a", 1, 20))
        talk.until(talk.now + 5)
    assert talk.state is State.PAIRING
    talk.say(Linked(WID, None))
    talk.until(talk.now + 15)
    assert (talk.state, talk.core.reason) == (State.RECONNECTING, "sync_timeout")
