"""The lasting world: accounts, devices, groups, messages waiting for a page, and the truth log.

Theory of operation: every change is a fact (`_commit`) that is applied to memory and handed to a journal; a restarted
simulator applies the journal's facts again and knows its devices and what it had accepted. Pure: no I/O, no clock, no
randomness; times and new ids are arguments. What ends with the process (connections, codes, faults) is in `service.py`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from simulator.errors import QueueFullError, UnknownGroupError
from simulator.groups import Group, GroupOperation, Member
from simulator.truth import Accepted, TruthLog

Frame = dict[str, Any]
"""One JSON object on the page's socket."""

KNOWN_PEOPLE: Final = 200
"""People who exist from the start: 5511990000000@c.us and on, named "User 0" and on."""
MAX_WAITING: Final = 10_000
"""Inbound messages that one account may have waiting for its page."""
_FIRST_PERSON: Final = 5511990000000
_LID_BASE: Final = 10**14


class Journal(Protocol):
    """Where facts go to outlive the process."""

    def append(self, kind: str, fact: Mapping[str, Any]) -> None:
        """Keep one fact."""


class NoJournal:
    """Keeps nothing: the world ends with the process."""

    def append(self, kind: str, fact: Mapping[str, Any]) -> None:
        """Do nothing: this world was not asked to last."""


@dataclass(slots=True)
class Account:
    """One person on WhatsApp, whether of a session or on the other side of a chat."""

    wid: str
    """The phone id (…@c.us)."""
    lid: str
    """The id that hides the number (…@lid)."""
    name: str | None = None
    biz: bool = False
    ban: "Ban | None" = None
    terms: str | None = None
    """The terms block ("tos_block", "smb_tos_block") that lasts until the person accepts new terms on the phone."""
    inbound: int = 0
    """Messages that the phone has shown."""
    inbound_at: float | None = None
    """When the phone showed the last one, in seconds since the epoch."""

    def as_json(self) -> dict[str, Any]:
        """The person as pages and the control API see them."""
        return {"wid": self.wid, "lid": self.lid, "name": self.name, "pushname": self.name, "biz": self.biz}


@dataclass(frozen=True, slots=True)
class Ban:
    """Why and for how long WhatsApp refuses an account."""

    kind: str
    """The reason in the refusal: "banned", "account_locked" or "temp_banned"."""
    code: int | None = None
    until: float | None = None
    """When a temporary ban ends, in seconds since the epoch."""

    def refusal(self, *, now: float) -> Frame | None:
        """The frame that refuses a login, or None once the ban is over."""
        if self.until is None:
            return {"t": "failure", "reason": self.kind}
        if now >= self.until:
            return None
        return {"t": "failure", "reason": self.kind, "code": self.code, "expire": round(self.until - now)}


@dataclass(slots=True)
class Device:
    """One linked page."""

    token: str
    """The page's credential."""
    wid: str
    alive: bool = True


def lid_of(wid: str) -> str:
    """The LID of a phone id; the same in every process."""
    digest = hashlib.sha256(wid.encode()).digest()
    return f"{_LID_BASE + int.from_bytes(digest[:8], 'big') % _LID_BASE}@lid"


