r"""A NATS client that bytes of a stranger can't break.

nats-py 2.16 splits protocol lines at any white space and decodes subjects as UTF-8, while nats-server passes on every
byte but space, tab, CR LF. So one message whose subject holds ``\x0b``, ``\x0c`` or a lone ``\r`` ends the
receiver's connection, and one with bytes that are no UTF-8, or with an empty header block, ends its read loop for
good: it stays "connected" and deaf (seen on nats-server 2.15, 2026-11-22). A tenant may publish any of these to its own
command subjects, so the gateway has to take them. Here lines are cut at spaces only, as the server writes them, and
what can't be decoded is replaced.

Owns nats-py's parser and message building, nothing else. Imports nats-py only.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport, Transport
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

_CRLF: Final = b"\r\n"
_MAX_LINE_BYTES: Final = 1 << 20
"""An INFO line lists a cluster's servers; anything longer than this is no protocol line."""
_MAX_UNREAD_BYTES: Final = 1 << 18
"""Written and not yet taken by the peer; beyond it nats-py's own way holds publishers back."""
_CLOSE_TIMEOUT_S: Final = 1.0
_SUBJECT: Final = re.compile(r"[^\s\x00-\x1f]+")
_MSG_PARTS: Final = 4
_HMSG_PARTS: Final = 5


class LineParser(Parser):
    """Reads the server's protocol: lines that end in CR LF, cut at single spaces, and payloads by their length."""

    def __init__(self, client: Client) -> None:
        self._awaited: tuple[int, bytes, bytes, int, int] | None = None
        super().__init__(client)

    def reset(self) -> None:
        """Forget half-read input, before the first byte of a new connection."""
        super().reset()
        self._awaited = None

    async def parse(self, data: bytes = b"") -> None:
        """Take in bytes and hand out every message that is complete.

        Raises:
            ProtocolError: The peer is no NATS server.
        """
        self.buf.extend(data)
        while self.buf:
            if self._awaited is not None:
                if not await self._take_payload(*self._awaited):
                    return
                continue
            end = self.buf.find(_CRLF)
            if end < 0:
                if len(self.buf) > _MAX_LINE_BYTES:
                    raise ProtocolError
                return
            line = bytes(self.buf[:end])
            del self.buf[: end + len(_CRLF)]
            await self._take_line(line)

    async def _take_payload(self, sid: int, subject: bytes, reply: bytes, header_bytes: int, total_bytes: int) -> bool:
        if len(self.buf) < total_bytes + len(_CRLF):
            return False
        headers = bytes(self.buf[:header_bytes])
        payload = bytes(self.buf[header_bytes:total_bytes])
        del self.buf[: total_bytes + len(_CRLF)]
        self._awaited = None
        await self.nc._process_msg(sid, subject, reply, payload, headers)  # noqa: SLF001 - as nats-py's own parser
        return True

    async def _take_line(self, line: bytes) -> None:
        if line.startswith((b"MSG ", b"HMSG ")):
            self._awaited = _message_line(line)
        elif line == b"PING":
            await self.nc._process_ping()  # noqa: SLF001 - as nats-py's own parser
        elif line == b"PONG":
            await self.nc._process_pong()  # noqa: SLF001 - as nats-py's own parser
        elif line.startswith(b"-ERR"):
            text = line[4:].strip().decode(errors="replace").lower()
            await self.nc._process_err(text)  # noqa: SLF001 - as nats-py's own parser
        elif line.startswith(b"INFO "):
            await self.nc._process_info(json.loads(line[5:]))  # noqa: SLF001 - as nats-py's own parser
        elif not line.startswith(b"+OK"):
            raise ProtocolError


