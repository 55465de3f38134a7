from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.actor.stage import Stage
from tests.actor.supervisor_stage import Stage as SupervisorStage

Staged = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def staged() -> AsyncIterator[Staged]:
    """Start session actors on fakes; each is ended with the test."""
    stages: list[Stage] = []

    async def start(*args: Any, **kwargs: Any) -> Stage:
        stage = Stage(*args, **kwargs)
        stages.append(stage)
        return await stage.start()

    yield start
    for stage in stages:
        await stage.close()


@pytest.fixture
async def stage() -> AsyncIterator[SupervisorStage]:
    """A running supervisor on fakes."""
    stage = await SupervisorStage().supervise()
    yield stage
    await stage.dies()
