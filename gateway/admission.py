"""Bounds on what the gateway holds at once: in all, per tenant and per session. Pure.

Over a bound a request is refused at once. A session that does not answer takes its own places only, and a tenant with
many of them (or with an order for many session ids) its own share, never the places of the others.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from actors.errors import Unavailable
from actors.messages.ids import SessionKey


class Bound:
    """So many places in all, so many of them for one tenant, and so many for one session."""

    def __init__(self, what: str, *, total: int, per_tenant: int, per_session: int) -> None:
        self._what: Final = what
        self._total: Final = total
        self._per_tenant: Final = per_tenant
        self._per_session: Final = per_session
        self._count = 0
        self._of_tenant: Final[Counter[str]] = Counter()
        self._of_session: Final[Counter[SessionKey]] = Counter()

    @contextmanager
    def place(self, key: SessionKey) -> Iterator[None]:
        """Hold a place for a session of a tenant.

        Raises:
            Unavailable: None is free.
        """
        if (
            self._count >= self._total
            or self._of_tenant[key.tenant_id] >= self._per_tenant
            or self._of_session[key] >= self._per_session
        ):
            raise Unavailable(
                f"too many {self._what} at once (at most {self._total}, {self._per_tenant} for one tenant, "
                f"{self._per_session} for one session); try again",
                {
                    "max_total": self._total,
                    "max_per_tenant": self._per_tenant,
                    "max_per_session": self._per_session,
                },
            )
        self._change(key, 1)
        try:
            yield
        finally:
            self._change(key, -1)

    def _change(self, key: SessionKey, by: int) -> None:
        self._count += by
        self._of_tenant[key.tenant_id] += by
        self._of_session[key] += by
        if not self._of_tenant[key.tenant_id]:
            del self._of_tenant[key.tenant_id]
        if not self._of_session[key]:
            del self._of_session[key]
