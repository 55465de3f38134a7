"""Tells a question that no page answers from a page that answers none.

A page that hangs is renewed and its job waits, for the job is not to blame. But wa-js or WhatsApp may leave a question
about one recipient or message unanswered and answer every other: that job would take down one page after the other, and
the session with them. It shows by a question of another kind right after the silence, which WhatsApp's server answers
through the same page. Even then the browser is renewed first: a page does not forget a question that hangs, wa-js hands
the same promise out again. Where several in a row fare like that, the question is given up and its job ends.

In memory only: such a renewal costs no reconnect attempt, so that one life of the session sees the end of it. Pure.
"""

from typing import Final

MAX_SILENCES: Final = 3


class Silences:
    """Counts the browsers in a row that answered others, but not the question of one job."""

    def __init__(self) -> None:
        self._seq: int | None = None
        """Of the job; one is enough, since it comes first again after the renewal, or another that is to end first."""
        self._count = 0

    def add(self, seq: int) -> bool:
        """Count a silence under a job; tells whether its question is to be given up."""
        self._count = self._count + 1 if seq == self._seq else 1
        self._seq = seq
        return self._count >= MAX_SILENCES

    def forget(self, seq: int) -> None:
        """Note that a question of a job was answered."""
        if seq == self._seq:
            self._seq = None
