"""Parts of a URL, of which only those are read that are asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from singerkit_map.contract import BadValue

__all__ = ["PARTS", "parts_of"]

_NO_URL = "expected a URL, got something else"
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+")


def _port(url: SplitResult) -> int | None:
    try:
        return url.port
    except ValueError:
        raise BadValue("expected a URL, got one whose port is no number of a port") from None


PARTS: Mapping[str, Callable[[SplitResult], Any]] = {
    "scheme": lambda url: url.scheme or None,
    "user": lambda url: url.username or None,
    "host": lambda url: url.hostname,
    "port": _port,
    "path": lambda url: url.path or None,
    "query": lambda url: url.query or None,
    "fragment": lambda url: url.fragment or None,
}
"""All but the password, which is taken by nobody. `query.NAME` is one parameter, `query.NAME[]` all of that name."""


def parts_of(text: str, wanted: tuple[str, ...], assumed: str | None) -> tuple[Any, ...]:
    """Return the wanted parts of a URL, None for one that it has not; ``assumed`` is the scheme of one without.

    Raises:
        BadValue: it is no URL.
    """
    url = _split(text, assumed)
    return tuple(PARTS[part](url) if part in PARTS else _parameter(url.query, part) for part in wanted)


def _split(text: str, assumed: str | None) -> SplitResult:
    if _FORBIDDEN.search(text):
        raise BadValue("expected a URL, got text with a blank or control character")
    if assumed is not None and "://" not in text.partition("?")[0]:
        text = f"{assumed}://{text.removeprefix('//')}"
    try:
        url = urlsplit(text)
        host = url.hostname
    except ValueError:
        raise BadValue(_NO_URL) from None
    if not _SCHEME.fullmatch(url.scheme) or not host:
        raise BadValue("expected a URL with a scheme and a host, got something else")
    return url


def _parameter(query: str, part: str) -> Any:
    name = part.removeprefix("query.")
    takes_all = name.endswith("[]")
    name = name.removesuffix("[]")
    found = []
    for pair in query.split("&") if query else ():
        key, _, value = pair.partition("=")
        if _decoded(key, "replace") != name:
            continue
        found.append(_decoded(value, "strict"))
        if not takes_all:
            return found[0]
    return found if takes_all and found else None


def _decoded(text: str, errors: str) -> str:
    if "%" not in text:
        return text.replace("+", " ")
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", errors)
    except UnicodeDecodeError:
        raise BadValue("expected a URL, got one whose parameters are not UTF-8") from None
