"""What leads to the next page: a URL, a token, a link in a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tap_rest.names import plain_name
from tap_rest.pages.lastpage import LastPage, Place, Sign, Weight, query_of
from tap_rest.pages.membernames import LATE_TOKENS, LINKS, NEXT_URLS, TOKEN_OBJECTS, TOKENS, may_be_token
from tap_rest.pages.members import path_of

__all__ = ["as_hint", "is_asked", "is_token", "link_in_list", "pointer_sign"]


def pointer_sign(names: tuple[str, ...], value: Any, page: LastPage) -> Sign | None:
    name, path = plain_name(names[-1]), path_of(names)
    if name in LINKS and isinstance(value, list):
        return link_in_list(value, path)
    if name in TOKEN_OBJECTS and isinstance(value, dict | list):
        return _token_in_object(names, value)
    if isinstance(value, bool) or not isinstance(value, str | int) or not is_token(value):
        return None
    above = plain_name(names[-2]) if len(names) > 1 else ""
    if above == "next" and name in ("href", "url"):
        links = path_of(names[:-2])
        return Sign(Weight.NEXT, f"`{path}` is a URL", {"type": "hateoas", "links": links})
    if above == "nextpage" and name in ("href", "url", "uri", "link"):
        return Sign(Weight.NEXT, f"`{path}` is a URL", {"type": "next_url", "next": path})
    if isinstance(value, str) and name in NEXT_URLS and _is_url(value):
        return Sign(Weight.NEXT, f"`{path}` is a URL", {"type": "next_url", "next": path})
    if name == "link" and above == "next":
        return Sign(Weight.NEXT, f"`{path}` is a URL", {"type": "next_url", "next": path})
    if name == "offset" and (not isinstance(value, str) or value.isdigit()):
        # An echo of what was asked for, as a rule; the offset of the next page is the number of rows that came.
        return _late(path, "offset") if value == page.received and not is_asked(value, page) else None
    if name in TOKENS and above != "cursors":
        if not str(value).isdigit() and is_asked(value, page):
            return None  # of a source that keeps the place itself, it is always the same
        fits = {"type": "cursor", "cursor": path, "param": TOKENS[name]}
        return Sign(Weight.NEXT, f"`{path}` holds a token", fits)
    if name in LATE_TOKENS or may_be_token(names[-1]):
        if is_asked(value, page):
            return None
        if isinstance(value, str) and value.startswith(("http://", "https://", "/")):
            return Sign(Weight.LATE, f"`{path}` is a URL", {"type": "next_url", "next": path})
        sign = _late(path, LATE_TOKENS.get(name) or names[-1])
        # Facebook sends `cursors` on the last page, too, and leaves `next` out.
        return sign if above != "cursors" or page.place is Place.ABSENT else as_hint(sign)
    if name == "token" or name == "maxid":
        return as_hint(_late(path, names[-1]))
    return None


def _late(path: str, param: str) -> Sign:
    return Sign(Weight.LATE, f"`{path}` holds a token", {"type": "cursor", "cursor": path, "param": param})


def is_asked(value: Any, page: LastPage) -> bool:
    return str(value) in [text for _, text in query_of(page)]


def _token_in_object(names: tuple[str, ...], value: Mapping[str, Any] | Sequence[Any]) -> Sign | None:
    """`lastEvaluatedKey: {"id": 5}`, `continue: {"cmcontinue": "page|5", "continue": "-||"}`."""
    if not value:
        return None
    inner = [name for name in value if name != "continue"] if isinstance(value, Mapping) else []
    if len(inner) != 1:
        return _late(path_of(names), LATE_TOKENS.get(plain_name(names[-1])) or names[-1])
    return _late(path_of((*names, inner[0])), inner[0])


def link_in_list(links: Sequence[Any], path: str, wanted: Sequence[str] = ("next",)) -> Sign | None:
    for link in links:
        if isinstance(link, dict) and {link.get("rel"), link.get("relation")} & set(wanted):
            return Sign(
                Weight.NEXT, f"`{path}` has a link with rel `next`", {"type": "hateoas", "links": path}
            )
    return None


def is_token(value: str | int) -> bool:
    return value not in ("", 0, "0", -1, "-1", "null", "None", "false")


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://", "/", "?", "./")) or "?" in text


def as_hint(sign: Sign) -> Sign:
    return Sign(Weight.HINT, sign.seen, sign.fits)
