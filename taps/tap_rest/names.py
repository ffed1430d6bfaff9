"""Names of members and headers, as they are compared: APIs write one word in many ways."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["in_words", "plain_name", "words_of"]

_NAMES = 1024  # each page of a stream has the same ones


@lru_cache(_NAMES)
def plain_name(name: str) -> str:
    """`hydra:next` and `__next` are next, `@odata.nextLink` and `next_link` are nextlink."""
    last = re.split(r"[:.]", name)[-1] if not name.startswith("page[") else name
    return re.sub(r"[@$_\- ]", "", last.lower())


@lru_cache(_NAMES)
def in_words(name: str) -> tuple[str, ...]:
    """`next_page`, `nextPage` and `X-Next-Page` end with the words next, page."""
    return tuple(word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name))


@lru_cache(_NAMES)
def words_of(name: str) -> frozenset[str]:
    """Return the words of a name, in any order."""
    return frozenset(in_words(name))
