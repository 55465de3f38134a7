"""Bounds on what the gateway holds at once, in all and per session. Pure.

Over a bound a request is refused at once: a tenant that floods the gateway or asks a session that does not answer takes
places of its own session only.
"""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Final

from actors.errors import Unavailable


class Bound:
    """So many places in all, so many of them for one key."""

    def __init__(self, what: str, *, total: int, per_key: int) -> None:
        self._what: Final = what
        self._total: Final = total
        self._per_key: Final = per_key
        self._taken: Final[Counter[Hashable]] = Counter()
        self._count = 0

    @contextmanager
    def place(self, key: Hashable) -> Iterator[None]:
        """Hold a place.

        Raises:
            Unavailable: None is free.
        """
        if self._count >= self._total or self._taken[key] >= self._per_key:
            raise Unavailable(
                f"too many {self._what} at once (at most {self._total}, {self._per_key} for one session); try again",
                {"max_total": self._total, "max_per_session": self._per_key},
            )
        self._count += 1
        self._taken[key] += 1
        try:
            yield
        finally:
            self._count -= 1
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]
