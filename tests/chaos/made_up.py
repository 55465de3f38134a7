"""Made-up runs for the tests of the judge: one in which all went well, and ways to spoil it."""

from dataclasses import replace
from typing import Literal

from actors.messages.ids import SessionKey, job_id_of_key, message_id_of_job
from tests.chaos.history import Arrived, Asked, Fault, Heard, History, Outcome, Told
from tests.chaos.plan import Kind, PlannedFault, PlannedJob, Way, mark_of

KEY = SessionKey("acme", "s1")
OTHER = SessionKey("acme", "s2")
START = 1_000.0
END = 1_400.0


def asked(
    number: int,
    *,
    answer: str = "accepted",
    way: Way = "queue",
    expires_s: float | None = None,
    kind: Literal["text", "media"] = "text",
) -> Asked:
    job = PlannedJob(number, number, KEY, kind, "normal", way, expires_s, 0, mark_of(number))
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


def asking(history: History, one: Asked) -> History:
    """The same, with another form of the first job."""
    return replace(history, asked=(one, *history.asked[1:]))


def befallen(
    history: History, kind: Kind, key: SessionKey | None = KEY, at: float = START + 1.5, lasts_s: float = 1.0
) -> History:
    return replace(history, faults=(*history.faults, Fault(kind, key, at, at + lasts_s)))


def without(history: History, one: Asked) -> History:
    """The same, with a job that no store knows."""
    outcomes = {job_id: each for job_id, each in history.outcomes.items() if job_id != one.job_id}
    return replace(history, outcomes=outcomes)


def refused(one: Asked) -> History:
    """All went well, but for the first job, which was not accepted."""
    return replace(asking(without(GOOD, FIRST), one), arrived=GOOD.arrived[1:])


def down(history: History, since: float, until: float | None) -> History:
    """The same, but the session was not ready for a while, or from then on."""
    back = () if until is None else (Told(KEY, "session.ready", until),)
    return replace(history, told=(*history.told, Told(KEY, "session.reconnecting", since), *back))


def answered(history: History, one: Asked, answer: str) -> History:
    return replace(history, asked=[replace(each, answer=answer) if each is one else each for each in history.asked])


def loaded(history: History, until: float) -> History:
    """The same, with a full window of further sends just before a moment."""
    more = [asked(number) for number in range(200, 220)]
    at = {one.job.number: until - 0.1 * (220 - one.job.number) for one in more}
    outcomes = {one.job_id: Outcome("sent", at=at[one.job.number], attempted=(at[one.job.number],)) for one in more}
    return replace(
        history,
        asked=(*history.asked, *more),
        outcomes={**history.outcomes, **outcomes},
        announced={**history.announced, **{one.job_id: ("message.sent",) for one in more}},
        arrived=(*history.arrived, *(arrived(one, at[one.job.number]) for one in more)),
    )


def heard(*numbers: tuple[int, int]) -> tuple[Heard, ...]:
    """An owner's events, by epoch and number."""
    return tuple(
        Heard(KEY, f"s1.{epoch}.{seq}.{place}", START + place, epoch, seq) for place, (epoch, seq) in enumerate(numbers)
    )


def arriving(*further: Arrived) -> History:
    return replace(GOOD, arrived=(*GOOD.arrived, *further))
