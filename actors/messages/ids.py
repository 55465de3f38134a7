"""Ids: tenants, sessions, jobs, WhatsApp message ids and recipients.

Pure. Phone numbers are judged by Google's metadata (``phonenumbers``): the shape and length must be possible for the
country; whether the number exists is the page's answer.
"""

import hashlib
import re
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Final, NamedTuple

import phonenumbers
from pydantic import AfterValidator, StringConstraints
from ulid import ULID

ID_PATTERN: Final = r"^[A-Za-z0-9_-]{1,64}$"
_ID: Final = re.compile(ID_PATTERN)
_GROUP: Final = re.compile(r"^[0-9]{5,30}(-[0-9]{5,20})?@g\.us\Z")
_LID: Final = re.compile(r"^[0-9]{5,20}@lid\Z")
_DIGITS: Final = re.compile(r"^\+?([0-9]{5,15})\Z")
_USER_SUFFIX: Final = "@c.us"
_COUNTRY_CODE_LENGTHS: Final = (1, 2, 3)


class SessionKey(NamedTuple):
    """The address of one session in the whole system."""

    tenant_id: str
    session_id: str

    def __str__(self) -> str:
        return f"{self.tenant_id}:{self.session_id}"


def is_id(text: str) -> bool:
    """Tell whether a text may be a tenant or session id (1-64 of ``A-Z a-z 0-9 _ -``)."""
    return _ID.fullmatch(text) is not None


def digits_of_phone(text: str) -> str:
    """Return the bare digits of a possible international number.

    Raises:
        ValueError: The text is no phone number, or its length is impossible in its country.
    """
    match = _DIGITS.match(text)
    if match is None:
        msg = f"expected a phone number with country code, like 6281234567890 or +6281234567890, got {text[:40]!r}"
        raise ValueError(msg)
    code = _country_code(match[1])
    if code is None:
        msg = f"expected a phone number with a known country code, got {text!r}"
        raise ValueError(msg)
    if not _is_possible_length(code, len(match[1]) - len(str(code))):
        msg = f"expected a number of a length that its country uses, got {text!r}"
        raise ValueError(msg)
    return match[1]


def _country_code(digits: str) -> int | None:
    """Read an international number's country code; None if no country has it.

    ``phonenumbers.parse`` also understands how people write numbers at home. So it takes a trunk prefix behind the
    country code (``+40 0…``), which no number in E.164 has and WhatsApp does not know.
    """
    if digits[0] == "0":
        return None
    codes = (int(digits[:length]) for length in _COUNTRY_CODE_LENGTHS)
    return next((code for code in codes if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE), None)


@lru_cache(maxsize=4_096)  # some 230 codes with at most 14 digits behind them
def _is_possible_length(country_code: int, national_digits: int) -> bool:
    """Tell whether a country has numbers of a length: all that "possible" means to ``phonenumbers``.

    Its answer is kept, since looking it up is most of what it costs to validate a ``send.text``.
    """
    return phonenumbers.is_possible_number(phonenumbers.PhoneNumber(country_code, int("1" * national_digits)))


def address_of(recipient: str) -> str:
    """Normalise a recipient to a WhatsApp address: ``…@c.us``, ``…@g.us`` or ``…@lid``.

    Raises:
        ValueError: It is none of these, nor a possible phone number.
    """
    if _GROUP.match(recipient) or _LID.match(recipient):
        return recipient
    if "@" in recipient and not recipient.endswith(_USER_SUFFIX):
        msg = f"expected digits, +digits, …@c.us, …@g.us or …@lid, got {recipient[:60]!r}"
        raise ValueError(msg)
    return digits_of_phone(recipient.removesuffix(_USER_SUFFIX)) + _USER_SUFFIX


def _recipient(text: str) -> str:
    address_of(text)
    return text


def _e164(text: str) -> str:
    return "+" + digits_of_phone(text)


TenantId = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
SessionId = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Recipient = Annotated[str, StringConstraints(max_length=80), AfterValidator(_recipient)]
"""A recipient as the tenant wrote it, known to have an address."""
PhoneNumber = Annotated[str, StringConstraints(max_length=40), AfterValidator(_e164)]
"""A phone number, normalised to ``+digits``."""
JobId = Annotated[str, StringConstraints(pattern=r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
"""A ULID."""
BareMessageId = Annotated[str, StringConstraints(pattern=r"^3EB0[0-9A-F]{18}$")]
"""A WhatsApp message id as web clients make them: ``3EB0`` and 18 hexadecimal digits."""


def job_id_of_key(key: SessionKey, idempotency_key: str) -> str:
    """Derive the job id of an idempotency key, so that a repeat finds the same job without a lookup table."""
    text = "\x00".join((*key, idempotency_key)).encode()
    return str(ULID.from_bytes(hashlib.sha256(text).digest()[:16]))


def job_id_of_inbox(key: SessionKey, seq: int, stored_at: datetime) -> str:
    """Derive the job id of an inbox command without a key: every delivery of the same message makes the same job.

    Its moment belongs to it, since sequences begin anew where a stream had to be made again. No idempotency key derives
    the same id: its text begins with a tenant, which is never empty.
    """
    text = "\x00".join(("", "inbox", *key, str(seq), stored_at.isoformat())).encode()
    return str(ULID.from_bytes(hashlib.sha256(text).digest()[:16]))


def message_id_of_job(job_id: str) -> str:
    """Derive the bare WhatsApp message id that is fixed when the job is accepted (promise 2)."""
    return "3EB0" + hashlib.sha256(job_id.encode()).hexdigest()[:18].upper()


def dedup_id(key: SessionKey, *parts: str) -> str:
    """Build a ``Nats-Msg-Id``; it begins with tenant and session since the server's check is stream-wide."""
    return hashlib.sha256("\x00".join((*key, *parts)).encode()).hexdigest()
