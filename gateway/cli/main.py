"""The entry point ``wafleet``: one Typer application out of the commands' modules."""

import typer

from gateway.cli import doctor, looking, send, session, up
from gateway.cli.demo.command import demo
from simulator.cli import simulator

app = typer.Typer(
    name="wafleet",
    help="A fleet of WhatsApp Web sessions for many tenants: every session an actor, every command a NATS message.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 not reachable, 4 refused by the service, "
    "130 interrupted (`up` ends with 0 then).",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(up.up)
app.command()(demo)
app.command()(doctor.doctor)
app.add_typer(session.app)
app.add_typer(send.app)
app.command()(looking.queue)
app.command()(looking.rate)
app.command()(looking.events)
app.command()(looking.schema)
app.command()(simulator)


def main() -> None:
    """Run the command line."""
    app()
