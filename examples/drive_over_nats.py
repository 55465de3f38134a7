"""Drive one WhatsApp session as a tenant's program would: over NATS, with the Python client.

    python examples/drive_over_nats.py --to 6281234567890 --message "Hello!"

starts the session, shows its QR (or, with ``--phone-number``, its link code) until the phone has linked it, queues one
text, and follows the session's events until that message has its outcome. A login that is still there is used again:
the second run sends at once. Without ``--nats-url`` it looks for a running ``wafleet up`` in this folder.

Any language with a NATS client can do the same: the subjects and bodies are those of ``wafleet schema``.
"""
# ruff: noqa: INP001 - a script, not a package

import argparse
import asyncio
import sys
from pathlib import Path

from actors.errors import WafleetError
from actors.messages.events import AckEvent, CodeEvent, Event, JobEvent, QrEvent
from gateway.client import Client
from gateway.client_events import EventStream
from gateway.failures import error_of_job
from gateway.up.state import find_located

USUAL_URL = "nats://127.0.0.1:4222"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nats-url", help=f"default: the running `wafleet up` of this folder, else {USUAL_URL}")
    parser.add_argument("--tenant", default="default")
    parser.add_argument("--session", default="s1")
    parser.add_argument("--phone-number", help="of the account to link; asks for a link code in the place of a QR")
    parser.add_argument("--to", required=True, help="recipient: digits with country code, …@c.us or …@g.us")
    parser.add_argument("--message", default="Hello from wafleet!")
    parser.add_argument("--timeout", type=float, default=180.0, help="seconds for linking, and again for sending")
    return parser.parse_args()


async def show_links(client: Client, session: str, events: EventStream) -> None:
    """Print each QR and link code as it comes; runs until it is cancelled."""
    current = await client.qr(session)
    if current.terminal:
        print(current.terminal)
    async for event in events:
        if isinstance(event, QrEvent):
            shown = await client.qr(session)
            print(f"QR {event.data.sequence}, valid until {event.data.expires_at:%H:%M:%S}:\n{shown.terminal or ''}")
        elif isinstance(event, CodeEvent):
            print(f"Link code {event.data.code}: type it into the phone {event.data.phone_number}")
        else:
            print(event.event)


async def link(client: Client, options: argparse.Namespace) -> None:
    """Start the session and wait until it is ready."""
    async with client.events(options.session) as events:
        number = options.phone_number
        status = await client.start(options.session, phone_number=number, pairing="code" if number else "qr")
        print(f"session {options.session}: {status.state}")
        showing = asyncio.create_task(show_links(client, options.session, events))
        try:
            ready = await client.wait_until(options.session, "ready", timeout_s=options.timeout)
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
    print(f"ready as {ready.wid}")


def is_outcome(event: Event, job_id: str) -> bool:
    """Tell whether an event says what became of a job."""
    return isinstance(event, JobEvent) and event.data.job_id == job_id and event.event.startswith("message.")


async def send(client: Client, options: argparse.Namespace) -> None:
    """Queue a text and follow it to its outcome. Raises the job's error."""
    async with asyncio.timeout(options.timeout), client.events(options.session) as events:
        accepted = await client.send_text(options.session, options.to, options.message)
        print(f"job {accepted.job_id}: {accepted.status}")
        async for event in events:
            if isinstance(event, AckEvent):
                print(f"{event.event}: {event.data.ack_name} {event.data.message_id}")
            elif isinstance(event, JobEvent):
                print(f"{event.event}: {event.data.message_id or event.data.job_id}")
            if is_outcome(event, accepted.job_id):
                break
    job = await client.job(options.session, accepted.job_id)
    if job.error is not None:
        raise error_of_job(job.error, job.job_id, job.status)
    print("history: " + ", ".join(f"{change.status} {change.time:%H:%M:%S.%f}"[:-3] for change in job.history))


async def main() -> None:
    """Link, send, look."""
    options = arguments()
    located = find_located(Path(".wafleet"))
    url = options.nats_url or (located.nats_url if located else USUAL_URL)
    async with await Client.connect(url, options.tenant) as client:
        await link(client, options)
        await send(client, options)
        window = await client.rate_limit(options.session)
        print(f"rate window: {window.remaining} of {window.max_messages} left for {window.window_ms / 1000:g} s")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (WafleetError, TimeoutError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
