"""wa-js tells others of what it does, unless it is told not to: nothing of a page goes anywhere but to its site."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from actors.browser import browser, injection
from actors.browser.launching import Running, launch
from actors.browser.profile import Profile
from actors.config import SessionConfig
from actors.messages.ids import SessionKey
from actors.messages.jobs import TextContent
from simulator.client import SimulatedPhone
from simulator.server import SimulatorServer
from tests.browser.watching import ANN, BOB, ME, Session, opened
from tests.support.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

OURS, UNTOLD = SessionKey("acme", "ours"), SessionKey("acme", "untold")
Asked = Mapping[SessionKey, list[str]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, world: SimulatorServer) -> Asked:
    """The hosts that each browser's pages, workers and sockets ask for, from its launch on; others' get nothing.

    The browser of `UNTOLD` is launched without the settings of wa-js.
    """
    hosts: dict[SessionKey, list[str]] = defaultdict(list)

    def note(key: SessionKey, url: str) -> None:
        hosts[key] += [host for host in [urlsplit(url).netloc] if host]

    async def recording(driver: Any, profile: Profile, *more: Any) -> Running:
        running, key = await launch(driver, profile, *more), profile.key
        running.context.on("request", lambda request: note(key, request.url))
        for page in running.context.pages:
            page.on("websocket", lambda socket: note(key, socket.url))
        await running.context.route(lambda url: not url.startswith(world.url), lambda route: route.abort())
        assert injection._SETTINGS in running.script
        return running if key == OURS else replace(running, script=running.script.replace(injection._SETTINGS, ""))

    monkeypatch.setattr(browser, "launch", recording)
    return hosts


async def used(session: Session, phone: SimulatedPhone) -> Any:
    """Link it and send a text with a link, of which wa-js would let others make a preview; its settings."""
    await session.link(phone, ME)
    chat = await session.page.resolve(ANN)
    text = await session.page.prepare(TextContent(message="see https://example.com/x"))
    await session.page.send(text, chat, chat.full_key("3EB0000000000000000001"), timeout_s=5)
    # wa-js copies the settings when it is loaded: what it has was there before it.
    return await session.page._calls.page.evaluate("WPP.config")


async def test_nothing_of_a_page_leaves_its_site(
    config: SessionConfig, world: SimulatorServer, phone: SimulatedPhone, asked: Asked
) -> None:
    async with opened(config, OURS) as ours, opened(config, UNTOLD) as untold:
        settings = await used(ours, phone)
        assert (settings["disableGoogleAnalytics"], settings["linkPreviewApiServers"]) == (True, [])
        # A page that was told nothing is the clock: what it tells of its login, ours would have told before.
        told = len(asked[UNTOLD])
        await untold.link(phone, BOB)
        await eventually(lambda: "analytics.google.com" in asked[UNTOLD][told:], within_s=10)
    assert set(asked[OURS]) == {urlsplit(world.url).netloc}
