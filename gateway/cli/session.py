"""``wafleet session …``: start, stop, restart, logout, status, list, qr."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Annotated, Final, Literal

import typer
from rich.markup import escape

from actors.errors import SessionNotReady
from actors.messages.commands import RateLimit
from actors.messages.replies import QrReply, SessionStatus
from gateway.cli.exits import CommandFailed
from gateway.cli.options import JsonOption, NatsOption, SessionArgument, TenantOption
from gateway.cli.output import Output, coloured
from gateway.cli.talking import ask, talk
from gateway.client import Client
from gateway.client_events import EventStream

app = typer.Typer(name="session", help="Start, stop, link and look at sessions.", no_args_is_help=True)

_CODES = frozenset({"session.qr", "session.code"})
_BEFORE_A_CODE = frozenset({"starting", "pairing"})


@app.command()
def start(
    session: SessionArgument,
    *,
    phone: Annotated[str | None, typer.Option(help="The number that will link, as +digits.")] = None,
    code: Annotated[
        bool | None, typer.Option("--code/--qr", help="Link by a code, which needs --phone, or by a QR.")
    ] = None,
    max_messages: Annotated[
        int | None, typer.Option(min=1, max=1_000, help="Messages per window (20 where only --window-ms is given).")
    ] = None,
    window_ms: Annotated[
        int | None,
        typer.Option(min=1_000, max=3_600_000, help="The window (60000 where only --max-messages is given)."),
    ] = None,
    proxy: Annotated[str | None, typer.Option(help="http://, https:// or socks5:// address.")] = None,
    no_proxy: Annotated[bool, typer.Option("--no-proxy", help="Forget the proxy of an earlier start.")] = False,
    no_phone: Annotated[bool, typer.Option("--no-phone", help="Forget the number, and link by a QR.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Show QRs or the code, and wait until it is ready.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait, with --wait.")] = 300.0,
    tenant: TenantOption = None,
    nats_url: NatsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a session; with --wait until its phone is linked and it is ready. What is not given stays as it is."""
    if no_phone and (phone or code):
        raise typer.BadParameter("--no-phone goes with neither --phone nor --code")
    if no_proxy and proxy:
        raise typer.BadParameter("--no-proxy does not go with --proxy")
    output = Output(as_json=as_json)
    pairing: Literal["qr", "code"] | None = None if code is None else "code" if code else "qr"

    async def work(client: Client) -> None:
        async with client.events(session, names=_CODES) as codes:
            status = await client.start(
                session,
                phone_number=phone,
                pairing=pairing,
                proxy=proxy,
                rate_limit=_limit(max_messages, window_ms),
                cleared=_cleared(no_phone=no_phone, no_proxy=no_proxy),
            )
            if wait:
                status = await _until_ready(client, session, codes, output, timeout)
        show_status(output, status)

    talk(output, work, tenant=tenant, nats_url=nats_url)


def _limit(max_messages: int | None, window_ms: int | None) -> RateLimit | None:
    """Return the limit that was given, if one was."""
    limit = {"max_messages": max_messages, "window_ms": window_ms}
    given = {name: value for name, value in limit.items() if value is not None}
    return RateLimit(**given) if given else None


def _cleared(*, no_phone: bool, no_proxy: bool) -> set[Literal["phone_number", "proxy"]]:
    """Return what is to be forgotten."""
    cleared: set[Literal["phone_number", "proxy"]] = set()
    if no_phone:
        cleared.add("phone_number")
    if no_proxy:
        cleared.add("proxy")
    return cleared


_ORDERS: Final[Mapping[str, tuple[str, Callable[[Client, str], Awaitable[SessionStatus]]]]] = {
    "stop": ("Stop a session; its login and its queued jobs stay.", Client.stop),
    "restart": ("Close the browser and start it again.", Client.restart),
    "logout": ("Unlink the device; queued jobs are cancelled and the login is gone.", Client.logout),
    "status": ("Show the status of a session.", Client.status),
}
"""Commands that take a session and answer its status."""


