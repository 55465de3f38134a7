"""Sends with fixed ids, refusals, doubts and lookups, all on one linked page; the truth is what the server accepted."""

import asyncio
import base64
from itertools import count

import pytest

from actors.browser import process
from actors.core.facts import AckChanged, ConnectionLost, SendStranded, Synced
from actors.errors import PageCrashed, PageUnresponsive, RecipientNotFound, SendFailed
from actors.messages.jobs import Content, LocationContent, MediaContent, TextContent
from actors.messages.replies import ScreenshotReply
from actors.ports import Chat, Found, Sent
from gateway.replies import render
from simulator.client import SentMessage, SimulatedPhone
from simulator.server import SimulatorServer
from tests.browser.watching import ANN, BOB, ME, NOBODY, Session, configured, failing
from tests.support.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PNG = base64.b64encode(
    bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6364f85f0f00"
                  "0287018 0eb47ba920000000049454e44ae426082".replace(" ", ""))
).decode()  # fmt: skip
TABLE = MediaContent(data=base64.b64encode(b"a,b\n1,2\n").decode(), filename="table.csv", mimetype="text/csv")
ACK_READ = 3
_IDS = count(1)


def bare_id() -> str:
    return f"3EB0{next(_IDS):018X}"


async def accepted(phone: SimulatedPhone, bare: str) -> list[SentMessage]:
    return [one for one in await phone.sent() if one.id == bare]


async def acks_in(session: Session, chat_id: str) -> list[AckChanged]:
    """The acks of a chat until the first message of it was read."""
    acks: list[AckChanged] = []
    while not acks or acks[-1].ack < ACK_READ:
        acks += [ack for ack in [await session.watched.next(AckChanged)] if ack.chat_id == chat_id]
    return acks


async def send(session: Session, chat: Chat, content: Content, bare: str, timeout_s: float = 5.0) -> Sent:
    prepared = await session.page.prepare(content)
    try:
        return await session.page.send(prepared, chat, chat.full_key(bare), timeout_s=timeout_s)
    finally:
        await session.page.discard(prepared)


async def test_a_text_is_sent_under_the_id_it_was_given(linked: Session, phone: SimulatedPhone) -> None:
    chat = await linked.page.resolve(ANN)
    bare = bare_id()
    linked.watched.skip()
    sent = await send(linked, chat, TextContent(message="Hello *Ann* @551199 https://example.com/x"), bare)
    assert (sent.message_id, sent.error) == (f"true_{ANN}_{bare}", None)
    truth = await accepted(phone, bare)
    assert [(one.remote, one.body, one.dup) for one in truth] == [
        (ANN, "Hello *Ann* @551199 https://example.com/x", False)
    ]
    acks = await acks_in(linked, ANN)
    assert [ack.ack for ack in acks] == [1, 2, 3]
    assert {ack.message_ids for ack in acks} == {(sent.message_id,)}


async def test_a_reply_quotes_the_message_it_answers(linked: Session, phone: SimulatedPhone) -> None:
    chat = await linked.page.resolve(BOB)
    inbound = await phone.inbound(ME, BOB, "a question")
    quoted = f"false_{BOB}_{inbound.id}"
    await eventually(lambda: linked.page.lookup(quoted, inbound.id, BOB), within_s=5)
    bare = bare_id()
    assert (await send(linked, chat, TextContent(message="an answer", reply_to=quoted), bare)).ack >= 1
    unknown = TextContent(message="to nothing", reply_to=f"false_{BOB}_3EB000")
    with pytest.raises(SendFailed) as refused:
        await send(linked, chat, unknown, bare := bare_id())
    assert refused.value.details["code"] == "msg_not_found"
    assert await accepted(phone, bare) == []


async def test_a_location_carries_place_and_description(linked: Session, phone: SimulatedPhone) -> None:
    chat = await linked.page.resolve(ANN)
    bare = bare_id()
    place = LocationContent(latitude=-6.175, longitude=106.8272, description="Monas")
    assert (await send(linked, chat, place, bare)).ack >= 1
    [truth] = await accepted(phone, bare)
    assert (truth.type, truth.lat, truth.lng, truth.loc) == ("location", -6.175, 106.8272, "Monas")


