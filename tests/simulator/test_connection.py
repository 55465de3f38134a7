"""A page's connection without a socket or an event loop: frames in, frames out, time moved by hand."""

from collections.abc import Callable
from itertools import count

import pytest

from simulator import requests
from simulator.chaos import Chaos
from simulator.connection import Connection
from simulator.phone import Phone
from simulator.service import Service
from simulator.settings import SimulatorSettings
from simulator.world import Frame, World

ME = "5511988887777@c.us"
ANN = "5511990000001@c.us"
BOB = "5511990000002@c.us"


class Alarm:
    def __init__(self, at: float, ring: Callable[[], None]) -> None:
        self.at = at
        self.ring = ring
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Time:
    """A clock and timers that move only when told."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.alarms: list[Alarm] = []

    def call_later(self, delay_s: float, ring: Callable[[], None]) -> Alarm:
        alarm = Alarm(self.now + delay_s, ring)
        self.alarms.append(alarm)
        return alarm

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [alarm for alarm in self.alarms if alarm.at <= end and not alarm.cancelled]:
            alarm = min(due, key=lambda one: one.at)
            self.alarms.remove(alarm)
            self.now = alarm.at
            alarm.ring()
        self.now = end


class RecordedWire:
    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.open = True

    def post(self, frame: Frame) -> None:
        self.frames.append(frame)

    def close(self) -> None:
        self.open = False

    def take(self, kind: str) -> list[Frame]:
        """The frames of a kind so far; the list of all is emptied."""
        frames, self.frames = self.frames, []
        return [frame for frame in frames if frame["t"] == kind]


class Page:
    """A page's side of a connection."""

    def __init__(self, service: Service, number: int) -> None:
        self.wire = RecordedWire()
        self.connection = service.connections[number] = Connection(service, self.wire, number)

    def send(self, kind: str, **fields: object) -> None:
        self.connection.handle({"t": kind, **fields})

    def ask(self, operation: str, **arguments: object) -> Frame:
        self.send("iq", id=7, op=operation, args=arguments)
        answer = self.wire.take("iqr")[-1]
        assert answer["id"] == 7
        result: Frame = answer["r"]
        return result

    def send_text(self, message_id: str, remote: str = ANN) -> None:
        key = {"id": message_id, "remote": remote, "fromMe": True}
        self.send("msg", msg={"key": key, "type": "chat", "body": "hi"})

    def acks(self) -> list[object]:
        return [frame.get("error", "ok") for frame in self.wire.take("ack")]


class Place:
    """A service with its phone, its troubles, its time, and pages."""

    def __init__(self, **knobs: object) -> None:
        self.time = Time()
        tokens = count(1)
        self.service = Service(
            World(),
            SimulatorSettings().changed(knobs),
            clock=lambda: self.time.now,
            call_later=self.time.call_later,
            token=lambda size: f"{next(tokens):0{size * 2}x}",
        )
        self.phone = Phone(self.service)
        self.chaos = Chaos(self.service)
        self._numbers = count(1)

    def page(self) -> Page:
        return Page(self.service, next(self._numbers))

    def linked(self, wid: str = ME) -> Page:
        page = self.page()
        page.send("hello")
        ref = page.wire.take("ref")[-1]["ref"]
        self.phone.scan(requests.Scan(qr=f"{ref},noise,identity", wid=wid))
        page.send("login", token=page.wire.take("pair")[-1]["creds"]["token"])
        page.send("active")
        return page

    def write(self, body: str, **fields: object) -> str:
        message = requests.Inbound.model_validate({"to": ME, "from": BOB, "body": body, **fields})
        return str(self.phone.inbound(message)["id"])


def message_ids(page: Page) -> list[str]:
    return [frame["msg"]["key"]["id"] for frame in page.wire.take("msg")]


