"""Which copy of a profile a session starts from, what its head says, and which snapshot makes room for a new one.

The ``generation`` is the id of a profile's content; it is renewed by every creation and every restore. The head names
the generation that was last launched, or the one of a login that the last launch did not find: that login lies where it
lay. So a local profile whose generation is the head's is the newest copy, on whatever node it lies, and no other is.
Without a head nobody has launched the session so far. Pure.
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
    login: bool = False
    """Whether its content should hold a login."""


def choose(
    local: str | None, head: ProfileHead | None, *, snapshots: int, linked: bool, distrust: str | None = None
) -> Choice:
    """Choose the copy for a launch.

    Args:
        local: Generation of the local profile, None where there is none.
        head: What is the newest, anywhere.
        snapshots: How many can be restored.
        linked: Whether the local profile has held a login that nobody has ended since.
        distrust: Why the local profile is not to be used even if it is the newest, if so.
    """
    if head is None:
        return Choice(Source.FRESH) if local is None else Choice(Source.LOCAL, login=linked)
    if local == head.generation and (distrust is None or not head.linked):
        return Choice(Source.LOCAL, login=head.linked)
    if not head.linked:
        # Nothing worth having was lost; another login's leftovers would only confuse.
        return Choice(Source.FRESH)
    if snapshots:
        return Choice(Source.SNAPSHOT, distrust or RESTORED, login=True)
    return _what_is_left(local, head, linked=linked, distrust=distrust)


def _what_is_left(local: str | None, head: ProfileHead, *, linked: bool, distrust: str | None) -> Choice:
    """Choose where a login is missing and there is nothing to be restored."""
    if local is None:
        return Choice(Source.FRESH, distrust or LOST)
    if local == head.generation:
        return Choice(Source.LOCAL, distrust, login=True)
    if linked:
        return Choice(Source.LOCAL, distrust or OUTDATED, renew=True, login=True)
    # As good as none; it stays, for the quarantine is kept for what is worth more.
    return Choice(Source.LOCAL, distrust or LOST, renew=True)


def wants_snapshots(local: str | None, head: ProfileHead | None, distrust: str | None) -> bool:
    """Tell whether the choice depends on how many snapshots there are."""
    return choose(local, head, snapshots=1, linked=False, distrust=distrust).source is Source.SNAPSHOT


def head_at_launch(head: ProfileHead | None, chosen: Choice, *, epoch: int, node: str, generation: str) -> ProfileHead:
    """Return what the head must say when a copy is launched.

    A login that was not found keeps being named: its node may come back, and so may what its snapshots are read with.

    Args:
        head: What it says.
        chosen: The copy.
        epoch: The owner's.
        node: The owner's machine.
        generation: Id of the copy's content.
    """
    if head and head.linked and not chosen.login:
        return head.model_copy(update={"epoch": epoch, "node": node})
    return ProfileHead(epoch=epoch, node=node, generation=generation, linked=chosen.login)


def head_after_logout(*, epoch: int, node: str) -> ProfileHead:
    """Return what the head must say after a logout: nothing that lies anywhere is the newest any more."""
    return ProfileHead(epoch=epoch, node=node, generation=f"ended-{epoch}")


def head_after(head: ProfileHead, fact: Fact, generation: str, *, elsewhere: bool = False) -> ProfileHead:
    """Return what the head must say after a fact of the page.

    Args:
        head: What it says.
        fact: What the page told.
        generation: Id of the content now: the end of a login renews it under a running browser.
        elsewhere: Whether the login that the head names lies elsewhere: nothing that ends here is its end.
    """
    if elsewhere and not isinstance(fact, Linked | Synced):
        return head
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
