"""What a redirect leaves out of what was asked for (decision 28)."""

from __future__ import annotations

import re
from collections import Counter
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["leads_to_same", "lost_parameters"]

_OPAQUE = re.compile(r"(?=\S*[0-9])(?=\S*[A-Za-z])(?![0-9TZ:.+-]+$)\S{20,}")
"""A signature or a token, and no date-time."""
_SUFFIX = re.compile(r"(?<=.)\.[a-z]{2,5}$")


def lost_parameters(sent: str, target: str) -> list[str]:
    """Return the names of the parameters of ``sent`` that ``target`` says nothing of.

    One may stand there under another name, or in the path; and a URL with a token that was not sent, as one that is signed,
    may say all in it.
    """
    asked, there = _pairs(sent), _pairs(target)
    times = Counter(name for name, _ in asked)
    new = {value for name, value in there if name not in times}
    if any(map(_OPAQUE.fullmatch, new)):
        return []
    carried = new | _segments(target).difference(_segments(sent))
    lost = []
    for name, value in asked:
        values = [said for other, said in there if other == name and (said or not value)]
        listed = {part for said in values for part in (said, *said.split(","))}
        if len(values) < times[name] and value not in listed and (not value or value not in carried):
            lost.append(name)
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
