"""What may stand in a column, as the SCHEMA says it, held against what comes: no value leaves that the SCHEMA does not admit."""

from __future__ import annotations

import base64
import functools
import operator
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, NoReturn

import msgspec

from singerkit_catalog.admitted import json_types
from singerkit_shell.errors import BadDataError
from singerkit_sql_tap.contract import Row
from singerkit_sql_tap.looks import Spelling, spelling_of
from singerkit_state.readas import schema_of

__all__ = ["RowCheck", "formats_of", "schema_of_kinds", "widened"]

_Types = frozenset[type]
_TYPES: Mapping[str, _Types] = {
    "null": frozenset({type(None)}),
    "boolean": frozenset({bool}),
    "integer": frozenset({int}),
    "number": frozenset({int, float, Decimal}),
    "string": frozenset({str}),
    "array": frozenset({list}),
    "object": frozenset({dict}),
}
_NAMES: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    Decimal: "number",
    str: "text",
    bytes: "bytes",
}
_INFINITE = frozenset({float("inf"), float("-inf")})
_Finite = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
_CHECKED_AT_ONCE: Mapping[type, Any] = {type(None): type(None), int: int, float: _Finite, str: str}
"""What msgspec holds a value against that is one of these types, and takes for no other; see `_Column.checked_at_once`."""
_SIZED = frozenset({str, bytes})
_WEIGHED = 32
"""About so many rows of a page are weighed."""
_FORMATS: Mapping[str, Any] = {
    "date": list[date | None],
    "date-time": list[Annotated[datetime, msgspec.Meta(tz=True)] | None],
    "local": list[datetime | None],
}


def formats_of(batches: Iterable[Sequence[Row]], count: int) -> list[str | None]:
    """Return the one format that all texts have of each of ``count`` columns: ``date``, ``date-time``, ``local`` (without an offset), or None."""
    left = [[*_FORMATS] for _ in range(count)]
    for rows in batches:
        for number, texts in enumerate(zip(*rows, strict=True)):
            left[number] = [name for name in left[number] if _has_format(texts, name)]
        if not any(left):
            break
    return [names[0] if names and len(names) < len(_FORMATS) else None for names in left]


def _has_format(values: Sequence[Any], name: str) -> bool:
    try:
        found = msgspec.convert(values, _FORMATS[name])
    except msgspec.ValidationError:
        return False
    return name != "local" or all(moment is None or moment.tzinfo is None for moment in found)


def schema_of_kinds(kinds: Collection[str], format_: str | None = None) -> dict[str, Any]:
    """Return the schema of a column that holds ``kinds`` of values: integer, number, text, bytes, and perhaps null.

    ``format_`` is the one that all its texts have.
    """
    names = [name for name in ("number", "integer") if name in kinds][:1]
    if "text" in kinds or "bytes" in kinds:
        names.append("string")
    if "bytes" in kinds and len(kinds) > 1:
        names.append("object")  # bytes beside other values: see `RowCheck`
    schema: dict[str, Any] = {"type": ["null", *names]}
    if {*kinds} == {"bytes"}:
        schema["contentEncoding"] = "base64"
    if {*kinds} == {"text"} and format_ is not None:
        schema["format"] = format_
    return schema


def widened(schema: dict[str, Any], former: str | None) -> dict[str, Any]:
    """Return a schema that also admits what was sent before, of which the state has kept ``former`` (`kind_of`)."""
    before = schema_of(former) if former else {"type": ["null"]}
    types, had = json_types(schema) - {"null"}, json_types(before) - {"null"}
    if not had or not types:
        return before if had else schema
    union = types | had
    union -= {"integer"} if "number" in union else set()
    null = {"null"} & json_types(schema)
    encodings = {one.get("contentEncoding") for one in (schema, before) if "string" in json_types(one)}
    if len(encodings) > 1 or (encodings == {"base64"} and union != {"string"}):
        return {"type": _listed(union | null | {"object"})}  # bytes beside other values: see `RowCheck`
    widest: dict[str, Any] = {"type": _listed(union | null)}
    if union == {"number"} and before.get("format") == "double":
        widest["format"] = "double"  # as its column is; a value that is no double is refused there
    if union == {"string"}:
        widest |= {
            key: schema[key]
            for key in ("format", "contentEncoding")
            if key in schema and schema[key] == before.get(key)
        }
    return widest


