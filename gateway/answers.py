"""JetStream's answers as values: a refusal is expected, so it is returned and not raised. Imports the errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from nats.aio.msg import Msg

from actors.errors import Unavailable

EXPECTED_LAST: Final = "Nats-Expected-Last-Subject-Sequence"
"""Header of a compare-and-set: the sequence that the subject's last message must have; 0: it must have none."""
_LIMIT_REACHED: Final = 10077
_SHOWN_BYTES: Final = 80
_WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})


@dataclass(frozen=True, slots=True)
class Stored:
    """JetStream has the message."""

    seq: int
    duplicate: bool
    """It had it before: a message of the same ``Nats-Msg-Id``."""


@dataclass(frozen=True, slots=True)
class Refused:
    """JetStream answered with an error; nothing changed."""

    err_code: int
    description: str

    @property
    def subject_is_full(self) -> bool:
        """Whether the subject holds as many messages as it may; the same code tells of a stream that is full."""
        return self.err_code == _LIMIT_REACHED and "per subject" in self.description

    @property
    def lost_race(self) -> bool:
        """Whether a compare-and-set met another sequence than it expected."""
        return self.err_code in _WRONG_LAST_SEQUENCE

    def unavailable(self, doing: str) -> Unavailable:
        """Build the error for a refusal that the caller can do nothing about."""
        return Unavailable(
            f"JetStream refused {doing}: {self.description} ({self.err_code})", {"err_code": self.err_code}
        )


def publish_ack(msg: Msg) -> Stored | Refused:
    """Read JetStream's answer to a publish.

    Raises:
        Unavailable: It is none: whoever subscribes to a stream's subject may answer too, and the first answer counts.
    """
    try:
        ack = orjson.loads(msg.data)
    except orjson.JSONDecodeError:
        ack = None
    match ack:
        case {"error": dict(error)}:
            return refusal(error)
        case {"seq": int(seq)}:
            return Stored(seq, ack.get("duplicate") is True)
    raise Unavailable(
        f"expected JetStream's acknowledgement, got {msg.data[:_SHOWN_BYTES]!r}: does a subscriber answer what it sees?"
    )


def refusal(error: Mapping[str, Any]) -> Refused:
    """Read the error in an answer."""
    return Refused(error.get("err_code", 0), error.get("description", ""))
