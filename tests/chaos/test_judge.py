"""A judge that cannot fail is worth nothing: each violation, made up, is recognised; what faults explain is not one."""

from dataclasses import replace
from math import inf

import pytest

from actors.messages.ids import SessionKey, job_id_of_key, message_id_of_job
from tests.chaos.history import Arrived, Asked, Fault, History, Outcome, Told
from tests.chaos.judge import judge
from tests.chaos.plan import Kind, PlannedFault, PlannedJob, Way, mark_of
from tests.chaos.report import render

KEY = SessionKey("acme", "s1")
OTHER = SessionKey("acme", "s2")
START = 1_000.0
END = 1_400.0


def asked(number: int, *, answer: str = "accepted", way: Way = "queue", expires_s: float | None = None) -> Asked:
    job = PlannedJob(number, number, KEY, "text", "normal", way, expires_s, 0, mark_of(number))
    return Asked(job, job_id_of_key(KEY, str(number)), START + number, START + number + 0.5, answer)


def arrived(one: Asked, at: float | None = None) -> Arrived:
    return Arrived(KEY, one.job.number, message_id_of_job(one.job_id), at or one.asked_at + 1)


JOBS = tuple(asked(number) for number in range(5))
GOOD = History(
    max_messages=20,
    window_s=5.0,
    linked_at={KEY: START - 10, OTHER: START - 10},
    ended_at=END,
    asked=JOBS,
    outcomes={one.job_id: Outcome("read", at=one.asked_at + 2, attempted=(one.asked_at + 1,)) for one in JOBS},
    announced={one.job_id: ("message.sent",) for one in JOBS},
    arrived=tuple(arrived(one) for one in JOBS),
    faults=(),
    wanted=(),
    missed=(),
    took_s=400.0,
    may_take_s=600.0,
    told=(Told(KEY, "session.qr", START - 12), Told(KEY, "session.ready", START - 10)),
    states={KEY: "ready", OTHER: "ready"},
    waiting={KEY: 0, OTHER: 0},
)
FIRST = JOBS[0]
MISSED = PlannedFault(1, 5.0, Kind.DRIVER, KEY, 0.0)
STORED = asked(0, answer="stored", way="inbox")


def ended_as(history: History, one: Asked, outcome: Outcome, event: str = "message.failed") -> History:
    """The same, with one job that was not sent."""
    return replace(
        history,
        outcomes={**history.outcomes, one.job_id: outcome},
        announced={**history.announced, one.job_id: (event,)},
        arrived=tuple(each for each in history.arrived if each.number != one.job.number),
    )


def failed(one: Asked, error: str, status: str = "failed", after_s: float = 2.0) -> History:
    return ended_as(GOOD, one, Outcome(status, error, at=one.asked_at + after_s, attempted=(one.asked_at + 1,)))


def doubted(*jobs: Asked, after_s: float = 20.0) -> History:
    """All went well, but for jobs whose attempt began a second after they were asked for."""
    history = GOOD
    for one in jobs:
        at = one.asked_at + after_s
        outcome = Outcome("unconfirmed", "send_unconfirmed", at=at, attempted=(one.asked_at + 1,))
        history = ended_as(history, one, outcome, "message.unconfirmed")
    return history


def befallen(
    history: History, kind: Kind, key: SessionKey | None = KEY, at: float = START + 1.5, lasts_s: float = 1.0
) -> History:
    return replace(history, faults=(*history.faults, Fault(kind, key, at, at + lasts_s)))


def without(history: History, one: Asked) -> History:
    """The same, with a job that no store knows."""
    outcomes = {job_id: each for job_id, each in history.outcomes.items() if job_id != one.job_id}
    return replace(history, outcomes=outcomes)


def answered(history: History, one: Asked, answer: str) -> History:
    return replace(history, asked=[replace(each, answer=answer) if each is one else each for each in history.asked])


def arriving(*further: Arrived) -> History:
    return replace(GOOD, arrived=(*GOOD.arrived, *further))


def test_a_run_in_which_all_went_well_passes() -> None:
    verdict = judge(GOOD)
    assert verdict.passed
    assert (verdict.asked, verdict.accepted, verdict.sent, verdict.lost, verdict.repeats) == (5, 5, 5, 0, 0)
    assert "passed" in render(7, verdict)


