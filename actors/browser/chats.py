"""Recipients and messages of a page: resolving, sending with a fixed id, looking up, checking numbers."""

from collections.abc import Sequence
from typing import Any, Final

from actors.browser.calls import Deadline, OperationFailed, PageCalls
from actors.browser.keys import chat_of
from actors.errors import PageUnresponsive, RecipientNotFound, SendFailed
from actors.messages.jobs import LocationContent, MediaContent, TextContent
from actors.messages.replies import ContactInfo
from actors.ports import Chat, Found, Prepared, Sent

_OK: Final = "OK"
_PER_NUMBER_S: Final = 0.2


async def resolve(calls: PageCalls, address: str, *, timeout_s: float) -> Chat:
    """Find or open the chat of an address.

    Raises:
        RecipientNotFound: WhatsApp knows no such number or group.
        PageRefused: wa-js fails on this address ("No LID for user" is one way that was reported).
    """
    try:
        found = await calls.run("resolve", address, timeout_s=timeout_s)
    except OperationFailed as exc:
        if address.endswith("@g.us") and exc.is_answer:
            raise _not_found(address) from exc
        raise exc.as_failure() from exc
    if found is None:
        raise _not_found(address)
    return Chat(chat_id=found["chatId"], phone=found["phone"], lid=found["lid"], own_id=found["ownId"])


def _not_found(address: str) -> RecipientNotFound:
    return RecipientNotFound(f"{address} does not exist on WhatsApp", {"to": address})


async def send(
    calls: PageCalls, prepared: Prepared, chat: Chat, full_key: str, *, timeout_s: float, load: str | None
) -> Sent:
    """Send one message under a fixed key.

    Raises:
        SendFailed: wa-js refused it before it was handed over.
    """
    deadline = Deadline(timeout_s)
    operation, argument = _operation(prepared)
    argument |= {"key": full_key, "chatId": chat.chat_id, "replyTo": prepared.content.reply_to}
    if prepared.path is not None:
        argument["input"] = await calls.file_input(str(prepared.path), deadline)
    try:
        sent = await calls.run(operation, argument, timeout_s=deadline.left_s, load=load)
    except OperationFailed as exc:
        raise SendFailed(f"the message was not sent: {exc.message}", {"code": exc.code, "to": chat.chat_id}) from exc
    message_id, ack, result = sent["id"] or full_key, sent["ack"], sent["result"]
    if result == _OK:
        return Sent(message_id, max(1, ack))
    return Sent(message_id, ack, None if ack >= 1 else result or "not acknowledged")


def _operation(prepared: Prepared) -> tuple[str, dict[str, Any]]:
    match prepared.content:
        case TextContent(message=message):
            return "sendText", {"text": message}
        case LocationContent() as place:
            return "sendLocation", {
                "latitude": place.latitude, "longitude": place.longitude, "description": place.description,
            }  # fmt: skip
        case MediaContent() as media:
            kind = media.media_kind
            return "sendFile", {
                "type": "audio" if kind == "voice" else kind,
                "voice": kind == "voice",
                "caption": media.caption,
                "filename": prepared.filename,
                "mimetype": prepared.mimetype,
            }


async def lookup(
    calls: PageCalls, full_key: str, bare_id: str, *, address: str, own_ids: Sequence[str], timeout_s: float
) -> Found | None:
    """Find a message by the key of its attempt, then by its bare id under every id its chat may go by now."""
    deadline = Deadline(timeout_s)
    if address.endswith("@g.us"):
        others = [f"true_{address}_{bare_id}_{own_id}" for own_id in own_ids]
    else:
        ids = await calls.ask("identities", address, timeout_s=deadline.left_s)
        others = [f"true_{chat_id}_{bare_id}" for chat_id in (address, ids["phone"], ids["lid"]) if chat_id]
    wanted = {"key": full_key, "chatId": chat_of(full_key), "others": [key for key in others if key != full_key]}
    found = await calls.ask("lookup", wanted, timeout_s=deadline.left_s)
    return Found(found["id"], found["ack"]) if found else None


async def check_contacts(calls: PageCalls, numbers: Sequence[str], *, timeout_s: float) -> list[ContactInfo]:
    """Ask which numbers (``+digits``) exist."""
    addresses = [f"{number.removeprefix('+')}@c.us" for number in numbers]
    answers = await calls.ask("checkContacts", addresses, timeout_s=timeout_s + _PER_NUMBER_S * len(numbers))
    if len(answers) != len(numbers):
        raise PageUnresponsive(f"checkContacts: {len(numbers)} numbers asked, {len(answers)} answers came")
    return [
        ContactInfo(
            number=number,
            exists=answer["exists"],
            chat_id=answer.get("chatId"),
            phone=answer.get("phone"),
            lid=answer.get("lid"),
            business=answer.get("business", False),
        )
        for number, answer in zip(numbers, answers, strict=True)
    ]
