"""The command `wafleet simulator`, also `python -m simulator`."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from simulator.errors import SimulatorError
from simulator.server import SimulatorServer, TlsSettings
from simulator.settings import SimulatorSettings


def simulator(
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of the page; 0 for any free one.")] = 8085,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    tls_port: Annotated[int | None, typer.Option(min=0, max=65_535, help="A second port, with TLS.")] = None,
    cert: Annotated[Path | None, typer.Option(help="Certificate file for the TLS port.")] = None,
    key: Annotated[Path | None, typer.Option(help="Key file for the TLS port.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that keeps the world across restarts.")] = None,
    knobs: Annotated[list[str] | None, typer.Option("--set", help="A setting, as name=json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when ready.")] = False,
) -> None:
    """Run a simulated WhatsApp: a page for the real wa-js bundle, a phone and people behind an HTTP control API."""
    server = SimulatorServer(_settings(knobs or []), host=host, port=port, tls=_tls(tls_port, cert, key), data=data)
    try:
        asyncio.run(_serve(server, as_json=as_json))
    except (OSError, SimulatorError) as error:
        typer.echo(f"the simulator cannot start: {error}", err=True)
        raise typer.Exit(1) from error


def _settings(knobs: list[str]) -> SimulatorSettings:
    chosen: dict[str, Any] = {}
    for knob in knobs:
        name, _, value = knob.partition("=")
        try:
            chosen[name] = json.loads(value)
        except ValueError as error:
            raise typer.BadParameter(f"--set {knob}: expected name=json, as in --set qr_ttl=5") from error
    try:
        return SimulatorSettings.model_validate(chosen)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise typer.BadParameter(f"--set {problems}") from error


def _tls(port: int | None, certificate: Path | None, key: Path | None) -> TlsSettings | None:
    if port is None:
        return None
    if certificate is None or key is None:
        raise typer.BadParameter("--tls-port needs --cert and --key")
    return TlsSettings(port, certificate, key)


async def _serve(server: SimulatorServer, *, as_json: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with server:
        typer.echo(_ready_line(server, as_json=as_json))
        await stopping.wait()


def _ready_line(server: SimulatorServer, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"url": server.url, "pid": os.getpid()})
    return f"simulator ready at {server.url} (pid {os.getpid()}); stop it with Ctrl-C"


def main() -> None:
    """Run the command by itself."""
    typer.run(simulator)
