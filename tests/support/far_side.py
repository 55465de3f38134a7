"""WhatsApp's server and a profile on disk, as far as fake pages know them."""

from collections.abc import Callable
from dataclasses import dataclass, field


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
    linked: bool = True
    quarantined: int = 0
    logouts: int = 0
    accepted_at: list[float] = field(default_factory=list)
    """When, for each of ``accepted``, by the server's own time."""
    time: Callable[[], float] = lambda: 0.0

    def accept(self, full_key: str) -> None:
        self.accepted.append(full_key.split("_")[2])
        self.accepted_at.append(self.time())
        self.stored[full_key] = 1
