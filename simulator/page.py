"""The page: an HTML shell and the scripts of `simulator/page/`, in the order of its `scripts.json`."""

import json
from pathlib import Path
from typing import Final

from simulator.errors import PageMissingError
from simulator.settings import SimulatorSettings

PAGE_FOLDER: Final = Path(__file__).parent / "page"
_SHELL: Final = """<!doctype html><html id="whatsapp-web"><head><meta charset="utf-8">
<title>WhatsApp Web (simulated)</title>
<script>window.__SIM={settings};</script>
{scripts}
</head><body><div><div id="app"><div>Loading</div></div></div></body></html>
"""


class Page:
    """The page's files; read from `folder` when asked for, so that an edited script needs no restart."""

    def __init__(self, folder: Path = PAGE_FOLDER) -> None:
        self._folder = folder
        self._names: tuple[str, ...] = ()

    def load(self) -> None:
        """Read which scripts there are.

        Raises:
            PageMissingError: `scripts.json` or a script that it names is not there.
        """
        listing = self._folder / "scripts.json"
        if not listing.is_file():
            raise PageMissingError(f"{listing} is missing: the package was installed without its page")
        self._names = tuple(json.loads(listing.read_text(encoding="utf-8")))
        for name in self._names:
            if not (self._folder / name).is_file():
                raise PageMissingError(f"{self._folder / name} is missing, though {listing.name} names it")

    def html(self, settings: SimulatorSettings) -> str:
        """The shell, with the settings that the page reads."""
        told = json.dumps(settings.for_page()).replace("<", "\\u003c")
        scripts = "\n".join(f'<script src="/sim/{name}"></script>' for name in self._names)
        return _SHELL.replace("{settings}", told).replace("{scripts}", scripts)

    def script(self, name: str) -> Path | None:
        """The file of a script, or None for a name that the page does not use."""
        return self._folder / name if name in self._names else None
