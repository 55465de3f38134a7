"""The table that ``make bench`` prints."""

from dataclasses import dataclass
from statistics import median

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


def row_of_medians(what: str, took: list[float], most_s: float) -> Row:
    """Make the figure of something that was timed several times; its median counts."""
    shown = f"median {median(took):.2f} s, worst {max(took):.2f} s"
    return Row(f"{what}, median of {len(took)}", shown, f"<= {most_s:g} s", median(took) <= most_s)


def show(rows: list[Row]) -> None:
    """Print all figures."""
    table = Table(title="wafleet on this machine, one run", title_justify="left")
    for column in ("what", "measured", "target", ""):
        table.add_column(column)
    for row in rows:
        mark = {True: "met", False: "MISSED", None: ""}[row.met]
        table.add_row(row.what, row.value, row.target, mark)
    Console(width=120).print(table)
