"""What a file really is, against what it is said to be. Pure but for the ``filetype`` library, imported late.

A claim is a MIME type from the command, from a server's ``Content-Type``, or guessed from a name. Within pictures,
sound and video a wrong subtype is put right silently (servers mislabel JPEG and PNG every day); everything else that
does not fit is a lie and is refused.
"""

import mimetypes
from typing import Final

from actors.errors import MediaRejected

HEAD_BYTES: Final = 8_192
"""How much of a file is looked at."""
UNKNOWN: Final = "application/octet-stream"
_HTML: Final = "text/html"
_PLAIN: Final = "text/plain"
_SVG: Final = "image/svg+xml"
_FAMILIES: Final = ("image", "audio", "video")
_SAME: Final = {
    "image/jpg": "image/jpeg",
    "audio/x-wav": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "binary/octet-stream": UNKNOWN,
    "application/x-pdf": "application/pdf",
    "application/x-zip-compressed": "application/zip",
}
_CONTAINERS: Final = frozenset({"application/zip", "application/x-ole-storage"})
"""What office documents and the like look like from outside."""
_CONTAINED: Final = (
    "application/vnd.", "application/msword", "application/epub", "application/java-archive", "application/x-",
)  # fmt: skip
_TIMED: Final = frozenset({"audio", "video"})
"""Families whose containers (mp4, ogg, webm, 3gp) hold either."""
_TEXTUAL: Final = ("json", "xml", "javascript", "yaml", "csv", "sql", "rtf")
_HTML_SIGNS: Final = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script")


def claimed(content_type: str | None) -> str | None:
    """Return the bare MIME type of a header or argument; None where it says nothing."""
    if not content_type:
        return None
    bare = content_type.split(";", 1)[0].strip().lower()
    bare = _SAME.get(bare, bare)
    return None if bare == UNKNOWN or "/" not in bare else bare


def claimed_by_name(filename: str | None) -> str | None:
    """Return the type a name promises, where that is a picture, sound or video."""
    guess = mimetypes.guess_type(filename or "")[0]
    return guess if guess and _family(guess) in _FAMILIES else None


def judge(head: bytes, claims: dict[str, str | None]) -> str:
    """Return the type to send a file under.

    Args:
        head: The file's first ``HEAD_BYTES``.
        claims: Where a claim comes from, and the claim; the most trusted first.

    Raises:
        MediaRejected: The bytes are something else than claimed.
    """
    real = _real(head)
    stated = {source: claim for source, claim in claims.items() if claim is not None}
    for source, claim in stated.items():
        if not _fits(real, claim):
            raise MediaRejected(
                f"the file is said to be {claim} ({source}), but its bytes are {real}",
                {"reason": "type_mismatch", "field": source, "expected": claim, "got": real},
            )
    if _family(real) in _FAMILIES:
        return real
    first = next(iter(stated.values()), None)
    return first if first and real in {UNKNOWN, _PLAIN, *_CONTAINERS} else real


def _family(mimetype: str) -> str:
    return mimetype.split("/", 1)[0]


def _real(head: bytes) -> str:
    import filetype  # noqa: PLC0415 - late, for the memory of a session that sends no media

    known: str | None = filetype.guess_mime(head)
    if known:
        return _SAME.get(known, known)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(_HTML_SIGNS):
        return _HTML
    if start.startswith((b"<svg", b"<?xml")) and b"<svg" in start:
        return _SVG
    return _PLAIN if head and _is_text(head) else UNKNOWN


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError as exc:
        # The last character may be cut by the end of the head.
        if exc.start < len(head) - 3 or len(head) < HEAD_BYTES:
            return False
        text = head[: exc.start].decode()
    return all(character.isprintable() or character in "\t\r\n\f" for character in text)


def _fits(real: str, claim: str) -> bool:
    if real == claim:
        return True
    families = frozenset({_family(real), _family(claim)})
    if families & {*_FAMILIES} or real == _HTML:
        return _fits_by_family(real, claim, families)
    if real in _CONTAINERS:
        return claim.startswith(_CONTAINED) or claim in _CONTAINERS
    if real == _PLAIN:
        return _family(claim) == "text" or claim.endswith(_TEXTUAL)
    return real == UNKNOWN and not _recognisable(claim)


def _fits_by_family(real: str, claim: str, families: frozenset[str]) -> bool:
    """Judge pictures, sound, video and web pages, where one family must not pass for another."""
    if len(families) == 1:
        return families <= {*_FAMILIES} and _SVG not in {real, claim}
    # "application/ogg" is what some servers call a voice message.
    return families == _TIMED or (claim == "application/ogg" and bool(families & _TIMED))


def _recognisable(claim: str) -> bool:
    """Tell whether bytes of this type would have been recognised."""
    import filetype  # noqa: PLC0415 - late

    return filetype.get_type(mime=claim) is not None or _family(claim) == "text"
