"""How a command ends: one table of exit codes, and the one place that turns errors into them.

==  =======================================================================================
0   done
1   it failed: a job did not go out, a check is red, a part did not start
2   wrong usage or settings: nothing was tried
3   not reachable: NATS or the gateway does not answer, or is too busy (trying again may help)
4   refused by the service: the error's code says why (``unknown_session``, ``queue_full``, …)
130 interrupted
==  =======================================================================================
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from actors.errors import ReconnectExhausted, Unavailable, WafleetError
from gateway.cli.output import Output
from gateway.settings import InvalidSettings
from gateway.up.children import PartFailed
from gateway.up.running import Interrupted
from gateway.up.stack import AlreadyRunning, FolderUnusable


class Exit(IntEnum):
    """Exit codes; scripts rely on them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    INTERRUPTED = 130


class CommandFailed(Exception):
    """A command found that something is not as it should be; the message is for people."""


@contextmanager
def exit_codes(output: Output) -> Iterator[None]:
    """Print an error and end with its code."""
    try:
        yield
    except WafleetError as error:
        message = error.message
        if isinstance(error, ReconnectExhausted) and not output.as_json:
            message += (
                f": {error.details.get('reason')}; the log of its sessions says more (logs/sessions.log in the "
                "folder of `wafleet up`; in a cluster, Ray's logs of its workers)"
            )
        output.error(message, code=error.code, retryable=error.retryable, details=error.details)
        raise SystemExit(Exit.UNREACHABLE if isinstance(error, Unavailable) else Exit.REFUSED) from error
    except InvalidSettings as error:
        output.error(f"settings: {error}")
        raise SystemExit(Exit.USAGE) from error
    except (CommandFailed, PartFailed, AlreadyRunning, FolderUnusable) as error:
        output.error(str(error))
        raise SystemExit(Exit.FAILED) from error
    except (Interrupted, KeyboardInterrupt) as error:
        raise SystemExit(Exit.INTERRUPTED) from error
