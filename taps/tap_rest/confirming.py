"""Whether a full load has met all rows: its pages are read once more, and the second time has to show no others.

What one answer holds was there at one moment. Between two answers the source changes: a row that is deleted on a page that was
read moves the first row of the next page to where nobody looks any more. Nothing in the answers shows it, a total and a
token of the next page included, and a row that was missed so would be taken for one that is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from msgspec import Raw

from tap_rest.records import ReadPage

__all__ = ["Confirmation"]

_TIMES = 3
"""How often the pages are read again at most."""
_MEMORY = 1_000_000
"""Rows that are remembered from the first time: 64 bits each."""
_OTHERS = "its pages showed other rows each time they were read, since the source changed meanwhile or sorts them otherwise each time"
_TWICE = "the API gave rows twice, on two pages, so that it may have left others out"
_MANY = f"it has more than {_MEMORY} rows on more pages than one, too many to see whether all have come"
_GONE = "its first page was not found when it was read once more"
_AGED = "its pages came out of a cache (`Age`), and from different moments"

KeysOf = Callable[[Sequence[Raw]], Sequence[object]]


class Confirmation:
    """One read of the pages of a stream, or of a child below one parent, until it is sure.

    ``keys_of`` returns what tells the rows apart. ``has_key``: rows that the first time has not shown are sent, too, since
    they replace themselves by their key; without one they could be doubled.
    """

    def __init__(self, keys_of: KeysOf, *, has_key: bool, is_key_unique: bool) -> None:
        self._keys_of = keys_of
        self._has_key = has_key
        self._is_key_unique = is_key_unique
        self._known: set[int] = set()
        self.doubt: str | None = None
        """Why rows may be missing, once the pages have come to their end."""

    def pages(
        self, first: Iterable[ReadPage], again: Callable[[], Iterable[ReadPage]], *, is_sure: bool
    ) -> Iterator[ReadPage]:
        """Yield the pages of ``first``, and, of those that are asked for ``again``, what they have beyond them.

        ``is_sure``: pages by which no row can be missed.
        """
        answers, rows, is_aged = 0, 0, False
        for page in first:
            answers += 1
            is_aged = is_aged or _is_aged(page)
            rows += len(page.records)
            if rows <= _MEMORY:
                self._known.update(self._hashes(page))
            yield page
        if answers < 2:
            return
        if is_aged:
            self.doubt = _AGED
        elif not is_sure and rows > _MEMORY:
            self.doubt = _MANY
        elif not is_sure:
            yield from self._until_sure(again, rows)

    def _until_sure(self, again: Callable[[], Iterable[ReadPage]], rows: int) -> Iterator[ReadPage]:
        """Read until two times have shown the same rows; between them nothing has moved, whatever came before."""
        before = set(self._known)
        for _ in range(_TIMES):
            here: set[int] = set()
            came = 0
            for page in again():
                if page.is_absent:
                    self.doubt = _GONE
                    return
                hashes = self._hashes(page)
                came += len(hashes)
                here.update(hashes)
                pairs = zip(page.records, hashes, strict=True)
                new = [record for record, number in pairs if number not in self._known]
                if new and self._has_key:
                    self._known.update(hashes)
                    yield replace(page, records=new, begins_again=0)
            if not self._has_key:
                # Rows may say the same, so that their number counts; and those that are new would be doubled.
                self.doubt = None if here == before and came == rows else _OTHERS
                return
            if self._is_key_unique and len(here) < came:
                self.doubt = _TWICE
                return
            if here == before:
                return
            before = here
        self.doubt = _OTHERS

    def _hashes(self, page: ReadPage) -> list[int]:
        return list(map(hash, self._keys_of(page.records)))


def _is_aged(page: ReadPage) -> bool:
    headers = page.answer.headers if page.answer is not None else {}
    ages = (value for name, value in headers.items() if name.lower() == "age")
    return any(age.strip() not in ("", "0") for age in ages)
