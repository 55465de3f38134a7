"""Stand-ins for every port of a session (stores: ``memory``), and a clock that tests move.

A scripted fake acts by its plan, one word per call, and goes on with the default when the plan is used up. Whatever the
"WhatsApp server" accepted stands in ``FakeWhatsApp.accepted``, repeats included: the truth log of these tests.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from actors.core.facts import AckChanged, BrowserEnded, Fact, Linked, PageEnded, QrShown, Synced
from actors.errors import (
    BrowserGone,
    BrowserLaunchFailed,
    MediaRejected,
    PageCrashed,
    PageUnresponsive,
    RecipientNotFound,
    SendFailed,
    Unavailable,
)
from actors.messages.jobs import Content
from actors.messages.records import LeaseRecord
from actors.messages.replies import ContactInfo
from actors.ports import (
    Chat,
    FleetPorts,
    Found,
    OpenRequest,
    Prepared,
    Sent,
    SessionPorts,
    SessionSpec,
    Vitals,
)
from tests.support.copies import FakeLocalProfile, MemorySnapshots
from tests.support.far_side import FakeWhatsApp
from tests.support.memory import MemoryBoard, MemoryEvents, MemoryHeads, MemoryJobLog, MemoryLease, MemoryRecords

START: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
_MAX_TURNS: Final = 200_000


async def settle() -> None:
    """Let the event loop run until nothing is left to do but wait."""
    loop: Any = asyncio.get_running_loop()
    for _ in range(_MAX_TURNS):
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn
        if not loop._ready:
            return
    raise AssertionError("the event loop does not come to rest: something runs in circles without waiting")


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self._elapsed = 0.0
        self.off_by_s = 0.0
        """How far the wall clock of this node is off, as after a jump."""
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        return 1_000.0 + self._elapsed

    def now(self) -> datetime:
        return self.server_now() + timedelta(seconds=self.off_by_s)

    def server_now(self) -> datetime:
        """The wall clock of everybody else."""
        return START + timedelta(seconds=self._elapsed)

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + max(0.0, seconds), next(self._order), woken))
        if seconds <= 0:
            self._wake()
        await woken

    async def advance(self, seconds: float) -> None:
        """Move time on, waking every sleeper at its moment."""
        target = self._elapsed + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            self._elapsed = max(self._elapsed, self._sleepers[0][0])
            self._wake()
            await settle()
        self._elapsed = target
        await settle()

    def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)


# --- the page -----------------------------------------------------------------------------------------------------

SendAct = Literal[
    "ok", "crash", "crash_accepted", "gone", "gone_accepted", "gone_stored", "timeout", "timeout_accepted",
    "timeout_stored", "late", "refused", "pending", "failed", "no_recipient", "hang", "hang_acked",
]  # fmt: skip
OpenAct = Literal["ready", "linked", "qr", "silent", "fail", "hang"]


class FakePage:
    """A page that acts by plan."""

    def __init__(self, browser: "FakeBrowser", on_fact: Callable[[Fact], None]) -> None:
        self._browser = browser
        self._tell = on_fact
        self._clock = browser.clock
        self.whatsapp = browser.whatsapp
        self.page_number = 1
        self.processes: Sequence[tuple[int, float]] = ((4711, 1.0),)
        self.alive, self.closed, self.killed = True, False, False
        self.wedged = False
        """Whether every call runs into its deadline."""
        self.deaf = False
        """Whether a probe finds the session not ready."""
        self._late: list[str] = []
        """Calls that let their deadline pass and leave at the last moment, when the page goes."""
        self.hearing: dict[str, Any] = {}
        """What a probe finds out about it, where that is not the usual."""
        self.discarded: list[Prepared] = []
        self.refreshes = 0
        self.codes: list[str] = []
        self.calls: list[str] = []

    def tell(self, fact: Fact) -> None:
        """Let the page say something."""
        if not self.closed:
            self.whatsapp.note(fact)
            self._tell(fact)

    def crash(self) -> None:
        """End the renderer."""
        self.alive = False
        self.tell(PageEnded("page_crashed"))

    def lose_browser(self, *, silently: bool = False) -> None:
        """End the browser; the node driver's death is silent."""
        self.alive = False
        if not silently:
            self.tell(BrowserEnded("browser_gone"))

    async def _answer(self, call: str) -> None:
        """Raise what every call raises on a page in this condition."""
        self.calls.append(call)
        if self.closed:
            raise BrowserGone("the browser was closed")
        if self.wedged:
            await self._clock.sleep(10)
            raise PageUnresponsive(f"{call} did not answer")
        if not self.alive:
            raise PageCrashed("the page crashed")

    async def reload(self) -> None:
        self.calls.append("reload")
        act = self._browser.next_reload()
        if act == "fail":
            raise BrowserGone("the browser is gone")
        await self._go()
        self.page_number += 1
        self.alive, self.wedged, self.deaf, self.hearing = True, False, False, {}
        self._browser.greet(self, act)

    async def _go(self) -> None:
        """Take a while to go; what hung leaves just before."""
        await self._clock.sleep(self._browser.close_takes_s)
        self.leave()

    def leave(self) -> None:
        """Let what hangs leave."""
        for full_key in self._late:
            self.whatsapp.accept(full_key)
        self._late.clear()

    async def refresh_qr(self) -> None:
        await self._answer("refresh_qr")
        self.refreshes += 1

    async def request_code(self, phone_number: str) -> None:
        await self._answer("request_code")
        self.codes.append(phone_number)

    async def resolve(self, address: str) -> Chat:
        await self._answer("resolve")
        await self.whatsapp.fail_on(address)
        if self._browser.peek_send() == "no_recipient":
            self._browser.next_send()
            raise RecipientNotFound(f"{address} is not on WhatsApp", {"to": address})
        return Chat(address, address if address.endswith("@c.us") else None, None, None)

    async def prepare(self, content: Content) -> Prepared:
        await self._answer("prepare")
        if content.kind != "media":
            return Prepared(content)
        if content.url and "bad" in content.url:
            raise MediaRejected("the file is too large", {"max_bytes": 1})
        return Prepared(content, self._browser.media_path, "image/png", "a.png")

    async def discard(self, prepared: Prepared) -> None:
        self.discarded.append(prepared)

    async def send(self, prepared: Prepared, chat: Chat, full_key: str, *, timeout_s: float) -> Sent:
        await self._answer("send")
        act = self._browser.next_send()
        await self._clock.sleep(self._browser.send_takes_s)
        return await self._act(act, full_key, timeout_s)

    async def _act(self, act: SendAct, full_key: str, timeout_s: float) -> Sent:
        whatsapp = self.whatsapp
        self._leave_traces(act, full_key)
        if act in {"crash", "crash_accepted"}:
            self.crash()
            raise PageCrashed("the page crashed under a send")
        if act in {"gone", "gone_accepted", "gone_stored"}:
            self.lose_browser()
            raise BrowserGone("the browser ended under a send")
        if act in {"timeout", "timeout_accepted", "timeout_stored", "late"}:
            await self._clock.sleep(timeout_s)
            raise PageUnresponsive("send did not answer")
        if act in {"hang", "hang_acked"}:
            await self._hang(act, full_key)
        if act == "refused":
            whatsapp.stored[full_key] = -1
            return Sent(full_key, -1, "ERROR_UNKNOWN")
        if act == "pending":
            whatsapp.stored[full_key] = 0
            return Sent(full_key, 0)
        if act == "failed":
            raise SendFailed("wa-js refused the message")
        whatsapp.accept(full_key)
        return Sent(full_key, 1)

    async def _hang(self, act: SendAct, full_key: str) -> None:
        if act == "hang_acked":
            self.whatsapp.accept(full_key)
            self.tell(AckChanged((full_key,), full_key.split("_")[1], 1))
        await asyncio.get_running_loop().create_future()

    def _leave_traces(self, act: SendAct, full_key: str) -> None:
        """Do what comes before a call breaks off."""
        if act in {"crash_accepted", "gone_accepted", "timeout_accepted"}:
            self.whatsapp.accept(full_key)
        if act in {"timeout_stored", "gone_stored"}:
            self.whatsapp.stored[full_key] = 0
        if act == "late":
            self._late.append(full_key)

    async def lookup(self, full_key: str, bare_id: str, address: str) -> Found | None:
        await self._answer("lookup")
        await self.whatsapp.fail_on(address)
        ack = self.whatsapp.stored.get(full_key)
        return None if ack is None else Found(full_key, ack)

    async def check_contacts(self, numbers: Sequence[str]) -> Sequence[ContactInfo]:
        await self._answer("check_contacts")
        return [ContactInfo(number=number, exists=True, chat_id=f"{number[1:]}@c.us") for number in numbers]

    async def probe(self) -> Vitals:
        await self._answer("probe")
        state = "OPENING" if self.deaf else "CONNECTED"
        vitals = Vitals(ready=not self.deaf, socket_state=state, stream_mode="MAIN", last_traffic_ms=5)
        return replace(vitals, **self.hearing)

    async def ask_server(self) -> None:
        await self._answer("ask_server")
        await self.whatsapp.fail_on(self.whatsapp.wid)

    async def screenshot(self) -> bytes:
        await self._answer("screenshot")
        return b"\x89PNG"

    async def logout(self) -> None:
        await self._answer("logout")
        self.whatsapp.logouts += 1
        self.whatsapp.linked = False

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.alive = False
            await self._go()

    def kill(self) -> None:
        self.killed = self.closed = True
        self.alive = False


