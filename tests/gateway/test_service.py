"""The service as its users see it: requests and replies on a real nats-server."""

import asyncio
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from actors.config import QueueConfig
from actors.errors import Unsupported
from actors.messages.base import rfc3339_ms
from actors.messages.commands import RateLimitQuery, SessionStart
from actors.messages.ids import SessionKey, job_id_of_key, message_id_of_job
from actors.messages.replies import ErrorBody
from gateway.client import Client
from gateway.connection import Bus
from gateway.events import live_events
from gateway.jobs import JetStreamJobLog
from gateway.replica import GatewayReplica, ReplicaLimits
from gateway.service import ServiceLimits
from gateway.streams import WA_JOBS, declared, event_subject
from tests.gateway.replicas import (
    PHONE,
    Asking,
    Owner,
    ask,
    client,
    control,
    gateway_bus,
    limits,
    owner,
    ready,
    replica,
)
from tests.gateway.standins import StandInControl, put_session
from tests.support.waiting import eventually

__all__ = ["ask", "client", "control", "gateway_bus", "limits", "owner", "ready", "replica"]

pytestmark = [pytest.mark.nats, pytest.mark.usefixtures("replica")]


def error_code(reply: dict[str, object]) -> object:
    error = reply["error"]
    assert isinstance(error, dict)
    return error["code"]


async def test_the_service_shows_itself_with_exactly_two_endpoints(bus: Bus) -> None:
    info = orjson.loads((await bus.request("$SRV.INFO.wafleet")).data)
    assert [endpoint["subject"] for endpoint in info["endpoints"]] == ["wa.*.cmd.>", "wa.*.ctl.>"]
    assert {endpoint["queue_group"] for endpoint in info["endpoints"]} == {"wafleet"}


async def test_a_started_session_has_a_status_and_is_listed(client: Client, control: StandInControl) -> None:
    started = await client.start("s1")
    assert (started.session_id, started.state) == ("s1", "ready")
    assert control.asked == [(SessionKey(client.tenant_id, "s1"), SessionStart())]
    assert (await client.status("s1")).status == "ready"
    await client.start("s0")
    assert [session.session_id for session in await client.sessions()] == ["s0", "s1"]


async def test_tenants_see_their_own_sessions_only(bus: Bus, client: Client) -> None:
    await put_session(bus, SessionKey(client.tenant_id + "x", "s1"), "ready")
    assert await client.sessions() == ()


async def test_a_session_without_an_actor_still_answers(ready: SessionKey, client: Client) -> None:
    assert (await client.qr("s1")).qr is None
    limit = await client.rate_limit("s1", max_messages=7)
    assert (limit.remaining, limit.max_messages, limit.window_ms, limit.is_limited) == (7, 7, 60_000, False)
    queue = await client.queue("s1")
    assert (queue.waiting.normal, queue.active, queue.paused) == (0, 0, False)


async def test_an_owner_that_waits_for_its_lease_knows_no_more_than_nobody(
    ready: SessionKey, client: Client, owner: Owner
) -> None:
    await owner(ready, holds_lease=False)
    assert (await client.qr("s1")).qr is None
    assert (await client.rate_limit("s1")).remaining == 20
    assert (await client.queue("s1")).active == 0


async def test_what_only_a_page_knows_needs_an_actor(ready: SessionKey, ask: Asking) -> None:
    assert error_code(await ask("session.screenshot")) == "session_not_ready"
    assert error_code(await ask("contact.check", numbers=[PHONE])) == "session_not_ready"


async def test_an_actor_answers_for_its_session(ready: SessionKey, client: Client, owner: Owner) -> None:
    await owner(ready)
    assert (await client.qr("s1")).qr == "2@abc"
    assert (await client.screenshot("s1")).startswith(b"\x89PNG")
    assert [contact.number for contact in await client.check_contacts("s1", [PHONE])] == [f"+{PHONE}"]


async def test_pause_and_resume_answer_with_the_queue(ready: SessionKey, client: Client) -> None:
    assert (await client.pause("s1")).paused
    assert (await client.status("s1")).paused
    assert not (await client.resume("s1")).paused


async def test_an_order_is_seen_by_the_next_question(ready: SessionKey, ask: Asking) -> None:
    """The owner has not ended yet, but it is on its way."""
    await ask("session.stop")
    assert (await ask("session.status"))["state"] == "draining"
    assert error_code(await ask("send.text", to=PHONE, message="x", mode="direct")) == "session_not_ready"
    assert (await ask("send.text", to=PHONE, message="x"))["status"] == "accepted"
    await ask("session.logout")
    assert error_code(await ask("send.text", to=PHONE, message="x")) == "session_not_ready"
    await ask("session.restart")
    assert (await ask("session.status"))["state"] == "ready"


