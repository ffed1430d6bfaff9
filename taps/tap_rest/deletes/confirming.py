"""Whether a full load has met all rows: it is read once more, and the second time has to show no others.

What one answer holds was there at one moment. Between two answers the source changes: a row that is deleted on a page that was
read moves the first row of the next page to where nobody looks any more, and a row that goes from one parent to another is in
no answer where the other was asked first. Nothing in the answers shows it, a total and a
token of the next page included, and a row that was missed so would be taken for one that is gone.

This is not what `asking.pages` does where it asks for one page again: there one answer contradicts another, so that it alone is asked
for again, in any read, before it is taken. Here no answer is in doubt, and only all of them, against all of the time before,
show that something has moved. How the reads ended, which a state remembers (`pages.endings`), is no part of it: a load is sure if
both have no doubt (`RestStream.doubt_of_load`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from msgspec import Raw

from singerkit_tap.contract import Context
from tap_rest.long.rows import parts_of
from tap_rest.records.cutting import ReadPage

__all__ = ["Confirmation"]

_TIMES = 3
"""How often all is read again at most."""
_MEMORY = 1_000_000
"""Rows that are remembered from the first time: 64 bits each."""
_OTHERS = "it showed other rows each time it was read, since the source changed meanwhile or sorts them otherwise each time"
_TWICE = "the API gave rows twice, on two pages, so that it may have left others out"
_MANY = f"it has more than {_MEMORY} rows in more answers than one, too many to see whether all have come"
_GONE = "it was not found when it was read once more"
_AGED = "an answer came out of a cache (`Age`), and may be older than the load before"

KeysOf = Callable[[Sequence[Raw], Context | None], Sequence[object]]
Again = Callable[[], Iterable[tuple[Context | None, ReadPage]]]
"""Asks for all pages once more, each with the context of the parent that it stands below."""


class Confirmation:
    """One load of a stream, with a child below all its parents, until it is sure.

    ``keys_of`` returns what tells the rows apart. ``has_key``: rows that the first time has not shown are sent, too, since
    they replace themselves by their key; without one they could be doubled.
    """

    def __init__(self, keys_of: KeysOf, *, has_key: bool, is_key_unique: bool) -> None:
        self._keys_of = keys_of
        self._has_key = has_key
        self._is_key_unique = is_key_unique
        self._known: set[int] = set()
        self._rows = 0
        self.answers = 0
        self.doubt: str | None = None
        """Why rows may be missing, once all has been read."""

    def note(self, page: ReadPage, context: Context | None, *, is_all: bool) -> None:
        """Remember a page of the first time; ``is_all``: it is the only one, so that nothing is read again."""
        self.answers += 1
        self._rows += len(page.records)
        if _is_aged(page):
            self.doubt = self.doubt or _AGED
        if self._rows <= _MEMORY and not is_all:
            self._known.update(self._hashes(page, context))

    def missed(self, again: Again) -> Iterator[tuple[Context | None, ReadPage]]:
        """Read ``again``, and yield the pages with what they have beyond the first time.

        Until two times have shown the same rows; between them nothing has moved, whatever came before.
        """
        if self.doubt is None and self._rows > _MEMORY:
            self.doubt = _MANY
        if self.doubt is not None:
            return
        before = set(self._known)
        for _ in range(_TIMES):
            here: set[int] = set()
            came = 0
            for context, page in again():
                if page.is_absent or _is_aged(page):
                    self.doubt = _GONE if page.is_absent else _AGED
                    return
                hashes = self._hashes(page, context)
                came += len(hashes)
                here.update(hashes)
                pairs = zip(page.records, hashes, strict=True)
                new = [record for record, number in pairs if number not in self._known]
                if new and self._has_key:
                    self._known.update(hashes)
                    yield context, replace(page, records=new, begins_again=0)
            if not self._has_key:
                # Rows may say the same, so that their number counts; and those that are new would be doubled.
                self.doubt = None if here == before and came == self._rows else _OTHERS
                return
            if self._is_key_unique and len(here) < came:
                self.doubt = _TWICE
                return
            if here == before:
                return
            before = here
        self.doubt = _OTHERS

    def _hashes(self, page: ReadPage, context: Context | None) -> list[int]:
        return [
            number
            for records in parts_of(page.records)
            for number in map(hash, self._keys_of(records, context))
        ]


def _is_aged(page: ReadPage) -> bool:
    ages = (value for name, value in page.answer.headers.items() if name.lower() == "age")
    return any(age.strip() not in ("", "0") for age in ages)
