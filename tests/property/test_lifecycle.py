"""The lifecycle table as a whole, walked at random (h2's test over states x inputs)."""

from hypothesis import given
from hypothesis import strategies as st

from actors.core import lifecycle
from actors.core.lifecycle import FINAL, LIVE, Effect, Input, State
from actors.errors import InvalidTransition


@given(st.sampled_from(State), st.sampled_from(Input))
def test_a_pair_is_either_a_step_or_refused(state: State, input_: Input) -> None:
    try:
        step = lifecycle.step(state, input_)
    except InvalidTransition:
        assert not lifecycle.allows(state, input_)
        assert input_ is not Input.STOP
    else:
        assert (step.state in FINAL) == (Effect.END in step.effects)


@given(st.lists(st.sampled_from(Input), max_size=30))
def test_every_walk_can_be_stopped_and_ends_only_by_an_end(inputs: list[Input]) -> None:
    state = State.STOPPED
    for input_ in inputs:
        if lifecycle.allows(state, input_):
            step = lifecycle.step(state, input_)
            assert state in FINAL or step.state not in FINAL or Effect.END in step.effects
            state = step.state
    assert lifecycle.step(state, Input.STOP).state is State.STOPPED


def test_every_state_is_reached_from_the_start() -> None:
    reached, frontier = {State.STOPPED}, [State.STOPPED]
    while frontier:
        state = frontier.pop()
        for input_ in Input:
            if lifecycle.allows(state, input_) and (new := lifecycle.step(state, input_).state) not in reached:
                reached.add(new)
                frontier.append(new)
    assert reached == set(State)


def test_a_browser_opens_only_on_the_way_to_ready() -> None:
    opening = {
        step.state
        for step in lifecycle.TRANSITIONS.values()
        if {Effect.OPEN_BROWSER, Effect.ARM_BACKOFF, Effect.RELOAD_PAGE} & set(step.effects)
    }
    assert opening == {State.STARTING, State.RECONNECTING}
    assert opening < set(LIVE)
