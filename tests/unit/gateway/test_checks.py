"""What `wafleet doctor` says of JetStream."""

from typing import Any

from gateway.cli import checks


class _Listing:
    """A connection that lists streams."""

    def __init__(self, *streams: dict[str, Any]) -> None:
        self._streams = streams

    async def api(self, _verb: str, _body: object, *, timeout_s: float) -> dict[str, Any]:
        assert timeout_s > 0
        return {"streams": self._streams}


def _stream(name: str, discard: str, held: int) -> dict[str, Any]:
    return {"config": {"name": name, "discard": discard, "max_bytes": 100}, "state": {"bytes": held}}


async def test_a_full_stream_is_named_with_the_setting_that_gives_it_room() -> None:
    bus: Any = _Listing(
        _stream("WA_JOBS", "new", 10), _stream("WA_EVENTS", "old", 99), _stream("KV_wa_job_records", "new", 85)
    )
    finding = await checks._jetstream(bus)
    assert (finding.verdict, finding.found) == ("warning", "KV_wa_job_records is 85% full")
    assert finding.mend == "let queues drain, or give it more room: WAFLEET_STORE.records_max_bytes"


async def test_a_stream_that_drops_its_oldest_may_be_full() -> None:
    bus: Any = _Listing(_stream("WA_JOBS", "new", 10), _stream("WA_EVENTS", "old", 99))
    finding = await checks._jetstream(bus)
    assert (finding.verdict, finding.found) == ("ok", "2 streams, the fullest at 10%")
