"""Questions to actors wait for a gateway that has not joined Ray yet, within their own deadline."""

import asyncio
from typing import Any

import pytest

from actors.errors import Unavailable
from actors.messages.commands import QueueQuery, SessionStop
from actors.messages.ids import SessionKey
from gateway.late_control import LateControlPlane

KEY = SessionKey("acme", "s1")


class Plane:
    """A control plane that tells how long it was given."""

    def __init__(self) -> None:
        self.given_s: list[float] = []

    async def ask_supervisor(self, key: SessionKey, command: Any, timeout_s: float) -> Any:
        self.given_s.append(timeout_s)
        return command

    async def ask_session(self, key: SessionKey, command: Any, timeout_s: float) -> Any:
        self.given_s.append(timeout_s)
        return command


async def test_what_was_asked_before_is_answered_when_the_control_plane_is_there() -> None:
    late, plane = LateControlPlane(), Plane()
    asking = [
        asyncio.create_task(late.ask_supervisor(KEY, SessionStop(), 20)),
        asyncio.create_task(late.ask_session(KEY, QueueQuery(), 5)),
    ]
    done, _ = await asyncio.wait(asking, timeout=0.05)
    assert not done
    late.reached(plane)
    answers: list[Any] = [await each for each in asking]
    assert answers == [SessionStop(), QueueQuery()]
    assert plane.given_s[0] < 20
    assert plane.given_s[1] < 5
    await late.ask_session(KEY, QueueQuery(), 5)
    assert plane.given_s[-1] == 5


async def test_who_cannot_wait_so_long_is_told_to_try_again() -> None:
    with pytest.raises(Unavailable, match="does not reach Ray yet"):
        await LateControlPlane().ask_session(KEY, QueueQuery(), 0.01)
