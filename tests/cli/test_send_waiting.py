"""`wafleet send … --wait`: a repeat of a key ends as the first send did, whether or not its event is heard."""

import json
from typing import Any

import pytest

from actors.messages.ids import SessionKey
from gateway.cli import send
from gateway.connection import Bus
from tests.gateway.conftest import bus, key, nats_server
from tests.gateway.replicas import PHONE, Owner, control, gateway_bus, limits, owner, ready, replica
from tests.gateway.standins import Fate
from tests.support.command_line import wafleet
from tests.support.nats import NatsServer

__all__ = ["bus", "control", "gateway_bus", "key", "limits", "nats_server", "owner", "ready", "replica"]

pytestmark = [pytest.mark.nats, pytest.mark.usefixtures("replica")]


@pytest.fixture(autouse=True)
def tenant(nats_server: NatsServer, ready: SessionKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are the test's tenant's."""
    monkeypatch.setenv("NATS_URL", nats_server.url)
    monkeypatch.setenv("DEFAULT_TENANT_ID", ready.tenant_id)


async def sent(*options: str, text: str = "x", wait_s: float = 10) -> tuple[int, list[Any], str]:
    """Exit code, what was printed, and what was complained about."""
    waiting = ("--key", "k", "--wait", f"{wait_s:g}", "--json")
    result = await wafleet("send", "text", "s1", PHONE, text, *waiting, *options)
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()], result.stderr


@pytest.mark.parametrize("again", [(), ("--durable",)])
@pytest.mark.parametrize(
    ("fate", "code", "event"),
    [("sent", 0, "message.sent"), ("failed", 1, "message.failed"), ("unconfirmed", 1, "message.unconfirmed")],
)
async def test_a_repeat_ends_as_the_first_send_did(
    ready: SessionKey, owner: Owner, *, fate: Fate, code: int, event: str, again: tuple[str, ...]
) -> None:
    session = await owner(ready, fate=lambda _: fate)
    ended, [_, first], _ = await sent()
    assert (ended, first["event"]) == (code, event)
    ended, [_, repeat], _ = await sent(*again)
    assert ended == code
    for name in ("id", "event", "tenant_id", "session_id"):
        assert repeat[name] == first[name]
    for name in ("job_id", "to", "message_id", "attempt", "error"):
        assert repeat["data"][name] == first["data"][name]
    assert len(session.sent) == (fate == "sent")


@pytest.mark.parametrize("first", [(), ("--durable",)])
async def test_another_text_under_a_used_key_is_no_success(
    ready: SessionKey, owner: Owner, first: tuple[str, ...]
) -> None:
    await owner(ready)
    assert (await sent(*first))[0] == 0
    ended, [_, rejected], complaint = await sent("--durable", text="another")
    assert (ended, rejected["event"]) == (1, "job.rejected")
    assert "idempotency_key" in complaint


async def test_an_outcome_whose_event_is_not_heard_is_found_when_the_time_is_up(
    bus: Bus, ready: SessionKey, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send, "NAMES", frozenset({"call.received"}))
    await owner(ready)
    ended, [accepted, outcome], _ = await sent(wait_s=0.5)
    assert (ended, accepted["status"], outcome["event"]) == (0, "accepted", "message.sent")


async def test_no_outcome_in_time_is_a_failure_that_says_so() -> None:
    for _ in range(2):
        ended, [_], complaint = await sent(wait_s=0.2)
        assert ended == 1
        assert "no outcome" in complaint
