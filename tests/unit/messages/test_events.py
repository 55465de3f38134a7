from datetime import UTC, datetime, timedelta, timezone
from typing import get_args

import orjson
import pytest
from pydantic import ValidationError

from actors.errors import InvalidCommand, RateLimited
from actors.messages.base import encode, rfc3339_ms
from actors.messages.events import (
    ACK_NAMES,
    AckData,
    AckEvent,
    JobData,
    JobEvent,
    JobEventName,
    QrData,
    QrEvent,
    SessionData,
    SessionEvent,
    SessionEventName,
    build_event,
    parse_event,
)
from actors.messages.replies import ErrorBody

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ENVELOPE = {"id": "s1.1.1", "tenant_id": "acme", "session_id": "s1", "time": NOON, "seq": 1, "epoch": 1}
STATE = SessionData(status="ready", state="ready")


@pytest.mark.parametrize("name", [*get_args(SessionEventName)])
def test_session_events_survive_the_wire(name: str) -> None:
    event = build_event(**ENVELOPE, event=name, data=STATE)
    assert isinstance(event, SessionEvent)
    assert parse_event(encode(event)) == event


@pytest.mark.parametrize("name", [*get_args(JobEventName)])
def test_job_events_survive_the_wire(name: str) -> None:
    event = build_event(**ENVELOPE, event=name, data=JobData(job_id="j", to="62"))
    assert isinstance(event, JobEvent)
    assert parse_event(encode(event)) == event


def test_each_event_is_built_with_its_own_data() -> None:
    qr = build_event(**ENVELOPE, event="session.qr", data=QrData(qr="2@", sequence=1, expires_at=NOON))
    ack = AckData(message_id="m", chat_id="c", ack=1, ack_name=ACK_NAMES[1])
    assert isinstance(qr, QrEvent)
    assert isinstance(build_event(**ENVELOPE, event="message.ack", data=ack), AckEvent)
    with pytest.raises(ValidationError):
        build_event(**ENVELOPE, event="session.qr", data=ack)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"event": "session.dreaming"}', b"\xff"])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidCommand, match="not an event"):
        parse_event(body)


def test_times_are_rfc3339_utc_with_milliseconds() -> None:
    jakarta = timezone(timedelta(hours=7))
    assert rfc3339_ms(datetime(2026, 11, 22, 19, 0, 0, 123_456, tzinfo=jakarta)) == "2026-11-22T12:00:00.123Z"
    event = build_event(**ENVELOPE, event="session.ready", data=STATE)
    assert orjson.loads(encode(event))["time"] == "2026-11-22T12:00:00.000Z"


def test_an_error_is_described_for_the_tenant() -> None:
    body = ErrorBody.of(RateLimited.until(44_100))
    assert (body.code, body.retryable, body.details) == ("rate_limited", True, {"retry_after_ms": 44_100})
    assert body.message == "Rate limit exceeded. Try again in 45 seconds"
