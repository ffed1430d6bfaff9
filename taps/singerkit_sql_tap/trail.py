"""Whether rows still stand where a load has read them: a number that the database gives a row is no name of the row.

`DELETE` and `INSERT`, `VACUUM` or a copy restored in the place of a file give rows other numbers, and a load that goes on behind a
number then leaves rows out, and has sent others twice. No number and no time stamp of a file tells; the rows themselves do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from operator import itemgetter

import msgspec

from singerkit_sql_tap.contract import Row

__all__ = ["Trail"]

_encoder = msgspec.json.Encoder()


class Trail:
    """Which row has had which number, as a digest over all that a load has read, of however many runs.

    ``places`` of a row tell it from others, its number among them; None: all.
    """

    def __init__(self, places: Sequence[int] | None) -> None:
        self._of = None if places is None else itemgetter(*places)
        self._digest = hashlib.blake2b(digest_size=8)

    def add(self, rows: Sequence[Row]) -> None:
        """Take in the rows that come next."""
        self._digest.update(_encoder.encode_lines(rows if self._of is None else map(self._of, rows)))

    def are_one(self, row: Row, other: Row) -> bool:
        """Tell whether two rows with one number are the same row."""
        return row == other if self._of is None else bool(self._of(row) == self._of(other))

    def told(self) -> str:
        """Return what a state holds of it."""
        return self._digest.hexdigest()
