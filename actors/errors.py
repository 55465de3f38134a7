"""The errors of wafleet, each with the code a tenant sees (DESIGN section 2).

WafleetError
├── CommandRejected      the tenant's doing, never retried
│   ├── InvalidCommand · UnknownSession · UnknownJob · Unsupported
├── Backpressure         try again later
│   ├── QueueFull · RateLimited · Unavailable
├── SessionFailure       the session cannot do it in its present state
│   ├── SessionNotReady · ReconnectExhausted · AccountRestricted
├── SendFailure          the fate of one message
│   ├── RecipientNotFound · MediaRejected · SendFailed · SendUnconfirmed · JobExpired · JobCancelled
├── PageFailure          the far side's doing: becomes an input of the state machine, never reaches a tenant as such
│   ├── BrowserLaunchFailed · BrowserGone · PageCrashed · PageUnresponsive · QuestionUnanswered · PageRefused ·
│       ProfileInUse · ProfileDamaged
└── SnapshotFailure      a copy of a profile cannot be made or used; a session goes on without it
    ├── ProfileUnsteady · SnapshotTooLarge · SnapshotDamaged · SnapshotKeyWrong

InvalidTransition (AssertionError) is a bug in us and is never caught by name.

Imports nothing of wafleet. Every class carries its fields as ``details`` and can be pickled.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self


class WafleetError(Exception):
    """Base of all errors; instantiate a leaf instead.

    Attributes:
        code: The word tenants and programs match on.
        retryable: Whether the same request may succeed later without a change.
        details: Fields that say what was expected and got, safe to show to the tenant.
    """

    code: ClassVar[str] = ""
    retryable: ClassVar[bool] = False

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """Refuse to build a class that names no code: only leaves are thrown."""
        if not cls.code:
            msg = f"{cls.__name__} is an abstract error; raise one of its subclasses"
            raise TypeError(msg)
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, dict(details or {}))

    @property
    def message(self) -> str:
        """What happened and what to do, on one line."""
        return str(self.args[0])

    @property
    def details(self) -> dict[str, Any]:
        """Structured fields of the error."""
        details: dict[str, Any] = self.args[1]
        return details

    def __str__(self) -> str:
        return self.message


class CommandRejected(WafleetError):
    """The command itself is wrong."""


class InvalidCommand(CommandRejected):
    """The body, an id or a combination of fields is not allowed."""

    code = "invalid_command"


class UnknownSession(CommandRejected):
    """No session of that id was ever started."""

    code = "unknown_session"

    @classmethod
    def named(cls, session_id: str) -> Self:
        """Build the error for one session id."""
        return cls(f"session {session_id!r} was never started; send session.start first", {"session_id": session_id})


class UnknownJob(CommandRejected):
    """No job of that id is known; records are kept for 3 days after the outcome, or as ``record_ttl_s`` says."""

    code = "unknown_job"


class Unsupported(CommandRejected):
    """The command or option exists in the contract but is not built yet."""

    code = "unsupported"


class Backpressure(WafleetError):
    """Too much at once, or a part of the system is away."""

    retryable = True


class QueueFull(Backpressure):
    """The lane holds its limit of waiting jobs."""

    code = "queue_full"


class RateLimited(Backpressure):
    """The session's window is full."""

    code = "rate_limited"

    @classmethod
    def until(cls, retry_after_ms: int) -> Self:
        """Build the error with the wording users know; seconds are rounded up."""
        seconds = -(-retry_after_ms // 1000)
        return cls(f"Rate limit exceeded. Try again in {seconds} seconds", {"retry_after_ms": retry_after_ms})


class Unavailable(Backpressure):
    """A part of the system did not answer within its deadline; nothing is known to have changed."""

    code = "unavailable"


class SessionFailure(WafleetError):
    """The session cannot do this in its present state."""


class SessionNotReady(SessionFailure):
    """The command needs a ready session."""

    code = "session_not_ready"
    retryable = True

    @classmethod
    def in_state(cls, state: str) -> Self:
        """Build the error for the state the session is in."""
        return cls(f"WhatsApp session not ready (state: {state})", {"state": state})


class ReconnectExhausted(SessionFailure):
    """All reconnect attempts failed; a person has to start the session again."""

    code = "reconnect_exhausted"

    @classmethod
    def after(cls, reason: str | None) -> Self:
        """Build the error with the last known reason."""
        return cls("Max reconnect attempts reached", {"reason": reason})


class AccountRestricted(SessionFailure):
    """WhatsApp blocked or restricted the account."""

    code = "account_restricted"


class SendFailure(WafleetError):
    """Why a message was not, or not certainly, sent."""


class RecipientNotFound(SendFailure):
    """The number or group does not exist on WhatsApp."""

    code = "recipient_not_found"


class MediaRejected(SendFailure):
    """The media could not be fetched or is not allowed."""

    code = "media_rejected"


class SendFailed(SendFailure):
    """WhatsApp refused the message, or attempts ran out."""

    code = "send_failed"


class SendUnconfirmed(SendFailure):
    """The message may or may not have left; it is never sent again."""

    code = "send_unconfirmed"


class JobExpired(SendFailure):
    """``expires_at`` passed before an attempt began."""

    code = "expired"


class JobCancelled(SendFailure):
    """The job was cancelled before an attempt began."""

    code = "cancelled"


class PageFailure(WafleetError):
    """Something under the session broke; it becomes one input of the state machine."""

    retryable = True


class BrowserLaunchFailed(PageFailure):
    """The browser did not start or the page did not load."""

    code = "browser_launch_failed"


class BrowserGone(PageFailure):
    """The browser or Playwright's driver ended."""

    code = "browser_gone"


class PageCrashed(PageFailure):
    """The renderer of the page ended."""

    code = "page_crashed"


class PageUnresponsive(PageFailure):
    """The page did not answer within its deadline."""

    code = "page_unresponsive"


class QuestionUnanswered(PageFailure):
    """The page left one question unanswered, though WhatsApp's server answered another one through it."""

    code = "question_unanswered"


class PageRefused(PageFailure):
    """The page, connected and well, answered one question with an error: another page would hardly answer better."""

    code = "page_refused"


class ProfileInUse(PageFailure):
    """Another live process holds the profile's lock."""

    code = "profile_in_use"


class ProfileDamaged(PageFailure):
    """The browser starts, but not on this profile."""

    code = "profile_damaged"


class SnapshotFailure(WafleetError):
    """A copy of a profile cannot be made or used."""


class ProfileUnsteady(SnapshotFailure):
    """The profile changed while it was copied; the copy would be torn."""

    code = "profile_unsteady"
    retryable = True


class SnapshotTooLarge(SnapshotFailure):
    """The profile, without its caches, exceeds the limit."""

    code = "snapshot_too_large"

    @classmethod
    def beyond(cls, size_bytes: int, max_bytes: int) -> Self:
        """Build the error for a profile of a size."""
        return cls(
            f"the profile has {size_bytes} bytes without its caches, at most {max_bytes} are copied; "
            'raise WAFLEET_SESSION=\'{"profile": {"max_bytes": …}}\'',
            {"size_bytes": size_bytes, "max_bytes": max_bytes},
        )

    @classmethod
    def of_files(cls, files: int, max_files: int) -> Self:
        """Build the error for a profile of that many files."""
        return cls(
            f"the profile has {files} files without its caches, at most {max_files} are copied",
            {"files": files, "max_files": max_files},
        )


class SnapshotDamaged(SnapshotFailure):
    """The copy is not what was once written: cut short, changed or in the wrong order."""

    code = "snapshot_damaged"


class SnapshotKeyWrong(SnapshotFailure):
    """The copy was made with another key, or for another session."""

    code = "snapshot_key_wrong"


class InvalidTransition(AssertionError):
    """An input that the table does not allow in this state: a bug in wafleet, not in its user."""
