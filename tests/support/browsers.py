"""Which browsers of this machine tests run on: what `make setup` has found, and full Chromium where there is one.

Real binaries, not the shell wrappers that Debian puts before them.
"""

from pathlib import Path

from actors.browser.finding import CHROMIUM_COMMANDS, find_browser, installed, is_headless_shell
from gateway.settings import load_settings


def browser() -> Path:
    """The browser that sessions are launched in."""
    return find_browser(load_settings().wafleet_browser)


def browsers() -> dict[str, Path]:
    """It, by its kind, and full Chromium."""
    usual = browser()
    found = {"headless-shell" if is_headless_shell(usual) else "chromium": usual}
    for full in installed(CHROMIUM_COMMANDS):
        found.setdefault("chromium", full)
    return found
