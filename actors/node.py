"""The machine a process runs on: its name, its process table, and where it keeps profiles and browsers.

Reads the environment, as else only ``gateway.settings`` does: a gateway's settings travel into the actors of every
node, but these values are a node's own, so they come from the environment that ``ray start`` was given there. Imports
nothing of this package.
"""

import os
import platform
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE: Final = Path("/proc/self/ns/pid")
_SHOWN_CHARS: Final = 8


def name() -> str:
    """Return the node's name, for people: ``WAFLEET_NODE``, else the host's."""
    return os.environ.get("WAFLEET_NODE") or platform.node()


def identity() -> str:
    """Return an id that two processes share only where each can see the other's pid.

    Whoever finds a pid gone concludes that its process ended, which a name can't vouch for: hosts may have the same
    one, containers have process tables of their own, and after a reboot pids begin anew.
    """
    return f"{name()}/{_boot()}.{_pid_namespace()}"


def process_started() -> float:
    """Return when this process started, in seconds since 1970: a pid alone may be another's later."""
    import psutil  # noqa: PLC0415 - late: a session imports it only once it has a browser

    return psutil.Process().create_time()


def sessions_path(default: Path) -> Path:
    """Return where this node keeps profiles: ``WHATSAPP_SESSION_PATH`` as `ray start` saw it, else the fleet's path.

    Args:
        default: What the gateway's settings say.
    """
    own = os.environ.get("WHATSAPP_SESSION_PATH")
    return Path(own).absolute() if own else default


def playwright_browsers_path() -> str | None:
    """Return where Playwright was told to keep its browsers on this node: ``PLAYWRIGHT_BROWSERS_PATH`` as it is."""
    return os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or None


def _boot() -> str:
    try:
        return _BOOT_ID.read_text()[:_SHOWN_CHARS]
    except OSError:
        return "unknown"  # not Linux: one process table per host


def _pid_namespace() -> str:
    try:
        return _PID_NAMESPACE.readlink().name.removeprefix("pid:").strip("[]")
    except OSError:
        return "host"
