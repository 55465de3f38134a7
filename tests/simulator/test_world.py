import pytest

from simulator.errors import QueueFullError, UnknownGroupError
from simulator.truth import TruthLog
from simulator.world import MAX_WAITING, Ban, Frame, World, lid_of

ME = "5511988887777@c.us"
ANN = "5511990000001@c.us"
BOB = "5511990000002@c.us"
NOBODY = "5511000000000@c.us"


def outgoing(message_id: str, **content: object) -> dict[str, object]:
    return {"key": {"id": message_id, "remote": ANN}, "type": "chat", **content}


def inbound(message_id: str) -> Frame:
    return {"t": "msg", "msg": {"key": {"id": message_id, "remote": ANN}, "type": "chat", "body": "hi"}}


class RecordedJournal:
    def __init__(self) -> None:
        self.facts: list[tuple[str, dict[str, object]]] = []

    def append(self, kind: str, fact: object) -> None:
        assert isinstance(fact, dict)
        self.facts.append((kind, fact))


def test_a_lid_is_the_same_in_every_process_and_differs_between_people() -> None:
    assert lid_of(ANN) == "188181804514891@lid"
    assert len({lid_of(f"{number}@c.us") for number in range(10_000)}) == 10_000


def test_a_person_is_found_by_phone_id_and_by_lid() -> None:
    world = World()
    ann = world.find(ANN)
    assert ann is not None
    assert ann.name == "User 1"
    assert world.find(ann.lid) is ann
    assert world.find(NOBODY) is None


def test_the_address_book_is_oneself_and_the_known_people() -> None:
    book = World().address_book(ME, 2)
    assert [account.wid for account in book] == [ME, "5511990000000@c.us", ANN]


def test_a_message_id_is_a_duplicate_only_for_the_account_that_used_it() -> None:
    world = World()
    first, again = (world.accept(ME, outgoing("3EB0AA", body="hi"), at=10.0) for _ in range(2))
    other = world.accept(BOB, outgoing("3EB0AA"), at=11.0)
    assert [(entry.n, entry.dup) for entry in (first, again, other)] == [(1, False), (2, True), (3, False)]
    assert first.as_json() | {"directPath": None} == {
        "n": 1, "wid": ME, "id": "3EB0AA", "remote": ANN, "type": "chat", "body": "hi", "caption": None,
        "lat": None, "lng": None, "loc": None, "directPath": None, "dup": False, "at": 10.0,
    }  # fmt: skip


def test_the_truth_log_is_read_in_pages() -> None:
    world = World()
    for number in range(5):
        world.accept(ME, outgoing(f"3EB0{number}"), at=0.0)
    assert [entry.n for entry in world.truth.since(0, 2)] == [1, 2]
    assert [entry.n for entry in world.truth.since(2, 10)] == [3, 4, 5]
    assert world.truth.since(5, 10) == []


def test_a_full_truth_log_refuses_instead_of_forgetting() -> None:
    log = TruthLog(limit=1)
    log.append(log.entry(ME, outgoing("3EB0AA"), at=0.0))
    with pytest.raises(QueueFullError, match="truth log holds 1"):
        log.entry(ME, outgoing("3EB0AB"), at=0.0)
    assert len(log) == 1


def test_a_message_waits_until_a_page_confirms_it() -> None:
    world = World()
    world.receive(ME, inbound("3A1"), at=5.0)
    world.receive(ME, inbound("3A2"), at=6.0)
    world.confirm(ME, "3A1")
    world.confirm(ME, "unknown")
    assert [frame["msg"]["key"]["id"] for frame in world.waiting(ME)] == ["3A2"]
    assert (world.account(ME).inbound, world.account(ME).inbound_at) == (2, 6.0)


def test_an_offline_queue_has_a_bound() -> None:
    world = World()
    for number in range(MAX_WAITING):
        world.receive(ME, inbound(f"3A{number}"), at=0.0)
    with pytest.raises(QueueFullError, match=f"{MAX_WAITING} messages waiting"):
        world.receive(ME, inbound("one more"), at=0.0)
    assert world.account(ME).inbound == MAX_WAITING


