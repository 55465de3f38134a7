"""A TCP proxy between a client and a server that can lose what the server answers, or what either says."""

import asyncio
from types import TracebackType
from typing import Self

_CHUNK = 1 << 16


class TcpProxy:
    """Passes bytes both ways on a free port; `async with` opens it and ends every connection through it."""

    def __init__(self, port: int) -> None:
        """Prepare it.

        Args:
            port: where the server listens, on 127.0.0.1.
        """
        self._target = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.loses_answers = False
        """Whether what the server sends is dropped. To be turned on and off while nothing is half-way."""
        self.lost = 0
        """How many pieces of answers were dropped."""
        self.cut = False
        """Whether whatever either side sends is dropped, for good: the connections stand, and nothing arrives."""

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        for reader, writer, answers in ((client, to_server, False), (server, to_client, True)):
            task = asyncio.create_task(self._pass(reader, writer, answers=answers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        try:
            while piece := await reader.read(_CHUNK):
                if self.cut:
                    continue
                if answers and self.loses_answers:
                    self.lost += 1
                else:
                    writer.write(piece)
                    await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()
