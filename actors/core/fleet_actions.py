"""The supervisor's vocabulary: where a session's actor is, what to do about it, what the shell sees. Pure values."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final

from actors.core.lifecycle import State
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.messages.replies import SessionStatus


class Phase(StrEnum):
    """Where a session's actor is, as far as the supervisor knows."""

    PENDING = auto()
    """Has no actor and shall have one."""
    CREATING = auto()
    """Is being created, or adopted."""
    LIVING = auto()
    ENDING = auto()
    """Was asked to end."""
    KILLING = auto()
    ENDED = auto()
    """Has no actor and gets none before a person asks for it."""


WITH_ACTOR: Final = frozenset({Phase.CREATING, Phase.LIVING, Phase.ENDING, Phase.KILLING})


class Wish(StrEnum):
    """What a session's actor is there for."""

    RUN = auto()
    MOVE = auto()
    """To end, since its node is about to, and to live on elsewhere."""
    STOP = auto()
    LOG_OUT = auto()


@dataclass(frozen=True, slots=True)
class Start:
    """Create the actor; report ``started``, ``no_slot`` or ``died``."""

    key: SessionKey
    desired: DesiredSession


@dataclass(frozen=True, slots=True)
class Adopt:
    """Find the living actor; report ``adopted`` or ``lost``."""

    key: SessionKey


@dataclass(frozen=True, slots=True)
class Beat:
    """Ask for a heartbeat; report ``beat``."""

    key: SessionKey


@dataclass(frozen=True, slots=True)
class End:
    """Ask the actor to drain, to stop or to log out; its end reports itself."""

    key: SessionKey
    wish: Wish


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the actor and wait for its process's end; report ``died`` or ``kill_failed``."""

    key: SessionKey


@dataclass(frozen=True, slots=True)
class Announce:
    """Write the status of a session that has no actor to do it."""

    key: SessionKey
    state: State
    reason: str | None


Action = Start | Adopt | Beat | End | Kill | Announce


@dataclass(frozen=True, slots=True)
class Observed:
    """What the shell sees besides the facts it reports."""

    statuses: Mapping[SessionKey, SessionStatus]
    living: Collection[SessionKey] = ()
    """Actors that the host lists; empty where it was not asked this time."""
    nodes: int = 1
    """Nodes with ``browser`` slots."""
    leaving: Collection[SessionKey] = ()
    """Sessions on nodes that are about to end in order."""
