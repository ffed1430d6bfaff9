"""The links of a page that lists a folder, as nginx, Apache and others make it."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

import requests

from singerkit_shell.errors import BadDataError

__all__ = ["links_of"]

_PIECE = 1 << 16
_LONGEST = 256 << 20
"""Bytes of one page; a million files make a hundred."""


def links_of(answer: requests.Response, url: str) -> list[str]:
    """Return the names that a page links to directly below its own ``url``, those of folders with `/` at their end.

    Raises:
        BadDataError: the page is longer than any folder's, or not in UTF-8.
    """
    links = _Links(url)
    length, rest = 0, b""
    while piece := answer.raw.read(_PIECE, decode_content=False):
        length += len(piece)
        if length > _LONGEST:
            raise BadDataError(
                f"The page that lists `{urlsplit(url).path}` is longer than {_LONGEST} bytes; narrow `path`."
            )
        whole, _, rest = (rest + piece).rpartition(b">")
        links.feed(whole.decode("utf-8", "replace") + (">" if whole else ""))
    return list(links.names)


class _Links(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._url, self._own = url, urlsplit(url)
        self.names: dict[str, None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href") if tag == "a" else None
        try:
            link = urlsplit(urljoin(self._url, href or ""))
        except ValueError:
            return
        is_below = (link.scheme, link.netloc) == (
            self._own.scheme,
            self._own.netloc,
        ) and link.path.startswith(self._own.path)
        if not is_below or link.query:  # `?C=M;O=A` sorts the page
            return
        name = unquote(link.path[len(self._own.path) :])
        if name.removesuffix("/") not in ("", ".", "..") and "/" not in name.removesuffix("/"):
            self.names[name] = None
