"""Importing nats-py without what it needs for WebSockets alone.

nats-py's transport imports aiohttp where it is installed: 8 MiB and a third of a second in every session's worker, for
``ws://`` addresses only. It takes its absence well, so aiohttp is hidden while nats-py is imported. Imports nothing.
"""

import importlib
import sys
from typing import Final

_HIDDEN: Final = "aiohttp"


def import_nats(url: str) -> None:
    """Import nats-py, without aiohttp where the address does not need it; does nothing where either is there."""
    if _HIDDEN in sys.modules or "nats" in sys.modules or "ws://" in url or "wss://" in url:
        return
    sys.modules[_HIDDEN] = None  # type: ignore[assignment] # how Python marks a module that must not be imported
    try:
        importlib.import_module("nats.aio.client")
    finally:
        del sys.modules[_HIDDEN]
