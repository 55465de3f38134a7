"""A profile folder sealed and put back: here, on another machine, and where something is wrong. No browser."""

import asyncio
import os
from pathlib import Path

import pytest

from actors.browser import copies, packing
from actors.browser.copies import ProfileCopies
from actors.browser.profile import QUARANTINE, Profile
from actors.config import BrowserConfig, ProfileConfig, SessionConfig
from actors.errors import ProfileInUse, ProfileUnsteady, SnapshotDamaged, SnapshotKeyWrong, SnapshotTooLarge
from actors.messages.ids import SessionKey
from actors.ports import Sealed
from tests.support.memory_use import peak
from tests.support.waiting import eventually

KEY = SessionKey("acme", "s1")
SECRET = bytes(range(32))
MIB = 2**20
LOGIN = "browser/Default/IndexedDB/000003.log"


class Node:
    """A machine with profiles."""

    def __init__(self, folder: Path, *, key: SessionKey = KEY, secret: bytes = SECRET, max_bytes: int = 10**6) -> None:
        limits = ProfileConfig(max_bytes=max_bytes, quiet_s=0.0)
        config = SessionConfig(sessions_path=folder, browser=BrowserConfig(executable="/nowhere/shell"), profile=limits)
        self.folder = folder
        self.profile = Profile(folder, key)
        self.copies = ProfileCopies(self.profile, secret, config)

    def log_in(self, content: str = "the login") -> str:
        """Make a profile that holds a login."""
        generation = self.profile.generation()
        self.profile.note_link(fresh=False)
        (self.profile.folder / LOGIN).parent.mkdir(parents=True, exist_ok=True)
        (self.profile.folder / LOGIN).write_text(content)
        return generation

    @property
    def login(self) -> str:
        return (self.profile.folder / LOGIN).read_text()

    def aside(self) -> list[Path]:
        return sorted((self.folder / QUARANTINE).iterdir()) if (self.folder / QUARANTINE).exists() else []

    async def seal(self, *, running: bool = False) -> Sealed:
        sealed = await self.copies.seal(running=running, unless=None)
        assert sealed is not None
        return sealed

    async def restore(self, sealed: Sealed) -> None:
        target = await self.copies.incoming()
        target.write_bytes(sealed.path.read_bytes())
        await self.copies.unseal(target)


@pytest.fixture
def here(tmp_path: Path) -> Node:
    return Node(tmp_path / "here")


async def test_a_copy_moves_to_another_machine_and_becomes_content_of_its_own(here: Node, tmp_path: Path) -> None:
    generation = here.log_in()
    sealed = await here.seal()
    assert (sealed.generation, sealed.browser_build) == (generation, "unknown")
    assert sealed.size_bytes == sealed.path.stat().st_size
    assert b"the login" not in sealed.path.read_bytes()
    assert sealed.path.stat().st_mode & 0o077 == 0 or sealed.path.parent.stat().st_mode & 0o077 == 0
    there = Node(tmp_path / "there")
    assert there.copies.generation() is None
    await there.restore(sealed)
    assert there.login == "the login"
    assert there.copies.linked()
    assert there.copies.generation() not in {None, generation}
    assert not there.profile.incoming_folder.exists()
    assert there.aside() == []
    await here.copies.discard(sealed)
    await here.copies.discard(sealed)
    assert not sealed.path.exists()


async def test_a_large_profile_needs_little_memory_to_be_copied_and_restored(tmp_path: Path) -> None:
    here, there = (Node(tmp_path / name, max_bytes=10**9) for name in ("here", "there"))
    here.log_in()
    with (here.profile.folder / LOGIN).open("wb") as file:
        for _ in range(32):
            file.write(os.urandom(MIB))  # what cannot be compressed
    with peak() as copying:
        sealed = await here.seal()
    assert sealed.size_bytes > 32 * MIB
    target = await there.copies.incoming()
    sealed.path.rename(target)
    with peak() as restoring:
        await there.copies.unseal(target)
    assert (there.profile.folder / LOGIN).stat().st_size == 32 * MIB
    assert max(copying.allocated_bytes, restoring.allocated_bytes) < 4 * MIB


async def test_what_a_copy_replaces_lies_aside(here: Node) -> None:
    first = here.log_in()
    sealed = await here.seal()
    (here.profile.folder / LOGIN).write_text("damaged")
    await here.restore(sealed)
    (aside,) = here.aside()
    assert aside.name == f"acme.s1.{first}"
    assert (aside / LOGIN).read_text() == "damaged"
    assert here.login == "the login"
    # Twice the same content put aside: neither is lost.
    (here.profile.folder / "generation").write_text(first)
    await here.copies.set_aside()
    assert len(here.aside()) == 2
    assert here.copies.generation() is None
    await here.copies.set_aside()


