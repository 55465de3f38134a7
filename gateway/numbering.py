"""The highest `seq` that a session's owners have given out, by what is stored.

Theory of operation. One direct get brings the last event of each name. Where an owner stored it, it has a number; a
gateway's (`message.failed` of a job that it ended, say) or the supervisor's has none and hides what an owner stored of
that name before. So names that end in such an event are read on from behind the newest that has a number: owners store
in the order of their numbers, so what lies before that is lower. Seen in `make chaos`: a number was given out twice,
after a gateway had ended a job that was too late.

Imports direct reads and the streams' names.
"""

from typing import Final

import orjson

from actors.messages.ids import SessionKey
from gateway.connection import Bus
from gateway.direct import StoredMessage, read_all, read_batch
from gateway.streams import WA_EVENTS, event_subject

_BATCH: Final = 256
_NEVER_AN_OWNERS: Final = frozenset({"job.accepted", "job.rejected"})
"""There may be many of them, and none has a number."""


async def last_seq(bus: Bus, key: SessionKey) -> int:
    """Return the highest ``seq`` stored for a session, 0 if none.

    Raises:
        Unavailable: JetStream did not answer.
    """
    page = await read_batch(bus, WA_EVENTS, {"multi_last": [event_subject(key, ">")], "batch": _BATCH})
    numbers = {message: _number(message) for message in page.messages}
    highest = max(numbers.values(), default=0)
    newest = max((message.seq for message, number in numbers.items() if number), default=0)
    ignored = {event_subject(key, name) for name in _NEVER_AN_OWNERS}
    for last, number in numbers.items():
        if not number and last.seq > newest and last.subject not in ignored:
            async for message in read_all(bus, WA_EVENTS, last.subject, after=newest):
                highest = max(highest, _number(message))
    return highest


def _number(message: StoredMessage) -> int:
    number: int | None = orjson.loads(message.body).get("seq")
    return number or 0
