#!/usr/bin/env python3
"""Sets up everything that `make demo` and `make test` need, on a machine with Python 3.11 and nothing else prepared.

Owns `.venv` and what is installed in it; `.ci/fetch.py` (run inside it) brings wa-js and the browser, `.ci/peers.py`
the npm packages of a test (not with `--product-only`, which is for `make demo`). Each step leaves a stamp that names
what it was made from, so that a second run only compares stamps. Runs under the system's Python: imports the standard
library only.
"""
# ruff: noqa: S603 - starts only programs that it resolved itself, never a shell string

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMPS = VENV / ".stamps"
BUNDLE = ROOT / "actors" / "browser" / "bundle" / "wppconnect-wa.js"
OLDEST_PYTHON = (3, 11)
PEERS = ROOT / ".wafleet" / "npm-peers" / "key"
PEERS_MADE_FROM = (
    ".ci/peers.py",
    "tests/simulator/peers/package.json",
    "tests/simulator/peers/package-lock.json",
)
PRODUCT_ONLY = "--product-only"
PINNED = ("WA_JS_VERSION", "WA_JS_SHA512", "WA_JS_FILE_SHA512")


class _PutOffError(Exception):
    """A step could not be done, and nothing but one test needs it."""


def main(*options: str) -> None:
    """Carry out the steps that are not done yet."""
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"set-up: wafleet needs Python 3.11 or newer, this is {sys.version.split()[0]} ({sys.executable})")
    state = ROOT / ".wafleet"
    state.mkdir(exist_ok=True)
    with (state / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make demo` and `make test` may run side by side
        release = ".".join(map(str, sys.version_info[:2]))
        lockfile = _digest(ROOT / "requirements.lock")
        _step("virtual environment", "venv", release, _make_venv, needs=[PYTHON])
        _step(
            "locked packages", "packages", f"{release} {lockfile}", _install_packages, needs=[VENV / "bin/nats-server"]
        )
        _step("the wafleet command", "project", _project_key(), _install_project, needs=[VENV / "bin/wafleet"])
        _step("wa-js and a browser", "fetched", _fetched_key(), _fetch, needs=[BUNDLE, *_noted_browser()])
        if PRODUCT_ONLY not in options and shutil.which("node") and shutil.which("npm"):
            _step("npm packages of a test", "peers", _peers_key(), _fetch_peers, needs=[PEERS])


def _step(title: str, name: str, key: str, action: Callable[[], None], *, needs: Sequence[Path]) -> None:
    stamp = STAMPS / name
    if stamp.is_file() and stamp.read_text() == key and all(path.exists() for path in needs):
        return
    began = time.monotonic()
    sys.stdout.write(f"set-up: {title} ...\n")
    sys.stdout.flush()
    try:
        action()
    except _PutOffError as why:
        sys.stdout.write(f"set-up: {title}: {why}\n")
        return
    STAMPS.mkdir(exist_ok=True)
    stamp.write_text(key)
    sys.stdout.write(f"set-up: {title}: done in {time.monotonic() - began:.1f} s\n")


def _make_venv() -> None:
    pip = [str(PYTHON), "-m", "pip", "--version"]
    if PYTHON.exists() and subprocess.run(pip, check=False, stdout=subprocess.DEVNULL).returncode == 0:
        return  # a whole one, made by hand or by an interrupted set-up
    if importlib.util.find_spec("ensurepip") is None:  # Debian ships it apart from python3
        _install_ensurepip()
    _run([sys.executable, "-m", "venv", "--clear", VENV])


def _install_ensurepip() -> None:
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"set-up: this Python cannot make virtual environments; install {package} (apt-get install {package})")
    _run(["apt-get", "update", "-qq"])
    _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package])


def _install_packages() -> None:
    _pip("--require-hashes", "--no-deps", "--requirement", ROOT / "requirements.lock")


def _install_project() -> None:
    _pip("--no-deps", "--editable", ROOT)


def _fetch() -> None:
    _run([PYTHON, ROOT / ".ci" / "fetch.py", STAMPS / "browser"])


def _fetch_peers() -> None:
    command = [PYTHON, ROOT / ".ci" / "peers.py"]
    done = _try(command)
    if done.returncode:
        raise _PutOffError(f"{done.stderr.strip()}; left to the test that needs them, and to the next `make setup`")


def _pip(*arguments: str | Path) -> None:
    options = ["-qq", "--disable-pip-version-check", "--root-user-action", "ignore"]
    _run([PYTHON, "-m", "pip", "install", *options, *arguments])


def _run(command: Sequence[str | Path]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PYTHONPATH": str(ROOT)}
    code = subprocess.run(command, check=False, cwd=ROOT, env=environment).returncode
    if code:
        sys.exit(f"set-up: `{' '.join(map(str, command))}` ended with code {code}; mend what it says and run it again")


def _try(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def _project_key() -> str:
    """What an editable installation is made from; the rest of pyproject.toml may change without one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    parts = [project["build-system"], project["project"], project["tool"]["hatch"], str(ROOT)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _fetched_key() -> str:
    """What is fetched, and by what; the rest of actors/config.py may change without a new fetch."""
    # Read, not imported: this Python has none of the packages that module imports.
    pinned = re.findall(r"^(WA_JS_\w+)\b.*= *(\S+)$", (ROOT / "actors" / "config.py").read_text(), re.MULTILINE)
    if len(pinned) != len(PINNED):
        sys.exit(f"set-up: actors/config.py should name {', '.join(PINNED)}, found {[name for name, _ in pinned]}")
    return " ".join([*(_digest(ROOT / name) for name in (".ci/fetch.py", ".ci/node.lock")), *(at for _, at in pinned)])


def _peers_key() -> str:
    return " ".join(_digest(ROOT / name) for name in PEERS_MADE_FROM)


def _noted_browser() -> list[Path]:
    note = STAMPS / "browser"
    return [Path(note.read_text())] if note.is_file() else [note]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


if __name__ == "__main__":
    main(*sys.argv[1:])
