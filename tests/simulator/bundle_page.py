"""The real, unmodified wa-js bundle on the simulator's page, in a real browser, with all its events recorded."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Page, Playwright

from simulator.client import SimulatedPhone
from tests.support.waiting import eventually

BUNDLE = Path(__file__).parents[2] / "actors" / "browser" / "bundle" / "wppconnect-wa.js"
_EVENTS = Path(__file__).with_name("bundle_events.js")
_NO_TELEMETRY = "window.WPPConfig = { disableGoogleAnalytics: true };"
READY = (
    "WPP.conn.isRegistered() && WPP.whatsapp.Socket.state === 'CONNECTED' && WPP.whatsapp.Socket.hasSynced"
    " && WPP.whatsapp.Stream.mode === 'MAIN'"
)
"""When a session may send, by the rule of the design (not by `conn.main_ready`)."""

Arguments = list[Any]


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    args: Arguments


class BundlePage:
    """One browser with one profile, on one simulator."""

    def __init__(self, playwright: Playwright, executable: Path, profile: Path, url: str) -> None:
        self._playwright = playwright
        self._executable = executable
        self._profile = profile
        self._url = url
        self._context: BrowserContext | None = None
        self._events: list[Event] = []
        self._arrived = asyncio.Event()
        self.page: Page
        self.errors: list[str] = []
        """Errors that no handler of the page took."""

    @property
    def context(self) -> BrowserContext:
        assert self._context is not None, "open() the page first"
        return self._context

    async def open(self) -> None:
        """Start the browser, load the page with the bundle, and wait until the bundle is ready."""
        self._context = await self._playwright.chromium.launch_persistent_context(
            self._profile, executable_path=self._executable, headless=True, args=["--no-sandbox"]
        )
        self.page = self._context.pages[0]
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        await self._context.expose_binding("tellTest", lambda _source, name, args: self._take(name, args))
        await self._context.add_init_script(_NO_TELEMETRY)
        await self._context.add_init_script(f"{BUNDLE.read_text()};\n{_EVENTS.read_text()}")
        await self.page.goto(self._url)
        await self.bundle_ready()

    async def close(self) -> None:
        if self._context is not None:
            await self._context.close()
            self._context = None

    async def restart(self) -> None:
        """A new browser on the same profile."""
        await self.close()
        await self.open()

    async def reload(self) -> None:
        await self.page.reload()
        await self.bundle_ready()

    async def js(self, expression: str, *, within_s: float = 10) -> Any:
        async with asyncio.timeout(within_s):
            return await self.page.evaluate(expression)

    async def becomes(self, expression: str, *, within_s: float = 10) -> None:
        """Wait until an expression is true in the page; it may be navigating meanwhile."""
        await self.page.wait_for_function(expression, timeout=within_s * 1_000, polling=50)

    async def bundle_ready(self) -> None:
        await self.becomes("window.WPP && WPP.isReady", within_s=20)

    async def ready(self) -> None:
        """Wait until the session may send."""
        await self.becomes(f"window.WPP && WPP.isReady && {READY}", within_s=20)

    async def code(self) -> str:
        """The QR code that is shown, waiting for one."""

        async def shown() -> str | None:
            found: str | None = await self.js("WPP.conn.getAuthCode().then((code) => code && code.fullCode)")
            return found

        return await eventually(shown, within_s=10) or ""

    async def link(self, phone: SimulatedPhone, wid: str) -> None:
        """Let the phone scan the shown code, and wait until the session may send."""
        await phone.scan(await self.code(), wid)
        await self.ready()

    # ---- events ----

    def mark(self) -> int:
        """Where the recorded events end now."""
        return len(self._events)

    def since(self, mark: int, name: str) -> list[Arguments]:
        """The arguments of all events of a name after a mark."""
        return [event.args for event in self._events[mark:] if event.name == name]

    async def event(
        self,
        name: str,
        matching: Callable[[Arguments], bool] = lambda _: True,
        *,
        since: int = 0,
        within_s: float = 10,
    ) -> Arguments:
        """The first event of a name after a mark whose arguments match, waiting for it."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    self._arrived.clear()
                    for args in self.since(since, name):
                        if matching(args):
                            return args
                    await self._arrived.wait()
        except TimeoutError:
            seen = ", ".join(event.name for event in self._events[since:])
            raise TimeoutError(f"no such {name} within {within_s} s; there were: {seen}") from None

    async def message(self, message_id: str, *, since: int) -> dict[str, Any]:
        """The inbound message of a bare id, waiting for it."""
        [message] = await self.event(
            "chat.new_message", lambda args: message_id in str(args[0].get("msg")), since=since
        )
        assert isinstance(message, dict)
        return message

    def _take(self, name: str, args: Sequence[Any]) -> None:
        self._events.append(Event(name, list(args)))
        self._arrived.set()
