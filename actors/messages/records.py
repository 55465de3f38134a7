"""Records in NATS KV besides job records: desired sessions, leases, epochs, profile heads, snapshots. Pure.

Buckets: ``wa_sessions`` (desired), ``wa_status`` (observed: a SessionStatus written by the owner), ``wa_leases``
(TTL 15 s), ``wa_epochs``, ``wa_profile_heads``. Keys are ``<tenant>.<session>``.
"""

from typing import Final, Literal

from actors.messages.base import Message, Timestamp
from actors.messages.commands import RateLimit
from actors.messages.replies import SessionStatus

ENDED_STATES: Final = frozenset({"stopped", "logged_out", "failed", "blocked"})
"""States that a session leaves only when it is started again."""


class DesiredSession(Message):
    """What a tenant asked for; the supervisor makes it so."""

    tenant_id: str
    session_id: str
    target: Literal["running", "stopped", "logged_out"]
    phone_number: str | None = None
    pairing: Literal["qr", "code"] = "qr"
    rate_limit: RateLimit = RateLimit()
    proxy: str | None = None
    paused: bool = False
    revision_of_start: int = 0
    """Counts starts by a person: a raised number restarts a failed session and refills its budget."""
    started_at: Timestamp | None = None
    """When that number was last raised."""
    changed_at: Timestamp

    def outdates(self, status: SessionStatus) -> bool:
        """Tell whether a status is of a life before the one that was ordered: its end says nothing of the new one."""
        return self.target == "running" and status.state in ENDED_STATES and self.ordered_after(status)

    def ordered_after(self, status: SessionStatus) -> bool:
        """Tell whether the last start, restart or logout was ordered when the session was in that state already."""
        return self.started_at is not None and self.started_at > status.since


class LeaseRecord(Message):
    """Who owns a session. Only the server's clock and the revision count, never a node's time."""

    owner_id: str
    """Random id of one owner's life."""
    node: str
    pid: int
    started: float = 0.0
    """When that process started, in seconds since 1970: pids are used again."""
    actor_name: str | None = None
    browser_pids: tuple[tuple[int, float], ...] = ()
    """Pids of the browser's processes with their start times: a successor must see them gone. Empty from before a
    launch until they are known."""


class EpochRecord(Message):
    """The fencing number of a session; only ever raised."""

    epoch: int


class ProfileHead(Message):
    """Which copy of a profile is the newest. A local profile counts only if it matches."""

    epoch: int
    node: str
    generation: str
    linked: bool = False
    """Whether this content has held a login that nobody has ended since: worth restoring where it is missing."""


class SnapshotManifest(Message):
    """What lies beside an encrypted profile snapshot in the object store."""

    epoch: int
    generation: str
    browser_build: str
    sha256: str
    size_bytes: int
    taken_at: Timestamp
    was_running: bool
