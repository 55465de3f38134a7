"""From a request to the handler of its command, by a table.

Both endpoints of the service end here: a specific endpoint beside a catch-all in one queue group would split the
requests at random between them, and without a catch-all an unknown command would get no answer (DESIGN 7).
Imports messages and subjects.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from actors.messages.commands import COMMANDS, SESSION_COMMANDS, TENANT_COMMANDS, Command, parse_command
from actors.messages.ids import SessionKey
from actors.messages.replies import ErrorBody, Reply
from gateway.subjects import parse_request

SessionHandler = Callable[[SessionKey, Any], Awaitable[Reply | ErrorBody]]
"""Takes the session and the validated command; raises ``WafleetError`` or returns an error as a value."""
TenantHandler = Callable[[str, Any], Awaitable[Reply | ErrorBody]]


class Dispatcher:
    """Finds and calls the handler of a request."""

    def __init__(
        self,
        sessions: Mapping[type[Command], SessionHandler],
        tenants: Mapping[type[Command], TenantHandler],
    ) -> None:
        """Take the handlers.

        Raises:
            ValueError: A command of the contract has no handler, or one that has none of that kind was given one.
        """
        if set(sessions) != set(SESSION_COMMANDS) or set(tenants) != set(TENANT_COMMANDS):
            given = {command.name for command in (*sessions, *tenants)}
            msg = f"every command needs one handler of its kind; they differ in {sorted(given ^ set(COMMANDS))}"
            raise ValueError(msg)
        self._sessions: Final = {command.name: handler for command, handler in sessions.items()}
        self._tenants: Final = {command.name: handler for command, handler in tenants.items()}

    async def handle(self, subject: str, body: bytes) -> Reply | ErrorBody:
        """Carry out one request.

        Raises:
            WafleetError: Whatever speaks against it; nothing was changed then, unless its text says otherwise.
        """
        address = parse_request(subject)
        command = parse_command(address.command, body)
        if address.session_id is None:
            return await self._tenants[address.command](address.tenant_id, command)
        return await self._sessions[address.command](SessionKey(address.tenant_id, address.session_id), command)