def test_codes_follow_each_other_and_end_in_idleness() -> None:
    place = Place(qr_first=60, qr_ttl=20, qr_count=3)
    page = place.page()
    page.send("hello")
    place.time.advance(60 + 20 + 19)
    shown = page.wire.take("ref")
    assert [frame["ttl"] for frame in shown] == [60, 20, 20]
    assert len({frame["ref"] for frame in shown}) == 3
    assert list(place.service.refs) == [shown[-1]["ref"]]
    place.time.advance(1)
    assert page.wire.take("qr_idle") == [{"t": "qr_idle"}]
    assert not place.service.refs
    page.send("refresh_qr")
    assert page.wire.take("ref")[0]["ttl"] == 60


def test_a_page_that_was_linked_shows_no_further_codes() -> None:
    place = Place()
    page = place.linked()
    place.time.advance(3_600)
    assert not page.wire.take("ref")
    assert not place.service.refs


def test_login_brings_the_address_book_and_ones_groups() -> None:
    place = Place(contacts=3, sync_ms=70)
    place.linked().ask("group_create", subject="Tea", participants=[ANN])
    token = next(iter(place.service.world.devices))
    page = place.page()
    page.send("login", token=token)
    [success] = page.wire.take("success")
    assert success["contacts"][0]["wid"] == ME
    assert (len(success["contacts"]), success["groups"][0]["subject"], success["sync_ms"]) == (4, "Tea", 70)


def test_a_second_login_of_one_device_is_a_conflict_for_the_first() -> None:
    place = Place()
    first = place.linked()
    second = place.page()
    second.send("login", token=first.connection.token)
    assert first.wire.take("stream_error") == [{"t": "stream_error", "code": "conflict"}]
    assert place.service.conflicts == {ME: 1}
    first.send_text("3EB0AA")
    assert len(place.service.world.truth) == 0
    second.send_text("3EB0AB")
    assert len(place.service.world.truth) == 1


def test_a_device_that_the_phone_removed_may_not_log_in() -> None:
    place = Place()
    page = place.linked()
    place.phone.unlink(requests.OneAccount(wid=ME))
    assert page.wire.take("stream_error") == [{"t": "stream_error", "code": "logout"}]
    later = place.page()
    later.send("login", token=page.connection.token)
    assert later.wire.take("failure") == [{"t": "failure", "reason": "unknown_companion"}]


def test_a_page_that_logs_itself_out_is_unlinked() -> None:
    page = Place().linked()
    assert page.ask("logout") == {}
    page.send("login", token=page.connection.token)
    assert page.wire.take("failure") == [{"t": "failure", "reason": "unknown_companion"}]


def test_an_accepted_message_is_acked_then_delivered_then_read() -> None:
    place = Place(ack_ms=20, receipt_ms=150)
    page = place.linked()
    page.send_text("3EB0AA")
    assert page.acks() == []
    place.time.advance(0.02)
    assert page.acks() == ["ok"]
    place.time.advance(0.15)
    assert [frame["type"] for frame in page.wire.take("receipt")] == ["delivery"]
    place.time.advance(0.15)
    assert [frame["type"] for frame in page.wire.take("receipt")] == ["read"]


def test_a_repeated_id_is_acked_and_brings_no_second_receipts() -> None:
    place = Place()
    page = place.linked()
    page.send_text("3EB0AA")
    page.send_text("3EB0AA")
    place.time.advance(10)
    assert [frame["t"] for frame in page.wire.frames if frame["t"] in {"ack", "receipt"}].count("receipt") == 2
    assert page.acks() == ["ok", "ok"]
    assert [entry.dup for entry in place.service.world.truth.last(10)] == [False, True]


def test_a_receipt_in_a_group_names_a_member() -> None:
    place = Place()
    page = place.linked()
    gid = page.ask("group_create", subject="Tea", participants=[ANN])["gid"]
    page.send_text("3EB0AA", remote=gid)
    place.time.advance(10)
    assert [(frame["from"], frame["participant"]) for frame in page.wire.take("receipt")] == [(gid, ANN)] * 2