class FakeBrowser:
    """Opens fake pages by plan."""

    def __init__(self, clock: FakeClock, whatsapp: FakeWhatsApp) -> None:
        self.clock = clock
        self.whatsapp = whatsapp
        self.opens: deque[OpenAct] = deque()
        self.reloads: deque[OpenAct] = deque()
        self.sends: deque[SendAct] = deque()
        self.pages: list[FakePage] = []
        self.attempts = 0
        self.let_go = 0
        self.send_takes_s = 0.0
        self.close_takes_s = 0.0
        self.pss_bytes: int | None = 200 * 2**20
        self.media_path: Any = None
        self.armings: list[float] = []
        """What each arming of the fuse left the page, in seconds."""
        self.leftovers = False
        """Whether something of a former owner still runs, and can't be ended."""
        self.inherited: list[LeaseRecord] = []

    def plan(self, *sends: SendAct) -> None:
        """Say what the next sends do."""
        self.sends.extend(sends)

    @property
    def page(self) -> FakePage:
        """The newest page."""
        return self.pages[-1]

    @property
    def open_pages(self) -> int:
        """How many browsers run right now: never more than one."""
        return sum(not page.closed for page in self.pages)

    def peek_send(self) -> SendAct:
        return self.sends[0] if self.sends else "ok"

    def next_send(self) -> SendAct:
        return self.sends.popleft() if self.sends else "ok"

    def next_reload(self) -> OpenAct:
        return self.reloads.popleft() if self.reloads else "ready"

    def greet(self, page: FakePage, act: OpenAct) -> None:
        """Let a fresh page tell what it sees."""
        if act == "qr":
            page.tell(QrShown("2@first", 1, 20.0))
        elif act in {"linked", "ready"}:
            page.tell(Linked(self.whatsapp.wid, None))
            if act == "ready":
                page.tell(Synced(self.whatsapp.wid, None))

    async def open(self, request: OpenRequest, on_fact: Callable[[Fact], None]) -> FakePage:
        self.attempts += 1
        act = self.opens.popleft() if self.opens else "ready"
        if act == "hang":
            await asyncio.get_running_loop().create_future()
        if act == "fail":
            raise BrowserLaunchFailed("the browser did not start")
        page = FakePage(self, on_fact)
        if request.on_launched:
            request.on_launched(page.processes)
        self.pages.append(page)
        self.greet(page, act)
        return page

    async def close(self) -> None:
        assert not self.open_pages, "what the next page would need goes after the last page only"
        self.let_go += 1

    @asynccontextmanager
    async def inherit(self, former: LeaseRecord) -> AsyncIterator[bool]:
        self.inherited.append(former)
        yield not self.leftovers

    async def arm_fuse(self, left_s: float) -> None:
        self.armings.append(left_s)
        if self.pages and self.page.wedged and not self.page.closed:
            await self.clock.sleep(10)
            raise PageUnresponsive("the fuse was not armed")

    def generation(self) -> str:
        if self.whatsapp.missing:
            self.whatsapp.missing = self.whatsapp.marked_linked = False
            self.whatsapp.generation += "+"
        return self.whatsapp.generation

    async def memory(self) -> int | None:
        return self.pss_bytes

    async def quarantine(self) -> None:
        self.whatsapp.quarantined += 1
        self.whatsapp.missing = True


