"""Free ports of 127.0.0.1, for programs that bind them a while later."""

import secrets
import socket
from typing import Final

_LOWEST: Final = 20_000
_COUNT: Final = 10_000
"""Below 32768, where Linux begins to take ports for outgoing connections: one of those could get in between."""
_TRIES: Final = 100


def choose_port(preferred: int) -> int:
    """Return the preferred port if nothing listens there, else any free one (0 prefers none)."""
    if preferred and _is_free(preferred):
        return preferred
    for _ in range(_TRIES):
        port = _LOWEST + secrets.randbelow(_COUNT)
        if _is_free(port):
            return port
    raise OSError(f"no free port of 127.0.0.1 found between {_LOWEST} and {_LOWEST + _COUNT}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is no user
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
