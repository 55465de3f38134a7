"""A stage for session actors: fakes around a real ``SessionActor``, and the few moves all its tests make."""

import asyncio
from datetime import timedelta
from typing import Any, Literal

from actors.config import LeaseConfig, SessionConfig
from actors.messages.commands import Command, RateLimit
from actors.messages.ids import message_id_of_job
from actors.messages.jobs import Content, Job, JobRecord, LaneName, TextContent, new_record
from actors.messages.records import DesiredSession, ProfileHead, SnapshotManifest
from actors.messages.replies import ErrorBody, Reply
from actors.ports import Ended, SessionSpec, StoredSnapshot
from actors.session import SessionActor
from tests.support.fakes import START, FakePorts, settle

JOB_IDS = [f"01J0000000000000000000{n:04d}" for n in range(2_000)]


def spec(
    desired: dict[str, Any] | None = None, config: dict[str, Any] | None = None, dead_owners: tuple[str, ...] = ()
) -> SessionSpec:
    """Describe the session acme:s1."""
    fields: dict[str, Any] = {"tenant_id": "acme", "session_id": "s1", "target": "running", "changed_at": START}
    fields |= desired or {}
    return SessionSpec(DesiredSession(**fields), SessionConfig(**(config or {})), LeaseConfig(), dead_owners)


class Stage:
    """One session with everything around it."""

    def __init__(
        self,
        ports: FakePorts | None = None,
        *,
        desired: dict[str, Any] | None = None,
        dead_owners: tuple[str, ...] = (),
        **config: Any,
    ) -> None:
        self.ports = ports or FakePorts()
        self.clock = self.ports.clock
        self.browser = self.ports.browser
        self.whatsapp = self.ports.whatsapp
        self.actor = SessionActor(spec(desired, config, dead_owners), self.ports)
        self._run: asyncio.Task[None] | None = None
        self._jobs = 0

    async def start(self) -> "Stage":
        """Let the actor run until it waits."""
        self._run = asyncio.create_task(self.actor.run())
        await settle()
        return self

    async def close(self) -> None:
        """End the actor as a killed process would end: nobody cleans up."""
        if self._run and not self._run.done():
            self._run.cancel()
            await asyncio.wait({self._run})
        await settle()

    async def ended(self) -> Ended:
        """Return how the actor ended; it must have."""
        await settle()
        assert self._run is not None
        assert self._run.done(), f"the actor still runs, in state {self.state}"
        await self._run
        return await self.actor.wait_ended()

    @property
    def state(self) -> str:
        """State of the machine, as a status tells it."""
        return self.actor.status().state

    def job(
        self,
        n: int | None = None,
        *,
        lane: LaneName = "normal",
        expires_in_s: float = 86_400,
        on_limit: Literal["wait", "reject"] = "wait",
        content: Content | None = None,
        to: str = "6281234567890",
    ) -> Job:
        """Build a job; each has an id of its own."""
        if n is None:
            n, self._jobs = self._jobs, self._jobs + 1
        job_id = JOB_IDS[n]
        return Job(
            job_id=job_id,
            request_id=f"r{n}",
            tenant_id="acme",
            session_id="s1",
            lane=lane,
            to=to,
            content=content or TextContent(message=f"hello {n}"),
            message_id=message_id_of_job(job_id),
            body_hash="0" * 64,
            on_limit=on_limit,
            accepted_at=self.clock.now(),
            expires_at=self.clock.now() + timedelta(seconds=expires_in_s),
        )

    def accept(self, job: Job) -> Job:
        """Store a job and its record, as the gateway does."""
        self.ports.records.put(new_record(job))
        self.ports.jobs.store(job)
        return job

    async def submit(self, count: int = 1, **fields: Any) -> list[Job]:
        """Accept jobs and let the actor do what it can do now."""
        jobs = [self.accept(self.job(**fields)) for _ in range(count)]
        await settle()
        return jobs

    def record(self, job: Job) -> JobRecord:
        """Return a job's record."""
        return self.ports.records.stored[job.job_id].value

    async def ask(self, command: Command) -> Reply | ErrorBody:
        """Ask the actor and let it do what follows."""
        task = asyncio.create_task(self.actor.ask(command))
        await settle()
        assert task.done(), f"{command.name} was not answered"
        return await task


def limit(max_messages: int, window_ms: int = 60_000) -> dict[str, Any]:
    """Desired fields of a session with a rate limit."""
    return {"rate_limit": RateLimit(max_messages=max_messages, window_ms=window_ms)}


def stored(ports: FakePorts, *epochs: int) -> None:
    """Let snapshots lie in the store."""
    for slot, epoch in enumerate(epochs):
        manifest = SnapshotManifest(
            epoch=epoch,
            generation=f"g{epoch}",
            browser_build="shell 1",
            sha256="0" * 64,
            size_bytes=1,
            taken_at=START,
            was_running=False,
        )
        ports.snapshots.held[slot] = StoredSnapshot(slot, 100 + epoch, manifest)


def on_another_node(*, snapshots: tuple[int, ...] = (1,), linked: bool = True) -> FakePorts:
    """Ports of a session whose profile was launched last on a node that is not this one."""
    ports = FakePorts()
    ports.heads.head = ProfileHead(epoch=1, node="other", generation="theirs", linked=linked)
    ports.lease.epoch = 1
    ports.whatsapp.missing = True
    stored(ports, *snapshots)
    return ports
