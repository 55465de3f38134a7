"""Generated garbage at every command of a running gateway: each answer is a valid reply or a named error."""

import asyncio
import json
import re
from typing import Final

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from actors.messages.commands import COMMANDS, PLANNED
from actors.messages.ids import SessionKey
from actors.messages.replies import ErrorReply, Reply
from gateway.connection import Bus
from gateway.failures import UnknownFailure, error_of
from tests.gateway.replicas import PHONE, Asking, ask, control, gateway_bus, limits, ready, replica
from tests.support.nats import NatsServer

__all__ = ["ask", "control", "gateway_bus", "limits", "ready", "replica"]

pytestmark = [pytest.mark.nats, pytest.mark.usefixtures("replica")]

QUICK: Final = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
VALID: Final[dict[str, dict[str, object]]] = {
    "session.start": {"phone_number": PHONE, "pairing": "qr", "rate_limit": {"max_messages": 20, "window_ms": 60_000}},
    "send.text": {"to": PHONE, "message": "x", "mode": "queue", "on_limit": "wait", "lane": "high", "reply_to": "m"},
    "send.media": {"to": PHONE, "data": "AAAA", "filename": "a.bin", "mimetype": "a/b", "as": "document"},
    "send.location": {"to": PHONE, "latitude": 1.5, "longitude": 2.5, "description": "here"},
    "job.get": {"job_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
    "job.cancel": {"job_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
    "contact.check": {"numbers": [PHONE]},
    "session.rate_limit": {"max_messages": 3, "window_ms": 1_000},
}
NAMES: Final = sorted({*COMMANDS, *PLANNED})
REPLY: Final[TypeAdapter[Reply]] = TypeAdapter(Reply)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([PHONE, "+", "a@g.us"])
anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)
tokens = st.text(st.characters(exclude_characters=" \t\r\n.\x0b\x0c", exclude_categories=["Cs"]), min_size=1)


@st.composite
def nearly_valid(draw: st.DrawFn, command: str) -> bytes:
    """A body that fits the command but for one thing; the standard library's JSON has NaN and halves of characters."""
    body = dict(VALID.get(command, {}))
    fields = st.sampled_from(sorted(body)) if body else st.text()
    body[draw(fields | st.text() | st.sampled_from(["send_at", "expires_at", "idempotency_key", "mode"]))] = draw(
        anything
    )
    return json.dumps(body).encode()


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, bytes]:
    """A subject (after ``wa.<tenant>.``) and a body."""
    command = draw(st.sampled_from(NAMES))
    subject = draw(
        st.just(f"cmd.s1.{command}")
        | st.just(f"cmd.s1.{command}")
        | st.just(f"ctl.{command}")
        | tokens.map(lambda session: f"cmd.{session}.{command}")
        | st.lists(tokens, min_size=1, max_size=5).map(lambda rest: "cmd." + ".".join(rest))
    )
    body = draw(st.binary() | anything.map(lambda value: json.dumps(value).encode()) | nearly_valid(command))
    return subject, body


def check(answer: bytes) -> None:
    """A reply of the contract, or an error whose code the contract names; no accident within."""
    value = orjson.loads(answer)
    if "error" not in value or "job_id" in value:
        REPLY.validate_json(answer)
        return
    error = ErrorReply.model_validate_json(answer).error
    assert not isinstance(error_of(error), UnknownFailure)
    assert error.code != "unavailable", error


@given(batch=st.lists(requests(), min_size=1, max_size=12))
@QUICK
async def test_every_answer_is_a_reply_or_a_named_error(
    ready: SessionKey, ask: Asking, batch: list[tuple[str, bytes]]
) -> None:
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(ask.raw(f"wa.{ready.tenant_id}.{tail}", body) for tail, body in batch))
        for answer in answers:
            check(answer.data)
        assert (await ask("sessions.list")).keys() == {"error"}
        assert "state" in await ask("session.status")


class Stranger:
    """A program that speaks NATS by hand, as nobody's client library would."""

    def __init__(self, server: NatsServer) -> None:
        self._port = server.port

    async def publish(self, subject: bytes, reply: bytes, headers: bytes | None, body: bytes) -> bool:
        """Publish; whether the server took it, else it cut the stranger off."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            await reader.readline()
            writer.write(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n')
            if headers is None:
                line = b"PUB %s %s %d\r\n" % (subject, reply, len(body))
            else:
                line = b"HPUB %s %s %d %d\r\n" % (subject, reply, len(headers), len(headers) + len(body))
            writer.write(line + (headers or b"") + body + b"\r\nPING\r\n")
            await writer.drain()
            async with asyncio.timeout(5):
                while (line := await reader.readline()) not in {b"PONG\r\n", b""}:
                    pass
                return bool(line)
        finally:
            writer.close()
            await writer.wait_closed()


raw_tokens = st.binary(min_size=1, max_size=12).map(
    lambda raw: re.sub(rb"[ \t\r\n]", b"\r", raw).rstrip(b"\r") or b"\x0b"
)
header_blocks = (
    st.none()
    | st.binary(max_size=40).map(lambda raw: b"NATS/1.0" + raw + b"\r\n\r\n")
    | st.sampled_from(
        [b"NATS/1.0\r\n", b"abcd\r\n", b"NATS/1.0\r\n\r\n", b"NATS/1.0 5\xff\xfe\r\n\r\n", b"NATS/1.0\r\n: x\r\n\r\n"]
    )
)


@given(
    subject=st.lists(raw_tokens, min_size=1, max_size=4).map(b".".join),
    reply=raw_tokens,
    headers=header_blocks,
    body=st.binary(max_size=20),
)
@settings(QUICK, max_examples=60)
async def test_no_bytes_of_a_stranger_break_the_gateways_connection(
    nats_server: NatsServer,
    ready: SessionKey,
    ask: Asking,
    gateway_bus: Bus,
    *,
    subject: bytes,
    reply: bytes,
    headers: bytes | None,
    body: bytes,
) -> None:
    """nats-py by itself goes deaf or disconnects on most of these (see ``gateway.wire``)."""
    assert await Stranger(nats_server).publish(b"wa.stranger.cmd." + subject, b"_INBOX." + reply, headers, body)
    async with asyncio.timeout(5):
        assert "state" in await ask("session.status")
    assert gateway_bus.client.stats["reconnects"] == 0
