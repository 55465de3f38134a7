"""The fuse: a page whose owner can't speak any more ends by itself, in time and before it can send anything."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from itertools import count

import pytest
import pytest_asyncio

from actors.core.facts import PageEnded, Synced
from actors.errors import PageFailure
from actors.messages.jobs import TextContent
from actors.ports import Prepared
from simulator.client import SimulatedPhone
from simulator.server import SimulatorServer
from tests.browser.watching import ANN, ME, Session, opened, session_config
from tests.support.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
_LATE_S = 3.0
"""The page's own grace of 250 ms, its way out and the simulator's notice of it, on a busy machine."""
_FUSE_S = 3.0
"""Long enough for what has to happen while it burns, on a busy machine."""
_BUSY = "(ms) => { const end = performance.now() + ms; while (performance.now() < end); }"
_IDS = count(0xF0000)


async def connected(phone: SimulatedPhone, wid: str | None = ME) -> bool:
    return any(one["wid"] == wid for one in (await phone.state())["conns"])


async def gone_at(phone: SimulatedPhone, *, wid: str | None = ME, within_s: float) -> float:
    """Wait until no page of an account is connected; the moment it was seen."""

    async def gone() -> bool:
        return not await connected(phone, wid)

    await eventually(gone, within_s=within_s, every_s=0.05)
    return time.monotonic()


async def passed(moment: float) -> None:
    await eventually(lambda: time.monotonic() >= moment, within_s=10)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting(
    world: SimulatorServer, phone: SimulatedPhone, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Session]:
    """A linked page whose fuse is laid for 20 s at each load."""
    config = session_config(world.url, tmp_path_factory.mktemp("fuses"))
    config = config.model_copy(update={"probe_timeout_s": 2 * _FUSE_S})  # an arming may be slow, as it is below
    async with opened(config, fuse_left_s=lambda: 20.0) as session:
        await session.link(phone)
        yield session


@pytest_asyncio.fixture(loop_scope="module")
async def session(lasting: Session, phone: SimulatedPhone) -> Session:
    """That page, or where a test has ended it a fresh one: in the same browser, with a fuse of its own."""
    if not await connected(phone):
        lasting.watched.skip()
        await lasting.page.reload()
        await lasting.watched.next(Synced, within_s=20)
    return lasting


async def test_a_page_lives_as_long_as_it_is_armed_and_an_arming_stuck_in_a_frozen_driver_moves_nothing(
    session: Session, phone: SimulatedPhone
) -> None:
    for _ in range(3):
        armed = time.monotonic()
        await session.browser.arm_fuse(_FUSE_S)
        await passed(armed + 0.4 * _FUSE_S)  # three times: longer than one fuse and the page's grace
        assert await connected(phone)
    driver = session.page._driver.process[0]
    os.kill(driver, signal.SIGSTOP)
    try:
        late = asyncio.create_task(session.browser.arm_fuse(_FUSE_S))
        gone = await gone_at(phone, within_s=_FUSE_S + _LATE_S)
    finally:
        os.kill(driver, signal.SIGCONT)
    assert _FUSE_S - 0.1 < gone - armed < _FUSE_S + _LATE_S
    await asyncio.gather(late, return_exceptions=True)

    async def told() -> bool:
        await session.browser.arm_fuse(20.0)  # again and again, as its owner does: Playwright may not know the end yet
        return bool(session.watched.of(PageEnded))

    await eventually(told, within_s=5)
    assert "fuse" in (await session.watched.next(PageEnded)).reason
    assert not await connected(phone), "what has burnt is not armed again"


async def test_a_page_that_was_busy_at_its_end_sends_nothing_afterwards(
    session: Session, phone: SimulatedPhone
) -> None:
    chat = await session.page.resolve(ANN)
    bare = f"3EB0{next(_IDS):018X}"
    await session.browser.arm_fuse(_FUSE_S)
    # By the way that the send takes too, which can't overtake it there; a frame of the simulator could be overtaken.
    busy = asyncio.create_task(session.page._calls.page.evaluate(_BUSY, (_FUSE_S + 0.5) * 1_000))
    await asyncio.wait({busy}, timeout=0.2)
    assert not busy.done(), "it keeps the page until its moment has passed"
    content = Prepared(TextContent(message="too late"))
    with pytest.raises(PageFailure):
        await session.page.send(content, chat, chat.full_key(bare), timeout_s=_FUSE_S + 4)
    await gone_at(phone, within_s=5)
    await asyncio.gather(busy, return_exceptions=True)
    assert bare not in {one.id for one in await phone.sent()}


async def test_a_page_that_loads_itself_anew_goes_on_with_the_fuse_of_the_one_before(
    session: Session, phone: SimulatedPhone
) -> None:
    loads, armed = session.page.page_number, time.monotonic()
    await session.browser.arm_fuse(4.0)
    await session.page._calls.page.evaluate("location.reload()")
    await eventually(lambda: session.page.page_number > loads, within_s=4)
    await eventually(lambda: connected(phone), within_s=4)
    assert 3.9 < await gone_at(phone, within_s=8) - armed < 4.0 + _LATE_S


async def test_a_page_that_is_never_armed_ends_as_it_was_laid_at_its_first_moment(
    session: Session, phone: SimulatedPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid: list[float] = []

    def left_s() -> float:
        laid.append(time.monotonic())
        return 4.0

    monkeypatch.setattr(session.page._fuse, "_left_s", left_s)
    await session.page.reload()
    await eventually(lambda: connected(phone), within_s=4)
    assert 3.9 < await gone_at(phone, within_s=8) - laid[0] < 4.0 + _LATE_S
