"""By what the rows of a stream replace each other (`key_properties`): its own key, one that the config gives it, or the whole row.

The whole row stands as a hash in a column of its own: of its fields by name, without those that are null, each value written in one way.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from singerkit_catalog.patterns import NAME, ByPattern
from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_sql_target.methods import Method
from singerkit_wire.batch import Batch
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.stream import DELETED_AT, Stream
from singerkit_wire.values import number_texts, values_of
from singerkit_wire.wording import any_value, in_order, moment_text, number_text

__all__ = [
    "HASH",
    "ROW_HASH",
    "SETTING",
    "Key",
    "Keying",
    "check_hashed",
    "keying_of",
    "row_hashes",
    "with_hashes",
]

ROW_HASH = "_sdc_row_hash"
HASH = Column(ROW_HASH, Kind.UUID, nullable=False, required=True)

SETTING: Mapping[str, Any] = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {
        "says": "a list of fields, each once, or `*` for the whole row, or null",
        "oneOf": [
            {"type": "array", "items": NAME, "minItems": 1, "uniqueItems": True},
            {"type": "string", "enum": ["*"]},
            {"type": "null"},
        ],
    },
    "description": "By what rows of streams replace each other, in the place of the key that their SCHEMA says, by globs over the names of streams as in "
    '`load_method`: fields (`{"orders": ["id"]}`), or the whole row (`{"raw_*": "*"}`), of which a hash stands in `_sdc_row_hash`, so that a row that '
    "comes again is there once. null is the stream's own.",
}

_WHOLE = "*"
_OF_MESSAGES = frozenset(
    {
        DELETED_AT,
        "_sdc_batched_at",
        "_sdc_extracted_at",
        "_sdc_received_at",
        "_sdc_sequence",
        "_sdc_sync_started_at",
        "_sdc_table_version",
    }
)
"""Fields that say something of a load, or of the end of a row: a row that comes again has others there."""


@dataclass(frozen=True)
class Key:
    """The fields by which rows replace each other; none: all of them together."""

    fields: tuple[str, ...]


@dataclass(frozen=True)
class Keying(ByPattern[Key | None]):
    """The keys by pattern; by default a stream has its own."""

    by_pattern: Mapping[str, Key | None] = field(default_factory=dict)
    setting: str = "key_properties"
    default: Key | None = None

    def fields(self, stream: str) -> tuple[str, ...] | None:
        """The fields of the key that a stream is given, none for the whole row; None: it has its own."""
        key = self.of(stream)
        return None if key is None else key.fields

    def hashes(self, stream: str) -> bool:
        """Whether the key of a stream is the whole row."""
        return self.fields(stream) == ()

    def check(self, stream: Stream, method: Method) -> None:
        """See that the key has its effect.

        Raises:
            ConfigurationError: it has none.
        """
        if self.of(stream.name) is None:
            return
        got = way = ""
        if method is Method.APPEND:
            got = "one that `load_method` appends, whatever its key"
            way = (
                f'leave it out (`{{"key_properties": {{"{stream.name}": null}}}}`), or choose another method'
            )
        elif method is Method.HISTORY and self.hashes(stream.name):
            got = "a history, in which a whole row would never be another version of one"
            way = "name the fields of its key"
        elif self.hashes(stream.name) and ROW_HASH in stream.column_names:
            got = f"one with a field `{ROW_HASH}` of its own"
            way = "rename that (`column_names`), or name the fields of the key"
        if got:
            raise ConfigurationError(
                f"Expected a stream that can be keyed so at `key_properties`, got `{stream.name}`, {got}; nothing of this stream was written: {way}, then run again."
            )


def check_hashed(
    before: Collection[str], keys: Collection[str], stream: str, where: str, quoted: str
) -> None:
    """See that rows which are told apart by their hashes are so from now on; ``before`` is the key of their table, ``quoted`` its name in SQL.

    Raises:
        BadDataError: they are not.
    """
    if {*before} == {ROW_HASH} and {*keys} != {ROW_HASH}:
        again = f'{{"key_properties": {{"{stream}": "*"}}}}'
        raise BadDataError(
            f"Rows of the table {where} are told apart by `{ROW_HASH}`, which stream `{stream}` is not to have any more; what is stored is untouched: say it "
            f"again (`{again}`), or go on without with `ALTER TABLE {quoted} DROP COLUMN {ROW_HASH}`, then run again."
        )


def keying_of(value: Mapping[str, Any]) -> Keying:
    """Return what `key_properties` says."""
    return Keying({pattern: _key(said) for pattern, said in value.items()})


def _key(said: Any) -> Key | None:
    return None if said is None else Key(() if said == _WHOLE else tuple(said))


def with_hashes(batch: Batch, whole: Batch) -> Batch:
    """Return ``whole``, which is a batch with columns of ours behind its own, with the hash of each row of ``batch`` behind those."""
    rows = [(*row, found) for row, found in zip(whole.wire_rows, row_hashes(batch), strict=True)]
    return replace(whole, columns=(*whole.columns, HASH), wire_rows=rows)


def row_hashes(batch: Batch) -> list[uuid.UUID]:
    """Return the hash of each row: the first half of SHA-256 over its JSON, in which each value is written in one way.

    Fields stand in the order of their names, without those that are null: one that comes later, and is null in a row, changes nothing.
    """
    columns: list[tuple[str, Sequence[Any]]] = []
    for column, on_wire in zip(batch.columns, zip(*batch.wire_rows, strict=True), strict=True):
        if column.name not in _OF_MESSAGES:
            columns.append((column.name, _plain(column, on_wire)))
    names = [name for name, _ in columns]
    rows = zip(*(values for _, values in columns), strict=True) if columns else [()] * len(batch.wire_rows)
    digests = (
        hashlib.sha256(
            in_order.encode(
                {name: value for name, value in zip(names, row, strict=True) if value is not None}
            )
        )
        for row in rows
    )
    return [uuid.UUID(bytes=digest.digest()[:16]) for digest in digests]


def _plain(column: Column, on_wire: Sequence[Any]) -> Sequence[Any]:
    """Return the values of a column as JSON has them, one that is told in several ways in one of them."""
    if column.kind in (Kind.NUMBER, Kind.BIG_INTEGER):
        return [None if text is None else _raw(number_text(text)) for text in number_texts(on_wire)]
    values = values_of(column, on_wire)
    write = _WRITTEN.get(column.kind)
    return values if write is None else [None if value is None else write(value) for value in values]


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _document(text: str) -> Any:
    try:
        return _raw(in_order.encode(any_value.decode(text.encode())).decode())
    except (msgspec.DecodeError, RecursionError, ValueError):
        return _raw(text)  # a number of thousands of digits: as it is written


_WRITTEN: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.DATE_TIME: lambda moment: moment_text(moment.isoformat()),
    Kind.JSON: _document,
}
