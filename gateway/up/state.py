"""``up.json``: where a running ``wafleet up`` says what it is and where its parts are, for other commands to find."""

import os
from pathlib import Path
from typing import Final

import orjson
import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

_SAME_START_S: Final = 1.0


class Located(BaseModel):
    """Where everything is."""

    model_config = ConfigDict(frozen=True)

    nats_url: str
    ray_address: str
    dashboard_url: str | None
    """None where Ray was given by address."""
    whatsapp_web_url: str
    pid: int
    """Of ``wafleet up``: SIGTERM to it stops everything."""
    ray_environment: dict[str, str] = {}
    """Variables that a Ray driver of one's own needs besides the address."""
    started: float
    """When that process began: a pid alone may be another's by now."""


def write_located(state: Path, located: Located) -> None:
    """Announce what runs; whole or not at all."""
    fresh = state / f".up.{os.getpid()}"
    fresh.touch(mode=0o600)  # a NATS address may hold a password
    fresh.write_bytes(orjson.dumps(located.model_dump(), option=orjson.OPT_INDENT_2))
    fresh.replace(state / "up.json")


def forget_located(state: Path) -> None:
    """Take the announcement back."""
    (state / "up.json").unlink(missing_ok=True)


def find_located(state: Path) -> Located | None:
    """Return what runs for this state folder; None if nothing does."""
    try:
        located = Located.model_validate_json((state / "up.json").read_bytes())
        began = psutil.Process(located.pid).create_time()
    except (OSError, ValidationError, psutil.NoSuchProcess):
        return None
    return located if abs(began - located.started) < _SAME_START_S else None
