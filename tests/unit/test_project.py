"""What holds for the tree as a whole: sizes, names, and what no file may say."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 450
VAGUE = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "functions"}
SOURCES = {".py", ".js", ".sh"}
TEXTS = SOURCES | {".md", ".toml", ".yaml", ".yml", ".lock", ".json", ".cfg", ".txt", ""}
NOT_OURS = {".git", ".venv", ".wafleet", "__pycache__", "node_modules", "bundle", "dist"}


def files(suffixes: set[str], folder: Path = ROOT) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            # Caches of tools begin with a dot; .ci is ours.
            if path.name not in NOT_OURS and (not path.name.startswith(".") or path.name == ".ci"):
                yield from files(suffixes, path)
        elif path.suffix in suffixes and not path.name.startswith("."):
            yield path


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_source_file_is_longer_than_450_lines() -> None:
    lengths = {named(path): len(path.read_text().splitlines()) for path in files(SOURCES)}
    assert len(lengths) > 50
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [named(path) for path in files({".py"}) if path.stem in VAGUE or path.parent.name in VAGUE] == []


def test_every_module_says_what_it_is() -> None:
    silent = [
        named(path)
        for path in files({".py"})
        if path.name != "__init__.py" and not re.match(r'(#.*\n)*r?"""\S', path.read_text())
    ]
    assert [name for name in silent if not name.startswith("tests/")] == []


def test_no_file_names_a_registry_or_roots_home() -> None:
    # In pieces, else this file would find itself.
    registries = (
        "registry npmjs",
        "npmjs org",
        "npmjs com",
        "pypi org",
        "yarnpkg com",
        "npmmirror com",
        "python hosted",
    )
    words = [name.replace(" ", joint) for name in registries for joint in (".", "")] + ["/{}/".format("root")]
    forbidden = re.compile("|".join(re.escape(word) for word in words))
    found = {named(path): forbidden.findall(path.read_text(errors="replace")) for path in files(TEXTS)}
    assert {name: words for name, words in found.items() if words} == {}


def test_nothing_is_skipped_and_nothing_is_left_for_later() -> None:
    # A test that needs what a machine may lack (Node, full Chromium) says so with skipif and a reason.
    forbidden = re.compile("|".join(("pytest.mark" + r"\.(skip|xfail)\b", "TO" + "DO", "FIX" + "ME", "XX" + "X")))
    assert {named(path): found for path in files(SOURCES) if (found := forbidden.findall(path.read_text()))} == {}


def test_every_dependency_is_locked_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    lock = (ROOT / "requirements.lock").read_text()
    with_hash = re.compile(r"^([\w.-]+)==\S+ \\\n    --hash=", re.MULTILINE)
    locked = {name.lower().replace("_", "-") for name in with_hash.findall(lock)}
    names = {re.split(r"[\[>=<]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    assert names <= locked, names - locked
