"""The base of all messages, and their one encoding.

Imports pydantic and orjson only. Times are aware UTC datetimes inside and RFC 3339 with milliseconds outside;
durations are integers whose names end in ``_ms``.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, PlainSerializer, WithJsonSchema


class Message(BaseModel):
    """A frozen value that refuses unknown fields and silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


@lru_cache(maxsize=256)  # one moment is written many times: a job's into the job, its record and its event
def rfc3339_ms(moment: datetime) -> str:
    """Render a moment as RFC 3339 UTC with milliseconds, e.g. ``2026-11-22T12:00:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as exc:  # in its own zone it lies in the years 1 to 9999, in UTC it does not
        msg = "lies outside the years 1 to 9999 in UTC"
        raise ValueError(msg) from exc


Timestamp = Annotated[
    AwareDatetime,
    AfterValidator(_in_utc),
    PlainSerializer(rfc3339_ms, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment as every reply and event carries it."""


def encode(message: BaseModel) -> bytes:
    """Serialise a message as compact JSON."""
    return orjson.dumps(message.model_dump(mode="json"))
