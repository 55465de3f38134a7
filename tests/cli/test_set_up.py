"""`make setup`: what it does again, and what it does not; and what a wheel carries. Nothing is really installed."""

import importlib.util
import shutil
import tomllib
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest

from actors.browser.injection import BUNDLE

ROOT = Path(__file__).resolve().parents[2]
COPIED = (".ci/setup.py", ".ci/fetch.py", ".ci/node.lock", "actors/config.py", "pyproject.toml", "requirements.lock")


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
        self._started: list[str] = []

    def set_up(self) -> list[str]:
        """What it started."""
        self._started.clear()
        self._setup.main()
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

    def _made(self, what: str, *paths: Path) -> None:
        self._started.append(what)
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_second_time_nothing_is_started(checkout: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    assert checkout.set_up() == ["venv", "packages", "project", "fetched"]
    assert capsys.readouterr().out.count("done in") == 4
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
