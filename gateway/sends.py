"""``send.*``: what is refused before a job is made, the job's way into the log, and the answer in queue mode.

Theory of operation. A repeat of an idempotency key is answered with the first job whatever speaks against the command
by now (a full window, a failed session, a passed ``expires_at``); so every refusal that may come and go asks for an
earlier job first, in the records and in the log. On the way of a job that is taken there is no question to anybody but
JetStream: session and status come from memory. Direct mode goes on in ``direct_sends``; commands of the inbox come from
``command_inbox``.

Imports intake, storing, queries and events.
"""

import logging
import secrets
from itertools import count
from typing import Final, Protocol

from ulid import ULID

from actors.config import QueueConfig
from actors.errors import RateLimited, Unavailable, WafleetError
from actors.messages.commands import SendCommand
from actors.messages.events import JobData, JobEvent
from actors.messages.ids import SessionKey, job_id_of_inbox
from actors.messages.jobs import Job
from actors.messages.records import DesiredSession
from actors.messages.replies import JobAccepted, QueueReply, RateLimitReply, Reply, SessionStatus
from actors.ports import Clock
from gateway.direct_sends import DirectSends
from gateway.events import EventOutbox
from gateway.intake import InboxOrigin, check_built, check_expiry, check_media, check_state, job_of
from gateway.storing import JobStore, Stored

_log = logging.getLogger("wafleet.gateway")


class SessionQueries(Protocol):
    """What a send asks about its session (``gateway.queries``)."""

    async def current(self, key: SessionKey) -> tuple[DesiredSession, SessionStatus]:
        """Return what is wanted of the session, and its status; raises ``UnknownSession``."""
        ...

    async def window_and_queue(self, key: SessionKey) -> tuple[RateLimitReply, QueueReply]:
        """Return the rate window and what stands before it; raises ``Unavailable`` where nobody knows."""
        ...


class Sends:
    """Takes send commands."""

    def __init__(
        self,
        *,
        queries: SessionQueries,
        store: JobStore,
        direct: DirectSends,
        outbox: EventOutbox,
        clock: Clock,
        queue: QueueConfig,
        allowed_private_hosts: frozenset[str] = frozenset(),
    ) -> None:
        self._queries: Final = queries
        self._store: Final = store
        self._direct: Final = direct
        self._outbox: Final = outbox
        self._clock: Final = clock
        self._queue: Final = queue
        self._allowed_private_hosts: Final = allowed_private_hosts
        self._replica: Final = secrets.token_hex(8)
        self._requests: Final = count()

    async def send(self, key: SessionKey, command: SendCommand) -> Reply:
        """Take one send. Raises every error that DESIGN section 2 names for sends."""
        job, refusal = await self._judged(key, command, None)
        if command.mode == "direct":
            return await self._direct.send(job, refusal, self._announce)
        if refusal is not None:
            return _repeated(await self._earlier(job, refusal))
        storing = await self._store.begin(job)
        await self._clock.sleep(0)  # lets it go out; what is said of it then is made ready while JetStream stores it
        event, reply = _accepted_event(job), JobAccepted(job_id=job.job_id, status="accepted", duplicate=False)
        stored = await self._store.finish(storing)
        if stored.duplicate:
            return _repeated(stored)
        await self._outbox.put(event)
        return reply

    async def take(self, key: SessionKey, command: SendCommand, origin: InboxOrigin) -> Stored:
        """Take one send out of the inbox; its outcome, in direct mode too, is left to events. Raises as ``send``.

        The job of an earlier delivery is looked for in any case: a nats-server that crashed may have forgotten that it
        handed the command out (seen in `make chaos`: a command that was taken was refused, its time was over).
        """
        job, refusal = await self._judged(key, command, origin)
        earlier = await self._store.resume(job)
        if earlier is not None:
            return earlier
        if origin.given_up:
            refusal = Unavailable("a part of the system was away too long; send it again")
        return await self._stored(job, refusal)

    async def _judged(
        self, key: SessionKey, command: SendCommand, origin: InboxOrigin | None
    ) -> tuple[Job, WafleetError | None]:
        """Make the job of a command, and say what speaks against it now. Raises what always speaks against it."""
        check_built(command)
        check_media(command, self._allowed_private_hosts)
        desired, status = await self._queries.current(key)
        job = self._job(key, command, origin)
        refusal: WafleetError | None = check_state(desired, status, command)
        refusal = refusal or check_expiry(command, job.accepted_at, self._queue, origin)
        asks = refusal is None and command.mode == "queue" and command.on_limit == "reject"
        if asks and await self._store.find(job) is None:
            refusal = await self._full_window(key)
        return job, refusal

    async def _stored(self, job: Job, refusal: WafleetError | None) -> Stored:
        """Store a job; where something speaks against it, it must be one that was stored before."""
        return await (self._store.store(job) if refusal is None else self._earlier(job, refusal))

    async def _earlier(self, job: Job, refusal: WafleetError) -> Stored:
        """Find the job that this one repeats; without one the refusal stands."""
        earlier = await self._store.recall(job)
        if earlier is None:
            raise refusal
        return earlier

    async def _full_window(self, key: SessionKey) -> WafleetError | None:
        """Ask the owner whether one more job would still fit: not where ``remaining`` ≤ waiting + active.

        Where nobody can tell, that is what speaks against the job.
        """
        try:
            window, queue = await self._queries.window_and_queue(key)
        except WafleetError as exc:
            return exc
        waiting = queue.waiting
        ahead = waiting.high + waiting.normal + waiting.bulk + queue.active
        if window.remaining > ahead:
            return None
        return RateLimited.until(window.reset_in_ms if window.is_limited else window.window_ms)

    async def _announce(self, job: Job) -> None:
        """Publish ``job.accepted`` in the background."""
        await self._outbox.put(_accepted_event(job))

    def _job(self, key: SessionKey, command: SendCommand, origin: InboxOrigin | None) -> Job:
        """Make the job; one from the inbox has the same ids each time it is handed out."""
        if origin is None:
            fresh_id = "" if command.idempotency_key else str(ULID())
            request_id, seq = f"{self._replica}{next(self._requests):x}", None
        else:
            fresh_id, seq = job_id_of_inbox(key, origin.seq, origin.stored_at), origin.seq
            request_id = f"inbox:{fresh_id}"
        return job_of(
            key,
            command,
            now=self._clock.now(),
            fresh_id=fresh_id,
            request_id=request_id,
            queue=self._queue,
            inbox_seq=seq,
        )


def _accepted_event(job: Job) -> JobEvent:
    return JobEvent(
        id=f"{job.job_id}.accepted",
        event="job.accepted",
        tenant_id=job.tenant_id,
        session_id=job.session_id,
        time=job.accepted_at,
        data=JobData(job_id=job.job_id, idempotency_key=job.idempotency_key, to=job.to),
    )


def _repeated(earlier: Stored) -> JobAccepted:
    return JobAccepted(job_id=earlier.record.job_id, status=earlier.record.status, duplicate=True)
