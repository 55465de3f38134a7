"""Groups: members, roles and the codes with which WhatsApp answers a change of them. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

GroupOperation = Literal["add", "remove", "promote", "demote", "leave"]

OK: Final = 200
NOT_FOUND: Final = 404
ALREADY_MEMBER: Final = 409


@dataclass(slots=True)
class Member:
    """One member's role."""

    admin: bool = False
    superadmin: bool = False

    def as_json(self) -> dict[str, bool]:
        """The role as the page and `GET /ctl/state` show it."""
        return {"admin": self.admin, "superadmin": self.superadmin}


@dataclass(slots=True)
class Group:
    """A group and its members, by the members' phone ids (…@c.us)."""

    gid: str
    subject: str
    owner: str
    creation: int
    participants: dict[str, Member] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The group as `GET /ctl/state` shows it."""
        members = {wid: member.as_json() for wid, member in self.participants.items()}
        return {"subject": self.subject, "owner": self.owner, "creation": self.creation, "participants": members}

    @classmethod
    def from_json(cls, gid: str, data: dict[str, Any]) -> "Group":
        """The group that `as_json` described."""
        members = {wid: Member(**role) for wid, role in data["participants"].items()}
        return cls(gid, data["subject"], data["owner"], data["creation"], members)

    def info(self) -> dict[str, Any]:
        """The group as the page's own query gets it."""
        return {
            "subject": self.subject,
            "owner": self.owner,
            "creation": self.creation,
            "lid_mode": False,
            "announce": False,
            "participants": [{"id": wid, **member.as_json()} for wid, member in self.participants.items()],
        }

    def change(
        self, operation: GroupOperation, wids: Sequence[str], *, exists: Callable[[str], bool]
    ) -> list[tuple[str, int]]:
        """Carry out one operation on several people.

        Args:
            operation: what to do.
            wids: the people it concerns.
            exists: tells whether a number is on WhatsApp.

        Returns:
            For each person the code that WhatsApp answers with; only those with 200 were changed.
        """
        return [(wid, self._change_one(operation, wid, exists=exists)) for wid in wids]

    def _change_one(self, operation: GroupOperation, wid: str, *, exists: Callable[[str], bool]) -> int:
        if operation == "add":
            if not exists(wid):
                return NOT_FOUND
            if wid in self.participants:
                return ALREADY_MEMBER
            self.participants[wid] = Member()
            return OK
        if wid not in self.participants:
            return NOT_FOUND
        if operation in {"remove", "leave"}:
            del self.participants[wid]
        else:
            self.participants[wid].admin = operation == "promote"
        return OK
