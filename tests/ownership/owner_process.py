"""One session's owner without Ray, to be killed and frozen.

``python -m tests.ownership.owner_process <nats url> <page> <sessions folder> [id of a dead owner]``;
it prints ``prepared`` and begins with a line on its standard input.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from actors.config import BrowserConfig, LeaseConfig, SessionConfig
from actors.messages.ids import SessionKey
from actors.messages.records import DesiredSession
from actors.ports import SessionSpec
from actors.session import SessionActor
from gateway.wiring import JetStreamPorts

KEY = SessionKey("acme", "s1")
LEASE = LeaseConfig(renew_every_s=0.5, send_until_s=3.5, kill_after_s=4.2, fuse_s=4.8, ttl_s=8.0)
"""The usual times at 0.4 of their length, but for what a busy machine delays as long as ever: renewals are more often,
and a page has as long as ever from its fuse to the end of the lease, 3 s, to be gone."""


async def own(nats_url: str, web_url: str, sessions: str, *dead_owners: str) -> None:
    desired = DesiredSession(
        tenant_id=KEY.tenant_id, session_id=KEY.session_id, target="running", changed_at=datetime.now(UTC)
    )
    config = SessionConfig(sessions_path=Path(sessions), browser=BrowserConfig(web_url=web_url))
    actor = SessionActor(SessionSpec(desired, config, LEASE, dead_owners), JetStreamPorts(nats_url, b"k" * 32))
    await actor.run()
    ended = await actor.wait_ended()
    print(f"ended: {ended.state} ({ended.reason})", flush=True)  # noqa: T201 - whoever started it waits for this line


if __name__ == "__main__":
    print("prepared", flush=True)  # noqa: T201 - as above
    sys.stdin.readline()  # a busy machine may take longer to import all this than a lease lasts
    asyncio.run(own(*sys.argv[1:]))