@pytest.mark.parametrize(
    ("content", "type_"),
    [
        (MediaContent(data=PNG, caption="a dot", filename="dot.png"), "image"),
        (TABLE, "document"),
        (MediaContent(data=PNG, media_kind="document"), "document"),
        (MediaContent(data=base64.b64encode(b"OggS" + bytes(60)).decode(), media_kind="voice"), "ptt"),
    ],
    ids=["picture", "table", "picture as document", "voice"],
)  # fmt: skip
async def test_a_file_goes_as_what_it_is(
    linked: Session, phone: SimulatedPhone, content: MediaContent, type_: str
) -> None:
    chat = await linked.page.resolve(ANN)
    bare = bare_id()
    sent = await send(linked, chat, content, bare)
    assert sent.message_id == f"true_{ANN}_{bare}"
    assert sent.ack >= 1
    [truth] = await accepted(phone, bare)
    assert (truth.type, truth.caption) == (type_, content.caption)


async def test_a_group_message_ends_with_the_own_id(linked: Session, phone: SimulatedPhone) -> None:
    created = await linked.page._calls.page.evaluate(
        "(members) => WPP.group.create('Group', members).then((made) => made.gid._serialized)", [ANN, BOB]
    )
    chat = await linked.page.resolve(created)
    assert chat.own_id is not None
    bare = bare_id()
    linked.watched.skip()
    sent = await send(linked, chat, TextContent(message="all"), bare)
    assert sent.message_id == f"true_{created}_{bare}_{chat.own_id}"
    assert sent.ack >= 1
    read = [ack for ack in await acks_in(linked, created) if ack.ack == ACK_READ]
    assert read[0].message_ids == (sent.message_id,), "a member's receipt names the message by the member"
    found = await linked.page.lookup(chat.full_key(bare), bare, created)
    assert found is not None
    assert found.ack >= 1
    other_key = f"true_{created}_{bare}_1@lid"
    assert await linked.page.lookup(other_key, bare, created) is not None, "own ids are tried behind the recorded key"
    with pytest.raises(RecipientNotFound):
        await linked.page.resolve("120363000000000000@g.us")


async def test_a_refusal_is_an_answer(linked: Session, phone: SimulatedPhone) -> None:
    chat = await linked.page.resolve(ANN)
    async with failing(phone, "nack"):
        refused = await send(linked, chat, TextContent(message="no"), bare_id())
    async with failing(phone, "upload"):
        not_uploaded = await send(linked, chat, MediaContent(data=PNG), bare_id())
    assert (refused.ack, refused.error) == (-1, "ERROR_UNKNOWN")
    assert (not_uploaded.ack, not_uploaded.error) == (-1, "ERROR_UPLOAD")


async def test_a_file_whose_upload_hangs_is_given_up_and_sent_under_its_id_by_the_next_page(
    linked: Session, phone: SimulatedPhone
) -> None:
    """wa-js sets its media sends no deadline, and its page goes on with them for ever."""
    chat = await linked.page.resolve(ANN)
    bare = bare_id()
    async with failing(phone, "upload_hang"):
        with pytest.raises(PageUnresponsive, match="sendFile"):
            await send(linked, chat, TABLE, bare, timeout_s=2.0)
    linked.watched.skip()
    await linked.page.reload()
    await linked.watched.next(Synced)
    found = await linked.page.lookup(chat.full_key(bare), bare, ANN)
    assert found is None or found.ack == 0
    assert await accepted(phone, bare) == []
    chat = await linked.page.resolve(ANN)
    again = await linked.page.prepare(TABLE)
    sending = asyncio.create_task(linked.page.send(again, chat, chat.full_key(bare), timeout_s=5.0))

    async def acked() -> bool:
        found = await linked.page.lookup(chat.full_key(bare), bare, ANN)
        return found is not None and found.ack >= 1

    await eventually(acked, within_s=5)
    sending.cancel()  # wa-js 4.6.0 does not return from a file whose id the page holds already
    await asyncio.gather(sending, return_exceptions=True)
    await linked.page.discard(again)
    assert [one.dup for one in await accepted(phone, bare)] == [False]


