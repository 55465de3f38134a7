"""Bad input: each kind of it gets a named error within a second, changes nothing and harms nobody."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from actors.messages.base import rfc3339_ms
from actors.messages.commands import COMMANDS, PLANNED
from actors.messages.ids import SessionKey
from gateway.connection import Bus
from gateway.events import live_events
from gateway.replica import GatewayReplica
from gateway.streams import event_subject
from tests.gateway.replicas import PHONE, Asking, ask, control, gateway_bus, limits, ready, replica
from tests.gateway.standins import StandInControl

__all__ = ["ask", "control", "gateway_bus", "limits", "ready", "replica"]

pytestmark = [pytest.mark.nats, pytest.mark.usefixtures("replica")]

Fields = dict[str, object]
PAST = rfc3339_ms(datetime.now(UTC) - timedelta(seconds=1))
TOO_FAR = rfc3339_ms(datetime.now(UTC) + timedelta(days=31))
LATER = rfc3339_ms(datetime.now(UTC) + timedelta(hours=1))
TEXT: Fields = {"to": PHONE, "message": "x"}
PLACE: Fields = {"to": PHONE, "latitude": 1.0, "longitude": 1.0}
URL: Fields = {"to": PHONE, "url": "http://example.com/a.png"}

NO_OBJECTS = [b"{", b"\xff\xfe{}", b"null", b"[]", b'"text"', b"1", b"{}{}", b"{'a': 1}", b"\x00", b"[" * 100_000]
DIGITS_OF_ANOTHER_SCRIPT = PHONE.translate({ord("0") + n: 0xFF10 + n for n in range(10)})
WRONG_NUMBERS = [
    "", "123", "abc", "0812345", "+", "+0000000000", "62812345678901234", DIGITS_OF_ANOTHER_SCRIPT,
    "628 123 4567 890",
    "6281234567890@s.whatsapp.net", "@c.us", "x@g.us", "6281234567890\n", "6281234567890@c.us@c.us",
]  # fmt: skip
PRIVATE_URLS = [
    "http://127.0.0.1/a.png", "http://localhost/a.png", "http://localhost./a.png", "http://a.localhost:8080/",
    "https://10.0.0.7/a.png", "http://192.168.1.1/", "http://169.254.169.254/latest/meta-data/", "http://[::1]/",
    "http://[::ffff:127.0.0.1]/", "http://[fe80::1]/", "http://[fd00::1]/", "http://0.0.0.0/", "http://127.1/",
    "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://user:secret@127.0.0.1/",
    "http://224.0.0.1/", "http://:80/", "http://example.com:99999/",
]  # fmt: skip
WRONG_FIELDS: list[tuple[str, Fields, str]] = [
    ("send.text", {**TEXT, "surprise": 1}, "surprise"),
    ("send.text", {"to": PHONE}, "message"),
    ("send.text", {"message": "x"}, "to"),
    ("send.text", {**TEXT, "message": ""}, "message"),
    ("send.text", {**TEXT, "message": 7}, "message"),
    ("send.text", {**TEXT, "message": "x" * 65_537}, "message"),
    ("send.text", {**TEXT, "to": 6281234567890}, "to"),
    ("send.text", {**TEXT, "to": None}, "to"),
    ("send.text", {**TEXT, "mode": "soon"}, "mode"),
    ("send.text", {**TEXT, "on_limit": "hope"}, "on_limit"),
    ("send.text", {**TEXT, "lane": "direct"}, "lane"),
    ("send.text", {**TEXT, "expires_at": PAST}, "expires_at"),
    ("send.text", {**TEXT, "expires_at": TOO_FAR}, "expires_at"),
    ("send.text", {**TEXT, "expires_at": "tomorrow"}, "expires_at"),
    ("send.text", {**TEXT, "expires_at": "2030-01-01T00:00:00"}, "expires_at"),
    ("send.text", {**TEXT, "expires_at": "0001-01-01T00:00:00+05:00"}, "expires_at"),
    ("send.text", {**TEXT, "expires_at": "9999-12-31T23:59:59-05:00"}, "expires_at"),
    ("send.text", {**TEXT, "idempotency_key": ""}, "idempotency_key"),
    ("send.text", {**TEXT, "idempotency_key": "k" * 201}, "idempotency_key"),
    ("send.text", {**TEXT, "mode": "direct", "lane": "high"}, "body"),
    ("send.location", {**PLACE, "latitude": 90.001}, "latitude"),
    ("send.location", {**PLACE, "longitude": -180.5}, "longitude"),
    ("send.location", {**PLACE, "latitude": "1.0"}, "latitude"),
    ("send.location", {**PLACE, "latitude": None}, "latitude"),
    ("send.media", {"to": PHONE}, "body"),
    ("send.media", {**URL, "data": "AAAA"}, "body"),
    ("send.media", {"to": PHONE, "url": "file:///etc/passwd"}, "url"),
    ("send.media", {"to": PHONE, "url": "http://example.com/a b"}, "url"),
    ("send.media", {**URL, "filename": "../../etc/passwd"}, "filename"),
    ("send.media", {**URL, "filename": "a/b.png"}, "filename"),
    ("send.media", {**URL, "filename": "a\\b.png"}, "filename"),
    ("send.media", {**URL, "filename": ".."}, "body"),
    ("send.media", {**URL, "filename": "a\x00.png"}, "filename"),
    ("send.media", {**URL, "mimetype": "png"}, "mimetype"),
    ("send.media", {**URL, "as": "hologram"}, "as"),
    ("session.start", {"phone_number": "12"}, "phone_number"),
    ("session.start", {"pairing": "code"}, "body"),
    ("session.start", {"rate_limit": {"max_messages": 0}}, "rate_limit.max_messages"),
    ("session.start", {"rate_limit": {"max_messages": 1_001}}, "rate_limit.max_messages"),
    ("session.start", {"rate_limit": {"window_ms": 999}}, "rate_limit.window_ms"),
    ("session.start", {"rate_limit": {"window_ms": 3_600_001}}, "rate_limit.window_ms"),
    ("session.start", {"proxy": "not a proxy"}, "proxy"),
    ("session.rate_limit", {"max_messages": True}, "max_messages"),
    ("session.stop", {"now": True}, "now"),
    ("job.get", {"job_id": "1"}, "job_id"),
    ("job.get", {}, "job_id"),
    ("job.cancel", {"job_id": "*"}, "job_id"),
    ("contact.check", {"numbers": []}, "numbers"),
    ("contact.check", {"numbers": [PHONE] * 51}, "numbers"),
    ("contact.check", {"numbers": ["12"]}, "numbers.0"),
]
NO_ADDRESSES = [
    "wa.{t}.cmd.{s}", "wa.{t}.cmd.{s}.send", "wa.{t}.cmd.{s}.send.text.now", "wa.{t}.cmd.a.b.send.text",
    "wa.{t}.cmd.*.session.status", "wa.{t}.cmd.>", "wa.*.cmd.{s}.session.status", "wa.{t}.cmd.{s}.*.*",
    "wa.{t}.cmd.{long}.session.status", "wa.{long}.cmd.{s}.session.status", "wa.{t}.cmd.sé.session.status",
    "wa.{t}.cmd.{s}.send.everything", "wa.{t}.cmd.{s}.SEND.TEXT", "wa.{t}.cmd.{s}.sessions.list",
    "wa.{t}.ctl.session.status", "wa.{t}.ctl.sessions", "wa.{t}.ctl.sessions.list.all", "wa.{t}.ctl.>",
    "wa.*.ctl.sessions.list",
]  # fmt: skip


class Unchanged:
    """What must be the same before and after."""

    def __init__(self, bus: Bus, control: StandInControl, replica: GatewayReplica, ask: Asking) -> None:
        self._bus = bus
        self._control = control
        self._replica = replica
        self._ask = ask

    async def snapshot(self) -> object:
        """What is stored once the gateway has told all it has to tell: its events go out behind the replies."""
        await self._ask("session.status")
        await self._replica._outbox._waiting.join()
        streams = ("WA_INBOX", "WA_JOBS", "WA_EVENTS", "KV_wa_job_records", "KV_wa_sessions", "KV_wa_status")
        states = []
        for stream in streams:
            info = await self._bus.api(f"STREAM.INFO.{stream}")
            assert isinstance(info, dict)
            states.append(info["state"]["last_seq"])
        return states, list(self._control.asked)


@pytest.fixture
async def unchanged(bus: Bus, control: StandInControl, replica: GatewayReplica, ask: Asking) -> Unchanged:
    return Unchanged(bus, control, replica, ask)


async def refusal(ask: Asking, unchanged: Unchanged, subject: str, body: bytes) -> dict[str, object]:
    """The error a request is refused with: quickly, with NATS' headers, and without having changed anything."""
    before = await unchanged.snapshot()
    async with asyncio.timeout(1):
        msg = await ask.raw(subject, body)
    assert await unchanged.snapshot() == before
    error: dict[str, object] = orjson.loads(msg.data)["error"]
    assert error.keys() == {"code", "message", "retryable", "details"}
    assert msg.headers is not None
    assert msg.headers["Nats-Service-Error-Code"] == error["code"]
    assert msg.headers["Nats-Service-Error"]
    status = await ask("session.status")
    assert status["state"] == "ready"
    return error


