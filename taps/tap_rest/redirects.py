"""What a redirect leaves out of what was asked for (decision 26)."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["leads_to_same", "lost_parameters"]

_OPAQUE = re.compile(r"\S{20,}")
_SUFFIX = re.compile(r"(?<=.)\.[a-z]{2,5}$")


def lost_parameters(sent: str, target: str) -> list[str]:
    """Return the names of the parameters of ``sent`` that ``target`` says nothing of.

    One may stand there under another name, or in the path; and a URL with a token that was not sent, as one that is signed,
    may say all in it.
    """
    asked, there = _pairs(sent), _pairs(target)
    names = {name for name, _ in asked}
    new = {value for name, value in there if name not in names}
    if any(map(_OPAQUE.fullmatch, new)):
        return []
    carried = new | _segments(target).difference(_segments(sent))
    lost = [
        name
        for name, value in asked
        if not any(name == other and (said or not value) for other, said in there)
        and (not value or value not in carried)
    ]
    return list(dict.fromkeys(lost))


def leads_to_same(sent: str, target: str) -> bool:
    """Tell whether a URL names the same thing as another one, as far as the last part of its path tells."""
    return _last(sent) == _last(target)


def _pairs(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def _segments(url: str) -> set[str]:
    return {unquote(part) for part in urlsplit(url).path.split("/")}


def _last(url: str) -> str:
    path = unquote(urlsplit(url).path).rstrip("/").lower()
    return _SUFFIX.sub("", path.rpartition("/")[2])
