from typing import Any

import orjson
import pytest

from actors.errors import InvalidCommand, Unsupported
from actors.messages.commands import (
    COMMANDS,
    MAX_BODY_BYTES,
    PLANNED,
    RateLimit,
    SendLocation,
    SendMedia,
    SendText,
    SessionStart,
    parse_command,
)

TEXT = {"to": "6281234567890", "message": "Hello!"}
MEDIA = {"to": "6281234567890", "url": "https://example.org/a.png"}
PLACE = {"to": "6281234567890", "latitude": 1.5, "longitude": 2}


def parse(name: str, **body: Any) -> Any:
    return parse_command(name, orjson.dumps(body))


def refused(name: str, **body: Any) -> InvalidCommand:
    with pytest.raises(InvalidCommand) as caught:
        parse(name, **body)
    return caught.value


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_found_by_its_name_and_refuses_unknown_fields(name: str) -> None:
    assert COMMANDS[name].name == name
    error = refused(name, surprise=1)
    assert any(found["field"] == "surprise" for found in error.details["errors"])


@pytest.mark.parametrize("name", ["session.stop", "session.status", "sessions.list"])
def test_no_body_is_an_empty_one(name: str) -> None:
    assert parse_command(name, b"") == parse_command(name, b"{}")


def test_defaults_are_those_of_the_contract() -> None:
    assert parse("session.start") == SessionStart(pairing="qr", rate_limit=RateLimit(max_messages=20, window_ms=60_000))
    text = parse("send.text", **TEXT)
    assert isinstance(text, SendText)
    assert (text.mode, text.on_limit, text.lane, text.send_at, text.reply_to) == ("queue", "wait", None, None, None)
    assert isinstance(parse("send.media", **MEDIA, **{"as": "image"}), SendMedia)
    assert isinstance(parse("send.location", **PLACE), SendLocation)


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("session.start", {"pairing": "code"}, "body"),
        ("session.start", {"phone_number": "12"}, "phone_number"),
        ("session.start", {"proxy": "ftp://x"}, "proxy"),
        ("session.start", {"proxy": "http://x\n"}, "proxy"),
        ("session.start", {"rate_limit": {"max_messages": 0}}, "rate_limit.max_messages"),
        ("session.start", {"rate_limit": {"window_ms": 3_600_001}}, "rate_limit.window_ms"),
        ("session.rate_limit", {"max_messages": 1_001}, "max_messages"),
        ("send.text", TEXT | {"to": "hello"}, "to"),
        ("send.text", TEXT | {"to": 6281234567890}, "to"),
        ("send.text", TEXT | {"message": ""}, "message"),
        ("send.text", TEXT | {"message": "x" * 65_537}, "message"),
        ("send.text", TEXT | {"mode": "now"}, "mode"),
        ("send.text", TEXT | {"lane": "direct"}, "lane"),
        ("send.text", TEXT | {"mode": "direct", "lane": "high"}, "body"),
        ("send.text", TEXT | {"mode": "direct", "send_at": "2030-01-01T00:00:00Z"}, "body"),
        ("send.text", TEXT | {"expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ("send.text", TEXT | {"expires_at": "9999-12-31T23:59:59-05:00"}, "expires_at"),
        ("send.text", TEXT | {"idempotency_key": ""}, "idempotency_key"),
        ("send.media", {"to": "6281234567890"}, "body"),
        ("send.media", MEDIA | {"data": "AAAA"}, "body"),
        ("send.media", MEDIA | {"url": "file:///etc/passwd"}, "url"),
        ("send.media", MEDIA | {"filename": "../a.png"}, "filename"),
        ("send.media", MEDIA | {"filename": ".."}, "body"),
        ("send.media", MEDIA | {"mimetype": "image"}, "mimetype"),
        ("send.media", MEDIA | {"as": "hologram"}, "as"),
        ("send.location", PLACE | {"latitude": 90.1}, "latitude"),
        ("send.location", PLACE | {"longitude": -181}, "longitude"),
        ("job.get", {"job_id": "x"}, "job_id"),
        ("sessions.list", {"after": "a.b"}, "after"),
        ("sessions.list", {"limit": 0}, "limit"),
        ("contact.check", {"numbers": []}, "numbers"),
        ("contact.check", {"numbers": ["+6281234567890"] * 51}, "numbers"),
    ],
)
def test_a_wrong_field_is_named(name: str, body: dict[str, Any], field: str) -> None:
    error = refused(name, **body)
    assert error.details["field"] == field
    assert error.message.startswith(f"{name}: {field}: ")
    assert not error.retryable


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'"x"', b"\xff", b'{"to": NaN}'])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidCommand):
        parse_command("send.text", body)


def test_a_body_that_is_too_long_is_not_even_parsed() -> None:
    with pytest.raises(InvalidCommand) as caught:
        parse_command("send.text", b" " * (MAX_BODY_BYTES + 1))
    assert caught.value.details == {"max_bytes": MAX_BODY_BYTES, "bytes": MAX_BODY_BYTES + 1}


def test_an_error_does_not_echo_a_whole_body() -> None:
    error = refused("send.text", to="x" * 500_000, message="")
    assert len(error.message) < 400
    assert len(orjson.dumps(error.details)) < 2_000


def test_an_error_says_once_what_was_expected_and_got() -> None:
    assert refused("send.text", to="abc", message="x").message == (
        "send.text: to: expected a phone number with country code, like 6281234567890 or +6281234567890, got 'abc'"
    )
    assert refused("session.start", pairing="code").message == 'session.start: body: pairing "code" needs phone_number'
    assert refused("send.text", to="6281234567890", message="").message.endswith("at least 1 character (got '')")


def test_an_error_names_at_most_a_few_fields() -> None:
    error = refused("send.text", **{f"surprise{n}": n for n in range(50)})
    assert len(error.details["errors"]) == 8


def test_planned_commands_are_unsupported_and_unknown_ones_invalid() -> None:
    assert not PLANNED & set(COMMANDS)
    with pytest.raises(Unsupported):
        parse_command("group.create", b"{}")
    with pytest.raises(InvalidCommand, match="unknown command"):
        parse_command("send.smoke", b"{}")


def test_numbers_are_normalised() -> None:
    assert parse("contact.check", numbers=["6281234567890"]).numbers == ("+6281234567890",)
    assert parse("session.start", phone_number="6281234567890", pairing="code").phone_number == "+6281234567890"
