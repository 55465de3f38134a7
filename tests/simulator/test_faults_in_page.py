"""Every fault that the simulator can put on a page, as the unmodified bundle shows it.

The tests share one browser; each begins with a page that is linked and ready (`ready_page`) and may leave it in ruins.
"""

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from simulator.client import SimulatedPhone, SimulatorRefusedError
from simulator.server import SimulatorServer
from tests.simulator.bundle_page import BundlePage
from tests.support.browsers import browser
from tests.support.simulator import QUICK
from tests.support.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

ANN = "5511990000001@c.us"
SOCKET = "[WPP.whatsapp.Socket.state, WPP.whatsapp.Stream.mode]"
_NUMBERS = count(5511988880000)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def simulator() -> AsyncIterator[SimulatorServer]:
    async with SimulatorServer(QUICK) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def phone(simulator: SimulatorServer) -> AsyncIterator[SimulatedPhone]:
    async with SimulatedPhone(simulator.url) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def page(simulator: SimulatorServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BundlePage]:
    async with async_playwright() as playwright:
        page = BundlePage(playwright, browser(), tmp_path_factory.mktemp("profile"), simulator.url)
        await page.open()
        yield page
        await page.close()


@pytest_asyncio.fixture(loop_scope="module")
async def me(page: BundlePage, phone: SimulatedPhone) -> str:
    """The account of the page, which is linked (anew, if it is not) and ready."""
    if not await page.js("WPP.conn.isRegistered()"):
        await page.link(phone, f"{next(_NUMBERS)}@c.us")
    await page.ready()
    wid: str = await page.js("WPP.conn.getMyUserId()._serialized")
    return wid


async def test_a_deaf_page_works_but_hears_nothing_until_it_is_reloaded(
    page: BundlePage, phone: SimulatedPhone, me: str
) -> None:
    await phone.deaf(me)
    start = page.mark()
    unheard = await phone.inbound(me, ANN, "can you hear me?")
    assert (await page.js(f"WPP.chat.sendTextMessage('{ANN}', 'I can talk')"))["ack"] in {1, 2, 3}
    assert await page.js(SOCKET) == ["CONNECTED", "MAIN"]
    assert unheard.id not in str(page.since(start, "chat.new_message"))
    traffic = await phone.traffic(me)
    assert (traffic.count, traffic.waiting) == (1, 1)
    await page.reload()
    # No event: the page has taken it in before the bundle listens.
    await page.becomes(f"WPP.whatsapp.MsgStore.getModelsArray().some((m) => m.id.id === '{unheard.id}')")

    async def confirmed() -> bool:
        return (await phone.traffic(me)).waiting == 0

    await eventually(confirmed, within_s=5)


async def test_a_wedged_page_answers_nothing_while_it_is_wedged(
    page: BundlePage, phone: SimulatedPhone, me: str
) -> None:
    async def wedged() -> bool:
        try:
            await page.js("1", within_s=0.3)
        except TimeoutError:
            return True
        return False

    await phone.wedge(me, 1_200)
    await eventually(wedged, within_s=1)
    assert await page.js("1", within_s=10) == 1
    await page.ready()


async def test_new_terms_block_the_page_until_they_are_accepted(
    page: BundlePage, phone: SimulatedPhone, me: str
) -> None:
    await phone.tos(me)
    await page.becomes("WPP.whatsapp.Stream.mode === 'TOS_BLOCK'")
    assert await page.js(SOCKET) == ["TOS_BLOCK", "TOS_BLOCK"]
    assert await page.js("WPP.conn.isRegistered()") is True
    await page.reload()
    await page.becomes("WPP.whatsapp.Stream.mode === 'TOS_BLOCK'")
    await phone.tos(me, on=False)
    await page.ready()


async def test_a_temporary_ban_keeps_the_login_and_ends_by_itself(
    page: BundlePage, phone: SimulatedPhone, me: str
) -> None:
    start = page.mark()
    await phone.ban(me, "temp_banned", expire_s=1)
    told = await page.event("conn.backend_event", lambda args: args[0] == "account_temporarily_banned", since=start)
    assert (told[1]["banned"], told[1]["expire"]) == (True, 1)
    assert await page.js("WPP.conn.isRegistered()") is True
    await page.ready()


async def test_a_ban_logs_the_page_out_and_lets_it_not_in_again(
    page: BundlePage, phone: SimulatedPhone, me: str
) -> None:
    start = page.mark()
    await phone.ban(me)
    await page.event("conn.logout", since=start)
    assert page.since(start, "conn.logout_reason") == [["banned"]]
    await page.page.wait_for_url("**/?post_logout=1&logout_reason=3")
    await page.bundle_ready()
    with pytest.raises(SimulatorRefusedError, match="account_banned"):
        await phone.scan(await page.code(), me)
    assert await page.page.locator("#ban-banner").is_visible()


