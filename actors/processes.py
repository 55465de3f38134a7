"""What runs inside an actor's process: a plain body, set going from the first moment.

``actors.cluster`` makes these classes Ray actors. A body's ``run`` is started by the process itself, not by a call: an
actor that Ray restarts, or whose creator died right after creating it, needs nobody to come back to it. Does not import
ray, so it can be tested without a cluster.
"""

import asyncio
import ctypes
import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Protocol, Self

from actors.clock import SystemClock
from actors.messages.commands import Command
from actors.messages.ids import SessionKey
from actors.messages.replies import ErrorBody, Reply
from actors.ports import Ended, Heartbeat

_TRIM_EVERY_S: Final = 60.0

_log: Final = logging.getLogger("wafleet.cluster")


class SessionBody(Protocol):
    """What a session actor's class must offer (``actors.session.SessionActor``)."""

    async def run(self) -> None:
        """Live until the session has ended."""
        ...

    async def wait_ended(self) -> Ended:
        """Wait for the end and say how it came."""
        ...

    async def heartbeat(self) -> Heartbeat:
        """Give a sign of life."""
        ...

    async def ask(self, command: Command) -> Reply | ErrorBody:
        """Carry a command out."""
        ...

    async def drain(self) -> None:
        """Finish what is in flight and end."""
        ...


class SupervisorBody(Protocol):
    """What the supervisor's class must offer (``actors.supervisor.Supervisor``)."""

    async def run(self) -> None:
        """Look after the fleet until stopped."""
        ...

    async def ask(self, key: SessionKey, command: Command) -> Reply | ErrorBody:
        """Carry a command about a session out."""
        ...

    async def heartbeat(self) -> Heartbeat:
        """Give a sign of life."""
        ...

    async def observe(self) -> object:
        """Tell where every session is."""
        ...

    async def stop(self, *, drain: bool) -> None:
        """Stop looking after the fleet."""
        ...


class SessionProcess:
    """The inside of a session actor's process: one body, running from the first moment. SIGTERM drains it."""

    _loop: asyncio.AbstractEventLoop | None = None
    _draining: asyncio.Task[None] | None = None

    def __new__(cls, *_: object) -> Self:
        """Take SIGTERM over from Ray, which would end the process on the spot.

        Ray (2.60) makes an async actor's object on the main thread, the only one that may set handlers, and runs all
        the rest of it on another. Where nobody has a handler this is no worker of Ray, and the signal is not ours.
        """
        self = super().__new__(cls)
        former = signal.getsignal(signal.SIGTERM)
        if callable(former) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda number, frame: self._told_to_end(former, number, frame))
        return self

    async def __init__(self, build: Callable[[], SessionBody]) -> None:  # type: ignore[misc]  # Ray awaits it
        self._body = build()
        self._life = asyncio.get_running_loop().create_task(self._body.run())
        self._thrift = asyncio.get_running_loop().create_task(_be_thrifty())
        self._loop = asyncio.get_running_loop()

    async def heartbeat(self) -> Heartbeat:
        """Give a sign of life."""
        return await self._body.heartbeat()

    async def ask(self, command: Command) -> Reply | ErrorBody:
        """Carry a command out."""
        return await self._body.ask(command)

    async def drain(self) -> None:
        """Finish what is in flight and end."""
        await self._body.drain()

    async def wait_ended(self) -> Ended:
        """Wait until ``run`` returned, so that everything is closed; raises what it raised."""
        await asyncio.shield(self._life)
        return await self._body.wait_ended()

    def _told_to_end(
        self, otherwise: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None
    ) -> None:
        """Drain at the first SIGTERM; whoever sends another is in a hurry. Runs on the main thread."""
        loop, self._loop = self._loop, None
        if loop is None:
            otherwise(number, frame)
        else:
            _log.info("%r was told to end", self)
            loop.call_soon_threadsafe(self._begin_to_drain)

    def _begin_to_drain(self) -> None:
        self._draining = asyncio.get_running_loop().create_task(self._body.drain())

    def __repr__(self) -> str:
        return repr(self._body)


class SupervisorProcess:
    """The inside of the supervisor actor's process."""

    async def __init__(self, build: Callable[[], SupervisorBody]) -> None:  # type: ignore[misc]  # Ray awaits it
        self._body = build()
        self._life = asyncio.get_running_loop().create_task(self._body.run())
        self._life.add_done_callback(_end_process_if_it_failed)

    async def heartbeat(self) -> Heartbeat:
        """Give a sign of life."""
        return await self._body.heartbeat()

    async def ask(self, key: SessionKey, command: Command) -> Reply | ErrorBody:
        """Carry a command about a session out."""
        return await self._body.ask(key, command)

    async def observe(self) -> object:
        """Tell where every session is."""
        return await self._body.observe()

    async def stop(self, *, drain: bool) -> None:
        """Stop looking after the fleet."""
        await self._body.stop(drain=drain)

    def __repr__(self) -> str:
        return repr(self._body)


def give_back_memory() -> bool:
    """Return freed memory to the system where the C library can; tells whether there was any.

    glibc keeps what imports and large messages have left behind: 4-5 of a fresh session's 61 MiB (Ray 2.60, PSS).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))


async def _be_thrifty() -> None:
    while True:
        await SystemClock().sleep(_TRIM_EVERY_S)
        give_back_memory()


def _end_process_if_it_failed(life: "asyncio.Task[None]") -> None:
    """Let Ray restart a supervisor that a bug has ended: only the end of the process makes it do so."""
    if not life.cancelled() and (error := life.exception()) is not None:
        _log.critical("[Supervisor] ended by an error; its process ends too", exc_info=error)
        os._exit(1)
