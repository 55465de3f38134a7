"""A judge that cannot fail is worth nothing: each violation, made up, is recognised; what faults explain is not one."""

from dataclasses import replace
from math import inf

import pytest

from tests.chaos.history import Arrived, Fault, Outcome, Told
from tests.chaos.judge import judge
from tests.chaos.made_up import (
    FIRST,
    GOOD,
    JOBS,
    KEY,
    MISSED,
    OTHER,
    START,
    STORED,
    answered,
    arrived,
    arriving,
    asked,
    asking,
    befallen,
    doubted,
    down,
    ended_as,
    failed,
    heard,
    loaded,
    refused,
    without,
)  # fmt: skip
from tests.chaos.plan import Kind
from tests.chaos.report import render


def test_a_run_in_which_all_went_well_passes() -> None:
    verdict = judge(GOOD)
    assert verdict.passed
    assert (verdict.asked, verdict.accepted, verdict.sent, verdict.lost, verdict.repeats) == (5, 5, 5, 0, 0)
    assert "passed" in render(7, verdict)


OVERFULL = tuple(replace(arrived(asked(number)), at=START + 50 + number * 0.2) for number in range(100, 121))
LATE = asked(0, expires_s=2.0)
DIRECT = asked(0, answer="session_not_ready", way="direct")
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
    "a job that expired before its time": (
        asking(failed(FIRST, "expired", "expired"), asked(0, expires_s=20)),
        "failed as 'expired' after 2.0 s, which nothing explains",
    ),
    "a direct send that expired before its time": (
        asking(failed(FIRST, "expired", "expired", after_s=25), asked(0, answer="expired", way="direct")),
        "failed as 'expired' after 25.0 s, which nothing explains",
    ),
    "a direct send that the window refused without any load": (
        asking(failed(FIRST, "rate_limited", after_s=31), asked(0, answer="rate_limited", way="direct")),
        "failed as 'rate_limited' after 31.0 s, which nothing explains",
    ),
    "a direct send that the window refused before its time": (
        loaded(
            asking(failed(FIRST, "rate_limited", after_s=20), asked(0, answer="rate_limited", way="direct")), START + 20
        ),
        "failed as 'rate_limited' after 20.0 s, which nothing explains",
    ),
    "a direct send that a ready session refused": (refused(DIRECT), "was refused as 'session_not_ready'"),
    "a direct send that a session refused which was back long before": (
        down(refused(DIRECT), START - 9, START - 5),
        "was refused as 'session_not_ready'",
    ),
    "a direct send that was refused as limited without any load": (
        refused(asked(0, answer="rate_limited", way="direct")),
        "was refused as 'rate_limited'",
    ),
    "a direct send that a full queue refused, which none is": (
        refused(asked(0, answer="queue_full", way="direct")),
        "was refused as 'queue_full'",
    ),
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
    "an expiring job in doubt before its time was over": (
        befallen(asking(doubted(FIRST), asked(0, expires_s=60)), Kind.BROWSER),
        "is unconfirmed, and 0 faults",
    ),
    "a direct send in doubt before its time was over": (
        befallen(asking(doubted(FIRST), asked(0, answer="send_unconfirmed", way="direct")), Kind.BROWSER),
        "is unconfirmed, and 0 faults",
    ),
    "a text in doubt whose owner was killed when its deadline was over": (
        befallen(doubted(FIRST, after_s=100), Kind.ACTOR, at=START + 60),
        "is unconfirmed, and 0 faults",
    ),
    "a text in doubt whose owner was killed when its shorter deadline was over": (
        befallen(replace(doubted(FIRST, after_s=35), send_timeout_s=8.0), Kind.ACTOR, at=START + 25),
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
    "a repeat whose fault was over when the message arrived first": (
        befallen(arriving(arrived(FIRST, START + 9)), Kind.BROWSER, at=START - 5),
        "which no fault explains",
    ),
    "a repeat after an outage of nats-server in which no browser closes": (
        befallen(arriving(arrived(FIRST, START + 9)), Kind.NATS, None, at=START + 2, lasts_s=4),
        "which no fault explains",
    ),
    "a repeat whose fault came when the send was long over": (
        befallen(arriving(arrived(FIRST, START + 90)), Kind.BROWSER, at=START + 80),
        "which no fault explains",
    ),
    "an outcome without an event": (replace(GOOD, announced={}), "the events said nothing"),
    "an outcome with another one's event": (
        replace(GOOD, announced={**GOOD.announced, FIRST.job_id: ("message.sent", "message.failed")}),
        "the events said message.failed, message.sent",
    ),
    "a window with one message too many": (replace(GOOD, arrived=OVERFULL), "21 messages within 5 s"),
    "windows that were never full": (
        replace(GOOD, max_messages=2, arrived=tuple(arrived(one, START + 5 * one.job.number) for one in JOBS)),
        "no window was ever full: 1 of 2 messages",
    ),
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
    "a stored job with an expiry that was rejected for no reason": (
        replace(refused(asked(0, answer="stored", way="inbox", expires_s=2.0)), rejected={FIRST.job_id: "queue_full"}),
        "was rejected from the inbox as 'queue_full'",
    ),
    "a stored job that was rejected and sent": (
        replace(GOOD, asked=(STORED, *JOBS[1:]), rejected={STORED.job_id: "invalid_command"}),
        "was rejected from the inbox as 'invalid_command', and is read",
    ),
    "two browsers of one session at once": (replace(GOOD, conflicts={KEY: 1}), "two pages at once, 1 times"),
    "an owner's event after its successor's": (
        replace(GOOD, heard=heard((1, 1), (2, 2), (1, 3))),
        "of epoch 1 came after epoch 2 had begun",
    ),
    "an owner's event after its successor's, although that was frozen for a moment only": (
        befallen(replace(GOOD, heard=heard((1, 1), (2, 2), (1, 3))), Kind.FREEZE, at=START - 5, lasts_s=3),
        "of epoch 1 came after epoch 2 had begun",
    ),
    "an event's number that falls": (replace(GOOD, heard=heard((1, 1), (1, 3), (1, 2))), "has the number 2 after 3"),
    "a number for two events": (
        replace(GOOD, heard=heard((1, 1), (1, 2), (2, 2))),
        "has a number that was given out before, 2",
    ),
    "a session that was away for too long": (down(GOOD, START + 1, START + 130), "was not ready for 129 s"),
    "a session that was away for too long after the last fault": (
        befallen(down(GOOD, START + 1, START + 190), Kind.ACTOR, at=START + 50),
        "was not ready for 189 s, 139 s of them after the last fault",
    ),
    "a session that was away for too long although sockets were dropped": (
        befallen(down(GOOD, START + 1, START + 130), Kind.DROP, at=START + 50),
        "was not ready for 129 s",
    ),
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
    "a repeat of which the fault was over when its ack should have gone out": befallen(
        arriving(arrived(FIRST, START + 9)), Kind.NO_ACK, at=START - 1, lasts_s=1.5
    ),
    "a repeat after an outage of nats-server that closed the browsers": befallen(
        arriving(arrived(FIRST, START + 20)), Kind.NATS, None, at=START + 2, lasts_s=9
    ),
    "a repeated file whose fault came within its longer deadline": befallen(
        asking(arriving(arrived(FIRST, START + 90)), asked(0, kind="media")), Kind.BROWSER, at=START + 80
    ),
    "a file in doubt whose owner was killed within its longer deadline": befallen(
        asking(doubted(FIRST, after_s=100), asked(0, kind="media")), Kind.ACTOR, at=START + 60
    ),
    "a direct send in doubt whose time was over": befallen(
        asking(doubted(FIRST, after_s=31), asked(0, answer="send_unconfirmed", way="direct")), Kind.BROWSER
    ),
    "events of three owners, one of them stored twice": replace(
        GOOD, heard=(*heard((1, 1), (1, 2), (2, 3), (4, 4)), *heard((1, 1)))
    ),
    "last words of an owner that was frozen until it was replaced": befallen(
        replace(GOOD, heard=heard((1, 1), (2, 2), (1, 2))), Kind.FREEZE, at=START - 20, lasts_s=12
    ),
    "a session that was away for long since it was killed again and again": befallen(
        befallen(down(GOOD, START + 1, START + 190), Kind.ACTOR, at=START + 50), Kind.BROWSER, at=START + 100
    ),
    "a session that was away for long since everything was started again": befallen(
        down(GOOD, START + 1, START + 170), Kind.REBOOT, None, lasts_s=10
    ),
    "a job whose ack was lost and whose time was over then": befallen(
        replace(doubted(FIRST), asked=(LATE, *JOBS[1:])), Kind.BROWSER
    ),
    "a job that expired in time": asking(failed(FIRST, "expired", "expired"), LATE),
    "a direct send that expired in time": asking(
        failed(FIRST, "expired", "expired", after_s=30), asked(0, answer="expired", way="direct")
    ),
    "a direct send that a full window refused in the end": loaded(
        asking(failed(FIRST, "rate_limited", after_s=30), asked(0, answer="rate_limited", way="direct")), START + 30
    ),
    "a job whose upload was refused": befallen(failed(FIRST, "send_failed"), Kind.UPLOAD),
    "a job that the server took and then refused": replace(
        befallen(failed(FIRST, "send_failed"), Kind.NACK, at=START + 0.5), arrived=GOOD.arrived
    ),
    "a run with every kind that should happen": replace(
        befallen(GOOD, Kind.DRIVER), wanted=(Kind.DRIVER,), missed=(MISSED,)
    ),
    "a direct send that a session refused of which nobody was left to tell that it was down": befallen(
        down(refused(DIRECT), START + 5, START + 20), Kind.REBOOT, None, at=START - 100, lasts_s=50
    ),
    "a direct send that a session refused which lost its lease, and whose next owner came late": befallen(
        down(refused(DIRECT), START + 5, START + 20), Kind.NATS, None, at=START - 40, lasts_s=9
    ),
    "a direct send that a session refused which was not ready": down(refused(DIRECT), START - 3, START + 4),
    "a direct send that a session refused which had just become ready": down(refused(DIRECT), START - 3, START - 1),
    "a direct send that was refused when its session's owner was dead": befallen(
        down(refused(DIRECT), START + 4, START + 6), Kind.ACTOR, at=START - 1
    ),
    "a direct send that was refused before the status of a thawed session was known": befallen(
        refused(DIRECT), Kind.FREEZE, at=START - 8, lasts_s=4
    ),
    "a direct send that was refused as limited under load": loaded(
        refused(asked(0, answer="rate_limited", way="direct")), START - 2
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
