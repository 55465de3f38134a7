"""A picture of the page that fits into a reply.

WhatsApp Web with photos makes a PNG of more than a reply may hold; then one with fewer pixels tells as much as an
operator needs. Owns the bound and the scales. Imports the messages' size.
"""

from base64 import b64decode
from typing import TYPE_CHECKING, Final

from actors.messages.commands import MAX_BODY_BYTES

if TYPE_CHECKING:
    from playwright.async_api import CDPSession, Page

MAX_BYTES: Final = MAX_BODY_BYTES * 3 // 4 - 1_000
"""As base64 within a message of NATS, the reply's other fields included."""
_SCALES: Final = (0.5, 0.25)


async def take(page: "Page", *, timeout_s: float) -> bytes:
    """Take a PNG of what the window shows; one that is too large again with half, then a quarter of its width."""
    picture = await page.screenshot(type="png", timeout=timeout_s * 1_000)
    if len(picture) <= MAX_BYTES:
        return picture
    session = await page.context.new_cdp_session(page)
    for scale in _SCALES:
        picture = await _scaled(session, scale)
        if len(picture) <= MAX_BYTES:
            break
    await session.detach()
    return picture


async def _scaled(session: "CDPSession", scale: float) -> bytes:
    """Let Chromium paint fewer pixels: Playwright's own call knows the device's scale only."""
    window = (await session.send("Page.getLayoutMetrics"))["cssVisualViewport"]
    clip = {
        "x": window["pageX"],
        "y": window["pageY"],
        "width": window["clientWidth"],
        "height": window["clientHeight"],
        "scale": scale,
    }
    answer = await session.send("Page.captureScreenshot", {"format": "png", "clip": clip})
    return b64decode(answer["data"])
