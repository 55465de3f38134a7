"""Which copy of a profile a session starts from, what its head says, and which snapshot makes room for a new one.

The ``generation`` is the id of a profile's content; it is renewed by every creation and every restore. The head names
the generation that was last launched. So a local profile whose generation is the head's is the newest copy, on whatever
node it lies, and no other is. Without a head nobody has launched the session since its last logout. Pure.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final

from actors.core.facts import AccountBlocked, Fact, Linked, Synced, Unlinked
from actors.messages.records import ProfileHead

STORAGE_LOSSES: Final = frozenset({
    "login_lost", "0", "storage_initialization_error", "web_fail_storage_initialization",
})  # fmt: skip
"""Reasons of ``Unlinked`` that are no logout: the page lost what it had stored, while the phone still knows the device.

"0" is WhatsApp's code for a storage that could not be opened; the page then forgets its login.
"""
QR_WITHOUT_LOGOUT: Final = Unlinked("login_lost")
"""What is told before a QR that follows on a login."""
RESTORED: Final = "profile_restored"
OUTDATED: Final = "profile_outdated"
LOST: Final = "profile_lost"
UNREADABLE: Final = "snapshot_unreadable"
SLOTS: Final = 2
"""Snapshots that are kept of a session."""


class Source(StrEnum):
    """Where a launch takes its profile from."""

    LOCAL = auto()
    SNAPSHOT = auto()
    FRESH = auto()


@dataclass(frozen=True, slots=True)
class Choice:
    """What to launch on."""

    source: Source
    reason: str | None = None
    """What a person should know of it."""
    renew: bool = False
    """Whether the local content needs a new id: what became of it since is not known."""


def choose(local: str | None, head: ProfileHead | None, *, snapshots: int, distrust: str | None = None) -> Choice:
    """Choose the copy for a launch.

    Args:
        local: Generation of the local profile, None where there is none.
        head: What was launched last, anywhere.
        snapshots: How many can be restored.
        distrust: Why the local profile is not to be used even if it is the newest, if so.
    """
    if head is None or (local == head.generation and distrust is None):
        return Choice(Source.FRESH if local is None else Source.LOCAL)
    if not head.linked:
        # Nothing worth having was lost; another login's leftovers would only confuse.
        return Choice(Source.LOCAL if local == head.generation else Source.FRESH)
    if snapshots:
        return Choice(Source.SNAPSHOT, distrust or RESTORED)
    if local is None:
        return Choice(Source.FRESH, distrust or LOST)
    return Choice(Source.LOCAL, distrust or OUTDATED, renew=local != head.generation)


def wants_snapshots(local: str | None, head: ProfileHead | None, distrust: str | None) -> bool:
    """Tell whether the choice depends on how many snapshots there are."""
    return choose(local, head, snapshots=1, distrust=distrust).source is Source.SNAPSHOT


def head_after(head: ProfileHead, fact: Fact, generation: str) -> ProfileHead:
    """Return what the head must say after a fact of the page.

    Args:
        head: What it says.
        fact: What the page told.
        generation: Id of the content now: the end of a login renews it under a running browser.
    """
    match fact:
        case Synced():
            return head.model_copy(update={"generation": generation, "linked": True})
        case Linked():
            return head.model_copy(update={"generation": generation})
        case Unlinked(reason) if reason not in STORAGE_LOSSES:
            return head.model_copy(update={"generation": generation, "linked": False})
        case AccountBlocked() if generation != head.generation:
            return head.model_copy(update={"generation": generation, "linked": False})
    # After a loss of storage the head keeps naming what was lost: whoever starts next restores it.
    return head


def may_replace(head: ProfileHead, stored: ProfileHead) -> bool:
    """Tell whether a head may be written over a stored one: not over that of an owner who came later."""
    return stored.epoch <= head.epoch


def is_storage_loss(fact: Fact) -> bool:
    """Tell whether a page says that its login is gone without anybody having ended it."""
    return isinstance(fact, Unlinked) and fact.reason in STORAGE_LOSSES


@dataclass(frozen=True, slots=True)
class Held:
    """A snapshot in its slot."""

    slot: int
    epoch: int
    revision: int
    """Order in which they were stored, by the server's count."""


def newest_first(held: Sequence[Held]) -> list[Held]:
    """Order snapshots by how new they are: the epoch first, for an owner of old may write late."""
    return sorted(held, key=lambda one: (one.epoch, one.revision), reverse=True)


def slot_for(held: Sequence[Held], *, epoch: int, bad: Collection[int] = ()) -> int | None:
    """Choose the slot of a new snapshot: an empty one, a bad one, or the oldest.

    Args:
        held: What is stored.
        epoch: The writer's.
        bad: Revisions of snapshots that were found to be of no use.

    Returns:
        The slot, or None if a newer owner has written: then there is nothing to be written any more.
    """
    if any(one.epoch > epoch for one in held):
        return None
    empty = set(range(SLOTS)) - {one.slot for one in held}
    if empty:
        return min(empty)
    worthless = [one for one in held if one.revision in bad]
    return newest_first(worthless or held)[-1].slot
