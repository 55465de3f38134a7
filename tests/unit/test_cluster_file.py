"""cluster.yaml: valid for Ray's own launcher, and says what DESIGN section 7 wants said."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from actors.cluster import BROWSER_RESOURCE
from gateway.up.ray_head import NODE_ENVIRONMENT

FILE = Path(__file__).resolve().parents[2] / "cluster.yaml"


@pytest.fixture
def cluster() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def ray_starts(cluster: dict[str, Any]) -> list[str]:
    commands = [*cluster["head_start_ray_commands"], *cluster["worker_start_ray_commands"]]
    return [command for command in commands if "bin/ray start" in command]


def test_ray_accepts_the_file_as_it_is_and_with_its_own_defaults_filled_in(cluster: dict[str, Any]) -> None:
    full = prepare_config(cluster)
    validate_config(full)
    assert full["cluster_synced_files"] == []


def test_ray_refuses_the_file_with_a_misspelled_key(cluster: dict[str, Any]) -> None:
    full = prepare_config(cluster)
    full["max_worker"] = 3
    with pytest.raises(Exception, match="max_worker"):
        validate_config(full)


def test_workers_offer_browser_slots_and_the_head_none(cluster: dict[str, Any]) -> None:
    types = cluster["available_node_types"]
    assert types[cluster["head_node_type"]]["resources"][BROWSER_RESOURCE] == 0
    workers = [each for name, each in types.items() if name != cluster["head_node_type"]]
    assert workers
    assert all(each["resources"][BROWSER_RESOURCE] > 0 for each in workers)
    assert all(each["max_workers"] > each["min_workers"] for each in workers), "nothing to scale"


def test_every_ray_says_its_auth_mode_health_checks_and_where_the_code_lies(cluster: dict[str, Any]) -> None:
    starts = ray_starts(cluster)
    assert len(starts) == 2
    for start in starts:
        assert "RAY_AUTH_MODE=" in start
        assert "PYTHONPATH=" in start
        assert {name: _value(name, start) for name in NODE_ENVIRONMENT} == NODE_ENVIRONMENT
    gateway = next(each for each in cluster["head_start_ray_commands"] if "gateway.main" in each)
    assert "RAY_AUTH_MODE=" in gateway


def test_what_runs_is_drained_before_it_is_stopped(cluster: dict[str, Any]) -> None:
    head, worker = cluster["head_start_ray_commands"], cluster["worker_start_ray_commands"]
    for commands, told in ((head, "pkill -f gateway"), (worker, "pkill -TERM -f 'ray start")):
        [stop] = [number for number, command in enumerate(commands) if command.endswith("ray stop")]
        assert commands[0].startswith(told)
        assert commands[1].startswith("timeout ")
        assert stop == 2
    assert any("gateway.main --drain-fleet" in command for command in head)
    assert "--block" in ray_starts(cluster)[1]


def test_a_crash_of_nats_server_or_gateway_is_not_final(cluster: dict[str, Any]) -> None:
    for part in ("nats-server -c", "gateway.main --drain-fleet"):
        [start] = [command for command in cluster["head_start_ray_commands"] if part in command]
        assert re.search(rf"sh -c 'until \S+.*{part}.*;\s+do .*sleep \d+; done'", start), start
        assert "nohup" in start


def test_every_command_is_one_that_a_shell_can_read(cluster: dict[str, Any]) -> None:
    for part in ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands"):
        for command in cluster[part]:
            read = subprocess.run(["/bin/bash", "-n", "-c", command], capture_output=True, text=True, check=False)
            assert (read.returncode, read.stderr) == (0, ""), command


def _value(name: str, command: str) -> str | None:
    found = re.search(rf"{name}=(\S+)", command)
    return found and found[1]
