"""A typed client of the control API: the phone and the people, for tests, the demo and the benchmarks.

It imports the standard library and aiohttp only, so that a benchmark's process stays small.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, Self

import aiohttp

Json = dict[str, Any]
_DEADLINE_S: Final = 20.0


class SimulatorRefusedError(Exception):
    """The simulator refused an operation.

    Attributes:
        code: the name of the refusal, such as `code_expired` or `not_connected`.
        details: what the refusal is about.
    """

    def __init__(self, operation: str, code: str, message: str, details: Json) -> None:
        super().__init__(f"{operation}: {code}: {message}")
        self.code = code
        self.details = details


@dataclass(frozen=True, slots=True)
class SentMessage:
    """One message that the server accepted (an entry of the truth log)."""

    n: int
    wid: str
    id: str
    remote: str
    type: str | None
    body: str | None
    caption: str | None
    lat: float | str | None
    lng: float | str | None
    loc: str | None
    directPath: str | None  # noqa: N815 - the page's own name
    dup: bool
    at: float


@dataclass(frozen=True, slots=True)
class Inbound:
    """What became of a message that somebody wrote."""

    id: str
    queued: bool
    """Whether it waits for a page to connect."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What an account's phone shows: how much came in, when the last, and how much no page has confirmed."""

    wid: str
    count: int
    last_at: float | None
    waiting: int


class SimulatedPhone:
    """The simulator's phone and people. Use `async with`, or `close()` it; it connects on the first call."""

    def __init__(self, url: str, *, deadline_s: float = _DEADLINE_S) -> None:
        """Prepare a client.

        Args:
            url: the simulator's address, as its ready line names it.
            deadline_s: how long one call may take.
        """
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=deadline_s)
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    # ---- the phone and people ----

    async def scan(self, qr: str, wid: str) -> None:
        """The phone of account `wid` scans a QR code; raises `code_expired` if it is not shown any more."""
        await self._post("scan", qr=qr, wid=wid)

    async def code(self, code: str, wid: str | None = None) -> None:
        """The phone types a link code; raises `code_expired` if it is unknown."""
        await self._post("code", code=code, wid=wid)

    async def user(self, wid: str, name: str | None = None) -> Json:
        """A person joins WhatsApp."""
        return await self._post("user", wid=wid, name=name)

    async def inbound(
        self,
        to: str,
        sender: str,
        body: str | None = None,
        *,
        kind: str = "chat",
        group: str | None = None,
        message_id: str | None = None,
        extra: Json | None = None,
    ) -> Inbound:
        """Somebody writes to account `to`, in a group where one is named."""
        fields = {"to": to, "from": sender, "body": body, "type": kind, "group": group, "id": message_id}
        answer = await self._post("inbound", **fields, extra=extra or {})
        return Inbound(answer["id"], answer["queued"])

    async def media(self, b64: str, mimetype: str) -> Json:
        """Somebody uploads a file; the answer is for the `extra` of their message."""
        return await self._post("media", b64=b64, mimetype=mimetype)

    async def receipt(self, wid: str, kind: Literal["delivery", "read", "played"], ids: list[str], sender: str) -> None:
        """Somebody has received, read or played messages of account `wid`."""
        await self._post("receipt", **{"wid": wid, "type": kind, "ids": ids, "from": sender})

    async def chatstate(self, wid: str, chat: str, state: Literal["composing", "paused", "recording"]) -> None:
        """Somebody types in a chat with account `wid`."""
        await self._post("chatstate", wid=wid, chat=chat, state=state)

    async def unlink(self, wid: str) -> None:
        """The phone of account `wid` removes its linked devices."""
        await self._post("unlink", wid=wid)

    # ---- what befalls a session ----

    async def drop(self, wid: str | None = None, *, everybody: bool = False) -> int:
        """The network drops the sockets of an account, or of everybody; tells how many."""
        return int((await self._post("drop", wid=wid, all=everybody))["dropped"])

    async def conflict(self, wid: str) -> None:
        """Another browser takes over the account's link."""
        await self._post("conflict", wid=wid)

    async def ban(
        self,
        wid: str,
        kind: Literal["banned", "account_locked", "temp_banned"] = "banned",
        *,
        expire_s: int = 3_600,
        lift: bool = False,
    ) -> None:
        """WhatsApp bans account `wid`, or lifts its ban."""
        await self._post("ban", wid=wid, kind=kind, expire=expire_s, lift=lift)

    async def tos(self, wid: str, *, on: bool = True) -> None:
        """WhatsApp blocks account `wid` until new terms are accepted (`on` false)."""
        await self._post("tos", wid=wid, on=on)

    async def wedge(self, wid: str, ms: int) -> None:
        """The account's page runs a busy loop of `ms`."""
        await self._post("wedge", wid=wid, ms=ms)

    async def deaf(self, wid: str, *, on: bool = True) -> None:
        """The account's page stops hearing what others send, or hears again."""
        await self._post("deaf", wid=wid, on=on)

    async def silence(self, wid: str) -> None:
        """The line of the account's page dies, while both ends believe it open."""
        await self._post("silence", wid=wid)

    async def storage_loss(self, wid: str, *, reload: bool = True) -> None:
        """The browser evicts the page's storage."""
        await self._post("storage_loss", wid=wid, reload=reload)

    async def storage_error(self, wid: str) -> None:
        """The page's storage fails."""
        await self._post("storage_error", wid=wid)

    async def fail(self, *, wid: str | None = None, **knobs: bool) -> Json:
        """Turn fault knobs (`simulator.faults.Knob`), for one account or for everybody."""
        return await self._post("fail", wid=wid, **knobs)

    async def cfg(self, **knobs: Any) -> Json:
        """Change settings; answers with all of them."""
        return await self._post("cfg", **knobs)

    # ---- looking ----

    async def state(self) -> Json:
        """Connections, recent events, groups and counts."""
        return await self._call("GET", "state")

    async def traffic(self, wid: str) -> Traffic:
        """What the phone of account `wid` shows."""
        return Traffic(**await self._call("GET", "traffic", params={"wid": wid}))

    async def sent(self, since: int = 0) -> list[SentMessage]:
        """The truth log after entry `since`, whole, oldest first."""
        return [entry async for page in self._sent_pages(since) for entry in page]

    async def _sent_pages(self, since: int) -> AsyncIterator[list[SentMessage]]:
        while True:
            answer = await self._call("GET", "sent", params={"since": str(since)})
            if not answer["sent"]:
                return
            since = answer["next"]
            yield [SentMessage(**entry) for entry in answer["sent"]]

    async def _post(self, operation: str, **body: Any) -> Json:
        given = {name: value for name, value in body.items() if value is not None}
        return await self._call("POST", operation, body=given)

    async def _call(
        self, method: str, operation: str, *, body: Json | None = None, params: dict[str, str] | None = None
    ) -> Json:
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=self._timeout)
        url = f"{self._url}/ctl/{operation}"
        async with self._http.request(method, url, json=body, params=params) as response:
            answer: Json = await response.json()
        if "error" in answer:
            error = answer["error"]
            raise SimulatorRefusedError(operation, error["code"], error["message"], error["details"])
        return answer
