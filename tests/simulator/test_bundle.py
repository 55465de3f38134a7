"""The unmodified wa-js bundle on our page: every check that the prototype passed, on each browser of this machine.

The tests of one browser run in order and share one linked page: launching and linking costs seconds.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from simulator.client import SentMessage, SimulatedPhone
from simulator.server import SimulatorServer
from tests.simulator.bundle_page import BundlePage
from tests.support.browsers import browsers
from tests.support.simulator import QUICK
from tests.support.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

ME = "5511988887777@c.us"
ANN = "5511990000001@c.us"
BOB = "5511990000002@c.us"
EVE = "5511990000003@c.us"
STRANGER = "5511977776666@c.us"
NOBODY = "5511000000000@c.us"
FIXED = f"true_{ANN}_3EB0CAFE0000000000000A"
PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
BROWSERS = browsers()


@pytest.fixture(scope="module", params=BROWSERS)
def browser(request: pytest.FixtureRequest) -> Path:
    return BROWSERS[request.param]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def simulator(browser: Path) -> AsyncIterator[SimulatorServer]:
    """A world of its own for each browser."""
    del browser
    async with SimulatorServer(QUICK) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def phone(simulator: SimulatorServer) -> AsyncIterator[SimulatedPhone]:
    async with SimulatedPhone(simulator.url) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def page(
    simulator: SimulatorServer, browser: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BundlePage]:
    """A page that shows a QR code."""
    async with async_playwright() as playwright:
        page = BundlePage(playwright, browser, tmp_path_factory.mktemp("profile"), simulator.url)
        await page.open()
        yield page
        await page.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def linked(page: BundlePage, phone: SimulatedPhone) -> BundlePage:
    """The same page, linked and ready."""
    if not await page.js("WPP.conn.isRegistered()"):
        await page.link(phone, ME)
    return page


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def group(linked: BundlePage) -> str:
    """A group of the linked account with Ann and Bob."""
    created = await linked.js(f"WPP.group.create('Tea', ['{ANN}', '{BOB}'])")
    assert set(created["participants"]) == {ANN, BOB}
    gid: str = created["gid"]["_serialized"]
    return gid


async def sent_as(phone: SimulatedPhone, bare_id: str, *, since: int = 0) -> list[SentMessage]:
    return [entry for entry in await phone.sent(since) if entry.id == bare_id]


async def last_sent(phone: SimulatedPhone) -> SentMessage:
    return (await phone.sent())[-1]


async def send_text(page: BundlePage, to: str, text: str, options: str = "{}") -> dict[str, Any]:
    result = await page.js(f"WPP.chat.sendTextMessage('{to}', '{text}', {options})")
    assert isinstance(result, dict)
    return result


async def test_codes_follow_each_other_until_a_person_is_needed(page: BundlePage, phone: SimulatedPhone) -> None:
    assert await page.js("WPP.isReady") is True
    await phone.cfg(qr_first=0.5, qr_ttl=0.3, qr_count=3)
    start = page.mark()
    await page.js("WPP.conn.refreshQR()")
    codes = {
        (await page.event("conn.auth_code_change", lambda args: bool(args[0]), since=start))[0]["fullCode"],
        (await page.js("WPP.conn.getAuthCode()"))["fullCode"],
    }
    await page.event(
        "conn.auth_code_change", lambda args: bool(args[0]) and args[0]["fullCode"] not in codes, since=start
    )
    await page.event("conn.qrcode_idle", since=start)
    assert await page.js("WPP.conn.getAuthCode()") is None
    await phone.cfg(qr_first=20, qr_ttl=20, qr_count=6)
    assert (await page.js("WPP.conn.refreshQR()"))["ref"]


async def test_a_link_code_can_be_asked_for(page: BundlePage) -> None:
    plain = await page.js("WPP.conn.genLinkDeviceCodeForPhoneNumber('5511988887777')")
    managed = await page.js("WPP.conn.startLinkDeviceCodeForPhoneNumber('5511988887777')")
    assert (len(plain), len(managed)) == (8, 8)
    assert plain != managed


async def test_main_ready_is_true_at_the_qr_code_already(page: BundlePage) -> None:
    await page.event("conn.main_ready")
    assert await page.js("WPP.conn.isMainReady()") is True
    assert await page.js("WPP.conn.isRegistered()") is False


async def test_a_scan_links_the_page(page: BundlePage, phone: SimulatedPhone) -> None:
    start = page.mark()
    await phone.scan(await page.code(), ME)
    await page.event("conn.authenticated", since=start)
    await page.event("conn.stream_mode_changed", lambda args: args[0] == "MAIN", since=start)
    await page.ready()
    assert page.since(start, "conn.main_ready") == []
    account = await phone.user(ME)
    facts = (
        "[WPP.conn.isAuthenticated(), WPP.conn.isRegistered(), WPP.conn.isMainLoaded(), WPP.conn.isMainReady(),"
        " WPP.conn.getMyUserId()._serialized, WPP.conn.getMyUserLid()._serialized]"
    )
    assert await page.js(facts) == [True, True, True, True, ME, account["lid"]]


async def test_a_text_arrives_once_and_is_acked(linked: BundlePage, phone: SimulatedPhone) -> None:
    result = await send_text(linked, ANN, "hello", "{createChat: true}")
    # From the server on: on a busy machine the receipt of the recipient is there as well.
    assert result["ack"] in {1, 2, 3}
    assert result["to"] == ANN
    entry = await last_sent(phone)
    assert (entry.wid, entry.remote, entry.body, entry.dup) == (ME, ANN, "hello", False)
    assert result["id"] == f"true_{ANN}_{entry.id}"


async def test_a_text_keeps_the_id_that_it_is_given(linked: BundlePage, phone: SimulatedPhone) -> None:
    start, before = linked.mark(), len(await phone.sent())
    options = f"{{messageId: '{FIXED}'}}"
    assert (await send_text(linked, ANN, "fixed id", options))["id"] == FIXED
    found = await linked.js(f"WPP.chat.getMessageById('{FIXED}').then((m) => [m.body, m.ack >= 1])")
    assert found == ["fixed id", True]
    await send_text(linked, ANN, "fixed id", options)
    assert [entry.dup for entry in await sent_as(phone, FIXED[-22:], since=before)] == [False, True]

    def acked_as_read(args: list[Any]) -> bool:
        return args[0]["ack"] == 3 and any("CAFE" in str(key) for key in args[0]["ids"])

    await linked.event("chat.msg_ack_change", acked_as_read, since=start)
    acks = [args[0]["ack"] for args in linked.since(start, "chat.msg_ack_change") if "CAFE" in str(args[0]["ids"])]
    assert acks == [1, 2, 3]
    assert await linked.js(f"WPP.chat.getMessageById('{FIXED}').then((m) => m.ack)") == 3


async def test_an_id_that_is_unknown_or_of_another_chat_is_refused(linked: BundlePage) -> None:
    code = await linked.js(f"WPP.chat.getMessageById('true_{ANN}_3EB0NOPE').catch((error) => error.code)")
    assert code == "msg_not_found"
    other = f"WPP.chat.sendTextMessage('{ANN}', 'x', {{messageId: 'true_{BOB}_3EB0AA'}}).catch((error) => error.code)"
    assert await linked.js(other) == "message_key_remote_id_is_not_same_of_chat"


async def test_whether_a_number_exists_is_asked_of_the_service(linked: BundlePage) -> None:
    query = "WPP.contact.queryExists('{}').then((found) => found && [found.wid._serialized, found.biz])"
    assert await linked.js(query.format("5511990000099@c.us")) == ["5511990000099@c.us", False]
    assert await linked.js(query.format(NOBODY)) is None


async def test_a_text_to_somebody_who_is_no_contact_makes_the_chat(linked: BundlePage, phone: SimulatedPhone) -> None:
    result = await send_text(linked, "5511990000150@c.us", "to a number that is no contact")
    assert result["id"].startswith("true_5511990000150@c.us_")
    assert (await last_sent(phone)).remote == "5511990000150@c.us"


async def test_a_group_is_created_changed_and_listed(linked: BundlePage, group: str) -> None:
    async def member_count(expected: int) -> bool:
        # The page learns of a change by a notice of its own, some time after the call's answer.
        found: int = await linked.js(f"WPP.group.getParticipants('{group}').then((all) => all.length)")
        return found == expected

    members = await linked.js(
        f"WPP.group.getParticipants('{group}').then((all) => all.map((p) => [p.id._serialized, !!p.isAdmin]))"
    )
    assert members == [[ME, True], [ANN, False], [BOB, False]]
    start = linked.mark()
    added = await linked.js(f"WPP.group.addParticipants('{group}', ['{EVE}', '{NOBODY}'])")
    assert (added[EVE]["code"], added[NOBODY]["code"]) == (200, 404)
    [change] = await linked.event("group.participant_changed", since=start)
    assert (change["groupId"], change["operation"], change["participants"]) == (group, "add", [EVE])
    await eventually(lambda: member_count(4), within_s=5)
    await linked.js(f"WPP.group.removeParticipants('{group}', ['{EVE}'])")
    await eventually(lambda: member_count(3), within_s=5)
    assert await linked.js("WPP.group.getAllGroups().then((all) => all.length)") == 1


async def test_a_text_to_a_group_keeps_the_id_that_it_is_given(
    linked: BundlePage, group: str, phone: SimulatedPhone
) -> None:
    key = (await send_text(linked, group, "hi group"))["id"]
    _, _, bare, me = key.split("_")
    assert me == (await phone.user(ME))["lid"]
    fixed = key.replace(bare, "3EB0BEEF00000000000000")
    assert (await send_text(linked, group, "hi again", f"{{messageId: '{fixed}'}}"))["id"] == fixed
    entry = await last_sent(phone)
    assert (entry.id, entry.remote, entry.body) == ("3EB0BEEF00000000000000", group, "hi again")


async def test_files_arrive_with_caption_and_given_id(linked: BundlePage, group: str, phone: SimulatedPhone) -> None:
    image = f"true_{ANN}_3EB0F11E00000000000000"
    options = f"{{type: 'image', caption: 'cap', filename: 'a.png', messageId: '{image}'}}"
    assert (await linked.js(f"WPP.chat.sendFileMessage('{ANN}', '{PIXEL}', {options})"))["id"] == image
    entry = await last_sent(phone)
    assert (entry.id, entry.type, entry.caption) == ("3EB0F11E00000000000000", "image", "cap")
    file = "new File([new Uint8Array(3000000)], 'b.pdf', {type: 'application/pdf'})"
    await linked.js(f"WPP.chat.sendFileMessage('{group}', {file}, {{type: 'document', caption: 'doc'}})")
    entry = await last_sent(phone)
    assert (entry.remote, entry.type, entry.caption) == (group, "document", "doc")


async def test_a_refused_upload_resolves_as_failed(linked: BundlePage, phone: SimulatedPhone) -> None:
    before = len(await phone.sent())
    await phone.fail(wid=ME, upload=True)
    result = await linked.js(
        f"WPP.chat.sendFileMessage('{ANN}', '{PIXEL}', {{type: 'image'}})"
        ".then(async (sent) => [sent.ack, (await sent.sendMsgResult).messageSendResult])"
    )
    await phone.fail(wid=ME, upload=False)
    assert result == [-1, "ERROR_UPLOAD"]
    assert len(await phone.sent()) == before


async def test_a_refused_text_resolves_as_failed(linked: BundlePage, phone: SimulatedPhone) -> None:
    await phone.fail(wid=ME, nack=True)
    result = await send_text(linked, ANN, "refused")
    await phone.fail(wid=ME, nack=False)
    assert result["ack"] == -1


async def test_a_location_arrives_with_its_place(linked: BundlePage, phone: SimulatedPhone) -> None:
    place = "{lat: '-23.5', lng: -46.6, name: 'n', address: 'a', url: 'http://x'}"
    await linked.js(f"WPP.chat.sendLocationMessage('{ANN}', {place})")
    entry = await last_sent(phone)
    assert (entry.type, entry.lat, entry.loc) == ("location", -23.5, "n\na")


async def test_messages_of_contacts_groups_and_strangers_come_in(
    linked: BundlePage, group: str, phone: SimulatedPhone
) -> None:
    start = linked.mark()
    direct = await phone.inbound(ME, BOB, "yo")
    message = await linked.message(direct.id, since=start)
    assert (message["body"], message["from"]) == ("yo", BOB)
    grouped = await phone.inbound(ME, BOB, "in the group", group=group)
    assert (await linked.message(grouped.id, since=start))["msg"] == f"false_{group}_{grouped.id}_{BOB}"
    strange = await phone.inbound(ME, STRANGER, "who?")
    assert (await linked.message(strange.id, since=start))["from"] == STRANGER

    async def all_confirmed() -> bool:
        return (await phone.traffic(ME)).waiting == 0

    await eventually(all_confirmed, within_s=5)


async def test_a_file_that_came_in_can_be_downloaded(linked: BundlePage, phone: SimulatedPhone) -> None:
    start = linked.mark()
    file = await phone.media(base64.b64encode(b"hello world").decode(), "image/jpeg")
    picture = await phone.inbound(ME, BOB, "", kind="image", extra={**file, "caption": "pic"})
    key = (await linked.message(picture.id, since=start))["msg"]
    assert await linked.js(f"WPP.chat.downloadMedia('{key}').then((blob) => blob.text())") == "hello world"


async def test_typing_is_told_both_ways(linked: BundlePage, phone: SimulatedPhone) -> None:
    await linked.js(f"WPP.chat.markIsComposing('{ANN}', 50)")

    async def told() -> bool:
        events = (await phone.state())["events"]
        return any(event["t"] == "chatstate" and event["state"] == "composing" for event in events)

    await eventually(told, within_s=5)
    start = linked.mark()
    await phone.chatstate(ME, ANN, "composing")
    [change] = await linked.event("chat.presence_change", since=start)
    assert (change["id"], change["state"]) == (ANN, "composing")


async def test_a_lost_socket_comes_back_by_itself_and_the_mode_never_shows_it(
    linked: BundlePage, phone: SimulatedPhone
) -> None:
    start = linked.mark()
    await phone.drop(ME)
    await linked.event("conn.stream_info_changed", lambda args: args[0] == "OPENING", since=start)
    await linked.event("conn.stream_info_changed", lambda args: args[0] == "NORMAL", since=start)
    assert linked.since(start, "conn.stream_mode_changed") == []
    await linked.ready()


async def test_a_send_while_offline_waits_and_completes_once_online(linked: BundlePage, phone: SimulatedPhone) -> None:
    start = linked.mark()
    await linked.context.set_offline(True)
    try:
        await linked.event("conn.online", lambda args: args[0] is False, since=start)
        await linked.becomes("WPP.whatsapp.Socket.state === 'OPENING' && WPP.whatsapp.Stream.info === 'OFFLINE'")
        assert await linked.js("WPP.whatsapp.Stream.mode") == "MAIN"
        sending = asyncio.create_task(send_text(linked, ANN, "while offline"))
        await linked.becomes("WPP.whatsapp.MsgStore.getModelsArray().some((m) => m.body === 'while offline')")
        assert not sending.done()
        assert (await last_sent(phone)).body != "while offline"
    finally:
        await linked.context.set_offline(False)
    assert (await sending)["ack"] in {1, 2, 3}
    assert (await last_sent(phone)).body == "while offline"
    await linked.ready()


async def test_another_browser_is_a_conflict_until_this_one_takes_over(
    linked: BundlePage, phone: SimulatedPhone
) -> None:
    start = linked.mark()
    await phone.conflict(ME)
    await linked.event("conn.stream_mode_changed", lambda args: args[0] == "CONFLICT", since=start)
    assert await linked.js("WPP.whatsapp.Socket.state") == "CONFLICT"
    start = linked.mark()
    await linked.js("WPP.whatsapp.Socket.takeover()")
    await linked.event("conn.backend_event", lambda args: args == ["set_socket_state", "CONNECTED"], since=start)
    await linked.ready()


async def test_a_reload_and_a_new_browser_keep_login_and_messages(linked: BundlePage) -> None:
    lookup = f"WPP.chat.find('{ANN}').then(() => WPP.chat.getMessageById('{FIXED}')).then((m) => [m.body, m.ack])"
    for again in (linked.reload, linked.restart):
        start = linked.mark()
        await again()
        await linked.ready()
        assert await linked.js("WPP.conn.isAuthenticated()") is True
        assert linked.since(start, "conn.authenticated") == []
        assert await linked.js(lookup) == ["fixed id", 3]


async def test_a_page_that_the_phone_removes_logs_out_and_shows_a_code_again(
    linked: BundlePage, phone: SimulatedPhone
) -> None:
    start = linked.mark()
    await phone.unlink(ME)
    await linked.event("conn.logout", since=start)
    assert linked.since(start, "conn.logout_reason") == [["device_removed"]]
    await linked.page.wait_for_url("**/?post_logout=1**")
    await linked.bundle_ready()
    assert (await linked.code()).startswith("2@")
    assert await linked.js("WPP.conn.isRegistered()") is False
    assert linked.errors == []
