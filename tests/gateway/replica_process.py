"""A gateway in a process of its own, to be killed: ``python -m tests.gateway.replica_process <nats url>``."""

import asyncio
import sys

import uvloop

from gateway.connection import connect
from gateway.replica import GatewayReplica
from tests.gateway.standins import StandInControl


async def serve(url: str) -> None:
    bus = await connect(url, "gateway")
    replica = GatewayReplica(bus, StandInControl(bus))
    await replica.start()
    print("ready", flush=True)  # noqa: T201 - whoever started it waits for this line
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
