"""The client beneath every connection: protocol lines in any pieces, and peers that are no good."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nats.errors import ProtocolError

from gateway.wire import LineParser, WireClient
from tests.support.nats import NatsServer
from tests.support.waiting import eventually


class Heard:
    """Stands in for the client: writes down what the parser hands over."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    async def _process_msg(self, *message: object) -> None:
        self.told.append(message)

    async def _process_ping(self) -> None:
        self.told.append("ping")

    async def _process_pong(self) -> None:
        self.told.append("pong")

    async def _process_err(self, text: str) -> None:
        self.told.append(text)

    async def _process_info(self, info: dict[str, Any]) -> None:
        self.told.append(info)


STREAM = (
    b'INFO {"server_id":"x"}\r\nPING\r\nPONG\r\n+OK\r\n'
    b"MSG a.b 1 0\r\n\r\n"
    b"MSG a.b 12 reply.to 5\r\nhel\r\n\r\n"
    b"MSG a\x0bb\rc 1 re\x0cply 2\r\n\xff\xfe\r\n"
    b"HMSG a.b 3 14 19\r\nNATS/1.0\r\nA:\r\nworld\r\n"
    b"HMSG a.b 3 reply 12 12\r\nNATS/1.0\r\n\r\n\r\n"
    b"-ERR 'Permissions Violation'\r\n"
)
MESSAGES: list[Any] = [
    {"server_id": "x"},
    "ping",
    "pong",
    (1, b"a.b", b"", b"", b""),
    (12, b"a.b", b"reply.to", b"hel\r\n", b""),
    (1, b"a\x0bb\rc", b"re\x0cply", b"\xff\xfe", b""),
    (3, b"a.b", b"", b"world", b"NATS/1.0\r\nA:\r\n"),
    (3, b"a.b", b"reply", b"", b"NATS/1.0\r\n\r\n"),
    "'permissions violation'",
]


@given(cuts=st.sets(st.integers(0, len(STREAM))))
async def test_messages_come_whole_whatever_pieces_their_bytes_come_in(cuts: set[int]) -> None:
    heard = Heard()
    parser = LineParser(heard)  # type: ignore[arg-type] # as much of a client as a parser sees
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(edges):
        await parser.parse(STREAM[start:end])
    assert heard.told == MESSAGES


@pytest.mark.parametrize(
    "line", [b"HELLO", b"MSG a", b"MSG a x 1", b"MSG a 1 2 3 4", b"HMSG a 1 2", b"HMSG a 1 x 2", b"", b"x" * 2_000_000]
)
async def test_what_is_no_protocol_is_said_so(line: bytes) -> None:
    parser = LineParser(Heard())  # type: ignore[arg-type] # as above
    with pytest.raises(ProtocolError):
        await parser.parse(line + b"\r\n" if len(line) < 1_000_000 else line)


@asynccontextmanager
async def living_server(heard: bytearray) -> AsyncIterator[str]:
    """A NATS server that answers every PING and keeps what it hears."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","max_payload":1048576,"headers":true}\r\n')
        while read := await reader.read(1_000):
            heard.extend(read)
            writer.write(b"PONG\r\n" * read.count(b"PING\r\n"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


async def test_a_flush_comes_back_from_behind_everything_before_it() -> None:
    """nats-py writes the PING of a flush at once and what was published before it a little later."""
    heard, client = bytearray(), WireClient()
    async with living_server(heard) as url:
        await client.connect(url, allow_reconnect=False)
        heard.clear()
        subscription = await client.subscribe("a.*")
        await client.publish("a.b", b"hello")
        await client.flush()
        assert bytes(heard) == b"SUB a.*  1\r\nPUB a.b  5\r\nhello\r\nPING\r\n"
        heard.clear()
        await subscription.drain()  # type: ignore[no-untyped-call] # as nats-py has it
        assert bytes(heard).startswith(b"UNSUB 1")
        assert bytes(heard).endswith(b"PING\r\n")
        await client.close()


@pytest.fixture
async def deaf_server() -> AsyncIterator[str]:
    """A NATS server that greets and answers the first PING, then reads no more."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"deaf","max_payload":1048576,"headers":true}\r\n')
        heard = b""
        while b"PING\r\n" not in heard:
            heard += await reader.read(1_000)
        writer.write(b"PONG\r\n")
        await over.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1_000)
    yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    over.set()
    server.close()
    await server.wait_closed()


