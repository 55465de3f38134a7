"""One whole run: start everything, link the sessions, let jobs and faults loose, let it settle, take stock."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

from actors.clock import SystemClock
from actors.errors import UnknownJob
from actors.messages.commands import RateLimit
from actors.messages.events import QrEvent
from actors.messages.ids import SessionKey
from actors.messages.jobs import OPEN_STATUSES
from gateway.client import Client
from simulator.client import SentMessage, SimulatedPhone
from tests.chaos.accounts import Accounts
from tests.chaos.history import Arrived, Asked, History, Outcome
from tests.chaos.load import STORED, Load, ask_all
from tests.chaos.mischief import Mischief, make_mischief
from tests.chaos.plan import Plan
from tests.chaos.stack import Stack
from tests.chaos.watch import Watch, read_stored

_WINDOW_MS: Final = 5_000
_LINK_S: Final = 300.0
_LOOK_EVERY_S: Final = 1.0
_STOCK_AT_ONCE: Final = 16
_CLIENT_TIMEOUT_S: Final = 30.0
_QUICK: Final = {"boot_ms": 0, "sync_ms": 100, "reconnect_first_ms": 100}
_MARK: Final = re.compile(r"\[chaos:(\d+)\]")

Say = Callable[[str], None]


async def run(plan: Plan, folder: Path, say: Say) -> History:
    """Run a plan; what is not well is for the judge, only a run that could not be made raises."""
    accounts, started = Accounts(plan.sessions), SystemClock().monotonic()
    async with AsyncExitStack() as exits:
        stack = await exits.enter_async_context(Stack(folder, plan.scale))
        phone = await exits.enter_async_context(SimulatedPhone(stack.simulator_url))
        await phone.cfg(**_QUICK)
        clients = {
            tenant: await exits.enter_async_context(
                await Client.connect(stack.nats.url, tenant, timeout_s=_CLIENT_TIMEOUT_S)
            )
            for tenant in sorted({key.tenant_id for key in plan.sessions})
        }
        watch = await exits.enter_async_context(Watch(clients.values()))
        say("everything runs; linking")
        linked_at = await _link_all(plan, clients, phone, accounts)
        say(f"{len(linked_at)} sessions are ready; {len(plan.jobs)} jobs and {len(plan.faults)} faults begin")
        began = SystemClock().monotonic()
        load = Load(plan.seed, clients, began + plan.scale.span_s + plan.scale.settle_s)
        mischief = Mischief(stack, phone, accounts, say)
        async with asyncio.TaskGroup() as going_on:
            going_on.create_task(ask_all(load, plan.jobs, began))
            going_on.create_task(make_mischief(mischief, plan, watch, began))
        say("all is asked and done; waiting for the outcomes")
        stock = Stock(clients, load.asked)
        states = await stock.settle(plan, watch)
        sends = stack.session_config
        return History(
            max_messages=plan.scale.max_messages,
            window_s=_WINDOW_MS / 1_000,
            linked_at=linked_at,
            ended_at=time.time(),
            asked=load.asked,
            outcomes=await stock.outcomes(),
            announced=watch.announced,
            arrived=[_arrived(entry, accounts) for entry in await phone.sent()],
            faults=mischief.done,
            wanted=plan.scale.wanted,
            missed=mischief.missed,
            took_s=SystemClock().monotonic() - started,
            may_take_s=plan.scale.may_take_s,
            told=sorted(watch.told, key=lambda told: told.at),
            states=states,
            rejected=watch.rejected,
            waiting=await stock.waiting(plan),
            conflicts=await _conflicts(phone, accounts),
            heard=await read_stored(stack.nats.url, clients),
            send_timeout_s=sends.send_timeout_s,
            media_send_timeout_s=sends.media_send_timeout_s,
        )


async def _link_all(
    plan: Plan, clients: Mapping[str, Client], phone: SimulatedPhone, accounts: Accounts
) -> dict[SessionKey, float]:
    limit = RateLimit(max_messages=plan.scale.max_messages, window_ms=_WINDOW_MS)

    async def link(key: SessionKey) -> float:
        client, session_id = clients[key.tenant_id], key.session_id
        async with client.events(session_id, names={"session.qr"}) as events:
            await client.start(session_id, rate_limit=limit)
            async with asyncio.timeout(_LINK_S):
                event = await anext(events)
        if not isinstance(event, QrEvent):
            raise TypeError(f"asked for session.qr only, got {event}")
        await phone.scan(event.data.qr, accounts.wid(key))
        await client.wait_until(session_id, "ready", timeout_s=_LINK_S)
        return time.time()

    return dict(zip(plan.sessions, await asyncio.gather(*map(link, plan.sessions)), strict=True))


class Stock:
    """Takes stock of a run through the gateways."""

    def __init__(self, clients: Mapping[str, Client], asked: list[Asked]) -> None:
        self._clients = clients
        self._asked = asked
        self._clock = SystemClock()
        self._final: dict[str, Outcome] = {}
        """Outcomes that will not change any more."""

    async def settle(self, plan: Plan, watch: Watch) -> dict[SessionKey, str]:
        """Wait until every job has its outcome, announced, and every session is ready; returns their states.

        A busy machine may take as long as it likes while jobs come to their end; without any progress it is over soon.
        """
        least, give_up_at = len(self._asked) + 1, 0.0
        while True:
            states = await self._states(plan)
            outcomes = await self.outcomes()
            left = sum(one.status in OPEN_STATUSES or not watch.announced.get(key) for key, one in outcomes.items())
            left += sum(
                one.answer == STORED and one.job_id not in {**outcomes, **watch.rejected} for one in self._asked
            )
            if left == 0 and set(states.values()) == {"ready"}:
                return states
            if left < least:
                least, give_up_at = left, self._clock.monotonic() + plan.scale.settle_s
            if self._clock.monotonic() >= give_up_at:
                return states
            await self._clock.sleep(_LOOK_EVERY_S)

    async def _states(self, plan: Plan) -> dict[SessionKey, str]:
        return {key: (await self._clients[key.tenant_id].status(key.session_id)).state for key in plan.sessions}

    async def outcomes(self) -> dict[str, Outcome]:
        """Ask what became of every job that is known."""
        at_once = asyncio.Semaphore(_STOCK_AT_ONCE)
        found = dict(self._final)

        async def look(one: Asked) -> None:
            async with at_once:
                with suppress(UnknownJob):
                    job = await self._clients[one.job.key.tenant_id].job(one.job.key.session_id, one.job_id)
                    error, at = job.error.code if job.error else None, job.history[-1].time.timestamp()
                    attempted = tuple(step.time.timestamp() for step in job.history if step.status == "sending")
                    found[one.job_id] = Outcome(job.status, error, job.attempts, at, attempted)

        await asyncio.gather(*(look(one) for one in self._asked if one.job_id not in self._final))
        self._final = {job_id: one for job_id, one in found.items() if one.status not in OPEN_STATUSES}
        return found

    async def waiting(self, plan: Plan) -> dict[SessionKey, int]:
        """Ask how many jobs each session's log still holds."""
        queues = {key: await self._clients[key.tenant_id].queue(key.session_id) for key in plan.sessions}
        return {
            key: queue.waiting.high + queue.waiting.normal + queue.waiting.bulk + queue.active
            for key, queue in queues.items()
        }


async def _conflicts(phone: SimulatedPhone, accounts: Accounts) -> dict[SessionKey, int]:
    counted = (await phone.state())["conflicts"]
    return {key: count for wid, count in counted.items() if (key := accounts.key(wid)) is not None}


def _arrived(entry: SentMessage, accounts: Accounts) -> Arrived:
    said = " ".join(text for text in (entry.body, entry.caption, entry.loc) if isinstance(text, str))
    mark = _MARK.search(said)
    return Arrived(accounts.key(entry.wid), int(mark[1]) if mark else None, entry.id, entry.at)
