"""The table that ``make bench`` prints."""

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure."""

    what: str
    value: str
    target: str = ""
    met: bool | None = None
    """None where there is no target."""


def show(rows: list[Row]) -> None:
    """Print all figures."""
    table = Table(title="wafleet on this machine, one run", title_justify="left")
    for column in ("what", "measured", "target", ""):
        table.add_column(column)
    for row in rows:
        mark = {True: "met", False: "MISSED", None: ""}[row.met]
        table.add_row(row.what, row.value, row.target, mark)
    Console(width=120).print(table)
