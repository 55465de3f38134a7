"""The client library on a real nats-server: errors by code, repetitions, events, waiting."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from actors.errors import (
    AccountRestricted,
    InvalidCommand,
    ReconnectExhausted,
    SendFailed,
    SessionNotReady,
    Unavailable,
    UnknownJob,
    UnknownSession,
)
from actors.messages.commands import RateLimit
from actors.messages.events import Event, build_event
from actors.messages.ids import SessionKey
from actors.messages.replies import JobAccepted, JobSent
from actors.orders import LOGOUT_TIMEOUT_S
from gateway import client_waiting
from gateway.cli.talking import COMMAND_TIMEOUT_S
from gateway.client import Client
from gateway.client_requests import ASKING_TRY_S, TRY_S_BY_COMMAND
from gateway.connection import Bus, connect
from gateway.control import SUPERVISOR_TIMEOUT_S
from gateway.events import check_readable, live_events, publish_event
from gateway.queries import ASK_TIMEOUT_S, PAGE_TIMEOUT_S
from gateway.streams import ensure
from tests.gateway.replicas import PHONE, Owner, client, control, gateway_bus, limits, owner, ready, replica
from tests.gateway.standins import STATUS_OF_STATE, StandInControl, put_session
from tests.support.command_line import wafleet, wafleet_json
from tests.support.nats import NatsServer
from tests.support.waiting import eventually

__all__ = ["client", "control", "gateway_bus", "limits", "owner", "ready", "replica"]

pytestmark = pytest.mark.nats


def event(key: SessionKey, state: str, name: str, *, epoch: int = 1, id_: str | None = None) -> Event:
    """A session's event."""
    return build_event(
        id=id_ or f"{name}-{epoch}-{state}",
        event=name,
        tenant_id=key.tenant_id,
        session_id=key.session_id,
        time=datetime.now(UTC),
        epoch=epoch,
        data={"status": STATUS_OF_STATE[state], "state": state},
    )


async def taken(events: AsyncIterator[Event], count: int) -> list[str]:
    """Ids of the next events."""
    async with asyncio.timeout(5):
        return [(await anext(events)).id for _ in range(count)]


