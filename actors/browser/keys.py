"""Message keys: ``true_<chat>_<bare id>``, in groups with ``_<own id>`` behind it. Pure."""

from collections import OrderedDict
from typing import Final

MAX_KEYS: Final = 10_000
"""How many sent messages are remembered."""


def chat_of(full_key: str) -> str:
    """Return the chat in a key."""
    return full_key.split("_", 2)[1]


def bare_of(full_key: str) -> str:
    """Return the bare id in a key."""
    return full_key.split("_", 3)[2]


class SentKeys:
    """The keys under which messages were sent, newest last.

    Receipts name a message by the chat they came from and, in groups, end it with the member who read it. What the
    session knows is the key it sent under; the bare id joins the two.
    """

    def __init__(self) -> None:
        self._keys: OrderedDict[str, str] = OrderedDict()

    def note(self, full_key: str) -> None:
        """Remember a key."""
        bare = bare_of(full_key)
        self._keys[bare] = full_key
        self._keys.move_to_end(bare)
        if len(self._keys) > MAX_KEYS:
            self._keys.popitem(last=False)

    def sent_under(self, key: str) -> str:
        """Return the key a message was sent under; the given one if it is not remembered."""
        return self._keys.get(bare_of(key), key)
