"""Session actors on a real Ray cluster."""

import asyncio
import os
import signal
from datetime import UTC, datetime

import pytest

from actors.cluster import RayControlPlane, RaySessionHost
from actors.config import LeaseConfig, SessionConfig
from actors.errors import Unavailable
from actors.messages.commands import SessionLogout, SessionStatusQuery, SessionStop
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.messages.replies import SessionStatus
from actors.ports import Died, Ended, SessionHandle, SessionSpec
from tests.support.leftovers import is_gone

pytestmark = pytest.mark.ray
_KNOWN_DEAD_S = 6.0
"""From the signal: Ray tells it in under two seconds, and what it asks of the GCS may come late on a busy machine."""


def spec(session_id: str) -> SessionSpec:
    desired = DesiredSession(
        tenant_id="acme", session_id=session_id, target="running", changed_at=datetime(2026, 11, 22, tzinfo=UTC)
    )
    return SessionSpec(desired, SessionConfig(), LeaseConfig())


async def made(host: RaySessionHost, session_id: str) -> tuple[SessionHandle, int]:
    """A new session actor and its pid."""
    handle = await host.create(spec(session_id))
    assert handle is not None
    heartbeat = await handle.heartbeat(5)
    assert heartbeat is not None
    return handle, heartbeat.pid


async def test_an_actor_is_found_by_its_name_and_never_made_twice(host: RaySessionHost, plane: RayControlPlane) -> None:
    key = SessionKey("acme", "found")
    assert await host.find(key) is None
    assert await plane.ask_session(key, SessionStatusQuery(), 5) is None
    handle, pid = await made(host, "found")
    assert list(await host.living()) == [key]
    assert (await made(host, "found"))[1] == pid
    found = await host.find(key)
    assert found is not None
    status = await plane.ask_session(key, SessionStatusQuery(), 5)
    assert isinstance(status, SessionStatus)
    assert status.state == "ready"
    await found.kill(10)
    assert is_gone(pid)
    assert isinstance(await handle.wait_ended(), Died)
    assert list(await host.living()) == []
    with pytest.raises(Unavailable):
        await handle.ask(SessionStatusQuery(), 5)
    assert await handle.heartbeat(5) is None


async def test_of_two_that_create_an_actor_at_once_one_makes_it(
    host: RaySessionHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As two supervisors do, one of which was frozen: neither finds the other's, so that Ray's name decides."""

    async def none_yet(*_: object) -> None:
        return None

    monkeypatch.setattr(RaySessionHost, "find", none_yet)
    (handle, pid), (_, others) = await asyncio.gather(made(host, "raced"), made(host, "raced"))
    assert pid == others
    await handle.kill(10)
    assert is_gone(pid)


async def test_an_actor_that_ended_says_how_and_leaves_no_process(host: RaySessionHost) -> None:
    handle, pid = await made(host, "ends")
    ended = asyncio.create_task(handle.wait_ended())
    assert isinstance(await handle.ask(SessionStop(), 5), SessionStatus)
    assert await ended == Ended("stopped", "stopped")
    assert is_gone(pid)
    assert await host.find(SessionKey("acme", "ends")) is None


async def test_an_actor_killed_from_outside_is_soon_known_to_be_dead(host: RaySessionHost) -> None:
    handle, pid = await made(host, "dies")
    ended = asyncio.create_task(handle.wait_ended())
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(_KNOWN_DEAD_S):
        fate = await ended
    assert isinstance(fate, Died)
    assert "died" in fate.reason


async def test_an_actor_that_gets_sigterm_drains_before_it_ends(host: RaySessionHost) -> None:
    handle, pid = await made(host, "told")
    ended = asyncio.create_task(handle.wait_ended())
    os.kill(pid, signal.SIGTERM)
    async with asyncio.timeout(10):
        assert await ended == Ended("stopped", "drained")
    assert is_gone(pid)


async def test_an_error_inside_an_actor_is_an_answer_without_its_traceback(host: RaySessionHost) -> None:
    handle, _ = await made(host, "raises")
    with pytest.raises(Unavailable, match="the actor failed: a stand-in has no account"):
        await handle.ask(SessionLogout(), 5)
    await handle.kill(10)


async def test_without_a_free_slot_nothing_is_made(host: RaySessionHost) -> None:
    assert await host.nodes() == 1
    handles = await asyncio.gather(*(host.create(spec(f"full{n}")) for n in range(2)))
    assert None not in handles
    assert await host.create(spec("full2")) is None
    assert await host.find(SessionKey("acme", "full2")) is None
    await asyncio.gather(*(handle.kill(10) for handle in handles if handle is not None))
