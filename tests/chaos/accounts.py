"""Which phone number each session of a run is linked to, and who gets the messages."""

from collections.abc import Sequence
from typing import Final

from actors.messages.ids import SessionKey

_FIRST_ACCOUNT: Final = 6281100000000
_FIRST_PERSON: Final = 5511990000000
"""The simulator's known people begin here."""


class Accounts:
    """The accounts of one run."""

    def __init__(self, sessions: Sequence[SessionKey]) -> None:
        self._wids = {key: f"{_FIRST_ACCOUNT + number}@c.us" for number, key in enumerate(sessions)}
        self._keys = {wid: key for key, wid in self._wids.items()}

    def wid(self, key: SessionKey) -> str:
        """The account of a session."""
        return self._wids[key]

    def key(self, wid: str) -> SessionKey | None:
        """The session of an account."""
        return self._keys.get(wid)

    @staticmethod
    def person(number: int) -> str:
        """The number of somebody who gets messages."""
        return str(_FIRST_PERSON + number)
