from datetime import UTC, datetime

import orjson
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import InvalidCommand, WafleetError
from actors.messages.replies import ErrorBody, ErrorReply, ScreenshotReply, SessionList, SessionStatus
from gateway.failures import UnknownFailure, error_of
from gateway.replies import MAX_ERROR_BYTES, MAX_REPLY_BYTES, render, render_error


def status(name: str) -> SessionStatus:
    return SessionStatus(
        tenant_id="acme", session_id=name, status="ready", state="ready", since=datetime(2026, 1, 1, tzinfo=UTC)
    )


@given(message=st.text(max_size=2_000))
def test_an_errors_headers_are_one_bounded_line_each(message: str) -> None:
    headers = render_error(InvalidCommand(message)).headers
    assert headers is not None
    assert headers["Nats-Service-Error-Code"] == "invalid_command"
    assert headers["Nats-Service-Error"].isprintable()
    assert len(headers["Nats-Service-Error"]) <= 500


def test_an_error_says_code_message_retryable_and_details() -> None:
    body = render_error(InvalidCommand("no\r\nInjected: header", {"field": "to"})).body
    assert orjson.loads(body) == {
        "error": {
            "code": "invalid_command",
            "message": "no\r\nInjected: header",
            "retryable": False,
            "details": {"field": "to"},
        }
    }


def test_a_large_error_loses_its_details_and_keeps_its_code() -> None:
    answer = render_error(InvalidCommand("wrong", {"got": "x" * 100_000}))
    assert len(answer.body) < MAX_ERROR_BYTES
    assert ErrorReply.model_validate_json(answer.body).error.code == "invalid_command"


def test_a_reply_beyond_the_limit_becomes_an_error_that_says_so() -> None:
    fits = render(SessionList(sessions=tuple(status(f"s{n}") for n in range(1_000))))
    assert fits.headers is None
    beyond = render(SessionList(sessions=tuple(status(f"s{n}") for n in range(5_000))))
    error = ErrorReply.model_validate_json(beyond.body).error
    assert (error.code, error.details["max_bytes"]) == ("unsupported", MAX_REPLY_BYTES)
    assert error.message.endswith("ask for less at once with `limit` and `after`")
    screenshot = ErrorReply.model_validate_json(render(ScreenshotReply(png="x" * MAX_REPLY_BYTES)).body).error
    assert screenshot.message.endswith("ask for less at once")


def test_every_code_of_a_leaf_error_comes_back_as_its_class() -> None:
    def leaves(cls: type[WafleetError]) -> list[type[WafleetError]]:
        return [cls] if not cls.__subclasses__() else [leaf for sub in cls.__subclasses__() for leaf in leaves(sub)]

    for leaf in leaves(WafleetError):
        if leaf.__module__ != "actors.errors" or leaf.__mro__[1].__name__ in {"PageFailure", "SnapshotFailure"}:
            continue
        error = error_of(ErrorBody.of(leaf("what", {"a": 1})))
        assert type(error) is leaf
        assert (error.message, error.details) == ("what", {"a": 1})


def test_a_code_of_a_newer_version_is_an_error_of_its_own() -> None:
    error = error_of(ErrorBody(code="brand_new", message="m", retryable=True, details={}))
    assert isinstance(error, UnknownFailure)
    assert error.details == {"code": "brand_new", "retryable": True}