def test_a_group_takes_only_people_who_are_on_whatsapp() -> None:
    world = World()
    world.account(ME)
    assert world.create_group("1@g.us", "Tea", ME, [ANN, NOBODY], at=7.9) == [NOBODY]
    assert world.group("1@g.us").as_json() == {
        "subject": "Tea",
        "owner": ME,
        "creation": 7,
        "participants": {
            ME: {"admin": True, "superadmin": True},
            ANN: {"admin": False, "superadmin": False},
        },
    }
    assert [group.gid for group in world.groups_of(ANN)] == ["1@g.us"]
    assert world.groups_of(BOB) == []


def test_each_change_of_a_member_has_whatsapps_code() -> None:
    world = World()
    world.create_group("1@g.us", "Tea", ME, [ANN], at=0)
    assert world.change_group("1@g.us", "add", [BOB, ANN, NOBODY]) == [(BOB, 200), (ANN, 409), (NOBODY, 404)]
    assert world.change_group("1@g.us", "promote", [BOB, NOBODY]) == [(BOB, 200), (NOBODY, 404)]
    assert world.group("1@g.us").participants[BOB].admin
    assert world.change_group("1@g.us", "demote", [BOB]) == [(BOB, 200)]
    assert not world.group("1@g.us").participants[BOB].admin
    assert world.change_group("1@g.us", "remove", [BOB]) == [(BOB, 200)]
    assert world.change_group("1@g.us", "leave", [ANN, BOB]) == [(ANN, 200), (BOB, 404)]
    assert list(world.group("1@g.us").participants) == [ME]


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(UnknownGroupError, match="item-not-found"):
        World().change_group("1@g.us", "add", [ANN])


def test_unlinking_an_account_ends_all_its_devices_and_no_others() -> None:
    world = World()
    world.link(ME, "one")
    world.link(ME, "two")
    world.link(BOB, "three")
    world.unlink_account(ME)
    world.unlink("unknown")
    assert {token: device.alive for token, device in world.devices.items()} == {
        "one": False,
        "two": False,
        "three": True,
    }


def test_a_ban_refuses_until_it_is_lifted_and_a_temporary_one_until_it_is_over() -> None:
    world = World()
    world.ban(ME, Ban("banned"))
    assert world.refusal(ME, now=0.0) == {"t": "failure", "reason": "banned"}
    world.ban(ME, None)
    assert world.refusal(ME, now=0.0) is None
    world.ban(ME, Ban("temp_banned", 101, until=60.0))
    assert world.refusal(ME, now=20.0) == {"t": "failure", "reason": "temp_banned", "code": 101, "expire": 40}
    assert world.refusal(ME, now=60.0) is None


def test_new_terms_refuse_until_they_are_accepted() -> None:
    world = World()
    world.require_terms(ME, "tos_block")
    assert world.refusal(ME, now=0.0) == {"t": "failure", "reason": "tos_block"}
    world.require_terms(ME, None)
    assert world.refusal(ME, now=0.0) is None


def test_a_world_rebuilt_from_its_facts_is_the_same_world() -> None:
    journal = RecordedJournal()
    world = World(journal)
    world.link(ME, "token")
    world.link(BOB, "gone")
    world.unlink("gone")
    world.create_group("1@g.us", "Tea", ME, [ANN, BOB], at=1.0)
    world.change_group("1@g.us", "promote", [ANN])
    world.accept(ME, outgoing("3EB0AA", body="hi"), at=2.0)
    world.receive(ME, inbound("3A1"), at=3.0)
    world.receive(ME, inbound("3A2"), at=4.0)
    world.confirm(ME, "3A1")
    world.ban(BOB, Ban("temp_banned", 101, until=60.0))
    world.require_terms(ANN, "tos_block")

    again = World(facts=journal.facts)
    assert again.devices == world.devices
    assert again.groups == world.groups
    assert again.truth.last(10) == world.truth.last(10)
    assert again.waiting(ME) == world.waiting(ME)
    assert [again.account(wid) for wid in (ME, ANN, BOB)] == [world.account(wid) for wid in (ME, ANN, BOB)]
    assert again.accept(ME, outgoing("3EB0AA"), at=5.0).dup


def test_a_fact_of_another_version_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unknown fact 'newer'"):
        World(facts=[("newer", {})])
