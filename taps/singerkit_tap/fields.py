"""Which fields a stream is sent with, which of them its records have, and what its state keeps of both.

The state says how a stream was read (`singerkit_state.readas`): `singerkit_tap.changes` compares that with what the next
run does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from singerkit_state.readas import ReadAs, schema_of
from singerkit_tap.changes import KEYS, PARTS, WHOLE, comes_whole, earlier, gone_sentence
from singerkit_tap.stream import BlockStream
from singerkit_wire.encode import RecordEncoder, Rows

__all__ = ["SentFields"]


class SentFields:
    """The fields of one stream in one run, beside those of the runs before.

    ``part`` is the stream's part of the state; ``is_wanted``: its records are written; ``goes_on``: it has a bookmark.
    """

    def __init__(
        self,
        stream: BlockStream,
        part: Mapping[str, Any],
        start_date: str | None,
        *,
        is_wanted: bool,
        goes_on: bool,
    ) -> None:
        self._stream, self._part, self._is_wanted = stream, part, is_wanted
        self._former = former = ReadAs.of(part)
        counts = former.is_known and goes_on
        self._start_date = earlier(start_date, former.start_date) if counts else start_date
        self._gone = former.gone
        self.former_schemas = {name: schema_of(kind) for name, kind in former.fields.items()}
        """The schemas of the fields that former runs have sent, as far as the state knows them."""
        self.has_nulls = former.has_nulls
        """Whether a row without a replication key has come, in this run or before."""
        self._has_rows = False
        self._unseen: set[str] = set()
        """Fields that no record of this run has."""
        self.take_schema()

    def take_schema(self) -> None:
        """Go on with the schema of the stream as it is now."""
        self._fields = self._stream.kinds if self._is_wanted else self._former.fields

    def expect(self, names: Collection[str]) -> None:
        """Look from here on which of these fields the records have."""
        if self._is_wanted and not self._stream.sends_partial_records:
            self._unseen = {*names}

    def see(self, encoder: RecordEncoder, rows: Rows) -> None:
        """Look which fields the records have."""
        self._has_rows = self._has_rows or bool(rows)
        self._unseen -= {name for name in self._unseen if encoder.stands_in(rows, name)}

    @property
    def missing(self) -> list[str]:
        """Fields that records had before, and none of this run has, or none is sent with."""
        former = self._former.fields
        left_out = former.keys() - self._fields.keys() if self._fields else ()  # else records are sent whole
        return sorted(self._unseen.intersection(former).union(left_out) - self._gone)

    def note_told(self) -> None:
        """Note that somebody was told what is missing."""
        self._gone |= {*self.missing}

    @property
    def retyped(self) -> list[str]:
        """Fields that are of another type than before."""
        former = self._former.fields
        return sorted(
            name for name, kind in self._fields.items() if former.get(name) and former[name] != kind
        )

    def finish(self) -> Iterator[str]:
        """Yield what is told of fields that are null from now on: all records were read, and none has them."""
        if self._is_wanted and self._has_rows and comes_whole(self._stream):
            news = self._unseen.intersection(self._former.fields) - self._gone
            self._gone |= news
            if news:
                yield gone_sentence(self._stream, sorted(news))

    def read_as(self) -> ReadAs:
        """Return how the stream has been read, by this run and those before."""
        return ReadAs(
            self._fields,
            self._source(),
            self._start_date,
            has_nulls=self.has_nulls,
            gone=self._gone_by_now(),
            added=self._added(),
            left=self._left(),
        )

    def _source(self) -> dict[str, Any]:
        former = self._former.source
        source = {
            name: former.get(name) if part is None else part for name, part in self._stream.asks_of().items()
        }
        source[KEYS] = list(self._stream.primary_keys) if self._is_wanted else former.get(KEYS)
        stream = self._stream
        source[PARTS] = stream.parts if self._is_wanted and stream.shard is not None else former.get(PARTS)
        is_whole = stream.bookmark_key is None and not (
            stream.is_log_based or stream.asks_onward or stream.goes_on_by_position
        )
        if self._is_wanted and is_whole:
            source[WHOLE] = True
        return {name: part for name, part in source.items() if part is not None}

    def _gone_by_now(self) -> frozenset[str]:
        if not self._is_wanted or self._stream.sends_partial_records:
            return self._gone
        # Of a field that was never met nobody has to be told.
        return (self._gone | self._new()).intersection(self._unseen)

    def _added(self) -> frozenset[str]:
        if not self._is_wanted:
            return self._former.added
        now = frozenset(self._stream.adds)
        return (self._former.added | now) - (self._fields.keys() - now)

    def _left(self) -> dict[str, str]:
        """What is known of the types of fields that are not sent: a column was made for each."""
        former = self._former.ever_sent
        return {name: kind for name, kind in former.items() if kind and name not in self._fields}

    def _new(self) -> frozenset[str]:
        return frozenset(self._fields.keys() - self._former.fields.keys())
