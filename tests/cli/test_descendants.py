"""Whoever ends first, `wafleet up` leaves no process behind."""

import json
import sys
from pathlib import Path

import psutil

from tests.support.leftovers import is_gone
from tests.support.processes import Program
from tests.support.waiting import eventually

FAMILY = """
import json, subprocess, sys, psutil
from gateway.up.descendants import adopt_orphans, end_descendants

adopt_orphans()
# A child that leaves a grandchild in a session of its own, deaf to SIGTERM, and ends: Ray's worker and its browser.
grandchild = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
child = (
    "import subprocess, sys;"
    "p = subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True, stdout=subprocess.PIPE);"
    "p.stdout.readline(); print(p.pid)"
)
made = subprocess.run([sys.executable, "-c", child, grandchild], stdout=subprocess.PIPE, check=True)
orphan = int(made.stdout)
adopted = psutil.Process(orphan).ppid() == psutil.Process().pid
killed = end_descendants(grace_s=0.2)
print(json.dumps({"orphan": orphan, "adopted": adopted, "killed": len(killed), "left": psutil.pid_exists(orphan)}))
"""

MOTHER = """
import asyncio, sys
from pathlib import Path
from gateway.up.children import Child

async def main():
    child = Child("child", [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"],
                  log=Path(sys.argv[1]))
    await child.start()
    await child.line("up", within_s=20)
    print(child.pid, flush=True)
    await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


async def test_an_orphan_that_ignores_sigterm_is_adopted_and_killed() -> None:
    async with Program(sys.executable, "-c", FAMILY) as family:
        seen = json.loads(await family.line(r"^\{", within_s=30))
    assert seen == {"orphan": seen["orphan"], "adopted": True, "killed": 1, "left": False}


async def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    async with Program(sys.executable, "-c", MOTHER, tmp_path / "child.log") as mother:
        child = psutil.Process(int(await mother.line(r"^\d+$", within_s=30)))
        await mother.kill()
        await eventually(lambda: is_gone(child), within_s=10)