OVERFULL = tuple(replace(arrived(asked(number)), at=START + 50 + number * 0.2) for number in range(100, 121))
VIOLATIONS = {
    "an accepted job that no store knows": (without(GOOD, FIRST), "is lost"),
    "a job that the server never saw": (replace(GOOD, arrived=GOOD.arrived[1:]), "is lost"),
    "a job without an outcome": (
        replace(GOOD, outcomes={**GOOD.outcomes, FIRST.job_id: Outcome("sending")}),
        "has no outcome",
    ),
    "one message under two ids": (
        arriving(Arrived(KEY, 0, "3EB0FFFF", START + 9)),
        "was sent twice",
    ),
    "a message that nobody ordered": (arriving(Arrived(KEY, 77, "3EB0FFFF", START + 9)), "no accepted job"),
    "a message without a mark": (arriving(Arrived(KEY, None, "3EB0FFFF", START + 9)), "no accepted job"),
    "a message of another session's account": (
        replace(GOOD, arrived=(replace(arrived(FIRST), key=OTHER), *GOOD.arrived[1:])),
        "was sent by acme:s2",
    ),
    "a message under an id of its own": (
        replace(GOOD, arrived=(replace(arrived(FIRST), message_id="3EB0FFFF"), *GOOD.arrived[1:])),
        "not under the id fixed",
    ),
    "a message of a job that was refused": (
        answered(without(GOOD, FIRST), FIRST, "queue_full"),
        "no accepted job",
    ),
    "a job that is said to have failed, but arrived": (
        replace(befallen(failed(FIRST, "send_failed"), Kind.UPLOAD), arrived=GOOD.arrived),
        "but reached WhatsApp's server",
    ),
    "a job that arrived, and failed when messages had been refused long before": (
        replace(
            befallen(failed(FIRST, "send_failed", after_s=32), Kind.NACK, at=START - 5),
            arrived=(arrived(FIRST, START + 30), *GOOD.arrived[1:]),
        ),
        "but reached WhatsApp's server",
    ),
    "a job that expired without an expiry": (failed(FIRST, "expired", "expired"), "nothing explains"),
    "a job that failed without a fault": (failed(FIRST, "send_failed"), "nothing explains"),
    "a job that failed before the fault": (
        befallen(failed(FIRST, "send_failed"), Kind.UPLOAD, at=START + 10),
        "nothing explains",
    ),
    "a job that failed long after the fault": (
        befallen(failed(FIRST, "send_failed", after_s=90), Kind.UPLOAD),
        "nothing explains",
    ),
    "a job that was cancelled by nobody": (failed(FIRST, "cancelled", "cancelled"), "nothing explains"),
    "a queued job that the window refused": (failed(FIRST, "rate_limited"), "nothing explains"),
    "a job in doubt without a killed owner": (doubted(FIRST), "is unconfirmed, and 0 faults"),
    "two jobs in doubt for one killed owner": (
        befallen(doubted(FIRST, JOBS[1]), Kind.ACTOR, at=START + 3),
        "is unconfirmed, and 1 faults",
    ),
    "two jobs in doubt after the machine's restart": (
        befallen(doubted(FIRST, JOBS[1]), Kind.REBOOT, None, at=START + 3),
        "is unconfirmed, and 1 faults",
    ),
    "a job in doubt where another session's owner was killed": (
        befallen(doubted(FIRST), Kind.ACTOR, OTHER),
        "is unconfirmed, and 0 faults",
    ),
    "a job in doubt whose owner was killed before its attempt": (
        befallen(doubted(FIRST), Kind.ACTOR, at=START - 5),
        "is unconfirmed, and 0 faults",
    ),
    "a job in doubt whose owner was killed after its end": (
        befallen(doubted(FIRST), Kind.ACTOR, at=START + 25),
        "is unconfirmed, and 0 faults",
    ),
    "a job in doubt whose owner was killed long after its attempt": (
        befallen(doubted(FIRST, after_s=300), Kind.ACTOR, at=START + 200),
        "is unconfirmed, and 0 faults",
    ),
    "a job in doubt after its owner was frozen for a moment": (
        befallen(doubted(FIRST), Kind.FREEZE, lasts_s=5),
        "is unconfirmed, and 0 faults",
    ),
    "a job in doubt long after its owner was frozen for good": (
        befallen(doubted(JOBS[4], after_s=300), Kind.FREEZE, at=START - 100, lasts_s=inf),
        "is unconfirmed, and 0 faults",
    ),
    "a job in doubt after a killed browser": (befallen(doubted(FIRST), Kind.BROWSER), "is unconfirmed, and 0 faults"),
    "an expiring job in doubt without a fault": (
        replace(doubted(FIRST), asked=(asked(0, expires_s=2.0), *JOBS[1:])),
        "is unconfirmed, and 0 faults",
    ),
    "an expiring job in doubt whose ack was lost by a later fault": (
        befallen(
            replace(doubted(FIRST, after_s=5), asked=(asked(0, expires_s=2.0), *JOBS[1:])), Kind.BROWSER, at=START + 6
        ),
        "is unconfirmed, and 0 faults",
    ),
    "a repeat under the same id that no fault explains": (
        arriving(arrived(FIRST, START + 9)),
        "which no fault explains",
    ),
    "a repeat that only another session's fault would explain": (
        befallen(arriving(arrived(FIRST, START + 9)), Kind.NO_ACK, OTHER),
        "which no fault explains",
    ),
    "a repeat whose fault came long after the first arrival": (
        befallen(arriving(arrived(FIRST, START + 300)), Kind.BROWSER, at=START + 250),
        "which no fault explains",
    ),
    "a repeat long after an actor was frozen for good": (
        befallen(arriving(arrived(FIRST, START + 9)), Kind.FREEZE, at=START - 200, lasts_s=inf),
        "which no fault explains",
    ),
    "an outcome without an event": (replace(GOOD, announced={}), "the events said nothing"),
    "an outcome with another one's event": (
        replace(GOOD, announced={**GOOD.announced, FIRST.job_id: ("message.sent", "message.failed")}),
        "the events said message.failed, message.sent",
    ),
    "a window with one message too many": (replace(GOOD, arrived=OVERFULL), "21 messages within 5 s"),
    "a new QR": (replace(GOOD, told=(*GOOD.told, Told(KEY, "session.qr", START + 3))), "needed a new QR"),
    "a stored job that nobody carried out": (
        replace(without(GOOD, STORED), asked=(STORED, *JOBS[1:]), arrived=GOOD.arrived[1:]),
        "is lost",
    ),
    "a stored job that was rejected for no reason": (
        replace(
            without(GOOD, STORED),
            asked=(STORED, *JOBS[1:]),
            arrived=GOOD.arrived[1:],
            rejected={STORED.job_id: "queue_full"},
        ),
        "was rejected from the inbox",
    ),
    "a stored job that was rejected and sent": (
        replace(GOOD, asked=(STORED, *JOBS[1:]), rejected={STORED.job_id: "invalid_command"}),
        "was rejected from the inbox as 'invalid_command', and is read",
    ),
    "two browsers of one session at once": (replace(GOOD, conflicts={KEY: 1}), "two pages at once, 1 times"),
    "a session that did not come back": (replace(GOOD, states={KEY: "ready", OTHER: "failed"}), "acme:s2 is failed"),
    "a job left in the log": (replace(GOOD, waiting={KEY: 1}), "1 jobs still lie in the log"),
    "a request without an answer": (answered(GOOD, FIRST, ""), "was never answered"),
    "a queued job that was refused": (
        replace(answered(without(GOOD, FIRST), FIRST, "session_not_ready"), arrived=GOOD.arrived[1:]),
        "was refused as 'session_not_ready'",
    ),
    "an accepted job that was said to be refused": (answered(GOOD, FIRST, "invalid_command"), "but is read"),
    "a job refused as late that was in time": (
        replace(
            without(GOOD, FIRST),
            asked=(asked(0, answer="invalid_command", expires_s=2.0), *JOBS[1:]),
            arrived=GOOD.arrived[1:],
        ),
        "was refused as 'invalid_command'",
    ),
    "a job in doubt after a short outage of nats-server": (
        befallen(doubted(FIRST), Kind.NATS, None),
        "is unconfirmed, and 0 faults",
    ),
    "a kind of fault that should have happened and was not tried": (
        replace(GOOD, wanted=(Kind.REBOOT,)),
        "no fault of the kind 'reboot machine' happened",
    ),
    "a kind of fault that never found its target": (
        replace(befallen(GOOD, Kind.ACTOR), wanted=(Kind.ACTOR, Kind.DRIVER), missed=(MISSED,)),
        "no fault of the kind 'kill node driver' happened; 1 planned ones found no target",
    ),
    "a run that took too long": (replace(GOOD, took_s=601.0), "the run took 601 s, 600 s are allowed"),
    "a direct send that was said to be sent": (
        ended_as(
            replace(GOOD, asked=(asked(0, answer="sent", way="direct"), *JOBS[1:])),
            FIRST,
            Outcome("expired", "expired", at=START + 2),
        ),
        "was answered 'sent', but is expired",
    ),
}


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_a_violation_is_recognised(violation: str) -> None:
    history, words = VIOLATIONS[violation]
    verdict = judge(history)
    assert [text for text in verdict.wrong if words in text], verdict.wrong
    assert not verdict.passed
    assert "FAILED" in render(7, verdict)


