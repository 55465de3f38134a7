"""What is injected into every page: settings of wa-js, the wa-js bundle, the bridge. Read from disk at each launch."""

from pathlib import Path
from typing import Final

from actors.errors import BrowserLaunchFailed

_FOLDER: Final = Path(__file__).parent
_SCRIPTS: Final = ("bridge.js", "hearing.js", "flights.js", "chats.js")
BUNDLE: Final = _FOLDER / "bundle" / "wppconnect-wa.js"
BINDING: Final = "__wafleetReport"
"""The function in the page that carries reports to Python."""

_SETTINGS: Final = """window.WPPConfig = {
  disableGoogleAnalytics: true,
  // By default wa-js sends every link of a text to third-party servers for a preview.
  linkPreviewApiServers: [],
};"""

_REQUIRED: Final = (
    "on",
    "conn.getMyUserId", "conn.getMyUserLid", "conn.isRegistered", "conn.logout", "conn.refreshQR",
    "conn.startLinkDeviceCodeForPhoneNumber",
    "chat.find", "chat.generateMessageID", "chat.getMessageById", "chat.sendFileMessage", "chat.sendLocationMessage",
    "chat.sendTextMessage",
    "contact.queryExists",
    "whatsapp.ApiContact", "whatsapp.ChatStore", "whatsapp.Conn", "whatsapp.MsgStore.getMessagesById",
    "whatsapp.Socket", "whatsapp.Stream", "whatsapp.WidFactory", "whatsapp.functions.queryWidExists",
)  # fmt: skip
REQUIRED_NAMES: Final = tuple(f"WPP.{name}" for name in _REQUIRED)
"""Everything of wa-js that the bridge uses; the self-test after injection checks each."""


def init_script(bundle: Path | None) -> str:
    """Return the script that runs in every new document before the page's own.

    Only top frames of web pages run it: wa-js would poll for 60 s in an ``about:blank`` and in each frame.

    Raises:
        BrowserLaunchFailed: The bundle is not there.
    """
    path = bundle or BUNDLE
    try:
        wa_js = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise BrowserLaunchFailed(
            f"the wa-js bundle {path} is unreadable ({exc.strerror}); run `make setup`, or name another in the settings"
        ) from exc
    ours = [(_FOLDER / "scripts" / name).read_text(encoding="utf-8") for name in _SCRIPTS]
    body = "\n;\n".join([_SETTINGS, wa_js, *ours])
    return f"if (window === window.top && /^https?:$/.test(location.protocol)) {{\n{body}\n}}"
