"""Whether the profile should hold a login, and whether it may be restored because it does not (DESIGN 7 "Profiles").

A login that vanished without a word about a logout is taken from the last snapshot once; if it is gone there too, a
person has to scan. After READY held for long, the next loss is a new one. Pure.
"""

from typing import Final

from actors.core import profiles, signals
from actors.core.facts import Fact, QrIdle, QrShown
from actors.core.lifecycle import State
from actors.errors import ProfileDamaged

LOGIN_LOST: Final = "login_lost"
"""The profile was linked and shows a QR."""
PROFILE_DAMAGED: Final = ProfileDamaged.code
"""The browser does not start on it, or the page could not use its storage."""


class LoginWatch:
    """Watches over the login of one session's profile."""

    def __init__(self, stable_after_s: float) -> None:
        self._stable_after_s = stable_after_s
        self._expected = False
        self._notice: str | None = None
        self._spent = False
        self._ready_since: float | None = None
        self.distrust: str | None = None
        """Why the local profile is to be restored, until one was chosen: a store may be away when the browser opens."""

    def chosen(self, item: signals.ProfileChosen) -> None:
        """Note which copy of the profile a browser opens on."""
        self._expected, self._notice = item.expects_login, item.reason
        self._spent = self._spent or self.reopening
        self.distrust = None

    @property
    def reopening(self) -> bool:
        """Whether a restore was ordered and has not come so far: what a page tells now is of the browser before it."""
        return self.distrust is not None

    def ready(self, now: float) -> None:
        """Note that the profile holds a login."""
        self._expected, self._ready_since = True, now

    def left_ready(self, now: float) -> None:
        """Note that READY ended."""
        self._spent = self._spent and not self._was_stable(now)
        self._ready_since = self._notice = None

    def refill(self) -> None:
        """Allow a restore again."""
        self._spent, self.distrust = False, None

    def restore(self, reason: str | None) -> None:
        """Note that the profile is to be restored; that is done once a copy was chosen."""
        self.distrust = reason or LOGIN_LOST

    def vanished(self, fact: Fact, now: float) -> str | None:
        """Return why the profile has to be restored, if a fact says so and it was not restored just before."""
        if not self._may_restore(now):
            return None
        if isinstance(fact, QrShown | QrIdle):
            return LOGIN_LOST
        if not profiles.is_storage_loss(fact):
            return None
        return LOGIN_LOST if fact == profiles.QR_WITHOUT_LOGOUT else PROFILE_DAMAGED

    def damaged(self, reason: str, now: float) -> bool:
        """Tell whether a browser did not open for the sake of its profile, which may be restored."""
        return reason == PROFILE_DAMAGED and self._may_restore(now)

    def reason_in(self, state: State) -> str | None:
        """Return what a person should know of the profile in a state that has no reason of its own."""
        match state:
            case State.PAIRING:
                return LOGIN_LOST if self._expected else self._notice
            case State.SYNCING | State.READY:
                return self._notice
        return None

    def _may_restore(self, now: float) -> bool:
        return self._expected and not self.reopening and (not self._spent or self._was_stable(now))

    def _was_stable(self, now: float) -> bool:
        return self._ready_since is not None and now - self._ready_since >= self._stable_after_s
