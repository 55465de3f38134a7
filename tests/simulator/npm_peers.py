"""The npm packages that other people's programs are built on, to run them unmodified against the simulator.

They are fetched once by the npm client into a cache folder of the checkout. Where there is no Node, no test of them is
collected (`conftest.py`).
"""

import json
import shutil
from pathlib import Path

from tests.support.processes import Program

FOLDER = Path(__file__).parents[2] / ".wafleet" / "npm-peers"
WPPCONNECT = ("@wppconnect-team/wppconnect", "2.3.3")
_INSTALL_S = 300.0


def node_is_there() -> bool:
    return shutil.which("node") is not None and shutil.which("npm") is not None


async def fetched(package: tuple[str, str]) -> Path:
    """The folder to give Node as NODE_PATH, with a package of exactly this version in it."""
    name, version = package
    modules = FOLDER / "node_modules"
    described = modules / name / "package.json"
    if not described.is_file() or json.loads(described.read_text())["version"] != version:
        FOLDER.mkdir(parents=True, exist_ok=True)
        quiet = ("--no-audit", "--no-fund", "--loglevel=error")
        command = ("npm", "install", *quiet, "--prefix", FOLDER, f"{name}@{version}")
        async with Program(*command, env={"PUPPETEER_SKIP_DOWNLOAD": "1"}) as install:
            code = await install.ended(within_s=_INSTALL_S)
            assert code == 0, install.tail()
    return modules