async def accept(bus: Bus, ask: Asking, command: str, body: bytes) -> None:
    """Send something that is taken, and wait until nothing more follows from it."""
    async with live_events(bus, event_subject(ask.key, "job.accepted")) as events, asyncio.timeout(5):
        assert orjson.loads((await ask.raw(to(ask.key, command), body)).data)["status"] == "accepted"
        await anext(events)


def to(key: SessionKey, command: str) -> str:
    return f"wa.{key.tenant_id}.cmd.{key.session_id}.{command}"


@pytest.mark.parametrize("body", NO_OBJECTS, ids=lambda body: repr(body[:12]))
async def test_a_body_that_is_no_json_object_is_refused(
    ready: SessionKey, ask: Asking, unchanged: Unchanged, body: bytes
) -> None:
    for command in ("send.text", "session.stop"):
        error = await refusal(ask, unchanged, to(ready, command), body)
        assert error["code"] == "invalid_command"


@pytest.mark.parametrize(("command", "fields", "field"), WRONG_FIELDS)
async def test_a_wrong_field_is_named(
    ready: SessionKey, ask: Asking, unchanged: Unchanged, *, command: str, fields: Fields, field: str
) -> None:
    error = await refusal(ask, unchanged, to(ready, command), orjson.dumps(fields))
    details = error["details"]
    assert isinstance(details, dict)
    assert (error["code"], details["field"]) == ("invalid_command", field)


