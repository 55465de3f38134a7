"""What befalls a session: the network, other browsers, WhatsApp's decisions, the browser's own troubles, and settings.

Each operation of `POST /ctl/*` takes a validated body and returns the answer as JSON; a refusal is one of `errors.py`.
No I/O. What people do is in `phone.py`.
"""

from typing import Any

from simulator import requests
from simulator.errors import InvalidRequestError
from simulator.faults import KNOBS
from simulator.service import Service
from simulator.world import Ban, Frame

Json = dict[str, Any]
_DONE: Json = {"ok": True}


class Chaos:
    """What befalls a session: the network, other browsers, WhatsApp's decisions and the browser's own troubles."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def drop(self, body: requests.Drop) -> Json:
        """The network drops an account's sockets, or all."""
        if body.wid is None and not body.all:
            raise InvalidRequestError('name the account ("wid"), or say "all": true', field="wid")
        everybody = list(self._service.connections.values())
        dropped = everybody if body.all else self._service.of_account(body.wid or "")
        for page in dropped:
            page.drop()
        return {"ok": True, "dropped": len(dropped)}

    def conflict(self, body: requests.OneAccount) -> Json:
        """Another browser takes over the account's link."""
        self._service.page_of(body.wid).refuse({"t": "stream_error", "code": "conflict"})
        return _DONE

    def ban(self, body: requests.Ban) -> Json:
        """WhatsApp bans an account, or lifts the ban; its pages are told at once and at every login."""
        service = self._service
        if body.lift:
            service.world.ban(body.wid, None)
            return _DONE
        until = service.now() + body.expire if body.kind == "temp_banned" else None
        ban = Ban(body.kind, body.code if until else None, until)
        service.world.ban(body.wid, ban)
        self._refuse_pages(body.wid, ban.refusal(now=service.now()) or {})
        return _DONE

    def tos(self, body: requests.Terms) -> Json:
        """WhatsApp blocks an account until new terms are accepted, or (`on` false) they are accepted."""
        block = "smb_tos_block" if body.smb else "tos_block"
        self._service.world.require_terms(body.wid, block if body.on else None)
        if body.on:
            self._refuse_pages(body.wid, {"t": "stream_error", "code": block})
        else:
            for page in self._service.of_account(body.wid):
                page.post({"t": "tos_accepted"})
        return _DONE

    def wedge(self, body: requests.Wedge) -> Json:
        """The account's page runs a busy loop."""
        self._service.page_of(body.wid).post({"t": "wedge", "ms": body.ms})
        return _DONE

    def deaf(self, body: requests.Deaf) -> Json:
        """The account's page stops hearing what others send, until it is told otherwise or reloaded."""
        self._service.page_of(body.wid).post({"t": "deaf", "on": body.on})
        return _DONE

    def silence(self, body: requests.OneAccount) -> Json:
        """The line of the account's page dies, while both ends believe it open: nothing gets through any more."""
        self._service.page_of(body.wid).silent = True
        return _DONE

    def storage_loss(self, body: requests.StorageLoss) -> Json:
        """The browser evicts the page's storage; the phone still shows the device as linked."""
        self._service.page_of(body.wid).post({"t": "storage_loss", "reload": body.reload})
        return _DONE

    def storage_error(self, body: requests.OneAccount) -> Json:
        """The page's storage fails, as when a second browser opens its profile."""
        self._service.page_of(body.wid).post({"t": "storage_error"})
        return _DONE

    def fail(self, body: requests.Fail) -> Json:
        """Turn the service's fault knobs; the answer shows those of the same scope."""
        for knob in KNOBS:
            on: bool | None = getattr(body, knob)
            if on is not None:
                self._service.faults.turn(knob, on=on, wid=body.wid)
        return dict(self._service.faults.as_json(body.wid))

    def cfg(self, knobs: Json) -> Json:
        """Change settings; what is shown or waiting already keeps the old ones."""
        self._service.settings = self._service.settings.changed(knobs)
        return self._service.settings.model_dump()

    def _refuse_pages(self, wid: str, frame: Frame) -> None:
        for page in self._service.of_account(wid):
            page.refuse(frame)
