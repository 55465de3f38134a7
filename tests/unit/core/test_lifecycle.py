import itertools

import pytest

from actors.core import lifecycle
from actors.core.lifecycle import FINAL, LIVE, STATUS_OF, TRANSITIONS, Effect, Input, State, Step
from actors.errors import InvalidTransition

PAIRS = list(itertools.product(State, Input))


def test_every_pair_is_defined_or_refused() -> None:
    for state, input_ in PAIRS:
        if lifecycle.allows(state, input_):
            assert lifecycle.step(state, input_) == TRANSITIONS[state, input_]
        else:
            with pytest.raises(InvalidTransition, match=f"{input_} is not allowed in state {state}"):
                lifecycle.step(state, input_)


def test_a_refusal_names_what_would_be_allowed() -> None:
    with pytest.raises(InvalidTransition, match="allowed there: fault, logout, start, stop"):
        lifecycle.step(State.STOPPED, Input.SYNCED)


@pytest.mark.parametrize("state", State)
def test_stop_is_legal_everywhere(state: State) -> None:
    assert lifecycle.step(state, Input.STOP).state is State.STOPPED


@pytest.mark.parametrize("state", LIVE)
def test_every_fact_is_legal_in_every_live_state(state: State) -> None:
    assert all(lifecycle.allows(state, fact) for fact in lifecycle.FACTS)


@pytest.mark.parametrize("state", LIVE)
def test_fault_logout_and_a_ban_end_every_live_state(state: State) -> None:
    assert lifecycle.step(state, Input.FAULT).state is State.FAILED
    assert lifecycle.step(state, Input.LOGOUT).state is State.LOGGED_OUT
    assert lifecycle.step(state, Input.ACCOUNT_BLOCKED).state is State.BLOCKED


def test_every_way_into_a_final_state_closes_the_browser_and_ends() -> None:
    ends = [step for step in TRANSITIONS.values() if step.state in FINAL]
    assert all(step.effects[-1] is Effect.END for step in ends)
    assert all(Effect.CLOSE_BROWSER in step.effects for step in ends)


def test_only_logout_touches_the_profile() -> None:
    touching = {input_ for (_, input_), step in TRANSITIONS.items() if Effect.QUARANTINE in step.effects}
    assert touching == {Input.LOGOUT}


def test_terminal_reasons_never_retry() -> None:
    for (_, input_), step in TRANSITIONS.items():
        if input_ in {Input.ACCOUNT_BLOCKED, Input.LOGOUT, Input.FAULT}:
            assert Effect.ARM_BACKOFF not in step.effects
            assert step.state in FINAL


def test_pairing_never_counts_an_attempt_for_waiting() -> None:
    assert TRANSITIONS[State.PAIRING, Input.TIMED_OUT] == Step(State.STOPPED, (Effect.CLOSE_BROWSER, Effect.END))
    assert TRANSITIONS[State.PAIRING, Input.QR_SHOWN] == Step(State.PAIRING)


def test_every_live_state_but_ready_leaves_when_its_deadline_passes() -> None:
    waits = [state for state in LIVE if state is not State.READY]
    assert all(lifecycle.allows(state, Input.TIMED_OUT) for state in waits)
    assert not lifecycle.allows(State.READY, Input.TIMED_OUT)


def test_every_state_has_a_status() -> None:
    assert set(STATUS_OF) == set(State)
    assert STATUS_OF[State.PAIRING] == "initializing"
    assert STATUS_OF[State.RECONNECTING] == "disconnected"
    assert STATUS_OF[State.BLOCKED] == "error"


def test_the_diagram_is_drawn_from_the_table() -> None:
    lines = lifecycle.mermaid().splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> stopped"]
    assert "    pairing --> syncing: LINKED" in lines
    losses = "CONNECTION_LOST, BROWSER_CRASHED, SEND_DOUBTED, PROBE_FAILED, PAGE_DEAF, RECYCLE"
    assert f"    ready --> reconnecting: {losses}" in lines
    assert "    failed --> [*]" in lines
    assert not any(line.startswith("    pairing --> pairing") for line in lines)
