"""Attach to a running wafleet's Ray cluster and talk to its actors directly.

    python examples/drive_over_ray.py --tenant acme --session s1 [--start]

lists the actors by name, asks the supervisor for a sign of life, lets it start the session if ``--start`` is given, and
asks the session's actor for its status, its rate window and its queue. Without ``--address`` it looks for a running
``wafleet up`` in this folder.

This is the control plane: it is for operators and their tools, inside the network that the cluster trusts. Messages are
sent over NATS only (see ``drive_over_nats.py``): a job that is not in the job log would be lost with its actor.
"""
# ruff: noqa: INP001 - a script, not a package

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import ray

from actors.clock import SystemClock
from actors.cluster import NAMESPACE, SUPERVISOR, connect, disconnect
from actors.errors import Unavailable
from actors.messages.commands import Command, QueueQuery, RateLimitQuery, SessionStart, SessionStatusQuery
from actors.messages.ids import SessionKey
from actors.messages.replies import ErrorBody
from actors.ports import actor_name
from gateway.up.state import find_located

ANSWER_TIMEOUT_S = 20.0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", help="host:port of the Ray head; default: the running `wafleet up` of this folder")
    parser.add_argument("--tenant", default="default")
    parser.add_argument("--session", default="s1")
    parser.add_argument("--start", action="store_true", help="let the supervisor start the session")
    return parser.parse_args()


async def ask_supervisor(key: SessionKey, *, start: bool) -> None:
    """Ask the supervisor how it is and, if told to, to start a session."""
    try:
        supervisor = ray.get_actor(SUPERVISOR, namespace=NAMESPACE)
    except ValueError:
        sys.exit(f"no actor {SUPERVISOR!r} runs on this cluster: start a gateway, it deploys one (`wafleet up`)")
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        alive = await supervisor.heartbeat.remote()
        print(f"supervisor: {alive.state}, pid {alive.pid} on {alive.node}, epoch {alive.epoch}")
        if start:
            answer = await supervisor.ask.remote(key, SessionStart())
            print(f"start {key}: {answer.model_dump_json()}")


async def find_session(key: SessionKey, *, wait: bool) -> Any:
    """Look a session's actor up by its name; a session that starts has one a few seconds later."""
    deadline = time.monotonic() + (ANSWER_TIMEOUT_S if wait else 0)
    while True:
        try:
            return ray.get_actor(actor_name(key), namespace=NAMESPACE)
        except ValueError:
            if time.monotonic() >= deadline:
                sys.exit(f"{actor_name(key)} has no actor: it was never started, or it has ended; try --start")
        await SystemClock().sleep(0.2)


async def ask_session(session: Any) -> None:
    """Ask a session's actor what it knows."""
    questions: tuple[Command, ...] = (SessionStatusQuery(), RateLimitQuery(), QueueQuery())
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        for question in questions:
            answer = await session.ask.remote(question)
            said = f"{answer.code}: {answer.message}" if isinstance(answer, ErrorBody) else answer.model_dump_json()
            print(f"{question.name}: {said}")


async def main() -> None:
    """Attach, list, ask."""
    options = arguments()
    located = find_located(Path(".wafleet"))
    address = options.address or (located.ray_address if located else None)
    if address is None:
        sys.exit("no `wafleet up` runs for this folder; give --address host:port")
    os.environ.update(located.ray_environment if located else {})
    key = SessionKey(options.tenant, options.session)
    await connect(address)
    try:
        for name in sorted(actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)):
            print(f"actor {name}")
        await ask_supervisor(key, start=options.start)
        await ask_session(await find_session(key, wait=options.start))
    finally:
        await disconnect()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (Unavailable, TimeoutError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
