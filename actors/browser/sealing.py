"""The encrypted envelope of a profile snapshot: AES-256-GCM in chunks, so that files of any size need little memory.

Format, version 1::

    "WFP1"  salt (32 bytes)  key check (16 bytes)
    chunk   64 KiB of content, the last one 0 to 64 KiB, each followed by its tag (16 bytes)

Each snapshot has a key of its own, derived (HKDF-SHA256) from the fleet's key, the salt and a context (the session): no
nonce can repeat, and a snapshot opens for its own session only. A chunk's nonce is its number and whether it is the
last one (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár): chunks that are missing, repeated, in
another order or cut off at a boundary do not open. The key check tells a wrong key from damage.

Knows nothing of profiles. Imports cryptography late, for the memory of sessions that make no snapshot.
"""

import hmac
import io
import os
from typing import TYPE_CHECKING, BinaryIO, Final

from actors.errors import SnapshotDamaged, SnapshotKeyWrong

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
CHUNK_BYTES: Final = 64 * 1024
_MAGIC: Final = b"WFP1"
_SALT_BYTES: Final = 32
_CHECK_BYTES: Final = 16
_TAG_BYTES: Final = 16
_HEADER_BYTES: Final = len(_MAGIC) + _SALT_BYTES + _CHECK_BYTES
_COUNTER_BYTES: Final = 11
_PURPOSE: Final = b"wafleet profile snapshot 1\0"


class SealingWriter(io.RawIOBase):
    """Encrypts what is written to it; only ``finish`` makes the result readable."""

    def __init__(self, target: BinaryIO, key: bytes, context: bytes) -> None:
        super().__init__()
        salt = os.urandom(_SALT_BYTES)
        self._cipher, check = _derived(key, salt, context)
        self._target = target
        self._header = _MAGIC + salt + check
        self._waiting = bytearray()
        self._number = 0
        target.write(self._header)

    def writable(self) -> bool:
        """Tell that it is written to."""
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override] # what its callers pass
        """Take content."""
        self._waiting += data
        # A full chunk waits until more comes: it might be the last one.
        while len(self._waiting) > CHUNK_BYTES:
            self._put(bytes(self._waiting[:CHUNK_BYTES]), last=False)
            del self._waiting[:CHUNK_BYTES]
        return len(data)

    def finish(self) -> None:
        """Write the last chunk."""
        self._put(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _put(self, content: bytes, *, last: bool) -> None:
        self._target.write(self._cipher.encrypt(_nonce(self._number, last=last), content, self._header))
        self._number += 1


class UnsealingReader(io.RawIOBase):
    """Decrypts what a ``SealingWriter`` wrote.

    Raises:
        SnapshotKeyWrong: At once, if the key or the context is another one.
        SnapshotDamaged: At once or while reading, if anything was changed, cut off, added or put in another order.
    """

    def __init__(self, source: BinaryIO, key: bytes, context: bytes) -> None:
        super().__init__()
        self._source = source
        self._header = source.read(_HEADER_BYTES)
        if len(self._header) < _HEADER_BYTES or not self._header.startswith(_MAGIC):
            raise SnapshotDamaged("not a profile snapshot of a version that is known here")
        salt, check = self._header[len(_MAGIC) : -_CHECK_BYTES], self._header[-_CHECK_BYTES:]
        self._cipher, expected = _derived(key, salt, context)
        if not hmac.compare_digest(check, expected):
            raise SnapshotKeyWrong("the snapshot was made with another WAFLEET_PROFILE_KEY or for another session")
        self._next = source.read(CHUNK_BYTES + _TAG_BYTES)
        self._content = memoryview(b"")
        self._number = 0
        self._finished = False

    def readable(self) -> bool:
        """Tell that it is read from."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill a buffer with content; 0 at the end, which is authentic too."""
        while not self._content and not self._finished:
            self._content = memoryview(self._open_next())
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._content))
        target[:size] = self._content[:size]
        self._content = self._content[size:]
        return size

    def drain(self) -> None:
        """Read to the end, so that nothing behind what was of interest can be wrong."""
        while self.read(CHUNK_BYTES):
            pass

    def _open_next(self) -> bytes:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - late, see the module's docstring

        sealed, self._next = self._next, self._source.read(CHUNK_BYTES + _TAG_BYTES)
        self._finished = not self._next
        try:
            content = self._cipher.decrypt(_nonce(self._number, last=self._finished), sealed, self._header)
        except (InvalidTag, ValueError) as exc:
            raise SnapshotDamaged(
                f"the snapshot is damaged in chunk {self._number}: changed, cut off or in another order"
            ) from exc
        self._number += 1
        return content


def _derived(key: bytes, salt: bytes, context: bytes) -> "tuple[AESGCM, bytes]":
    """Return the cipher of one snapshot and the value by which its key is known."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - late
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - late
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415 - late

    if len(key) != KEY_BYTES:
        msg = f"a profile key has {KEY_BYTES} bytes, got {len(key)}"
        raise ValueError(msg)
    derived = HKDF(SHA256(), KEY_BYTES + _CHECK_BYTES, salt, _PURPOSE + context).derive(key)
    return AESGCM(derived[:KEY_BYTES]), derived[KEY_BYTES:]


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(_COUNTER_BYTES, "big") + bytes([last])
