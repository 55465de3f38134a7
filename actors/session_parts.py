"""What a session is put together from, once its ports are connected."""

import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from actors.acks import AckBook
from actors.answers import Answers
from actors.core import signals
from actors.core.session import SessionCore
from actors.core.signals import SessionInput
from actors.errands import Errands
from actors.job_ledger import JobLedger
from actors.lease_keeper import LeaseKeeper
from actors.messages.records import LeaseRecord
from actors.node import identity
from actors.outbox import Outbox
from actors.page_keeper import PageKeeper
from actors.ports import OpenRequest, SessionPorts, SessionSpec
from actors.profile_keeper import ProfileKeeper
from actors.sending import Sender


@dataclass(frozen=True, slots=True)
class SessionParts:
    """The parts of one session."""

    ports: SessionPorts
    outbox: Outbox
    acks: AckBook
    lease: LeaseKeeper
    profiles: ProfileKeeper
    keeper: PageKeeper
    sender: Sender
    answers: Answers
    errands: Errands


def assemble(
    spec: SessionSpec,
    ports: SessionPorts,
    *,
    core: SessionCore,
    node: str,
    random: Random,
    log: logging.LoggerAdapter[logging.Logger],
    tell: Callable[[SessionInput], None],
    lease_overdue: Callable[[], None],
    end: Callable[[signals.End], Awaitable[None]],
    on_broken: Callable[[], None],
) -> SessionParts:
    """Build the parts and join them; nothing runs yet.

    Args:
        spec: The session.
        ports: Its way out.
        core: Decides.
        node: Name of this machine.
        random: Where jitter comes from.
        log: Takes every part's lines.
        tell: Takes inputs for the core.
        lease_overdue: Called when the browser has to be closed for want of a lease.
        end: Ends the actor.
        on_broken: Called where a bug escaped an errand.
    """
    keeper: PageKeeper
    sender: Sender
    clock, config = ports.clock, spec.config
    outbox = Outbox(
        spec.key,
        events=ports.events,
        board=ports.status,
        clock=clock,
        limit=config.event_outbox,
        random=random,
        log=log,
    )
    acks = AckBook(spec.key, outbox=outbox, records=ports.records, clock=clock, log=log)
    ledger = JobLedger(ports.jobs, ports.records, outbox, clock, log)
    record = LeaseRecord(
        owner_id=secrets.token_hex(16), node=identity(), pid=os.getpid(), actor_name=f"session:{spec.key}"
    )
    lease = LeaseKeeper(
        ports.lease,
        record,
        config=spec.lease,
        clock=clock,
        on_overdue=lease_overdue,
        on_ended=lambda: keeper.kill(),  # noqa: PLW0108 - made below
        log=log,
    )
    profiles = ProfileKeeper(
        ports.browser,
        ports.profile,
        heads=ports.heads,
        snapshots=ports.snapshots,
        config=config.profile,
        clock=clock,
        node=node,
        is_busy=lambda: core.dispatcher.active is not None,
        may_write=lambda: lease.held,
        tell=tell,
        log=log,
    )
    keeper = PageKeeper(
        OpenRequest(spec.key, spec.desired.proxy),
        browser=ports.browser,
        profiles=profiles,
        clock=clock,
        abort_job=lambda grace_s: sender.abort(grace_s),  # noqa: PLW0108 - made below
        cancel_jobs=ledger.cancel_all,
        end=end,
        on_opened=lambda page: lease.note_processes(page.processes),
        tell=tell,
        log=log,
    )
    sender = Sender(ledger, keeper=keeper, lease=lease, acks=acks, clock=clock, config=config, tell=tell, log=log)
    answers = Answers(core, keeper, ports.jobs, clock, timeout_s=config.browser.call_timeout_s)
    errands = Errands(
        jobs=ports.jobs,
        keeper=keeper,
        clock=clock,
        probe_timeout_s=config.probe_timeout_s,
        tell=tell,
        on_broken=on_broken,
        log=log,
    )
    return SessionParts(ports, outbox, acks, lease, profiles, keeper, sender, answers, errands)
