"""How a command talks to a running wafleet: one connection, errors as exit codes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from pydantic import BaseModel

from gateway.cli.exits import exit_codes
from gateway.cli.options import nats_url_of, settings_with
from gateway.cli.output import Output
from gateway.client import Client

COMMAND_TIMEOUT_S: Final = 30.0
"""Deadline of a command: longer than the gateway waits for what it asks, so that no order is called lost too early."""
_NAME: Final = "wafleet command line"
R = TypeVar("R", bound=BaseModel)


def talk(
    output: Output,
    work: Callable[[Client], Awaitable[None]],
    *,
    tenant: str | None,
    nats_url: str | None,
) -> None:
    """Connect as a tenant, do some work, and end the program with the exit code of whatever goes wrong.

    Args:
        output: Where errors are printed.
        work: What to do with the client.
        tenant: The tenant; None: the one of the settings.
        nats_url: The server; None: see ``nats_url_of``.
    """
    with exit_codes(output):
        settings = settings_with(nats_url=nats_url)
        url = nats_url_of(settings)

        async def connected() -> None:
            tenant_id = tenant or settings.default_tenant_id
            async with await Client.connect(url, tenant_id, timeout_s=COMMAND_TIMEOUT_S, name=_NAME) as client:
                await work(client)

        asyncio.run(connected())


def ask(
    question: Callable[[Client], Awaitable[R]],
    show: Callable[[Output, R], None],
    *,
    tenant: str | None,
    nats_url: str | None,
    as_json: bool,
) -> None:
    """Ask one question and print the answer.

    Args:
        question: What to ask.
        show: Prints the answer for people; with ``as_json`` it is printed as it is.
        tenant: As in ``talk``.
        nats_url: As in ``talk``.
        as_json: Whether a program reads it.
    """
    output = Output(as_json=as_json)

    async def work(client: Client) -> None:
        answer = await question(client)
        if as_json:
            output.json(answer)
        else:
            show(output, answer)

    talk(output, work, tenant=tenant, nats_url=nats_url)
