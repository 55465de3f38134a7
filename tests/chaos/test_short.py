"""The small form of the chaos suite, as `make test` runs it: everything real, one seed."""

import sys
from pathlib import Path

import pytest

from tests.chaos.judge import judge
from tests.chaos.plan import SHORT, make_plan
from tests.chaos.report import render
from tests.chaos.run import run

pytestmark = [pytest.mark.e2e, pytest.mark.nats, pytest.mark.ray, pytest.mark.browser, pytest.mark.timeout(240)]

SEED = 10
"""Its plan has killed drivers and renderers and lost acks besides what every short one has."""


async def test_nothing_is_lost_and_nothing_is_sent_twice_while_parts_are_killed(tmp_path: Path) -> None:
    said: list[str] = []
    history = await run(make_plan(SEED, SHORT), tmp_path, said.append)
    verdict = judge(history)
    report = "\n".join((*said, render(SEED, verdict)))
    sys.stdout.write(report)
    assert verdict.passed, report
    assert verdict.sent > SHORT.jobs / 2, report
