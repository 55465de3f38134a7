"""A page without a browser: it speaks the simulator's frames over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from simulator.client import SimulatedPhone

Frame = dict[str, Any]


class WirePage:
    """One socket to a simulator."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, kind: str, **fields: Any) -> None:
        await self._socket.send_json({"t": kind, **fields})

    async def frame(self, kind: str, *, within_s: float = 5) -> Frame:
        """The next frame of a kind; those of other kinds before it are left out."""
        async with asyncio.timeout(within_s):
            while True:
                frame: Frame = await self._socket.receive_json()
                if frame["t"] == kind:
                    return frame

    async def lost(self, *, within_s: float = 5) -> None:
        """Wait until the connection has ended."""
        async with asyncio.timeout(within_s):
            while not self._socket.closed:
                await self._socket.receive()

    async def link(self, phone: SimulatedPhone, wid: str) -> str:
        """Get linked to an account and become ready; the credential."""
        await self.send("hello")
        ref = await self.frame("ref")
        await phone.scan(ref["ref"], wid)
        token: str = (await self.frame("pair"))["creds"]["token"]
        await self.log_in(token)
        return token

    async def log_in(self, token: str) -> None:
        await self.send("login", token=token)
        await self.frame("success")
        await self.send("active")


@asynccontextmanager
async def wire_page(url: str) -> AsyncIterator[WirePage]:
    """A new socket to the simulator at `url`."""
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/ws/chat") as socket:
        yield WirePage(socket)
