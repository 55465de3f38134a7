"""Brings the npm packages that other people's programs are built on, which tests run unmodified on the simulator.

Run by `.ci/setup.py` where Node is there, and by the test itself where that could not fetch them. The lock file pins
every version and its hash, and no host: npm asks the registry that it is set up with. Runs under any Python: imports
the standard library only.
"""
# ruff: noqa: INP001, S603 - a script, not a package; it starts only programs that it resolved itself

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "tests" / "simulator" / "peers"
LOCK_FILES = ("package.json", "package-lock.json")
FOLDER = ROOT / ".wafleet" / "npm-peers"
NODE_MODULES = FOLDER / "node_modules"
_KEY = FOLDER / "key"
_INSTALL_S = 100
"""Less than pytest gives a test; 12 s where the registry is well."""


def main() -> None:
    """Fetch what is not there; end with 1 and a line that says why where it cannot be had."""
    if is_there():
        return
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is not installed")
    _KEY.unlink(missing_ok=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in LOCK_FILES:
        shutil.copy(LOCK / name, FOLDER / name)
    # No package's install script runs: puppeteer's would fetch a browser, and no other one has any.
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    quick = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000")
    command = [npm, "ci", *quiet, *quick, "--prefix", str(FOLDER)]
    try:
        done = subprocess.run(
            command, check=False, cwd=FOLDER, timeout=_INSTALL_S, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        sys.exit(f"`npm ci` took longer than {_INSTALL_S} s")
    if done.returncode:
        lines = done.stdout.strip().splitlines() or ["no output"]
        sys.exit(f"`npm ci` ended with code {done.returncode}: {lines[0]}")
    _KEY.write_text(key())


def is_there() -> bool:
    """Tell whether the pinned packages were fetched whole."""
    return _KEY.is_file() and _KEY.read_text() == key() and NODE_MODULES.is_dir()


def key() -> str:
    """What they are fetched by."""
    return hashlib.sha256(b"".join((LOCK / name).read_bytes() for name in LOCK_FILES)).hexdigest()


if __name__ == "__main__":
    main()
