import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import InvalidCommand, Unsupported
from actors.messages.commands import COMMANDS, PLANNED, SESSION_COMMANDS, TENANT_COMMANDS
from gateway.subjects import Address, check_ids, command_subject, parse_request

ids = st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z")


@given(tenant=ids, session=ids, command=st.sampled_from([command.name for command in SESSION_COMMANDS]))
def test_a_session_commands_subject_says_what_it_was_built_from(tenant: str, session: str, command: str) -> None:
    assert parse_request(command_subject(tenant, session, command)) == Address(tenant, session, command)


@given(tenant=ids, command=st.sampled_from([command.name for command in TENANT_COMMANDS]))
def test_a_tenant_commands_subject_says_what_it_was_built_from(tenant: str, command: str) -> None:
    assert parse_request(command_subject(tenant, None, command)) == Address(tenant, None, command)


@given(st.text().filter(lambda text: text not in COMMANDS))
def test_any_other_subject_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidCommand):
        parse_request(text)
    with pytest.raises((InvalidCommand, Unsupported)):
        parse_request(f"wa.acme.cmd.s1.{text}")


def test_a_command_of_the_other_kind_is_told_where_it_belongs() -> None:
    with pytest.raises(InvalidCommand, match=r"send it to wa\.<tenant>\.ctl\.sessions\.list"):
        parse_request("wa.acme.cmd.s1.sessions.list")
    with pytest.raises(InvalidCommand, match=r"send it to wa\.<tenant>\.cmd\.<session>\.send\.text"):
        parse_request("wa.acme.ctl.send.text")


@pytest.mark.parametrize("command", sorted(PLANNED))
def test_a_planned_command_is_unsupported(command: str) -> None:
    with pytest.raises(Unsupported):
        parse_request(f"wa.acme.cmd.s1.{command}")


@pytest.mark.parametrize("session", ["", "a.b", "*", ">", "a b", "x" * 65, "é"])
def test_no_id_changes_the_meaning_of_a_subject(session: str) -> None:
    with pytest.raises(InvalidCommand):
        command_subject("acme", session, "session.status")
    with pytest.raises(InvalidCommand):
        check_ids(session)
