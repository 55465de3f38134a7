"""Runs a stack in the foreground until it is done, a signal comes or a part fails; then nothing of it is left."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from gateway.up.descendants import adopt_orphans, end_descendants
from gateway.up.stack import Plan, Report, Stack
from gateway.up.state import Located

_ENDING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_log = logging.getLogger("wafleet.up")


class Interrupted(Exception):
    """A person or a service manager ended it before its work was done."""


def run_stack(plan: Plan, report: Report, work: Callable[[Located], Awaitable[None]]) -> None:
    """Start everything, do some work, end everything.

    Args:
        plan: What to start.
        report: Told of each part.
        work: What to do while everything runs; it may be cancelled.

    Raises:
        PartFailed: A part did not come up, or ended for good.
        AlreadyRunning: The state folder is in use.
        FolderUnusable: It cannot be written.
        Interrupted: SIGINT, SIGTERM or SIGHUP came; everything was ended in order.
    """
    stack = Stack(plan, report)
    adopt_orphans()
    try:
        asyncio.run(_until_signal(_work(stack, work)))
    finally:
        for survivor in end_descendants():
            _log.debug("killed %s, which had not ended with its parent", survivor)
        stack.clean()


async def _work(stack: Stack, work: Callable[[Located], Awaitable[None]]) -> None:
    try:
        located = await stack.start()
        watching = asyncio.ensure_future(stack.watch())
        working = asyncio.ensure_future(work(located))
        try:
            await asyncio.wait({watching, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (watching, working):
                if not task.done():
                    task.cancel()
            await asyncio.gather(watching, working, return_exceptions=True)
        _raise_first(watching, working)
    finally:
        await stack.stop()


def _raise_first(*tasks: "asyncio.Future[None]") -> None:
    """Raise what a task failed with; the watch goes first, since a lost part explains the rest."""
    for task in tasks:
        if not task.cancelled():
            task.result()


async def _until_signal(main: Awaitable[None]) -> None:
    """Cancel ``main`` at the first signal; at another one cancel again, which cuts the orderly end short."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(main)
    came: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        came.append(number)
        task.cancel()

    for number in _ENDING_SIGNALS:
        loop.add_signal_handler(number, end, number)
    try:
        with suppress(asyncio.CancelledError):
            await task
    finally:
        for number in _ENDING_SIGNALS:
            loop.remove_signal_handler(number)
    if came:
        raise Interrupted(came[0].name)
