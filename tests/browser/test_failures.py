"""What breaks under a session, each by the signal that kills it: the fact or error that must come, and how soon."""

import asyncio
import os
import signal
import time
from itertools import count
from pathlib import Path
from typing import NoReturn

import pytest

from actors.browser import process
from actors.browser.finding import find_browser
from actors.browser.injection import REQUIRED_NAMES
from actors.browser.profile import Profile
from actors.config import SessionConfig
from actors.core.facts import BrowserEnded, PageEnded, Synced
from actors.errors import BrowserGone, BrowserLaunchFailed, PageCrashed, PageUnresponsive, ProfileDamaged
from actors.messages.jobs import TextContent
from actors.ports import Prepared
from simulator.client import SimulatedPhone
from simulator.server import SimulatorServer
from tests.browser.watching import ANN, KEY, ME, Session, failing, opened, session_config
from tests.support.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
_NOTICED_S = 2.0
_IDS = count(0xABC0)
_PICKY = """\
#!/bin/sh
for one in "$@"; do
  [ -e "${{one#--user-data-dir=}}/damaged" ] && exit 1
done
exec {real} "$@"
"""


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


async def probe_for_ever(session: Session) -> NoReturn:
    """Probe until the page does not answer: the frame that wedges it may still be on its way."""
    while True:
        await session.page.probe()


async def hanging_send(session: Session, phone: SimulatedPhone) -> tuple[str, "asyncio.Task[object]"]:
    """A send whose ack never comes, on its way; its id and its call."""
    bare = f"3EB0{next(_IDS):018X}"
    chat = await session.page.resolve(ANN)

    async def arrived() -> bool:
        return any(one.id == bare for one in await phone.sent())

    async with failing(phone, "no_ack"):
        sending = asyncio.create_task(
            session.page.send(Prepared(TextContent(message="x")), chat, chat.full_key(bare), timeout_s=20)
        )
        await eventually(arrived, within_s=5)
    return bare, sending


async def test_a_question_that_hangs_is_told_from_a_server_that_is_silent(
    config: SessionConfig, phone: SimulatedPhone
) -> None:
    async with opened(config) as session:
        await session.link(phone)
        await session.page._calls.page.evaluate(
            "() => { window.__wafleet.operations.resolve = () => new Promise(() => {}); }"
        )
        with pytest.raises(PageUnresponsive):
            await session.page.resolve(ANN)
        await session.page.ask_server()
        await phone.silence(ME)
        with pytest.raises(PageUnresponsive):
            await session.page.ask_server()


async def test_a_killed_renderer_and_a_wedged_page_are_cured_by_a_reload(
    config: SessionConfig, phone: SimulatedPhone
) -> None:
    async with opened(config) as session:
        await session.link(phone)
        _, sending = await hanging_send(session, phone)
        [renderer] = [one for one in session.page.processes if process.is_renderer(one)]
        kill(renderer[0])
        assert "crash" in (await session.watched.next(PageEnded, within_s=_NOTICED_S)).reason
        with pytest.raises(PageCrashed):
            await sending
        with pytest.raises(PageCrashed):
            await session.page.probe()
        await session.page.reload()
        await session.watched.next(Synced)

        await phone.wedge(ME, 60_000)
        before = time.monotonic()
        with pytest.raises(PageUnresponsive, match="vitals"):
            await probe_for_ever(session)
        assert time.monotonic() - before < config.probe_timeout_s + _NOTICED_S
        await session.page.reload()
        await session.watched.next(Synced)
        assert len(session.watched.of(PageEnded)) == 1
        assert session.watched.of(BrowserEnded) == []


@pytest.mark.parametrize("victim", ["browser", "driver"])
async def test_a_killed_browser_or_driver_is_noticed_at_once_and_a_new_one_goes_on(
    config: SessionConfig, phone: SimulatedPhone, victim: str
) -> None:
    async with opened(config) as session:
        await session.link(phone)
        bare, sending = await hanging_send(session, phone)
        processes = session.page.processes
        kill(processes[0][0] if victim == "browser" else session.page._driver.process[0])
        await session.watched.next(BrowserEnded, within_s=_NOTICED_S)
        with pytest.raises(BrowserGone):
            await sending
        with pytest.raises(BrowserGone):
            await session.page.probe()
        await session.page.close()
        assert process.alive(processes) == []
        assert len(session.watched.of(BrowserEnded)) == 1
        assert session.watched.of(PageEnded) == []

    async with opened(config) as session:
        await session.watched.next(Synced)
        assert await session.page.lookup(f"true_{ANN}_{bare}", bare, ANN) is not None
        processes, told = session.page.processes, len(session.watched.facts)
        session.page.kill()
        assert await process.wait_gone(processes, _NOTICED_S) == []
        await session.page.close()
        assert session.watched.facts[told:] == [], "a page that was killed on purpose says nothing"


async def test_a_profile_on_which_no_browser_starts_is_told_from_a_browser_that_does_not_start(
    world: SimulatorServer, tmp_path: Path
) -> None:
    picky = tmp_path / "headless-picky"
    picky.write_text(_PICKY.format(real=find_browser()))
    picky.chmod(0o755)
    profile = Profile(tmp_path, KEY)
    profile.generation()
    config = session_config(world.url, tmp_path, executable=str(picky))
    (profile.browser_folder / "damaged").touch()
    with pytest.raises(BrowserLaunchFailed, match="headless-picky did not start"):
        async with opened(config):
            pass
    profile.note_link(fresh=False)
    with pytest.raises(ProfileDamaged, match="on an empty profile it does"):
        async with opened(config):
            pass
    picky.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(BrowserLaunchFailed, match="headless-picky did not start"):
        async with opened(config):
            pass
    assert process.users_of_profile(profile.artifacts_folder / "trial") == []


async def test_what_keeps_a_page_from_coming_up_is_named(
    world: SimulatorServer, config: SessionConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = session_config("http://127.0.0.1:9/", config.sessions_path)
    with pytest.raises(BrowserLaunchFailed, match="net::ERR_"):
        async with opened(nowhere):
            pass
    monkeypatch.setattr("actors.browser.page.REQUIRED_NAMES", (*REQUIRED_NAMES, "WPP.chat.sendPigeon"))
    with pytest.raises(BrowserLaunchFailed, match="lacks WPP"):
        async with opened(config):
            pass
    missing = session_config(world.url, config.sessions_path, bundle_path=config.sessions_path / "none.js")
    with pytest.raises(BrowserLaunchFailed, match="make setup"):
        async with opened(missing):
            pass
    absent = session_config(world.url, config.sessions_path, executable="/nowhere/chromium")
    with pytest.raises(BrowserLaunchFailed, match="WAFLEET_BROWSER"):
        async with opened(absent):
            pass
    assert process.users_of_profile(config.sessions_path / "acme" / "s1" / "browser") == []
