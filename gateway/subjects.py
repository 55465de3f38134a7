"""Subjects of requests: what they mean, and how they are built (DESIGN section 2). Pure.

The client library refuses spaces, but a literal ``*`` or ``>`` does arrive, and so does any number of tokens: what a
request's subject means is checked here and nowhere else.
"""

from dataclasses import dataclass
from typing import Final

from actors.errors import InvalidCommand, Unsupported
from actors.messages.commands import PLANNED, SESSION_COMMANDS, TENANT_COMMANDS, SendCommand
from actors.messages.ids import SessionKey, is_id

SESSION_REQUESTS: Final = "wa.*.cmd.>"
TENANT_REQUESTS: Final = "wa.*.ctl.>"
INBOX_SUBJECTS: Final = "wa.*.inbox.>"
_SESSION_NAMES: Final = frozenset(command.name for command in SESSION_COMMANDS)
_SEND_NAMES: Final = frozenset(command.name for command in SESSION_COMMANDS if issubclass(command, SendCommand))
_TENANT_NAMES: Final = frozenset(command.name for command in TENANT_COMMANDS)
_MAX_SHOWN_CHARS: Final = 80


@dataclass(frozen=True, slots=True)
class Address:
    """What a request's subject says."""

    tenant_id: str
    session_id: str | None
    """None for commands about the whole tenant."""
    command: str


def parse_request(subject: str) -> Address:
    """Read the subject of a request.

    Raises:
        InvalidCommand: Wrong number of tokens, an id that is none, or a command that does not exist (here).
        Unsupported: The command belongs to the contract but is not built yet.
    """
    tokens = subject.split(".")
    kind = tokens[2] if len(tokens) > 2 else ""  # noqa: PLR2004 - wa.<tenant>.<kind>
    if kind == "cmd":
        _expect(len(tokens) == 6, subject, "wa.<tenant>.cmd.<session>.<command>")  # noqa: PLR2004 - a command has a dot
        address = Address(_id("tenant", tokens[1]), _id("session", tokens[3]), f"{tokens[4]}.{tokens[5]}")
        known = _SESSION_NAMES
    else:
        _expect(kind == "ctl" and len(tokens) == 5, subject, "wa.<tenant>.ctl.<command>")  # noqa: PLR2004 - as above
        address = Address(_id("tenant", tokens[1]), None, f"{tokens[3]}.{tokens[4]}")
        known = _TENANT_NAMES
    if address.command not in known:
        raise _refusal(address)
    return address


def inbox_session(subject: str) -> SessionKey | None:
    """Return the session that a subject of the inbox names; None where it names none, so nobody can be told."""
    tokens = subject.split(".")
    if len(tokens) > 3 and is_id(tokens[1]) and is_id(tokens[3]):  # noqa: PLR2004 - wa.<tenant>.inbox.<session>
        return SessionKey(tokens[1], tokens[3])
    return None


def inbox_command(subject: str) -> str:
    """Read the command in a subject of the inbox.

    Raises:
        InvalidCommand: Not a command that the inbox takes.
        Unsupported: It belongs to the contract but is not built yet.
    """
    tokens = subject.split(".")
    _expect(len(tokens) == 6, subject, "wa.<tenant>.inbox.<session>.<command>")  # noqa: PLR2004 - a command has a dot
    address = Address(tokens[1], tokens[3], f"{tokens[4]}.{tokens[5]}")
    if address.command in _SESSION_NAMES - _SEND_NAMES:
        raise InvalidCommand(
            f"the inbox takes send.* only: send {address.command} to wa.<tenant>.cmd.<session>.{address.command}",
            {"field": "subject", "command": address.command},
        )
    if address.command not in _SEND_NAMES:
        raise _refusal(address)
    return address.command


def inbox_subject(tenant_id: str, session_id: str, command: str) -> str:
    """Build the subject a send is stored under in the inbox.

    Raises:
        InvalidCommand: One of the ids is none, or the command is no send.
    """
    subject = f"wa.{_id('tenant', tenant_id)}.inbox.{_id('session', session_id)}.{command}"
    inbox_command(subject)
    return subject


def command_subject(tenant_id: str, session_id: str | None, command: str) -> str:
    """Build the subject a command is sent to.

    Raises:
        InvalidCommand: One of the ids is none.
    """
    if session_id is None:
        return f"wa.{_id('tenant', tenant_id)}.ctl.{command}"
    return f"wa.{_id('tenant', tenant_id)}.cmd.{_id('session', session_id)}.{command}"


def check_ids(tenant_id: str, session_id: str | None = None) -> None:
    """Refuse what can't be an id, and so could change the meaning of a subject. Raises ``InvalidCommand``."""
    _id("tenant", tenant_id)
    if session_id is not None:
        _id("session", session_id)


def _expect(fits: bool, subject: str, shape: str) -> None:  # noqa: FBT001 - reads like an assertion
    if not fits:
        raise InvalidCommand(
            f"expected a subject of the form {shape} with ids of 1-64 characters A-Z a-z 0-9 _ -, "
            f"got {_shown(subject)}; see `wafleet schema` for all commands",
            {"field": "subject", "expected": shape},
        )


def _id(what: str, token: str) -> str:
    if not is_id(token):
        raise InvalidCommand(
            f"expected a {what} id of 1-64 characters A-Z a-z 0-9 _ -, got {_shown(token)}", {"field": f"{what}_id"}
        )
    return token


def _refusal(address: Address) -> InvalidCommand | Unsupported:
    command = address.command[:_MAX_SHOWN_CHARS]
    details = {"field": "subject", "command": command}
    if address.command in PLANNED:
        return Unsupported(f"{command} is not built yet", details)
    if address.command in _SESSION_NAMES:
        return InvalidCommand(f"{command} is for one session: send it to wa.<tenant>.cmd.<session>.{command}", details)
    if address.command in _TENANT_NAMES:
        return InvalidCommand(f"{command} is for the whole tenant: send it to wa.<tenant>.ctl.{command}", details)
    return InvalidCommand(f"unknown command {command!r}; see `wafleet schema` for all commands", details)


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _MAX_SHOWN_CHARS else text[:_MAX_SHOWN_CHARS] + "…")
