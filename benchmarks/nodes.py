"""From a node's end to ``ready`` on another one: the median of five.

The nodes are those of ``tests/nodes``: real Ray nodes, each a ``ray start`` of its own on this machine, and a head that
holds no sessions and survives. Everything on a node is killed at once, or the node gets SIGTERM and hands its session
over; either way the session comes back from its snapshot.
"""

import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from benchmarks.table import Row, row_of_medians
from tests.nodes.fleet import Fleet
from tests.support.ray_nodes import RayNode

_SESSION: Final = "faulty"
_WID: Final = "5511880000092@c.us"
_NODES: Final = ("one", "other")
_ROUNDS: Final = 5
_WITHIN_S: Final = 120.0
_End = Callable[[RayNode], Awaitable[None]]


async def measure() -> list[Row]:
    """End the node of a session, again and again."""
    with tempfile.TemporaryDirectory(prefix="wafleet-bench-") as folder:
        async with Fleet(Path(folder)) as fleet:
            await fleet.add(*_NODES)
            await fleet.link(_SESSION, _WID)
            killed = [await _round(fleet, RayNode.kill) for _ in range(_ROUNDS)]
            drained = [await _round(fleet, _drain) for _ in range(_ROUNDS)]
    return [
        row_of_medians("node killed to ready again on another one", killed, 25.0),
        row_of_medians("node told to end to ready on another one", drained, 10.0),
    ]


async def _drain(node: RayNode) -> None:
    node.terminate()


async def _round(fleet: Fleet, end: _End) -> float:
    """End the session's node once; then start it again, and give the session its restart budget back."""
    await fleet.copied(_SESSION)
    before = await fleet.client.status(_SESSION)
    node = fleet.workers[str(before.node)]
    began = time.monotonic()
    await end(node)
    await fleet.ready_elsewhere(_SESSION, than=before, within_s=_WITHIN_S)
    took = time.monotonic() - began
    await node.ended(within_s=_WITHIN_S)
    await fleet.client.stop(_SESSION)
    await fleet.client.wait_until(_SESSION, "stopped", timeout_s=_WITHIN_S)
    await fleet.add(node.name)
    await fleet.client.start(_SESSION)
    await fleet.client.wait_until(_SESSION, "ready", timeout_s=_WITHIN_S)
    return took
