"""What phones and the people who hold them do: link pages, write, read, type.

Each operation of `POST /ctl/*` takes a validated body and returns the answer as JSON; a refusal is one of `errors.py`.
No I/O. What befalls a session without anybody's doing is in `chaos.py`.
"""

import base64
import hashlib
from typing import Any

from simulator import requests
from simulator.connection import Connection
from simulator.errors import AccountBannedError, CodeExpiredError, InvalidRequestError
from simulator.media import MediaFile
from simulator.service import Service
from simulator.world import Frame

Json = dict[str, Any]
_DONE: Json = {"ok": True}


class Phone:
    """Phones and people: they link pages, write, read and type."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def scan(self, body: requests.Scan) -> Json:
        """The phone of an account scans the QR code that a page shows."""
        page = self._service.refs.get(body.qr.split(",", 1)[0])
        if page is None:
            raise CodeExpiredError("ref expired: this QR code is not shown (any more); read the page's current one")
        return self._pair(page, body.wid)

    def code(self, body: requests.TypeCode) -> Json:
        """The phone of an account types the link code that a page shows."""
        page = self._service.codes.pop(body.code.replace("-", "").upper(), None)
        if page is None:
            raise CodeExpiredError("link code unknown or used: read the page's current one")
        wid = body.wid or f"{page.phone}@c.us"
        self._refuse_banned(wid)
        page.post({"t": "alt_hello"})
        return self._pair(page, wid)

    def user(self, body: requests.Person) -> Json:
        """A person joins WhatsApp; one who is there already is shown as they are."""
        return self._service.world.account(body.wid, body.name).as_json()

    def inbound(self, body: requests.Inbound) -> Json:
        """Somebody writes to an account. The message waits until a page confirms it."""
        service = self._service
        message_id = body.id or f"3A{service.token(9).upper()}"
        frame = self._inbound_frame(body, message_id)
        service.world.receive(body.to, frame, at=service.now())
        page = service.ready_page(body.to)
        if page is not None:
            page.post(frame)
        return {"ok": True, "id": message_id, "queued": page is None}

    def media(self, body: requests.Media) -> Json:
        """Somebody uploads a file; the answer belongs into the `extra` of their message."""
        key = self._service.token(9)
        self._service.media.put(key, MediaFile(body.mimetype, body.b64))
        digest = base64.b64encode(hashlib.sha256(body.b64).digest()).decode()
        return {"directPath": f"/mms/{key}", "filehash": digest, "size": len(body.b64), "mimetype": body.mimetype}

    def receipt(self, body: requests.Receipt) -> Json:
        """Somebody has received, read or played messages of an account."""
        self._service.page_of(body.wid).post(
            {
                "t": "receipt",
                "type": body.type,
                "id": body.ids[0],
                "ids": body.ids,
                "from": body.sender,
                "participant": body.participant,
                "ts": int(self._service.now()),
            }
        )
        return _DONE

    def chatstate(self, body: requests.ChatState) -> Json:
        """Somebody types in a chat with an account."""
        self._service.page_of(body.wid).post({"t": "chatstate", "chat": body.chat, "state": body.state})
        return _DONE

    def unlink(self, body: requests.OneAccount) -> Json:
        """The phone of an account removes all its linked devices."""
        self._service.world.unlink_account(body.wid)
        for page in self._service.of_account(body.wid):
            page.refuse({"t": "stream_error", "code": "logout"})
        return _DONE

    def _pair(self, page: Connection, wid: str) -> Json:
        self._refuse_banned(wid)
        page.pair(wid)
        return _DONE

    def _refuse_banned(self, wid: str) -> None:
        account = self._service.world.find(wid)
        if account and account.ban and account.ban.refusal(now=self._service.now()):
            raise AccountBannedError(f"{wid} is banned ({account.ban.kind}): lift the ban first", wid=wid)

    def _inbound_frame(self, body: requests.Inbound, message_id: str) -> Frame:
        world, settings = self._service.world, self._service.settings
        sender = world.find(body.sender) or (None if body.sender.endswith("@lid") else world.account(body.sender))
        if sender is None:
            raise InvalidRequestError(f"from: no account has the LID {body.sender}: name the phone id", field="from")
        by_lid = settings.lid_chats and body.group is None
        remote = body.group or (sender.lid if by_lid else sender.wid)
        key: Json = {"id": message_id, "remote": remote, "fromMe": False}
        message: Json = {
            "key": key,
            "type": body.type,
            "body": body.body,
            "from": remote,
            "to": body.to,
            "t": int(self._service.now()),
            "ack": 1,
            "notifyName": sender.name or "Peer",
        }
        if body.group is not None:
            key["participant"] = message["author"] = sender.wid
        return {"t": "msg", "msg": {**message, **body.extra}}
