"""From a validated send command to a job: what is refused before anything is stored, and what the job is made of.

Pure: the moment and the random ids are arguments. What a page or a fetch finds out later is not judged here.
"""

import binascii
import hashlib
import ipaddress
import socket
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import orjson

from actors.config import QueueConfig
from actors.errors import (
    AccountRestricted,
    InvalidCommand,
    JobExpired,
    MediaRejected,
    ReconnectExhausted,
    SessionFailure,
    SessionNotReady,
    Unsupported,
)
from actors.messages.base import rfc3339_ms
from actors.messages.commands import SendCommand, SendLocation, SendMedia, SendText
from actors.messages.ids import SessionKey, job_id_of_key, message_id_of_job
from actors.messages.jobs import Content, Job, LocationContent, MediaContent, TextContent
from actors.messages.records import DesiredSession
from actors.messages.replies import SessionStatus

_LOCALHOST: Final = "localhost"
_DAY_S: Final = 86_400
_PORTS: Final = {"http": 80, "https": 443}
"""What a URL without a port means, to the fetcher as well: an exception for ``host:80`` is one for ``http://host/``."""


@dataclass(frozen=True, slots=True)
class InboxOrigin:
    """Where a command comes from that was published to the inbox."""

    seq: int
    """Its sequence in ``WA_INBOX``."""
    stored_at: datetime
    given_up: bool
    """It was handed out so often that nothing more is begun for it."""


def check_built(command: SendCommand) -> None:
    """Refuse what the contract has and this version has not. Raises ``Unsupported``."""
    if command.send_at is not None:
        raise Unsupported("send_at is not built yet; leave it out", {"field": "send_at"})
    if isinstance(command, SendMedia) and command.object is not None:
        raise Unsupported("object is not built yet; give url or data", {"field": "object"})


def check_media(command: SendCommand, allowed_private_hosts: AbstractSet[str]) -> None:
    """Refuse media that no fetch is needed to judge: data that is no base64, a URL that names a private address.

    A host name is resolved, and its addresses judged, where the file is fetched.

    Raises:
        MediaRejected: With the reason.
    """
    if not isinstance(command, SendMedia):
        return
    if command.data is not None:
        try:
            binascii.a2b_base64(command.data, strict_mode=True)
        except ValueError as exc:
            raise MediaRejected(f"data is no base64 (standard alphabet, padded): {exc}", {"field": "data"}) from exc
    if command.url is not None:
        _check_url(command.url, allowed_private_hosts)


def check_state(desired: DesiredSession, status: SessionStatus, command: SendCommand) -> SessionFailure | None:
    """Tell why a session in this state takes no such job, or None if it does."""
    if desired.target == "logged_out":  # from the order on: what is queued then is being cancelled
        return SessionNotReady.in_state("logged_out")
    if status.state == "failed":
        return ReconnectExhausted.after(status.reason)
    if status.state == "blocked":
        return AccountRestricted(
            "WhatsApp restricted this account; see the phone, then start the session again", {"reason": status.reason}
        )
    if status.state == "logged_out" or (command.mode == "direct" and status.state != "ready"):
        return SessionNotReady.in_state(status.state)
    return None


def check_expiry(
    command: SendCommand, now: datetime, queue: QueueConfig, origin: InboxOrigin | None = None
) -> InvalidCommand | JobExpired | None:
    """Tell whether no attempt could ever begin: a moment long past, or one that passed while nobody read the inbox.

    One too far ahead is refused as well, but in direct mode, which cuts it to its 30 s.
    """
    if command.expires_at is None:
        return None
    if command.expires_at > now:
        latest = now + timedelta(seconds=queue.max_expiry_s)
        if command.mode == "direct" or command.expires_at <= latest:
            return None
        return InvalidCommand(
            f"expires_at {rfc3339_ms(command.expires_at)} lies too far ahead; a job waits for "
            f"{queue.max_expiry_s / _DAY_S:g} days at most",
            {"field": "expires_at", "latest": rfc3339_ms(latest)},
        )
    if origin is not None and command.expires_at > origin.stored_at:
        return JobExpired("expires_at passed before an attempt began")
    return InvalidCommand(
        f"expires_at {rfc3339_ms(command.expires_at)} is past; give a moment to come or leave it out",
        {"field": "expires_at", "now": rfc3339_ms(now)},
    )


def job_of(
    key: SessionKey,
    command: SendCommand,
    *,
    now: datetime,
    fresh_id: str,
    request_id: str,
    queue: QueueConfig,
    inbox_seq: int | None = None,
) -> Job:
    """Make the job of a command.

    Args:
        key: The session.
        command: The command.
        now: When it is accepted.
        fresh_id: The job's id where no idempotency key gives it one.
        request_id: Random id of this request.
        queue: Bounds of expiry.
        inbox_seq: Its sequence in the inbox, if it came that way.
    """
    direct = command.mode == "direct"
    latest = now + timedelta(seconds=queue.direct_expiry_s if direct else queue.default_expiry_s)
    expires_at = command.expires_at or latest
    idempotency_key = command.idempotency_key
    job_id = fresh_id if idempotency_key is None else job_id_of_key(key, idempotency_key)
    return Job(
        job_id=job_id,
        request_id=request_id,
        tenant_id=key.tenant_id,
        session_id=key.session_id,
        lane="direct" if direct else command.lane or "normal",
        to=command.to,
        content=_content(command),
        message_id=message_id_of_job(job_id),
        body_hash=body_hash(command),
        idempotency_key=idempotency_key,
        on_limit=command.on_limit,
        inbox_seq=inbox_seq,
        accepted_at=now,
        expires_at=min(expires_at, latest) if direct else expires_at,
    )


def body_hash(command: SendCommand) -> str:
    """Hash what a command says, its key aside: the same text for the same wish, whatever the order of its fields."""
    said = command.model_dump(mode="json", by_alias=True, exclude={"idempotency_key"})
    if command.mode == "queue" and command.lane is None:
        said["lane"] = "normal"
    return hashlib.sha256(orjson.dumps([command.name, said], option=orjson.OPT_SORT_KEYS)).hexdigest()


def _content(command: SendCommand) -> Content:
    match command:
        case SendText():
            return TextContent(message=command.message, reply_to=command.reply_to)
        case SendMedia():
            return MediaContent(
                url=command.url,
                data=command.data,
                object=command.object,
                caption=command.caption,
                filename=command.filename,
                mimetype=command.mimetype,
                media_kind=command.as_,
                reply_to=command.reply_to,
            )
        case SendLocation():
            return LocationContent(
                latitude=command.latitude,
                longitude=command.longitude,
                description=command.description,
                reply_to=command.reply_to,
            )
        case _:
            msg = f"no content is known for {command.name}"
            raise TypeError(msg)


def _check_url(url: str, allowed_private_hosts: AbstractSet[str]) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS[parts.scheme]
    except ValueError as exc:
        raise MediaRejected(f"url is not one that can be fetched: {exc}", {"field": "url"}) from exc
    if not host:
        raise MediaRejected("url names no host", {"field": "url"})
    if host in allowed_private_hosts or f"{host}:{port}" in allowed_private_hosts:
        return
    address = _literal_address(host)
    private = address is not None and (not address.is_global or address.is_multicast)
    if private or host.rstrip(".") == _LOCALHOST or host.rstrip(".").endswith("." + _LOCALHOST):
        raise MediaRejected(
            f"url points to the private address {host[:80]}; media is fetched from public addresses only",
            {"field": "url", "host": host[:80]},
        )


def _literal_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address written as digits, in every form a resolver takes: also ``127.1`` and ``0x7f000001``."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
