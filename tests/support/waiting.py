"""The one place in tests that waits for something that announces itself by no event."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

Result = TypeVar("Result")


@overload
async def eventually(check: Callable[[], Awaitable[Result]], *, within_s: float, every_s: float = 0.02) -> Result: ...
@overload
async def eventually(check: Callable[[], Result], *, within_s: float, every_s: float = 0.02) -> Result: ...
async def eventually(
    check: Callable[[], Result | Awaitable[Result]], *, within_s: float, every_s: float = 0.02
) -> Result:
    """Call `check` until its result is true, and return that result.

    Args:
        check: what to ask; a function or a coroutine function.
        within_s: how long it may take until the result is true.
        every_s: how long to wait between two calls.

    Raises:
        TimeoutError: it was not true in time; the message shows the last result.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while True:
        outcome = check()
        result: Result = await outcome if inspect.isawaitable(outcome) else outcome
        if result:
            return result
        if loop.time() >= deadline:
            raise TimeoutError(f"not so within {within_s} s; the last result was {result!r}")
        await _pause(every_s)


async def _pause(seconds: float) -> None:
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, over.set)
    await over.wait()
