from datetime import UTC, datetime

import jsonschema
import orjson
import pytest

from actors.errors import UnknownJob
from actors.messages.base import encode
from actors.messages.commands import COMMANDS
from actors.messages.events import build_event
from actors.messages.replies import ErrorReply, JobAccepted
from gateway.replies import render_error
from gateway.schema import schemas
from gateway.subjects import parse_request

DOCUMENT = schemas()
VALIDATOR = jsonschema.Draft202012Validator


def test_every_part_is_a_valid_schema_of_its_own() -> None:
    parts = [part[kind] for part in DOCUMENT["commands"].values() for kind in ("body", "reply")]
    for schema in (*parts, *DOCUMENT["events"].values(), DOCUMENT["error"]):
        VALIDATOR.check_schema(schema)


def test_the_document_has_all_commands_and_events_of_the_contract() -> None:
    assert DOCUMENT["commands"].keys() == COMMANDS.keys()
    assert {"session.qr", "session.code", "session.ready", "job.accepted", "message.failed", "message.ack"} <= (
        DOCUMENT["events"].keys()
    )


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_subject_is_the_one_its_command_is_sent_to(name: str) -> None:
    subject = DOCUMENT["commands"][name]["subject"].replace("<tenant>", "acme").replace("<session>", "s1")
    assert parse_request(subject).command == name


def test_bodies_are_strict_and_replies_may_gain_fields() -> None:
    text = DOCUMENT["commands"]["send.text"]
    VALIDATOR(text["body"]).validate({"to": "6281234567890", "message": "x"})
    for wrong in ({"to": "6281234567890"}, {"to": "6281234567890", "message": "x", "surprise": 1}):
        with pytest.raises(jsonschema.ValidationError):
            VALIDATOR(text["body"]).validate(wrong)
    accepted = orjson.loads(encode(JobAccepted(job_id="j", status="accepted")))
    VALIDATOR(text["reply"]).validate({**accepted, "new_in_a_later_version": 1})
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR(text["reply"]).validate({"status": "accepted"})


def test_events_and_errors_fit_their_schemas() -> None:
    event = build_event(
        event="session.ready", id="e", tenant_id="t", session_id="s", time=datetime.now(UTC),
        data={"status": "ready", "state": "ready"},
    )  # fmt: skip
    VALIDATOR(DOCUMENT["events"]["session.ready"]).validate(orjson.loads(encode(event)))
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR(DOCUMENT["events"]["session.failed"]).validate(orjson.loads(encode(event)))
    assert ErrorReply.model_fields.keys() == {"error"}
    VALIDATOR(DOCUMENT["error"]).validate(orjson.loads(render_error(UnknownJob("m")).body))
