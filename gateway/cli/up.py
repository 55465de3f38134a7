"""``wafleet up``: the parts that are not given by address, in the foreground."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.status import Status

from gateway.cli.exits import exit_codes
from gateway.cli.options import JsonOption, StateOption, settings_with
from gateway.cli.output import Output
from gateway.connection import redacted
from gateway.up.nats_server import USUAL_PORT
from gateway.up.ray_head import USUAL_DASHBOARD_PORT
from gateway.up.running import Interrupted, run_stack
from gateway.up.stack import Moment, Plan
from gateway.up.state import Located

_SIMULATOR_PORT: Final = 8085


def up(
    *,
    simulator: Annotated[bool, typer.Option("--simulator", help="Add a simulated WhatsApp and use it.")] = False,
    simulator_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of the --simulator; a free one where it is in use.")
    ] = _SIMULATOR_PORT,
    knobs: Annotated[
        list[str] | None, typer.Option("--simulator-set", help="A setting of the --simulator, as name=json.")
    ] = None,
    nats_port: Annotated[
        int,
        typer.Option(
            min=0, max=65_535, help="Port of the nats-server (without NATS_URL); a free one where it is in use."
        ),
    ] = USUAL_PORT,
    dashboard_port: Annotated[
        int,
        typer.Option(
            min=0, max=65_535, help="Port of Ray's dashboard (without RAY_ADDRESS); a free one where it is in use."
        ),
    ] = USUAL_DASHBOARD_PORT,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start everything that is not given by address, and stop it again at Ctrl-C."""
    output = Output(as_json=as_json)
    with exit_codes(output):
        settings = settings_with(state=state)
        plan = Plan(
            settings=settings,
            state=settings.wafleet_dir,
            simulator=simulator,
            simulator_knobs=tuple(knobs or ()),
            nats_port=nats_port,
            dashboard_port=dashboard_port,
            simulator_port=simulator_port,
            on_line=None if as_json else output.plain,
        )
        progress = StartProgress(output)

        async def announce(located: Located) -> None:
            progress.finish()
            if as_json:
                output.json(contract_line(located))
            else:
                show_located(output, located, after_s=progress.passed_s)
            await asyncio.get_running_loop().create_future()  # until it is cancelled

        try:
            run_stack(plan, progress, announce)
        except Interrupted:
            output.say("everything has stopped")
        finally:
            progress.finish()


def contract_line(located: Located) -> dict[str, Any]:
    """Return what ``--json`` prints: the contract's keys, and what a Ray driver needs besides the address."""
    fields = ("nats_url", "ray_address", "dashboard_url", "whatsapp_web_url", "pid", "ray_environment")
    return {name: getattr(located, name) for name in fields}


def show_located(output: Output, located: Located, *, after_s: float) -> None:
    """Print where everything is."""
    rows = [
        ("NATS", redacted(located.nats_url)),
        ("Ray", located.ray_address),
        ("Ray dashboard", located.dashboard_url or "(as given)"),
        ("WhatsApp Web", located.whatsapp_web_url),
    ]
    output.say(f"\n[green]up[/green] after {after_s:.1f} s (pid {located.pid}); Ctrl-C stops it")
    output.table("", "", rows=[(f"[bold]{name}[/bold]", escape(value)) for name, value in rows])
    if located.ray_environment:
        exports = " ".join(f"{name}={value}" for name, value in located.ray_environment.items())
        output.say(f"[dim]A Ray driver of your own needs {escape(exports)}[/dim]")
    output.say("")


@dataclass
class StartProgress:
    """Shows the parts as they come up, with the seconds each took."""

    output: Output
    _began: float = field(default_factory=time.monotonic)
    _started: dict[str, float] = field(default_factory=dict)
    _status: Status | None = None
    _finished: float | None = None

    def __call__(self, name: str, moment: Moment, text: str) -> None:
        """Take note of a part."""
        now = time.monotonic()
        if moment == "starting":
            self._started[name] = now
        elif moment == "ready":
            took = now - self._started.pop(name, now)
            self.output.say(f"[green]✓[/green] {name:<12} {escape(text)} [dim]{took:.1f} s[/dim]")
        elif moment == "given":
            self.output.say(f"[green]·[/green] {name:<12} {escape(text)} [dim]given by address[/dim]")
        elif moment == "lost":
            self.output.say(f"[red]✗[/red] {name:<12} {escape(text)}")
        elif moment == "stopping":
            self.output.say(f"[dim]· stopping {name}[/dim]")
        self._show(self._started)

    @property
    def passed_s(self) -> float:
        """Seconds from the beginning until everything was up."""
        return (self._finished or time.monotonic()) - self._began

    def finish(self) -> None:
        """Take the moving line away: everything is up, or nothing comes any more."""
        self._finished = self._finished or time.monotonic()
        self._hide()

    def _hide(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _show(self, names: dict[str, float]) -> None:
        if not names:
            self._hide()
            return
        text = f"starting {', '.join(names)} …"
        if self._status is None:
            self._status = self.output.people.status(text)
            self._status.start()
        else:
            self._status.update(text)
