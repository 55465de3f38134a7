from datetime import UTC, datetime, timedelta

import orjson
import pytest

from actors.config import QueueConfig
from actors.errors import InvalidCommand, MediaRejected
from actors.messages.commands import SendCommand, parse_command
from actors.messages.ids import SessionKey, job_id_of_key
from gateway.intake import body_hash, check_expiry, check_media, job_of

KEY = SessionKey("acme", "s1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FRESH = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def send(name: str, **fields: object) -> SendCommand:
    command = parse_command(name, orjson.dumps({"to": "6281234567890", **fields}))
    assert isinstance(command, SendCommand)
    return command


def test_a_key_makes_the_job_id_and_no_key_takes_the_fresh_one() -> None:
    queue = QueueConfig()
    keyed = job_of(KEY, send("send.text", message="x", idempotency_key="k"), now=NOW, fresh_id=FRESH,
                   request_id="r", queue=queue)  # fmt: skip
    fresh = job_of(KEY, send("send.text", message="x"), now=NOW, fresh_id=FRESH, request_id="r", queue=queue)
    assert (keyed.job_id, fresh.job_id) == (job_id_of_key(KEY, "k"), FRESH)


@pytest.mark.parametrize(
    ("mode", "given_s", "left_s"),
    [("queue", None, 7 * 86_400), ("queue", 60, 60), ("direct", None, 30), ("direct", 60, 30), ("direct", 5, 5)],
)
def test_a_job_expires_when_asked_and_a_direct_one_within_thirty_seconds(
    mode: str, given_s: int | None, left_s: int
) -> None:
    expires_at = None if given_s is None else (NOW + timedelta(seconds=given_s)).isoformat()
    command = send("send.text", message="x", mode=mode, expires_at=expires_at)
    job = job_of(KEY, command, now=NOW, fresh_id=FRESH, request_id="r", queue=QueueConfig())
    assert job.expires_at - NOW == timedelta(seconds=left_s)
    assert job.lane == ("direct" if mode == "direct" else "normal")


def test_expires_at_must_lie_ahead_and_not_too_far() -> None:
    queue, far = QueueConfig(max_expiry_s=10 * 86_400), NOW + timedelta(days=10)
    assert check_expiry(send("send.text", message="x", expires_at=NOW.isoformat()), NOW, queue) is not None
    assert check_expiry(send("send.text", message="x"), NOW, queue) is None
    assert check_expiry(send("send.text", message="x", expires_at=far.isoformat()), NOW, queue) is None
    farther = (far + timedelta(seconds=1)).isoformat()
    refused = check_expiry(send("send.text", message="x", expires_at=farther), NOW, queue)
    assert isinstance(refused, InvalidCommand)
    assert refused.details == {"field": "expires_at", "latest": "2026-01-11T00:00:00.000Z"}
    assert "10 days at most" in refused.message
    assert check_expiry(send("send.text", message="x", mode="direct", expires_at=farther), NOW, queue) is None


def test_the_body_hash_tells_wishes_apart_and_nothing_else() -> None:
    first = body_hash(send("send.text", message="x", idempotency_key="k"))
    same = [
        send("send.text", message="x", idempotency_key="other"),
        send("send.text", message="x", lane="normal", mode="queue", on_limit="wait", reply_to=None),
    ]
    other = [
        send("send.text", message="y"),
        send("send.text", message="x", lane="high"),
        send("send.text", message="x", mode="direct"),
        send("send.text", message="x", on_limit="reject"),
        send("send.text", message="x", expires_at=NOW.isoformat()),
        send("send.location", latitude=1, longitude=1),
        send("send.media", data="AAAA"),
    ]
    assert {body_hash(command) for command in same} == {first}
    assert len({first, *map(body_hash, other)}) == len(other) + 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/a.png", "http://media.internal/a.png", "https://8.8.8.8/"])
def test_named_exceptions_public_addresses_and_host_names_pass(url: str) -> None:
    check_media(send("send.media", url=url), frozenset({"127.0.0.1:8080"}))


@pytest.mark.parametrize(
    ("url", "allowed"),
    [("http://127.0.0.1/a.png", "127.0.0.1:80"), ("https://127.0.0.1/a.png", "127.0.0.1:443"),
     ("http://localhost/a.png", "localhost:80"), ("http://LOCALHOST:81/", "localhost")],
)  # fmt: skip
def test_a_url_without_a_port_means_the_one_of_its_scheme(url: str, allowed: str) -> None:
    check_media(send("send.media", url=url), frozenset({allowed}))


@pytest.mark.parametrize("allowed", ["127.0.0.1:443", "127.0.0.1:0", "127.0.0.1:None"])
def test_an_exception_for_another_port_is_none_for_a_url_without_one(allowed: str) -> None:
    with pytest.raises(MediaRejected):
        check_media(send("send.media", url="http://127.0.0.1/a.png"), frozenset({allowed}))


def test_an_exception_for_one_port_is_none_for_another() -> None:
    with pytest.raises(MediaRejected):
        check_media(send("send.media", url="http://127.0.0.1:8081/a.png"), frozenset({"127.0.0.1:8080"}))