@pytest.mark.parametrize("scope", [None, ME])
@pytest.mark.parametrize(
    ("knob", "accepted", "acks"), [("drop_before_accept", 0, []), ("no_ack", 1, []), ("nack", 1, [479])]
)
def test_each_knob_breaks_one_step(knob: str, accepted: int, acks: list[object], scope: str | None) -> None:
    place = Place()
    page, other = place.linked(), place.linked(BOB)
    place.chaos.fail(requests.Fail.model_validate({knob: True, "wid": scope}))
    page.send_text("3EB0AA")
    place.time.advance(10)
    assert (len(place.service.world.truth), page.acks()) == (accepted, acks)
    place.chaos.fail(requests.Fail.model_validate({knob: scope is None, "wid": None}))
    other.send_text("3EB0AB")
    place.time.advance(10)
    assert other.acks() == (acks if scope is None else ["ok"])


def test_inbound_messages_come_again_until_they_are_confirmed() -> None:
    place = Place()
    page = place.linked()
    first, second = place.write("one"), place.write("two")
    assert message_ids(page) == [first, second]
    page.send("recv", id=first, chat=BOB)
    place.chaos.drop(requests.Drop(wid=ME))
    assert not page.wire.open
    third = place.write("while away")
    again = place.page()
    again.send("login", token=page.connection.token)
    assert message_ids(again) == []
    again.send("active")
    assert message_ids(again) == [second, third]


def test_messages_for_an_account_without_a_page_wait_for_its_first_one() -> None:
    place = Place()
    waiting = place.write("early")
    assert message_ids(place.linked()) == [waiting]


def test_on_a_lid_account_people_write_from_their_lid() -> None:
    place = Place(lid_chats=True)
    page = place.linked()
    place.write("hi")
    place.write("hi all", group="1203@g.us")
    bob = place.service.world.account(BOB).lid
    direct, grouped = (frame["msg"] for frame in page.wire.take("msg"))
    assert (direct["from"], direct["key"]["remote"]) == (bob, bob)
    assert (grouped["from"], grouped["author"]) == ("1203@g.us", BOB)


def test_nothing_happens_any_more_on_a_lost_connection() -> None:
    place = Place()
    page = place.linked()
    page.send_text("3EB0AA")
    page.connection.drop()
    page.wire.frames.clear()
    place.time.advance(10)
    assert page.wire.frames == []
    assert not place.service.connections


def test_a_link_code_links_the_page_that_asked_for_it_once() -> None:
    place = Place()
    page = place.page()
    page.send("hello")
    old = page.ask("altlink", phone="5511988887777", push=True)["code"]
    code = page.ask("altlink", phone="5511988887777", push=True)["code"]
    assert len(code) == 8
    assert list(place.service.codes) == [code] != [old]
    place.phone.code(requests.TypeCode(code=f"{code[:4]}-{code[4:].lower()}"))
    assert [frame["t"] for frame in page.wire.frames][-2:] == ["alt_hello", "pair"]
    assert page.wire.take("pair")[0]["creds"]["wid"] == ME
    assert not place.service.codes


def test_a_number_exists_if_somebody_has_it() -> None:
    place = Place()
    page = place.linked()
    ann = place.service.world.account(ANN)
    assert page.ask("exists", jid=ANN) == {"exists": True, "wid": ANN, "lid": ann.lid, "biz": False}
    assert page.ask("exists", jid=ann.lid)["wid"] == ANN
    assert page.ask("exists", jid="5511000000000@c.us") == {"exists": False}


def test_a_change_of_members_is_told_with_those_whom_it_changed() -> None:
    place = Place()
    page = place.linked()
    gid = page.ask("group_create", subject="Tea", participants=[ANN])["gid"]
    page.send("iq", id=8, op="group_participants", args={"gid": gid, "op": "add", "participants": [BOB, ANN]})
    [told] = page.wire.take("group")
    assert (told["op"], told["participants"], told["subject"]) == ("add", [BOB], "Tea")
    page.send("iq", id=9, op="group_participants", args={"gid": gid, "op": "leave", "participants": [ME]})
    assert page.wire.take("group")[0]["op"] == "remove"
    assert page.ask("groups") == {"groups": []}


