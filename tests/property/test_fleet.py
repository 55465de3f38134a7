"""The fleet under any order of events: what never happens, whatever happens."""

from datetime import UTC, datetime
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.config import SupervisorConfig
from actors.core.fleet import FleetCore
from actors.core.fleet_actions import Action, Adopt, Announce, Beat, End, Kill, Observed, Phase, Start, Wish
from actors.core.lifecycle import FINAL, STATUS_OF, State
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.messages.replies import SessionStatus

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEYS = tuple(SessionKey("acme", f"s{n}") for n in range(5))
CONFIG = SupervisorConfig(
    max_concurrent_starts=2, start_spacing_s=0.1, session_max_restarts=2, session_max_seconds=60, fleet_max_restarts=6,
    fleet_max_seconds=60, max_missed_heartbeats=2, no_capacity_after_s=20,
)  # fmt: skip
SLOTS = 3
NODES = 1


class World(RuleBasedStateMachine):
    """Actors as they really are, beside what the core believes; any fact may arrive at any time."""

    @initialize(alive=st.sets(st.sampled_from(KEYS), max_size=SLOTS))
    def supervisor_starts(self, alive: set[SessionKey]) -> None:
        self.now = 0.0
        self.core = FleetCore(CONFIG, end_within_s=30, random=Random(7))  # noqa: S311
        self.desired: dict[SessionKey, DesiredSession] = {}
        self.statuses: dict[SessionKey, SessionStatus] = {}
        self.alive = set(alive)
        self.creating: dict[SessionKey, float] = {}
        self.adopting: set[SessionKey] = set()
        self.killing: set[SessionKey] = set()
        self.known: set[SessionKey] = set()
        self.restarts: list[float] = []
        self.dead: set[SessionKey] = set()
        self.failed: set[SessionKey] = set()
        self.orders: set[SessionKey] = set()
        self.leaving: frozenset[SessionKey] = frozenset()
        self.moving: set[SessionKey] = set()
        self.deaths: dict[SessionKey, int] = {}
        self.reconcile(list_living=True)

    # --- the outside ---

    @rule(seconds=st.sampled_from([0.05, 0.5, 2.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(keys=st.frozensets(st.sampled_from(KEYS), max_size=3))
    def nodes_are_drained(self, keys: frozenset[SessionKey]) -> None:
        self.leaving = keys

    @rule(list_living=st.booleans())
    def reconcile(self, *, list_living: bool) -> None:
        living = tuple(self.alive) if list_living else ()
        observed = Observed(self.statuses, living, NODES, self.leaving)
        for action in self.core.reconcile(self.desired.values(), observed, self.now):
            self.carry_out(action)
        assert self.core.next_deadline > self.now, "it would be asked again at once, for ever"
        for key, phase in self.core.phases().items():
            due = self.core._watched[key].due
            if phase is Phase.PENDING and due > self.now:
                assert self.core.next_deadline <= due, "it would wait longer than it has to"

    def carry_out(self, action: Action) -> None:
        key = action.key
        match action:
            case Start():
                assert key not in self.alive, "a living session was started again"
                assert key not in self.creating, "a session was started twice"
                assert key not in self.failed, "a failed session was started without an order"
                if key in self.dead:
                    self.restarts.append(self.now)
                    self.dead.discard(key)
                self.orders.discard(key)
                self.creating[key] = self.now
                assert len(self.creating) <= CONFIG.max_concurrent_starts * NODES, "too many starts at once"
            case Adopt():
                self.adopting.add(key)
            case Kill():
                self.killing.add(key)
            case Announce(_, state, _):
                self.announce(key, state)
            case Beat() | End():
                assert key in self.known, "an actor that nobody knows was spoken to"
                if isinstance(action, End) and action.wish is Wish.MOVE:
                    assert key in self.leaving, "a session was moved from a node that stays"
                    assert key not in self.moving, "a session was moved twice"
                    self.moving.add(key)

    def announce(self, key: SessionKey, state: State) -> None:
        self.statuses[key] = SessionStatus(
            tenant_id=key.tenant_id, session_id=key.session_id, status=STATUS_OF[state], state=state.value, since=NOON
        )
        if state is State.FAILED and key not in self.orders:
            self.failed.add(key)

    @rule(key=st.sampled_from(KEYS), wish=st.sampled_from(["running", "stopped", "logged_out"]))
    def person_orders(self, key: SessionKey, wish: str) -> None:
        old = self.desired.get(key)
        runs = old is not None and old.target == "running" and not self.core.needs_order(key)
        new_life = wish == "logged_out" or (wish == "running" and not runs)
        if old is None and wish != "running":
            return
        revision = (old.revision_of_start if old else 0) + int(new_life)
        self.desired[key] = DesiredSession.model_validate(
            {"tenant_id": key[0], "session_id": key[1], "target": wish, "revision_of_start": revision,
             "changed_at": NOON}
        )  # fmt: skip
        if new_life:
            self.core.ordered(key, self.now)
            self.orders.add(key)
            self.failed.discard(key)
            self.dead.discard(key)
            self.deaths[key] = 0

    # --- facts ---

    @precondition(lambda self: self.creating)
    @rule(data=st.data(), outcome=st.sampled_from(["up", "up", "no slot", "fails"]))
    def creation_ends(self, data: st.DataObject, outcome: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.creating)))
        del self.creating[key]
        if outcome == "fails":
            self.dies(key)
        elif outcome == "no slot" or len(self.alive) >= SLOTS:
            self.core.no_slot(key, self.now)
        else:
            self.alive.add(key)
            self.known.add(key)
            self.core.started(key, self.now)

    @precondition(lambda self: self.adopting)
    @rule(data=st.data(), state=st.sampled_from(["ready", "draining", None]))
    def adoption_ends(self, data: st.DataObject, state: str | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.adopting)))
        self.adopting.discard(key)
        if key in self.alive:
            self.known.add(key)
            self.core.adopted(key, self.desired.get(key), state, self.now)
        else:
            self.core.lost(key)

    @precondition(lambda self: self.alive)
    @rule(
        data=st.data(),
        fate=st.sampled_from(["dies", "stopped", "failed", "lease_lost", "misses", "beats"]),
        tells=st.booleans(),
    )
    def something_happens_to_an_actor(self, data: st.DataObject, fate: str, *, tells: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.alive)))
        if fate in {"misses", "beats"}:
            for action in self.core.beat(key, "ready" if fate == "beats" else None, self.now):
                self.carry_out(action)
            return
        self.alive.discard(key)
        self.killing.discard(key)
        if key not in self.known:
            return
        self.known.discard(key)
        moved = key in self.moving and fate == "lease_lost"
        self.moving.discard(key)
        if fate == "dies":
            self.dies(key)
        else:
            state, reason = ("stopped", fate) if fate == "lease_lost" else (fate, None)
            actions = self.core.ended(key, state, reason, self.now)
            if tells:
                self.announce(key, State(state))
            if actions:
                self.failed.discard(key)
            if actions and not moved:
                self.dead.add(key)
                self.deaths[key] = self.deaths.get(key, 0) + 1
            for action in actions:
                self.carry_out(action)

    @precondition(lambda self: self.killing)
    @rule(data=st.data(), works=st.booleans())
    def kill_ends(self, data: st.DataObject, *, works: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.killing)))
        self.killing.discard(key)
        if works:
            self.alive.discard(key)
            self.known.discard(key)
            self.moving.discard(key)
            self.dies(key)
        else:
            self.core.kill_failed(key, self.now)

    def dies(self, key: SessionKey) -> None:
        self.dead.add(key)
        self.deaths[key] = self.deaths.get(key, 0) + 1
        for action in self.core.died(key, "actor_died", self.now):
            if isinstance(action, Announce) and action.state is State.FAILED:
                assert self.deaths[key] > CONFIG.session_max_restarts, "it paid for the deaths of others"
            self.carry_out(action)

    # --- what always holds ---

    @invariant()
    def fleet_restarts_stay_within_its_budget(self) -> None:
        for moment in self.restarts:
            span = [each for each in self.restarts if moment <= each < moment + CONFIG.fleet_max_seconds]
            assert len(span) <= CONFIG.fleet_max_restarts + CONFIG.max_concurrent_starts

    def teardown(self) -> None:
        for key in self.alive & self.known:
            self.alive.discard(key)
            self.killing.discard(key)
            for action in self.core.ended(key, "failed", "reconnect_exhausted", self.now):
                self.carry_out(action)
        for _ in range(2):
            self.now += 5.0
            self.reconcile(list_living=False)
        for key, phase in self.core.phases().items():
            if phase is Phase.ENDED:
                told = self.statuses.get(key)
                assert told is not None, "an end was told to nobody"
                assert told.state in FINAL, "what was told is not that it ended"


World.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestFleet = World.TestCase
