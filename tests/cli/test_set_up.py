"""`make setup`: what it does again, and what it does not; and what a wheel carries. Nothing is really installed."""

import importlib.util
import json
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest

from actors.browser.injection import BUNDLE

ROOT = Path(__file__).resolve().parents[2]
PEERS = ("tests/simulator/peers/package.json", "tests/simulator/peers/package-lock.json")
COPIED = (
    ".ci/setup.py", ".ci/fetch.py", ".ci/peers.py", ".ci/node.lock", "actors/config.py", "pyproject.toml",
    "requirements.lock", *PEERS,
)  # fmt: skip


def script(path: Path) -> ModuleType:
    """A script of `.ci` as a module; it finds the checkout by its own place."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Checkout:
    """A copy of what the set-up reads, with a stand-in for every program that it starts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in COPIED:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        self._setup = script(root / ".ci/setup.py")
        self._setup._run = self._pretend  # type: ignore[attr-defined]
        self._setup._try = self._pretend_to_try  # type: ignore[attr-defined]
        self._started: list[str] = []
        self.registry_answers = True

    def set_up(self, *options: str) -> list[str]:
        """What it started."""
        self._started.clear()
        self._setup.main(*options)
        return list(self._started)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text
        (self.root / name).write_text(text.replace(old, new, 1))

    def _pretend(self, command: Sequence[str | Path]) -> None:
        words = [str(word) for word in command]
        bin_ = self.root / ".venv" / "bin"
        if "venv" in words:
            self._made("venv", bin_ / "python")
        elif "--require-hashes" in words:
            self._made("packages", bin_ / "nats-server")
        elif "--editable" in words:
            self._made("project", bin_ / "wafleet")
        elif words[1].endswith("fetch.py"):
            browser = self.root / "a browser"
            self._made("fetched", browser, self.root / "actors/browser/bundle/wppconnect-wa.js")
            Path(words[2]).write_text(str(browser))
        else:
            raise AssertionError(f"the set-up starts {words}")

    def _pretend_to_try(self, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        assert str(command[1]).endswith("peers.py")
        if not self.registry_answers:
            return subprocess.CompletedProcess(command, 1, stderr="`npm ci` ended with code 1\n")
        self._made("peers", self.root / ".wafleet/npm-peers/key")
        return subprocess.CompletedProcess(command, 0)

    def _made(self, what: str, *paths: Path) -> None:
        self._started.append(what)
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return Checkout(tmp_path)


def test_the_second_time_nothing_is_started(checkout: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    assert checkout.set_up() == ["venv", "packages", "project", "fetched", "peers"]
    assert capsys.readouterr().out.count("done in") == 5
    assert checkout.set_up() == []
    assert capsys.readouterr().out == ""


def test_only_what_a_step_was_made_from_makes_it_again(checkout: Checkout) -> None:
    checkout.set_up()
    checkout.edit("actors/config.py", "max_attempts: int = Field(default=5", "max_attempts: int = Field(default=6")
    checkout.edit("pyproject.toml", "line-length = 120", "line-length = 100")
    assert checkout.set_up() == []
    checkout.edit("actors/config.py", 'WA_JS_VERSION: Final = "', 'WA_JS_VERSION: Final = "1')
    assert checkout.set_up() == ["fetched"]
    checkout.edit("requirements.lock", "aiohttp", "aiohttp ")
    assert checkout.set_up() == ["packages"]
    (checkout.root / "a browser").unlink()
    assert checkout.set_up() == ["fetched"]
    checkout.edit("tests/simulator/peers/package-lock.json", '"version": "2.3.3"', '"version": "2.3.4"')
    assert checkout.set_up() == ["peers"]


def test_what_only_a_test_needs_hinders_nobody(checkout: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    assert "peers" not in checkout.set_up("--product-only")
    checkout.registry_answers = False
    assert checkout.set_up() == []
    assert "npm packages of a test: `npm ci` ended with code 1; left to the test" in capsys.readouterr().out
    checkout.registry_answers = True
    assert checkout.set_up() == ["peers"]


def test_without_node_its_packages_are_not_asked_for(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert checkout.set_up() == ["venv", "packages", "project", "fetched"]


def test_the_lock_of_the_npm_packages_pins_each_by_its_hash_and_names_no_host() -> None:
    text = (ROOT / "tests/simulator/peers/package-lock.json").read_text()
    assert "://" not in text
    packages = {path: one for path, one in json.loads(text)["packages"].items() if path}
    assert [path for path, one in packages.items() if not one.get("integrity", "").startswith("sha512-")] == []
    assert ROOT / "tests/simulator/peers" == script(ROOT / ".ci/peers.py").LOCK


def test_a_pin_that_is_gone_is_told(checkout: Checkout) -> None:
    checkout.edit("actors/config.py", "WA_JS_SHA512", "OTHER_SHA512")
    with pytest.raises(SystemExit, match="should name WA_JS_VERSION, WA_JS_SHA512, WA_JS_FILE_SHA512"):
        checkout.set_up()


def test_wa_js_is_fetched_only_where_the_pinned_one_is_not_there(tmp_path: Path) -> None:
    fetch = script(ROOT / ".ci/fetch.py")
    assert fetch._bundle_is_there()
    shutil.copytree(BUNDLE.parent, tmp_path / "bundle")
    fetch.BUNDLE = tmp_path / "bundle"  # type: ignore[attr-defined]
    assert fetch._bundle_is_there()
    (fetch.BUNDLE / "wppconnect-wa.js").write_text("forged")
    assert not fetch._bundle_is_there()
    (fetch.BUNDLE / "LICENSE").unlink()
    assert not fetch._bundle_is_there()


def test_a_wheel_carries_every_fetched_file_and_every_file_that_the_code_reads() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel) == {"packages", "artifacts"}, "anything else could leave files out"
    assert {"actors", "gateway", "simulator"} == set(wheel["packages"])
    fetch = script(ROOT / ".ci/fetch.py")
    fetched = [(fetch.BUNDLE / name).relative_to(ROOT) for name in fetch.MEMBERS.values()]
    assert BUNDLE.relative_to(ROOT) in fetched
    for path in fetched:
        assert any(fnmatch(str(path), pattern) for pattern in wheel["artifacts"]), path
