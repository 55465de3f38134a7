"""The truth log: every message that the simulated WhatsApp server accepted, in order. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from simulator.errors import QueueFullError

MAX_ACCEPTED: Final = 1_000_000
"""Messages in one truth log. It may not forget, so a full one refuses further messages."""
_CONTENT: Final = ("type", "body", "caption", "lat", "lng", "loc", "directPath")


@dataclass(frozen=True, slots=True)
class Accepted:
    """One accepted message."""

    n: int
    """Its place in the log, from 1."""
    wid: str
    """The account that sent it."""
    id: str
    """The bare message id (3EB0…)."""
    remote: str
    """The chat it was sent to."""
    type: str | None
    body: str | None
    caption: str | None
    lat: float | str | None
    lng: float | str | None
    loc: str | None
    directPath: str | None  # noqa: N815 - the page's own name for where an uploaded file lies
    dup: bool
    """Whether this account had sent a message of this id before."""
    at: float
    """When, in seconds since the epoch, by the server's clock."""

    def as_json(self) -> dict[str, Any]:
        """The entry as `GET /ctl/sent` shows it."""
        return asdict(self)


class TruthLog:
    """The accepted messages, and which ids each account has used."""

    def __init__(self, limit: int = MAX_ACCEPTED) -> None:
        self._limit = limit
        self._accepted: list[Accepted] = []
        self._seen: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return len(self._accepted)

    def entry(self, wid: str, message: Mapping[str, Any], *, at: float) -> Accepted:
        """What the log will say of a message; nothing is changed.

        Raises:
            QueueFullError: the log holds all it may hold.
        """
        if len(self._accepted) >= self._limit:
            raise QueueFullError(
                f"the truth log holds {self._limit} messages: start a new simulator", limit=self._limit
            )
        key = message["key"]
        content = {name: message.get(name) for name in _CONTENT}
        dup = (wid, key["id"]) in self._seen
        return Accepted(
            n=len(self._accepted) + 1, wid=wid, id=key["id"], remote=key["remote"], dup=dup, at=at, **content
        )

    def append(self, entry: Accepted) -> None:
        """Keep an entry."""
        self._accepted.append(entry)
        self._seen.add((entry.wid, entry.id))

    def since(self, n: int, limit: int) -> list[Accepted]:
        """The entries after number `n`, at most `limit` of them, oldest first."""
        return self._accepted[n : n + limit]

    def last(self, count: int) -> list[Accepted]:
        """The newest entries, oldest first."""
        return self._accepted[-count:]
