"""Pages whose number travels inside a link or a token: `<...?page=2>; rel="next"`, `"next_page": 2`, `?offset=100`.

They are numbered pages all the same: rows shift between them when the source changes (decision 15). The first two questions of
a read show it: a number that is one more, or more by the rows that came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote_plus, urlencode, urlsplit

import msgspec

from tap_rest.names import words_of
from tap_rest.pages.steps import Step, position_behind

__all__ = ["Numbering", "numbering_of", "numbering_of_token"]

_NUMBER = re.compile(r"[0-9]{1,12}")
_PLACES = frozenset(
    ("page", "offset", "skip", "start", "startat", "index", "first", "pageno", "p", "pg", "from", "number")
)
"""Words of parameters that say where a page begins; others may hold the `id` of the last row."""
_ROWS = frozenset(("offset", "skip", "start", "startat", "index", "first", "from"))
"""Those that count rows, where both fit."""
_SIGNATURES = frozenset(
    ("sig", "signature", "hash", "hmac", "expires", "nonce", "ts", "timestamp", "auth", "checksum")
)
_SIZES = frozenset(("size", "limit", "per", "count", "max", "top", "rows", "results", "take"))
_TOKENS = frozenset(
    ("cursor", "token", "after", "before", "info", "continuation", "continue", "marker", "scroll", "key")
)
"""Words of parameters that lead on by themselves: a page number beside one is for show."""


@dataclass(frozen=True, slots=True)
class Numbering:
    """The URL of the second page, in two parts around its number; ``first`` is the number of the first page.

    ``step`` is set where the number is a token, which is sent without such a URL.

    ``counts_rows``: pages are asked for by the row they begin with, not by their own number. ``is_signed``: something else moves
    on with the number, so that no other page can be asked for.
    """

    name: str
    before: str
    behind: str
    first: int
    counts_rows: bool
    is_signed: bool = False
    step: Step | None = None

    def at(self, position: int) -> Step:
        """Return the step to the page of this number."""
        if self.step is not None:
            token = self.step.sent["cursor"]
            number = str(position) if isinstance(token, str) else position
            return replace(self.step, sent={**self.step.sent, "cursor": number}, position=position)
        return Step(url=f"{self.before}{position}{self.behind}", position=position)

    def step_behind(self, rows: int, size: int) -> Step:
        """Return the step to the page that holds the row behind ``rows``, and some before it, in pages of ``size``."""
        return self.at(position_behind(self.first, rows, size, counts_rows=self.counts_rows))

    def step_after(self, step: Step, rows: int) -> Step:
        """Return the step behind a page of ``rows``."""
        return self.at(step.position + (rows if self.counts_rows else 1))


def numbering_of(asked: str, following: str, records: Sequence[msgspec.Raw]) -> Numbering | None:
    """Return how the URL ``following`` numbers the page behind the first, asked for by the URL ``asked``, with ``records``.

    None where it does not, or where something else moves on, too, as an opaque cursor.
    """
    before = {name: value for name, value, _ in _query(asked)}
    moved = [place for place in _query(following) if place[1] and before.get(place[0]) != place[1]]
    if any(words_of(name) & _TOKENS and not _NUMBER.fullmatch(value) for name, value, _ in moved):
        return None
    numbers = [place for place in moved if _NUMBER.fullmatch(place[1]) and not words_of(place[0]) & _SIZES]
    if len(numbers) != 1:
        return None
    name, value, begin = numbers[0]
    kind = _kind(before.get(name), int(value), len(records), bool(words_of(name) & _ROWS))
    is_place = words_of(name) & _PLACES and "id" not in words_of(name)
    if kind is None or not (is_place or not _is_in(int(value), records[-1:])):
        return None
    first, counts_rows = kind
    is_signed = any(words_of(other) & _SIGNATURES for other, _, _ in moved)
    return Numbering(name, following[:begin], following[begin + len(value) :], first, counts_rows, is_signed)


def numbering_of_token(
    asked: Sequence[tuple[str, str]], name: str, step: Step, records: Sequence[msgspec.Raw]
) -> Numbering | None:
    """Return how a token that ``step`` sends as ``name``, in a body or a header, numbers the page behind the first.

    ``asked`` are names and values of the first request.
    """
    token = step.sent.get("cursor")
    if not isinstance(token, str | int):
        return None
    before = [pair for pair in asked if pair[0] != name]
    try:
        found = numbering_of(f"?{urlencode(asked)}", f"?{urlencode([*before, (name, token)])}", records)
    except UnicodeEncodeError:  # half of a surrogate pair; the request says so
        return None
    return None if found is None else replace(found, step=step)


def _kind(before: str | None, value: int, rows: int, is_of_rows: bool) -> tuple[int, bool] | None:
    """Return the number of the first page, and whether rows are counted; None where it is no such number."""
    starts = [int(before)] if before and _NUMBER.fullmatch(before) else [0, 1] if not before else []
    of_rows = [(start, True) for start in starts if rows > 1 and value == start + rows]
    of_pages = [(start, False) for start in starts if value == start + 1]
    return next(iter(of_rows + of_pages if is_of_rows else of_pages + of_rows), None)


def _is_in(value: int, records: Sequence[msgspec.Raw]) -> bool:
    """Tell whether the last row holds the number, or the one before it: it is the key to go on from, as with `since_id`."""
    return any(
        re.search(rf"(?<![0-9.])(?:{value}|{value - 1})(?![0-9.])", bytes(row).decode("utf-8", "replace"))
        for row in records
    )


def _query(url: str) -> Iterator[tuple[str, str, int]]:
    """Yield names and values of the query, decoded, and where each value begins in the URL."""
    query = urlsplit(url).query
    position = url.find("?") + 1
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        yield unquote_plus(name), unquote_plus(value), position + len(name) + len(equals)
        position += len(part) + 1
