"""The replication key of the records of a page, as raw values; what is decoded for it the engine need not decode again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from singer_sdk.singerlib import SelectionMask

from singerkit_tap.sync import CHUNK_RECORDS
from singerkit_wire.encode import RecordEncoder
from tap_rest.records.cutting import ReadPage

__all__ = ["KeyColumn"]


class KeyColumn:
    """Reads one field of the records of a stream; ``encoder`` returns what they are sent by."""

    def __init__(self, stream: str, key: str, encoder: Callable[[], RecordEncoder]) -> None:
        self._key, self._encoder = key, encoder
        self._reader = RecordEncoder(stream, {"properties": {key: {}}}, SelectionMask())
        self._looked_at: tuple[Sequence[msgspec.Raw], list[msgspec.Raw]] = ((), [])
        """Records, and the values in them: a page is looked at more than once."""

    def of(self, page: ReadPage) -> list[msgspec.Raw]:
        """Return the value in each record of a page."""
        if self._looked_at[0] is not page.records:
            self._looked_at = page.records, self._column(page) if page.records else []
        return self._looked_at[1]

    def _column(self, page: ReadPage) -> list[msgspec.Raw]:
        """Return the values in a page, which is decoded whole where the engine will not have to do it again."""
        encoder = self._encoder()
        if self._key not in encoder.fields or len(page.records) > CHUNK_RECORDS:
            return self._reader.column(self._reader.decode(page.records), self._key)
        rows = None if page.decoded is None else page.decoded.rows_of(page.records)
        if rows is None:
            page.decoded = encoder.decoded(page.records)
            rows = page.decoded.rows or []
        return encoder.column(rows, self._key)
