"""URLs put together: a path below `base_url`, and parameters behind those of a URL."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote_plus, unquote_plus, urlsplit, urlunsplit

from singerkit_shell.reach import is_url

_PLAIN = re.compile(r"https?://[\w.:-]+/[\w./~%@+-]+", re.ASCII)
"""A URL without a query, that no parser takes apart otherwise than another."""
_UNRESERVED = re.compile(r"[\w.~-]*", re.ASCII)
_ESCAPES = {
    number: quote_plus(chr(number)) for number in range(128) if not _UNRESERVED.fullmatch(chr(number))
}

__all__ = ["joined", "parameters_in_path", "texts_of", "with_params", "without_params"]


def joined(base: str, path: str) -> str:
    """Return the URL of a path below `base_url`, or the full URL that a path is."""
    if is_url(path):
        return path
    return f"{base.rstrip('/')}/{path.lstrip('/')}" if path.strip("/") else base


def with_params(url: str, params: Mapping[str, Any]) -> str:
    """Return ``url`` with parameters behind those of its query."""
    if not params:
        return url
    added = "&".join(
        f"{_quoted(name)}={_quoted(text)}" for name, value in params.items() for text in texts_of(value)
    )
    if added and _PLAIN.fullmatch(url):
        return f"{url}?{added}"
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, added) if part)
    return urlunsplit(parts._replace(query=query))


def without_params(url: str, is_out: Callable[[str], bool]) -> str:
    """Return ``url`` without those parameters of which ``is_out`` says so, by their value."""
    parts = urlsplit(url)
    kept = [part for part in parts.query.split("&") if not is_out(unquote_plus(part.partition("=")[2]))]
    return urlunsplit(parts._replace(query="&".join(kept)))


def _quoted(text: str) -> str:
    """Return a text as `urlencode` writes it, which for most is as it stands."""
    if _UNRESERVED.fullmatch(text):
        return text
    return text.translate(_ESCAPES) if text.isascii() else quote_plus(text)


def texts_of(value: Any) -> list[str]:
    """Return the texts that a value of the config is in a query, or in a form."""
    if isinstance(value, list | tuple):
        return [text for item in value for text in texts_of(item)]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [str(value)]


def parameters_in_path(path: str) -> list[tuple[str, str]]:
    """Return the parameters in the query of a `path`, which need not be the path of a URL."""
    return parse_qsl(path.partition("#")[0].partition("?")[2], keep_blank_values=True)
