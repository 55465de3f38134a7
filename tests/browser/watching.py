"""What the browser tests share: a page with the facts it told, and the shorthand to get one linked."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from actors.browser.browser import ChromiumBrowser
from actors.browser.page import WhatsAppPage
from actors.config import BrowserConfig, MediaConfig, SessionConfig
from actors.core.facts import Fact, QrShown, Synced
from actors.messages.ids import SessionKey
from actors.ports import OpenRequest
from simulator.client import SimulatedPhone
from simulator.faults import Knob

KEY = SessionKey("acme", "s1")
ME = "5511988887777@c.us"
ANN = "5511990000001@c.us"
BOB = "5511990000002@c.us"
NOBODY = "5511000000000@c.us"
_FACT_TIMEOUT_S = 10.0

F = TypeVar("F")


@dataclass
class Watched:
    """The facts of a page, in order."""

    facts: list[Fact] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _read: int = 0

    def take(self, fact: Fact) -> None:
        self.facts.append(fact)
        self._more.set()

    def skip(self) -> None:
        """Forget what was told so far: `next` waits for something new."""
        self._read = len(self.facts)

    async def next(self, kind: type[F], *, within_s: float = _FACT_TIMEOUT_S) -> F:
        """Return the next fact of a kind, passing over others."""
        async with asyncio.timeout(within_s):
            while True:
                while self._read < len(self.facts):
                    fact = self.facts[self._read]
                    self._read += 1
                    if isinstance(fact, kind):
                        return fact
                self._more.clear()
                await self._more.wait()

    def of(self, kind: type[F]) -> list[F]:
        return [fact for fact in self.facts if isinstance(fact, kind)]


def session_config(url: str, sessions: Path, **browser: Any) -> SessionConfig:
    """Settings for tests: short deadlines, and this machine's own servers may be fetched from."""
    media = MediaConfig(allowed_private_hosts=frozenset({"127.0.0.1"}))
    settings = {"web_url": url, "call_timeout_s": 5.0, "launch_timeout_s": 15.0, "media": media, **browser}
    return SessionConfig(sessions_path=sessions, browser=BrowserConfig(**settings), probe_timeout_s=1.0)


@dataclass
class Session:
    """A browser on a profile, its open page and its facts."""

    browser: ChromiumBrowser
    page: WhatsAppPage
    watched: Watched

    async def link(self, phone: SimulatedPhone, wid: str = ME) -> Synced:
        """Scan the QR that is shown and wait until the page may send."""
        qr = await self.watched.next(QrShown)
        await phone.scan(qr.code, wid)
        return await self.watched.next(Synced)


@asynccontextmanager
async def failing(phone: SimulatedPhone, knob: Knob, wid: str = ME) -> AsyncIterator[None]:
    """A fault knob is on, and off again for the tests that share the simulator, whatever happens."""
    await phone.fail(wid=wid, **{knob: True})
    try:
        yield
    finally:
        await phone.fail(wid=wid, **{knob: False})


@asynccontextmanager
async def configured(phone: SimulatedPhone, **settings: Any) -> AsyncIterator[None]:
    """Settings of the simulator are other ones, and as before in the end, whatever happens."""
    before = await phone.cfg()
    await phone.cfg(**settings)
    try:
        yield
    finally:
        await phone.cfg(**{name: before[name] for name in settings})


@asynccontextmanager
async def opened(
    config: SessionConfig, key: SessionKey = KEY, *, fuse_left_s: Callable[[], float] | None = None
) -> AsyncIterator[Session]:
    """A page, closed in the end."""
    browser, watched = ChromiumBrowser(key, config), Watched()
    try:
        page = await browser.open(OpenRequest(key, fuse_left_s=fuse_left_s), watched.take)
        try:
            yield Session(browser, page, watched)
        finally:
            await page.close()
    finally:
        await browser.close()