class World:
    """All that the service knows and must not forget. Change it through its methods only."""

    def __init__(self, journal: Journal | None = None, facts: Iterable[tuple[str, Mapping[str, Any]]] = ()) -> None:
        self._journal: Journal = NoJournal()
        self.devices: dict[str, Device] = {}
        self.groups: dict[str, Group] = {}
        self.truth = TruthLog()
        self._accounts: dict[str, Account] = {}
        self._by_lid: dict[str, Account] = {}
        self._waiting: dict[str, dict[str, Frame]] = {}
        for index in range(KNOWN_PEOPLE):
            self._apply("account", {"wid": f"{_FIRST_PERSON + index}@c.us", "name": f"User {index}"})
        for kind, fact in facts:
            self._apply(kind, fact)
        self._journal = journal or NoJournal()

    # ---- accounts ----

    def account(self, wid: str, name: str | None = None) -> Account:
        """The account of a phone id; made with this name if there is none yet."""
        if wid not in self._accounts:
            self._commit("account", {"wid": wid, "name": name})
        return self._accounts[wid]

    def find(self, jid: str) -> Account | None:
        """The account of a phone id or a LID, if that number is on WhatsApp."""
        return self._accounts.get(jid) or self._by_lid.get(jid)

    def address_book(self, wid: str, limit: int) -> list[Account]:
        """An account's contacts: itself, then the first `limit` of the known people."""
        known = (self._accounts[f"{_FIRST_PERSON + index}@c.us"] for index in range(min(limit, KNOWN_PEOPLE)))
        return [self.account(wid), *known]

    def ban(self, wid: str, ban: Ban | None) -> None:
        """Ban an account, or lift its ban."""
        self._commit("ban", {"wid": self.account(wid).wid, "ban": asdict(ban) if ban else None})

    def require_terms(self, wid: str, block: str | None) -> None:
        """Block an account until its owner accepts new terms, or (None) accept them."""
        self._commit("terms", {"wid": self.account(wid).wid, "block": block})

    def refusal(self, wid: str, *, now: float) -> Frame | None:
        """The frame with which WhatsApp refuses to let a page of this account in, or None."""
        account = self.account(wid)
        if account.ban and (refusal := account.ban.refusal(now=now)):
            return refusal
        return {"t": "failure", "reason": account.terms} if account.terms else None

    # ---- devices ----

    def link(self, wid: str, token: str) -> Device:
        """Link a page to an account."""
        self.account(wid, f"Me {wid[:6]}")
        self._commit("device", asdict(Device(token, wid)))
        return self.devices[token]

    def unlink(self, token: str) -> None:
        """End one page's link; an unknown token changes nothing."""
        if token in self.devices:
            self._commit("device", {**asdict(self.devices[token]), "alive": False})

    def unlink_account(self, wid: str) -> None:
        """End the links of all pages of an account."""
        for device in [device for device in self.devices.values() if device.wid == wid and device.alive]:
            self.unlink(device.token)

    # ---- messages ----

    def accept(self, wid: str, message: Mapping[str, Any], *, at: float) -> Accepted:
        """Accept a message that an account's page sent.

        Raises:
            QueueFullError: the truth log is full.
        """
        entry = self.truth.entry(wid, message, at=at)
        self._commit("sent", entry.as_json())
        return entry

    def receive(self, wid: str, frame: Frame, *, at: float) -> None:
        """Take a message for an account: its phone shows it, and it waits until a page confirms it.

        Raises:
            QueueFullError: too many wait already.
        """
        if len(self._waiting.get(wid, {})) >= MAX_WAITING:
            message = f"{wid} has {MAX_WAITING} messages waiting: connect its page, or unlink it"
            raise QueueFullError(message, wid=wid, limit=MAX_WAITING)
        self.account(wid)
        self._commit("inbound", {"wid": wid, "frame": frame, "at": at})

    def waiting(self, wid: str) -> list[Frame]:
        """The messages that no page of the account has confirmed, oldest first."""
        return list(self._waiting.get(wid, {}).values())

    def confirm(self, wid: str, message_id: str) -> None:
        """A page of the account has stored this message; a message that does not wait changes nothing."""
        if message_id in self._waiting.get(wid, {}):
            self._commit("confirmed", {"wid": wid, "id": message_id})

    # ---- groups ----

    def create_group(self, gid: str, subject: str, owner: str, others: Sequence[str], *, at: float) -> list[str]:
        """Create a group.

        Returns:
            Those of the others who could not be added, since they are not on WhatsApp.
        """
        group = Group(gid, subject, owner, int(at), {owner: Member(admin=True, superadmin=True)})
        outcome = group.change("add", others, exists=self._exists)
        self._commit("group", {"gid": gid, "group": group.as_json()})
        return [wid for wid, _ in outcome if wid not in group.participants]

    def group(self, gid: str) -> Group:
        """The group of an id.

        Raises:
            UnknownGroupError: there is none.
        """
        if gid not in self.groups:
            raise UnknownGroupError("item-not-found", gid=gid)  # the words of WhatsApp's server
        return self.groups[gid]

    def change_group(self, gid: str, operation: GroupOperation, wids: Sequence[str]) -> list[tuple[str, int]]:
        """Change a group's members; see `Group.change`.

        Raises:
            UnknownGroupError: there is none.
        """
        group = self.group(gid)
        outcome = group.change(operation, wids, exists=self._exists)
        self._commit("group", {"gid": gid, "group": group.as_json()})
        return outcome

    def groups_of(self, wid: str) -> list[Group]:
        """The groups that an account is a member of."""
        return [group for group in self.groups.values() if wid in group.participants]

    # ---- facts ----

    def _exists(self, wid: str) -> bool:
        return wid in self._accounts

    def _commit(self, kind: str, fact: Mapping[str, Any]) -> None:
        self._apply(kind, fact)
        self._journal.append(kind, fact)

    def _apply(self, kind: str, fact: Mapping[str, Any]) -> None:
        match kind:
            case "account":
                account = Account(fact["wid"], lid_of(fact["wid"]), fact["name"])
                self._accounts[account.wid] = self._by_lid[account.lid] = account
            case "ban":
                self._accounts[fact["wid"]].ban = Ban(**fact["ban"]) if fact["ban"] else None
            case "terms":
                self._accounts[fact["wid"]].terms = fact["block"]
            case "device":
                self.devices[fact["token"]] = Device(**fact)
            case "group":
                self.groups[fact["gid"]] = Group.from_json(fact["gid"], fact["group"])
            case "inbound":
                account = self._accounts[fact["wid"]]
                account.inbound += 1
                account.inbound_at = fact["at"]
                message_id = fact["frame"]["msg"]["key"]["id"]
                self._waiting.setdefault(fact["wid"], {})[message_id] = fact["frame"]
            case "confirmed":
                del self._waiting[fact["wid"]][fact["id"]]
            case "sent":
                self.truth.append(Accepted(**fact))
            case _:
                raise ValueError(f"unknown fact {kind!r}: this journal was written by another version")
