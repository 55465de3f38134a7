"""Parts of the demo that need nothing of wafleet: collecting events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest

from actors.errors import Unavailable
from actors.messages.events import Event
from gateway.cli.demo.watch import EventWatch

if TYPE_CHECKING:
    from gateway.client import Client


class Refusing:
    """A client whose events cannot be had."""

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[Event]]:
        raise Unavailable("NATS is away")
        yield


async def test_a_watch_that_cannot_listen_says_so_at_once() -> None:
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match="NATS is away"):
            async with EventWatch(cast("Client", Refusing())):
                raise AssertionError("it is not listening")
