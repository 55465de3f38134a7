"""One page's connection: QR codes, pairing, login, messages, receipts. All frames are in the table of `_on_frame`.

It is driven by `handle` (a frame came), `closed` (the socket ended) and its timers, and answers through a `Wire`; it
does no I/O and awaits nothing, so each frame is handled whole and in order.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from simulator.errors import QueueFullError, SimulatorError
from simulator.queries import answer
from simulator.service import Service, Timer
from simulator.world import Frame

_log = logging.getLogger(__name__)

SERVER_REFUSAL: Final = 479
"""The error that a refused message is answered with (seen in field reports as smax-invalid)."""
SERVER_FULL: Final = 503
_REF_BYTES: Final = 40


class Wire(Protocol):
    """The way to one page."""

    def post(self, frame: Frame) -> None:
        """Send a frame soon, in order."""

    def close(self) -> None:
        """End the connection at once, as a lost network would."""


class Connection:
    """The service's side of one page's socket."""

    def __init__(self, service: Service, wire: Wire, number: int) -> None:
        self.number = number
        self.wid: str | None = None
        """The account, once the page has logged in."""
        self.token: str | None = None
        self.logged_in = False
        """Whether the service accepts messages of the page and tells it of faults."""
        self.ready = False
        """Whether the page is synced and takes messages."""
        self.silent = False
        """Whether nothing gets through in either direction, although the socket stays open."""
        self.phone: str | None = None
        """The number for which the page asked a link code."""
        self._service = service
        self._wire = wire
        self._timers: set[Timer] = set()
        self._ref_timer: Timer | None = None

    def as_json(self) -> dict[str, Any]:
        """The connection as `GET /ctl/state` shows it."""
        return {"id": self.number, "wid": self.wid, "ready": self.ready}

    def post(self, frame: Frame) -> None:
        """Send a frame to the page."""
        if not self.silent:
            self._wire.post(frame)

    def refuse(self, frame: Frame) -> None:
        """End the page's login on this connection and tell it why."""
        self.ready = self.logged_in = False
        self.post(frame)

    def drop(self) -> None:
        """Lose the network between this page and the service."""
        self.closed()
        self._wire.close()

    def closed(self) -> None:
        """The socket has ended: forget the codes and cancel what was still to happen."""
        self.ready = self.logged_in = False
        if self._service.connections.pop(self.number, None) and self.wid:
            self._note({"t": "closed", "connection": self.number})
        self._stop_refs()
        self._service.codes = {code: other for code, other in self._service.codes.items() if other is not self}
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def handle(self, frame: Mapping[str, Any]) -> None:
        """Do what a frame asks for; an unknown kind is ignored, a frame without its fields is logged."""
        if self.silent:
            return
        try:
            self._on_frame(frame)
        except (KeyError, TypeError, AttributeError) as error:
            _log.warning("connection %d: frame %.200s lacks a field: %r", self.number, frame, error)

    def _on_frame(self, frame: Mapping[str, Any]) -> None:
        match frame["t"]:
            case "hello" | "refresh_qr":
                self._start_refs()
            case "login":
                self._login(frame["token"])
            case "active":
                self._become_ready()
            case "iq":
                self._answer(frame)
            case "msg":
                self._accept(frame["msg"])
            case "recv":
                self._note(frame)
                if self.wid:
                    self._service.world.confirm(self.wid, frame["id"])
            case "chatstate" | "read" | "presence":
                self._note(frame)

    # ---- linking ----

    def pair(self, wid: str) -> None:
        """The phone of an account has linked this page."""
        self._stop_refs()
        token = self._service.token(18)
        self._service.world.link(wid, token)
        account = self._service.world.account(wid)
        credentials = {
            "token": token,
            "wid": wid,
            "lid": account.lid,
            "pushname": account.name,
            "platform": "android",
        }
        self.post({"t": "pair", "creds": credentials})

    def _start_refs(self) -> None:
        self._stop_refs()
        self._show_ref(0)

    def _show_ref(self, shown: int) -> None:
        self._forget_refs()
        settings = self._service.settings
        if shown >= settings.qr_count:
            self._ref_timer = None
            self.post({"t": "qr_idle"})
            return
        ref = f"2@{self._service.token(_REF_BYTES)}"
        ttl = settings.qr_first if shown == 0 else settings.qr_ttl
        self._service.refs[ref] = self
        self.post({"t": "ref", "ref": ref, "ttl": ttl})
        self._ref_timer = self._service.call_later(ttl, lambda: self._show_ref(shown + 1))

    def _stop_refs(self) -> None:
        if self._ref_timer is not None:
            self._ref_timer.cancel()
            self._ref_timer = None
        self._forget_refs()

    def _forget_refs(self) -> None:
        self._service.refs = {ref: other for ref, other in self._service.refs.items() if other is not self}

    # ---- login ----

    def _login(self, token: str) -> None:
        service = self._service
        wid = service.wid_of_token(token)
        if wid is None:
            self.post({"t": "failure", "reason": "unknown_companion"})
            return
        self.wid, self.token = wid, token
        if refusal := service.world.refusal(wid, now=service.now()):
            self.refuse(refusal)
            return
        others = [other for other in service.connections.values() if other is not self and other.token == token]
        self._note({"t": "login", "connection": self.number, "beside": [other.number for other in others]})
        service.conflicts[wid] += len(others)
        for other in others:
            other.refuse({"t": "stream_error", "code": "conflict"})
        self.logged_in = True
        contacts = service.world.address_book(wid, service.settings.contacts)
        groups = service.world.groups_of(wid)
        self.post(
            {
                "t": "success",
                "pushname": service.world.account(wid).name,
                "platform": "android",
                "contacts": [account.as_json() for account in contacts],
                "groups": [{"gid": group.gid, "subject": group.subject} for group in groups],
                "sync_ms": service.settings.sync_ms,
            }
        )

    def _become_ready(self) -> None:
        if self.wid is None or not self.logged_in:
            return
        self.ready = True
        for waiting in self._service.world.waiting(self.wid):
            self.post(waiting)

    # ---- questions, messages, receipts ----

    def _answer(self, frame: Mapping[str, Any]) -> None:
        try:
            result = answer(self._service, self, frame["op"], frame["args"])
        except SimulatorError as error:
            result = {"error": error.message}
        except (KeyError, TypeError, AttributeError) as error:
            result = {"error": f"bad-request: {error!r}"}
        self.post({"t": "iqr", "id": frame["id"], "r": result})

    def _accept(self, message: Mapping[str, Any]) -> None:
        service, wid = self._service, self.wid
        if wid is None or not self.logged_in or service.faults.active("drop_before_accept", wid):
            return
        message_id = message["key"]["id"]
        try:
            entry = service.world.accept(wid, message, at=service.now())
        except QueueFullError as error:
            _log.warning("message %s of %s refused: %s", message_id, wid, error.message)
            self.post({"t": "ack", "id": message_id, "error": SERVER_FULL})
            return
        if not service.faults.active("no_ack", wid):
            self._later(service.settings.ack_ms, lambda: self._ack(message_id, entry.remote, dup=entry.dup))

    def _ack(self, message_id: str, remote: str, *, dup: bool) -> None:
        if self._service.faults.active("nack", self.wid):
            self.post({"t": "ack", "id": message_id, "error": SERVER_REFUSAL})
            return
        self.post({"t": "ack", "id": message_id, "ts": int(self._service.now())})
        if self._service.settings.auto_receipt and not dup:
            wait_ms = self._service.settings.receipt_ms
            self._later(wait_ms, lambda: self._receipt(message_id, remote, ("delivery", "read")))

    def _receipt(self, message_id: str, remote: str, kinds: tuple[str, ...]) -> None:
        group = self._service.world.groups.get(remote)
        others = (wid for wid in group.participants if wid != self.wid) if group else iter(())
        self.post(
            {
                "t": "receipt",
                "type": kinds[0],
                "ids": [message_id],
                "id": message_id,
                "from": remote,
                "participant": next(others, None),
                "ts": int(self._service.now()),
            }
        )
        if kinds[1:]:
            self._later(self._service.settings.receipt_ms, lambda: self._receipt(message_id, remote, kinds[1:]))

    def _note(self, frame: Mapping[str, Any]) -> None:
        self._service.note({**frame, "wid": self.wid})

    def _later(self, delay_ms: int, function: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            function()

        timer = self._service.call_later(delay_ms / 1_000, fire)
        self._timers.add(timer)
