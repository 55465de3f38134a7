"""How the demo judges the truth log."""

from gateway.cli.demo.truth import discrepancies, fullest_window
from simulator.client import SentMessage

WID = "6281100000001@c.us"


def entry(n: int, bare: str, at: float = 0.0) -> SentMessage:
    return SentMessage(
        n=n, wid=WID, id=bare, remote="6281200000001@c.us", type="chat", body="x", caption=None, lat=None, lng=None,
        loc=None, directPath=None, dup=False, at=at,
    )  # fmt: skip


def key(bare: str) -> str:
    return f"true_6281200000001@c.us_{bare}"


def test_each_job_once_and_nothing_else_is_right() -> None:
    assert (
        discrepancies({"j1": key("3EB0A"), "j2": f"{key('3EB0B')}_77@lid"}, [entry(1, "3EB0B"), entry(2, "3EB0A")])
        == []
    )


def test_lost_repeated_and_foreign_messages_are_named() -> None:
    log = [entry(1, "3EB0A"), entry(2, "3EB0A"), entry(3, "3EB0C")]
    assert discrepancies({"j1": key("3EB0A"), "j2": key("3EB0B")}, log) == [
        "job j2 never reached WhatsApp",
        "job j1 reached WhatsApp 2 times",
        "message 3EB0C belongs to no job",
    ]


def test_the_fullest_window_is_found_wherever_it_begins() -> None:
    log = [entry(n, str(n), at) for n, at in enumerate((0.0, 4.0, 5.0, 8.9, 9.0, 30.0), 1)]
    assert fullest_window(log, WID, 5.0) == 3
    assert fullest_window(log, "nobody@c.us", 5.0) == 0
