"""The README says what the code says."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from actors.config import QueueConfig, RetryConfig, SessionConfig, StoreConfig
from actors.core.lifecycle import mermaid
from actors.messages.commands import MAX_BODY_BYTES, RateLimit
from gateway.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
DAY_S = 86_400
README = (ROOT / "README.md").read_text()
SHOWN = re.findall(r"^\$ wafleet (.+)$", README, re.MULTILINE)


def test_its_diagram_is_drawn_from_the_table() -> None:
    assert f"```mermaid\n{mermaid()}```" in README


def test_its_limits_are_the_defaults() -> None:
    retry, window, store = RetryConfig(), RateLimit(), StoreConfig()
    assert f"{window.max_messages} in any {window.window_ms // 1000} s" in README
    assert f"{QueueConfig().max_waiting_per_lane:,} per lane" in README
    queue = QueueConfig()
    days, seconds = queue.default_expiry_s / DAY_S, queue.direct_expiry_s
    assert f"expires after {days:g} days; in direct mode after {seconds:g} s" in README
    assert f"at most {queue.max_expiry_s / DAY_S:g} days ahead" in README
    assert f"for {queue.record_ttl_s / DAY_S:g} days after its outcome" in README
    assert f"{MAX_BODY_BYTES:,} bytes" in README
    assert f"waiting jobs {store.jobs_max_bytes // 2**30} GiB, records {store.records_max_bytes // 2**30} GiB" in README
    assert f"snapshots of all sessions, two each | {store.snapshots_max_bytes // 2**30} GiB" in README
    assert f"{retry.max_attempts}, waiting {retry.first_delay_s:g} s to {retry.max_delay_s:g} s" in README
    assert f"attempts to send one job | {SessionConfig().max_send_attempts} |" in README
    assert f"{SessionConfig().pairing_timeout_s / 60:g} min, then `stopped`" in README


def test_the_files_it_names_exist() -> None:
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|yaml|toml|md))`", README)
    assert len(named) > 5
    made_later = {".wafleet/", ".wafleet/logs/sessions.log"}
    assert [path for path in named if path not in made_later and not (ROOT / path).exists()] == []


def test_every_promise_names_tests_that_exist() -> None:
    rows = re.findall(r"^\| (all|\d)[. ][^|]*\|([^|]*\.py::[^|]*)\|$", README, re.MULTILINE)
    assert [number for number, _ in rows] == ["all", *"1234567"]
    for number, named in rows:
        tests = re.findall(r"`([\w/]+\.py)::(\w+)`", named)
        assert len(tests) >= (1 if number == "all" else 3), f"promise {number} names {len(tests)} tests"
        for path, name in tests:
            source = ROOT / path
            assert source.is_file(), f"promise {number} names {path}, which does not exist"
            assert f"def {name}(" in source.read_text(), f"promise {number} names {name}, which is not in {path}"
        needing_more = set(re.findall(r"`make nodes`: `([\w/]+\.py::\w+)`", named))
        assert needing_more == {f"{path}::{name}" for path, name in tests if path.startswith("tests/nodes/")}


def leaf(words: list[str]) -> tuple[Any, Any, list[str]]:
    """The command that a line names, the context around it, and what is left of the line for its own parser."""
    command: Any = get_command(app)
    parent = None
    while hasattr(command, "commands"):
        parent = command.make_context("wafleet", [], parent=parent, resilient_parsing=True)
        assert words, "it names no command"
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    return command, parent, words


@pytest.mark.parametrize("line", SHOWN)
def test_each_command_line_it_shows_is_parsed(line: str) -> None:
    command, parent, words = leaf(shlex.split(line, comments=True))
    command.make_context(command.name, words, parent=parent)


def test_the_commands_and_options_in_its_text_exist() -> None:
    # In a sentence a command may lack its arguments.
    assert len(SHOWN) >= 6
    named = re.findall(r"`[^`\n]*?\bwafleet\s([^`]+)`", README)
    assert len(named) >= 10
    for line in named:
        command, _, rest = leaf(shlex.split(line))
        options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
        assert {word for word in rest if word.startswith("-")} <= options, line
