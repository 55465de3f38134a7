"""The control API over HTTP, with a page that has no browser."""

import base64
from typing import Any

import aiohttp
import pytest

from simulator.client import SimulatedPhone, SimulatorRefusedError
from simulator.server import SimulatorServer
from tests.support.waiting import eventually
from tests.support.wire_page import wire_page

ME = "5511988887777@c.us"
ANN = "5511990000001@c.us"
NOT_CONNECTED = [
    ("receipt", {"wid": ME, "type": "read", "ids": ["3EB0AA"], "from": ANN}),
    ("chatstate", {"wid": ME, "chat": ANN, "state": "composing"}),
    ("conflict", {"wid": ME}),
    ("wedge", {"wid": ME, "ms": 5}),
    ("deaf", {"wid": ME, "on": True}),
    ("silence", {"wid": ME}),
    ("storage_loss", {"wid": ME}),
    ("storage_error", {"wid": ME}),
]


async def post(simulator: SimulatorServer, operation: str, body: object) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as http, http.post(f"{simulator.url}/ctl/{operation}", json=body) as response:
        return response.status, await response.json()


def text(message_id: str) -> dict[str, object]:
    return {"key": {"id": message_id, "remote": ANN, "fromMe": True}, "type": "chat", "body": "hi"}


async def test_a_page_is_linked_by_its_code_and_its_messages_are_in_the_truth_log(
    simulator: SimulatorServer, phone: SimulatedPhone
) -> None:
    async with wire_page(simulator.url) as page:
        await page.link(phone, ME)
        await page.send("msg", msg=text("3EB0AA"))
        await page.send("msg", msg=text("3EB0AA"))
        assert (await page.frame("ack"))["id"] == "3EB0AA"
        sent = await phone.sent()
        assert [(entry.n, entry.wid, entry.remote, entry.body, entry.dup) for entry in sent] == [
            (1, ME, ANN, "hi", False),
            (2, ME, ANN, "hi", True),
        ]
        assert await phone.sent(since=1) == sent[1:]
        assert await phone.sent(since=2) == []
        state = await phone.state()
        assert state["conns"] == [{"id": 1, "wid": ME, "ready": True}]
        assert (state["devices"], state["refs"], len(state["sent"])) == (1, 0, 2)


async def test_the_truth_log_is_read_whole_in_pages(simulator: SimulatorServer, phone: SimulatedPhone) -> None:
    for number in range(2_100):
        simulator.service.world.accept(ME, text(f"3EB0{number}"), at=0.0)
    assert [entry.n for entry in await phone.sent(since=99)] == list(range(100, 2_101))
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{simulator.url}/ctl/sent?since=10&limit=2") as response,
    ):
        answer = await response.json()
    assert ([entry["n"] for entry in answer["sent"]], answer["next"]) == ([11, 12], 12)


async def test_a_code_that_is_not_shown_is_an_outcome_not_a_mistake(simulator: SimulatorServer) -> None:
    status, answer = await post(simulator, "scan", {"qr": "2@old", "wid": ME})
    assert (status, answer["ok"], answer["error"]["code"]) == (200, False, "code_expired")
    status, answer = await post(simulator, "code", {"code": "ABCD1234"})
    assert (status, answer["ok"], answer["error"]["code"]) == (200, False, "code_expired")


async def test_a_banned_account_links_no_page(simulator: SimulatorServer, phone: SimulatedPhone) -> None:
    await phone.ban(ME)
    async with wire_page(simulator.url) as page:
        await page.send("hello")
        ref = (await page.frame("ref"))["ref"]
        with pytest.raises(SimulatorRefusedError, match="account_banned"):
            await phone.scan(ref, ME)
        await phone.ban(ME, lift=True)
        await phone.scan(ref, ME)
        await page.frame("pair")


async def test_the_phone_counts_what_came_in_whether_a_page_hears_it_or_not(
    simulator: SimulatorServer, phone: SimulatedPhone
) -> None:
    before = await phone.traffic(ME)
    assert (before.count, before.last_at, before.waiting) == (0, None, 0)
    assert (await phone.inbound(ME, ANN, "early")).queued
    async with wire_page(simulator.url) as page:
        await page.link(phone, ME)
        await page.frame("msg")
        message = await phone.inbound(ME, ANN, "hi", message_id="3A77")
        assert (message.id, message.queued) == ("3A77", False)
        assert (await page.frame("msg"))["msg"]["body"] == "hi"
        await page.send("recv", id="3A77", chat=ANN)

        async def confirmed() -> bool:
            return (await phone.traffic(ME)).waiting == 1

        await eventually(confirmed, within_s=5)
        traffic = await phone.traffic(ME)
        assert traffic.count == 2
        assert traffic.last_at is not None


