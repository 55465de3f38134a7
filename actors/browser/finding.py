"""Finding a browser: the configured one, an installed one, or Playwright's own.

Reads only the file system, the search path and where Playwright was told to install; starts nothing but ``--version``
of what it found.
"""

import asyncio
import re
import shutil
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from actors.errors import BrowserLaunchFailed
from actors.node import playwright_browsers_path

AUTO: Final = "auto"
SHELL_COMMANDS: Final = ("chromium-headless-shell", "chrome-headless-shell")
CHROMIUM_COMMANDS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_LIBRARY_FOLDERS: Final = (Path("/usr/lib/chromium"), Path("/usr/lib/chromium-browser"))
"""Where Debian keeps the real binaries behind its wrapper scripts."""
_PLAYWRIGHT_FOLDERS: Final = (Path.home() / ".cache/ms-playwright", Path.home() / "Library/Caches/ms-playwright")
_BESIDE_PLAYWRIGHT: Final = "0"
_PLAYWRIGHT_PATTERNS: Final = (
    "chromium_headless_shell-*/*/*headless?shell*",
    "chromium-*/*/chrome",
)
_MEND: Final = (
    "install one (Debian: apt install chromium-headless-shell; elsewhere: playwright install --only-shell chromium), "
    "or set WAFLEET_BROWSER to the path of a Chromium"
)
_VERSION_TIMEOUT_S: Final = 10.0


def find_browser(configured: str = AUTO) -> Path:
    """Return the program to launch, preferring the headless shell: it needs half the memory of full Chromium.

    Args:
        configured: A path, or ``auto``.

    Raises:
        BrowserLaunchFailed: There is none; the message says how to mend that.
    """
    if configured != AUTO:
        path = Path(configured).expanduser()
        if not path.is_file():
            raise BrowserLaunchFailed(f"the configured browser {configured!r} is not a file; {_MEND}")
        return real_binary(path)
    for path in _candidates():
        return path
    raise BrowserLaunchFailed(f"no Chromium was found on this machine; {_MEND}")


def real_binary(path: Path) -> Path:
    """Return the program behind Debian's wrapper script.

    The wrapper is ``sh`` without ``exec``: the browser would be a grandchild that outlives a killed ``sh``.
    """
    with path.open("rb") as file:
        if file.read(2) != b"#!":
            return path
    for folder in _LIBRARY_FOLDERS:
        behind = folder / path.name
        if behind.is_file():
            return behind
    return path


def is_headless_shell(path: Path) -> bool:
    """Tell whether the program is the headless shell and not full Chromium."""
    return "headless" in path.name


def installed(commands: Iterable[str]) -> Iterable[Path]:
    """Find installed programs by their commands, the real ones behind Debian's wrappers first."""
    for command in commands:
        for folder in _LIBRARY_FOLDERS:
            if (folder / command).is_file():
                yield folder / command
        found = shutil.which(command)
        if found:
            yield real_binary(Path(found))


def _candidates() -> Iterable[Path]:
    yield from installed(SHELL_COMMANDS)
    yield from installed(CHROMIUM_COMMANDS)
    yield from _playwrights()


def _playwrights() -> Iterable[Path]:
    folders = _playwright_folders()
    for pattern in _PLAYWRIGHT_PATTERNS:
        for folder in folders:
            yield from sorted((path for path in folder.glob(pattern) if path.is_file()), reverse=True)


def _playwright_folders() -> tuple[Path, ...]:
    """Where Playwright installs to on this machine, by the rule of its own registry."""
    told = playwright_browsers_path()
    if told is None:
        return _PLAYWRIGHT_FOLDERS
    if told != _BESIDE_PLAYWRIGHT:
        return (Path(told).absolute(),)
    package = find_spec("playwright")
    below = [] if package is None else package.submodule_search_locations or []
    return tuple(Path(folder) / "driver/package/.local-browsers" for folder in below)


async def major_version(path: Path) -> int:
    """Ask a browser for its major version.

    Raises:
        BrowserLaunchFailed: It does not run, or names no version.
    """
    known = _known_versions()
    if path not in known:
        known[path] = _major(path, await _version_text(path))
    return known[path]


@lru_cache(maxsize=1)
def _known_versions() -> dict[Path, int]:
    """Versions asked in this process; one entry per program used."""
    return {}


async def _version_text(path: Path) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            path, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError as exc:
        raise BrowserLaunchFailed(f"{path} cannot be run ({exc.strerror}); {_MEND}") from exc
    try:
        async with asyncio.timeout(_VERSION_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError as exc:
        process.kill()
        await process.wait()
        raise BrowserLaunchFailed(f"{path} --version gave no answer in {_VERSION_TIMEOUT_S:.0f} s; {_MEND}") from exc
    return output.decode(errors="replace")


def _major(path: Path, text: str) -> int:
    match = re.search(r"(\d+)\.\d+\.\d+", text)
    if match is None:
        raise BrowserLaunchFailed(f"{path} --version answered {text[:80]!r}, expected a Chromium version; {_MEND}")
    return int(match[1])