async def test_numbers_are_checked_and_unknown_ones_refused(linked: Session) -> None:
    with pytest.raises(RecipientNotFound, match=NOBODY):
        await linked.page.resolve(NOBODY)
    known, unknown = await linked.page.check_contacts(["+5511990000150", f"+{NOBODY.removesuffix('@c.us')}"])
    assert (known.exists, known.number, known.phone) == (True, "+5511990000150", "5511990000150@c.us")
    assert (unknown.exists, unknown.chat_id) == (False, None)


async def test_a_send_in_doubt_times_out_and_the_page_knows_its_id(linked: Session, phone: SimulatedPhone) -> None:
    chat = await linked.page.resolve(ANN)
    sent, lost, never = bare_id(), bare_id(), bare_id()
    assert (await send(linked, chat, TextContent(message="sent"), sent)).ack >= 1
    async with failing(phone, "drop_before_accept"):
        with pytest.raises(PageUnresponsive, match="sendText"):
            # Long enough for the message to leave even a slow page: nobody can see when the server drops it.
            await send(linked, chat, TextContent(message="lost"), lost, timeout_s=2.0)

    number = linked.page.page_number
    linked.watched.skip()
    await linked.page.reload()
    assert linked.page.page_number == number + 1
    with pytest.raises(PageCrashed):  # resolved in the page before: its number is not this page's
        await send(linked, chat, TextContent(message="late"), never)
    await linked.watched.next(Synced)

    found = {one: await linked.page.lookup(chat.full_key(one), one, ANN) for one in (sent, lost, never)}
    assert found[lost] == Found(chat.full_key(lost), 0)
    assert found[never] is None
    assert found[sent] is not None
    await linked.page.resolve(ANN)
    assert (await send(linked, chat, TextContent(message="lost"), lost)).ack >= 1
    assert [one.dup for one in await accepted(phone, lost)] == [False]
    assert await accepted(phone, never) == []


async def test_offline_is_neither_a_missing_number_nor_a_lost_message(linked: Session, phone: SimulatedPhone) -> None:
    chat = await linked.page.resolve(ANN)
    linked.watched.skip()
    bare = bare_id()
    await linked.page._context.set_offline(offline=True)
    try:
        await linked.watched.next(ConnectionLost)
        assert not (await linked.page.probe()).ready
        with pytest.raises(PageUnresponsive, match="resolve"):
            await linked.page.resolve("5511990000180@c.us")
        with pytest.raises(PageUnresponsive, match="sendText"):
            await send(linked, chat, TextContent(message="into the void"), bare, timeout_s=1.0)
    finally:
        await linked.page._context.set_offline(offline=False)
    await linked.watched.next(SendStranded)  # else the page would send it now, whenever that is
    assert await accepted(phone, bare) == []
    await renewed(linked)
    assert await linked.page.lookup(chat.full_key(bare), bare, ANN) == Found(chat.full_key(bare), 0)
    await linked.page.resolve(ANN)
    assert (await send(linked, chat, TextContent(message="into the void"), bare)).ack >= 1
    assert [one.dup for one in await accepted(phone, bare)] == [False]


async def test_a_page_whose_socket_is_dropped_under_a_send_gets_no_other_one_and_repeats_nothing(
    linked: Session, phone: SimulatedPhone
) -> None:
    chat, bare = await linked.page.resolve(ANN), bare_id()
    async with failing(phone, "no_ack"):
        with pytest.raises(PageUnresponsive, match="sendText"):
            await send(linked, chat, TextContent(message="once"), bare, timeout_s=0.5)
        await eventually(lambda: accepted(phone, bare), within_s=5)  # may be later than the call's end
    linked.watched.skip()
    await phone.drop(ME)
    for _ in range(3):
        await linked.watched.next(SendStranded)  # its own reconnects go on, as after any failed connection
    assert not await connected(phone)
    assert len(await accepted(phone, bare)) == 1
    await renewed(linked)
    assert await linked.page.lookup(chat.full_key(bare), bare, ANN) == Found(chat.full_key(bare), 0)
    assert len(await accepted(phone, bare)) == 1, "a fresh page has forgotten it"
    await linked.page.resolve(ANN)
    assert (await send(linked, chat, TextContent(message="once"), bare)).ack >= 1
    assert [one.dup for one in await accepted(phone, bare)] == [False, True]


