"""Finds the browser process of a session on this machine, to kill it for show."""

from contextlib import suppress
from pathlib import Path

import psutil

from gateway.cli.exits import CommandFailed


def find_browser_process(profile: Path) -> psutil.Process:
    """Return the root process of the browser that runs on a profile folder. Raises ``CommandFailed``."""
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            arguments = process.cmdline()
            mine = any(one.startswith("--user-data-dir=") and str(profile) in one for one in arguments)
            if mine and not any(one.startswith("--type=") for one in arguments):  # those are its children
                return process
    raise CommandFailed(f"no browser runs on {profile}")
