"""Every knob of the simulator: its meaning, unit and default, and what of it the page is told.

The names are those of the control API (`POST /ctl/cfg`) and of the command line (`--set`). Pure: imports nothing of
this package.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Milliseconds = Annotated[int, Field(ge=0, le=600_000)]
Seconds = Annotated[float, Field(gt=0, le=3_600)]


class SimulatorSettings(BaseModel):
    """How the simulated service and its page behave. Frozen: a change is a new object (`changed`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field("2.3000.1045220589", min_length=1, max_length=64)
    """The WhatsApp Web version that the page reports."""
    boot_ms: Milliseconds = 50
    """From the page's DOMContentLoaded to its start."""
    sync_ms: Milliseconds = 400
    """From login to synced: raise it for a slow first sync."""
    ack_ms: Milliseconds = 20
    """From the acceptance of a message to the server's ack."""
    receipt_ms: Milliseconds = 150
    """From the ack to the delivery receipt, and from that to the read receipt."""
    auto_receipt: bool = True
    """Whether recipients send delivery and read receipts by themselves."""
    qr_first: Seconds = 20
    """Validity of the first QR code after the page connected or asked for a new series (the real one: 60 s)."""
    qr_ttl: Seconds = 20
    """Validity of each further QR code."""
    qr_count: int = Field(6, ge=1, le=1_000)
    """QR codes in a series; after the last one the page waits for a person (idle)."""
    contacts: int = Field(50, ge=0, le=200)
    """How many of the 200 known people are in every account's address book."""
    logout_reload_ms: Milliseconds = 500
    """From a logout to the page's reload."""
    reconnect_first_ms: Milliseconds = 250
    """The page's first wait before it reconnects by itself; it doubles up to `reconnect_max_ms`."""
    reconnect_max_ms: Milliseconds = 4_000
    """The page's longest wait before it reconnects by itself."""
    resend_pending: bool = False
    """Whether the page sends messages without an ack again after a restart (unknown for the real page; default no)."""
    lid_chats: bool = False
    """Whether chats are addressed by LID instead of by phone number."""
    filler: int = Field(0, ge=0, le=20_000)
    """Empty modules added to the page's runtime (the real page registers about 13,000)."""
    require_persist: bool = False
    """Whether the page insists on persistent storage and logs itself out where the browser denies it."""
    persist_denied: bool = False
    """With `require_persist`: the page behaves as if denied, even where the browser granted it."""
    storage_error_logout: bool = True
    """Whether the page logs itself out when its storage fails."""
    upload_limit_bytes: int = Field(64 << 20, ge=1, le=1 << 30)
    """The largest file that the page offers to upload."""

    def changed(self, knobs: dict[str, Any]) -> "SimulatorSettings":
        """These settings with some knobs set anew, validated as a whole.

        Raises:
            pydantic.ValidationError: a knob is unknown, or its value has a wrong type or range.
        """
        return SimulatorSettings.model_validate({**self.model_dump(), **knobs})

    def for_page(self) -> dict[str, Any]:
        """What the page reads as `window.__SIM`."""
        return {
            "version": self.version,
            "bootMs": self.boot_ms,
            "logoutReloadMs": self.logout_reload_ms,
            "resendPending": self.resend_pending,
            "lidChats": self.lid_chats,
            "uploadLimit": self.upload_limit_bytes,
            "filler": self.filler,
            "requirePersist": self.require_persist,
            "persistDenied": self.persist_denied,
            "reconnectMs": [self.reconnect_first_ms, self.reconnect_max_ms],
            "storageErrorLogout": self.storage_error_logout,
        }
