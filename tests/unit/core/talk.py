"""A session core in conversation with a test, and the time it is told."""

from random import Random
from typing import Any

from actors.config import RetryConfig, SessionConfig
from actors.core import signals
from actors.core.facts import Linked, Synced
from actors.core.lifecycle import State
from actors.core.session import SessionCore
from actors.core.signals import SessionEffect, SessionInput
from tests.unit.core.jobs import desired

WID = "6281111111111:7@c.us"
READY = (signals.Start(), Linked(WID, None), Synced(WID, None))


class Talk:
    """A core and the time it is told."""

    def __init__(self, *inputs: SessionInput, wanted: dict[str, Any] | None = None, **config: Any) -> None:
        settings = SessionConfig(retry=RetryConfig(jitter=0), **config)
        self.core = SessionCore(desired(**(wanted or {})), settings, Random(1))  # noqa: S311 - jitter is no secret
        self.now = 100.0
        self.effects: list[SessionEffect] = []
        self.say(*inputs)

    @property
    def state(self) -> State:
        return self.core.state

    def say(self, *inputs: SessionInput) -> list[SessionEffect]:
        """Tell the core something and return what it wants; reads are answered with nothing."""
        self.effects = []
        for item in inputs:
            self.effects += self.core.handle(item, self.now)
            self._answer_reads()
        return self.effects

    def until(self, at: float) -> list[SessionEffect]:
        """Let time pass, ringing at every deadline on the way."""
        seen: list[SessionEffect] = []
        while (due := self.core.next_deadline()) is not None and due <= at:
            self.now = due
            seen += self.say(signals.Tick())
        self.now = at
        return seen

    def wants(self, kind: type[SessionEffect]) -> list[SessionEffect]:
        """Effects of a kind in the last answer."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def give(self, *jobs: Any) -> list[SessionEffect]:
        """Let the log hold jobs of the normal lane."""
        effects = self.core.handle(signals.Woken("normal"), self.now)
        read = next(effect.read for effect in effects if isinstance(effect, signals.ReadJobs))
        self.effects = effects + self.core.handle(signals.JobsRead(read, jobs), self.now)
        return self.effects

    def _answer_reads(self) -> None:
        for effect in [effect for effect in self.effects if isinstance(effect, signals.ReadJobs)]:
            self.effects.remove(effect)
            self.effects += self.core.handle(signals.JobsRead(effect.read, []), self.now)


def logged(effects: list[SessionEffect]) -> list[str]:
    return [effect.text for effect in effects if isinstance(effect, signals.Log)]
