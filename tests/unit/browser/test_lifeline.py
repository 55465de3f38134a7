"""Every call ends: by its answer, its deadline, or the end of what it was made to."""

import asyncio
from typing import NoReturn

import pytest
from playwright.async_api import Error
from playwright.async_api import TimeoutError as PlaywrightTimeout

from actors.browser.lifeline import Lifeline, browser_gone
from actors.errors import BrowserGone, PageCrashed, PageFailure, PageUnresponsive
from tests.support.waiting import eventually


async def never(noted: list[str]) -> NoReturn:
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        noted.append("cancelled")
    raise AssertionError


async def answering() -> str:
    return "answer"


async def raising(error: Exception) -> NoReturn:
    raise error


async def test_an_answer_passes_and_a_missing_one_is_cut_off() -> None:
    noted: list[str] = []
    life = Lifeline()
    assert await life.call("now", answering(), 1) == "answer"
    with pytest.raises(PageUnresponsive, match="later: no answer from the page"):
        await life.call("later", never(noted), 0.01)
    await eventually(lambda: noted == ["cancelled"], within_s=1)


async def test_an_end_reaches_calls_in_flight_and_later_ones() -> None:
    noted: list[str] = []
    life = Lifeline()
    asyncio.get_running_loop().call_later(0.01, life.end, browser_gone("killed"))
    with pytest.raises(BrowserGone, match="killed") as first:
        await life.call("send", never(noted), 5)
    life.end(PageCrashed("too late to matter"))
    with pytest.raises(BrowserGone) as second:
        await life.call("send", never(noted), 5)
    assert first.value is not second.value


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (PlaywrightTimeout("Timeout 5000ms exceeded.\nCall log: …"), PageUnresponsive),
        (Error("Page.evaluate: Execution context was destroyed, most likely because of a navigation"), PageCrashed),
        (Error("Page.evaluate: Target crashed"), PageCrashed),
        (Error("Page.evaluate: Connection closed while reading from the driver"), PageCrashed),
        (Error("Page.evaluate: SyntaxError"), PageUnresponsive),
    ],
)
async def test_playwrights_errors_are_translated(error: Error, failure: type[PageFailure]) -> None:
    with pytest.raises(failure, match="call: "):
        await Lifeline(end_grace_s=0.01).call("call", raising(error), 1)


async def test_a_closed_target_waits_for_the_name_of_its_end() -> None:
    life = Lifeline()
    asyncio.get_running_loop().call_later(0.01, life.end, browser_gone("its process ended"))
    with pytest.raises(BrowserGone, match="its process ended"):
        await life.call("call", raising(Error("Connection closed")), 1)


async def test_errors_that_are_not_playwrights_are_nobodys_page_failure() -> None:
    with pytest.raises(ZeroDivisionError):
        await Lifeline().call("call", raising(ZeroDivisionError()), 1)
