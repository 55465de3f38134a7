"""The gateway's process: ``python -m gateway.main``.

It connects NATS and serves, joins Ray, gets or creates the supervisor, and goes on until SIGTERM or SIGINT; then this
replica finishes what is in flight and leaves. The fleet stays, unless ``--drain-fleet`` says that it ends with this
process (``wafleet up``). Imports late what takes long, so that a gateway that died is soon back.

It runs on uvloop: accepting a ``send.text`` costs it about a tenth less of CPU than on asyncio's own loop (on a busy
machine 0.51-0.66 in the place of 0.58-0.71 ms).
"""

import argparse
import logging
import sys

import uvloop

from actors.errors import Unavailable
from gateway.lean import import_nats
from gateway.settings import InvalidSettings, load_settings


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser(prog="python -m gateway.main", description=__doc__)
    parser.add_argument("--drain-fleet", action="store_true", help="end all sessions with this process")
    arguments = parser.parse_args()
    try:
        settings = load_settings()
        logging.basicConfig(level=settings.wafleet_log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
        import_nats(settings.nats_url or "")
        from gateway.serving import serve  # noqa: PLC0415 - behind the line above

        uvloop.run(serve(settings, drain_fleet=arguments.drain_fleet))
    except (InvalidSettings, Unavailable) as error:
        sys.exit(f"wafleet gateway: {error}")


if __name__ == "__main__":
    main()
