"""A whole session on a real browser and the simulator's page; only its stores are in memory and its lease is alone."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ulid import ULID

from actors.browser import process
from actors.browser.browser import ChromiumBrowser
from actors.browser.copies import ProfileCopies
from actors.browser.page import WhatsAppPage
from actors.clock import SystemClock
from actors.config import LeaseConfig, SessionConfig
from actors.messages.commands import SessionQr
from actors.messages.events import SessionEvent
from actors.messages.ids import SessionKey, message_id_of_job
from actors.messages.jobs import Content, Job, JobRecord, TextContent, new_record
from actors.messages.records import DesiredSession
from actors.messages.replies import QrReply
from actors.ports import SessionPorts, SessionSpec
from actors.session import SessionActor
from simulator.client import SimulatedPhone
from tests.browser.watching import ANN, KEY
from tests.support.fakes import FakePorts
from tests.support.waiting import eventually

_COMES_BACK_S = 25.0
_PROFILE_KEY = bytes(range(32))


class LivePorts(FakePorts):
    """Stores in memory, a real browser and the machine's time."""

    async def connect(self, spec: SessionSpec) -> SessionPorts:
        """Connect the session."""
        ports = await super().connect(spec)
        self.events.clock = lambda: datetime.now(UTC)
        browser = ChromiumBrowser(spec.key, spec.config)
        copies = ProfileCopies(browser.profile, _PROFILE_KEY, spec.config)
        return replace(ports, clock=SystemClock(), browser=browser, profile=copies)


class LiveSession:
    """One session that runs, and what tests do to it."""

    def __init__(self, config: SessionConfig, phone: SimulatedPhone, wid: str, key: SessionKey = KEY) -> None:
        self.ports = LivePorts()
        self.phone = phone
        self.wid = wid
        desired = DesiredSession(
            tenant_id=key.tenant_id, session_id=key.session_id, target="running", changed_at=datetime.now(UTC)
        )
        self.actor = SessionActor(SessionSpec(desired, config, LeaseConfig()), self.ports)

    @property
    def page(self) -> WhatsAppPage:
        """The browser that runs now."""
        assert self.actor._parts
        page = self.actor._parts.keeper.page
        assert isinstance(page, WhatsAppPage)
        return page

    @property
    def renderer(self) -> int:
        """Pid of the process that renders the page."""
        return next(one[0] for one in self.page.processes if process.is_renderer(one))

    @property
    def browser(self) -> int:
        """Pid of the browser's main process."""
        return self.page.processes[0][0]

    @property
    def driver(self) -> int:
        """Pid of Playwright's driver."""
        return self.page._driver.process[0]

    @property
    def state(self) -> str:
        """State of the machine."""
        return self.actor.status().state

    @property
    def times_ready(self) -> int:
        """How often it became ready."""
        return self.ports.events.names().count("session.ready")

    @property
    def reasons(self) -> list[str | None]:
        """Why it was disconnected, each time."""
        lost = self.ports.events.of("session.disconnected")
        return [event.data.reason for event in lost if isinstance(event, SessionEvent)]

    @property
    def attempts(self) -> int:
        """How many reconnect attempts were announced."""
        return self.ports.events.names().count("session.reconnecting")

    @property
    def codes_shown(self) -> int:
        """How many QRs were shown."""
        return self.ports.events.names().count("session.qr")

    async def link(self) -> None:
        """Scan the QR that is shown and wait until the session is ready."""

        async def shown() -> str:
            reply = await self.actor.ask(SessionQr())
            return (reply.qr if isinstance(reply, QrReply) else None) or ""

        await self.phone.scan(await eventually(shown, within_s=_COMES_BACK_S), self.wid)
        await eventually(lambda: self.state == "ready", within_s=_COMES_BACK_S)

    async def ready_on_another(self, page: WhatsAppPage) -> None:
        """Wait until it is ready in another browser than that of `page`."""

        def there() -> bool:
            now = self.actor._parts.keeper.page if self.actor._parts else None
            return now is not None and now is not page and self.state == "ready"

        await eventually(there, within_s=_COMES_BACK_S)

    async def ready_again(self, times: int, *, within_s: float = _COMES_BACK_S) -> float:
        """Wait until it became ready once more; return after how many seconds."""
        begun = time.monotonic()
        await eventually(lambda: self.times_ready > times and self.state == "ready", within_s=within_s)
        return time.monotonic() - begun

    def submit(self, content: Content | None = None) -> Job:
        """Accept a job, as the gateway does."""
        job_id, now = str(ULID()), datetime.now(UTC)
        job = Job(
            job_id=job_id,
            request_id=job_id,
            tenant_id=KEY.tenant_id,
            session_id=KEY.session_id,
            lane="normal",
            to=ANN.partition("@")[0],
            content=content or TextContent(message="hello"),
            message_id=message_id_of_job(job_id),
            body_hash="0" * 64,
            accepted_at=now,
            expires_at=now + timedelta(hours=1),
        )
        self.ports.records.put(new_record(job))
        self.ports.jobs.store(job)
        return job

    def record(self, job: Job) -> JobRecord:
        """What is written of a job."""
        return self.ports.records.stored[job.job_id].value

    async def outcome(self, job: Job, *, within_s: float = _COMES_BACK_S) -> str:
        """Wait for a job's end; return its status."""
        await eventually(lambda: not self.ports.jobs.jobs, within_s=within_s)
        return self.record(job).status

    async def accepted(self, job: Job) -> int:
        """How often WhatsApp's server accepted a job's message."""
        return sum(entry.id == job.message_id for entry in await self.phone.sent())


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process of the session."""
    os.kill(pid, number)


@asynccontextmanager
async def living(config: SessionConfig, phone: SimulatedPhone, wid: str) -> AsyncIterator[LiveSession]:
    """A linked session that is ready, drained in the end."""
    session = LiveSession(config, phone, wid)
    life = asyncio.create_task(session.actor.run())
    try:
        await session.link()
        yield session
    finally:
        await session.actor.drain()
        await life
