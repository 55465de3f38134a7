"""The service's fault knobs: for everybody, or for one account. Pure."""

from typing import Final, Literal, get_args

Knob = Literal["drop_before_accept", "no_ack", "nack", "upload", "upload_hang"]
"""What can go wrong with what a page sends.

drop_before_accept: the message is lost before the server accepts it. no_ack: it is accepted, the ack is lost.
nack: it is accepted and then refused (ack -1 in the page). upload: files are refused.
upload_hang: files are neither taken nor refused.
"""
KNOBS: Final[tuple[Knob, ...]] = get_args(Knob)


class Faults:
    """Which knobs are on."""

    def __init__(self) -> None:
        self._on: set[tuple[str | None, Knob]] = set()

    def turn(self, knob: Knob, *, on: bool, wid: str | None = None) -> None:
        """Turn a knob for one account, or (None) for everybody."""
        if on:
            self._on.add((wid, knob))
        else:
            self._on.discard((wid, knob))

    def active(self, knob: Knob, wid: str | None) -> bool:
        """Whether the knob is on for this account, by itself or for everybody."""
        return (None, knob) in self._on or (wid, knob) in self._on

    def as_json(self, wid: str | None = None) -> dict[str, bool]:
        """The knobs set for one account, or (None) for everybody."""
        return {knob: (wid, knob) in self._on for knob in KNOBS}
