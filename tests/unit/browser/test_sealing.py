"""The envelope of a snapshot: it opens to what was put in, or not at all."""

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.browser.sealing import CHUNK_BYTES, SealingWriter, UnsealingReader
from actors.errors import SnapshotDamaged, SnapshotFailure, SnapshotKeyWrong

KEY = bytes(range(32))
CONTEXT = b"acme.s1"
HEADER = 4 + 32 + 16
SEALED_CHUNK = CHUNK_BYTES + 16
SIZES = st.sampled_from([0, 1, 1_000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 200_000])


def sealed(content: bytes, *, pieces: int = 1) -> bytes:
    target = io.BytesIO()
    writer = SealingWriter(target, KEY, CONTEXT)
    step = max(1, -(-len(content) // pieces))
    for begin in range(0, len(content), step):
        assert writer.write(content[begin : begin + step]) == len(content[begin : begin + step])
    writer.finish()
    return target.getvalue()


def opened(envelope: bytes, *, key: bytes = KEY, context: bytes = CONTEXT) -> bytes:
    return UnsealingReader(io.BytesIO(envelope), key, context).read()


def chunks(envelope: bytes) -> list[bytes]:
    body = envelope[HEADER:]
    return [body[begin : begin + SEALED_CHUNK] for begin in range(0, len(body), SEALED_CHUNK)]


@given(size=SIZES, seed=st.binary(min_size=1, max_size=64), pieces=st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_what_was_sealed_opens_whatever_its_size_and_pieces(size: int, seed: bytes, pieces: int) -> None:
    content = (seed * (size // len(seed) + 1))[:size]
    envelope = sealed(content, pieces=pieces)
    assert opened(envelope) == content
    assert len(seed) < 16 or seed not in envelope


@given(data=st.data(), size=SIZES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_changed_byte_goes_unseen(data: st.DataObject, size: int) -> None:
    envelope = bytearray(sealed(b"x" * size))
    place = data.draw(st.integers(0, len(envelope) - 1))
    envelope[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SnapshotFailure):
        opened(bytes(envelope))


@given(data=st.data(), size=SIZES)
@settings(max_examples=60, deadline=None)
def test_no_missing_or_added_end_goes_unseen(data: st.DataObject, size: int) -> None:
    envelope = sealed(b"x" * size)
    with pytest.raises(SnapshotDamaged):
        opened(envelope[: data.draw(st.integers(0, len(envelope) - 1))])
    with pytest.raises(SnapshotDamaged):
        opened(envelope + data.draw(st.binary(min_size=1, max_size=100)))


def test_chunks_that_are_cut_off_at_a_boundary_repeated_or_reordered_are_found() -> None:
    envelope = sealed(b"".join(bytes([n]) * CHUNK_BYTES for n in range(4)))
    header, parts = envelope[:HEADER], chunks(envelope)
    assert len(parts) == 4
    for order in ((0, 1, 2), (0, 2, 1, 3), (0, 0, 1, 2, 3), (1, 2, 3), (3,), (0, 1, 3), (0, 1, 2, 3, 3), ()):
        with pytest.raises(SnapshotDamaged):
            opened(header + b"".join(parts[n] for n in order))


def test_what_is_true_so_far_is_read_before_the_damage_and_the_rest_is_not() -> None:
    envelope = bytearray(sealed(b"a" * CHUNK_BYTES + b"b" * CHUNK_BYTES))
    envelope[-1] ^= 1
    reader = UnsealingReader(io.BytesIO(bytes(envelope)), KEY, CONTEXT)
    assert reader.read(10) == b"a" * 10
    with pytest.raises(SnapshotDamaged, match="in chunk 1"):
        reader.drain()


def test_another_key_or_another_session_is_told_from_damage() -> None:
    envelope = sealed(b"secret")
    with pytest.raises(SnapshotKeyWrong, match="WAFLEET_PROFILE_KEY"):
        opened(envelope, key=bytes(32))
    with pytest.raises(SnapshotKeyWrong):
        opened(envelope, context=b"acme.s2")
    with pytest.raises(SnapshotDamaged, match="not a profile snapshot"):
        opened(b"WFP2" + envelope[4:])


def test_two_seals_of_one_content_have_nothing_in_common() -> None:
    first, second = sealed(b"x" * 1_000), sealed(b"x" * 1_000)
    assert first[4:20] != second[4:20]
    assert first[HEADER:] != second[HEADER:]


def test_a_key_of_another_size_is_a_bug() -> None:
    with pytest.raises(ValueError, match="32 bytes, got 5"):
        SealingWriter(io.BytesIO(), b"short", CONTEXT)
