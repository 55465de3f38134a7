"""Which browsers of this machine tests run on: real binaries, not the shell wrappers that Debian puts before them."""

import shutil
from pathlib import Path

_DEBIAN = Path("/usr/lib/chromium")


def headless_shell() -> Path | None:
    """The headless shell that is installed, or None: then Playwright's own is used."""
    return _installed("chromium-headless-shell")


def full_chromium() -> Path | None:
    """The full Chromium that is installed, or None."""
    return _installed("chromium")


def _installed(name: str) -> Path | None:
    real = _DEBIAN / name
    if real.is_file():
        return real
    found = shutil.which(name)
    return Path(found) if found else None
