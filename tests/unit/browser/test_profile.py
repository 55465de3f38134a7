"""Who may use a profile, what its id says, and what is left of it. No browser: processes stand in for one."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from actors.browser import process
from actors.browser.browser import ChromiumBrowser
from actors.browser.process import ExitWatch
from actors.browser.profile import QUARANTINE, QUARANTINE_KEPT_S, QUARANTINE_MAX, Profile
from actors.config import SessionConfig
from actors.errors import BrowserLaunchFailed, ProfileInUse
from actors.messages.ids import SessionKey
from actors.messages.records import LeaseRecord
from tests.support.waiting import eventually

KEY = SessionKey("acme", "s1")
Waiting = asyncio.subprocess.Process
Spawn = Callable[..., Awaitable[Waiting]]


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return Profile(tmp_path, KEY)


@pytest.fixture
async def spawn() -> AsyncIterator[Spawn]:
    """Starts processes that wait until they are killed, with an argument to be known by."""
    started: list[Waiting] = []

    async def start(*arguments: str) -> Waiting:
        one = await asyncio.create_subprocess_exec("sh", "-c", "read line", *arguments, stdin=asyncio.subprocess.PIPE)
        started.append(one)
        return one

    yield start
    for one in started:
        if one.returncode is None:
            one.kill()
        await one.wait()
        if one.stdin is not None:
            one.stdin.close()


async def test_one_owner_at_a_time(profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.browser.profile._OWN_END_TIMEOUT_S", 0.05)
    await profile.acquire()
    with pytest.raises(ProfileInUse, match="this process"):
        await profile.acquire()
    with pytest.raises(ProfileInUse, match="acme:s1"):
        await Profile(tmp_path, KEY).acquire()
    with pytest.raises(ProfileInUse):
        await profile.quarantine()
    await Profile(tmp_path, SessionKey("acme", "s2")).acquire()
    profile.release()
    profile.release()
    await Profile(tmp_path, KEY).acquire()


async def test_a_launch_waits_until_the_one_that_was_given_up_has_let_go(profile: Profile) -> None:
    """Found by `make chaos` (seed 3): four reconnect attempts were spent while the first launch ended its processes."""
    await profile.acquire()
    waiting = [asyncio.create_task(profile.acquire()) for _ in range(2)]
    done, _ = await asyncio.wait(waiting, timeout=0.05)
    assert not done
    profile.release()
    done, _ = await asyncio.wait(waiting, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1, "one at a time"
    profile.release()
    await asyncio.wait(waiting, timeout=5)
    assert [task.exception() for task in waiting] == [None, None]


async def test_the_processes_of_a_dead_owner_are_ended_and_nobody_elses(
    profile: Profile, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.browser.profile._OLD_TREE_TIMEOUT_S", 0.1)
    profile.generation()
    recorded, unrecorded, stranger = (
        await spawn(),
        await spawn(f"--user-data-dir={profile.browser_folder}"),
        await spawn(),
    )
    profile.record_owner([*process.tree(recorded.pid), (stranger.pid, 1.0)])
    await profile.acquire()
    async with asyncio.timeout(5):
        assert [await recorded.wait(), await unrecorded.wait()] == [-signal.SIGKILL] * 2
    assert stranger.returncode is None, "a pid that was used again is not ours to kill"
    profile.release()


async def test_an_owner_is_followed_at_once_only_where_nothing_of_it_lives(
    profile: Profile, tmp_path: Path, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.browser.profile._OLD_TREE_TIMEOUT_S", 0.1)
    successor = ChromiumBrowser(KEY, SessionConfig(sessions_path=tmp_path))
    owner, orphan = await spawn(), await spawn()
    ((pid, started),) = process.tree(owner.pid)
    former = LeaseRecord(
        owner_id="former", node="here", pid=pid, started=started, browser_pids=tuple(process.tree(orphan.pid))
    )
    async with successor.inherit(former) as sure:
        assert not sure, "its process lives"
    owner.kill()
    await owner.wait()
    await profile.hold()
    async with successor.inherit(former) as sure:
        assert not sure, "somebody else has its profile"
    assert orphan.returncode is None, "whoever has the profile may be using it"
    profile.release()
    async with successor.inherit(former) as sure:
        assert sure
        async with asyncio.timeout(5):
            assert await orphan.wait() == -signal.SIGKILL
        with pytest.raises(ProfileInUse):
            await profile.hold()
    await profile.hold()
    profile.release()


async def test_an_owner_whose_browser_does_not_end_is_not_followed_at_once(
    profile: Profile, tmp_path: Path, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("_OLD_TREE_TIMEOUT_S", "_KILLED_TIMEOUT_S"):
        monkeypatch.setattr(f"actors.browser.profile.{limit}", 0.1)
    monkeypatch.setattr("actors.browser.process.kill", lambda _: None)
    orphan = await spawn()
    pids = tuple(process.tree(orphan.pid))
    former = LeaseRecord(owner_id="former", node="here", pid=orphan.pid, started=1.0, browser_pids=pids)
    async with ChromiumBrowser(KEY, SessionConfig(sessions_path=tmp_path)).inherit(former) as sure:
        assert not sure
    await profile.hold()
    profile.release()


async def test_a_browsers_children_are_users_of_its_profile_although_they_do_not_name_it(profile: Profile) -> None:
    """Seen with Chromium 156."""
    one = await asyncio.create_subprocess_exec(
        "sh", "-c", 'sh -c "read line" child; :', "browser", f"--user-data-dir={profile.browser_folder}",
        stdin=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await eventually(lambda: len(process.tree(one.pid)) == 2, within_s=5)
    users = process.users_of_profile(profile.browser_folder)
    assert users == process.tree(one.pid)
    process.kill(users)
    await one.wait()
    assert one.stdin is not None
    one.stdin.close()


async def test_a_tree_that_ends_by_itself_is_waited_for(profile: Profile, spawn: Spawn) -> None:
    profile.generation()
    one = await spawn()
    profile.record_owner(process.tree(one.pid))
    acquiring = asyncio.create_task(profile.acquire())
    assert one.stdin is not None
    one.stdin.close()
    await acquiring
    assert await one.wait() == 1, "read met the end of its input: nobody killed it"
    profile.release()


async def test_a_record_cut_short_is_no_obstacle(profile: Profile, tmp_path: Path) -> None:
    profile.generation()
    (tmp_path / "acme" / "s1" / "owner.json").write_text('{"processes": [[12')
    await profile.acquire()
    profile.release()


def test_the_generation_lives_as_long_as_the_content(profile: Profile, tmp_path: Path) -> None:
    first = profile.generation()
    assert len(first) == 32
    assert Profile(tmp_path, KEY).generation() == first
    assert profile.browser_folder.stat().st_mode & 0o777 == 0o700
    profile.browser_folder.rmdir()
    assert profile.generation() != first


def test_a_new_login_over_an_old_one_is_new_content(profile: Profile) -> None:
    first = profile.generation()
    profile.note_link(fresh=True)
    assert profile.generation() == first, "the first login is what the content was made for"
    profile.note_link(fresh=False)
    assert profile.generation() == first
    profile.note_login_over()
    second = profile.generation()
    assert second != first
    profile.note_login_over()
    profile.note_link(fresh=True)
    assert profile.generation() == second, "told once is enough"
    profile.note_link(fresh=True)
    assert profile.generation() != second, "a login that was lost unseen shows when the next one is linked"


async def test_what_was_left_behind_is_swept_and_quarantine_ends_after_its_days(
    profile: Profile, tmp_path: Path
) -> None:
    profile.generation()
    (profile.new_media_folder() / "content").write_bytes(b"left by a crash")
    old, recent = tmp_path / QUARANTINE / "acme.s1.old", tmp_path / QUARANTINE / "acme.s1.recent"
    for folder in (old, recent):
        folder.mkdir(parents=True)
    past = old.stat().st_mtime - QUARANTINE_KEPT_S - 60
    os.utime(old, (past, past))
    await profile.acquire()
    profile.release()
    assert not profile.media_folder.exists()
    assert not old.exists()
    assert recent.exists()


def test_a_profile_enters_the_quarantine_with_all_its_days(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = profile.generation()
    past = time.time() - QUARANTINE_KEPT_S - 60
    os.utime(profile.folder, (past, past))
    other, rename = Profile(tmp_path, SessionKey("acme", "s2")), Path.rename

    def sweep_behind(path: Path, target: Path) -> Path:
        moved = rename(path, target)
        other.sweep_quarantine()
        return moved

    monkeypatch.setattr(Path, "rename", sweep_behind)
    profile.set_aside()
    assert (tmp_path / QUARANTINE / f"acme.s1.{generation}").exists()


async def test_of_one_session_only_the_last_few_are_kept(profile: Profile, tmp_path: Path) -> None:
    now = time.time()
    folders = [tmp_path / QUARANTINE / f"acme.s1.{number}" for number in range(QUARANTINE_MAX + 3)]
    others = tmp_path / QUARANTINE / "acme.s11.x"
    for number, folder in enumerate((*folders, others)):
        folder.mkdir(parents=True)
        os.utime(folder, (now - 100 + number, now - 100 + number))
    profile.sweep_quarantine()
    assert [folder for folder in folders if not folder.exists()] == folders[:3]
    assert others.exists()


async def test_quarantine_moves_the_profile_and_the_next_one_is_new(profile: Profile, tmp_path: Path) -> None:
    await profile.quarantine()
    first = profile.generation()
    (profile.browser_folder / "cookies").write_text("secret")
    await profile.quarantine()
    assert (tmp_path / QUARANTINE / f"acme.s1.{first}" / "browser" / "cookies").read_text() == "secret"
    assert profile.generation() != first


async def test_the_end_of_a_process_is_told_even_if_it_came_before(
    spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in ("pidfd", "polled"):
        one = await spawn()
        [identity] = process.tree(one.pid)
        ended = asyncio.Event()
        watch = ExitWatch(identity, ended.set)
        process.kill([identity])
        async with asyncio.timeout(5):
            await ended.wait()
        watch.close()
        assert await process.wait_gone([identity], 1.0) == []
        assert process.tree(one.pid) == []
        monkeypatch.delattr("os.pidfd_open", raising=False)


async def test_waiting_for_processes_that_stay_names_them(spawn: Spawn) -> None:
    identity = process.tree((await spawn()).pid)
    assert await process.wait_gone(identity, 0.05) == identity
    assert not process.is_renderer(identity[0])


async def test_a_folder_that_cannot_be_used_is_a_launch_that_failed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = SessionConfig(sessions_path=tmp_path / "file" / "sessions")
    browser = ChromiumBrowser(SessionKey("t", "s"), config)
    with pytest.raises(BrowserLaunchFailed, match=r"Not a directory: .*file/sessions.*check WHATSAPP_SESSION_PATH"):
        browser.generation()
