"""Run all measurements and print one table: against one running system, then on several nodes.

Exits 1 if a target was missed.
"""

import asyncio
import sys

from benchmarks import faults, nodes, round_trip, safety, sessions
from benchmarks.system import running
from benchmarks.table import Row, show


async def main() -> int:
    """Measure everything."""
    rows: list[Row] = []
    async with running() as system:
        rows += await round_trip.measure(system)
        rows += await sessions.measure(system)
        rows += await safety.measure(system)
        rows += await faults.measure(system)
    rows += await nodes.measure()
    show(rows)
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
