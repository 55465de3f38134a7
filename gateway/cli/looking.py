"""``wafleet queue``, ``rate``, ``events`` and ``schema``: looking without changing anything."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape

from actors.messages.events import Event
from actors.messages.replies import QueueReply, RateLimitReply
from gateway.cli.exits import CommandFailed, exit_codes
from gateway.cli.options import JsonOption, NatsOption, SessionArgument, TenantOption
from gateway.cli.output import Output, coloured
from gateway.cli.talking import ask, talk
from gateway.client import Client
from gateway.schema import schemas


def queue(
    session: SessionArgument,
    *,
    tenant: TenantOption = None,
    nats_url: NatsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how many jobs wait in each lane."""
    ask(lambda client: client.queue(session), _show_queue, tenant=tenant, nats_url=nats_url, as_json=as_json)


def rate(
    session: SessionArgument,
    *,
    tenant: TenantOption = None,
    nats_url: NatsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how many messages the rate window still admits."""
    ask(lambda client: client.rate_limit(session), _show_rate, tenant=tenant, nats_url=nats_url, as_json=as_json)


def events(
    session: Annotated[str | None, typer.Argument(help="Of this session only.", show_default=False)] = None,
    *,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="Of this name only, e.g. message.sent; may be given several times."),
    ] = None,
    since_s: Annotated[float | None, typer.Option("--since", min=0, help="Begin so many seconds ago.")] = None,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after so many events.")] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, help="End after so many seconds; with 1 where --count is not reached.")
    ] = None,
    tenant: TenantOption = None,
    nats_url: NatsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow the events of the tenant."""
    output = Output(as_json=as_json)
    names = frozenset(name) if name else None
    since = None if since_s is None else datetime.now(UTC) - timedelta(seconds=since_s)

    async def work(client: Client) -> None:
        left = count
        try:
            async with asyncio.timeout(timeout), client.events(session, names=names, since=since) as stream:
                async for event in stream:
                    output.json(event) if as_json else output.say(describe(event))
                    left = None if left is None else left - 1
                    if left == 0:
                        return
        except TimeoutError:
            if left is not None:
                raise CommandFailed(f"{left} of {count} events did not come within {timeout:g} s") from None

    talk(output, work, tenant=tenant, nats_url=nats_url)


def _show_queue(output: Output, reply: QueueReply) -> None:
    waiting = reply.waiting
    counts = (waiting.high, waiting.normal, waiting.bulk, reply.active)
    cells = (*(str(count) for count in counts), "yes" if reply.paused else "no")
    output.table("high", "normal", "bulk", "active", "paused", rows=[cells])


def _show_rate(output: Output, reply: RateLimitReply) -> None:
    text = f"{reply.remaining} of {reply.max_messages} left in a window of {reply.window_ms / 1000:g} s"
    full = f"; full, room again in {reply.reset_in_ms / 1000:.1f} s" if reply.is_limited else ""
    output.say(text + full)


def describe(event: Event) -> str:
    """Return one line of markup about an event."""
    data: dict[str, Any] = event.data.model_dump(mode="json", exclude_none=True)
    shown = ("state", "reason", "reconnect_attempt", "code", "job_id", "to", "message_id", "ack_name", "error")
    if error := data.get("error"):
        data["error"] = f"{error['code']} ({error['message']})"
    told = " ".join(f"{key}={escape(str(data[key]))}" for key in shown if data.get(key))
    *_, last = event.event.split(".")
    name = coloured(last) if "message." in event.event or "session." in event.event else escape(last)
    prefix = event.event.removesuffix(last)
    return f"[dim]{event.time:%H:%M:%S}[/dim] {escape(event.session_id):<10} {prefix}{name}  [dim]{told}[/dim]"


def schema(
    name: Annotated[
        str | None, typer.Argument(help="A command or event, e.g. send.text; all without it.", show_default=False)
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Print the JSON Schemas of commands, replies and events."""
    output = Output(as_json=as_json)
    with exit_codes(output):
        everything = schemas()
        output.json(everything if name is None else _one(everything, name))


def _one(everything: dict[str, Any], name: str) -> Any:
    for part in everything.values():
        if isinstance(part, dict) and name in part:
            return part[name]
    raise CommandFailed(f"no command or event is called {name!r}; `wafleet schema` lists all")
