"""What commands print: tables and colours for people, one JSON value a line for programs."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

_MAX_TABLE_CELLS: Final = 10_000
_STATUS_STYLES = {
    "ready": "green",
    "sent": "green",
    "delivered": "green",
    "read": "green",
    "played": "green",
    "ok": "green",
    "initializing": "yellow",
    "accepted": "yellow",
    "stored": "yellow",
    "sending": "yellow",
    "disconnected": "yellow",
    "warning": "yellow",
    "unconfirmed": "red",
    "error": "red",
    "failed": "red",
    "rejected": "red",
    "expired": "red",
    "red": "red",
}


class Output:
    """Where a command prints. With ``as_json`` standard output carries JSON only, the rest goes to standard error."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.people = Console(stderr=as_json, highlight=False)
        self._errors = Console(stderr=True, highlight=False)

    def json(self, value: BaseModel | Mapping[str, Any] | Sequence[Any]) -> None:
        """Print one JSON value on one line."""
        plain = value.model_dump(mode="json", by_alias=True) if isinstance(value, BaseModel) else value
        sys.stdout.buffer.write(orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE, default=_plain))
        sys.stdout.buffer.flush()

    def say(self, text: str) -> None:
        """Print a line of markup for people."""
        self.people.print(text, soft_wrap=True)

    def plain(self, text: str) -> None:
        """Print text as it is, for people: no markup, no wrapping."""
        self.people.print(text, markup=False, emoji=False, soft_wrap=True)

    def table(self, *columns: str, rows: Iterable[Sequence[str]]) -> None:
        """Print a table; cells are markup."""
        table = Table(*columns, box=None, pad_edge=False, header_style="bold", show_header=any(columns))
        for row in rows:
            table.add_row(*row)
        # As wide as it is: a terminal breaks long lines itself, and a program reading them wants them whole.
        wide = self.people.options.update(max_width=_MAX_TABLE_CELLS)
        usual = self.people.width
        self.people.width = max(usual, Measurement.get(self.people, wide, table).maximum)
        try:
            self.people.print(table, soft_wrap=True)
        finally:
            self.people.width = usual

    def error(self, message: str, **fields: Any) -> None:
        """Print why a command failed, on standard error; with ``as_json`` as the contract's error object."""
        if self.as_json:
            body = orjson.dumps({"error": {"message": message, **fields}}, default=_plain).decode()
            sys.stderr.write(body + "\n")
        else:
            code = fields.get("code")
            self._errors.print(
                f"[red]error[/red] {escape(message)}" + (f" [dim]({code})[/dim]" if code else ""), soft_wrap=True
            )


def coloured(status: str) -> str:
    """Colour a status word."""
    style = _STATUS_STYLES.get(status, "default")
    return f"[{style}]{escape(status)}[/{style}]"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    return str(value)
