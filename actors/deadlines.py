"""Deadlines by the Clock port, so that tests move time instead of waiting for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from actors.ports import Clock

T = TypeVar("T")
_CANCEL_PATIENCE_S: Final = 1.0
"""How long a cancelled call may take to let go; after that nobody waits for it any more."""


async def within(clock: Clock, seconds: float, call: Coroutine[Any, Any, T]) -> T:
    """Await a call, but not longer than a deadline.

    Raises:
        TimeoutError: The deadline passed; the call was cancelled.
    """
    task = asyncio.create_task(call)
    try:
        if not await done_within(clock, seconds, task):
            msg = f"no answer within {seconds:g} s"
            raise TimeoutError(msg)
        return task.result()
    finally:
        await cancel(task)


async def done_within(clock: Clock, seconds: float, task: "asyncio.Task[Any]") -> bool:
    """Wait for a task, but not longer than a deadline; tells whether it is done. One that is not goes on."""
    timer = asyncio.create_task(clock.sleep(seconds))
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel(timer)
    return task.done()


async def cancel(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait a moment until they let go; what they raise then is of no interest."""
    pending = [task for task in tasks if not task.done()]
    for task in pending:
        task.cancel()
        task.add_done_callback(_retrieve)
    if pending:
        await asyncio.wait(pending, timeout=_CANCEL_PATIENCE_S)


def _retrieve(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()
