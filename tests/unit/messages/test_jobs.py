from actors.messages.base import encode
from actors.messages.ids import SessionKey
from actors.messages.jobs import ACK_STATUSES, LANES, OPEN_STATUSES, Job, JobRecord, new_record
from tests.unit.core.jobs import attempt, job, record


def test_a_job_knows_its_session_and_its_address() -> None:
    assert job(1).key == SessionKey("acme", "s1")
    assert job(1).address == "6281234567890@c.us"


def test_a_job_and_its_record_survive_the_wire() -> None:
    assert Job.model_validate_json(encode(job(1))) == job(1)
    written = record(attempt(1), attempt(2))
    assert JobRecord.model_validate_json(encode(written)) == written


def test_a_first_record_is_accepted_and_tells_the_job() -> None:
    first = new_record(job(1), seq=5)
    assert (first.status, first.seq, first.attempts, first.message_id) == ("accepted", 5, (), job(1).message_id)
    assert [change.status for change in first.history] == ["accepted"]
    assert first.is_open


def test_a_record_is_of_one_job_of_one_session_and_of_no_other_body_under_its_id() -> None:
    first = new_record(job(1))
    assert first.key == SessionKey("acme", "s1")
    assert first.is_of(job(1))
    assert not first.is_of(job(2))
    assert not first.is_of(job(1).model_copy(update={"body_hash": "f" * 64}))


def test_only_open_statuses_keep_a_job_in_the_log() -> None:
    assert not OPEN_STATUSES & set(ACK_STATUSES)
    assert record(attempt(), status="sending").is_open
    assert not record(attempt(), status="unconfirmed").is_open


def test_direct_is_served_first() -> None:
    assert LANES == ("direct", "high", "normal", "bulk")
