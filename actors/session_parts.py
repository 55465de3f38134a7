"""What a session is put together from, once its ports are connected."""

import logging
import os
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
from actors.node import identity, process_started
from actors.outbox import Outbox
from actors.page_keeper import PageKeeper
from actors.ports import OpenRequest, SessionPorts, SessionSpec, actor_name
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
    ledger: JobLedger


def assemble(
    spec: SessionSpec,
    ports: SessionPorts,
    *,
    core: SessionCore,
    node: str,
    owner_id: str,
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
        owner_id: What the lease names this owner by.
        random: Where jitter comes from.
        log: Takes every part's lines.
        tell: Takes inputs for the core.
        lease_overdue: Called when the browser has to be closed for want of a lease.
        end: Ends the actor.
        on_broken: Called where a bug escaped an errand.
    """
    keeper: PageKeeper
    sender: Sender
    errands: Errands
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
        owner_id=owner_id,
        node=identity(),
        pid=os.getpid(),
        started=process_started(),
        actor_name=actor_name(spec.key),
    )
    lease = LeaseKeeper(
        ports.lease,
        record,
        config=spec.lease,
        clock=clock,
        dead_owners=spec.dead_owners,
        inherit=ports.browser.inherit,
        on_renewed=lambda: errands.arm(),  # noqa: PLW0108 - made below
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
        OpenRequest(spec.key, spec.desired.proxy, lease.fuse_left_s, lease.note_processes),
        browser=ports.browser,
        profiles=profiles,
        clock=clock,
        abort_job=lambda grace_s: sender.abort(grace_s),  # noqa: PLW0108 - made below
        settle_doubts=lambda: sender.settle_doubts(),  # noqa: PLW0108 - made below
        cancel_jobs=ledger.cancel_all,
        end=end,
        before_open=lease.forget_processes,
        on_opened=lambda page: lease.note_processes(page.processes),
        tell=tell,
        log=log,
    )
    sender = Sender(ledger, keeper=keeper, lease=lease, acks=acks, clock=clock, config=config, tell=tell, log=log)
    answers = Answers(core, keeper, ports.jobs, clock, timeout_s=config.browser.call_timeout_s)
    errands = Errands(
        jobs=ports.jobs,
        keeper=keeper,
        arm_fuse=lambda: ports.browser.arm_fuse(lease.fuse_left_s()),
        clock=clock,
        probe_timeout_s=config.probe_timeout_s,
        weigh=ports.browser.memory,
        tell=tell,
        on_broken=on_broken,
        log=log,
    )
    return SessionParts(ports, outbox, acks, lease, profiles, keeper, sender, answers, errands, ledger)