@pytest.mark.parametrize("number", WRONG_NUMBERS)
async def test_what_is_no_phone_number_is_refused(
    ready: SessionKey, ask: Asking, unchanged: Unchanged, number: str
) -> None:
    error = await refusal(ask, unchanged, to(ready, "send.text"), orjson.dumps({**TEXT, "to": number}))
    details = error["details"]
    assert isinstance(details, dict)
    assert (error["code"], details["field"]) == ("invalid_command", "to")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1e309"])
async def test_coordinates_that_are_no_numbers_are_refused(
    ready: SessionKey, ask: Asking, unchanged: Unchanged, number: bytes
) -> None:
    body = b'{"to":"%s","latitude":%s,"longitude":1}' % (PHONE.encode(), number)
    assert (await refusal(ask, unchanged, to(ready, "send.location"), body))["code"] == "invalid_command"


@pytest.mark.parametrize("url", PRIVATE_URLS)
async def test_a_url_that_points_to_a_private_address_or_nowhere_is_refused(
    ready: SessionKey, ask: Asking, unchanged: Unchanged, url: str
) -> None:
    error = await refusal(ask, unchanged, to(ready, "send.media"), orjson.dumps({"to": PHONE, "url": url}))
    assert error["code"] == "media_rejected"
    assert "secret" not in str(error)


@pytest.mark.parametrize("data", ["????", "AAAAA", "A===", "AA=A", "data:image/png;base64,AAAA", "AA\nAA", "ÄÄÄÄ"])
async def test_data_that_is_no_base64_is_refused(
    ready: SessionKey, ask: Asking, unchanged: Unchanged, data: str
) -> None:
    error = await refusal(ask, unchanged, to(ready, "send.media"), orjson.dumps({"to": PHONE, "data": data}))
    assert error["code"] == "media_rejected"


