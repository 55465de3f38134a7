"""The Python client of a tenant: one method for each command, events as an async iterator, errors as exceptions.

    async with await Client.connect("nats://127.0.0.1:4222", "acme") as client:
        await client.start("s1")
        await client.wait_until("s1", "ready")
        await client.send_text("s1", "6281234567890", "Hello!")

Every failure is the class of ``actors.errors`` that has the reply's code. Every send carries an idempotency key, made
here where none is given, so that a request whose answer was lost is sent again without a second message. Imports the
client's parts; knows nothing of Ray.
"""

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Literal, Self, TypedDict, Unpack

from ulid import ULID

from actors.messages.commands import Lane, MediaKind, RateLimit
from actors.messages.ids import SessionKey, job_id_of_key
from actors.messages.jobs import ACK_STATUSES
from actors.messages.replies import (
    ContactInfo,
    ContactList,
    JobAccepted,
    JobReply,
    JobSent,
    QrReply,
    QueueReply,
    RateLimitReply,
    ScreenshotReply,
    SessionList,
    SessionStatus,
)
from gateway.client_events import EventStream
from gateway.client_requests import ASKING_TRY_S, Requests
from gateway.client_waiting import wait_until
from gateway.connection import Bus, connect
from gateway.failures import error_of_job
from gateway.streams import event_subject
from gateway.subjects import check_ids

DIRECT_TIMEOUT_S: Final = 45.0
"""A direct send is answered with its outcome, after 30 s and a little at most."""
_DIRECT_TRY_S: Final = 10.0
_SESSIONS_AT_ONCE: Final = 500
"""Sessions are never forgotten, and some 3,000 fill a reply."""

SendName = Literal["send.text", "send.media", "send.location"]


@dataclass(frozen=True, slots=True)
class JobStored:
    """A send lies in the inbox and will be carried out once, or refused, as an event will tell."""

    job_id: str
    """Id of its job, if it is accepted."""
    idempotency_key: str
    inbox_seq: int


class SendOptions(TypedDict, total=False):
    """Options of every send; see DESIGN section 2."""

    mode: Literal["queue", "direct"]
    on_limit: Literal["wait", "reject"]
    lane: Lane
    send_at: datetime
    expires_at: datetime
    reply_to: str
    idempotency_key: str


