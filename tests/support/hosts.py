"""Separate hosts on one machine: Linux network namespaces that share a bridge for the cluster and one for the internet.

The two networks are cut apart from each other, so that a host can lose its cluster and still reach WhatsApp: the case
in which nothing but the lease keeps a second browser away. Needs root, iproute2 and the right to make namespaces.
"""

import secrets
import shutil
import subprocess
from types import TracebackType
from typing import Final, Self

CLUSTER: Final = "c"
INTERNET: Final = "i"
_NETWORKS: Final = {CLUSTER: 18, INTERNET: 19}
"""198.18.0.0/15 is set aside for tests of network gear (RFC 2544), so it is no network of this machine."""
_TIMEOUT_S: Final = 10


def why_no_hosts() -> str | None:
    """Say why this machine cannot play several hosts; None if it can."""
    if shutil.which("ip") is None:
        return "there is no `ip` (package iproute2)"
    try:
        with Sites():
            return None
    except subprocess.CalledProcessError as error:
        return f"`{' '.join(error.cmd)}` answered: {error.stderr.strip()}"


class Host:
    """One host, in a network namespace of its own."""

    def __init__(self, site: str, number: int, name: str, index: int) -> None:
        self.name = name
        self.address = f"198.18.{number}.{index}"
        self._namespace = f"{site}{index}"
        self._number = number
        self._index = index
        self._site = site

    @property
    def prefix(self) -> tuple[str, ...]:
        """What goes before a command that is to run on this host."""
        return ("ip", "netns", "exec", self._namespace)

    def set_up(self) -> None:
        _ip("netns", "add", self._namespace)
        inside = ("-n", self._namespace)
        _ip(*inside, "link", "set", "lo", "up")
        for network, octet in _NETWORKS.items():
            outer, inner = self._plug(network), f"eth{network}"
            _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", self._namespace)
            _ip("link", "set", outer, "master", f"{self._site}{network}", "up")
            _ip(*inside, "addr", "add", f"198.{octet}.{self._number}.{self._index}/24", "dev", inner)
            _ip(*inside, "link", "set", inner, "up")

    def cut(self, network: str = CLUSTER) -> None:
        """Pull the plug: whatever is sent from now on gets lost, and nobody is told."""
        _ip("link", "set", self._plug(network), "down")

    def heal(self, network: str = CLUSTER) -> None:
        """Put the plug back."""
        _ip("link", "set", self._plug(network), "up")

    def take_down(self) -> None:
        for network in _NETWORKS:
            _try_ip("link", "del", self._plug(network))
        _try_ip("netns", "del", self._namespace)

    def _plug(self, network: str) -> str:
        return f"{self._site}{network}{self._index}"


class Sites:
    """The two networks, and the hosts in them. The test's own namespace has a leg in both."""

    def __init__(self) -> None:
        self._number = secrets.randbelow(250) + 1
        self._site = f"wf{secrets.token_hex(3)}"
        self._hosts: list[Host] = []

    @property
    def address(self) -> str:
        """Where the test's own namespace is reached from within the cluster."""
        return f"198.18.{self._number}.1"

    @property
    def internet_address(self) -> str:
        """Where it is reached through the internet."""
        return f"198.19.{self._number}.1"

    def host(self, name: str) -> Host:
        """Set a further host up."""
        host = Host(self._site, self._number, name, len(self._hosts) + 11)
        self._hosts.append(host)
        host.set_up()
        return host

    def __enter__(self) -> Self:
        try:
            for network, octet in _NETWORKS.items():
                bridge = f"{self._site}{network}"
                _ip("link", "add", bridge, "address", _own_mac(), "type", "bridge")
                _ip("addr", "add", f"198.{octet}.{self._number}.1/24", "dev", bridge)
                _ip("link", "set", bridge, "up")
            self.host("probe")
        except BaseException:
            self._take_down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_down()

    def _take_down(self) -> None:
        for host in self._hosts:
            host.take_down()
        for network in _NETWORKS:
            _try_ip("link", "del", f"{self._site}{network}")


def _own_mac() -> str:
    """A bridge's address, locally administered; without one it takes over the lowest of its ports, also of later ones.

    What the hosts that were there before know of their neighbour is wrong then, and for some 15 s nothing of theirs
    arrives: not even that a killed browser's sockets were closed.
    """
    return ":".join(["02", *(secrets.token_hex(1) for _ in range(5))])


def _ip(*arguments: str) -> None:
    subprocess.run([_program(), *arguments], check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)


def _try_ip(*arguments: str) -> None:
    """As `_ip`, for what may be gone already."""
    subprocess.run([_program(), *arguments], check=False, capture_output=True, timeout=_TIMEOUT_S)


def _program() -> str:
    return shutil.which("ip") or "ip"
