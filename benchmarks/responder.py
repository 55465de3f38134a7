"""An empty NATS responder in a process of its own: the floor under every gateway figure.

usage: responder.py NATS_URL SUBJECT
"""

import asyncio
import sys

import nats
from nats.aio.msg import Msg


async def serve(url: str, subject: str) -> None:
    """Answer every request with an empty object until killed."""
    connection = await nats.connect(url)

    async def answer(request: Msg) -> None:
        await request.respond(b"{}")

    await connection.subscribe(subject, cb=answer)
    await connection.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:3]))