@pytest.mark.usefixtures("replica")
class TestCommands:
    async def test_every_error_is_the_class_of_its_code(self, ready: SessionKey, client: Client) -> None:
        with pytest.raises(UnknownSession):
            await client.status("nobody")
        with pytest.raises(UnknownJob):
            await client.job("s1", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
        with pytest.raises(SessionNotReady):
            await client.screenshot("s1")
        with pytest.raises(InvalidCommand) as wrong:
            await client.send_text("s1", "12", "x")
        assert wrong.value.details["field"] == "to"

    async def test_a_key_given_by_the_caller_tells_him_of_a_repeat(self, ready: SessionKey, client: Client) -> None:
        first = await client.send_text("s1", PHONE, "x", idempotency_key="k")
        again = await client.send_text("s1", PHONE, "x", idempotency_key="k")
        assert (first.duplicate, again.duplicate, again.job_id) == (False, True, first.job_id)

    async def test_sends_take_every_option(self, ready: SessionKey, client: Client, owner: Owner) -> None:
        session = await owner(ready)
        later = datetime.now(UTC) + timedelta(hours=1)
        assert isinstance(await client.send_text("s1", PHONE, "x", lane="bulk", expires_at=later), JobAccepted)
        media = await client.send_media(
            "s1", PHONE, data=b"\x00\x01", filename="a.bin", caption="c", as_="document", mode="direct"
        )
        assert isinstance(media, JobSent)
        await client.send_location("s1", PHONE, -6.2, 106.8, description="here", reply_to="m", mode="direct")
        await eventually(lambda: len(session.sent) == 3, within_s=5)
        assert {(job.content.kind, job.lane) for job in session.sent} == {
            ("text", "bulk"),
            ("media", "direct"),
            ("location", "direct"),
        }

    async def test_a_direct_send_that_failed_raises_its_error_also_as_a_repeat(
        self, ready: SessionKey, client: Client, owner: Owner
    ) -> None:
        await owner(ready, fate=lambda _: "failed")
        for _ in range(2):
            with pytest.raises(SendFailed):
                await client.send_text("s1", PHONE, "x", mode="direct", idempotency_key="k")

    @pytest.mark.parametrize("count", [0, 1, 4, 5])
    async def test_all_sessions_are_listed_however_many_parts_it_takes(
        self, bus: Bus, key: SessionKey, client: Client, monkeypatch: pytest.MonkeyPatch, count: int
    ) -> None:
        monkeypatch.setattr("gateway.client._SESSIONS_AT_ONCE", 2)
        names = ["b", "a", "C", "_d", "e-1"][:count]
        for name in names:
            await put_session(bus, SessionKey(key.tenant_id, name), "ready")
        await put_session(bus, SessionKey(f"{key.tenant_id}x", "z"), "ready")

        async def all_are_listed() -> bool:
            return [status.session_id for status in await client.sessions()] == sorted(names)

        await eventually(all_are_listed, within_s=5)

    async def test_a_start_says_only_what_it_was_told(self, control: StandInControl, client: Client) -> None:
        """What is absent stays as an earlier start had it; null takes it away."""
        await client.start("s1")
        await client.start("s1", phone_number=PHONE, pairing="code", rate_limit=RateLimit(max_messages=5))
        await client.start("s1", cleared=("phone_number", "proxy"))
        said = [command.model_dump(exclude_unset=True) for _, command in control.asked]
        assert said == [
            {},
            {"phone_number": f"+{PHONE}", "pairing": "code", "rate_limit": {"max_messages": 5, "window_ms": 60_000}},
            {"pairing": "qr", "phone_number": None, "proxy": None},
        ]

    async def test_the_command_line_starts_with_what_was_given(
        self, nats_server: NatsServer, control: StandInControl, key: SessionKey
    ) -> None:
        for options in ((), ("--max-messages", "7"), ("--no-phone", "--no-proxy"), ("--qr",)):
            await wafleet_json("session start", "s1", "--nats-url", nats_server.url, "-t", key.tenant_id, *options)
        said = [command.model_dump(exclude_unset=True) for _, command in control.asked]
        assert said == [
            {},
            {"rate_limit": {"max_messages": 7, "window_ms": 60_000}},
            {"pairing": "qr", "phone_number": None, "proxy": None},
            {"pairing": "qr"},
        ]
        assert (await wafleet("session", "start", "s1", "--no-phone", "--code")).exit_code == 2
        assert (await wafleet("session", "start", "s1", "--no-proxy", "--proxy", "http://p")).exit_code == 2


def test_every_asker_waits_longer_than_whom_it_asks() -> None:
    orders = ("session.start", "session.stop", "session.restart", "session.logout", "session.pause", "session.resume")
    asked = ("session.qr", "session.queue", "session.rate_limit")
    assert LOGOUT_TIMEOUT_S < SUPERVISOR_TIMEOUT_S
    assert all(SUPERVISOR_TIMEOUT_S < TRY_S_BY_COMMAND[name] < COMMAND_TIMEOUT_S for name in orders)
    assert all(TRY_S_BY_COMMAND[name] > ASK_TIMEOUT_S for name in asked)
    assert ASK_TIMEOUT_S < ASKING_TRY_S
    assert all(TRY_S_BY_COMMAND[name] > PAGE_TIMEOUT_S for name in ("session.screenshot", "contact.check"))


async def test_without_any_gateway_a_command_ends_at_its_deadline(nats_server: NatsServer) -> None:
    async with await Client.connect(nats_server.url, "acme", timeout_s=0.3) as client:
        with pytest.raises(Unavailable, match=r"no gateway carried out session\.status within 0\.\d s"):
            await client.status("s1")


async def test_a_tenant_id_that_is_none_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(InvalidCommand):
        await Client.connect("nats://127.0.0.1:1", "acme.*")


async def test_nobody_at_the_address_is_said_so() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1\b"):
        await Client.connect("nats://127.0.0.1:1", "acme", connect_timeout_s=0.3)


# --- events -----------------------------------------------------------------------------------------------------------


async def test_events_come_each_once_and_none_of_a_replaced_owner(bus: Bus, key: SessionKey, client: Client) -> None:
    async with client.events("s1") as events:
        for told in (
            event(key, "starting", "session.starting", epoch=2),
            event(key, "ready", "session.ready", epoch=2),
            event(key, "ready", "session.ready", epoch=2),
            event(key, "failed", "session.failed", epoch=1),
            event(key, "ready", "session.ready", epoch=3),
        ):
            # Past the server's own duplicate check: a gateway and an owner may tell the same under two message ids.
            await bus.publish(f"wa.{key.tenant_id}.evt.s1.{told.event}", told.model_dump_json().encode())
        assert await taken(events, 3) == [
            "session.starting-2-starting",
            "session.ready-2-ready",
            "session.ready-3-ready",
        ]


async def test_events_can_be_had_by_name_and_of_all_sessions(bus: Bus, key: SessionKey, client: Client) -> None:
    other = SessionKey(key.tenant_id, "s2")
    async with (
        client.events(names={"session.ready"}) as ready_ones,
        client.events(names={"session.ready", "session.failed"}) as two,
    ):
        await publish_event(bus, event(key, "starting", "session.starting"))
        await publish_event(bus, event(key, "ready", "session.ready", id_="a"))
        await publish_event(bus, event(other, "failed", "session.failed", id_="b"))
        await publish_event(bus, event(other, "ready", "session.ready", id_="c"))
        await publish_event(bus, event(SessionKey(key.tenant_id + "x", "s1"), "ready", "session.ready", id_="d"))
        await publish_event(bus, event(key, "ready", "session.ready", id_="e"))
        assert await taken(ready_ones, 3) == ["a", "c", "e"]
        assert await taken(two, 4) == ["a", "b", "c", "e"]


async def test_a_deadline_of_the_reader_does_not_end_the_stream(bus: Bus, key: SessionKey, client: Client) -> None:
    async with client.events("s1") as events:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(events)
        await publish_event(bus, event(key, "ready", "session.ready", id_="a"))
        assert await taken(events, 1) == ["a"]


async def test_since_brings_the_past_then_the_present_over_a_lost_connection(
    own_nats_server: NatsServer, key: SessionKey
) -> None:
    begin = datetime.now(UTC)
    async with (
        await connect(own_nats_server.url, "owner") as owner_bus,
        await Client.connect(own_nats_server.url, key.tenant_id) as client,
    ):
        await ensure(owner_bus)
        await publish_event(owner_bus, event(key, "starting", "session.starting", id_="past"))
        async with client.events("s1", since=begin) as events:
            assert await taken(events, 1) == ["past"]
            await publish_event(owner_bus, event(key, "ready", "session.ready", id_="present"))
            assert await taken(events, 1) == ["present"]
            own_nats_server.restart()
            after = event(key, "ready", "session.ready", id_="after")

            async def stored() -> bool:
                with suppress(Unavailable):  # that the connection is lost shows at the first use
                    await publish_event(owner_bus, after)
                    return True
                return False

            await eventually(stored, within_s=10)
            async with asyncio.timeout(10):
                assert (await anext(events)).id == "after"


async def test_a_server_that_is_away_ends_no_stream_of_events_and_costs_none(
    own_nats_server: NatsServer, key: SessionKey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "wafleet.client")
    wait = Bus._wait_connected

    async def wait_briefly(bus: Bus, timeout_s: float) -> None:
        await wait(bus, min(timeout_s, 0.1))

    begin = datetime.now(UTC)
    async with (
        await connect(own_nats_server.url, "owner") as owner_bus,
        await Client.connect(own_nats_server.url, key.tenant_id) as client,
    ):
        await ensure(owner_bus)
        before, during = client.events("s1", since=begin), client.events("s1", since=begin)
        async with before, during:
            waiting = [asyncio.create_task(anext(before))]
            with pytest.raises(TimeoutError):  # it has read the stream then, which was empty
                await asyncio.wait_for(asyncio.shield(waiting[0]), timeout=0.5)
            with monkeypatch.context() as patched:
                patched.setattr(Bus, "_wait_connected", wait_briefly)
                own_nats_server.kill()
                waiting.append(asyncio.create_task(anext(during)))

                async def failed() -> bool:
                    return caplog.text.count("trying again") >= 2

                await eventually(failed, within_s=10)
            own_nats_server.start()
            await publish_event(owner_bus, event(key, "ready", "session.ready", id_="after"))
            async with asyncio.timeout(10):
                assert [one.id for one in await asyncio.gather(*waiting)] == ["after", "after"]
        assert "going on with new ones" not in caplog.text


async def test_a_server_that_answers_nothing_has_not_denied_the_past(
    bus: Bus, key: SessionKey, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = datetime.now(UTC)
    await publish_event(bus, event(key, "ready", "session.ready", id_="past"))
    silences = {one: iter([Unavailable("no answer within 5 s")]) for one in ("read", "flush")}
    answered_flush = Bus.flush

    async def read(bus: Bus, subject: str) -> None:
        for silence in silences["read"]:
            raise silence
        await check_readable(bus, subject)

    async def flush(bus: Bus, timeout_s: float = 5.0) -> None:
        for silence in silences["flush"]:
            raise silence
        await answered_flush(bus, timeout_s)

    monkeypatch.setattr("gateway.client_events.check_readable", read)
    monkeypatch.setattr(Bus, "flush", flush)
    async with client.events("s1", since=begin) as events:
        assert await taken(events, 1) == ["past"]


async def test_where_the_past_may_not_be_read_events_come_live(
    bus: Bus, key: SessionKey, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object, **__: object) -> object:
        raise Unavailable("no answer to $JS.API.DIRECT.GET.WA_EVENTS")

    refusals = iter([Unavailable("NATS is away")])

    @asynccontextmanager
    async def live_at_the_second_try(bus: Bus, subject: str) -> AsyncIterator[AsyncIterator[Event]]:
        for refusal in refusals:
            raise refusal
        async with live_events(bus, subject) as live:
            yield live

    monkeypatch.setattr("gateway.events.read_batch", refused)
    monkeypatch.setattr("gateway.client_events.live_events", live_at_the_second_try)
    async with client.events("s1", since=datetime.now(UTC)) as events:
        first = asyncio.create_task(anext(events))

        async def told() -> bool:
            await publish_event(bus, event(key, "ready", "session.ready", id_="live"))
            await bus.publish(
                f"wa.{key.tenant_id}.evt.s1.session.ready",
                event(key, "ready", "session.ready", id_="live").model_dump_json().encode(),
            )
            return first.done()

        await eventually(told, within_s=5)
        assert (await first).id == "live"


# --- waiting ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("replica")
class TestWaiting:
    async def test_a_session_that_is_there_already_needs_no_event(self, ready: SessionKey, client: Client) -> None:
        assert (await client.wait_until("s1", "ready", timeout_s=2)).state == "ready"

    async def test_an_event_ends_the_wait(self, bus: Bus, key: SessionKey, client: Client) -> None:
        await put_session(bus, key, "starting")
        waiting = asyncio.create_task(client.wait_until("s1", "ready", timeout_s=10))

        async def told() -> bool:
            await bus.publish(
                f"wa.{key.tenant_id}.evt.s1.session.ready",
                event(key, "ready", "session.ready").model_dump_json().encode(),
            )
            return waiting.done()

        await eventually(told, within_s=1.5)  # sooner than the status would be asked again
        assert (await waiting).state == "ready"

    @pytest.mark.parametrize(
        ("state", "error"),
        [("failed", ReconnectExhausted), ("blocked", AccountRestricted), ("logged_out", SessionNotReady)],
    )
    async def test_a_final_state_that_lasts_ends_the_wait(
        self,
        bus: Bus,
        key: SessionKey,
        client: Client,
        monkeypatch: pytest.MonkeyPatch,
        *,
        state: str,
        error: type[Exception],
    ) -> None:
        monkeypatch.setattr(client_waiting, "_SETTLE_S", 0.05)
        monkeypatch.setattr(client_waiting, "_LOOK_EVERY_S", 0.1)
        await put_session(bus, key, state)
        with pytest.raises(error):
            await client.wait_until("s1", "ready", timeout_s=5)

    async def test_a_final_state_of_the_life_before_does_not(
        self, bus: Bus, key: SessionKey, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client_waiting, "_LOOK_EVERY_S", 0.1)
        await put_session(bus, key, "failed")
        waiting = asyncio.create_task(client.wait_until("s1", "ready", timeout_s=10))
        async with client.events("s1"):
            await put_session(bus, key, "ready")
        assert (await waiting).state == "ready"

    async def test_the_deadline_names_the_state(self, bus: Bus, key: SessionKey, client: Client) -> None:
        await put_session(bus, key, "pairing")
        with pytest.raises(TimeoutError, match=r"'s1' is pairing, not ready, after 0\.1 s"):
            await client.wait_until("s1", "ready", timeout_s=0.1)

    async def test_a_session_that_was_never_started_is_unknown(self, client: Client) -> None:
        with pytest.raises(UnknownSession):
            await client.wait_until("nobody", timeout_s=1)
