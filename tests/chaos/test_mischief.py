"""What a plan wants in any case happens, at the end if need be: a fault that found no target proves nothing."""

from dataclasses import dataclass, field, replace
from typing import cast

from actors.clock import SystemClock
from actors.messages.ids import SessionKey
from tests.chaos.history import Fault
from tests.chaos.mischief import Mischief, make_mischief
from tests.chaos.plan import SHORT, Kind, Plan, PlannedFault
from tests.chaos.watch import Watch

ONE, OTHER = SessionKey("acme", "s1"), SessionKey("acme", "s2")
SCALE = replace(SHORT, wanted=(Kind.ACTOR, Kind.SUPERVISOR))


def plan(*faults: PlannedFault) -> Plan:
    return Plan(1, SCALE, (ONE, OTHER), (), faults)


@dataclass
class Hand:
    """Makes a fault happen where there is somebody to do it to."""

    there: set[SessionKey | None]
    done: list[Fault] = field(default_factory=list)
    missed: list[PlannedFault] = field(default_factory=list)

    async def happen(self, fault: PlannedFault) -> None:
        if fault.key in self.there:
            self.done.append(Fault(fault.kind, fault.key, 0, 0))
        else:
            self.missed.append(fault)

    def leave_out(self, fault: PlannedFault) -> None:
        self.missed.append(fault)


async def let_loose(hand: Hand, *faults: PlannedFault, ago_s: float = 0.0) -> list[tuple[Kind, SessionKey | None]]:
    await make_mischief(cast("Mischief", hand), plan(*faults), Watch([]), SystemClock().monotonic() - ago_s)
    return sorted((fault.kind, fault.key) for fault in hand.done)


ACTOR = PlannedFault(0, 0.0, Kind.ACTOR, ONE, 0.0)
SUPERVISOR = PlannedFault(1, 0.0, Kind.SUPERVISOR, None, 0.0)
DROP = PlannedFault(2, 0.0, Kind.DROP, ONE, 0.0)


async def test_a_wanted_fault_that_found_no_target_befalls_another_session() -> None:
    hand = Hand({OTHER, None})
    assert await let_loose(hand, ACTOR, SUPERVISOR, DROP) == [(Kind.ACTOR, OTHER), (Kind.SUPERVISOR, None)]
    assert DROP in hand.missed, "nobody wanted that one in any case"


async def test_a_wanted_fault_for_which_there_was_no_time_happens_at_the_end() -> None:
    hand = Hand({ONE, OTHER, None})
    assert await let_loose(hand, ACTOR, SUPERVISOR, DROP, ago_s=1e6) == [(Kind.ACTOR, ONE), (Kind.SUPERVISOR, None)]
    assert hand.missed == [ACTOR, SUPERVISOR, DROP]


async def test_a_wanted_fault_without_any_target_is_missed() -> None:
    hand = Hand({ONE})
    assert await let_loose(hand, ACTOR, SUPERVISOR) == [(Kind.ACTOR, ONE)]
    assert {fault.kind for fault in hand.missed} == {Kind.SUPERVISOR}
