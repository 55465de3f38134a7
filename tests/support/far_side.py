"""WhatsApp's server and a profile on disk, as far as fake pages know them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from actors.core.facts import Fact, Linked, Unlinked
from actors.errors import PageRefused, PageUnresponsive

_CALL_TIMEOUT_S = 10


@dataclass
class FakeWhatsApp:
    """The far side, and the profile on disk: both outlive every page."""

    accepted: list[str] = field(default_factory=list)
    """Bare ids in the order in which the server accepted them, repeats included."""
    stored: dict[str, int] = field(default_factory=dict)
    """The profile's messages: full key to ack."""
    wid: str = "6281111111111@c.us"
    generation: str = "generation-1"
    missing: bool = False
    """Whether there is no profile on this machine."""
    marked_linked: bool = False
    """Whether the profile has held a login that nobody has ended since."""
    linked: bool = True
    quarantined: int = 0
    logouts: int = 0
    accepted_at: list[float] = field(default_factory=list)
    """When, for each of ``accepted``, by the server's own time."""
    time: Callable[[], float] = lambda: 0.0
    sleep: Callable[[float], Awaitable[None]] | None = None
    refusals: dict[str, int] = field(default_factory=dict)
    """How many questions about an address its page answers with an error."""
    silences: dict[str, int] = field(default_factory=dict)
    """How many questions about an address get no answer from its page, which answers all others."""

    def note(self, fact: Fact) -> None:
        """Keep what a fact means for the profile on disk."""
        if isinstance(fact, Linked | Unlinked):
            self.marked_linked = isinstance(fact, Linked)

    async def fail_on(self, address: str) -> None:
        """Raise what a page raises that answers a question with an error or not at all, where that is planned."""
        if self.silences.get(address, 0) > 0 and self.sleep:
            self.silences[address] -= 1
            await self.sleep(_CALL_TIMEOUT_S)
            raise PageUnresponsive(f"resolve: no answer from the page in {_CALL_TIMEOUT_S} s", {"call": "resolve"})
        if self.refusals.get(address, 0) > 0:
            self.refusals[address] -= 1
            raise PageRefused("resolve: error: No LID for user", {"connected": True})

    def accept(self, full_key: str) -> None:
        self.accepted.append(full_key.split("_")[2])
        self.accepted_at.append(self.time())
        self.stored[full_key] = 1
