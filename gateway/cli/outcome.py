"""``--wait``: what became of a job, told by its event, or by its record where the event is past or was not heard.

The record is asked once after a repeat of a key, whose outcome may lie behind, and once when the time is up. What it
says is shown and ends the program as the event would.
"""

import asyncio
from typing import Final

from rich.markup import escape

from actors.errors import WafleetError
from actors.messages.events import JobData, JobEvent, JobEventName
from actors.messages.jobs import ACK_STATUSES, OPEN_STATUSES, JobStatus
from actors.messages.replies import JobAccepted, JobReply
from gateway.cli.exits import CommandFailed
from gateway.cli.output import Output, coloured
from gateway.client import Client, JobStored
from gateway.client_events import EventStream

NAMES: Final = frozenset({"message.sent", "message.failed", "message.unconfirmed", "job.accepted", "job.rejected"})
"""Of the events that are waited for; listen for them before the command goes out."""
_LAST_LOOK_S: Final = 5.0


class Waiting:
    """Waits for the outcome of one send of a session.

    A stored command's job may be an earlier command's, so nothing is believed of it before this very command was
    accepted: with another body under a used key it is rejected, whatever the first one's job came to.
    """

    def __init__(self, client: Client, session_id: str, reply: JobAccepted | JobStored) -> None:
        self._client: Final = client
        self._session_id: Final = session_id
        self._job_id: Final = reply.job_id
        self._inbox_seq: Final = reply.inbox_seq if isinstance(reply, JobStored) else None
        self._accepted = isinstance(reply, JobAccepted)
        self._look_first: Final = isinstance(reply, JobAccepted) and reply.duplicate

    async def outcome(self, events: EventStream, within_s: float) -> JobEvent:
        """Return the event of the outcome, or one like it, made from the record.

        Args:
            events: Those of the session, listened to since before the command.
            within_s: How long to wait.

        Raises:
            CommandFailed: Nothing was heard in time, and the record knows no outcome either.
        """
        try:
            async with asyncio.timeout(within_s):
                return await self._told(events)
        except TimeoutError:
            if (ended := await self._look_once_more()) is not None:
                return ended
        raise CommandFailed(
            f"no outcome of job {self._job_id} was heard within {within_s:g} s: ask `job.get` what became of it before "
            "you send the message again"
        )

    async def _told(self, events: EventStream) -> JobEvent:
        if self._look_first and (ended := await self._look()) is not None:
            return ended
        async for event in events:
            if not isinstance(event, JobEvent) or event.data.job_id != self._job_id:
                continue
            if not event.event.startswith("job."):
                if self._accepted:
                    return event
            elif self._inbox_seq is not None and event.data.inbox_seq == self._inbox_seq:
                if event.event == "job.rejected":
                    return event
                self._accepted = True
                if (ended := await self._look()) is not None:
                    return ended
        raise CommandFailed(f"events of session {self._session_id} ended")

    async def _look_once_more(self) -> JobEvent | None:
        if not self._accepted:
            return None
        try:
            async with asyncio.timeout(_LAST_LOOK_S):
                return await self._look()
        except TimeoutError:
            return None

    async def _look(self) -> JobEvent | None:
        """Ask for the record; where it cannot be had, events may still tell."""
        try:
            job = await self._client.job(self._session_id, self._job_id)
        except WafleetError:
            return None
        return None if job.status in OPEN_STATUSES else _event_of(job, self._client.tenant_id)


def show_outcome(output: Output, event: JobEvent) -> None:
    """Print an outcome.

    Raises:
        CommandFailed: The message was not sent.
    """
    status = event.event.partition(".")[2]
    if output.as_json:
        output.json(event)
    else:
        output.say(f"{coloured(status)}  {escape(event.data.message_id or '')}")
    if event.event != "message.sent":
        error = event.data.error
        raise CommandFailed(f"job {event.data.job_id} {status}: {error.message if error else 'no reason given'}")


def _event_of(job: JobReply, tenant_id: str) -> JobEvent:
    """What the event of a finished job said, as far as its record tells."""
    # Acks raise the status later on; the event of the outcome is that of the first of them.
    status: JobStatus = "sent" if job.status in ACK_STATUSES else job.status
    name: JobEventName = "message.failed"  # expired and cancelled ones too (DESIGN 2)
    if status == "sent":
        name = "message.sent"
    elif status == "unconfirmed":
        name = "message.unconfirmed"
    return JobEvent(
        id=f"{job.job_id}.{status}",
        event=name,
        tenant_id=tenant_id,
        session_id=job.session_id,
        time=next((one.time for one in job.history if one.status == status), job.history[-1].time),
        data=JobData(job_id=job.job_id, to=job.to, message_id=job.message_id, attempt=job.attempts, error=job.error),
    )