async def test_a_page_whose_storage_is_lost_shows_a_code_though_the_phone_knows_its_device(
    page: BundlePage, phone: SimulatedPhone, me: str
) -> None:
    start = page.mark()
    await phone.storage_loss(me)
    await page.event("loader.full_ready", since=start)
    assert await page.code()
    assert await page.js("WPP.conn.isRegistered()") is False
    assert page.since(start, "conn.logout") == []


async def test_a_storage_error_costs_the_login(page: BundlePage, phone: SimulatedPhone, me: str) -> None:
    start = page.mark()
    await phone.storage_error(me)
    await page.event("conn.backend_event", lambda args: args[0] == "storage_initialization_error", since=start)
    await page.page.wait_for_url("**/?post_logout=1&logout_reason=0")
    await page.bundle_ready()
    assert await page.code()


async def test_denied_persistent_storage_costs_the_login(
    page: BundlePage, phone: SimulatedPhone, simulator: SimulatorServer, me: str
) -> None:
    assert me
    await phone.cfg(require_persist=True)
    await page.page.goto(simulator.url)
    await page.page.wait_for_url("**/?post_logout=1&logout_reason=0")
    await phone.cfg(require_persist=False)
    await page.page.goto(simulator.url)
    await page.bundle_ready()
    assert await page.js("WPP.conn.isRegistered()") is False


async def test_a_page_that_was_granted_persistent_storage_keeps_its_login(
    page: BundlePage, phone: SimulatedPhone, simulator: SimulatorServer, me: str
) -> None:
    session = await page.context.new_cdp_session(page.page)
    permission = {"name": "persistent-storage"}
    await session.send(
        "Browser.setPermission", {"permission": permission, "setting": "granted", "origin": simulator.url}
    )
    await phone.cfg(require_persist=True)
    await page.reload()
    await page.ready()
    await phone.cfg(require_persist=False)
    assert await page.js("WPP.conn.getMyUserId()._serialized") == me


async def test_a_slow_first_sync_is_seen_as_syncing(page: BundlePage, phone: SimulatedPhone, me: str) -> None:
    assert me
    await phone.cfg(sync_ms=600_000)
    await page.reload()
    await page.becomes("WPP.whatsapp.Socket.state === 'CONNECTED'")
    assert await page.js("[WPP.whatsapp.Stream.mode, !!WPP.whatsapp.Socket.hasSynced]") == ["SYNCING", False]
    await phone.cfg(sync_ms=50)
    await page.reload()
    await page.ready()


async def test_a_lost_ack_leaves_the_send_open_and_the_truth_with_one_message(
    page: BundlePage, phone: SimulatedPhone, me: str
) -> None:
    before = len(await phone.sent())
    await phone.fail(wid=me, no_ack=True)
    sending = asyncio.create_task(page.js(f"WPP.chat.sendTextMessage('{ANN}', 'no ack')", within_s=20))
    await eventually(lambda: phone.sent(before), within_s=5)
    assert not sending.done()
    await phone.fail(wid=me, no_ack=False)
    await phone.drop(me)
    assert (await sending)["ack"] in {1, 2, 3}
    assert [entry.dup for entry in await phone.sent(before)] == [False, True]


async def test_a_page_is_linked_by_the_code_that_a_person_types(page: BundlePage, phone: SimulatedPhone) -> None:
    number = next(_NUMBERS)
    if await page.js("WPP.conn.isRegistered()"):
        await phone.unlink(await page.js("WPP.conn.getMyUserId()._serialized"))
        await page.page.wait_for_url("**/?post_logout=1**")
        await page.bundle_ready()
    await page.code()
    code = await page.js(f"WPP.conn.genLinkDeviceCodeForPhoneNumber('{number}')")
    await phone.code(code)
    await page.ready()
    assert await page.js("WPP.conn.getMyUserId()._serialized") == f"{number}@c.us"


async def test_on_a_lid_account_a_chat_has_the_lid_in_both_directions(
    page: BundlePage, phone: SimulatedPhone, me: str
) -> None:
    await phone.cfg(lid_chats=True)
    await page.reload()
    await page.ready()
    ann = (await phone.user(ANN))["lid"]
    start = page.mark()
    assert (await page.js(f"WPP.chat.find('{ANN}').then((chat) => chat.id._serialized)")) == ann
    await page.js(f"WPP.chat.sendTextMessage('{ANN}', 'by lid')")
    assert (await phone.sent())[-1].remote == ann
    message = await phone.inbound(me, ANN, "back")
    assert (await page.message(message.id, since=start))["from"] == ann
    await phone.cfg(lid_chats=False)
    await page.reload()