LATE = asked(0, expires_s=2.0)
DIRECT = asked(0, answer="session_not_ready", way="direct")
EXPLAINED = {
    "the one job in doubt of a killed owner": befallen(doubted(FIRST), Kind.ACTOR),
    "one job in doubt after the machine's restart": befallen(doubted(FIRST), Kind.REBOOT, None),
    "two jobs in doubt for two killed owners": befallen(
        befallen(doubted(FIRST, JOBS[1]), Kind.ACTOR), Kind.FREEZE, at=START + 5, lasts_s=9
    ),
    "two jobs in doubt, the first of which takes the fault that could excuse the second only": befallen(
        befallen(doubted(FIRST, JOBS[4]), Kind.REBOOT, None, at=START + 6), Kind.ACTOR
    ),
    "a job in doubt whose owner was frozen for good": befallen(doubted(FIRST), Kind.FREEZE, lasts_s=inf),
    "a repeat after a lost ack": befallen(arriving(arrived(FIRST, START + 9)), Kind.NO_ACK),
    "a repeat after a killed browser": befallen(arriving(arrived(FIRST, START + 9)), Kind.BROWSER),
    "a job whose ack was lost and whose time was over then": befallen(
        replace(doubted(FIRST), asked=(LATE, *JOBS[1:])), Kind.BROWSER
    ),
    "a job that expired in time": ended_as(
        replace(GOOD, asked=(LATE, *JOBS[1:])), FIRST, Outcome("expired", "expired")
    ),
    "a job whose upload was refused": befallen(failed(FIRST, "send_failed"), Kind.UPLOAD),
    "a job that the server took and then refused": replace(
        befallen(failed(FIRST, "send_failed"), Kind.NACK, at=START + 0.5), arrived=GOOD.arrived
    ),
    "a run with every kind that should happen": replace(
        befallen(GOOD, Kind.DRIVER), wanted=(Kind.DRIVER,), missed=(MISSED,)
    ),
    "a direct send that was not accepted": replace(
        without(GOOD, FIRST), asked=(DIRECT, *JOBS[1:]), arrived=GOOD.arrived[1:]
    ),
    "one job in doubt after an outage of nats-server that ended the leases": replace(
        doubted(FIRST), faults=(Fault(Kind.NATS, None, START + 2, START + 11),)
    ),
    "a job asked for again until its time was over": replace(
        without(GOOD, FIRST),
        asked=(asked(0, answer="invalid_command", expires_s=0.2), *JOBS[1:]),
        arrived=GOOD.arrived[1:],
    ),
    "a stored job that was sent": replace(GOOD, asked=(STORED, *JOBS[1:])),
    "a stored job whose time was over before a gateway read it": replace(
        without(GOOD, FIRST),
        asked=(asked(0, answer="stored", way="inbox", expires_s=2.0), *JOBS[1:]),
        arrived=GOOD.arrived[1:],
        rejected={FIRST.job_id: "invalid_command"},
    ),
    "a full window": replace(
        GOOD,
        asked=[asked(number) for number in range(20)],
        outcomes={asked(number).job_id: Outcome("sent") for number in range(20)},
        announced={asked(number).job_id: ("message.sent",) for number in range(20)},
        arrived=[arrived(asked(number), START + number * 0.01) for number in range(20)],
    ),
}