async def test_a_peer_that_reads_nothing_holds_publishers_back(deaf_server: str) -> None:
    client = WireClient()
    await client.connect(deaf_server, allow_reconnect=False, flush_timeout=0.5)
    enough = asyncio.Event()
    flood = asyncio.create_task(_flood(client, enough))
    try:
        await eventually(lambda: client.pending_data_size > 1_000_000, within_s=5)
        await asyncio.wait({flood}, timeout=0.3)
        writer = client._transport._io_writer  # type: ignore[union-attr]
        assert writer.transport.get_write_buffer_size() + client.pending_data_size < 8_000_000
    finally:
        enough.set()  # nats-py swallows a cancellation while it flushes
        await flood
        await client.close()


async def _flood(client: WireClient, enough: asyncio.Event) -> None:
    while not enough.is_set():
        await client.publish("a.b", bytes(10_000))


async def test_a_peer_that_reads_nothing_any_more_is_left_for_another_server(deaf_server: str) -> None:
    """A frozen host takes nothing and says nothing: what was written to it must not be waited for."""
    client, enough = WireClient(), asyncio.Event()
    async with living_server(bytearray()) as other:
        await client.connect(
            [deaf_server, other],
            dont_randomize=True,
            flush_timeout=0.5,
            ping_interval=0.1,  # type: ignore[arg-type] # any number of seconds works
            reconnect_time_wait=0.1,  # type: ignore[arg-type] # as above
        )
        flood = asyncio.create_task(_flood(client, enough))
        try:
            transport = client._transport._io_writer.transport  # type: ignore[union-attr]
            await eventually(lambda: transport.get_write_buffer_size() > 0, within_s=5)
            assert _is_at(client, deaf_server)
            enough.set()
            await eventually(lambda: _is_at(client, other), within_s=5)
        finally:
            enough.set()
            await flood
            await client.close()


def _is_at(client: WireClient, url: str) -> bool:
    connected = client.connected_url
    return client.is_connected and connected is not None and connected.geturl() == url


@pytest.fixture
async def connected(nats_server: NatsServer) -> AsyncIterator[WireClient]:
    """A client whose connection stands."""
    client = WireClient()
    await client.connect(nats_server.url)
    yield client
    await client.close()


TOKENS = st.from_regex(r"[!-~é]{1,30}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="\r\n"), min_size=1, max_size=40)


@given(
    subject=TOKENS,
    reply=TOKENS | st.just(""),
    body=st.binary(max_size=200),
    headers=st.none() | st.dictionaries(st.from_regex(r"[A-Za-z-]{1,20}", fullmatch=True), VALUES, min_size=1),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # each example leaves it as it was
async def test_what_is_written_is_what_nats_py_would_publish(
    connected: WireClient, subject: str, reply: str, body: bytes, headers: dict[str, str] | None
) -> None:
    assert connected.write(subject, reply, body, headers)
    await connected._send_publish(subject, reply, body, len(body), headers)
    ours, theirs = connected._pending
    assert ours == theirs
    connected._pending.clear()
    connected._pending_data_size = 0


@pytest.mark.parametrize(
    ("subject", "reply", "headers"),
    [
        ("", "", None), ("a b", "", None), ("a\r\nPUB b 0\r\n", "", None), ("a\x0bb", "", None), ("a\x00", "", None),
        ("a", "b c", None), ("a", "b\r\n", None),
        ("a", "", {"Key": "two\nlines"}), ("a", "", {"Key": "two\r\nlines"}), ("a", "", {"Key": "x", "Other\r": "\n"}),
    ],
)  # fmt: skip
async def test_what_could_be_taken_for_a_line_of_its_own_is_not_written(
    connected: WireClient, subject: str, reply: str, headers: dict[str, str] | None
) -> None:
    assert not connected.write(subject, reply, b"", headers)
    assert not connected._pending


async def test_without_a_connection_nothing_is_written(nats_server: NatsServer) -> None:
    client = WireClient()
    assert not client.write("a", "", b"", None)
    await client.connect(nats_server.url)
    assert client.write("a", "", b"", None)
    await client.close()
    assert not client.write("a", "", b"", None)
