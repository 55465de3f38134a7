"""A lease kept on a real nats-server: answers are lost, the server freezes, dies and comes back."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from actors.clock import SystemClock
from actors.config import LeaseConfig, QueueConfig
from actors.lease_keeper import LeaseKeeper
from actors.messages.ids import SessionKey
from actors.messages.records import LeaseRecord
from gateway.connection import Bus, connect
from gateway.jobs import JetStreamJobLog, JobWriter
from gateway.leases import JetStreamLeaseStore
from gateway.streams import declared, ensure
from tests.gateway.building import make_job
from tests.support.nats import NatsServer
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import eventually

pytestmark = pytest.mark.nats
LEASE = LeaseConfig(renew_every_s=0.6, send_until_s=5.0, kill_after_s=6.0, fuse_s=7.0, ttl_s=8.0)
_AWAY_S = 2.4
"""Shorter by two seconds, for busy machines, than what an owner survives whenever it begins."""


class Kept:
    """A lease, and what its keeper said."""

    def __init__(self, bus: Bus, key: SessionKey) -> None:
        self.store = JetStreamLeaseStore.of_session(bus, key)
        self.renewals = 0
        self.overdue_at: float | None = None
        self.ended_at: float | None = None
        record = LeaseRecord(owner_id="keeper", node="here", pid=1)
        self.keeper = LeaseKeeper(
            self.store,
            record,
            config=LEASE,
            clock=SystemClock(),
            dead_owners=(),
            inherit=lambda former: _nobody(former),  # noqa: PLW0108 - a context of its own for each
            on_renewed=self._renewed,
            on_overdue=self._overdue,
            on_ended=self._ended,
            log=logging.LoggerAdapter(logging.getLogger("test")),
        )

    async def revision(self) -> int:
        found = await self.store.read()
        assert found is not None
        assert found.value.owner_id == "keeper"
        return found.revision

    async def goes_on(self, *, within_s: float = 5) -> None:
        """Wait for two more renewals."""
        before = self.renewals
        await eventually(lambda: self.renewals >= before + 2, within_s=within_s)
        assert self.keeper.may_send()

    def _renewed(self) -> None:
        self.renewals += 1

    def _overdue(self) -> None:
        self.overdue_at = time.monotonic()

    def _ended(self) -> None:
        self.ended_at = time.monotonic()


@asynccontextmanager
async def _nobody(former: LeaseRecord) -> AsyncIterator[bool]:
    raise AssertionError("there is no dead owner")
    yield False


@asynccontextmanager
async def kept(url: str, key: SessionKey) -> AsyncIterator[Kept]:
    async with await connect(url, "owner") as bus:
        await ensure(bus, declared(lease=LEASE))
        lease = Kept(bus, key)
        assert await lease.keeper.take()
        yield lease
        await lease.keeper.release()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with NatsServer(tmp_path_factory.mktemp("leases")) as server:
        yield server


async def passed(moment: float) -> None:
    await eventually(lambda: time.monotonic() >= moment, within_s=10)


async def test_a_renewal_that_was_stored_but_not_answered_does_not_lose_the_lease(
    server: NatsServer, key: SessionKey
) -> None:
    async with TcpProxy(server.port) as proxy, kept(f"nats://127.0.0.1:{proxy.port}", key) as lease:
        await lease.goes_on()
        async with await connect(server.url, "witness") as bus:
            witness = JetStreamLeaseStore.of_session(bus, key)

            async def revision() -> int:
                found = await witness.read()
                return found.revision if found else 0

            before = await revision()
            proxy.loses_answers = True

            async def stored_unheard() -> bool:
                return proxy.lost > 0 and await revision() > before

            await eventually(stored_unheard, within_s=3)
        proxy.loses_answers = False
        await lease.goes_on()
        assert lease.overdue_at is None


async def test_a_server_that_is_frozen_or_restarted_for_a_while_costs_nothing(
    server: NatsServer, key: SessionKey
) -> None:
    async with kept(server.url, key) as lease, await connect(server.url, "gateway") as bus:
        await JobWriter(bus, QueueConfig()).publish(make_job(key))
        frozen_at = time.monotonic()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await passed(frozen_at + _AWAY_S)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await lease.goes_on()

        await asyncio.to_thread(server.restart)
        await lease.goes_on()
        [stored] = await JetStreamJobLog(bus, key).read("normal", 0, 10)
        assert stored.job.key == key
        assert lease.overdue_at is None


async def test_an_owner_that_does_not_reach_the_server_ends_before_anybody_may_follow(
    server: NatsServer, key: SessionKey
) -> None:
    async with (
        TcpProxy(server.port) as proxy,
        kept(f"nats://127.0.0.1:{proxy.port}", key) as lease,
        await connect(server.url, "rival") as bus,
    ):
        rival = JetStreamLeaseStore.of_session(bus, key)
        await lease.goes_on()
        proxy.cut = True
        cut_at = asked_at = time.monotonic()

        async def taken() -> int | None:
            nonlocal asked_at
            asked_at = time.monotonic()
            return await rival.create(LeaseRecord(owner_id="next", node="there", pid=2))

        await eventually(taken, within_s=3 * LEASE.ttl_s, every_s=0.05)
        assert lease.overdue_at is not None
        assert lease.ended_at is not None
        assert not lease.keeper.may_send()
        assert lease.overdue_at - cut_at < LEASE.kill_after_s
        assert lease.ended_at - cut_at < LEASE.ttl_s
        assert lease.overdue_at < lease.ended_at < asked_at
