"""The nodes: hosts of their own where this machine can play several, else processes of one host.

Whether it can is tried when this file is read, so `make test`, which leaves `tests/nodes` out, touches no network.
"""

import os
from collections.abc import AsyncIterator
from contextlib import nullcontext

import pytest
import pytest_asyncio

from tests.nodes.fleet import Fleet
from tests.support.hosts import Sites, why_no_hosts

WHY_NO_HOSTS = "WAFLEET_TEST_NODES=processes" if os.environ.get("WAFLEET_TEST_NODES") == "processes" else why_no_hosts()


def pytest_report_header() -> str:
    return f"nodes: processes of one host ({WHY_NO_HOSTS})" if WHY_NO_HOSTS else "nodes: a host each"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """A cluster with a head that holds no sessions; each worker is a host of its own where this machine allows it."""
    with nullcontext() if WHY_NO_HOSTS else Sites() as sites:
        async with Fleet(tmp_path_factory.mktemp("nodes"), sites) as fleet:
            yield fleet