async def test_a_queued_send_is_stored_with_its_record(bus: Bus, ready: SessionKey, ask: Asking) -> None:
    reply = await ask("send.text", to=f"+{PHONE}", message="Hello!", lane="high", idempotency_key="k1")
    job_id = job_id_of_key(ready, "k1")
    assert reply == {"job_id": job_id, "status": "accepted", "duplicate": False}
    (stored,) = await JetStreamJobLog(bus, ready).read("high", 0, 10)
    assert (stored.job.job_id, stored.job.message_id) == (job_id, message_id_of_job(job_id))
    assert stored.job.expires_at - stored.job.accepted_at == timedelta(days=7)
    record = await ask("job.get", job_id=job_id)
    assert (record["status"], record["to"], record["lane"]) == ("accepted", f"+{PHONE}", "high")


async def test_accepting_and_sending_are_told_as_events(
    bus: Bus, ready: SessionKey, client: Client, owner: Owner
) -> None:
    async with live_events(bus, event_subject(ready, ">")) as events:
        await owner(ready)
        accepted = await client.send_text("s1", PHONE, "Hello!")
        async with asyncio.timeout(5):
            told = {(event := await anext(events)).event: event for _ in range(2)}
    assert told.keys() == {"job.accepted", "message.sent"}
    assert told["job.accepted"].id == f"{accepted.job_id}.accepted"
    assert (told["job.accepted"].seq, told["job.accepted"].epoch) == (None, None)
    assert (await client.job("s1", accepted.job_id)).status == "sent"


async def test_a_command_without_a_reply_subject_is_carried_out(bus: Bus, ready: SessionKey, owner: Owner) -> None:
    async with live_events(bus, event_subject(ready, "message.sent")) as events:
        await owner(ready)
        body = orjson.dumps({"to": PHONE, "message": "no answer wanted"})
        await bus.publish(f"wa.{ready.tenant_id}.cmd.s1.send.text", body)
        async with asyncio.timeout(5):
            assert (await anext(events)).event == "message.sent"


@pytest.mark.parametrize(
    ("state", "code"),
    [("logged_out", "session_not_ready"), ("failed", "reconnect_exhausted"), ("blocked", "account_restricted")],
)
async def test_a_session_that_ended_takes_no_jobs(
    bus: Bus, key: SessionKey, ask: Asking, state: str, code: str
) -> None:
    await put_session(bus, key, state)
    assert error_code(await ask("send.text", to=PHONE, message="x")) == code
    assert await JetStreamJobLog(bus, key).read("normal", 0, 1) == []


@pytest.mark.parametrize("state", ["starting", "pairing", "reconnecting", "stopped"])
async def test_every_other_state_takes_queued_jobs_but_no_direct_ones(
    bus: Bus, key: SessionKey, ask: Asking, state: str
) -> None:
    await put_session(bus, key, state)
    assert (await ask("send.text", to=PHONE, message="x"))["status"] == "accepted"
    direct = await ask("send.text", to=PHONE, message="x", mode="direct")
    assert error_code(direct) == "session_not_ready"


async def test_reject_asks_the_owner_and_refuses_when_the_window_is_spoken_for(
    ready: SessionKey, ask: Asking, owner: Owner, control: StandInControl
) -> None:
    session = await owner(ready)
    session.remaining, session.active, session.waiting = 3, 1, session.waiting.model_copy(update={"bulk": 2})
    refused = await ask("send.text", to=PHONE, message="x", on_limit="reject")
    error = refused["error"]
    assert isinstance(error, dict)
    assert (error["code"], error["details"]["retry_after_ms"]) == ("rate_limited", 60_000)
    assert error["message"] == "Rate limit exceeded. Try again in 60 seconds"
    session.remaining = 4
    assert (await ask("send.text", to=PHONE, message="x", on_limit="reject"))["status"] == "accepted"
    control.asked.clear()
    await ask("send.text", to=PHONE, message="x", on_limit="wait")
    assert (ready, RateLimitQuery()) not in control.asked


