"""When a session's former owners sent, by JetStream's own timestamps of their events (DESIGN 7 "Rate window").

"Now" is the server's too: the moment at which it took the epoch that the asking owner has just raised. So no node's
clock is compared with another's; what passed since then makes the ages a little too small, which only waits longer.
Imports direct reads and the streams' names; the rule itself is ``actors.core.former_sends``.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import orjson

from actors.core.former_sends import Told, ends_of_attempts
from actors.messages.ids import SessionKey
from gateway.connection import Bus
from gateway.direct import StoredMessage, last_message, read_batch
from gateway.streams import EPOCHS, WA_EVENTS, event_subject

_SENDING: Final = "job.sending"
_TELLING: Final = (_SENDING, "message.sent", "message.failed", "message.unconfirmed")
_BATCH: Final = 256


async def former_sends(bus: Bus, key: SessionKey, within_s: float) -> Sequence[float]:
    """Return how many seconds ago each send of the last ``within_s`` ended at the latest.

    Raises:
        Unavailable: JetStream did not answer.
    """
    epoch = await last_message(bus, f"KV_{EPOCHS}", f"$KV.{EPOCHS}.{key.tenant_id}.{key.session_id}")
    if epoch is None:
        return ()
    found: list[StoredMessage] = []
    for name in _TELLING:
        found += await _since(bus, event_subject(key, name), epoch.stored_at - timedelta(seconds=within_s))
    found.sort(key=lambda message: message.seq)
    return ends_of_attempts([_told(message, epoch.stored_at) for message in found])


async def _since(bus: Bus, subject: str, moment: datetime) -> list[StoredMessage]:
    """Read what was stored of a subject since a moment; no more than the window of a session's sends."""
    found: list[StoredMessage] = []
    position: dict[str, object] = {"start_time": moment.isoformat()}
    while True:
        page = await read_batch(bus, WA_EVENTS, {"next_by_subj": subject, "batch": _BATCH, **position})
        found += page.messages
        if not page.messages or page.pending == 0:
            return found
        position = {"seq": page.messages[-1].seq + 1}


def _told(message: StoredMessage, now: datetime) -> Told:
    event = orjson.loads(message.body)
    return Told(
        job_id=event["data"]["job_id"],
        attempts=event["data"]["attempt"],
        age_s=max(0.0, (now - message.stored_at).total_seconds()),
        is_outcome=event["event"] != _SENDING,
    )
