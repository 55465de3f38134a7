"""The simulator as an aiohttp application: the page, its sockets, files, and the control API.

`SimulatorServer` is what the command line and the tests start. It owns the sockets; decisions are in `connection.py`.
"""

import asyncio
import json
import logging
import ssl
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiohttp import WSMsgType, web

from simulator.connection import Connection
from simulator.control import Control
from simulator.journal import FileJournal
from simulator.media import MediaFile, MediaStore
from simulator.page import PAGE_FOLDER, Page
from simulator.service import Service
from simulator.settings import SimulatorSettings
from simulator.world import Frame, World

_log = logging.getLogger(__name__)

MAX_UPLOAD_BYTES: Final = 100 << 20
MAX_FRAME_BYTES: Final = 16 << 20
MAX_OUTGOING: Final = 20_000
"""Frames waiting for one page that does not read; beyond it the page is dropped."""
_PING_S: Final = 30.0
_HANGING_UPLOAD_S: Final = 600.0
_CLOSE_S: Final = 1.0
_SHUTDOWN_S: Final = 2.0
_NO_STORE: Final = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """A second address with TLS, for clients that insist on https://web.whatsapp.com."""

    port: int
    certificate: Path
    key: Path


class PageSocket:
    """A page's WebSocket: frames go out in order, written by one task (`write`)."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self._socket = socket
        self._transport = request.transport
        self._outgoing: asyncio.Queue[Frame] = asyncio.Queue(MAX_OUTGOING)

    def post(self, frame: Frame) -> None:
        """Send a frame soon; a page that reads nothing any more is dropped."""
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull:
            _log.warning("a page has not read its last %d frames: dropped", MAX_OUTGOING)
            self.close()

    def close(self) -> None:
        """Cut the connection without the closing handshake, as a lost network does."""
        if self._transport is not None:
            self._transport.abort()

    async def write(self) -> None:
        """Write what is posted, until cancelled or the socket ends."""
        try:
            while not self._socket.closed:
                await self._socket.send_json(await self._outgoing.get())
        except ConnectionError:
            _log.debug("the page's socket ended while a frame was written")


class SimulatorServer:
    """One simulator: `start()` it, use its `url`, `stop()` it; or `async with`."""

    def __init__(
        self,
        settings: SimulatorSettings | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: TlsSettings | None = None,
        data: Path | None = None,
        page_folder: Path = PAGE_FOLDER,
    ) -> None:
        """Prepare a simulator.

        Args:
            settings: how it behaves.
            host: the address to listen on.
            port: the port to listen on; 0 for any free one.
            tls: a second address with TLS.
            data: a folder that keeps the world across restarts; without it the world ends with the process.
            page_folder: where the page's scripts lie.
        """
        self._settings = settings or SimulatorSettings()
        self._host = host
        self._port = port
        self._tls = tls
        self._data = data
        self._page = Page(page_folder)
        self._journal: FileJournal | None = None
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()
        self._sockets: set[web.WebSocketResponse] = set()
        self._numbers = count(1)
        self._urls: list[str] = []
        self.service: Service
        """The service behind the page; there once started."""

    @property
    def url(self) -> str:
        """The address of page and control API, without a slash at its end; there once started."""
        return self._urls[0]

    @property
    def tls_url(self) -> str:
        """The address with TLS; there once started with `tls`."""
        return self._urls[1]

    async def start(self) -> None:
        """Load the world and listen.

        Raises:
            PageMissingError: the page's scripts are not there.
            OSError: an address is taken, or the data folder is in use or cannot be written.
        """
        self._page.load()
        self._stopping.clear()
        try:
            self.service = Service(self._world(), self._settings, media=self._media())
            self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=_SHUTDOWN_S)
            await self._runner.setup()
            await self._listen("http", self._port, None)
            if self._tls is not None:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(self._tls.certificate, self._tls.key)
                await self._listen("https", self._tls.port, context)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close every socket and file; a simulator that is not started stays so."""
        self._stopping.set()
        if self._runner is not None:
            await asyncio.gather(*(socket.close(code=1001) for socket in list(self._sockets)))
            self._abort_connections(self._runner)
            await self._runner.cleanup()
            self._runner = None
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self._urls.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @staticmethod
    def _abort_connections(runner: web.AppRunner) -> None:
        """End idle connections now: closing one with TLS would wait 30 s for an answer of a browser that is gone."""
        for connection in runner.server.connections if runner.server else ():
            if connection.transport is not None:
                connection.transport.abort()

    async def _listen(self, scheme: str, port: int, context: ssl.SSLContext | None) -> None:
        if self._runner is None:
            raise RuntimeError("start() listens, and only once")
        site = web.TCPSite(self._runner, self._host, port, ssl_context=context)
        await site.start()
        bound = self._runner.addresses[-1][1]
        self._urls.append(f"{scheme}://{self._host}:{bound}")

    def _world(self) -> World:
        if self._data is None:
            return World()
        self._journal = FileJournal(self._data)
        self._journal.open()
        return World(self._journal, self._journal.facts())

    def _media(self) -> MediaStore:
        store = MediaStore(self._data / "media" if self._data else None)
        store.load()
        return store

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_UPLOAD_BYTES)
        Control(self.service).add_routes(application.router)
        application.router.add_get("/", self._index)
        application.router.add_get("/sim/{name}", self._script)
        application.router.add_get("/ws/chat", self._chat)
        application.router.add_post("/mms/upload", self._upload)
        application.router.add_get("/mms/{key}", self._download)
        return application

    async def _index(self, request: web.Request) -> web.Response:
        self.service.note({"t": "http", "q": request.query_string})
        html = self._page.html(self.service.settings)
        return web.Response(text=html, content_type="text/html", headers=_NO_STORE)

    async def _script(self, request: web.Request) -> web.StreamResponse:
        path = self._page.script(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={**_NO_STORE, "Content-Type": "text/javascript; charset=utf-8"})

    async def _chat(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=_PING_S, max_msg_size=MAX_FRAME_BYTES, timeout=_CLOSE_S)
        await socket.prepare(request)
        wire = PageSocket(socket, request)
        number = next(self._numbers)
        connection = self.service.connections[number] = Connection(self.service, wire, number)
        writer = asyncio.create_task(wire.write(), name=f"page-{number}-writer")
        self._sockets.add(socket)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    _handle(connection, message.data)
        finally:
            connection.closed()
            self._sockets.discard(socket)
            writer.cancel()
            await asyncio.wait([writer], timeout=_CLOSE_S)
        return socket

    async def _upload(self, request: web.Request) -> web.Response:
        wid = self.service.wid_of_token(request.headers.get("x-token"))
        if self.service.faults.active("upload", wid):
            raise web.HTTPServiceUnavailable
        if self.service.faults.active("upload_hang", wid):
            with suppress(TimeoutError):
                async with asyncio.timeout(_HANGING_UPLOAD_S):
                    await self._stopping.wait()
            raise web.HTTPServiceUnavailable
        key = self.service.token(9)
        self.service.media.put(key, MediaFile(request.content_type, await request.read()))
        return web.json_response({"id": key, "directPath": f"/mms/{key}"})

    async def _download(self, request: web.Request) -> web.Response:
        file = self.service.media.get(request.match_info["key"])
        if file is None:
            raise web.HTTPNotFound
        return web.Response(body=file.content, content_type=file.mimetype)


def _handle(connection: Connection, text: str) -> None:
    try:
        frame = json.loads(text)
    except ValueError:
        _log.warning("connection %d sent no JSON: %.200s", connection.number, text)
        return
    connection.handle(frame)
