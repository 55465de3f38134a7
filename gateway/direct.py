"""Reading streams without consumers: batched direct get (NATS ADR-31).

One request brings up to ``batch`` messages of the subjects asked for, each with its sequence and the number still
behind it, then an end marker (status 204). Measured: 64 messages in 5 ms, where nats-py's ``get_msg`` takes one at a
time. Imports the connection.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from nats.aio.msg import Msg

from actors.errors import Unavailable
from gateway.connection import Bus

_NOT_FOUND: Final = "404"
_END_OF_BATCH: Final = "204"
_BATCH: Final = 256
_MAX_BATCH_BYTES: Final = 8 * 2**20
"""What one batch may weigh in memory; the server ends a batch early that would weigh more."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as a stream holds it."""

    seq: int
    subject: str
    body: bytes
    is_deletion: bool
    """A bucket's mark that the key was deleted."""
    stored_at: datetime
    """By the server's clock."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one request brought."""

    messages: tuple[StoredMessage, ...]
    pending: int
    """How many more match behind the last one."""


async def last_message(bus: Bus, stream: str, subject: str) -> StoredMessage | None:
    """Return the newest message of one subject. Raises ``Unavailable``."""
    answer = await bus.request(f"$JS.API.DIRECT.GET.{stream}.{subject}")
    status = _status(answer)
    if status == _NOT_FOUND:
        return None
    if status is not None:
        raise _unexpected(stream, answer)
    return _stored(answer)


async def read_batch(bus: Bus, stream: str, query: Mapping[str, Any]) -> Batch:
    """Make one batched direct get.

    Args:
        bus: The connection.
        stream: Name of the stream; it must have ``allow_direct``.
        query: ADR-31's fields: ``batch`` and ``next_by_subj`` with ``seq`` or ``start_time``, or ``multi_last``.

    Raises:
        Unavailable: The batch did not arrive completely in time, or the server refused it.
    """
    body = orjson.dumps({"max_bytes": _MAX_BATCH_BYTES, **query})
    answers, end = await bus.request_batch(f"$JS.API.DIRECT.GET.{stream}", body)
    status = _status(end)
    if status == _NOT_FOUND:
        return Batch((), 0)
    if status != _END_OF_BATCH:
        raise _unexpected(stream, end)
    pending = int((end.headers or {}).get("Nats-Num-Pending", "0"))
    return Batch(tuple(_stored(answer) for answer in answers), pending)


async def read_all(
    bus: Bus, stream: str, subject: str, *, since: datetime | None = None, after: int = 0
) -> AsyncIterator[StoredMessage]:
    """Read all messages of a subject (wildcards allowed), or those since a moment by the server's clock, or behind one.

    The oldest comes first. Raises ``Unavailable``.
    """
    start: dict[str, Any] = {"seq": after + 1} if since is None else {"start_time": since.astimezone(UTC).isoformat()}
    while True:
        page = await read_batch(bus, stream, {"next_by_subj": subject, "batch": _BATCH, **start})
        for message in page.messages:
            yield message
            start = {"seq": message.seq + 1}
        if not page.messages or page.pending == 0:
            return


def _stored(msg: Msg) -> StoredMessage:
    headers = msg.headers or {}
    return StoredMessage(
        seq=int(headers["Nats-Sequence"]),
        subject=headers["Nats-Subject"],
        body=msg.data,
        is_deletion="KV-Operation" in headers or "Nats-Marker-Reason" in headers,
        stored_at=datetime.fromisoformat(headers["Nats-Time-Stamp"]),
    )


def _status(msg: Msg) -> str | None:
    return (msg.headers or {}).get("Status")


def _unexpected(stream: str, msg: Msg) -> Unavailable:
    headers = msg.headers or {}
    status = f"{headers.get('Status')} {headers.get('Description', '')}".strip()
    return Unavailable(f"JetStream refused to read {stream}: {status}", {"stream": stream, "status": status})
