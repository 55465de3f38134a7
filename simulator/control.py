"""The HTTP control API: `POST /ctl/<operation>` for what people and faults do, `GET /ctl/{state,sent,traffic}` to look.

Every answer is a JSON object. A refusal is `{"ok": false, "error": {"code", "message", "details"}}`, and it changes
nothing; what the phone tried and could not do (a code that expired) has status 200, a mistake of the caller 4xx.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from simulator import requests
from simulator.chaos import Chaos
from simulator.errors import InvalidRequestError, SimulatorError, UnknownOperationError
from simulator.phone import Phone
from simulator.service import Service

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.Response]]
_Body = TypeVar("_Body", bound=BaseModel)
_SHOWN_SENT: Final = 500
_SHOWN_EVENTS: Final = 200


class Control:
    """The control API of one service."""

    def __init__(self, service: Service) -> None:
        phone, chaos = Phone(service), Chaos(service)
        self._service = service
        self._operations: Mapping[str, Callable[[Json], Json]] = {
            "scan": _checked(requests.Scan, phone.scan),
            "code": _checked(requests.TypeCode, phone.code),
            "user": _checked(requests.Person, phone.user),
            "inbound": _checked(requests.Inbound, phone.inbound),
            "media": _checked(requests.Media, phone.media),
            "receipt": _checked(requests.Receipt, phone.receipt),
            "chatstate": _checked(requests.ChatState, phone.chatstate),
            "unlink": _checked(requests.OneAccount, phone.unlink),
            "drop": _checked(requests.Drop, chaos.drop),
            "conflict": _checked(requests.OneAccount, chaos.conflict),
            "ban": _checked(requests.Ban, chaos.ban),
            "tos": _checked(requests.Terms, chaos.tos),
            "wedge": _checked(requests.Wedge, chaos.wedge),
            "deaf": _checked(requests.Deaf, chaos.deaf),
            "silence": _checked(requests.OneAccount, chaos.silence),
            "storage_loss": _checked(requests.StorageLoss, chaos.storage_loss),
            "storage_error": _checked(requests.OneAccount, chaos.storage_error),
            "fail": _checked(requests.Fail, chaos.fail),
            "cfg": chaos.cfg,
        }

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Serve the API under `/ctl/`."""
        router.add_get("/ctl/state", _answering(self._state))
        router.add_get("/ctl/sent", _answering(self._sent))
        router.add_get("/ctl/traffic", _answering(self._traffic))
        router.add_post("/ctl/{operation}", _answering(self._operate))

    async def _operate(self, request: web.Request) -> Json:
        name = request.match_info["operation"]
        if name not in self._operations:
            known = ", ".join(sorted(self._operations))
            raise UnknownOperationError(f"no operation {name!r}; there are {known}", operation=name)
        return self._operations[name](await _json_object(request))

    async def _state(self, request: web.Request) -> Json:
        del request
        service, world = self._service, self._service.world
        return {
            "conns": [connection.as_json() for connection in service.connections.values()],
            "sent": [entry.as_json() for entry in world.truth.last(_SHOWN_SENT)],
            "events": list(service.events)[-_SHOWN_EVENTS:],
            "groups": {gid: group.as_json() for gid, group in world.groups.items()},
            "refs": len(service.refs),
            "devices": len(world.devices),
            "conflicts": {wid: count for wid, count in self._service.conflicts.items() if count},
            "settings": service.settings.model_dump(),
            "fail": service.faults.as_json(),
        }

    async def _sent(self, request: web.Request) -> Json:
        query = _validated(requests.SentQuery, dict(request.query))
        entries = self._service.world.truth.since(query.since, query.limit)
        return {"sent": [entry.as_json() for entry in entries], "next": entries[-1].n if entries else query.since}

    async def _traffic(self, request: web.Request) -> Json:
        query = _validated(requests.OneAccount, dict(request.query))
        account = self._service.world.find(query.wid)
        return {
            "wid": query.wid,
            "count": account.inbound if account else 0,
            "last_at": account.inbound_at if account else None,
            "waiting": len(self._service.world.waiting(query.wid)),
        }


def _checked(model: type[_Body], operation: Callable[[_Body], Json]) -> Callable[[Json], Json]:
    return lambda body: operation(_validated(model, body))


def _validated(model: type[_Body], body: Json) -> _Body:
    return model.model_validate(body)


async def _json_object(request: web.Request) -> Json:
    text = await request.text()
    try:
        body = json.loads(text) if text else {}
    except ValueError as error:
        raise InvalidRequestError(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidRequestError(f"the body is a JSON {type(body).__name__}, not an object")
    return body


def _answering(operation: Callable[[web.Request], Awaitable[Json]]) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        try:
            return web.json_response(await operation(request))
        except ValidationError as error:
            return _refusal(_as_refusal(error))
        except SimulatorError as error:
            return _refusal(error)

    return handler


def _as_refusal(error: ValidationError) -> InvalidRequestError:
    problems = [
        {"field": ".".join(map(str, problem["loc"])), "expected": problem["msg"], "got": repr(problem["input"])[:200]}
        for problem in error.errors(include_url=False, include_context=False)
    ]
    text = "; ".join(f"{problem['field']}: {problem['expected']}, got {problem['got']}" for problem in problems)
    return InvalidRequestError(text, problems=problems)


def _refusal(error: SimulatorError) -> web.Response:
    told = {"code": error.code, "message": error.message, "details": error.details}
    return web.json_response({"ok": False, "error": told, "why": error.message}, status=error.status)
