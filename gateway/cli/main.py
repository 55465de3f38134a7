"""The entry point ``wafleet``: one Typer application out of the commands' modules."""

import typer

from gateway.cli import up

app = typer.Typer(
    name="wafleet",
    help="A fleet of WhatsApp Web sessions for many tenants: every session an actor, every command a NATS message.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(up.up)


def main() -> None:
    """Run the command line."""
    app()