@pytest.mark.parametrize(
    ("operation", "arguments", "error"),
    [
        ("group_info", {"gid": "1@g.us"}, "item-not-found"),
        ("group_participants", {"gid": "1@g.us", "op": "frob", "participants": []}, "unknown group operation 'frob'"),
        ("frob", {}, "unknown op frob"),
        ("exists", {}, "bad-request"),
    ],
)
def test_a_question_that_cannot_be_answered_gets_an_error(
    operation: str, arguments: dict[str, object], error: str
) -> None:
    assert error in Place().linked().ask(operation, **arguments)["error"]


@pytest.mark.parametrize("frame", [{"t": "login"}, {"t": "msg", "msg": {"key": 1}}, {"t": "unheard-of"}, {}, {"t": []}])
def test_a_frame_that_makes_no_sense_changes_nothing(frame: Frame) -> None:
    place = Place()
    page = place.linked()
    page.wire.frames.clear()
    page.connection.handle(frame)
    assert page.wire.frames == []
    assert page.connection.ready


def test_before_login_a_page_can_neither_send_nor_become_ready() -> None:
    place = Place()
    page = place.page()
    page.send("active")
    page.send_text("3EB0AA")
    assert not page.connection.ready
    assert len(place.service.world.truth) == 0


def test_a_ban_ends_the_login_and_refuses_the_next_and_a_new_link() -> None:
    place = Place()
    page = place.linked()
    place.chaos.ban(requests.Ban(wid=ME))
    assert page.wire.take("failure") == [{"t": "failure", "reason": "banned"}]
    page.send_text("3EB0AA")
    page.send("login", token=page.connection.token)
    assert page.wire.take("failure") == [{"t": "failure", "reason": "banned"}]
    assert len(place.service.world.truth) == 0
    place.chaos.ban(requests.Ban(wid=ME, lift=True))
    page.send("login", token=page.connection.token)
    assert len(page.wire.take("success")) == 1


def test_a_temporary_ban_ends_by_itself() -> None:
    place = Place()
    page = place.linked()
    place.chaos.ban(requests.Ban(wid=ME, kind="temp_banned", expire=60))
    place.time.advance(59)
    page.send("login", token=page.connection.token)
    assert [frame["expire"] for frame in page.wire.take("failure")] == [60, 1]
    place.time.advance(1)
    page.send("login", token=page.connection.token)
    assert len(page.wire.take("success")) == 1


def test_new_terms_block_until_they_are_accepted() -> None:
    place = Place()
    page = place.linked()
    place.chaos.tos(requests.Terms(wid=ME))
    assert page.wire.take("stream_error") == [{"t": "stream_error", "code": "tos_block"}]
    page.send("login", token=page.connection.token)
    assert page.wire.take("failure") == [{"t": "failure", "reason": "tos_block"}]
    place.chaos.tos(requests.Terms(wid=ME, on=False))
    assert page.wire.take("tos_accepted") == [{"t": "tos_accepted"}]
    page.send("login", token=page.connection.token)
    assert len(page.wire.take("success")) == 1


def test_on_a_line_that_died_nothing_gets_through_and_nobody_is_told() -> None:
    place = Place()
    page = place.linked()
    page.wire.frames.clear()
    place.chaos.silence(requests.OneAccount(wid=ME))
    page.send("iq", id=1, op="exists", args={"jid": ME})
    page.send("msg", msg={"key": {"id": "3EB0AA", "remote": ME, "fromMe": True}, "type": "chat", "body": "hi"})
    page.connection.post({"t": "qr_idle"})
    assert page.wire.frames == []
    assert place.service.world.truth.last(1) == []
    assert page.connection.ready


def test_the_pages_own_troubles_are_told_to_the_page() -> None:
    place = Place()
    page = place.linked()
    page.wire.frames.clear()
    place.chaos.wedge(requests.Wedge(wid=ME, ms=500))
    place.chaos.deaf(requests.Deaf(wid=ME))
    place.chaos.storage_loss(requests.StorageLoss(wid=ME, reload=False))
    place.chaos.storage_error(requests.OneAccount(wid=ME))
    assert page.wire.frames == [
        {"t": "wedge", "ms": 500},
        {"t": "deaf", "on": True},
        {"t": "storage_loss", "reload": False},
        {"t": "storage_error"},
    ]
