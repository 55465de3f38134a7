"""wppconnect from npm, unmodified, links and works on the simulator's page as it does on WhatsApp's."""

import json
from pathlib import Path
from typing import Any

import pytest

from simulator.client import SimulatedPhone
from simulator.server import SimulatorServer, TlsSettings
from tests.simulator.npm_peers import fetched
from tests.support.browsers import browser
from tests.support.certificates import self_signed
from tests.support.processes import Program
from tests.support.simulator import QUICK

pytestmark = pytest.mark.browser

ME = "5511966660001@c.us"
ANN = "5511990000001@c.us"
BOB = "5511990000002@c.us"
FIXED = f"true_{ANN}_3EB0AAAABBBBCCCC"
PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
SCRIPT = Path(__file__).with_name("peers") / "wppconnect.js"


class Peer(Program):
    """The script of a peer: events out, orders in."""

    async def event(self, name: str, facts: str = "", *, within_s: float = 20) -> dict[str, Any]:
        line = await self.line(rf'^\{{"event":"{name}".*{facts}', within_s=within_s)
        event: dict[str, Any] = json.loads(line)
        return event

    async def order(self, do: str, **fields: Any) -> dict[str, Any]:
        before = len(self.lines)
        await self.write(json.dumps({"do": do, **fields}))
        line = await self.line(rf'"order":"{do}"', within_s=20, since=before)
        answer: dict[str, Any] = json.loads(line)
        return answer


async def test_wppconnect_links_sends_and_receives(tmp_path: Path) -> None:
    modules = await fetched()
    certificate = self_signed("web.whatsapp.com", tmp_path)
    tls = TlsSettings(0, certificate.certificate, certificate.key)
    async with SimulatorServer(QUICK, tls=tls) as server, SimulatedPhone(server.url) as phone:
        environment = {
            "NODE_PATH": str(modules),
            "BROWSER": str(browser()),
            "TLS_PORT": server.tls_url.rpartition(":")[2],
            "PROFILE": str(tmp_path / "profile"),
        }
        async with Peer("node", SCRIPT, env=environment, cwd=tmp_path) as peer:
            await phone.scan((await peer.event("qr"))["code"], ME)
            assert (await peer.event("ready"))["main"] is True

            text = await peer.order("text", to=ANN, body="hi from wppconnect")
            assert text["event"] == "done", text
            fixed = await peer.order("text", to=ANN, body="fixed", options={"messageId": FIXED})
            assert fixed["id"] == FIXED
            media = await peer.order("media", to=ANN, data=PIXEL, options={"filename": "a.png", "caption": "c"})
            assert media["event"] == "done", media
            sent = await phone.sent()
            assert [(entry.type, entry.body or entry.caption, entry.dup) for entry in sent] == [
                ("chat", "hi from wppconnect", False),
                ("chat", "fixed", False),
                ("image", "c", False),
            ]
            for ack in (1, 2, 3):
                await peer.event("ack", rf'"ack":{ack},"id":"{FIXED}"')

            inbound = await phone.inbound(ME, BOB, "inbound")
            assert (await peer.event("message", inbound.id))["body"] == "inbound"
            await phone.unlink(ME)
            await peer.event("status", '"disconnectedMobile"')
            await peer.write('{"do": "close"}')
            assert await peer.ended(within_s=20) == 0
