"""``wafleet send …``: text, media, location; queued or direct, with or without waiting for the outcome."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from actors.messages.commands import Lane, MediaKind
from actors.messages.replies import JobAccepted, JobSent
from gateway.cli.options import JsonOption, NatsOption, SessionArgument, TenantOption
from gateway.cli.outcome import NAMES, Waiting, show_outcome
from gateway.cli.output import Output, coloured
from gateway.cli.talking import talk
from gateway.client import Client, JobStored, SendOptions

app = typer.Typer(name="send", help="Send messages.", no_args_is_help=True)

ToArgument = Annotated[str, typer.Argument(help="Number (digits or +digits), …@c.us, …@g.us or …@lid.")]
DirectOption = Annotated[bool, typer.Option("--direct", help="Past the queue; waits for the outcome.")]
DurableOption = Annotated[
    bool, typer.Option("--durable", help="Store it also where no gateway runs; the answer comes as an event.")
]
RejectOption = Annotated[bool, typer.Option("--reject", help="Refuse at once where the rate window is full.")]
LaneOption = Annotated[
    Lane | None, typer.Option(help="Lane of the queue (default: normal); not with --direct.", show_default=False)
]
ExpiresOption = Annotated[datetime | None, typer.Option(help="No attempt begins after this moment (UTC).")]
ReplyOption = Annotated[str | None, typer.Option(help="Id of the message to quote.")]
KeyOption = Annotated[str | None, typer.Option(help="Idempotency key: a repeat sends nothing again.")]
WaitOption = Annotated[
    float | None, typer.Option(min=0.1, help="Wait up to so many seconds for the outcome (--direct waits anyway).")
]

Send = Callable[[Client, SendOptions], Awaitable[JobAccepted | JobSent | JobStored]]


@app.command()
def text(
    session: SessionArgument,
    to: ToArgument,
    message: Annotated[str, typer.Argument(help="The text.")],
    *,
    direct: DirectOption = False,
    durable: DurableOption = False,
    reject: RejectOption = False,
    lane: LaneOption = None,
    expires_at: ExpiresOption = None,
    reply_to: ReplyOption = None,
    key: KeyOption = None,
    wait: WaitOption = None,
    tenant: TenantOption = None,
    nats_url: NatsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a text."""
    options = _options(direct=direct, reject=reject, lane=lane, expires_at=expires_at, reply_to=reply_to, key=key)

    async def send(client: Client, options: SendOptions) -> JobAccepted | JobSent | JobStored:
        if durable:
            return await client.inbox_send(session, "send.text", to=to, message=message, **options)
        return await client.send_text(session, to, message, **options)

    _carry_out(Output(as_json=as_json), session, send, options, wait, tenant=tenant, nats_url=nats_url)


@app.command()
def media(
    session: SessionArgument,
    to: ToArgument,
    source: Annotated[str, typer.Argument(help="A file, or an http(s) URL.")],
    *,
    caption: Annotated[str | None, typer.Option(help="Text below the picture.")] = None,
    filename: Annotated[str | None, typer.Option(help="Name that the recipient sees.")] = None,
    kind: Annotated[MediaKind, typer.Option("--as", help="What it is sent as.")] = "auto",
    direct: DirectOption = False,
    reject: RejectOption = False,
    lane: LaneOption = None,
    expires_at: ExpiresOption = None,
    reply_to: ReplyOption = None,
    key: KeyOption = None,
    wait: WaitOption = None,
    tenant: TenantOption = None,
    nats_url: NatsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a file (some 740 kB at most) or what lies at a URL."""
    options = _options(direct=direct, reject=reject, lane=lane, expires_at=expires_at, reply_to=reply_to, key=key)
    output = Output(as_json=as_json)
    content = _content(source, filename)

    async def send(client: Client, options: SendOptions) -> JobAccepted | JobSent:
        return await client.send_media(session, to, caption=caption, as_=kind, **content, **options)

    _carry_out(output, session, send, options, wait, tenant=tenant, nats_url=nats_url)


@app.command()
def location(
    session: SessionArgument,
    to: ToArgument,
    latitude: Annotated[float, typer.Argument(min=-90, max=90, help="Degrees, north is positive.")],
    longitude: Annotated[float, typer.Argument(min=-180, max=180, help="Degrees, east is positive.")],
    *,
    description: Annotated[str | None, typer.Option(help="Name of the place.")] = None,
    direct: DirectOption = False,
    reject: RejectOption = False,
    lane: LaneOption = None,
    expires_at: ExpiresOption = None,
    reply_to: ReplyOption = None,
    key: KeyOption = None,
    wait: WaitOption = None,
    tenant: TenantOption = None,
    nats_url: NatsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a location; a negative number goes behind `--`."""
    options = _options(direct=direct, reject=reject, lane=lane, expires_at=expires_at, reply_to=reply_to, key=key)

    async def send(client: Client, options: SendOptions) -> JobAccepted | JobSent:
        return await client.send_location(session, to, latitude, longitude, description=description, **options)

    _carry_out(Output(as_json=as_json), session, send, options, wait, tenant=tenant, nats_url=nats_url)


def _options(
    *,
    direct: bool,
    reject: bool,
    lane: Lane | None,
    expires_at: datetime | None,
    reply_to: str | None,
    key: str | None,
) -> SendOptions:
    options: SendOptions = {"mode": "direct" if direct else "queue", "on_limit": "reject" if reject else "wait"}
    if lane is not None:
        options["lane"] = lane
    if expires_at is not None:
        options["expires_at"] = expires_at if expires_at.tzinfo else expires_at.replace(tzinfo=UTC)
    if reply_to is not None:
        options["reply_to"] = reply_to
    if key is not None:
        options["idempotency_key"] = key
    return options


def _content(source: str, filename: str | None) -> dict[str, Any]:
    if source.startswith(("http://", "https://")):
        return {"url": source, "filename": filename}
    path = Path(source)
    try:
        return {"data": path.read_bytes(), "filename": filename or path.name}
    except OSError as error:
        raise typer.BadParameter(f"{source}: {error.strerror}; expected a file or an http(s) URL") from error


def _carry_out(
    output: Output,
    session: str,
    send: Send,
    options: SendOptions,
    wait_s: float | None,
    *,
    tenant: str | None,
    nats_url: str | None,
) -> None:
    async def work(client: Client) -> None:
        # Before the command: its outcome may come faster than its answer.
        async with client.events(session, names=NAMES) as events:
            reply = await send(client, options)
            _show_reply(output, reply)
            if wait_s is not None and not isinstance(reply, JobSent):
                show_outcome(output, await Waiting(client, session, reply).outcome(events, wait_s))

    talk(output, work, tenant=tenant, nats_url=nats_url)


def _show_reply(output: Output, reply: JobAccepted | JobSent | JobStored) -> None:
    if output.as_json:
        output.json({"status": "stored", **asdict(reply)} if isinstance(reply, JobStored) else reply)
        return
    if isinstance(reply, JobStored):
        output.say(f"{coloured('stored')}  job {reply.job_id}  {reply.inbox_seq} in the inbox")
        return
    known = "  (a repeat: nothing is sent again)" if isinstance(reply, JobAccepted) and reply.duplicate else ""
    message_id = f"  {escape(reply.message_id)}" if isinstance(reply, JobSent) and reply.message_id else ""
    output.say(f"{coloured(reply.status)}  job {reply.job_id}{message_id}{known}")
