"""The page's questions (`iq` frames) and their answers, one function each in the table `OPERATIONS`."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, get_args

from simulator.errors import InvalidRequestError, UnknownOperationError
from simulator.groups import NOT_FOUND, OK, GroupOperation
from simulator.service import Service

if TYPE_CHECKING:
    from simulator.connection import Connection

Arguments = Mapping[str, Any]
Answer = dict[str, Any]
Operation = Callable[[Service, "Connection", Arguments], Answer]

_CODE_LETTERS: Final = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"
"""The letters of WhatsApp's link codes (Crockford's base 32 without 0)."""
_CODE_LENGTH: Final = 8


def answer(service: Service, page: "Connection", operation: str, arguments: Arguments) -> Answer:
    """Answer one question of a page.

    Raises:
        SimulatorError: the question names something that does not exist.
    """
    if operation not in OPERATIONS:
        raise UnknownOperationError(f"unknown op {operation}", op=operation)
    return OPERATIONS[operation](service, page, arguments)


def _link_code(service: Service, page: "Connection", arguments: Arguments) -> Answer:
    seed = bytes.fromhex(service.token(_CODE_LENGTH))
    code = "".join(_CODE_LETTERS[byte % len(_CODE_LETTERS)] for byte in seed)
    service.codes = {old: other for old, other in service.codes.items() if other is not page}
    service.codes[code] = page
    page.phone = arguments["phone"]
    return {"code": code}


def _exists(service: Service, page: "Connection", arguments: Arguments) -> Answer:
    del page
    account = service.world.find(arguments["jid"])
    if account is None:
        return {"exists": False}
    return {"exists": True, "wid": account.wid, "lid": account.lid, "biz": account.biz}


def _nothing(service: Service, page: "Connection", arguments: Arguments) -> Answer:
    del service, page, arguments
    return {}


def _logout(service: Service, page: "Connection", arguments: Arguments) -> Answer:
    del arguments
    if page.token:
        service.world.unlink(page.token)
    return {}


def _groups(service: Service, page: "Connection", arguments: Arguments) -> Answer:
    del arguments
    return {"groups": [group.gid for group in service.world.groups_of(page.wid or "")]}


def _group_info(service: Service, page: "Connection", arguments: Arguments) -> Answer:
    del page
    return service.world.group(arguments["gid"]).info()


def _create_group(service: Service, page: "Connection", arguments: Arguments) -> Answer:
    gid = f"1203{int(service.token(8), 16) % 10**14:014d}@g.us"
    others = arguments["participants"]
    missing = service.world.create_group(gid, arguments["subject"], page.wid or "", others, at=service.now())
    outcome = [{"id": wid, "error": NOT_FOUND if wid in missing else None} for wid in others]
    return {"gid": gid, "subject": arguments["subject"], "participants": outcome}


def _change_group(service: Service, page: "Connection", arguments: Arguments) -> Answer:
    gid, operation = arguments["gid"], arguments["op"]
    if operation not in get_args(GroupOperation):
        raise InvalidRequestError(f"unknown group operation {operation!r}", op=operation)
    outcome = service.world.change_group(gid, operation, arguments["participants"])
    page.post(
        {
            "t": "group",
            "gid": gid,
            "subject": service.world.group(gid).subject,
            "op": _shown_as(operation),
            "author": page.wid,
            "pushname": "me",
            "ts": int(service.now()),
            "participants": [wid for wid, code in outcome if code == OK],
        }
    )
    return {"participants": [{"id": wid, "code": code} for wid, code in outcome]}


def _shown_as(operation: GroupOperation) -> GroupOperation:
    """What the members see: one who leaves is shown as removed by themselves."""
    return "remove" if operation == "leave" else operation


OPERATIONS: Final[Mapping[str, Operation]] = {
    "altlink": _link_code,
    "exists": _exists,
    "presence_sub": _nothing,
    "react": _nothing,
    "logout": _logout,
    "groups": _groups,
    "group_info": _group_info,
    "group_create": _create_group,
    "group_participants": _change_group,
}
