"""What goes back to whoever asked: result objects as they are, failures with NATS' service headers. Pure.

Every answer fits into a message: a reply beyond the limit becomes an error that says so, an error beyond its own limit
loses its details. Header values are one bounded line, whatever a message contains.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER

from actors.errors import Unsupported, WafleetError
from actors.messages.base import encode
from actors.messages.replies import ErrorBody, ErrorReply, Reply, SessionList

MAX_REPLY_BYTES: Final = 1_000_000
MAX_ERROR_BYTES: Final = 32_000
_MAX_HEADER_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """Body and headers of one reply message."""

    body: bytes
    headers: Mapping[str, str] | None = None


def render(outcome: Reply | ErrorBody) -> Answer:
    """Render what a command came to."""
    if isinstance(outcome, ErrorBody):
        return _render_error(outcome)
    body = encode(outcome)
    if len(body) > MAX_REPLY_BYTES:
        how = " with `limit` and `after`" if isinstance(outcome, SessionList) else ""
        return render_error(
            Unsupported(
                f"the reply has {len(body)} bytes, at most {MAX_REPLY_BYTES} can be sent; ask for less at once{how}",
                {"bytes": len(body), "max_bytes": MAX_REPLY_BYTES},
            )
        )
    return Answer(body)


def render_error(error: WafleetError) -> Answer:
    """Render a failure."""
    return _render_error(ErrorBody.of(error))


def _render_error(error: ErrorBody) -> Answer:
    body = encode(ErrorReply(error=error))
    if len(body) > MAX_ERROR_BYTES:
        short = error.model_copy(update={"message": error.message[:_MAX_HEADER_CHARS], "details": {}})
        body = encode(ErrorReply(error=short))
    return Answer(body, {ERROR_CODE_HEADER: error.code, ERROR_HEADER: _one_line(error.message)})


def _one_line(text: str) -> str:
    """Cut a header's value to one line: a CR or LF in it would end the header."""
    printable = "".join(char if char.isprintable() else " " for char in text[:_MAX_HEADER_CHARS])
    return " ".join(printable.split())
