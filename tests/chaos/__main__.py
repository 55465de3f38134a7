"""``python -m tests.chaos``: runs seeds, prints their reports, ends with 1 if one of them found something."""

import argparse
import asyncio
import shutil
import sys
import time
from pathlib import Path
from typing import Final

from tests.chaos.judge import judge
from tests.chaos.plan import FULL, SHORT, Scale, make_plan
from tests.chaos.report import render
from tests.chaos.run import run

_FOLDER: Final = Path(".wafleet") / "chaos"


def main() -> int:
    """Run every seed that is asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, action="append", help="which plan; may be said several times (default: 1)")
    parser.add_argument("--short", action="store_true", help="the small form that `make test` runs")
    parser.add_argument("--keep", action="store_true", help="keep data and logs of runs that pass as well")
    arguments = parser.parse_args()
    scale = SHORT if arguments.short else FULL
    failed = [seed for seed in arguments.seed or [1] if not _run_seed(seed, scale, keep=arguments.keep)]
    if failed:
        _print(f"FAILED with the seeds {failed}: run one again with `make chaos SEED={failed[0]}`")
    return 1 if failed else 0


def _run_seed(seed: int, scale: Scale, *, keep: bool) -> bool:
    folder = (_FOLDER / f"seed-{seed}").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began = time.monotonic()

    def say(text: str) -> None:
        _print(f"{time.strftime('%H:%M:%S')} {time.monotonic() - began:6.1f} s  {text}")

    try:
        history = asyncio.run(run(make_plan(seed, scale), folder, say))
    except BaseException:
        _print(f"the run of seed {seed} broke off; its data and logs: {folder}")
        raise
    verdict = judge(history)
    _print(render(seed, verdict))
    if verdict.passed and not keep:
        shutil.rmtree(folder)
    else:
        _print(f"data and logs: {folder}")
    return verdict.passed


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
