"""The npm packages that other people's programs are built on, to run them unmodified against the simulator.

`make setup` fetches them, as `tests/simulator/peers/package-lock.json` pins them, into a cache folder of the checkout;
where it could not, the test tries once more. Where there is no Node, no test of them is collected (`conftest.py`).
"""

import shutil
import sys
from pathlib import Path

from tests.support.processes import Program

ROOT = Path(__file__).parents[2]
_MODULES = ROOT / ".wafleet" / "npm-peers" / "node_modules"
_FETCH_S = 110.0
"""Less than pytest's time for a test, else that would say nothing of the cause."""


def node_is_there() -> bool:
    return shutil.which("node") is not None and shutil.which("npm") is not None


async def fetched() -> Path:
    """The folder to give Node as NODE_PATH, with exactly the pinned packages in it."""
    async with Program(sys.executable, ROOT / ".ci" / "peers.py") as fetch:
        code = await fetch.ended(within_s=_FETCH_S)
        assert code == 0, f"{fetch.tail()}: see to it that npm reaches its registry, then run `make setup`"
    return _MODULES
