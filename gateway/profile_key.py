"""The key of profile snapshots: given as ``WAFLEET_PROFILE_KEY``, else made once and kept in the state folder.

Whoever has it can read every login, so it is never logged, and its file is the owner's alone. All nodes need the same
one: it goes with the session to its node. Two gateways with folders of their own would make two; then it must be given.
Imports the settings.
"""

import base64
import binascii
import os
import secrets
from pathlib import Path
from typing import Final

from gateway.settings import InvalidSettings, Settings

KEY_BYTES: Final = 32
FILE_NAME: Final = "profile.key"
_EXPECTED: Final = f"expected {KEY_BYTES} random bytes in base64 or hex, e.g. from `openssl rand -base64 {KEY_BYTES}`"


def profile_key(settings: Settings) -> bytes:
    """Return the key; one is made where none is set and none was made before.

    Raises:
        InvalidSettings: What is set, or lies in the file, is no key, or the file cannot be used.
    """
    given = settings.wafleet_profile_key
    if given is not None:
        return _decoded(given.get_secret_value(), "WAFLEET_PROFILE_KEY")
    path = settings.wafleet_dir / FILE_NAME
    try:
        return _decoded(_made_once(path), str(path))
    except OSError as exc:
        raise InvalidSettings(
            f"{path}: the key of profile snapshots cannot be kept here ({exc.strerror}); set WAFLEET_PROFILE_KEY"
        ) from exc


def _made_once(path: Path) -> str:
    """Read the file, or make it; of several processes that make it at once, the first one's holds."""
    if path.exists():
        return path.read_text()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(part, path)
    except FileExistsError:
        pass  # another process was faster; its key is read below
    finally:
        part.unlink()
    return path.read_text()


def _decoded(text: str, name: str) -> bytes:
    """Read a key. What is wrong with it is told without showing it."""
    text = text.strip()
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise InvalidSettings(f"{name}: {_EXPECTED}, got something else") from None
    if len(key) != KEY_BYTES:
        raise InvalidSettings(f"{name}: {_EXPECTED}, got {len(key)} bytes")
    return key
