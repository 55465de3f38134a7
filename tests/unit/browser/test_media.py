"""Media from URLs and base64, against a real server of the test's own on this machine."""

import base64
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

from actors.browser import fetching
from actors.browser.fetching import is_public
from actors.browser.media import MediaDesk
from actors.browser.profile import Profile
from actors.config import MediaConfig
from actors.errors import MediaRejected, Unavailable
from actors.messages.ids import SessionKey
from actors.messages.jobs import LocationContent, MediaContent, TextContent
from tests.support.media_server import MAX_BYTES, PNG, media_server


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """Its address, reachable by ``127.0.0.1`` and ``localhost``."""
    async with media_server() as running:
        yield running.url


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return Profile(tmp_path, SessionKey("acme", "s1"))


def desk(profile: Profile, *allowed: str, **limits: Any) -> MediaDesk:
    config = MediaConfig(max_bytes=MAX_BYTES, allowed_private_hosts=frozenset(allowed), **limits)
    return MediaDesk(profile, config)


def left_files(profile: Profile) -> list[Path]:
    return [path for path in profile.media_folder.rglob("*") if path.is_file()]


async def test_a_fetched_picture_lies_in_a_private_file_until_it_is_discarded(server: str, profile: Profile) -> None:
    media = desk(profile, "127.0.0.1")
    prepared = await media.prepare(MediaContent(url=f"{server}/away?to=/photo.png", caption="c"))
    assert isinstance(prepared.content, MediaContent)
    assert (prepared.mimetype, prepared.filename, prepared.content.media_kind) == ("image/png", "photo.png", "image")
    assert prepared.path is not None
    assert prepared.path.read_bytes() == PNG
    assert prepared.path.parent.stat().st_mode & 0o777 == 0o700
    await media.discard(prepared)
    await media.discard(prepared)
    assert left_files(profile) == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nothing", "status"),
        ("/liar.png", "type_mismatch"),
        ("/program", "type_mismatch"),
        ("/empty", "empty"),
        ("/large", "too_large"),
        ("/endless", "too_large"),
        ("/slow", "timeout"),
        ("/round", "redirects"),
        ("/away?to=ftp://127.0.0.1/x", "scheme"),
        ("/away?to=http://10.0.0.1/x.png", "private_address"),
        ("/away?to=http://[::1]/x.png", "private_address"),
    ],
)
async def test_what_is_no_honest_file_is_refused_and_leaves_nothing(
    server: str, profile: Profile, path: str, reason: str
) -> None:
    timeout_s = 0.5 if reason == "timeout" else 30.0  # on a busy machine an honest answer may take longer
    with pytest.raises(MediaRejected) as refused:
        await desk(profile, "127.0.0.1", fetch_timeout_s=timeout_s).prepare(MediaContent(url=server + path))
    assert refused.value.details["reason"] == reason
    assert left_files(profile) == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "169.254.169.254", "10.1.2.3"]
)
async def test_private_addresses_are_refused_however_they_are_written(server: str, profile: Profile, host: str) -> None:
    port = server.rsplit(":", 1)[1]
    with pytest.raises(MediaRejected) as refused:
        await desk(profile).prepare(MediaContent(url=f"http://{host}:{port}/photo.png?token=secret"))
    # aiohttp refuses some spellings itself, before a name is resolved.
    assert refused.value.details["reason"] in {"private_address", "unreachable"}
    assert "secret" not in str(refused.value)