async def test_a_page_without_a_send_in_flight_gets_its_socket_back(linked: Session, phone: SimulatedPhone) -> None:
    """Sent, refused, not even begun, and acked behind a deadline: none of them is in flight."""
    chat, late, number = await linked.page.resolve(ANN), bare_id(), linked.page.page_number
    assert (await send(linked, chat, TextContent(message="sent"), bare_id())).ack >= 1
    async with failing(phone, "nack"):
        assert (await send(linked, chat, TextContent(message="no"), bare_id())).ack == -1
    with pytest.raises(SendFailed):
        await send(linked, chat, TextContent(message="to nothing", reply_to=f"false_{ANN}_3EB000"), bare_id())

    async def acked() -> bool:
        found = await linked.page.lookup(chat.full_key(late), late, ANN)
        return found is not None and found.ack >= 1

    async with configured(phone, ack_ms=600):
        with pytest.raises(PageUnresponsive, match="sendText"):
            await send(linked, chat, TextContent(message="late"), late, timeout_s=0.3)
        await eventually(acked, within_s=5)
    told = len(linked.watched.of(SendStranded))
    linked.watched.skip()
    await phone.drop(ME)
    await linked.watched.next(ConnectionLost)
    await linked.watched.next(Synced)
    assert (linked.page.page_number, len(linked.watched.of(SendStranded))) == (number, told)


async def connected(phone: SimulatedPhone) -> bool:
    return any(one["wid"] == ME for one in (await phone.state())["conns"])


async def renewed(session: Session) -> None:
    """Replace the page, as a session does that is told of a stranded send."""
    session.watched.skip()
    await session.page.reload()
    await session.watched.next(Synced)


async def test_on_lid_accounts_chats_go_by_lid_and_are_found_by_both(
    linked: Session, phone: SimulatedPhone, world: SimulatorServer
) -> None:
    by_phone = bare_id()
    chat = await linked.page.resolve(BOB)
    await send(linked, chat, TextContent(message="before"), by_phone)
    async with configured(phone, lid_chats=True):
        await renewed(linked)
        lid_chat = await linked.page.resolve(BOB)
        assert (lid_chat.chat_id, lid_chat.phone) == (chat.lid, BOB)
        by_lid = bare_id()
        assert (await send(linked, lid_chat, TextContent(message="after"), by_lid)).ack >= 1
        recorded_by_phone = f"true_{BOB}_{by_lid}"
        after = await linked.page.lookup(recorded_by_phone, by_lid, BOB)
        before = await linked.page.lookup(lid_chat.full_key(by_phone), by_phone, BOB)
        assert [after and after.message_id, before and before.message_id] == [
            lid_chat.full_key(by_lid),
            chat.full_key(by_phone),
        ]
        assert await linked.page.lookup(lid_chat.full_key("3EB0AB"), "3EB0AB", BOB) is None


NOISE = """(share) => {
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width: innerWidth, height: innerHeight, id: 'noise' });
  canvas.style = 'position: fixed; inset: 0; z-index: 9999';
  const drawing = canvas.getContext('2d');
  const pixels = drawing.createImageData(canvas.width, canvas.height);
  for (let at = 0; at < pixels.data.length * share; at++) {
    pixels.data[at] = at % 4 === 3 ? 255 : Math.random() * 256;
  }
  drawing.putImageData(pixels, 0, 0);
  document.body.append(canvas);
  return [innerWidth, innerHeight];
}"""


async def test_a_screenshot_is_a_png_of_the_window_and_has_fewer_pixels_where_it_would_not_fit_into_a_reply(
    linked: Session,
) -> None:
    [page] = linked.page._context.pages
    for share, part in ((0, 1), (1, 2)):
        width, height = await page.evaluate(NOISE, share)
        picture = await linked.page.screenshot()
        assert picture.startswith(b"\x89PNG")
        assert [int.from_bytes(picture[at : at + 4]) for at in (16, 20)] == [width // part, height // part]
        assert render(ScreenshotReply(png=base64.b64encode(picture).decode())).headers is None
        await page.evaluate("document.getElementById('noise').remove()")


async def test_the_processes_of_a_page_are_named(linked: Session) -> None:
    processes = linked.page.processes
    assert process.alive(processes) == list(processes)
    assert any(process.is_renderer(one) for one in processes)