async def test_a_profile_whose_folder_is_a_file_is_replaced_too(here: Node) -> None:
    here.log_in()
    sealed = await here.seal()
    content = sealed.path.read_bytes()
    browser = here.profile.browser_folder
    browser.rename(browser.with_name("gone"))
    browser.write_text("not a folder")
    assert here.copies.generation() is None
    target = await here.copies.incoming()
    target.write_bytes(content)
    await here.copies.unseal(target)
    assert here.login == "the login"
    assert here.aside()[0].name == "acme.s1.unknown"


async def test_an_unchanged_profile_is_not_copied_again(here: Node) -> None:
    here.log_in()
    first = await here.seal()
    assert await here.copies.seal(running=False, unless=first.fingerprint) is None
    (here.profile.folder / LOGIN).write_text("more of it")
    second = await here.copies.seal(running=False, unless=first.fingerprint)
    assert second is not None
    assert second.fingerprint != first.fingerprint


async def test_a_copy_that_is_no_good_leaves_everything_as_it_was(here: Node, tmp_path: Path) -> None:
    here.log_in()
    sealed = await here.seal()
    whole = sealed.path.read_bytes()
    nodes = {
        "another key": (Node(tmp_path / "key", secret=bytes(32)), whole, SnapshotKeyWrong),
        "another session": (Node(tmp_path / "session", key=SessionKey("acme", "s2")), whole, SnapshotKeyWrong),
        "cut off": (Node(tmp_path / "cut"), whole[:-1], SnapshotDamaged),
        "longer": (Node(tmp_path / "longer"), whole + b"x", SnapshotDamaged),
        "too large": (Node(tmp_path / "large", max_bytes=10), whole, SnapshotTooLarge),
    }
    for name, (node, content, error) in nodes.items():
        before = node.log_in("older")
        target = await node.copies.incoming()
        target.write_bytes(content)
        with pytest.raises(error):
            await node.copies.unseal(target)
        assert (node.login, node.copies.generation(), node.aside()) == ("older", before, []), name


async def test_a_copy_without_a_browser_profile_is_refused(here: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    here.log_in()
    monkeypatch.setattr(copies, "_PARTS", ("linked",))
    sealed = await here.seal()
    with pytest.raises(SnapshotDamaged, match="no browser profile"):
        await here.restore(sealed)


async def test_only_who_holds_the_profile_copies_or_replaces_it(
    here: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.browser.profile._OWN_END_TIMEOUT_S", 0.05)
    here.log_in()
    sealed = await here.seal()
    await here.profile.acquire()  # as a running browser does
    target = await here.copies.incoming()
    other = Node(tmp_path / "here")
    for call in (
        here.copies.seal(running=False, unless=None),
        other.copies.seal(running=False, unless=None),
        here.copies.unseal(target),
        here.copies.set_aside(),
    ):
        with pytest.raises(ProfileInUse):
            await call
    assert (await here.seal(running=True)).generation == sealed.generation
    here.profile.release()
    await other.seal()


async def test_a_limit_or_a_change_is_named_and_leaves_no_file(
    here: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ProfileUnsteady, match="no profile here"):
        await here.seal()
    here.log_in("x" * 1_000)
    with pytest.raises(SnapshotTooLarge):
        await Node(tmp_path / "here", max_bytes=100).seal()
    add = packing._add

    def meddle(*args: object) -> None:
        (here.profile.folder / LOGIN).write_text("changed")
        add(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(packing, "_add", meddle)
    with pytest.raises(ProfileUnsteady):
        await here.seal()
    assert list(here.profile.copies_folder.iterdir()) == []


async def test_a_disk_that_cannot_be_written_is_a_copy_that_was_not_made(
    here: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.log_in()
    here.profile.copies_folder.write_text("a file in its place")
    with pytest.raises(ProfileUnsteady, match="cannot be copied"):
        await here.seal()


async def test_a_copy_that_nobody_waits_for_ends_and_cleans_up(here: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    here.log_in()
    for number in range(20):
        (here.profile.browser_folder / f"file{number}").write_text("x")
    add, loop, begun = packing._add, asyncio.get_running_loop(), asyncio.Event()
    added: list[str] = []

    def slowly(tar: object, folder: Path, name: str, seen: packing.Seen) -> None:
        if not added:
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(begun.wait(), loop).result(5)
            asyncio.run_coroutine_threadsafe(cancelled.wait(), loop).result(5)
        added.append(name)
        add(tar, folder, name, seen)  # type: ignore[arg-type]

    cancelled = asyncio.Event()
    monkeypatch.setattr(packing, "_add", slowly)
    copying = asyncio.create_task(here.seal())
    async with asyncio.timeout(5):
        await begun.wait()
        copying.cancel()
        await asyncio.wait({copying})
        cancelled.set()
    await eventually(lambda: not list(here.profile.copies_folder.iterdir()), within_s=5)
    assert len(added) == 1
    await here.profile.acquire()
    here.profile.release()
