"""Finds the processes of a run that a fault is for, by their command lines and by whose child they are."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import psutil

from actors.messages.ids import SessionKey
from tests.chaos.plan import Kind
from tests.support.leftovers import Run

_SUPERVISOR: Final = "ray::SupervisorProcess"
_UNREADABLE: Final = psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess


class Targets:
    """The processes of one run."""

    def __init__(self, run: Run, sessions_path: Path) -> None:
        self._run = run
        self._sessions_path = sessions_path

    def find(self, kind: Kind, key: SessionKey | None) -> psutil.Process | None:
        """Return the process that a fault of this kind kills or freezes; None if there is none right now."""
        if key is None:
            return _first(self._run.processes(), lambda words: any(_SUPERVISOR in word for word in words))
        profile = f"{self._sessions_path / key.tenant_id / key.session_id}/"
        browser = _first(self._run.processes(), lambda words: _is_browser(words, profile))
        if kind is Kind.RENDERER:
            return None if browser is None else _below(browser, "--type=renderer")
        driver = None if browser is None else _above(browser, "playwright")
        if kind is Kind.BROWSER:
            return browser
        return driver if kind is Kind.DRIVER or driver is None else _above(driver, "ray::")


def _is_browser(words: list[str], profile: str) -> bool:
    """Tell whether a command line is that of a browser's main process, on a profile; its children may not name one."""
    on_profile = any(word.startswith(f"--user-data-dir={profile}") for word in words)
    return on_profile and not any(word.startswith("--type=") for word in words)


def _below(process: psutil.Process, word: str) -> psutil.Process | None:
    """Return the nearest descendant with a word in its command line."""
    try:
        descendants = process.children(recursive=True)
    except _UNREADABLE:
        return None
    return _first(descendants, lambda words: word in words)


def _above(process: psutil.Process, text: str) -> psutil.Process | None:
    """Return the nearest ancestor whose command line contains a text."""
    try:
        ancestors = process.parents()
    except _UNREADABLE:
        return None
    return _first(ancestors, lambda words: any(text in word for word in words))


def _first(processes: Iterable[psutil.Process], fits: Callable[[list[str]], bool]) -> psutil.Process | None:
    return next((process for process in processes if fits(_words(process))), None)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except _UNREADABLE:
        return []
