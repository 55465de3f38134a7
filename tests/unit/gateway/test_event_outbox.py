"""The outbox of a gateway: it pauses between tries, and nothing ends its worker."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import orjson
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from actors.errors import Unavailable
from actors.messages.ids import SessionKey
from gateway.answers import Refused, Stored, publish_ack
from gateway.events import EventOutbox
from tests.gateway.building import make_event
from tests.support.fakes import FakeClock

KEY = SessionKey("acme", "s1")
ACK = b'{"stream":"WA_EVENTS","seq":7}'
FULL = orjson.dumps({"error": {"code": 503, "err_code": 10077, "description": "maximum bytes exceeded"}})


def _msg(body: bytes) -> Msg:
    return Msg(_client=Client(), subject="_INBOX.1", data=body)


class _Answered:
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def answer(self) -> Msg:
        return _msg(self._body)


class _ScriptedBus:
    """A connection whose requests are answered by plan, the last act for ever; notes when they came."""

    def __init__(self, clock: FakeClock, plan: Sequence[bytes | Exception]) -> None:
        self._clock = clock
        self._plan = list(plan)
        self.asked: list[tuple[float, str]] = []

    async def begin(self, _subject: str, _body: bytes, *, headers: dict[str, str]) -> _Answered:
        self.asked.append((self._clock.monotonic(), headers["Nats-Msg-Id"]))
        act = self._plan.pop(0) if len(self._plan) > 1 else self._plan[0]
        if isinstance(act, Exception):
            raise act
        return _Answered(act)


async def _published(plan: Sequence[bytes | Exception], events: int = 1) -> list[tuple[float, str]]:
    """Put events one by one; returns when which was tried."""
    clock = FakeClock()
    bus: Any = _ScriptedBus(clock, plan)
    outbox = EventOutbox(bus, clock=clock)
    outbox.start()
    for number in range(events):
        await outbox.put(make_event(KEY, number, seq=None))
        await clock.advance(60)
    async with asyncio.timeout(5):
        await outbox.close()
    asked: list[tuple[float, str]] = bus.asked
    return asked


async def test_it_waits_longer_before_each_try_and_gives_up_with_a_log(caplog: pytest.LogCaptureFixture) -> None:
    times = [when for when, _ in await _published([FULL])]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) == 5
    assert pauses == sorted(pauses)
    assert 0.05 < pauses[0] < pauses[-1] / 4
    assert "e0 is lost after 5 tries: JetStream refused event session.ready: maximum bytes exceeded" in caplog.text


async def test_an_answer_of_somebody_else_is_no_acknowledgement_and_the_event_goes_out_again() -> None:
    asked = await _published([b"hi there", b"", b"[]", ACK])
    assert len(asked) == 4
    assert len({id_ for _, id_ in asked}) == 1


async def test_an_error_that_nobody_thought_of_costs_its_events_and_no_others(caplog: pytest.LogCaptureFixture) -> None:
    asked = await _published([RuntimeError("a bug"), ACK], events=2)
    assert len({id_ for _, id_ in asked}) == len(asked) == 2
    assert "1 events of the gateway are lost" in caplog.text


@pytest.mark.parametrize("body", [b"", b"ok", b"[]", b"7", b'{"seq":"7"}', b'{"error":"no"}', b'{"ok":true}'])
def test_what_is_no_acknowledgement_is_unavailable(body: bytes) -> None:
    with pytest.raises(Unavailable, match=r"expected JetStream's acknowledgement, got .*does a subscriber answer"):
        publish_ack(_msg(body))


def test_an_acknowledgement_and_a_refusal_are_read() -> None:
    assert publish_ack(_msg(ACK)) == Stored(7, duplicate=False)
    assert publish_ack(_msg(b'{"stream":"WA_EVENTS","seq":7,"duplicate":true}')) == Stored(7, duplicate=True)
    assert publish_ack(_msg(FULL)) == Refused(10077, "maximum bytes exceeded")
