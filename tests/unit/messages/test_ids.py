from datetime import UTC, datetime, timedelta

import phonenumbers
import pytest

from actors.messages.ids import (
    SessionKey,
    address_of,
    dedup_id,
    digits_of_phone,
    is_id,
    job_id_of_inbox,
    job_id_of_key,
    message_id_of_job,
)

KEY = SessionKey("acme", "s1")


def test_a_key_reads_as_tenant_and_session() -> None:
    assert str(KEY) == "acme:s1"


@pytest.mark.parametrize("text", ["a", "A-Z_9", "x" * 64, "0b5e8f0e-5c6c-4b51-8e02-cf15d58a6f0c"])
def test_ids_are_plain_words(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize("text", ["", "x" * 65, "a.b", "*", ">", "a b", "ä", "a\n", "a/b"])
def test_everything_else_is_no_id(text: str) -> None:
    assert not is_id(text)


@pytest.mark.parametrize(
    ("recipient", "address"),
    [
        ("6281234567890", "6281234567890@c.us"),
        ("+6281234567890", "6281234567890@c.us"),
        ("6281234567890@c.us", "6281234567890@c.us"),
        ("120363041234567890@g.us", "120363041234567890@g.us"),
        ("6281234567890-1600000000@g.us", "6281234567890-1600000000@g.us"),
        ("123456789012345@lid", "123456789012345@lid"),
    ],
)
def test_recipients_have_addresses(recipient: str, address: str) -> None:
    assert address_of(recipient) == address


@pytest.mark.parametrize(
    ("recipient", "problem"),
    [
        ("", "expected a phone number"),
        ("hello", "expected a phone number"),
        ("62-812-3456", "expected a phone number"),
        ("6281234567890\n", "expected a phone number"),
        ("٦٢٨١٢٣٤٥٦٧٨٩٠", "expected a phone number"),
        ("6281234567890@s.whatsapp.net", "expected digits"),
        ("x@g.us", "expected digits"),
        ("999123456789", "known country code"),
        ("6212", "expected a phone number"),
        ("62123", "of a length"),
    ],
)
def test_what_is_no_recipient_is_refused_with_a_reason(recipient: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        address_of(recipient)


def test_every_countrys_numbers_are_possible() -> None:
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is not None:
                number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
                assert digits_of_phone(number) == number[1:]


@pytest.mark.parametrize("number", ["400808204161", "0812345678", "06281234567890"])
def test_a_number_as_it_is_dialled_at_home_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match="expected a"):
        digits_of_phone(number)


def test_digits_are_bare() -> None:
    assert digits_of_phone("+6281234567890") == "6281234567890"


def test_ids_that_are_derived_are_stable_and_apart() -> None:
    job_id = job_id_of_key(KEY, "order-1")
    assert job_id == job_id_of_key(KEY, "order-1")
    assert len(job_id) == 26
    assert job_id != job_id_of_key(SessionKey("acme", "s2"), "order-1")
    assert job_id_of_key(SessionKey("a", "bc"), "d") != job_id_of_key(SessionKey("ab", "c"), "d")
    assert message_id_of_job(job_id) == message_id_of_job(job_id)
    assert message_id_of_job(job_id).startswith("3EB0")
    assert len(message_id_of_job(job_id)) == 22
    assert dedup_id(KEY, "x") != dedup_id(SessionKey("acme", "s2"), "x")


def test_an_inbox_message_makes_the_same_job_at_each_delivery_and_another_one_in_another_place() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    first = job_id_of_inbox(KEY, 1, at)
    assert first == job_id_of_inbox(SessionKey("acme", "s1"), 1, at)
    others = [
        job_id_of_inbox(KEY, 2, at),
        job_id_of_inbox(SessionKey("acme", "s2"), 1, at),
        job_id_of_inbox(KEY, 1, at + timedelta(days=1)),
        job_id_of_key(KEY, "1"),
    ]
    assert len({first, *others}) == 5
