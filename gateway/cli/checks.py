"""What `wafleet doctor` looks at: one function a part, each says what it found and how to mend it. Changes nothing."""

import asyncio
import base64
import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from actors.browser.finding import find_browser, major_version
from actors.browser.injection import BUNDLE
from actors.config import WA_JS_FILE_SHA512, WA_JS_VERSION
from actors.errors import BrowserLaunchFailed, Unavailable
from gateway.answers import Refused
from gateway.connection import Bus, connect, redacted
from gateway.service import SERVICE_NAME
from gateway.settings import Settings
from gateway.streams import setting_of
from gateway.up.ray_head import BYTES_PER_SESSION, sessions_by_memory
from gateway.up.state import Located

_CONNECT_S: Final = 3.0
_JETSTREAM_FULL: Final = 0.8
_MIN_DISK_BYTES: Final = 2 * 2**30
_MIN_SHM_BYTES: Final = 128 * 2**20
_GIB: Final = 2**30

Verdict = Literal["ok", "warning", "red"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one part."""

    part: str
    verdict: Verdict
    found: str
    mend: str = ""


async def examine(settings: Settings, located: Located | None) -> Sequence[Finding]:
    """Look at every part.

    Args:
        settings: What is set.
        located: The running ``wafleet up`` of this folder, if there is one.
    """
    nats_url = settings.nats_url or (located.nats_url if located else None)
    ray_address = settings.ray_address or (located.ray_address if located else None)
    found = [await _browser(settings), _bundle(settings)]
    found += [_disk("disk", settings.wafleet_dir, "WAFLEET_DIR")]
    found += [_disk("profiles", settings.whatsapp_session_path, "WHATSAPP_SESSION_PATH")]
    found += [_memory(), _shared_memory()]
    found += [_startable("nats-server")] if nats_url is None else await _nats(nats_url, is_up=located is not None)
    found += [_startable("ray")] if ray_address is None else [await _ray(ray_address)]
    return found


async def _browser(settings: Settings) -> Finding:
    try:
        path = find_browser(settings.wafleet_browser)
        version = await major_version(path)
    except BrowserLaunchFailed as failure:
        return Finding("browser", "red", failure.message, "run `make setup`, or set WAFLEET_BROWSER to a Chromium")
    return Finding("browser", "ok", f"{path} (Chromium {version})")


def _bundle(settings: Settings) -> Finding:
    own = settings.wafleet_bundle
    path = own or BUNDLE
    try:
        digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    except OSError as error:
        return Finding("wa-js", "red", f"{path}: {error.strerror}", "run `make setup`, or correct WAFLEET_BUNDLE")
    if digest == WA_JS_FILE_SHA512:
        return Finding("wa-js", "ok", f"{WA_JS_VERSION}, sha512 as pinned")
    if own is not None:
        return Finding("wa-js", "warning", f"{path} is not the pinned {WA_JS_VERSION}", "unset WAFLEET_BUNDLE")
    return Finding("wa-js", "red", f"{path} has another sha512 than {WA_JS_VERSION}", "delete it and run `make setup`")


def _disk(part: str, wanted: Path, setting: str) -> Finding:
    """Look at where something is, or will be made: the lowest folder on the way that is there."""
    folder = next(path for path in (wanted.absolute(), *wanted.absolute().parents) if path.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        found = f"{folder} is no folder that can be written"
        return Finding(part, "red", found, f"give yourself the right, or set {setting} to another one")
    free = shutil.disk_usage(folder).free
    if free < _MIN_DISK_BYTES:
        mend = f"free some, or set {setting} to a folder with room: what is full stops sending"
        return Finding(part, "red", f"{free / _GIB:.1f} GiB free at {folder}", mend)
    return Finding(part, "ok", f"{free / _GIB:.1f} GiB free at {folder}")


def _memory() -> Finding:
    sessions = sessions_by_memory()
    text = f"room for {sessions} sessions of {BYTES_PER_SESSION // 2**20} MiB"
    return Finding("memory", "ok" if sessions > 1 else "warning", text, "" if sessions > 1 else "free some memory")


def _shared_memory() -> Finding:
    path = Path("/dev/shm")  # noqa: S108 - where Ray and Chromium put shared memory, not a file of ours
    if not path.is_dir():
        return Finding("shared memory", "ok", "this system has no /dev/shm")
    free = shutil.disk_usage(path).free
    if free < _MIN_SHM_BYTES:
        mend = "give the container more (docker run --shm-size=1g)"
        return Finding("shared memory", "warning", f"{free // 2**20} MiB free at {path}", mend)
    return Finding("shared memory", "ok", f"{free / _GIB:.1f} GiB free at {path}")


def _startable(program: str) -> Finding:
    part = "NATS" if program == "nats-server" else "Ray"
    beside = Path(sys.executable).with_name(program)
    if beside.exists() or shutil.which(program) is not None:
        return Finding(part, "ok", "not running here; `wafleet up` would start it")
    return Finding(part, "red", f"{program} is not installed", "run `make setup`, or set NATS_URL and RAY_ADDRESS")


async def _nats(url: str, *, is_up: bool) -> list[Finding]:
    try:
        bus = await connect(url, "wafleet doctor", timeout_s=_CONNECT_S)
    except Unavailable as failure:
        mend = "start it, correct NATS_URL, or unset it: `wafleet up` starts one"
        return [Finding("NATS", "red", failure.message, mend)]
    try:
        return [
            Finding("NATS", "ok", f"answers at {redacted(url)}"),
            await _jetstream(bus),
            await _gateway(bus, is_up=is_up),
        ]
    finally:
        await bus.close()


async def _jetstream(bus: Bus) -> Finding:
    try:
        listed = await bus.api("STREAM.LIST", {}, timeout_s=_CONNECT_S)
    except Unavailable as failure:
        return Finding("JetStream", "red", failure.message, "start nats-server with JetStream")
    if isinstance(listed, Refused):
        return Finding("JetStream", "red", listed.description, "start nats-server with JetStream")
    fullest, name = 0.0, ""
    for stream in listed.get("streams") or ():
        config = stream["config"]
        # A stream that drops its oldest is meant to be full one day; one that refuses the newest stops its users.
        if config["discard"] == "new" and config["max_bytes"] > 0:
            fullest, name = max((fullest, name), (stream["state"]["bytes"] / config["max_bytes"], config["name"]))
    if fullest >= _JETSTREAM_FULL:
        mend = f"let queues drain, or give it more room: {setting_of(name)}"
        return Finding("JetStream", "warning", f"{name} is {fullest:.0%} full", mend)
    return Finding("JetStream", "ok", f"{len(listed.get('streams') or ())} streams, the fullest at {fullest:.0%}")


async def _gateway(bus: Bus, *, is_up: bool) -> Finding:
    try:
        await bus.request(f"$SRV.PING.{SERVICE_NAME}", timeout_s=_CONNECT_S)
    except Unavailable:
        if is_up:
            return Finding("gateway", "red", "does not answer", "see its log under the folder of data and logs")
        return Finding("gateway", "ok", "not running here; `wafleet up` would start it")
    return Finding("gateway", "ok", f"service {SERVICE_NAME} answers")


async def _ray(address: str) -> Finding:
    mend = "start it, correct RAY_ADDRESS (host:port, or auto), or unset it: `wafleet up` starts one"
    if address == "auto":  # what cluster.yaml gives: Ray finds the head of the machine by itself
        return Finding("Ray", "ok", "auto: the head that runs on this machine is taken; it was not looked for here")
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return Finding("Ray", "red", f"expected host:port or auto, got {address!r}", mend)
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, OverflowError) as error:  # a port above 65535 is an OverflowError
        return Finding("Ray", "red", f"no answer at {address} ({error or 'timed out'})", mend)
    writer.close()
    with suppress(OSError):  # it answered; how it hangs up says nothing
        await writer.wait_closed()
    return Finding("Ray", "ok", f"answers at {address}")
