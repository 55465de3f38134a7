"""What becomes of a session actor, where Ray itself is in trouble: decided without a cluster."""

import asyncio
from collections import deque
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError

from actors import cluster
from actors.cluster import RaySession, connect
from actors.errors import Unavailable
from actors.messages.ids import SessionKey
from actors.ports import Died, Ended, actor_name
from tests.support.fakes import FakeClock


class _Method:
    def __init__(self, plan: deque[Ended | Exception]) -> None:
        self._plan = plan
        self.calls = 0

    async def remote(self) -> Ended:
        self.calls += 1
        step = self._plan.popleft()
        if isinstance(step, Exception):
            raise step
        return step


class _Actor:
    """An actor whose end is asked for with these answers."""

    def __init__(self, *plan: Ended | Exception) -> None:
        self.wait_ended = _Method(deque(plan))


UNREACHABLE = ActorUnavailableError("the connection is down", b"0" * 16)


async def fate(
    monkeypatch: pytest.MonkeyPatch, actor: _Actor, *listed: object, after_s: float
) -> tuple[Ended | Died, int]:
    """How a session ended that the GCS lists like this, one answer a question; and how often it was asked."""
    clock, answers, asked = FakeClock(), deque(listed), 0

    async def named(name: str) -> Any:
        nonlocal asked
        asked += 1
        answer = answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def no_process_left(*_: object, **__: object) -> None:
        return

    monkeypatch.setattr(cluster, "_named", named)
    session = RaySession(SessionKey("acme", "s1"), actor, clock)
    monkeypatch.setattr(session, "_end_process", no_process_left)
    waiting = asyncio.create_task(session.wait_ended())
    await clock.advance(after_s)
    assert waiting.done()
    return await waiting, asked


async def test_a_gcs_that_does_not_answer_declares_nobody_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = _Actor(UNREACHABLE, UNREACHABLE, Ended("stopped", "stopped"))
    slow = Unavailable("Ray's GCS did not answer within 15 s; is the head node up?")
    assert await fate(monkeypatch, actor, slow, slow, after_s=2) == (Ended("stopped", "stopped"), 2)


async def test_an_actor_out_of_reach_is_dead_once_the_gcs_does_not_list_it(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = _Actor(*[UNREACHABLE] * 15)
    ended, asked = await fate(monkeypatch, actor, *[object()] * 14, None, after_s=11)
    assert isinstance(ended, Died)
    assert asked == 15, "soon looked at once a second"


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "head:ray"])
async def test_an_address_without_a_port_is_refused_with_what_was_expected(address: str) -> None:
    with pytest.raises(Unavailable, match=f"expected host:port or auto, got '{address}'"):
        await connect(address)


def test_only_names_of_session_actors_are_read_as_such() -> None:
    key = SessionKey("acme", "s1")
    assert cluster._key_of(actor_name(key)) == key
    for other in ("supervisor", "", "session", "session:acme", "session:acme:s1:more", "other:acme:s1"):
        assert cluster._key_of(other) is None