@dataclass
class FakePorts:
    """All ports of one session; they outlive its actors. Is its own factory."""

    clock: FakeClock = field(default_factory=FakeClock)
    whatsapp: FakeWhatsApp = field(default_factory=FakeWhatsApp)
    jobs: MemoryJobLog = field(default_factory=MemoryJobLog)
    records: MemoryRecords = field(default_factory=MemoryRecords)
    events: MemoryEvents = field(default_factory=MemoryEvents)
    board: MemoryBoard = field(default_factory=MemoryBoard)
    lease: MemoryLease = field(default_factory=MemoryLease)
    heads: MemoryHeads = field(default_factory=MemoryHeads)
    snapshots: MemorySnapshots = field(default_factory=MemorySnapshots)
    browser: FakeBrowser = field(init=False)
    profile: FakeLocalProfile = field(init=False)
    unreachable: bool = False
    closed: int = 0

    def __post_init__(self) -> None:
        self.browser = FakeBrowser(self.clock, self.whatsapp)
        self.profile = FakeLocalProfile(self.whatsapp)
        self.events.clock = self.clock.server_now
        self.whatsapp.time, self.whatsapp.sleep = self.clock.monotonic, self.clock.sleep

    def all_down(self, *, down: bool) -> None:
        """Let NATS be away, or come back."""
        for store in (self.jobs, self.records, self.events, self.board, self.lease, self.heads, self.snapshots):
            store.down = down

    async def connect(self, spec: SessionSpec) -> SessionPorts:
        if self.unreachable:
            raise Unavailable("NATS does not answer")
        return SessionPorts(
            clock=self.clock,
            browser=self.browser,
            jobs=self.jobs,
            records=self.records,
            events=self.events,
            status=self.board,
            lease=self.lease,
            heads=self.heads,
            profile=self.profile,
            snapshots=self.snapshots,
            close=self._close,
        )

    async def connect_fleet(self) -> FleetPorts:
        raise Unavailable("these are the ports of one session")

    async def _close(self) -> None:
        self.closed += 1