def _add_order(name: str, text: str, order: Callable[[Client, str], Awaitable[SessionStatus]]) -> None:
    @app.command(name, help=text)
    def command(
        session: SessionArgument,
        *,
        tenant: TenantOption = None,
        nats_url: NatsOption = None,
        as_json: JsonOption = False,
    ) -> None:
        ask(lambda client: order(client, session), show_status, tenant=tenant, nats_url=nats_url, as_json=as_json)


for _name, (_text, _order) in _ORDERS.items():
    _add_order(_name, _text, _order)


@app.command("list")
def list_sessions(
    *,
    tenant: TenantOption = None,
    nats_url: NatsOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the sessions of the tenant."""
    output = Output(as_json=as_json)

    async def work(client: Client) -> None:
        sessions = await client.sessions()
        if as_json:
            output.json({"sessions": sessions})
        elif sessions:
            show_statuses(output, sessions)
        else:
            output.say(f"tenant {escape(client.tenant_id)} has no sessions; start one with `wafleet session start ID`")

    talk(output, work, tenant=tenant, nats_url=nats_url)


@app.command()
def qr(
    session: SessionArgument,
    *,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait for the code.")] = 20.0,
    tenant: TenantOption = None,
    nats_url: NatsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the current QR, or show the link code; waits for it while the session starts."""
    output = Output(as_json=as_json)

    async def work(client: Client) -> None:
        async with client.events(session, names=_CODES) as codes:
            reply = await _awaited_code(client, session, codes, timeout)
        if as_json:
            output.json(reply)
        else:
            show_code(output, reply)

    talk(output, work, tenant=tenant, nats_url=nats_url)


def show_status(output: Output, status: SessionStatus) -> None:
    """Print one status."""
    if output.as_json:
        output.json(status)
    else:
        show_statuses(output, [status])


def show_statuses(output: Output, statuses: list[SessionStatus] | tuple[SessionStatus, ...]) -> None:
    """Print statuses as a table."""
    output.table(
        "session", "status", "state", "number", "epoch", "since", "reason",
        rows=[
            (
                escape(one.session_id),
                coloured(one.status),
                one.state + (" (paused)" if one.paused else ""),
                (one.wid or one.phone_number or "").removesuffix("@c.us"),
                str(one.epoch),
                f"{one.since:%Y-%m-%d %H:%M:%S}",
                escape(one.reason or ""),
            )
            for one in statuses
        ],
    )  # fmt: skip


def show_code(output: Output, reply: QrReply) -> None:
    """Draw a QR or print a link code."""
    if reply.code is not None:
        output.say(f"link code [bold]{escape(reply.code)}[/bold]: type it on the phone (Linked devices)")
    elif reply.terminal is not None:
        output.plain(reply.terminal)
        output.say("scan it with the phone (WhatsApp, Linked devices)")


async def _until_ready(
    client: Client, session: str, codes: EventStream, output: Output, timeout_s: float
) -> SessionStatus:
    showing = asyncio.create_task(_show_codes(client, session, codes, output))
    try:
        return await client.wait_until(session, "ready", timeout_s=timeout_s)
    except TimeoutError as error:
        raise CommandFailed(str(error)) from error
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


async def _show_codes(client: Client, session: str, codes: EventStream, output: Output) -> None:
    """Draw each new QR or code; the one that is shown already comes first."""
    shown = await _current_code(client, session)
    show_code(output, shown)
    async for _ in codes:
        reply = await _current_code(client, session)
        if (reply.qr, reply.code) != (shown.qr, shown.code):
            show_code(output, reply)
            shown = reply


async def _awaited_code(client: Client, session: str, codes: EventStream, timeout_s: float) -> QrReply:
    reply = await _current_code(client, session)
    state = (await client.status(session)).state
    if reply.qr is None and reply.code is None and state in _BEFORE_A_CODE:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await anext(codes)
        reply = await _current_code(client, session)
    if reply.qr is None and reply.code is None:
        state = (await client.status(session)).state
        raise CommandFailed(f"session {session} shows no QR: it is {state}")
    return reply


async def _current_code(client: Client, session: str) -> QrReply:
    try:
        return await client.qr(session)
    except SessionNotReady:  # it has no browser yet, or none any more
        return QrReply()