async def test_a_body_may_have_a_million_bytes_and_not_one_more(
    bus: Bus, ready: SessionKey, ask: Asking, unchanged: Unchanged
) -> None:
    data = base64.b64encode(bytes(748_000)).decode()
    filled = orjson.dumps({"to": PHONE, "data": data, "filename": "a.bin"})
    fits = filled + b" " * (1_000_000 - len(filled))
    await accept(bus, ask, "send.media", fits)
    error = await refusal(ask, unchanged, to(ready, "send.media"), fits + b" ")
    details = error["details"]
    assert isinstance(details, dict)
    assert (error["code"], details["max_bytes"]) == ("invalid_command", 1_000_000)


@pytest.mark.parametrize("pattern", NO_ADDRESSES)
async def test_a_subject_that_addresses_nothing_is_refused(
    ready: SessionKey, ask: Asking, unchanged: Unchanged, pattern: str
) -> None:
    subject = pattern.format(t=ready.tenant_id, s=ready.session_id, long="x" * 65)
    error = await refusal(ask, unchanged, subject, b"{}")
    assert error["code"] == "invalid_command"


@pytest.mark.parametrize("command", sorted(PLANNED))
async def test_a_command_that_is_not_built_yet_says_so(
    ready: SessionKey, ask: Asking, unchanged: Unchanged, command: str
) -> None:
    for subject in (to(ready, command), f"wa.{ready.tenant_id}.ctl.{command}"):
        error = await refusal(ask, unchanged, subject, b'{"whatever": 1}')
        assert (error["code"], error["retryable"]) == ("unsupported", False)


@pytest.mark.parametrize(
    ("command", "fields"),
    [("send.text", {**TEXT, "send_at": LATER}), ("send.media", {"to": PHONE, "object": "picture.png"})],
)
async def test_an_option_that_is_not_built_yet_says_so(
    ready: SessionKey, ask: Asking, unchanged: Unchanged, command: str, fields: Fields
) -> None:
    assert (await refusal(ask, unchanged, to(ready, command), orjson.dumps(fields)))["code"] == "unsupported"


@pytest.mark.parametrize("command", sorted({*COMMANDS} - {"session.start", "sessions.list"}))
async def test_a_session_that_was_never_started_is_unknown(
    ready: SessionKey, ask: Asking, unchanged: Unchanged, command: str
) -> None:
    bodies: dict[str, Fields] = {
        "send.text": TEXT,
        "send.media": URL,
        "send.location": PLACE,
        "job.get": {"job_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
        "job.cancel": {"job_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
        "contact.check": {"numbers": [PHONE]},
    }
    subject = f"wa.{ready.tenant_id}.cmd.never-started.{command}"
    error = await refusal(ask, unchanged, subject, orjson.dumps(bodies.get(command, {})))
    assert error["code"] == "unknown_session"


async def test_a_job_that_never_was_is_unknown(ready: SessionKey, ask: Asking, unchanged: Unchanged) -> None:
    body = orjson.dumps({"job_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"})
    for command in ("job.get", "job.cancel"):
        assert (await refusal(ask, unchanged, to(ready, command), body))["code"] == "unknown_job"


@pytest.mark.parametrize("reply", ["wa.{t}.job.s1.high", "$JS.API.STREAM.PURGE.WA_JOBS", "wafleet.kv.x", ">"])
async def test_no_answer_goes_where_a_tenant_may_not_publish(
    bus: Bus, ready: SessionKey, ask: Asking, unchanged: Unchanged, reply: str
) -> None:
    """A reply subject is the asker's choice: the gateway's rights must not be lent out through it."""
    await accept(bus, ask, "send.text", orjson.dumps(TEXT))
    before = await unchanged.snapshot()
    await bus.publish(to(ready, "session.status"), b"{}", reply=reply.format(t=ready.tenant_id))
    assert (await ask("session.status"))["state"] == "ready"
    assert await unchanged.snapshot() == before
    assert (await ask("session.queue"))["waiting"] == {"high": 0, "normal": 1, "bulk": 0}


async def test_no_answer_goes_to_what_the_gateway_itself_asked(
    gateway_bus: Bus, bus: Bus, ready: SessionKey, ask: Asking
) -> None:
    """Its questions have numbers that count up: whoever sees one could else answer the next, another tenant's."""
    question, reply = gateway_bus._inbox.ask("of JetStream", 30)
    await bus.publish(to(ready, "session.status"), b"{}", reply=reply)
    assert (await ask("session.status"))["state"] == "ready"
    assert not question._future.done()
    question.end()
