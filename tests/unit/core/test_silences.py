from actors.core.silences import MAX_SILENCES, Silences


def test_a_question_is_given_up_after_so_many_silences_in_a_row() -> None:
    it = Silences()
    assert [it.add(1) for _ in range(MAX_SILENCES)] == [False] * (MAX_SILENCES - 1) + [True]


def test_an_answer_about_the_job_begins_anew_and_one_about_another_does_not() -> None:
    it = Silences()
    for _ in range(MAX_SILENCES - 1):
        assert not it.add(1)
    it.forget(1)
    for _ in range(MAX_SILENCES - 1):
        assert not it.add(1)
    it.forget(2)
    assert it.add(1)


def test_every_job_has_silences_of_its_own() -> None:
    it = Silences()
    for seq in range(1, 2 * MAX_SILENCES):
        assert not it.add(seq)
