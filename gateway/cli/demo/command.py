"""``wafleet demo``: starts everything of its own, runs the tour, prints what it showed, and leaves nothing behind."""

import asyncio
import os
import shutil
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from gateway.cli.demo.tour import Party, Tour
from gateway.cli.demo.watch import EventWatch
from gateway.cli.exits import exit_codes
from gateway.cli.options import JsonOption
from gateway.cli.output import Output
from gateway.cli.up import StartProgress, show_located
from gateway.client import Client
from gateway.settings import load_settings
from gateway.up.running import Interrupted, run_stack
from gateway.up.stack import Plan
from gateway.up.state import Located
from simulator.client import SimulatedPhone

_ACCOUNTS = ("6281100000001", "6281100000002")
_PEOPLE = tuple(f"62812000000{number:02}" for number in range(1, 6))


def demo(
    *,
    stay: Annotated[bool, typer.Option("--stay", help="Keep everything running afterwards.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the whole product on real parts, with a simulated WhatsApp, in about a minute."""
    output = Output(as_json=as_json)
    with exit_codes(output):
        began = time.monotonic()
        # Apart from what is set and from other demos: it must not meet anybody's data, nor leave any.
        state = load_settings().wafleet_dir.absolute() / f"demo-{os.getpid()}"
        settings = load_settings(nats_url=None, ray_address=None, wafleet_dir=state)
        plan = Plan(
            settings=settings,
            state=state,
            simulator=True,
            environment=(("WHATSAPP_SESSION_PATH", str(state / "sessions")),),
        )
        progress = StartProgress(output)

        async def work(located: Located) -> None:
            progress.finish()
            show_located(output, located, after_s=progress.passed_s)
            tour = await _run_tour(output, located, state / "sessions")
            _summarise(output, tour, started_s=progress.passed_s, began=began)
            if stay:
                output.say(f"\nStill up. From another terminal: export NATS_URL={escape(located.nats_url)}")
                output.say("wafleet session list --tenant acme     (Ctrl-C here ends everything)")
                await asyncio.get_running_loop().create_future()  # until it is cancelled

        try:
            run_stack(plan, progress, work)
        except Interrupted:
            _forget(state)
            if not stay:
                raise
        else:
            _forget(state)  # not after a failure: its logs say why
        finally:
            progress.finish()
            if state.exists():
                output.say(f"what the parts logged is in {escape(str(state / 'logs'))}")


def _forget(state: Path) -> None:
    shutil.rmtree(state, ignore_errors=True)


async def _run_tour(output: Output, located: Located, sessions_path: Path) -> Tour:
    async with AsyncExitStack() as stack:
        phone = await stack.enter_async_context(SimulatedPhone(located.whatsapp_web_url))
        for number in _PEOPLE:
            await phone.user(f"{number}@c.us")

        async def party(tenant: str, number: str) -> Party:
            client = await stack.enter_async_context(await Client.connect(located.nats_url, tenant))
            return Party(client, await stack.enter_async_context(EventWatch(client)), number)

        acme, globex = await party("acme", _ACCOUNTS[0]), await party("globex", _ACCOUNTS[1])
        tour = Tour(output, phone, acme, globex, sessions_path=sessions_path, people=_PEOPLE)
        await tour.run()
        return tour


def _summarise(output: Output, tour: Tour, *, started_s: float, began: float) -> None:
    in_all_s = time.monotonic() - began
    shown = [("starting everything", started_s, ""), *tour.times]
    rows = [("[green]✓[/green]", escape(title), escape(note), f"{took:.1f} s") for title, took, note in shown]
    rows.append(("", "[bold]in all[/bold]", "", f"[bold]{in_all_s:.1f} s[/bold]"))
    output.say("")
    output.table("", "shown", "", "took", rows=rows)
    if output.as_json:
        steps = [{"title": title, "note": note, "took_s": round(took, 3)} for title, took, note in shown]
        output.json({"shown": steps, "in_all_s": round(in_all_s, 3)})
