"""Command line of the browser: the memory flags, and the names Playwright's own flags would lose. Pure."""

from pathlib import Path
from typing import Final

from actors.browser.finding import is_headless_shell

PLAYWRIGHT_DISABLED_FEATURES: Final = (
    "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "PaintHolding", "ThirdPartyStoragePartitioning",
    "AvoidCorsURLLoaderRestartOnRedirect", "OptimizationHints", "NetworkTimeServiceQuerying", "AimEnabled",
    "PreconnectToSearch",
)  # fmt: skip
"""Playwright 1.65's own list (chromiumSwitches.ts): Chromium heeds only the last ``--disable-features``."""
PLAYWRIGHT_ENABLED_FEATURES: Final = ("CDPScreenshotNewSurface", "SkipListAccountsWithoutGaiaCookies")
OUR_DISABLED_FEATURES: Final = (
    "Translate", "AudioServiceOutOfProcess", "BackForwardCache", "SpareRendererForSitePerProcess", "site-per-process",
    "IsolateOrigins",
)  # fmt: skip
OUR_ENABLED_FEATURES: Final = ("NetworkServiceInProcess2",)
"""Saves a process (11 MiB); a fault there ends the browser instead of one child, and we restart it either way."""

_LITE: Final = (
    "--disable-gpu", "--disable-software-rasterizer", "--renderer-process-limit=1", "--disable-site-isolation-trials",
    "--in-process-gpu", "--mute-audio", "--disable-extensions", "--disable-component-update",
    "--disable-background-networking", "--window-size=1024,720",
)  # fmt: skip


def launch_args(executable: Path, *, major_version: int, extra: tuple[str, ...] = ()) -> list[str]:
    """Return the flags for a browser; a flag given in ``extra`` comes last and so wins.

    Args:
        executable: The program that will be launched.
        major_version: Its version, for the user agent.
        extra: Flags from the settings.
    """
    args = [
        *_LITE,
        "--disable-features=" + ",".join(PLAYWRIGHT_DISABLED_FEATURES + OUR_DISABLED_FEATURES),
        "--enable-features=" + ",".join(PLAYWRIGHT_ENABLED_FEATURES + OUR_ENABLED_FEATURES),
        f"--user-agent={user_agent(major_version)}",
    ]
    if is_headless_shell(executable):
        # Saves a process in the shell; in full Chromium it raises private memory (213 -> 282 MiB, measured).
        args.append("--no-zygote")
    return [*args, *extra]


def user_agent(major_version: int) -> str:
    """Return the user agent of a Chrome with a window.

    Headless browsers name themselves ``HeadlessChrome``, which WhatsApp Web answers with "use another browser".
    """
    return (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{major_version}.0.0.0 Safari/537.36"
    )
