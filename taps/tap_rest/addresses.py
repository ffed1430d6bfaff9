"""Which addresses and origins a request may go to.

Link-local addresses and the metadata services of clouds hand out credentials to whoever asks from inside; a
name or a redirect that leads there is refused unless the config lists the address. The check is made on the
numeric address that the socket is then connected to, so a name cannot change its meaning in between.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from singerkit_shell.errors import ConfigurationError

__all__ = ["Origin", "check_address", "is_url", "networks_of", "origin_of"]

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
