"""JSON Schemas of all commands, replies and events as one document: what ``wafleet schema`` prints.

Each body, reply and event is a schema resource of its own (``$id``), so it can be cut out and used alone. Bodies refuse
unknown fields; replies and events may gain fields, so their schemas don't. Imports messages only.
"""

from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel

from actors.messages.commands import COMMANDS, TENANT_COMMANDS, Command, SendCommand
from actors.messages.events import AckEvent, CodeEvent, JobEvent, QrEvent, SessionEvent
from actors.messages.replies import (
    ContactList,
    ErrorReply,
    JobAccepted,
    JobReply,
    JobSent,
    QrReply,
    QueueReply,
    RateLimitReply,
    ScreenshotReply,
    SessionList,
    SessionStatus,
)

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_REPLIES: Final[Mapping[str, type[BaseModel]]] = {
    "session.start": SessionStatus,
    "session.stop": SessionStatus,
    "session.restart": SessionStatus,
    "session.logout": SessionStatus,
    "session.status": SessionStatus,
    "session.qr": QrReply,
    "session.rate_limit": RateLimitReply,
    "session.queue": QueueReply,
    "session.pause": QueueReply,
    "session.resume": QueueReply,
    "session.screenshot": ScreenshotReply,
    "job.get": JobReply,
    "job.cancel": JobReply,
    "contact.check": ContactList,
    "sessions.list": SessionList,
}
"""Replies of all commands but sends, which have one for each mode."""
_EVENTS: Final = (SessionEvent, QrEvent, CodeEvent, JobEvent, AckEvent)


def schemas() -> dict[str, Any]:
    """Build the document: ``commands`` and ``events`` by name, and ``error``, the reply of a command that failed."""
    return {
        "$schema": _DIALECT,
        "title": "wafleet",
        "commands": {name: _command(name, command) for name, command in COMMANDS.items()},
        "events": {name: _event(name, model) for model in _EVENTS for name in _names(model)},
        "error": _open(ErrorReply, "error"),
    }


def reply_models(name: str) -> tuple[type[BaseModel], ...]:
    """Return the models of a command's replies."""
    if issubclass(COMMANDS[name], SendCommand):
        return (JobAccepted, JobSent)
    return (_REPLIES[name],)


def _command(name: str, command: type[Command]) -> dict[str, Any]:
    where = f"ctl.{name}" if command in TENANT_COMMANDS else f"cmd.<session>.{name}"
    replies = [_open(model, f"reply:{name}:{model.__name__}") for model in reply_models(name)]
    return {
        "subject": f"wa.<tenant>.{where}",
        "body": _identified(command.model_json_schema(mode="validation"), f"body:{name}"),
        "reply": replies[0] if len(replies) == 1 else {"anyOf": replies},
    }


def _names(model: type[BaseModel]) -> tuple[str, ...]:
    return get_args(model.model_fields["event"].annotation)


def _event(name: str, model: type[BaseModel]) -> dict[str, Any]:
    schema = _open(model, f"event:{name}")
    schema["properties"]["event"] = {"const": name}
    return schema


def _open(model: type[BaseModel], name: str) -> dict[str, Any]:
    """Describe what wafleet sends: readers have to bear with further fields."""
    schema = model.model_json_schema(mode="serialization")
    for part in (schema, *schema.get("$defs", {}).values()):
        part.pop("additionalProperties", None)
    return _identified(schema, name)


def _identified(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return {"$id": f"urn:wafleet:{name}", **schema}
