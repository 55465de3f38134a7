from typing import Any

from actors.config import HearingConfig
from actors.core.hearing import Hearing, Verdict
from actors.core.signals import Probed


def probed(**found: Any) -> Probed:
    return Probed(ready=True, reason="", **found)


def test_a_quiet_session_hears() -> None:
    hearing = Hearing(HearingConfig())
    for now in range(0, 3_000, 30):
        for answered in (None, True):
            assert hearing.judge(probed(server_answered=answered), now) is Verdict.HEARS


def test_only_silences_in_a_row_make_a_line_dead() -> None:
    hearing = Hearing(HearingConfig(max_silences=3))
    answers = [False, False, True, False, False, None, False, False, False, False]
    verdicts = [hearing.judge(probed(server_answered=answered), 0) for answered in answers]
    assert verdicts[:8] == [
        Verdict.UNSURE, Verdict.UNSURE, Verdict.HEARS, Verdict.UNSURE, Verdict.UNSURE, Verdict.HEARS,
        Verdict.UNSURE, Verdict.UNSURE,
    ]  # fmt: skip
    assert verdicts[8:] == [Verdict.SERVER_SILENT, Verdict.UNSURE]


def test_another_page_begins_anew() -> None:
    hearing = Hearing(HearingConfig(max_silences=2))
    assert hearing.judge(probed(server_answered=False), 0) is Verdict.UNSURE
    hearing.forget()
    assert hearing.judge(probed(server_answered=False), 0) is Verdict.UNSURE


def test_pushes_make_a_page_deaf_only_if_they_are_many_and_old() -> None:
    hearing = Hearing(HearingConfig(unheard_pushes=3, unheard_after_s=60))
    assert hearing.judge(probed(unheard=2, unheard_for_s=1e6), 0) is Verdict.HEARS
    assert hearing.judge(probed(unheard=100, unheard_for_s=59.9), 0) is Verdict.HEARS
    assert hearing.judge(probed(unheard=3, unheard_for_s=60), 0) is Verdict.PAGE_DEAF


def test_the_doubt_of_a_page_has_a_pause_that_outlives_the_page() -> None:
    hearing = Hearing(HearingConfig(doubt_pause_s=300))
    deaf = probed(unheard=3, unheard_for_s=60)
    assert hearing.judge(deaf, 1_000) is Verdict.PAGE_DEAF
    hearing.forget()
    assert hearing.judge(deaf, 1_299) is Verdict.HEARS
    assert hearing.judge(deaf, 1_300) is Verdict.PAGE_DEAF
