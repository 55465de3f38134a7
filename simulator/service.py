"""What the running service holds beside the lasting world: connections, codes, faults, settings and recent events.

It may not import `connection` at run time (a connection is given its service) and does no I/O.
"""

import asyncio
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from simulator.errors import NotConnectedError
from simulator.faults import Faults
from simulator.media import MediaStore
from simulator.settings import SimulatorSettings
from simulator.world import World

if TYPE_CHECKING:
    from simulator.connection import Connection

MAX_EVENTS: Final = 2_000
"""Recent events kept for `GET /ctl/state`; older ones are forgotten."""


class Timer(Protocol):
    """Something that will happen later unless it is cancelled."""

    def cancel(self) -> None:
        """Make it not happen."""


CallLater = Callable[[float, Callable[[], None]], Timer]
"""Calls a function after some seconds: the event loop's `call_later`, or a test's."""


def call_later_in_loop(delay_s: float, function: Callable[[], None]) -> Timer:
    """The running event loop's `call_later`."""
    return asyncio.get_running_loop().call_later(delay_s, function)


class Service:
    """The WhatsApp service: its world and everything that ends with the process."""

    def __init__(
        self,
        world: World,
        settings: SimulatorSettings,
        *,
        media: MediaStore | None = None,
        clock: Callable[[], float] = time.time,
        call_later: CallLater = call_later_in_loop,
        token: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self.world = world
        self.settings = settings
        self.media = media or MediaStore()
        self.faults = Faults()
        self.now = clock
        self.call_later = call_later
        self.token = token
        """Makes a random hexadecimal text from a number of bytes."""
        self.connections: dict[int, Connection] = {}
        self.refs: dict[str, Connection] = {}
        """Valid QR references, and which page shows each."""
        self.codes: dict[str, Connection] = {}
        """Valid link codes, and which page asked for each."""
        self.conflicts: Counter[str] = Counter()
        """How often a login of an account was used while another page was still connected with it."""
        self.events: deque[dict[str, Any]] = deque(maxlen=MAX_EVENTS)

    def note(self, event: Mapping[str, Any]) -> None:
        """Keep an event for `GET /ctl/state`."""
        self.events.append({**event, "at": self.now()})

    def of_account(self, wid: str) -> list["Connection"]:
        """The connections of an account's pages, ready or not."""
        return [connection for connection in self.connections.values() if connection.wid == wid]

    def ready_page(self, wid: str) -> "Connection | None":
        """The ready connection of an account's page, or None."""
        return next((connection for connection in self.of_account(wid) if connection.ready), None)

    def page_of(self, wid: str) -> "Connection":
        """The connection of an account's page that is logged in, synced or not.

        Raises:
            NotConnectedError: there is none.
        """
        for connection in self.of_account(wid):
            if connection.logged_in:
                return connection
        raise NotConnectedError(f"no page of {wid} is logged in: link it, or wait until it is connected", wid=wid)

    def wid_of_token(self, token: str | None) -> str | None:
        """The account of a linked page's credential, or None."""
        device = self.world.devices.get(token or "")
        return device.wid if device and device.alive else None
