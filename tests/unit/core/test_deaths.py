from actors.core.deaths import DeathRegister
from actors.messages.ids import SessionKey

S1, S2 = SessionKey("acme", "s1"), SessionKey("acme", "s2")


def test_an_owner_counts_as_dead_once_its_end_was_reported() -> None:
    register = DeathRegister()
    register.alive(S1, "a", holds_lease=True)
    register.alive(S2, "b", holds_lease=True)
    assert register.dead_owners(S1) == ()
    register.ended(S1)
    register.ended(S1)
    assert register.dead_owners(S1) == ("a",)
    assert register.dead_owners(S2) == ()


def test_an_owner_that_never_gave_a_sign_of_life_proves_nothing() -> None:
    register = DeathRegister()
    register.ended(S1)
    register.alive(S1, "", holds_lease=False)
    register.ended(S1)
    assert register.dead_owners(S1) == ()


def test_the_dead_are_remembered_until_a_later_owner_holds_the_lease() -> None:
    register = DeathRegister()
    for owner in "ab":
        register.alive(S1, owner, holds_lease=owner == "a")
        register.ended(S1)
    register.alive(S1, "c", holds_lease=False)
    assert register.dead_owners(S1) == ("a", "b")
    register.alive(S1, "c", holds_lease=True)
    assert register.dead_owners(S1) == ()


def test_what_is_remembered_is_bounded() -> None:
    register = DeathRegister()
    for n in range(100):
        register.alive(S1, str(n), holds_lease=False)
        register.ended(S1)
    assert len(register.dead_owners(S1)) == 8
    register.keep_only({S2})
    assert register.dead_owners(S1) == ()
