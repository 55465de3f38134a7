"""``python -m benchmarks``: measures a running system, then one on several nodes, and prints one table.

Some ten minutes, on a machine that does nothing else. Exits 1 if a target was missed.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from benchmarks import faults, nodes, round_trip, safety, sessions
from benchmarks.system import System, running
from benchmarks.table import Row, show

_OF_ONE_SYSTEM: Final[dict[str, Callable[[System], Awaitable[list[Row]]]]] = {
    "round_trip": round_trip.measure,
    "sessions": sessions.measure,
    "safety": safety.measure,
    "faults": faults.measure,
}
_NODES: Final = "nodes"


async def measure(parts: list[str]) -> int:
    """Measure some parts, one after the other; the exit code."""
    rows: list[Row] = []
    if asked := [measuring for name, measuring in _OF_ONE_SYSTEM.items() if name in parts]:
        async with running() as system:
            for measuring in asked:
                rows += await measuring(system)
    if _NODES in parts:
        rows += await nodes.measure()
    show(rows)
    return int(any(row.met is False for row in rows))


def main() -> int:
    """Measure what is asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = [*_OF_ONE_SYSTEM, _NODES]
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(known)} (default: all)")
    parts = parser.parse_args().parts
    if unknown := set(parts) - set(known):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return asyncio.run(measure(parts or known))


if __name__ == "__main__":
    sys.exit(main())
