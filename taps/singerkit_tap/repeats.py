"""Whether rows of a stream without a key come again on a later page: they are there twice, and others may be on no page.

Rows may say the same, so only those count that have an `id` which is another one in each row of every page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from singerkit_tap.changes import reset_of
from singerkit_tap.contract import Page
from singerkit_tap.stream import BlockStream
from singerkit_wire.encode import RecordEncoder, Rows

__all__ = ["RepeatWatch"]

_MEMORY = 100_000
"""Rows that are remembered from one page to the next: 64 bits each."""
_IDS = frozenset(("id", "uuid", "guid"))


class RepeatWatch:
    """Looks at the rows of one stream that are sent."""

    def __init__(self, stream: BlockStream) -> None:
        self._stream = stream
        self._not_unique: set[str] = set()
        self._id: str | None = None
        self._count = self._again = 0
        self.begin_read()

    def begin_read(self) -> None:
        """Note that the rows from here on are of another read, below another parent for instance."""
        self._known: set[int] = set()
        self._page: Page | None = None
        self._of_page: set[int] = set()
        self._ids_of_page: dict[str, set[bytes]] = {}

    def look(self, encoder: RecordEncoder, rows: Rows, page: Page) -> None:
        """Look at rows of ``page`` that are sent, where pages are asked for by number."""
        if self._stream.advice_on_moved_rows() is None:
            return
        if page is not self._page:
            if len(self._known) < _MEMORY:
                self._known |= self._of_page
            self._page, self._of_page, self._ids_of_page = page, set(), {}
        names = [name for name in encoder.fields if _is_id(name) and name not in self._not_unique]
        if len(self._of_page) >= _MEMORY:
            return  # a page of so many rows says enough
        for name in names:
            ids = self._ids_of_page.setdefault(name, set())
            before = len(ids)
            ids.update(map(bytes, encoder.column(rows, name)))
            if len(ids) < before + len(rows):
                self._not_unique.add(name)
        self._id = next((name for name in names if name not in self._not_unique), None)
        if self._id is not None:
            hashes = encoder.hashes(rows)
            self._count += len(hashes)
            self._again += sum(map(self._known.__contains__, hashes))
            self._of_page.update(hashes)

    def finish(self) -> Iterator[str]:
        """Yield what is to be told at the end of the read."""
        again, advice = self._again - self._stream.rows_asked_again, self._stream.advice_on_moved_rows()
        if self._id is None or again <= 0 or advice is None:
            return
        yield (
            f"{again} of {self._count} rows of stream `{self._stream.name}`, which has no key, came again, unchanged, on a later "
            f"page of the same read, and are there twice; `{self._id}` is another one in each row of a page. Rows that are inserted "
            "at the source meanwhile shift others so, and an API that gives its rows in another order on each page leaves as "
            f'many others out: set `"primary_keys": ["{self._id}"]` and run {reset_of(self._stream)}; if it says so again, {advice}.'
        )


def _is_id(name: str) -> bool:
    return re.sub(r"[^a-z]", "", name.lower()) in _IDS
