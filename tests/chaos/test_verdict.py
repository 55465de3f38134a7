"""The numbers and notes of a verdict, and how they are shown."""

from dataclasses import replace

from tests.chaos.history import Told
from tests.chaos.judge import judge
from tests.chaos.made_up import (
    FIRST,
    GOOD,
    JOBS,
    KEY,
    OTHER,
    START,
    arrived,
    arriving,
    asked,
    asking,
    befallen,
    doubted,
    down,
)  # fmt: skip
from tests.chaos.plan import Kind
from tests.chaos.report import render

LATE = asked(0, expires_s=2.0)


def test_what_is_in_doubt_and_what_came_again_is_noted_with_what_was_before() -> None:
    history = replace(
        befallen(doubted(JOBS[1]), Kind.ACTOR, at=START + 5),
        arrived=(*(each for each in GOOD.arrived if each.number != 1), arrived(FIRST, START + 9)),
    )
    notes = "\n".join(judge(history).notes)
    assert "is unconfirmed" in notes
    assert "job 0 arrived again after 8.0 s: kill actor 4.0 s before" in notes


def test_what_put_nothing_in_doubt_is_not_noted_as_its_cause() -> None:
    history = befallen(arriving(arrived(FIRST, START + 9)), Kind.BROWSER, at=START + 4)
    [note] = judge(befallen(history, Kind.NATS, None, at=START - 3)).notes
    assert note.endswith("after 8.0 s: kill browser 5.0 s before")


def test_what_is_in_doubt_since_its_time_was_over_is_told_apart() -> None:
    verdict = judge(befallen(asking(doubted(FIRST), LATE), Kind.BROWSER))
    assert (verdict.unconfirmed, verdict.expired_in_doubt) == (1, 1)
    assert "1 (1 whose time was over)" in render(7, verdict)


def test_notes_that_are_not_shown_are_counted() -> None:
    again = [arrived(FIRST, START + 2 + number) for number in range(33)]
    assert "and 3 more notes" in render(7, judge(arriving(*again)))


def test_the_longest_time_not_ready_is_shown_by_session() -> None:
    verdict = judge(down(down(GOOD, START + 1, START + 3), START + 10, START + 30))
    assert verdict.longest_not_ready == {KEY: 20.0, OTHER: 0.0}
    assert "acme:s1                   20.0 s" in render(7, verdict)
    killed = befallen(down(GOOD, START + 14, START + 30), Kind.ACTOR, at=START + 10)
    assert judge(killed).longest_not_ready[KEY] == 20.0, "its owner was dead before the next one said so"
    assert judge(down(killed, START + 11, START + 12)).longest_not_ready[KEY] == 16.0, "it was back meanwhile"
    assert judge(down(GOOD, START + 300, None)).longest_not_ready[KEY] == 100.0


def test_an_outage_is_measured_from_the_fault_to_the_next_ready() -> None:
    told = (*GOOD.told, Told(KEY, "session.reconnecting", START + 11), Told(KEY, "session.ready", START + 14))
    history = replace(befallen(GOOD, Kind.BROWSER, at=START + 10), told=told)
    assert judge(history).outages == {Kind.BROWSER: 4.0}
    shown = render(7, judge(befallen(history, Kind.SUPERVISOR, None))).splitlines()
    assert f"    {Kind.BROWSER:<20}  1   4.0 s" in shown
    assert f"    {Kind.SUPERVISOR:<20}  1   -" in shown


def test_an_outage_of_which_nobody_can_say_whose_it_is_is_not_measured() -> None:
    told = (*GOOD.told, Told(KEY, "session.reconnecting", START + 11), Told(KEY, "session.ready", START + 14))
    history = replace(befallen(GOOD, Kind.BROWSER, at=START + 10), told=told)
    assert judge(befallen(history, Kind.ACTOR, at=START + 12)).outages == {}
    assert judge(befallen(history, Kind.ACTOR, at=START + 15)).outages == {Kind.BROWSER: 4.0}
    assert judge(befallen(history, Kind.ACTOR, OTHER, at=START + 12)).outages == {Kind.BROWSER: 4.0}


def test_an_outage_that_came_too_late_is_not_the_faults() -> None:
    told = (*GOOD.told, Told(KEY, "session.reconnecting", START + 31), Told(KEY, "session.ready", START + 34))
    history = replace(GOOD, told=told)
    assert judge(befallen(history, Kind.SUPERVISOR, None)).outages == {}
    assert judge(befallen(history, Kind.FREEZE, at=START)).outages == {Kind.FREEZE: 34.0}


def test_a_fault_that_took_no_session_down_has_no_outage() -> None:
    assert judge(befallen(GOOD, Kind.SUPERVISOR, None)).outages == {}


def test_the_report_says_all_that_was_counted_and_the_seed() -> None:
    failed = befallen(arriving(arrived(FIRST, START + 9)), Kind.BROWSER, OTHER, at=START + 4)
    shown = dict(line.strip().rsplit("  ", 1) for line in render(7, judge(failed)).splitlines()[1:12])
    assert {name.strip(): value.strip() for name, value in shown.items()} == {
        "asked": "5",
        "refused before acceptance": "0",
        "accepted": "5",
        "sent": "5",
        "failed with reason": "0",
        "unconfirmed": "0",
        "lost": "0",
        "duplicates that differ in id": "0",
        "repeats under the same id": "1",
        "fullest window": "5 of 20",
        "sessions that needed a new QR": "0",
    }
    assert render(7, judge(failed)).startswith("chaos, seed 7: FAILED after 400 s")
    assert "which no fault explains" in render(7, judge(failed))
    assert render(7, judge(GOOD)).startswith("chaos, seed 7: passed after 400 s")
