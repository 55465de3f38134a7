"""Fetching media from a URL: public addresses only, within limits of size and time.

Every address is judged after the name was resolved, and the connection goes to the very address that was judged, so a
name that resolves anew to something private (DNS rebinding) gains nothing. Each redirect is judged like the first URL.
aiohttp is imported with this module, which is imported late itself.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from actors.config import MediaConfig
from actors.errors import MediaRejected

_CHUNK_BYTES: Final = 64 * 1024
_SCHEMES: Final = {"http": 80, "https": 443}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_OK: Final = 200
_USER_AGENT: Final = "wafleet"
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class PrivateAddressError(OSError):
    """A name that resolves to an address nobody outside may name."""


class PublicResolver(AbstractResolver):
    """Resolves names, and refuses those with any address that is not public."""

    def __init__(self, is_allowed: Callable[[str, int], bool]) -> None:
        self._inner = ThreadedResolver()
        self._is_allowed = is_allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host; aiohttp connects to these and asks nobody again."""
        found = await self._inner.resolve(host, port, family)
        if not self._is_allowed(host, port):
            for one in found:
                if not is_public(one["host"]):
                    raise PrivateAddressError(f"{host} resolves to {one['host']}")
        return found

    async def close(self) -> None:
        """Close the resolver."""
        await self._inner.close()


def is_public(address: str) -> bool:
    """Tell whether an address may be fetched from: global unicast, seen through every IPv4-in-IPv6 form."""
    try:
        ip = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class Fetched:
    """A file that was fetched."""

    def __init__(self, content_type: str | None, filename: str) -> None:
        self.content_type = content_type
        self.filename = filename
        """The last part of the URL's path; may be empty."""


async def fetch(url: str, target: Path, config: MediaConfig) -> Fetched:
    """Fetch a URL into a file.

    Raises:
        MediaRejected: The address is not allowed, or the answer is no file within the limits.
    """
    try:
        async with asyncio.timeout(config.fetch_timeout_s):
            return await _follow(url, target, config)
    except TimeoutError as exc:
        raise _rejected(url, "timeout", f"gave no whole answer in {config.fetch_timeout_s:g} s") from exc
    except PrivateAddressError as exc:
        raise _private(url) from exc
    except aiohttp.ClientConnectorError as exc:
        if isinstance(exc.os_error, PrivateAddressError):
            raise _private(url) from exc
        raise _rejected(url, "unreachable", f"cannot be reached ({exc.os_error})") from exc
    except (aiohttp.ClientError, ValueError) as exc:
        raise _rejected(url, "unreachable", f"cannot be fetched ({type(exc).__name__}: {str(exc)[:200]})") from exc


async def _follow(url: str, target: Path, config: MediaConfig) -> Fetched:
    connector = aiohttp.TCPConnector(
        resolver=PublicResolver(lambda host, port: _is_allowed(host, port, config)), use_dns_cache=False, limit=1
    )
    timeout = aiohttp.ClientTimeout(total=None, connect=config.connect_timeout_s)
    headers = {"Accept-Encoding": "identity", "User-Agent": _USER_AGENT}
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=headers, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    ) as http:
        for _ in range(config.max_redirects + 1):
            _check_url(url, config)
            async with http.get(url, allow_redirects=False) as response:
                if response.status in _REDIRECTS and "Location" in response.headers:
                    url = urljoin(url, response.headers["Location"])
                    continue
                if response.status != _OK:
                    raise _rejected(url, "status", f"answered {response.status}", {"got": response.status})
                await _store(url, response, target, config)
                return Fetched(response.headers.get("Content-Type"), _name_of(url))
    raise _rejected(url, "redirects", f"was redirected more than {config.max_redirects} times")


def _check_url(url: str, config: MediaConfig) -> None:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise _rejected(url, "scheme", "is no http or https address")
    port = parts.port or _SCHEMES[parts.scheme]
    if _is_literal(parts.hostname) and not _is_allowed(parts.hostname, port, config) and not is_public(parts.hostname):
        # aiohttp does not ask its resolver about an address that is written out.
        raise _private(url)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        return False
    return True


def _is_allowed(host: str, port: int, config: MediaConfig) -> bool:
    return bool({host, f"{host}:{port}"} & config.allowed_private_hosts)


async def _store(url: str, response: aiohttp.ClientResponse, target: Path, config: MediaConfig) -> None:
    size = response.content_length or 0
    if size > config.max_bytes:
        raise too_large(url, size, config)
    size = 0
    with target.open("wb") as file:
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            size += len(chunk)
            if size > config.max_bytes:
                raise too_large(url, size, config)
            file.write(chunk)
    if size == 0:
        raise _rejected(url, "empty", "answered an empty file")


def too_large(source: str, size: int, config: MediaConfig) -> MediaRejected:
    """Build the refusal of a file over the limit."""
    return MediaRejected(
        f"{_shown(source)} has more than {config.max_bytes} bytes",
        {"reason": "too_large", "expected": config.max_bytes, "got": size},
    )


def _private(url: str) -> MediaRejected:
    return _rejected(url, "private_address", "points to a private address; media is fetched from public ones only")


def _rejected(url: str, reason: str, what: str, more: dict[str, object] | None = None) -> MediaRejected:
    return MediaRejected(f"{_shown(url)} {what}", {"field": "url", "reason": reason, **(more or {})})


def _shown(url: str) -> str:
    """The address without query and credentials, which may be secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:200]


def _name_of(url: str) -> str:
    return unquote(urlsplit(url).path).rsplit("/", 1)[-1]
