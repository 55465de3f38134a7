"""Media on its way into a page: fetched or decoded, judged, and laid into a private file until it was sent.

Knows no playwright; the page takes the file by ``set_input_files``.
"""

import asyncio
import base64
import binascii
import mimetypes
import shutil
from pathlib import Path
from typing import Final

from actors.browser.media_type import HEAD_BYTES, claimed, claimed_by_name, judge
from actors.browser.profile import Profile
from actors.config import MediaConfig
from actors.errors import MediaRejected, Unavailable
from actors.messages.jobs import Content, MediaContent
from actors.ports import Prepared

_MAX_NAME_BYTES: Final = 200
_DEFAULT_NAME: Final = "file"
_PHOTOS: Final = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif"})
_VIDEOS: Final = frozenset({"video/mp4", "video/3gpp", "video/quicktime", "video/webm"})
_NEEDED_FAMILY: Final = {"image": "image", "video": "video", "audio": "audio", "voice": "audio", "sticker": "image"}
_BOTH_WAYS: Final = frozenset({"audio", "video"})


class MediaDesk:
    """Prepares the media of one session."""

    def __init__(self, profile: Profile, config: MediaConfig) -> None:
        self._profile = profile
        self._config = config

    async def prepare(self, content: Content) -> Prepared:
        """Fetch and check media; other content passes as it is.

        Raises:
            MediaRejected: It could not be fetched, is too large, or is not what it is said to be.
            Unavailable: The disk does not take it, which the next try may find mended.
        """
        if not isinstance(content, MediaContent):
            return Prepared(content)
        _check_name(content.filename)
        try:
            folder = await asyncio.to_thread(self._profile.new_media_folder)
            try:
                return await self._prepare(content, folder / "content")
            except BaseException:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                raise
        except OSError as exc:
            raise Unavailable(
                f"media cannot be stored on this node ({exc}); check WHATSAPP_SESSION_PATH and its free space"
            ) from exc

    async def discard(self, prepared: Prepared) -> None:
        """Delete the file of prepared content; doing it twice is no error."""
        if prepared.path is not None:
            await asyncio.to_thread(shutil.rmtree, prepared.path.parent, ignore_errors=True)

    async def _prepare(self, content: MediaContent, path: Path) -> Prepared:
        header, name = await self._bring(content, path)
        head = await asyncio.to_thread(_head, path)
        claims = {
            "mimetype": claimed(content.mimetype),
            "content_type": claimed(header),
            "filename": claimed_by_name(content.filename or name),
        }
        mimetype = judge(head, claims)
        kind = _kind(content, mimetype)
        filename = _with_extension(_clean(content.filename or name) or _DEFAULT_NAME, mimetype)
        return Prepared(content.model_copy(update={"media_kind": kind, "data": None}), path, mimetype, filename)

    async def _bring(self, content: MediaContent, path: Path) -> tuple[str | None, str]:
        if content.url is not None:
            from actors.browser.fetching import fetch  # noqa: PLC0415 - aiohttp costs an idle session 10 MiB

            fetched = await fetch(content.url, path, self._config)
            return fetched.content_type, fetched.filename
        if content.data is not None:
            await asyncio.to_thread(self._decode, content.data, path)
            return None, ""
        raise MediaRejected(
            "media from the object store is not served by this build; give a url or data",
            {"field": "object", "reason": "unsupported"},
        )

    def _decode(self, data: str, path: Path) -> None:
        try:
            content = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise MediaRejected(f"data is no base64: {exc}", {"field": "data", "reason": "base64"}) from exc
        if not content:
            raise MediaRejected("data holds an empty file", {"field": "data", "reason": "empty"})
        if len(content) > self._config.max_bytes:
            raise MediaRejected(
                f"data has {len(content)} bytes, at most {self._config.max_bytes} are allowed",
                {"field": "data", "reason": "too_large", "expected": self._config.max_bytes, "got": len(content)},
            )
        path.write_bytes(content)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _kind(content: MediaContent, mimetype: str) -> str:
    """Return how WhatsApp shall show the file.

    Raises:
        MediaRejected: The bytes cannot be shown as the command wants it.
    """
    family = mimetype.split("/", 1)[0]
    if content.media_kind == "auto":
        if mimetype in _PHOTOS:
            return "image"
        if mimetype in _VIDEOS:
            return "video"
        return "audio" if family == "audio" else "document"
    needed = _NEEDED_FAMILY.get(content.media_kind)
    if needed and family != needed and not {needed, family} <= _BOTH_WAYS:
        raise MediaRejected(
            f"a file of type {mimetype} cannot be sent as {content.media_kind}",
            {"field": "as", "reason": "type_mismatch", "expected": needed, "got": mimetype},
        )
    return content.media_kind


def _check_name(filename: str | None) -> None:
    if filename is not None and (not _clean(filename) or {"/", "\\"} & set(filename)):
        raise MediaRejected(
            f"filename must be a plain name without path parts, got {filename[:80]!r}",
            {"field": "filename", "reason": "path_parts"},
        )


def _clean(name: str) -> str:
    """Return a name without path parts and control characters, of a length every file system takes."""
    plain = name.replace("\\", "/").rsplit("/", 1)[-1]
    plain = "".join(character for character in plain if character.isprintable()).strip()
    while len(plain.encode()) > _MAX_NAME_BYTES:
        plain = plain[1:]
    return "" if plain in {".", ".."} else plain


def _with_extension(name: str, mimetype: str) -> str:
    if "." in name.strip("."):
        return name
    return name + (mimetypes.guess_extension(mimetype) or "")
