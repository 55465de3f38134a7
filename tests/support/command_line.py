"""The command line, run in the test's own process: its exit code, and what it printed."""

import asyncio
import json
from typing import Any

from typer.testing import CliRunner, Result

from gateway.cli.main import app


async def wafleet(*arguments: str) -> Result:
    """Run a command in a thread, where it may have an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def wafleet_json(command: str, *arguments: str, expect: int = 0) -> Any:
    """Run a command (in one argument, e.g. `session list`) with `--json`; return the last line that it printed."""
    result = await wafleet(*command.split(), "--json", *arguments)
    assert result.exit_code == expect, f"{command} {arguments}: exit code {result.exit_code}\n{result.output}"
    return json.loads((result.stdout if expect == 0 else result.stderr).splitlines()[-1])
