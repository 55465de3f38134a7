"""Launching a browser on a profile: flags, proxy, permission. Who calls ``launch`` ends what a failed one left."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from actors.browser import process
from actors.browser.driver import Driver
from actors.browser.finding import find_browser, major_version
from actors.browser.flags import launch_args
from actors.browser.injection import init_script
from actors.browser.process import ProcessId
from actors.browser.profile import Profile
from actors.config import BrowserConfig
from actors.errors import BrowserLaunchFailed, ProfileDamaged

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, ProxySettings

_KILL_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """A launched browser."""

    context: "BrowserContext"
    process: ProcessId
    """The browser's main process."""
    script: str
    """What is to be injected into its pages."""


async def launch(driver: Driver, profile: Profile, config: BrowserConfig, proxy: str | None) -> Running:
    """Launch a browser on a profile.

    Raises:
        BrowserLaunchFailed: There is no browser or bundle, or it did not start in time.
        ProfileDamaged: It did not start on this profile, which holds a login, but does on an empty one.
    """
    executable = find_browser(config.executable)
    script = init_script(config.bundle_path)
    args = launch_args(executable, major_version=await major_version(executable), extra=config.extra_args)
    options: Mapping[str, Any] = {
        "executable_path": executable,
        "headless": True,
        "args": args,
        "chromium_sandbox": config.sandbox,
        "proxy": proxy_settings(proxy) if proxy else None,
        "no_viewport": True,
        "artifacts_dir": profile.artifacts_folder,
        "timeout": config.launch_timeout_s * 1_000,
        # The session ends its browser itself; a signal to the driver must not end it first.
        "handle_sigint": False,
        "handle_sigterm": False,
        "handle_sighup": False,
    }
    profile.record_owner([])
    try:
        context = await _persistent_context(driver, profile.browser_folder, options)
    except BrowserLaunchFailed as exc:
        if profile.linked and await _starts_on_an_empty_profile(driver, profile, options):
            raise ProfileDamaged(f"{exc.message}; on an empty profile it does", exc.details) from exc
        raise
    return Running(context, _main_process(profile), script)


async def _persistent_context(driver: Driver, folder: Path, options: Mapping[str, Any]) -> "BrowserContext":
    from playwright.async_api import Error  # noqa: PLC0415 - loaded with the driver

    name, timeout_s = options["executable_path"], options["timeout"] / 1_000
    try:
        async with asyncio.timeout(timeout_s + 1):
            return await driver.playwright.chromium.launch_persistent_context(folder, **options)
    except TimeoutError as exc:
        raise BrowserLaunchFailed(f"{name} did not start in {timeout_s:g} s") from exc
    except Error as exc:
        text = str(exc).strip()
        raise BrowserLaunchFailed(
            f"{name} did not start: {text.splitlines()[0][:300]}", {"output": text[-1_500:]}
        ) from exc


async def _starts_on_an_empty_profile(driver: Driver, profile: Profile, options: Mapping[str, Any]) -> bool:
    """Tell whether the fault is the profile's: what keeps every browser from starting is no reason to replace it."""
    trial = profile.artifacts_folder / "trial"
    try:
        await _persistent_context(driver, trial, options)
    except BrowserLaunchFailed:
        return False
    finally:
        await _end_users(trial)
    return True


def _main_process(profile: Profile) -> ProcessId:
    found = process.users_of_profile(profile.browser_folder, main=True)
    if not found:
        raise BrowserLaunchFailed("the browser ended as soon as it had started")
    return found[0]


async def end_processes(profile: Profile) -> None:
    """Kill whatever runs on a profile that we hold; its driver is told or gone already."""
    await _end_users(profile.browser_folder)


async def _end_users(folder: Path) -> None:
    left = await asyncio.to_thread(process.users_of_profile, folder)
    process.kill(left)
    await process.wait_gone(left, _KILL_TIMEOUT_S)


async def grant_storage(context: "BrowserContext", web_url: str) -> None:
    """Make the site's storage persistent, which WhatsApp Web may demand.

    Playwright's ``grant_permissions`` does not know the name; without it ``navigator.storage.persist()`` is false in a
    headless browser, and WhatsApp Web was seen to log itself out (``acquire-persistent-storage-denied``).
    """
    parts = urlsplit(web_url)
    if context.browser is None:
        raise BrowserLaunchFailed("the browser ended while it was prepared")
    # A session of the browser, never detached: Chromium takes the permission back with the session that granted it.
    session = await context.browser.new_browser_cdp_session()
    permission = {"name": "persistent-storage"}
    origin = f"{parts.scheme}://{parts.netloc}"
    await session.send("Browser.setPermission", {"permission": permission, "setting": "granted", "origin": origin})


def proxy_settings(proxy: str) -> "ProxySettings":
    """Split a proxy address, whose user and password Chromium wants apart."""
    parts = urlsplit(proxy)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    settings: ProxySettings = {"server": f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")}
    if parts.username:
        settings["username"] = unquote(parts.username)
        settings["password"] = unquote(parts.password or "")
    return settings
