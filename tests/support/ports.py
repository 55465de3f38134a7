"""Free ports for the programs that tests start."""

from gateway.up.ports import choose_port


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now, and that no outgoing connection will take."""
    return choose_port(0)
