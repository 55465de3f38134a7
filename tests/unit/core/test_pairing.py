from actors.core.facts import CodeShown, QrShown
from actors.core.pairing import MAX_QR_ROUNDS, Pairing, Shown
from actors.core.signals import AnnounceCode, AnnounceQr, RefreshQr, RequestCode
from tests.unit.core.jobs import desired

NUMBER = "+6281111111111"


def by_code() -> Pairing:
    return Pairing(desired(pairing="code", phone_number=NUMBER), 300)


def test_the_time_for_pairing_counts_from_its_first_begin() -> None:
    pairing = Pairing(desired(), 300)
    assert (pairing.begin(10), pairing.begin(100)) == (310, 310)
    pairing.restart()
    assert pairing.begin(100) == 400


def test_every_qr_is_shown_and_numbered() -> None:
    pairing = Pairing(desired(), 300)
    assert pairing.show_qr(QrShown("a", 9, 20), 5) == AnnounceQr("a", 1, 20)
    assert pairing.show_qr(QrShown("b", 9, 20), 25) == AnnounceQr("b", 2, 20)
    assert pairing.qr == Shown("b", 45)
    pairing.hide()
    assert pairing.qr is None
    assert pairing.ask() is None


def test_who_waits_for_a_code_is_shown_no_qr() -> None:
    pairing = by_code()
    assert pairing.show_qr(QrShown("a", 1, 20), 5) is None
    assert pairing.qr is None
    assert pairing.ask() == RequestCode(NUMBER)
    assert pairing.show_code(CodeShown("ABCD", NUMBER, 180), 5) == AnnounceCode("ABCD", NUMBER, 180)
    assert pairing.code == Shown("ABCD", 185)


def test_a_qr_session_with_a_phone_number_still_shows_qrs() -> None:
    assert Pairing(desired(phone_number=NUMBER), 300).ask() is None


def test_rounds_are_bounded() -> None:
    pairing = Pairing(desired(), 300)
    rounds = [pairing.next_round() for _ in range(MAX_QR_ROUNDS + 1)]
    assert rounds == [[RefreshQr()]] * MAX_QR_ROUNDS + [None]
    assert by_code().next_round() == [RefreshQr(), RequestCode(NUMBER)]
