"""What a file is said to be against what its bytes are."""

import pytest

from actors.browser.media_type import HEAD_BYTES, claimed, claimed_by_name, judge
from actors.errors import MediaRejected

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
JPEG = b"\xff\xd8\xff\xe0" + bytes(40)
OGG = b"OggS" + bytes(40)
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(40)
PDF = b"%PDF-1.7\n" + bytes(40)
ZIP = b"PK\x03\x04" + bytes(60)
EXE = b"MZ" + bytes(60)
ELF = b"\x7fELF\x02\x01\x01" + bytes(60)
HTML = b"\n <!DOCTYPE html><html><body>Sign in</body></html>"
SVG = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>"
TEXT = "name,città\n1,2\n".encode()
NOISE = bytes(range(1, 200))
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("head", "claim", "sent_as"),
    [
        (PNG, "image/png", "image/png"),
        (PNG, None, "image/png"),
        (JPEG, "image/png", "image/jpeg"),
        (JPEG, "image/jpg; charset=binary", "image/jpeg"),
        (OGG, "audio/ogg", "audio/ogg"),
        (OGG, "application/ogg", "audio/ogg"),
        (MP4, "audio/mp4", "video/mp4"),
        (PDF, "application/pdf", "application/pdf"),
        (PDF, "application/octet-stream", "application/pdf"),
        (ZIP, DOCX, DOCX),
        (ZIP, "application/zip", "application/zip"),
        (EXE, None, "application/x-msdownload"),
        (HTML, "text/html", "text/html"),
        (SVG, "image/svg+xml", "image/svg+xml"),
        (TEXT, "text/csv", "text/csv"),
        (TEXT, "application/json", "application/json"),
        (TEXT, None, "text/plain"),
        (NOISE, None, "application/octet-stream"),
        (NOISE, "application/x-own-format", "application/x-own-format"),
        ("é".encode() * HEAD_BYTES, None, "text/plain"),
        (("x" + "é" * HEAD_BYTES).encode()[:HEAD_BYTES], None, "text/plain"),
    ],
)
def test_what_fits_is_sent_as_what_it_is(head: bytes, claim: str | None, sent_as: str) -> None:
    assert judge(head, {"content_type": claimed(claim)}) == sent_as


@pytest.mark.parametrize(
    ("head", "claim"),
    [
        (HTML, "image/png"),
        (EXE, "image/png"),
        (ELF, "application/pdf"),
        (ZIP, "image/jpeg"),
        (PNG, "text/plain"),
        (PNG, "application/pdf"),
        (MP4, "image/gif"),
        (TEXT, "video/mp4"),
        (TEXT, "application/pdf"),
        (NOISE, "image/png"),
        (NOISE, "application/pdf"),
        (NOISE, "text/plain"),
        (HTML, "application/pdf"),
        (SVG, "image/png"),
        (PNG, "image/svg+xml"),
        (EXE, DOCX),
    ],
)
def test_a_lie_is_refused_with_what_was_expected_and_got(head: bytes, claim: str) -> None:
    with pytest.raises(MediaRejected) as refused:
        judge(head, {"mimetype": None, "content_type": claim})
    assert refused.value.details["field"] == "content_type"
    assert refused.value.details["expected"] == claim
    assert refused.value.details["got"] != claim


def test_every_claim_must_hold() -> None:
    assert (
        judge(PNG, {"mimetype": "image/png", "content_type": None, "filename": claimed_by_name("a.jpg")}) == "image/png"
    )
    with pytest.raises(MediaRejected) as refused:
        judge(HTML, {"mimetype": None, "content_type": "text/html", "filename": claimed_by_name("photo.png")})
    assert refused.value.details["field"] == "filename"


@pytest.mark.parametrize("name", [None, "", "letter.pdf", "noextension", "page.php"])
def test_only_names_of_pictures_sound_and_video_are_claims(name: str | None) -> None:
    assert claimed_by_name(name) is None


@pytest.mark.parametrize("header", [None, "", "application/octet-stream", "binary/octet-stream", "nonsense"])
def test_a_header_may_say_nothing(header: str | None) -> None:
    assert claimed(header) is None
