"""The running simulator: its page, its files, its addresses, its command."""

import json
import re
import signal
import ssl
import sys
from pathlib import Path

import aiohttp
import pytest
import typer
from typer.testing import CliRunner

from simulator.cli import simulator as simulator_command
from simulator.client import SimulatedPhone, SimulatorRefusedError
from simulator.errors import PageMissingError
from simulator.server import SimulatorServer, TlsSettings
from simulator.settings import SimulatorSettings
from tests.support.certificates import Certificate, self_signed
from tests.support.processes import Program
from tests.support.wire_page import wire_page

ME = "5511988887777@c.us"
ANN = "5511990000001@c.us"
APPLICATION = typer.Typer(add_completion=False)
APPLICATION.command()(simulator_command)
COMMAND = (sys.executable, "-m", "simulator", "--port", "0", "--json")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed("web.whatsapp.com", tmp_path_factory.mktemp("tls"))


async def test_the_page_loads_its_scripts_and_nothing_from_outside(simulator: SimulatorServer) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{simulator.url}/?post_logout=1") as response:
            html = await response.text()
            assert (response.content_type, response.headers["Cache-Control"]) == ("text/html", "no-store")
        sources = re.findall(r'src="([^"]+)"', html)
        assert sources
        for source in sources:
            assert source.startswith("/sim/")
            async with http.get(simulator.url + source) as response:
                assert (response.status, response.content_type) == (200, "text/javascript")
    assert "http" not in re.sub(r"<script>.*?</script>", "", html)
    told = json.loads(re.findall(r"__SIM=(\{.*?\});", html)[0])
    assert told["bootMs"] == 0


@pytest.mark.parametrize("path", ["/sim/server.py", "/sim/..%2fserver.py", "/sim/scripts.json", "/mms/00", "/nothing"])
async def test_nothing_but_the_pages_own_files_is_served(simulator: SimulatorServer, path: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(simulator.url + path) as response:
        assert response.status == 404


async def test_settings_cannot_break_out_of_the_page(simulator: SimulatorServer) -> None:
    simulator.service.settings = SimulatorSettings(version="</script><b>")
    async with aiohttp.ClientSession() as http, http.get(simulator.url) as response:
        assert "</script><b>" not in await response.text()


async def test_uploads_fail_for_the_account_that_is_to_fail(simulator: SimulatorServer, phone: SimulatedPhone) -> None:
    async with wire_page(simulator.url) as page, aiohttp.ClientSession() as http:
        token = await page.link(phone, ME)
        for expected in (200, 503, 200):
            await phone.fail(wid=ME, upload=expected == 503)
            headers = {"x-token": token, "content-type": "image/png"}
            async with http.post(f"{simulator.url}/mms/upload", data=b"png", headers=headers) as response:
                assert response.status == expected
                file = await response.json() if response.ok else {}
        async with http.get(simulator.url + file["directPath"]) as response:
            assert (await response.read(), response.content_type) == (b"png", "image/png")


async def test_a_socket_that_sends_rubbish_stays_usable(simulator: SimulatorServer) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{simulator.url}/ws/chat") as page:
        await page.send_str("{")
        await page.send_str("[]")
        await page.send_bytes(b"\x00")
        await page.send_json({"t": "hello"})
        assert (await page.receive_json(timeout=5))["t"] == "ref"


async def test_the_page_is_also_there_with_tls(certificate: Certificate) -> None:
    tls = TlsSettings(0, certificate.certificate, certificate.key)
    trusting = ssl.create_default_context(cafile=str(certificate.certificate))
    async with SimulatorServer(tls=tls) as server, aiohttp.ClientSession() as http:
        request = http.get(server.tls_url, ssl=trusting, server_hostname="web.whatsapp.com")
        async with request as response:
            assert "WhatsApp Web" in await response.text()


async def test_a_simulator_without_its_page_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(PageMissingError, match=r"scripts\.json is missing"):
        await SimulatorServer(page_folder=tmp_path).start()
    (tmp_path / "scripts.json").write_text('["gone.js"]')
    with pytest.raises(PageMissingError, match=r"gone\.js is missing"):
        await SimulatorServer(page_folder=tmp_path).start()


async def test_a_taken_port_is_an_error_and_leaves_nothing_open(simulator: SimulatorServer, tmp_path: Path) -> None:
    port = int(simulator.url.rpartition(":")[2])
    second = SimulatorServer(port=port, data=tmp_path)
    with pytest.raises(OSError, match="address already in use"):
        await second.start()
    await second.stop()


async def test_the_command_says_where_it_is_and_ends_on_sigterm_with_a_page_connected() -> None:
    async with Program(*COMMAND, "--set", "qr_ttl=3") as program:
        ready = json.loads(await program.line(r"^\{", within_s=15))
        assert ready["pid"] == program.pid
        async with SimulatedPhone(ready["url"]) as phone, wire_page(ready["url"]) as page:
            assert (await phone.state())["settings"]["qr_ttl"] == 3
            await page.link(phone, ME)
            program.send(signal.SIGTERM)
            assert await program.ended(within_s=5) == 0
            await page.lost()
    assert len(program.lines) == 1


async def test_a_killed_simulator_with_a_data_folder_still_knows_its_world(tmp_path: Path) -> None:
    command = (*COMMAND, "--data", tmp_path)
    async with Program(*command) as program:
        url = json.loads(await program.line(r"^\{", within_s=15))["url"]
        async with SimulatedPhone(url) as phone, wire_page(url) as page:
            token = await page.link(phone, ME)
            await page.send("msg", msg={"key": {"id": "3EB0AA", "remote": ANN}, "type": "chat", "body": "hi"})
            await page.frame("ack")
            await phone.inbound(ME, ANN, "not yet confirmed", message_id="3A77")
            await page.frame("msg")
            sent = await phone.sent()
            await program.kill()
    async with Program(*command) as program:
        url = json.loads(await program.line(r"^\{", within_s=15))["url"]
        async with SimulatedPhone(url) as phone, wire_page(url) as page:
            await page.log_in(token)
            assert (await page.frame("msg"))["msg"]["key"]["id"] == "3A77"
            assert await phone.sent() == sent
            await page.send("msg", msg={"key": {"id": "3EB0AA", "remote": ANN}})
            await page.frame("ack")
            assert [entry.dup for entry in await phone.sent()] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--set", "qr_tll=3"], "qr_tll"),
        (["--set", "qr_ttl=x"], "name=json"),
        (["--tls-port", "0"], "--cert and --key"),
        (["--port", "70000"], "--port"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_starts(arguments: list[str], complaint: str) -> None:
    outcome = CliRunner(env={"COLUMNS": "200"}).invoke(APPLICATION, arguments)
    assert outcome.exit_code == 2
    assert complaint in outcome.output


def test_an_address_that_cannot_be_had_is_named_and_is_no_wrong_usage() -> None:
    outcome = CliRunner().invoke(APPLICATION, ["--host", "192.0.2.1"])
    assert outcome.exit_code == 1
    assert "cannot start" in outcome.output
    assert "192.0.2.1" in outcome.output


async def test_a_refusal_reaches_the_client_with_its_code(phone: SimulatedPhone) -> None:
    with pytest.raises(SimulatorRefusedError, match=r"wedge: not_connected: no page of") as caught:
        await phone.wedge(ME, 10)
    assert (caught.value.code, caught.value.details) == ("not_connected", {"wid": ME})
