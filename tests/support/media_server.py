"""A server of files that are what they are said to be, and of answers that are not; it notes when it answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web

PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)
MAX_BYTES = 4_096
"""Files of more are to be refused."""

PLAIN: dict[str, tuple[bytes, str]] = {
    "/photo.png": (PNG, "image/png"),
    "/liar.png": (b"<html><body>Please sign in</body></html>", "image/png"),
    "/program": (b"MZ" + bytes(200), "image/png"),
    "/empty": (b"", "image/png"),
    "/large": (bytes(MAX_BYTES + 1), "image/png"),
}


class MediaServer:
    """Where it listens, and when it last answered each path."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answered: dict[str, datetime] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        finally:
            self.answered[request.path] = datetime.now(UTC)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path in PLAIN:
            body, content_type = PLAIN[request.path]
            return web.Response(body=body, content_type=content_type)
        match request.path:
            case "/endless":
                stream = web.StreamResponse()
                await stream.prepare(request)
                while request.transport is not None and not request.transport.is_closing():
                    await stream.write(bytes(1_024))
                return stream
            case "/slow":
                await asyncio.get_running_loop().create_future()
            case "/round":
                raise web.HTTPFound("/round")
            case "/away":
                raise web.HTTPFound(request.query["to"])
        raise web.HTTPNotFound


@asynccontextmanager
async def media_server() -> AsyncIterator[MediaServer]:
    """A running one, reachable by ``127.0.0.1`` and ``localhost``."""
    server = MediaServer("")
    application = web.Application()
    application.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
