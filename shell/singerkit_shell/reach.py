"""Which addresses and origins a request may go to.

Link-local addresses and the metadata services of clouds hand out credentials to whoever asks from inside; a
name or a redirect that leads there is refused unless the config lists the address. The check is made on the
numeric address that the socket is then connected to, so a name cannot change its meaning in between.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from singerkit_shell.errors import BadDataError, ConfigurationError, NotAuthorisedError

__all__ = [
    "Network",
    "Origin",
    "Reach",
    "check_address",
    "configured_origin",
    "is_ever_refused",
    "is_url",
    "networks_of",
    "origin_of",
    "origin_text",
]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Origin = tuple[str, str, int]
"""Scheme, host in lower case, port."""

_REFUSED: tuple[Network, ...] = (
    ipaddress.ip_network("169.254.0.0/16"),  # link-local; AWS, Azure, Google, Oracle metadata
    ipaddress.ip_network("fe80::/10"),  # link-local
    ipaddress.ip_network("fd00:ec2::/32"),  # AWS metadata and its neighbours
    ipaddress.ip_network("fd20:ce::254/128"),  # Google metadata
    ipaddress.ip_network("100.100.100.200/32"),  # Alibaba metadata
    ipaddress.ip_network("168.63.129.16/32"),  # Azure wire server
)
_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def networks_of(texts: Sequence[str]) -> tuple[Network, ...]:
    """Parse `allowed_addresses`.

    Raises:
        ConfigurationError: one of them is no address and no network.
    """
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise ConfigurationError(
            f"Expected IP addresses or networks at allowed_addresses: {error}."
        ) from None


def is_ever_refused(text: str) -> bool:
    """Tell whether an entry of `allowed_addresses` holds an address that is refused without it, or is none."""
    try:
        (network,) = networks_of([text])
    except ConfigurationError:
        return True  # said elsewhere
    return any(refused.version == network.version and network.overlaps(refused) for refused in _REFUSED)


def check_address(text: str, host: str, allowed: Sequence[Network]) -> None:
    """Refuse a numeric address that is link-local or a metadata service.

    Raises:
        ConfigurationError: it is, and no network of ``allowed`` holds it.
    """
    address = _unwrapped(ipaddress.ip_address(text.split("%", 1)[0]))
    if any(address in network for network in allowed):
        return
    if any(address in network for network in _REFUSED):
        raise ConfigurationError(
            f"The host {host} leads to {address}, a link-local or metadata address, and was not contacted; "
            f'if that is meant, add "{address}" to `allowed_addresses`.'
        )


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address


_NO_URL = re.compile(r"[\0-\x1f\\]")


def is_url(text: str) -> bool:
    """Tell whether a text is a whole URL, whatever the letters of its scheme."""
    return text[:8].lower().startswith(("http://", "https://"))


def origin_of(url: str) -> Origin:
    """Return scheme, host and port of an http or https URL.

    The URL is taken apart by urllib3, as it is when the connection is made: what one parser takes for the host
    (`http://other\\@api/`) is a password to another.

    Raises:
        ValueError: the URL has another scheme, no host, a bad port, or characters that no URL has.
    """
    if _NO_URL.search(url):
        raise ValueError("not a URL: it holds control characters or backslashes")
    return _origin_of(url.partition("?")[0])


@lru_cache(maxsize=16)
def _origin_of(url: str) -> Origin:
    """Return the origin of a URL without its query, which pages differ in."""
    try:
        parts = parse_url(url)
        urlsplit(url)  # others take the URL apart after this
    except (LocationParseError, ValueError):
        raise ValueError("not a URL") from None
    scheme, host = parts.scheme, (parts.host or "").strip("[]").rstrip(".").lower()
    if scheme not in _PORTS or not host:
        raise ValueError(f"not an http or https URL with a host: {scheme or 'no scheme'}")
    return scheme, host, parts.port or _PORTS[scheme]


def configured_origin(url: str, key: str) -> Origin:
    """Return the origin of a URL of the config, at ``key``, which may have no scheme.

    Raises:
        ConfigurationError: it is no URL.
    """
    try:
        return origin_of(url if "://" in url else f"https://{url}")
    except ValueError as error:
        raise ConfigurationError(
            f"Expected a URL like https://api.example.com at `{key}`, got one that is {error}."
        ) from None


def origin_text(origin: Origin) -> str:
    """Return an origin as a URL."""
    return f"{origin[0]}://{origin[1]}:{origin[2]}"


class Reach:
    """How far the requests of one config may go: `base_url`, `allowed_hosts` and `allowed_addresses`."""

    def __init__(self, base_url: str, hosts: Sequence[str], addresses: Sequence[str]) -> None:
        self._own = configured_origin(base_url, "base_url")
        self._others = {configured_origin(url, "allowed_hosts") for url in hosts}
        self.networks = networks_of(addresses)
        self._last: tuple[str, bool] | None = None
        """The last URL that was looked at, without its query, and whether it is our own: of the next page it is the same."""

    def is_own(self, url: str) -> bool:
        """Tell whether credentials may go to ``url``.

        Raises:
            NotAuthorisedError: it is another origin, and not listed.
            ConfigurationError: its host is a refused address.
            BadDataError: it is no URL.
        """
        head, last = url.partition("?")[0], self._last  # which another thread may set meanwhile
        if last is None or last[0] != head or _NO_URL.search(url):
            last = self._last = head, self._look(url)
        return last[1]

    def _look(self, url: str) -> bool:
        try:
            origin = origin_of(url)
        except ValueError as error:
            raise BadDataError(f"Expected the URL of a page, got one that is {error}.") from None
        self.check_host(url)
        if origin == self._own:
            return True
        if origin not in self._others:
            raise NotAuthorisedError(
                f"The way leads from {origin_text(self._own)} to {origin_text(origin)}, another origin, "
                "and was not followed; if that is right, change `base_url`, or list it in `allowed_hosts` "
                "(no credentials are sent there)."
            )
        if self._own[0] == "https" and origin[0] == "http":
            raise NotAuthorisedError(
                f"The way leads from {origin_text(self._own)} to {origin_text(origin)} without TLS, "
                "and was not followed."
            )
        return False

    def check_host(self, url: str) -> None:
        """Check a host that is a number already, since a proxy might connect to it unseen by us.

        Raises:
            ConfigurationError: it is a refused address.
            ValueError: see `origin_of`.
        """
        host = origin_of(url)[1]
        try:
            # inet_aton knows numbers that look like names: 2852039166 is 169.254.169.254.
            number = host if ":" in host else socket.inet_ntoa(socket.inet_aton(host))
        except OSError:
            return  # a name; its addresses are checked when connecting
        check_address(number, host, self.networks)
