"""Asks for the planned jobs, as tenants do: a request whose answer was lost is asked again with the same key."""

import asyncio
import base64
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from actors.clock import SystemClock
from actors.errors import Unavailable, WafleetError
from actors.messages.ids import job_id_of_key
from actors.messages.replies import JobAccepted, JobSent
from gateway.client import Client, SendOptions
from tests.chaos.accounts import Accounts
from tests.chaos.history import Asked
from tests.chaos.plan import PlannedJob

STORED: Final = "stored"
"""The answer to a job that lies in the inbox."""
_PAUSE_S: Final = 0.5
_PNG: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001e221bc330000"
    "000049454e44ae426082"
)
"""A picture of one pixel."""


class Load:
    """The jobs of one run."""

    def __init__(self, seed: int, clients: Mapping[str, Client], deadline: float) -> None:
        """Prepare to ask.

        Args:
            seed: makes the keys of this run's jobs.
            clients: one of each tenant.
            deadline: the monotonic moment after which nobody asks again.
        """
        self.asked: list[Asked] = []
        self._seed = seed
        self._clients = clients
        self._deadline = deadline
        self._clock = SystemClock()

    async def ask(self, job: PlannedJob) -> None:
        """Ask for one job until there is an answer."""
        key, asked_at = f"chaos-{self._seed}-{job.number}", time.time()
        options: SendOptions = {"idempotency_key": key}
        if job.way == "direct":
            options["mode"] = "direct"
        else:
            options["lane"] = job.lane
        if job.expires_s is not None:
            options["expires_at"] = datetime.now(UTC) + timedelta(seconds=job.expires_s)
        answer = await self._answer(job, options)
        answered_at = time.time() if answer else None
        self.asked.append(Asked(job, job_id_of_key(job.key, key), asked_at, answered_at, answer))

    async def _answer(self, job: PlannedJob, options: SendOptions) -> str:
        while self._clock.monotonic() < self._deadline:
            try:
                if job.way == "inbox":
                    await self._store(job, options)
                    return STORED
                return (await self._send(job, options)).status
            except Unavailable:
                await self._clock.sleep(_PAUSE_S)
            except WafleetError as error:
                return error.code
        return ""

    async def _store(self, job: PlannedJob, options: SendOptions) -> None:
        client, session, to = self._clients[job.key.tenant_id], job.key.session_id, Accounts.person(job.recipient)
        match job.kind:
            case "text":
                await client.inbox_send(session, "send.text", to=to, message=job.text, **options)
            case "media":
                data = base64.b64encode(_PNG).decode()
                await client.inbox_send(session, "send.media", to=to, data=data, caption=job.text, **options)
            case "location":
                place = {"latitude": -6.2, "longitude": 106.8, "description": job.text}
                await client.inbox_send(session, "send.location", to=to, **place, **options)

    async def _send(self, job: PlannedJob, options: SendOptions) -> JobAccepted | JobSent:
        client, session, to = self._clients[job.key.tenant_id], job.key.session_id, Accounts.person(job.recipient)
        match job.kind:
            case "text":
                return await client.send_text(session, to, job.text, **options)
            case "media":
                return await client.send_media(
                    session, to, data=_PNG, filename="pixel.png", caption=job.text, **options
                )
            case "location":
                return await client.send_location(session, to, -6.2, 106.8, description=job.text, **options)


async def ask_all(load: Load, jobs: tuple[PlannedJob, ...], began: float) -> None:
    """Ask for all jobs, each at its time, without waiting for the answer to the one before."""
    clock = SystemClock()
    async with asyncio.TaskGroup() as asking:
        for job in jobs:
            await clock.sleep(max(0.0, began + job.at_s - clock.monotonic()))
            asking.create_task(load.ask(job), name=f"job {job.number}")
