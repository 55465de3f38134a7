"""The tour: what the demo shows, step by step; each step raises if what it promises does not happen."""

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import segno
from rich.markup import escape
from rich.rule import Rule

from actors.clock import SystemClock
from actors.messages.commands import RateLimit
from actors.messages.events import AckEvent, CodeEvent, JobEvent, QrEvent, SessionEvent
from actors.messages.replies import JobAccepted, JobSent
from gateway.cli.demo.browsers import find_browser_process
from gateway.cli.demo.truth import discrepancies, fullest_window
from gateway.cli.demo.watch import EventWatch
from gateway.cli.exits import CommandFailed
from gateway.cli.output import Output
from gateway.client import Client
from simulator.client import SimulatedPhone

SESSION: Final = "s1"
WINDOW: Final = RateLimit(max_messages=5, window_ms=5_000)
_BURST: Final = 10
_READ: Final = 3
_LINK_S: Final = 40.0
_SENT_S: Final = 20.0
_NOTICE_S: Final = 10.0
_RECONNECT_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Party:
    """One tenant with its session and the account that links to it."""

    client: Client
    watch: EventWatch
    number: str

    @property
    def wid(self) -> str:
        """The account's phone id."""
        return f"{self.number}@c.us"


@dataclass
class Tour:
    """Runs the steps in order and remembers how long each took."""

    output: Output
    phone: SimulatedPhone
    acme: Party
    globex: Party
    sessions_path: Path
    people: tuple[str, ...]
    times: list[tuple[str, float, str]] = field(default_factory=list)
    _jobs: dict[str, str] = field(default_factory=dict)
    """Full message id of every job that was reported as sent."""
    _note: str = ""

    async def run(self) -> None:
        """Run every step. Raises ``CommandFailed`` at the first promise that is not kept."""
        await self._link()
        await self._send_all_kinds()
        await self._fill_the_window()
        await self._lose_a_browser()
        await self._check_truth()

    # --- linking ----------------------------------------------------------------------------------------------------

    async def _link(self) -> None:
        async with self._step(
            "linking by QR and by code", "Two tenants link a session each: acme by QR, globex by code"
        ):
            await asyncio.gather(self._link_by_qr(self.acme), self._link_by_code(self.globex))
            self._note = "both ready"

    async def _link_by_qr(self, party: Party) -> None:
        began = time.monotonic()
        await party.client.start(SESSION, rate_limit=WINDOW)
        event = await party.watch.until(QrEvent, "QR", within_s=_LINK_S)
        drawn = (await party.client.qr(SESSION)).terminal
        if drawn is not None:
            self.output.plain(drawn)
        self._tell(f"acme:{SESSION} shows a QR after {time.monotonic() - began:.1f} s; the simulated phone scans it")
        await self.phone.scan(event.data.qr, party.wid)
        await self._ready(party, began)

    async def _link_by_code(self, party: Party) -> None:
        began = time.monotonic()
        await party.client.start(SESSION, phone_number=f"+{party.number}", pairing="code")
        event = await party.watch.until(CodeEvent, "link code", within_s=_LINK_S)
        self._tell(f"globex:{SESSION} shows the link code {event.data.code}; the simulated phone types it")
        await self.phone.code(event.data.code, party.wid)
        await self._ready(party, began)

    async def _ready(self, party: Party, began: float) -> None:
        status = await party.client.wait_until(SESSION, "ready", timeout_s=_LINK_S)
        passed = time.monotonic() - began
        self._tell(f"{status.tenant_id}:{SESSION} is [green]ready[/green] as {status.wid} after {passed:.1f} s")

    # --- sending ----------------------------------------------------------------------------------------------------

    async def _send_all_kinds(self) -> None:
        async with self._step(
            "every kind of message",
            "Text, media and location through the queue, and one message past it",
        ):
            client, to = self.acme.client, self.people
            mark = self.acme.watch.mark()
            text = await self._queued("text", client.send_text(SESSION, to[0], "Hello from wafleet!"))
            picture = io.BytesIO()
            segno.make("wafleet").save(picture, kind="png", scale=8)
            media = await self._queued(
                "media", client.send_media(SESSION, to[1], data=picture.getvalue(), filename="qr.png", caption="A QR")
            )
            place = await self._queued(
                "location", client.send_location(SESSION, to[2], -6.1754, 106.8272, description="Monas, Jakarta")
            )
            for kind, job_id in (("text", text), ("media", media), ("location", place)):
                message_id = await self._sent(self.acme, job_id)
                self._tell(f"{kind} [green]sent[/green] as {escape(message_id)}")
            await self._read_by_recipient(self._jobs[text], mark)
            began = time.monotonic()
            direct = await self.globex.client.send_text(SESSION, to[3], "Straight to you", mode="direct")
            if not isinstance(direct, JobSent) or direct.message_id is None:
                raise CommandFailed(f"a direct send was answered with {direct!r}")
            self._jobs[direct.job_id] = direct.message_id
            self._tell(f"direct message [green]sent[/green], answered after {1000 * (time.monotonic() - began):.0f} ms")
            self._note = "3 queued, 1 direct"

    async def _queued(self, kind: str, sending: Any) -> str:
        began = time.monotonic()
        reply = await sending
        if not isinstance(reply, JobAccepted) or reply.status != "accepted":
            raise CommandFailed(f"a queued {kind} was answered with {reply!r}")
        self._tell(f"{kind} accepted and stored after {1000 * (time.monotonic() - began):.0f} ms: job {reply.job_id}")
        return reply.job_id

    async def _sent(self, party: Party, job_id: str, *, within_s: float = _SENT_S) -> str:
        """Wait for a job's outcome and return its message id."""
        event = await party.watch.until(
            JobEvent, f"outcome of job {job_id}", within_s=within_s, wanted=lambda one: _is_outcome(one, job_id)
        )
        if event.event != "message.sent" or event.data.message_id is None:
            raise CommandFailed(f"job {job_id} ended as {event.event}: {event.data!r}")
        self._jobs[job_id] = event.data.message_id
        return event.data.message_id

    async def _read_by_recipient(self, message_id: str, mark: int) -> None:
        def read(event: AckEvent) -> bool:
            return event.data.message_id == message_id and event.data.ack >= _READ

        await self.acme.watch.until(AckEvent, "read receipt", within_s=_SENT_S, after=mark, wanted=read)
        self._tell("the recipient has [green]read[/green] the text")

    # --- the window -------------------------------------------------------------------------------------------------

    async def _fill_the_window(self) -> None:
        span_s = WINDOW.window_ms / 1000
        title = f"{_BURST} messages at once into a window of {WINDOW.max_messages} per {span_s:g} s: the queue waits"
        async with self._step("a full rate window", title):
            client = self.acme.client
            replies = await asyncio.gather(
                *(client.send_text(SESSION, self.people[n % len(self.people)], f"Burst {n}") for n in range(_BURST))
            )
            watching = asyncio.create_task(self._show_queue())
            try:
                for reply in replies:
                    await self._sent(self.acme, reply.job_id, within_s=span_s * (_BURST / WINDOW.max_messages + 2))
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            fullest = fullest_window(await self.phone.sent(), self.acme.wid, span_s)
            if fullest > WINDOW.max_messages:
                raise CommandFailed(f"{fullest} messages left within {span_s:g} s, {WINDOW.max_messages} are allowed")
            self._note = f"at most {fullest} in any {span_s:g} s"

    async def _show_queue(self) -> None:
        clock, last = SystemClock(), None
        while True:
            queue, rate = await asyncio.gather(self.acme.client.queue(SESSION), self.acme.client.rate_limit(SESSION))
            waiting = queue.waiting.high + queue.waiting.normal + queue.waiting.bulk
            if (waiting, rate.remaining) != last:
                full = f", room again in {rate.reset_in_ms / 1000:.1f} s" if rate.is_limited else ""
                self._tell(f"waiting {waiting:>2}, the window admits {rate.remaining}{full}")
                last = (waiting, rate.remaining)
            await clock.sleep(_LOOK_EVERY_S)

    # --- the crash --------------------------------------------------------------------------------------------------

    async def _lose_a_browser(self) -> None:
        async with self._step(
            "kill -9 of a browser", "kill -9 of acme's browser: the session reconnects by itself, nothing is lost"
        ):
            watch = self.acme.watch
            mark = watch.mark()
            process = find_browser_process(self.sessions_path / "acme" / SESSION)
            began = time.monotonic()
            process.kill()
            self._tell(f"killed process {process.pid}")
            reply = await self.acme.client.send_text(SESSION, self.people[0], "Sent over a crash")
            self._tell(f"a message is [yellow]{reply.status}[/yellow] meanwhile: job {reply.job_id}")
            lost = await watch.until(SessionEvent, "sign of the loss", within_s=_NOTICE_S, after=mark)
            self._tell(f"{lost.event} after {time.monotonic() - began:.1f} s")
            await watch.until(SessionEvent, "session.ready", within_s=_RECONNECT_S, after=mark, wanted=_is_ready)
            passed = time.monotonic() - began
            self._tell(f"[green]ready[/green] again after {passed:.1f} s, without a new QR")
            await self._sent(self.acme, reply.job_id)
            self._tell("and the waiting message is [green]sent[/green]")
            self._note = f"ready again after {passed:.1f} s"

    # --- the truth --------------------------------------------------------------------------------------------------

    async def _check_truth(self) -> None:
        async with self._step("what WhatsApp's server saw", "What WhatsApp's server saw: each message exactly once"):
            log = await self.phone.sent()
            wrong = discrepancies(self._jobs, log)
            if wrong:
                raise CommandFailed("; ".join(wrong))
            self._note = f"{len(log)} of {len(self._jobs)} messages, none twice"
            self._tell(self._note)

    # --- telling ----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _step(self, name: str, title: str) -> AsyncIterator[None]:
        self.output.people.print(Rule(f"[bold]{len(self.times) + 1}. {title}[/bold]", align="left"))
        self._note = ""
        began = time.monotonic()
        yield
        self.times.append((name, time.monotonic() - began, self._note))

    def _tell(self, text: str) -> None:
        self.output.say(f"   {text}")


def _is_outcome(event: JobEvent, job_id: str) -> bool:
    return event.data.job_id == job_id and event.event.startswith("message.")


def _is_ready(event: SessionEvent) -> bool:
    return event.event == "session.ready"