@pytest.mark.parametrize("explained", EXPLAINED)
def test_what_a_fault_or_the_contract_explains_is_no_violation(explained: str) -> None:
    assert judge(EXPLAINED[explained]).wrong == ()


def test_what_is_in_doubt_and_what_came_again_is_noted_with_what_was_before() -> None:
    history = replace(
        befallen(doubted(JOBS[1]), Kind.ACTOR, at=START + 5),
        arrived=(*(each for each in GOOD.arrived if each.number != 1), arrived(FIRST, START + 9)),
    )
    notes = "\n".join(judge(history).notes)
    assert "is unconfirmed" in notes
    assert "job 0 arrived again after 8.0 s: kill actor 4.0 s before" in notes


def test_messages_a_window_apart_are_not_in_one_window() -> None:
    history = replace(GOOD, max_messages=1, arrived=tuple(arrived(one, START + 5 * one.job.number) for one in JOBS))
    assert judge(history).fullest == 1
    assert judge(replace(history, window_s=5.01)).fullest == 2


def test_a_message_that_arrived_twice_takes_two_places() -> None:
    twice = (arrived(FIRST, START + 1), arrived(FIRST, START + 2))
    assert judge(replace(GOOD, arrived=twice)).fullest == 2


def test_a_job_whose_answer_was_lost_counts_as_accepted_when_a_store_holds_it() -> None:
    assert judge(answered(GOOD, FIRST, "")).accepted == 5
    assert judge(answered(without(GOOD, FIRST), FIRST, "")).accepted == 4


def test_an_outage_is_measured_from_the_fault_to_the_next_ready() -> None:
    told = (*GOOD.told, Told(KEY, "session.reconnecting", START + 11), Told(KEY, "session.ready", START + 14))
    history = replace(befallen(GOOD, Kind.BROWSER, at=START + 10), told=told)
    assert judge(history).outages == {Kind.BROWSER: 4.0}


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