async def test_a_dropped_page_loses_its_socket_at_once(simulator: SimulatorServer, phone: SimulatedPhone) -> None:
    async with wire_page(simulator.url) as page, wire_page(simulator.url) as other:
        await page.link(phone, ME)
        assert await phone.drop(ME) == 1
        assert (await phone.inbound(ME, ANN, "hi")).queued
        await page.lost()
        await other.send("hello")
        await other.frame("ref")
        assert await phone.drop(everybody=True) == 1
        await other.lost()


async def test_people_type_and_read(simulator: SimulatorServer, phone: SimulatedPhone) -> None:
    async with wire_page(simulator.url) as page:
        await page.link(phone, ME)
        await phone.chatstate(ME, ANN, "composing")
        assert await page.frame("chatstate") == {"t": "chatstate", "chat": ANN, "state": "composing"}
        await phone.receipt(ME, "played", ["3EB0AA", "3EB0AB"], ANN)
        receipt = await page.frame("receipt")
        assert (receipt["type"], receipt["id"], receipt["ids"]) == ("played", "3EB0AA", ["3EB0AA", "3EB0AB"])
        await page.send("chatstate", chat=ANN, state="paused")

        async def noted() -> list[dict[str, Any]]:
            events: list[dict[str, Any]] = (await phone.state())["events"]
            return [event for event in events if event["t"] == "chatstate" and event["wid"] == ME]

        assert (await eventually(noted, within_s=5))[0]["state"] == "paused"


async def test_a_person_joins_once(phone: SimulatedPhone) -> None:
    joined = await phone.user("5511977776666@c.us", "Zoe")
    assert joined["name"] == "Zoe"
    assert await phone.user("5511977776666@c.us", "Other") == joined


async def test_a_file_for_a_message_can_be_fetched(simulator: SimulatorServer, phone: SimulatedPhone) -> None:
    file = await phone.media(base64.b64encode(b"hello").decode(), "image/jpeg")
    assert (file["size"], file["filehash"]) == (5, "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=")
    async with aiohttp.ClientSession() as http, http.get(simulator.url + file["directPath"]) as response:
        assert (await response.read(), response.content_type) == (b"hello", "image/jpeg")


async def test_settings_and_knobs_are_answered_whole(phone: SimulatedPhone) -> None:
    assert (await phone.cfg(qr_ttl=3))["qr_ttl"] == 3
    calm = dict.fromkeys(("drop_before_accept", "no_ack", "nack", "upload", "upload_hang"), False)
    assert await phone.fail(nack=True) == {**calm, "nack": True}
    assert (await phone.fail(wid=ME, upload=True))["nack"] is False
    state = await phone.state()
    assert (state["settings"]["qr_ttl"], state["fail"]["nack"]) == (3, True)


@pytest.mark.parametrize(("operation", "body"), NOT_CONNECTED)
async def test_what_needs_a_page_says_that_none_is_there(
    simulator: SimulatorServer, operation: str, body: dict[str, object]
) -> None:
    status, answer = await post(simulator, operation, body)
    assert (status, answer["ok"], answer["error"]["code"]) == (409, False, "not_connected")
    assert ME in answer["error"]["message"]


@pytest.mark.parametrize(
    ("operation", "body", "word"),
    [
        ("scan", {"qr": "2@x"}, "wid"),
        ("scan", {"qr": "2@x", "wid": "not a number"}, "wid"),
        ("inbound", {"to": ME, "from": ANN, "text": "hi"}, "text"),
        ("inbound", {"to": ME, "from": "5511990000001@lid"}, "from"),
        ("media", {"b64": "%%%", "mimetype": "image/png"}, "b64"),
        ("receipt", {"wid": ME, "type": "seen", "ids": ["a"], "from": ANN}, "type"),
        ("drop", {}, "all"),
        ("wedge", {"wid": ME, "ms": 0}, "ms"),
        ("fail", {"nak": True}, "nak"),
        ("cfg", {"qr_tll": 5}, "qr_tll"),
        ("user", [1], "object"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_with_the_fields_name(
    simulator: SimulatorServer, operation: str, body: object, word: str
) -> None:
    before = simulator.service.settings
    status, answer = await post(simulator, operation, body)
    assert (status, answer["error"]["code"]) == (400, "invalid_request")
    assert word in answer["error"]["message"]
    assert simulator.service.settings == before


async def test_what_is_no_json_or_no_operation_is_refused_by_name(simulator: SimulatorServer) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{simulator.url}/ctl/scan", data=b"{") as response:
            assert (response.status, (await response.json())["error"]["code"]) == (400, "invalid_request")
        async with http.get(f"{simulator.url}/ctl/sent?since=-1") as response:
            assert (response.status, (await response.json())["error"]["code"]) == (400, "invalid_request")
    status, answer = await post(simulator, "frob", {})
    assert (status, answer["error"]["code"]) == (404, "unknown_operation")
    assert "scan" in answer["error"]["message"]
