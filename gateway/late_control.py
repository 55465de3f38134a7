"""A control plane that is still being reached: a gateway takes sends at once, before it has joined Ray.

Joining takes seconds, most of it importing Ray; a send needs NATS only. Questions to actors wait meanwhile, each within
its own deadline. Imports the port.
"""

import asyncio
from typing import Final

from actors.errors import Unavailable
from actors.messages.commands import Command
from actors.messages.ids import SessionKey
from actors.messages.replies import ErrorBody, Reply
from actors.ports import ControlPlane


class LateControlPlane:
    """``ControlPlane`` of another one that is not there yet."""

    def __init__(self) -> None:
        self._plane: ControlPlane | None = None
        self._reached: Final = asyncio.Event()

    def reached(self, plane: ControlPlane) -> None:
        """Put every question to this one from now on."""
        self._plane = plane
        self._reached.set()

    async def ask_supervisor(self, key: SessionKey, command: Command, timeout_s: float) -> Reply | ErrorBody:
        """Put an order to the supervisor. Raises ``Unavailable``."""
        plane, left_s = await self._wait(timeout_s)
        return await plane.ask_supervisor(key, command, left_s)

    async def ask_session(self, key: SessionKey, command: Command, timeout_s: float) -> Reply | ErrorBody | None:
        """Put a command to a session; None if it has no actor. Raises ``Unavailable``."""
        plane, left_s = await self._wait(timeout_s)
        return await plane.ask_session(key, command, left_s)

    async def _wait(self, timeout_s: float) -> tuple[ControlPlane, float]:
        """Return the control plane and what is left of the time."""
        if self._plane is not None:
            return self._plane, timeout_s
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self._reached.wait()
        except TimeoutError as exc:
            raise Unavailable("this gateway has just been started and does not reach Ray yet; try again") from exc
        if self._plane is None:
            raise AssertionError("reached without a control plane")
        return self._plane, deadline - loop.time()
