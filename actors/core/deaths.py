"""Which owners of a session are known to be dead: the proof by which the next one may take their lease early. Pure.

An owner is known by the id that its heartbeats tell. Its death is noted when the host reports the end of its actor, and
counts until a later owner holds the lease: a successor that dies before it got so far leaves the first one's lease.
"""

from collections import defaultdict, deque
from collections.abc import Container
from typing import Final

from actors.messages.ids import SessionKey

_REMEMBERED: Final = 8
"""Owners of one session that died without anyone holding the lease since; more than the restart budget allows."""


class DeathRegister:
    """Remembers the living owner and the dead ones of each session."""

    def __init__(self) -> None:
        self._living: dict[SessionKey, str] = {}
        self._dead: defaultdict[SessionKey, deque[str]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))

    def alive(self, key: SessionKey, owner_id: str, *, holds_lease: bool) -> None:
        """Note a sign of life of a session's owner."""
        self._living[key] = owner_id
        if holds_lease:
            self._dead.pop(key, None)

    def ended(self, key: SessionKey) -> None:
        """Note that the actor of a session was reported to have ended."""
        owner_id = self._living.pop(key, None)
        if owner_id:
            self._dead[key].append(owner_id)

    def dead_owners(self, key: SessionKey) -> tuple[str, ...]:
        """Return the owners whose lease may still be there."""
        return tuple(self._dead.get(key, ()))

    def keep_only(self, wanted: Container[SessionKey]) -> None:
        """Forget the dead of sessions that nobody wants any more."""
        for key in [key for key in self._dead if key not in wanted]:
            del self._dead[key]