def _listed(types: set[str] | frozenset[str]) -> list[str]:
    return sorted(types, key=[*_TYPES].index)


class _Column:
    def __init__(self, name: str, schema: Mapping[str, Any]) -> None:
        self.name = name
        types = json_types(schema) if schema else frozenset(_TYPES)
        self.takes: _Types = frozenset().union(*(_TYPES[kind] for kind in types if kind in _TYPES))
        self.is_base64 = schema.get("contentEncoding") == "base64"
        if self.is_base64:
            self.takes = (self.takes - {str}) | {bytes}
        self.boxes_bytes = not self.is_base64 and "object" in types
        if self.boxes_bytes:
            self.takes |= {bytes}
        self.said = " or ".join(sorted(types)) + (" (base64)" if self.is_base64 else "")
        format_ = schema.get("format")
        self.format: str | None = format_ if format_ in ("date", "date-time") else None
        self.spellings: set[Spelling] | None = None
        """The ways in which times of a key are written, of which there may be one; None: in any."""

    @property
    def checked_at_once(self) -> Any:
        """What msgspec checks of its values; anything where that is less than there is to check."""
        kinds = self.takes - {Decimal}  # a number where a float is one, too
        if self.is_base64 or self.boxes_bytes or not kinds or not kinds <= _CHECKED_AT_ONCE.keys():
            return Any
        return functools.reduce(operator.or_, (_CHECKED_AT_ONCE[kind] for kind in kinds))