class WireClient(Client):
    """nats-py's client, safe against the bytes of others.

    It also writes what was published in one turn of the event loop at the end of that turn. nats-py wakes a task for it
    through a queue, which is 10 % of what a request costs a gateway; that way is kept for a peer that reads slowly.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ps = LineParser(self)
        self._write_is_due = False

    def write(self, subject: str, reply: str, body: bytes, headers: Mapping[str, str] | None) -> bool:
        """Write a message at the end of this turn of the event loop, or return False where ``publish`` has to.

        That is where the connection does not stand or its peer reads slowly, and where nats-py has something to say of
        the message. Otherwise this is what ``publish`` does, in one call in the place of six: they were a twentieth of
        what accepting a ``send.text`` cost.
        """
        transport = self._transport
        if not self.is_connected or self.is_draining_pubs or not isinstance(transport, TcpTransport):
            return False
        if _is_slow(transport) or not _SUBJECT.fullmatch(subject) or (reply and not _SUBJECT.fullmatch(reply)):
            return False
        if headers is None:
            message = f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + _CRLF
        else:
            lines = "".join([f"{key}: {value}\r\n" for key, value in headers.items()])
            if not lines.count("\r") == lines.count("\n") == len(headers):
                return False  # a value of several lines
            block = f"NATS/1.0\r\n{lines}\r\n".encode()
            sizes = f"{len(block)} {len(block) + len(body)}"
            message = f"HPUB {subject} {reply} {sizes}\r\n".encode() + block + body + _CRLF
        self._pending.append(message)
        self._pending_data_size += len(message)
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += len(body)
        self._write_soon()
        return True

    async def _flush_pending(self, force_flush: bool = False) -> Any:  # noqa: FBT001, FBT002 - nats-py's signature
        """See to it that what is pending will be written."""
        transport = self._transport
        if force_flush or not self.is_connected or not isinstance(transport, TcpTransport) or _is_slow(transport):
            return await super()._flush_pending(force_flush)
        self._write_soon()
        return None

    def _write_soon(self) -> None:
        if not self._write_is_due:
            self._write_is_due = True
            asyncio.get_running_loop().call_soon(self._write_pending)

    async def _send_ping(self, future: "asyncio.Future[Any] | None" = None) -> None:
        """Ping behind what is pending: nats-py's PING goes past it, so its ``flush`` and ``drain`` promise too much."""
        self._write_pending()
        await super()._send_ping(future)

    def _write_pending(self) -> None:
        self._write_is_due = False
        if self._pending_data_size and self.is_connected and self._transport:
            pending, self._pending, self._pending_data_size = self._pending, [], 0
            if not _is_closing(self._transport):  # else it is lost on the way, as what was written just before
                self._transport.writelines(pending)

    async def _attempt_reconnect(self) -> None:
        """Drop the old connection at once: nats-py waits, without a deadline, for a dead peer to take what was written.

        A host that was powered off or frozen says nothing more, so that lasts until TCP gives up, some 15 minutes.
        """
        self._abort()
        await super()._attempt_reconnect()

    async def close(self) -> None:
        """Close; a peer that takes nothing any more goes without the last messages (nats-py would wait for it)."""
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await super().close()
        except TimeoutError:
            self._abort()

    def _abort(self) -> None:
        """Drop the connection with all that its peer has not taken yet."""
        if isinstance(self._transport, TcpTransport) and self._transport._io_writer is not None:  # noqa: SLF001
            self._transport._io_writer.transport.abort()  # noqa: SLF001 - no public way

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        """Read headers; a block that makes no sense counts as none (nats-py raises in its read loop)."""
        try:
            return await super()._process_headers(headers)
        except (IndexError, ValueError):
            return None

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        """Build a message; bytes that are no UTF-8 become U+FFFD, which no subject of ours contains."""
        return self.msg_class(
            subject=subject.decode(errors="replace"),
            reply=reply.decode(errors="replace"),
            data=data,
            headers=headers,
            _client=self,
            _sid=sid,
        )


def _is_slow(transport: TcpTransport) -> bool:
    writer = transport._io_writer  # noqa: SLF001 - no public way
    return writer is None or writer.transport.get_write_buffer_size() > _MAX_UNREAD_BYTES


def _is_closing(transport: Transport) -> bool:
    """Tell whether the loop has dropped this connection; nats-py learns it a turn later, uvloop raises at a write."""
    writer = transport._io_writer if isinstance(transport, TcpTransport) else None  # noqa: SLF001 - no public way
    return writer is not None and writer.is_closing()


def _message_line(line: bytes) -> tuple[int, bytes, bytes, int, int]:
    """Read ``MSG <subject> <sid> [reply] <bytes>`` or ``HMSG <subject> <sid> [reply] <header bytes> <bytes>``."""
    parts = line.split(b" ")
    has_headers = parts[0] == b"HMSG"
    plain = _HMSG_PARTS if has_headers else _MSG_PARTS
    if len(parts) not in {plain, plain + 1}:
        raise ProtocolError
    reply = parts[3] if len(parts) > plain else b""
    try:
        header_bytes = int(parts[-2]) if has_headers else 0
        return int(parts[2]), parts[1], reply, header_bytes, int(parts[-1])
    except ValueError as exc:
        raise ProtocolError from exc
