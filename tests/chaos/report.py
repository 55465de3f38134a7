"""What a person reads at the end of a run. Pure."""

from collections.abc import Mapping
from typing import Final, TypeVar

from tests.chaos.judge import Verdict

_Name = TypeVar("_Name", bound=str)
_SHOWN: Final = 30
"""Notes, and lines of what is wrong; the rest is counted."""


def render(seed: int, verdict: Verdict) -> str:
    """Return the report."""
    rows = [
        ("asked", str(verdict.asked)),
        ("refused before acceptance", _counts(verdict.refused)),
        ("accepted", str(verdict.accepted)),
        ("sent", str(verdict.sent)),
        ("failed with reason", _counts(verdict.failed)),
        ("unconfirmed", _unconfirmed(verdict)),
        ("lost", str(verdict.lost)),
        ("duplicates that differ in id", str(verdict.duplicates)),
        ("repeats under the same id", str(verdict.repeats)),
        ("fullest window", f"{verdict.fullest} of {verdict.limit}"),
        ("sessions that needed a new QR", str(verdict.new_qrs)),
        ("two browsers at once", str(verdict.conflicts)),
        ("slowest answer", f"{verdict.slowest_answer_s:.1f} s"),
        ("faults that found no target", _counts(verdict.missed)),
    ]
    lines = [f"chaos, seed {seed}: {'passed' if verdict.passed else 'FAILED'} after {verdict.took_s:.0f} s"]
    lines += [f"  {name:<31}{value}" for name, value in rows]
    lines.append("  faults, and the longest time until ready again")
    for kind, count in sorted(verdict.faults.items()):
        outage = verdict.outages.get(kind)
        lines.append(f"    {kind:<20}{count:>3}   {'-' if outage is None else f'{outage:.1f} s'}")
    lines.append("  the longest time not ready, whatever befell the session")
    lines += [f"    {key!s:<23}   {lasted_s:.1f} s" for key, lasted_s in verdict.longest_not_ready.items()]
    lines += [f"  note: {text}" for text in verdict.notes[:_SHOWN]]
    if len(verdict.notes) > _SHOWN:
        lines.append(f"  note: and {len(verdict.notes) - _SHOWN} more notes")
    lines += [f"  WRONG: {text}" for text in verdict.wrong[:_SHOWN]]
    if len(verdict.wrong) > _SHOWN:
        lines.append(f"  WRONG: and {len(verdict.wrong) - _SHOWN} more")
    return "\n".join(lines)


def _unconfirmed(verdict: Verdict) -> str:
    late = f" ({verdict.expired_in_doubt} whose time was over)" if verdict.expired_in_doubt else ""
    return f"{verdict.unconfirmed}{late}"


def _counts(counted: Mapping[_Name, int]) -> str:
    shown = ", ".join(f"{count} {name}" for name, count in sorted(counted.items()))
    return f"{sum(counted.values())}" + (f" ({shown})" if shown else "")