class RowCheck:
    """Holds the rows of one stream against its schema, a page at a time.

    ``infinite``: what to do with an infinite number, which JSON does not have: ``fail``, or ``null``. Bytes in a column
    that holds text, too, become ``{"base64": "..."}``, so that no text looks like them.

    ``keys``: the columns of the primary key. ``goes_on_by``: the replication key. ``spellings``: how the times of columns are written
    that may be written in one way only (`singerkit_sql_tap.looks.spelling_of`).
    """

    def __init__(
        self,
        stream: str,
        columns: Sequence[str],
        schema: Mapping[str, Any],
        infinite: str,
        *,
        local_is_utc: bool,
        keys: Collection[str] = (),
        goes_on_by: str | None = None,
        spellings: Mapping[str, Collection[Spelling]] | None = None,
    ) -> None:
        properties = schema.get("properties") or {}
        self._keys = frozenset(keys)
        self._exact = self._keys | {goes_on_by}
        self._stream, self._infinite, self._local_is_utc = stream, infinite, local_is_utc
        self._columns = [_Column(name, properties.get(name) or {}) for name in columns]
        for column in self._columns:
            if spellings is not None and column.name in spellings:
                column.spellings = {*spellings[column.name]}
        at_once = [column.checked_at_once for column in self._columns]
        self._rows: Any = list[tuple[*at_once]]  # type: ignore[valid-type]  # made of the schema
        self._looked_at = [
            number
            for number, (column, kinds) in enumerate(zip(self._columns, at_once, strict=True))
            if kinds is Any or column.format is not None
        ]
        self.bytes = 0
        """About what the text and the bytes of the last page take."""
        self.nulled = 0
        """Infinite numbers that were sent as null."""

    def checked(self, rows: list[Row]) -> list[Row]:
        """Return the rows as they are to be sent.

        Raises:
            BadDataError: a value is none that the schema admits.
        """
        self.bytes = _weight(rows)
        changed: dict[int, Callable[[Any], Any]] = {}
        for number in self._looked_at if self._fit_at_once(rows) else range(len(self._columns)):
            change = self._checked_column(self._columns[number], [row[number] for row in rows])
            if change is not None:
                changed[number] = change
        return rows if not changed else [_changed(row, changed) for row in rows]

    def _fit_at_once(self, rows: list[Row]) -> bool:
        """Tell whether nothing is to be changed or refused, but for the columns that are looked at by themselves."""
        try:
            msgspec.convert(rows, self._rows)
        except msgspec.ValidationError:
            return False
        return True

    def _checked_column(self, column: _Column, values: Sequence[Any]) -> Callable[[Any], Any] | None:
        """Return what makes of the values of a column what is sent; None: they are sent as they are."""
        types = set(map(type, values))
        if not types <= column.takes:
            self._refuse(column, types - column.takes)
        if column.format is not None and str in types:
            self._check_format(column, values if types <= {str, type(None)} else list(map(_text, values)))
        boxed = _boxed if column.boxes_bytes and bytes in types else None
        if float not in types or _INFINITE.isdisjoint(value for value in values if type(value) is float):
            return boxed
        without = self._without_infinity(column)
        return without if boxed is None else lambda value: _boxed(without(value))

    def _check_format(self, column: _Column, texts: Sequence[str | None]) -> None:
        looks = (
            ("date-time", "local")
            if column.format == "date-time" and self._local_is_utc
            else (column.format or "",)
        )
        if not any(_has_format(texts, look) for look in looks):
            raise BadDataError(
                f"Expected a {column.format} in each value of column `{column.name}` of `{self._stream}`, as its schema says, got "
                f"other text; {_WAY_OUT}"
            )
        if column.spellings is not None:
            column.spellings.update(spelling_of(text) for text in texts if text is not None)
            if len(column.spellings) > 1:
                raise BadDataError(
                    f"Column `{column.name}` of the primary key of `{self._stream}` holds times that are written in more than one way "
                    "(offset, digits of a second), of which two that are one moment would be one row in a target; "
                    f"{_WAY_OUT_OF_SPELLINGS}"
                )

    def _without_infinity(self, column: _Column) -> Callable[[Any], Any]:
        if column.name in self._exact and self._infinite != "fail":
            raise BadDataError(
                f"Column `{column.name}` of `{self._stream}`, which is of its primary key or its replication key, holds an infinite number, "
                "which JSON does not have, and null in its place would be no key, whatever `infinity` says; what was confirmed by the "
                "target is safe: correct the value at the source, or choose another key in `streams`."
            )
        if self._infinite == "fail":
            raise BadDataError(
                f"Column `{column.name}` of `{self._stream}` holds an infinite number, which JSON does not have; what was "
                'confirmed by the target is safe: correct the value at the source, set `"infinity": "null"`, or do not select '
                "the column."
            )

        def null_for(value: Any) -> Any:
            if isinstance(value, float) and value in _INFINITE:
                self.nulled += 1
                return None
            return value

        return null_for

    def _refuse(self, column: _Column, types: set[type]) -> NoReturn:
        if type(None) in types and column.name in self._keys:
            raise BadDataError(
                f"Column `{column.name}` of the primary key of `{self._stream}` holds NULL, which tells no rows apart; what was confirmed by "
                f"the target is safe: {_WAY_OUT_OF_NULL}"
            )
        found = " and ".join(sorted(_NAMES.get(kind, kind.__name__) for kind in types))
        raise BadDataError(
            f"Expected {column.said} in column `{column.name}` of `{self._stream}`, as its schema says, got {found}; {_WAY_OUT}"
        )


_WAY_OUT_OF_NULL = (
    "give these rows a value at the source; or name other columns that tell rows apart, none of them null, in "
    '`"primary_keys"` of the stream in `streams`, or `[]` for none (then make the catalog again with --discover, if there is one).'
)

_WAY_OUT_OF_SPELLINGS = (
    "what was confirmed by the target is safe: write them in one way at the source, or make the catalog again with --discover "
    "(without a catalog: run again), which learns that they are text."
)

_WAY_OUT = (
    "what was confirmed by the target is safe: correct the value at the source, or make the catalog again with --discover "
    "(without a catalog: run again), which learns it."
)


def _weight(rows: Sequence[Row]) -> int:
    sample = rows[:: max(1, len(rows) // _WEIGHED)]
    weight = sum(len(value) for row in sample for value in row if type(value) in _SIZED)
    return weight * len(rows) // len(sample) if sample else 0


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _boxed(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _changed(row: Row, changes: Mapping[int, Callable[[Any], Any]]) -> Row:
    return tuple(changes[number](value) if number in changes else value for number, value in enumerate(row))
