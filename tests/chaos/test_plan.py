from collections import Counter

import pytest

from actors.config import SessionConfig
from tests.chaos.plan import FULL, KNOBS, OF_ONE_SESSION, SHORT, Kind, Scale, make_plan, mark_of

SEEDS = range(20)


@pytest.mark.parametrize("scale", [FULL, SHORT], ids=["full", "short"])
def test_a_seed_is_a_plan(scale: Scale) -> None:
    assert make_plan(7, scale) == make_plan(7, scale)
    assert make_plan(7, scale).faults != make_plan(8, scale).faults


@pytest.mark.parametrize("scale", [FULL, SHORT], ids=["full", "short"])
def test_every_plan_has_all_its_jobs_each_with_a_mark_of_its_own(scale: Scale) -> None:
    for seed in SEEDS:
        plan = make_plan(seed, scale)
        assert len(plan.jobs) == scale.jobs
        assert all(mark_of(job.number) in job.text for job in plan.jobs)
        assert len({job.number for job in plan.jobs}) == scale.jobs
        assert [job.at_s for job in plan.jobs] == sorted(job.at_s for job in plan.jobs)


@pytest.mark.parametrize("scale", [FULL, SHORT], ids=["full", "short"])
def test_a_send_whose_ack_is_lost_at_the_very_end_has_its_outcome_awaited(scale: Scale) -> None:
    """Seed 9 once ended while a file's two minutes ran: its session had sent nothing for 90 s, as it should."""
    lasts_s = scale.send_timeout_s or SessionConfig().media_send_timeout_s
    assert scale.settle_s >= lasts_s + 20


def test_every_full_plan_has_all_there_is() -> None:
    for seed in SEEDS:
        plan = make_plan(seed, FULL)
        assert {job.kind for job in plan.jobs} == {"text", "media", "location"}
        assert {job.lane for job in plan.jobs} == {"high", "normal", "bulk"}
        assert {job.key for job in plan.jobs} == set(plan.sessions)
        assert len(plan.sessions) == 8
        assert {job.way for job in plan.jobs} == {"queue", "direct", "inbox"}
        assert any(job.expires_s for job in plan.jobs)
        assert {fault.kind for fault in plan.faults} == set(Kind)
        assert Counter(fault.kind for fault in plan.faults)[Kind.REBOOT] == 1


def test_a_burst_overfills_a_window() -> None:
    plan = make_plan(1, FULL)
    most = max(
        sum(other.key == job.key and job.at_s <= other.at_s < job.at_s + 1 for other in plan.jobs) for job in plan.jobs
    )
    assert most >= 20


def test_faults_come_one_after_the_other_and_end_within_the_run() -> None:
    for seed in SEEDS:
        plan = make_plan(seed, FULL)
        times = [fault.at_s for fault in plan.faults]
        assert times == sorted(times)
        assert times[-1] < FULL.span_s * 1.2
        for fault in plan.faults:
            assert (fault.key is not None) == (fault.kind in OF_ONE_SESSION)
            if fault.kind in KNOBS:
                assert fault.lasts_s


def test_some_frozen_actors_are_never_thawed_and_nats_is_away_for_longer_than_leases_hold() -> None:
    faults = [fault for seed in SEEDS for fault in make_plan(seed, FULL).faults]
    frozen = [fault.lasts_s for fault in faults if fault.kind is Kind.FREEZE]
    assert None in frozen
    assert any(lasts is not None and lasts > 8 for lasts in frozen)
    away = [fault.lasts_s or 0 for fault in faults if fault.kind is Kind.NATS]
    assert min(away) < 4
    assert max(away) > 8


def test_a_short_plan_may_have_every_fault_that_is_over_in_time() -> None:
    faults = [fault for seed in range(100) for fault in make_plan(seed, SHORT).faults]
    assert {fault.kind for fault in faults} == set(Kind) - {Kind.REBOOT}
    assert all(fault.lasts_s is not None and fault.lasts_s < 6 for fault in faults)
