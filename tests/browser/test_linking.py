"""From nothing to ready: QR, link code, restored login, and every way a login ends."""

from pathlib import Path

import pytest

from actors.browser import process
from actors.config import SessionConfig
from actors.core.facts import (
    AccountBlocked,
    ActionNeeded,
    CodeShown,
    ConnectionLost,
    Linked,
    QrIdle,
    QrShown,
    Synced,
    Unlinked,
)
from actors.errors import ProfileInUse
from simulator.client import SimulatedPhone
from tests.browser.watching import KEY, ME, opened

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_a_scanned_session_is_ready_and_comes_back_without_a_qr(
    config: SessionConfig, phone: SimulatedPhone, tmp_path: Path
) -> None:
    async with opened(config) as first:
        qr = await first.watched.next(QrShown)
        assert (qr.sequence, qr.ttl_s) == (1, 20.0)
        await phone.scan(qr.code, ME)
        linked = await first.watched.next(Linked)
        synced = await first.watched.next(Synced)
        assert linked.wid == synced.wid == ME
        assert synced.lid is not None
        assert (await first.page.probe()).ready
        processes = first.page.processes
        with pytest.raises(ProfileInUse, match="acme:s1"):
            async with opened(config):
                pass
    assert process.alive(processes) == []
    assert process.users_of_profile(tmp_path / "acme" / "s1" / "browser") == []
    generation = first.browser.generation()
    told = len(first.watched.facts)

    async with opened(config) as second:
        assert (await second.watched.next(Synced)).wid == ME
        assert second.watched.of(QrShown) == []
        assert second.browser.generation() == generation
        await phone.drop(ME)
        assert "opening" in (await second.watched.next(ConnectionLost)).reason
        await second.watched.next(Synced)
    assert len(first.watched.facts) == told, "a closed page told a fact"


async def test_every_qr_has_its_number_and_idle_begins_anew_on_request(
    config: SessionConfig, phone: SimulatedPhone
) -> None:
    async with opened(config) as session:
        first = await session.watched.next(QrShown)
        await phone.cfg(qr_first=0.3, qr_ttl=0.3, qr_count=2)
        try:
            await session.page.refresh_qr()
            shown = [first, await session.watched.next(QrShown), await session.watched.next(QrShown)]
            assert [(qr.sequence, qr.ttl_s) for qr in shown] == [(1, 20.0), (2, 0.3), (3, 0.3)]
            assert len({qr.code for qr in shown}) == 3
            await session.watched.next(QrIdle)
            await session.page.refresh_qr()
            assert (await session.watched.next(QrShown)).sequence == 4
        finally:
            await phone.cfg(qr_first=20, qr_ttl=20, qr_count=6)


async def test_a_link_code_links_and_logging_out_ends_the_login(config: SessionConfig, phone: SimulatedPhone) -> None:
    async with opened(config) as session:
        await session.watched.next(QrShown)
        await session.page.request_code("+5511988887777")
        shown = await session.watched.next(CodeShown)
        assert shown.phone_number == "+5511988887777"
        await phone.code(shown.code, ME)
        await session.watched.next(Synced)
        linked_to = session.browser.generation()
        await session.page.logout()
        assert (await session.watched.next(Unlinked)).reason == "user_initiated"
        assert session.browser.generation() != linked_to, "an empty database proves nothing about earlier sends"
        await session.link(phone)
        assert len(session.watched.of(Unlinked)) == 1
    await session.browser.quarantine()
    quarantined = list((config.sessions_path / ".quarantine").iterdir())
    assert [one.name.rsplit(".", 1)[0] for one in quarantined] == [f"{KEY.tenant_id}.{KEY.session_id}"]
    assert not (config.sessions_path / "acme" / "s1").exists()


async def test_every_way_a_login_ends_is_told_by_name(config: SessionConfig, phone: SimulatedPhone) -> None:
    async with opened(config) as session:
        await session.link(phone)
        await phone.unlink(ME)
        assert (await session.watched.next(Unlinked)).reason == "device_removed"

        await session.link(phone)
        await phone.tos(ME)
        assert (await session.watched.next(ActionNeeded)).reason == "tos_block"
        assert session.watched.of(ConnectionLost) == []
        await phone.tos(ME, on=False)
        await session.watched.next(Linked)
        await session.watched.next(Synced)
        await phone.ban(ME, "temp_banned", expire_s=60)
        assert "temp_banned" in (await session.watched.next(AccountBlocked)).reason
        await phone.ban(ME, lift=True)
        await session.watched.next(Synced)
        await phone.storage_loss(ME)
        assert (await session.watched.next(Unlinked)).reason == "login_lost"
        await session.link(phone)
        await phone.storage_error(ME)
        assert (await session.watched.next(Unlinked)).reason == "storage_initialization_error"
        await session.link(phone)

        unlinked = len(session.watched.of(Unlinked))
        await phone.ban(ME)
        assert (await session.watched.next(AccountBlocked)).reason == "banned"
        await session.watched.next(QrShown)
        assert len(session.watched.of(Unlinked)) == unlinked, "a ban is not told as an unlinking too"
        await phone.ban(ME, lift=True)