async def test_reject_is_answered_unavailable_where_nobody_knows_the_window(
    bus: Bus, ready: SessionKey, ask: Asking, owner: Owner, control: StandInControl
) -> None:
    """The owner has just died, another takes over: what it sent still stands in the window."""
    said = {"to": PHONE, "message": "x", "on_limit": "reject"}
    assert error_code(await ask("send.text", **said)) == "unavailable"
    assert (await ask("session.rate_limit"))["remaining"] == 20
    session = await owner(ready, holds_lease=False)
    assert error_code(await ask("send.text", **said)) == "unavailable"
    session.refusal = ErrorBody.of(Unsupported("an owner of another version"))
    assert error_code(await ask("send.text", **said)) == "unsupported"
    assert await JetStreamJobLog(bus, ready).read("normal", 0, 1) == []
    del control.owners[ready]
    await ask("session.stop")
    assert (await ask("send.text", **said))["status"] == "accepted"


async def test_reject_takes_a_job_for_a_session_that_ended_by_itself(bus: Bus, key: SessionKey, ask: Asking) -> None:
    """Its target is still to run: nobody scanned the QR. Nothing is sent, so the window is free."""
    await put_session(bus, key, "stopped")
    assert (await ask("send.text", to=PHONE, message="x", on_limit="reject"))["status"] == "accepted"


async def test_a_repeat_is_answered_by_its_job_where_nobody_knows_the_window(
    ready: SessionKey, ask: Asking, owner: Owner, control: StandInControl
) -> None:
    await owner(ready)
    said = {"to": PHONE, "message": "x", "on_limit": "reject", "idempotency_key": "k"}
    first = await ask("send.text", **said)
    del control.owners[ready]
    again = await ask("send.text", **said)
    assert (again["job_id"], again["duplicate"]) == (first["job_id"], True)
    control.hang()
    async with asyncio.timeout(2):
        assert (await ask("send.text", **said))["duplicate"] is True


async def test_a_full_lane_is_refused_and_leaves_no_record(bus: Bus, ready: SessionKey, ask: Asking) -> None:
    await bus.api("STREAM.UPDATE.WA_JOBS", _jobs_config(3))
    try:
        for number in range(3):
            assert (await ask("send.text", to=PHONE, message="x", idempotency_key=f"k{number}"))["status"] == "accepted"
        refused = await ask("send.text", to=PHONE, message="x", idempotency_key="k3")
        assert error_code(refused) == "queue_full"
        assert error_code(await ask("job.get", job_id=job_id_of_key(ready, "k3"))) == "unknown_job"
        assert (await ask("send.text", to=PHONE, message="x", idempotency_key="k0"))["duplicate"] is True
    finally:
        await bus.api("STREAM.UPDATE.WA_JOBS", _jobs_config(10_000))
    assert (await ask("send.text", to=PHONE, message="x", idempotency_key="k3"))["duplicate"] is False


def _jobs_config(limit: int) -> dict[str, object]:
    (spec,) = [spec for spec in declared(QueueConfig(max_waiting_per_lane=limit)) if spec.name == WA_JOBS]
    return spec.config()


class TestSmallService:
    @pytest.fixture
    def limits(self) -> ReplicaLimits:
        return ReplicaLimits(service=ServiceLimits(max_requests=2), drain_timeout_s=0.5)

    async def test_over_its_bound_the_service_refuses_at_once_and_recovers(
        self, replica: GatewayReplica, ready: SessionKey, ask: Asking, control: StandInControl
    ) -> None:
        control.hang()
        stuck = [asyncio.create_task(ask("session.qr")) for _ in range(2)]
        await eventually(lambda: control.hanging == 2, within_s=2)
        async with asyncio.timeout(1):
            refused = await ask("session.status")
        assert error_code(refused) == "unavailable"
        control.go_on()
        replies = await asyncio.gather(*stuck)
        assert [error_code(reply) for reply in replies] == ["unavailable", "unavailable"]
        assert (await ask("session.status"))["state"] == "ready"

    async def test_leaving_answers_what_it_cannot_finish(
        self, replica: GatewayReplica, ready: SessionKey, ask: Asking, control: StandInControl
    ) -> None:
        control.hang()
        stuck = asyncio.create_task(ask("session.qr"))
        await eventually(lambda: control.hanging == 1, within_s=2)
        await replica.drain()
        reply = await stuck
        assert error_code(reply) == "unavailable"


async def test_expires_at_bounds_a_direct_send_to_thirty_seconds(
    bus: Bus, ready: SessionKey, ask: Asking, owner: Owner
) -> None:
    session = await owner(ready)
    later = rfc3339_ms(datetime.now(UTC) + timedelta(hours=1))
    reply = await ask("send.text", to=PHONE, message="now", mode="direct", expires_at=later)
    assert reply["status"] == "sent"
    (job,) = session.sent
    assert (job.lane, job.expires_at - job.accepted_at) == ("direct", timedelta(seconds=30))