class Client:
    """A tenant's connection to wafleet. Make it with ``connect``; use it as a context manager or ``close`` it."""

    def __init__(self, bus: Bus, tenant_id: str, timeout_s: float) -> None:
        self.tenant_id: Final = tenant_id
        self._bus: Final = bus
        self._requests: Final = Requests(bus, tenant_id, timeout_s)

    @classmethod
    async def connect(
        cls,
        url: str,
        tenant_id: str,
        *,
        timeout_s: float = 30.0,
        connect_timeout_s: float = 5.0,
        name: str = "wafleet client",
    ) -> Self:
        """Connect.

        Args:
            url: ``nats://[user:password@]host:port``, several with commas between.
            tenant_id: The tenant all commands are for.
            timeout_s: Deadline of a command, repetitions included.
            connect_timeout_s: How long to try to connect; a connection lost later is made again for ever.
            name: What NATS shows for this connection.

        Raises:
            InvalidCommand: That is no tenant id.
            Unavailable: Nobody answers there.
        """
        check_ids(tenant_id)
        return cls(await connect(url, name, timeout_s=connect_timeout_s), tenant_id, timeout_s)

    async def close(self) -> None:
        """Disconnect; may be called twice."""
        await self._bus.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- sessions ---------------------------------------------------------------------------------------------------

    async def start(
        self,
        session_id: str,
        *,
        phone_number: str | None = None,
        pairing: Literal["qr", "code"] | None = None,
        rate_limit: RateLimit | None = None,
        proxy: str | None = None,
        cleared: Collection[Literal["phone_number", "proxy"]] = (),
    ) -> SessionStatus:
        """Start a session, or return the status of a running one.

        Args:
            session_id: The session.
            phone_number: The number that will link; needed for a link code.
            pairing: How it links; a QR if nothing was ever said.
            rate_limit: The window; 20 messages in 60 s if nothing was ever said.
            proxy: Address the browser goes through.
            cleared: What earlier starts gave and is to be forgotten (without a number it links by a QR); whatever else
                is not given stays as it is.
        """
        if "phone_number" in cleared and pairing is None:
            pairing = "qr"
        fields = {
            "phone_number": phone_number,
            "pairing": pairing,
            "rate_limit": None if rate_limit is None else rate_limit.model_dump(),
            "proxy": proxy,
        }
        return await self._requests.ask(SessionStatus, "session.start", session_id, fields, cleared=cleared)

    async def stop(self, session_id: str) -> SessionStatus:
        """Stop a session; its login and its queued jobs stay."""
        return await self._requests.ask(SessionStatus, "session.stop", session_id)

    async def restart(self, session_id: str) -> SessionStatus:
        """Close the browser and start it again."""
        return await self._requests.ask(SessionStatus, "session.restart", session_id)

    async def logout(self, session_id: str) -> SessionStatus:
        """Unlink the device; its queued jobs are cancelled."""
        return await self._requests.ask(SessionStatus, "session.logout", session_id)

    async def status(self, session_id: str) -> SessionStatus:
        """Return the status of a session."""
        return await self._requests.ask(SessionStatus, "session.status", session_id)

    async def sessions(self) -> tuple[SessionStatus, ...]:
        """Return the status of all sessions of the tenant."""
        found: list[SessionStatus] = []
        while True:
            fields = {"after": found[-1].session_id if found else None, "limit": _SESSIONS_AT_ONCE}
            part = (await self._requests.ask(SessionList, "sessions.list", None, fields)).sessions
            found.extend(part)
            if len(part) < _SESSIONS_AT_ONCE:
                return tuple(found)

    async def qr(self, session_id: str) -> QrReply:
        """Return the current QR or link code; both null when there is none."""
        return await self._requests.ask(QrReply, "session.qr", session_id)

    async def screenshot(self, session_id: str) -> bytes:
        """Return a picture of the page (PNG)."""
        return base64.b64decode((await self._requests.ask(ScreenshotReply, "session.screenshot", session_id)).png)

    async def wait_until(self, session_id: str, wanted: str = "ready", *, timeout_s: float = 120.0) -> SessionStatus:
        """Wait until a session is in a state (``ready``, ``pairing``, …) or has a status (``error``, …).

        Raises:
            UnknownSession: It was never started.
            ReconnectExhausted: It failed for good.
            AccountRestricted: WhatsApp blocked the account.
            SessionNotReady: It stopped or logged out, and nobody starts it.
            TimeoutError: It did not come to that in time; the message names the state it is in.
        """
        return await wait_until(self.status, self.events(session_id), session_id, wanted, timeout_s)

    # --- limits and queue -------------------------------------------------------------------------------------------

    async def rate_limit(
        self, session_id: str, *, max_messages: int | None = None, window_ms: int | None = None
    ) -> RateLimitReply:
        """Return the remaining sends, optionally as they would be under other limits."""
        fields = {"max_messages": max_messages, "window_ms": window_ms}
        return await self._requests.ask(RateLimitReply, "session.rate_limit", session_id, fields)

    async def queue(self, session_id: str) -> QueueReply:
        """Return the depth of the queue."""
        return await self._requests.ask(QueueReply, "session.queue", session_id)

    async def pause(self, session_id: str) -> QueueReply:
        """Hold all queued jobs; direct sends go on."""
        return await self._requests.ask(QueueReply, "session.pause", session_id)

    async def resume(self, session_id: str) -> QueueReply:
        """End a pause."""
        return await self._requests.ask(QueueReply, "session.resume", session_id)

    # --- messages and jobs ------------------------------------------------------------------------------------------

    async def send_text(
        self, session_id: str, to: str, message: str, **options: Unpack[SendOptions]
    ) -> JobAccepted | JobSent:
        """Send a text. Returns ``JobSent`` in direct mode, else ``JobAccepted``."""
        return await self._send("send.text", session_id, {"to": to, "message": message, **options})

    async def send_media(
        self,
        session_id: str,
        to: str,
        *,
        url: str | None = None,
        data: bytes | None = None,
        caption: str | None = None,
        filename: str | None = None,
        mimetype: str | None = None,
        as_: MediaKind = "auto",
        **options: Unpack[SendOptions],
    ) -> JobAccepted | JobSent:
        """Send a file from a URL or from memory (a command holds 1,000,000 bytes, so some 740 kB of data)."""
        fields = {
            "to": to,
            "url": url,
            "data": None if data is None else base64.b64encode(data).decode(),
            "caption": caption,
            "filename": filename,
            "mimetype": mimetype,
            "as": as_,
            **options,
        }
        return await self._send("send.media", session_id, fields)

    async def send_location(
        self,
        session_id: str,
        to: str,
        latitude: float,
        longitude: float,
        *,
        description: str | None = None,
        **options: Unpack[SendOptions],
    ) -> JobAccepted | JobSent:
        """Send a location."""
        fields = {"to": to, "latitude": latitude, "longitude": longitude, "description": description, **options}
        return await self._send("send.location", session_id, fields)

    async def inbox_send(self, session_id: str, command: SendName, **fields: Any) -> JobStored:
        """Store a send durably, whether or not a gateway runs; what becomes of it is told by events.

        ``job.accepted`` or ``job.rejected`` comes first, and then what follows of any job; all of them with the
        ``job_id`` and ``inbox_seq`` that are returned here. For a day it waits for a gateway.

        Args:
            session_id: The session.
            command: ``send.text``, ``send.media`` or ``send.location``.
            fields: The command's body, e.g. ``to="6281234567890", message="Hello!"``.

        Raises:
            InvalidCommand: It is no such command, or does not fit it; nothing was stored.
            QueueFull: As many wait in the inbox already as a queue may hold.
            Unavailable: JetStream did not store it in time.
        """
        key = fields.get("idempotency_key") or str(ULID())
        seq = await self._requests.store(command, session_id, {**fields, "idempotency_key": key})
        job_id = job_id_of_key(SessionKey(self.tenant_id, session_id), key)
        return JobStored(job_id=job_id, idempotency_key=key, inbox_seq=seq)

    async def job(self, session_id: str, job_id: str) -> JobReply:
        """Return what is known of a job."""
        return await self._requests.ask(JobReply, "job.get", session_id, {"job_id": job_id})

    async def cancel(self, session_id: str, job_id: str) -> JobReply:
        """Cancel a job unless an attempt has begun; look at the status that comes back."""
        return await self._requests.ask(JobReply, "job.cancel", session_id, {"job_id": job_id})

    async def check_contacts(self, session_id: str, numbers: Sequence[str]) -> tuple[ContactInfo, ...]:
        """Ask WhatsApp which numbers exist."""
        reply = await self._requests.ask(ContactList, "contact.check", session_id, {"numbers": list(numbers)})
        return reply.contacts

    # --- events -----------------------------------------------------------------------------------------------------

    def events(
        self,
        session_id: str | None = None,
        *,
        names: Collection[str] | None = None,
        since: datetime | None = None,
    ) -> EventStream:
        """Follow events; each comes once.

        Args:
            session_id: Of one session only.
            names: Of these names only, e.g. ``{"message.sent", "message.failed"}``.
            since: Begin with the stored events of this moment (7 days are kept) and miss nothing over a lost
                connection; needs the right to read the stream. Without it events come from now on.
        """
        check_ids(self.tenant_id, session_id)
        key = SessionKey(self.tenant_id, session_id or "*")
        only = next(iter(names)) if names is not None and len(names) == 1 else ">"
        return EventStream(self._bus, event_subject(key, only), names, since)

    async def _send(self, command: str, session_id: str, fields: dict[str, Any]) -> JobAccepted | JobSent:
        own_key = fields.get("idempotency_key") is None
        said = {**fields, "idempotency_key": str(ULID())} if own_key else fields
        reply: JobAccepted | JobSent
        if fields.get("mode") == "direct":
            reply = await self._requests.ask(
                JobSent, command, session_id, said, timeout_s=DIRECT_TIMEOUT_S, try_s=_DIRECT_TRY_S
            )
            if (
                reply.status not in ACK_STATUSES
            ):  # a repeat is answered with the first one's status, whatever it came to
                job = await self.job(session_id, reply.job_id)
                raise error_of_job(job.error, job.job_id, job.status)
        else:
            try_s = ASKING_TRY_S if fields.get("on_limit") == "reject" else None
            reply = await self._requests.ask(JobAccepted, command, session_id, said, try_s=try_s)
        # A repetition of our own, after a lost answer, is none to the caller.
        return reply.model_copy(update={"duplicate": False}) if own_key else reply
