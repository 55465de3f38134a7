"""Options that many commands share, and how a command finds the NATS it talks to."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.settings import USUAL_NATS_URL, Settings, load_settings
from gateway.up.state import find_located

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
TenantOption = Annotated[
    str | None, typer.Option("--tenant", "-t", help="Tenant (default: DEFAULT_TENANT_ID).", show_default=False)
]
NatsOption = Annotated[
    str | None,
    typer.Option(
        "--nats-url",
        help="NATS server (default: NATS_URL, else that of `wafleet up` in WAFLEET_DIR or here, else localhost:4222).",
    ),
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        help="Folder of data and logs (default: WAFLEET_DIR, or ./.wafleet). Other commands find it by WAFLEET_DIR.",
        show_default=False,
    ),
]
SessionArgument = Annotated[str, typer.Argument(help="Session id.", show_default=False)]


def settings_with(*, nats_url: str | None = None, state: Path | None = None) -> Settings:
    """Read the settings, options first. Raises ``InvalidSettings``."""
    given = {"nats_url": nats_url, "wafleet_dir": state}
    return load_settings(**{name: value for name, value in given.items() if value is not None})


def nats_url_of(settings: Settings) -> str:
    """Return the NATS to talk to: the one that is set, else that of this folder's ``wafleet up``, else the usual."""
    if settings.nats_url is not None:
        return settings.nats_url
    located = find_located(settings.wafleet_dir)
    return USUAL_NATS_URL if located is None else located.nats_url
