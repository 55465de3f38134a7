"""A whole session and URLs that serve no honest file: each job fails at once, by name, and holds up nothing."""

from collections.abc import AsyncIterator
from datetime import datetime

import pytest
import pytest_asyncio

from actors.config import SessionConfig
from actors.messages.events import JobEvent
from actors.messages.jobs import Job, MediaContent
from simulator.client import SimulatedPhone
from tests.browser.live_session import LiveSession, living
from tests.support.media_server import MAX_BYTES, MediaServer, media_server

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

WID = "5511977775555@c.us"
REFUSED = {"/nothing": "status", "/large": "too_large", "/endless": "too_large", "/liar.png": "type_mismatch"}
_KNOWN_WITHIN_S = 1.0
"""From the server's answer to the job's end (issue 2, "Bad input")."""


@pytest_asyncio.fixture(loop_scope="module")
async def session(config: SessionConfig, phone: SimulatedPhone) -> AsyncIterator[LiveSession]:
    media = config.browser.media.model_copy(update={"max_bytes": MAX_BYTES})
    browser = config.browser.model_copy(update={"media": media})
    async with living(config.model_copy(update={"browser": browser}), phone, WID) as session:
        yield session


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[MediaServer]:
    async with media_server() as running:
        yield running


def ended_at(session: LiveSession, job: Job) -> datetime:
    change = session.record(job).history[-1]
    assert change.status == "failed"
    return change.time


async def test_a_url_that_serves_no_honest_file_fails_its_own_job_only(
    session: LiveSession, server: MediaServer
) -> None:
    jobs = {path: session.submit(MediaContent(url=server.url + path)) for path in REFUSED}
    text = session.submit()
    assert await session.outcome(text) in {"sent", "delivered", "read"}
    assert await session.accepted(text) == 1
    failed = [event for event in session.ports.events.of("message.failed") if isinstance(event, JobEvent)]
    told = {event.data.job_id: event.data.error for event in failed}
    for path, job in jobs.items():
        error = session.record(job).error
        assert error is not None
        assert (error.code, error.details["reason"]) == ("media_rejected", REFUSED[path])
        assert (ended_at(session, job) - server.answered[path]).total_seconds() < _KNOWN_WITHIN_S
        assert told[job.job_id] == error
        assert await session.accepted(job) == 0