async def test_a_name_is_connected_at_the_address_that_was_judged(
    server: str, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public when judged and private when connected (DNS rebinding) never reaches the private side."""
    asked: list[str] = []

    async def rebinding(_: object, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        asked.append(host)
        address = "192.0.2.1" if len(asked) == 1 else "127.0.0.1"
        return [ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)]

    monkeypatch.setattr(ThreadedResolver, "resolve", rebinding)
    monkeypatch.setattr(fetching, "is_public", lambda address: address == "192.0.2.1")
    media = desk(profile, connect_timeout_s=0.3, fetch_timeout_s=1.0)
    with pytest.raises(MediaRejected) as refused:
        await media.prepare(MediaContent(url=f"http://rebinding.test:{server.rsplit(':', 1)[1]}/photo.png"))
    assert refused.value.details["reason"] in {"timeout", "unreachable"}
    assert asked == ["rebinding.test"]


async def test_an_allowed_host_may_be_named_with_its_port(server: str, profile: Profile) -> None:
    by_port = desk(profile, server.removeprefix("http://"))
    assert (await by_port.prepare(MediaContent(url=f"{server}/photo.png"))).mimetype == "image/png"
    with pytest.raises(MediaRejected, match="private address"):
        await desk(profile, "127.0.0.1:1").prepare(MediaContent(url=f"{server}/photo.png"))


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1",
     "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
     "ff02::1", "no address"],
)  # fmt: skip
def test_no_private_address_is_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses_are(address: str) -> None:
    assert is_public(address)


async def test_base64_is_decoded_and_named(profile: Profile) -> None:
    data = base64.b64encode(PNG).decode()
    prepared = await desk(profile).prepare(MediaContent(data=data, media_kind="document"))
    assert isinstance(prepared.content, MediaContent)
    assert (prepared.filename, prepared.content.media_kind, prepared.content.data) == ("file.png", "document", None)


@pytest.mark.parametrize(
    ("content", "field", "reason"),
    [
        (MediaContent(data="no base64!"), "data", "base64"),
        (MediaContent(data=base64.b64encode(bytes(MAX_BYTES + 1)).decode()), "data", "too_large"),
        (MediaContent(data=""), "data", "empty"),
        (MediaContent(data=base64.b64encode(PNG).decode(), filename="../../etc/passwd"), "filename", "path_parts"),
        (MediaContent(data=base64.b64encode(PNG).decode(), filename="a\\b.png"), "filename", "path_parts"),
        (MediaContent(data=base64.b64encode(PNG).decode(), filename=".."), "filename", "path_parts"),
        (MediaContent(data=base64.b64encode(PNG).decode(), media_kind="voice"), "as", "type_mismatch"),
        (MediaContent(data=base64.b64encode(b"text").decode(), media_kind="image"), "as", "type_mismatch"),
        (MediaContent(object="name"), "object", "unsupported"),
    ],
)
async def test_media_that_cannot_be_used_is_named(
    profile: Profile, content: MediaContent, field: str, reason: str
) -> None:
    with pytest.raises(MediaRejected) as refused:
        await desk(profile).prepare(content)
    assert (refused.value.details["field"], refused.value.details["reason"]) == (field, reason)
    assert left_files(profile) == []


async def test_texts_and_locations_pass_untouched(profile: Profile) -> None:
    for content in (TextContent(message="x"), LocationContent(latitude=1, longitude=2)):
        assert (await desk(profile).prepare(content)).content is content
    assert not profile.media_folder.exists()


@pytest.mark.parametrize("name", ["ж" * 150 + ".png", "a\u00a0b.png", " a\u200b.png"])
async def test_a_name_that_is_long_or_odd_is_made_a_plain_one(profile: Profile, name: str) -> None:
    prepared = await desk(profile).prepare(MediaContent(data=base64.b64encode(PNG).decode(), filename=name))
    assert prepared.filename is not None
    assert prepared.filename.isprintable()
    assert prepared.filename.endswith(".png")
    assert len(prepared.filename.encode()) <= 200


async def test_a_disk_that_takes_no_file_lets_the_job_wait(profile: Profile) -> None:
    profile.folder.mkdir(parents=True, exist_ok=True)
    profile.media_folder.write_text("a file in its place")
    with pytest.raises(Unavailable, match="free space"):
        await desk(profile).prepare(MediaContent(data=base64.b64encode(PNG).decode()))
