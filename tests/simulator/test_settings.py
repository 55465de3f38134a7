import pytest
from pydantic import ValidationError

from simulator.faults import Faults
from simulator.settings import SimulatorSettings


def test_a_change_leaves_the_old_settings_as_they_were() -> None:
    old = SimulatorSettings()
    new = old.changed({"qr_ttl": 5, "lid_chats": True})
    assert (old.qr_ttl, new.qr_ttl, new.lid_chats, new.qr_count) == (20, 5, True, old.qr_count)


@pytest.mark.parametrize("knobs", [{"qr_tll": 5}, {"qr_ttl": 0}, {"sync_ms": -1}, {"sync_ms": "x"}, {"filler": 10**9}])
def test_a_knob_that_is_unknown_or_out_of_range_is_refused(knobs: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(knobs))):
        SimulatorSettings().changed(knobs)


def test_the_page_is_told_its_part() -> None:
    told = SimulatorSettings(require_persist=True, reconnect_first_ms=5, reconnect_max_ms=10).for_page()
    assert told["requirePersist"] is True
    assert told["reconnectMs"] == [5, 10]


def test_a_fault_for_one_account_leaves_the_others_alone() -> None:
    faults = Faults()
    faults.turn("nack", on=True, wid="a@c.us")
    assert faults.active("nack", "a@c.us")
    assert not faults.active("nack", "b@c.us")
    assert not faults.active("no_ack", "a@c.us")
    faults.turn("nack", on=True)
    faults.turn("nack", on=False, wid="a@c.us")
    assert faults.active("nack", "a@c.us")
    assert faults.as_json("a@c.us")["nack"] is False
    assert faults.as_json()["nack"] is True
