"""What goes into a ``SessionCore`` and what comes out of it.

Inputs are past-tense facts and commands; effects are imperatives that the shell carries out. All are frozen values, so
a test reads like a conversation. Facts of the page (``actors.core.facts``) are inputs as they are. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, auto

from actors.core.attempts import Settle
from actors.core.facts import BrowserEnded, Fact, PageEnded
from actors.core.lifecycle import State
from actors.core.mailbox import Held, Read
from actors.messages.events import SessionEventName
from actors.messages.jobs import LaneName

# --- inputs -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Open the browser."""

    sends: Sequence[float] = ()
    """Monotonic moments at which former owners sent, as far as the rate window reaches back."""
    wid: str | None = None
    """The account that was linked last."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End; a send in flight is finished first if ``drain``."""

    reason: str | None
    drain: bool = True


@dataclass(frozen=True, slots=True)
class Restart:
    """Close the browser and open it again."""


@dataclass(frozen=True, slots=True)
class Logout:
    """Unlink, cancel the queue, put the profile aside."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Hold (or, with False, go on with) everything but direct sends."""

    paused: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


@dataclass(frozen=True, slots=True)
class JobsCancelled:
    """Every job that was in the log has ended."""


@dataclass(frozen=True, slots=True)
class OpenFailed:
    """The browser could not be opened, or the page not be reloaded."""

    reason: str


@dataclass(frozen=True, slots=True)
class ProfileChosen:
    """A browser is about to open on this copy of the profile."""

    expects_login: bool
    """Whether its content has held a login that nobody has ended since."""
    reason: str | None
    """What a person should know of it."""


@dataclass(frozen=True, slots=True)
class Restoring:
    """A snapshot is being brought here, which may take long; the browser opens after it."""


@dataclass(frozen=True, slots=True)
class CopyMissed:
    """The running browser's profile could not be copied this time."""


@dataclass(frozen=True, slots=True)
class Probed:
    """The page answered a probe."""

    ready: bool
    reason: str
    server_answered: bool | None = None
    """Whether WhatsApp's server answered a question; None: it was not asked, since something arrived lately."""
    unheard: int = 0
    """Frames that came in and that nothing in the page took in since."""
    unheard_for_s: float = 0.0
    """How long ago the first of them came."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """The session's processes were weighed."""

    pss_bytes: int


@dataclass(frozen=True, slots=True)
class PageSilent:
    """The page let a deadline pass."""

    reason: str
    answers_others: bool = False
    """Whether it is a single question that it does not answer: nothing is wrong with the connection."""


@dataclass(frozen=True, slots=True)
class Faulted:
    """Something of ours broke, or the session may not begin."""

    reason: str


@dataclass(frozen=True, slots=True)
class Woken:
    """Jobs may have been stored."""

    lane: LaneName | None


@dataclass(frozen=True, slots=True)
class JobsRead:
    """The log answered."""

    read: Read
    jobs: Sequence[Held]


@dataclass(frozen=True, slots=True)
class ReadFailed:
    """The log did not answer."""

    lane: LaneName


class Fate(StrEnum):
    """How the handling of a job ended for now."""

    FINISHED = auto()
    """It has its outcome and is out of the log."""
    NEEDS_SLOT = auto()
    """An attempt is called for, but the handling had no place in the rate window."""
    NEEDS_PAGE = auto()
    """Only a ready page can tell what became of an attempt."""
    DOUBTED = auto()
    """A message may still leave; the page has to be renewed before anything is repeated."""
    UNAVAILABLE = auto()
    """A store did not answer; nothing is lost, try again in a moment."""


@dataclass(frozen=True, slots=True)
class Handled:
    """The handling of a job ended."""

    held: Held
    fate: Fate
    called: bool
    """Whether the message may have reached the server: a send was called, or one of a former owner was found."""
    failure: PageSilent | PageEnded | BrowserEnded | None = None
    """What broke under it."""
    page_gone: bool = False
    """Whether the page it was called in is gone, and nothing can leave any more."""

    @property
    def may_still_send(self) -> bool:
        """Whether its message may leave after this: the call was given up, not answered."""
        return self.called and self.fate is not Fate.FINISHED and not self.page_gone


SessionInput = (
    Start | Stop | Restart | Logout | Pause | Tick | JobsCancelled | OpenFailed | Restoring | ProfileChosen | CopyMissed
    | Probed | PageSilent | Weighed | Faulted | Woken | JobsRead | ReadFailed | Handled | Fact
)  # fmt: skip


# --- effects ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenBrowser:
    """Open the browser on the profile."""

    distrust: str | None = None
    """Why the local copy of the profile is not to be used, if so."""


@dataclass(frozen=True, slots=True)
class ReloadPage:
    """Replace the page; what was in flight in it is over then."""


@dataclass(frozen=True, slots=True)
class CloseBrowser:
    """Close the browser; what was in flight in it is over then."""


@dataclass(frozen=True, slots=True)
class RefreshQr:
    """Ask for a new round of QRs."""


@dataclass(frozen=True, slots=True)
class RequestCode:
    """Ask for a link code."""

    phone_number: str


@dataclass(frozen=True, slots=True)
class SettleDoubts:
    """Ask the page about messages that may have left, and end their jobs by what it says."""


@dataclass(frozen=True, slots=True)
class LogOut:
    """Unlink this device on WhatsApp, as far as the page is able to."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Move the profile aside."""


@dataclass(frozen=True, slots=True)
class CancelJobs:
    """End every job of the log as cancelled."""


@dataclass(frozen=True, slots=True)
class End:
    """The session is over: announce it and let the actor go."""

    state: State
    event: SessionEventName
    previous: State
    reason: str | None


@dataclass(frozen=True, slots=True)
class ProbePage:
    """Make a round trip through the page."""


@dataclass(frozen=True, slots=True)
class CopyProfile:
    """Make a snapshot of the running browser's profile."""


@dataclass(frozen=True, slots=True)
class WeighProcesses:
    """Measure the memory of everything the session runs."""


@dataclass(frozen=True, slots=True)
class ReadJobs:
    """Read from the job log."""

    read: Read


@dataclass(frozen=True, slots=True)
class HandleJob:
    """Bring a job as far as it may go."""

    held: Held
    ready: bool
    """Whether the page may be asked."""
    may_send: bool
    """Whether a place in the rate window is taken for it."""
    refusal: Settle | None = None
    """Why no attempt may begin, if so."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Publish a change of state."""

    event: SessionEventName
    state: State
    previous: State
    reason: str | None
    retry_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class AnnounceQr:
    """Publish a QR."""

    qr: str
    sequence: int
    ttl_s: float


@dataclass(frozen=True, slots=True)
class AnnounceCode:
    """Publish a link code."""

    code: str
    phone_number: str
    ttl_s: float


@dataclass(frozen=True, slots=True)
class PutStatus:
    """Write the status as it is now."""


@dataclass(frozen=True, slots=True)
class Log:
    """Write a log line."""

    text: str
    warning: bool = False


PageEffect = (
    OpenBrowser | ReloadPage | CloseBrowser | RefreshQr | RequestCode | SettleDoubts | LogOut | Quarantine | CancelJobs
    | End
)  # fmt: skip
"""Effects that are carried out one after the other."""
SessionEffect = (
    PageEffect | ProbePage | CopyProfile | WeighProcesses | ReadJobs | HandleJob | Announce | AnnounceQr | AnnounceCode
    | PutStatus | Log
)  # fmt: skip
