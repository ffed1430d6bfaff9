"""Ids for rows that nothing else tells apart: of an appended stream, for the elements of their lists to refer to."""

from __future__ import annotations

import os
from itertools import count

__all__ = ["RowIds"]


class RowIds:
    """UUIDs, as JSON, of which each run makes others, and each one the next after the one before: an index of them grows at its end."""

    def __init__(self) -> None:
        seed = os.urandom(
            9
        ).hex()  # 72 bits; version 8 and variant 8 say that nothing else may be read from them
        self._begin = f'"{seed[:8]}-{seed[8:12]}-8{seed[12:15]}-8{seed[15:]}-'
        self._numbers = count()

    def next(self) -> str:
        return f'{self._begin}{next(self._numbers):012x}"'
