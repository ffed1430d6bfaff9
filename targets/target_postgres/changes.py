"""How a column gets another type: what stands behind USING, for each type that is stored and each that is wanted.

What becomes text, or a text in a document, becomes what a tap sends for it (RFC 3339 in UTC, base64, JSON), whatever the session
that runs the statement is set to. What is no value of the wanted type makes PostgreSQL refuse the statement, never another value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from psycopg2.sql import SQL, Composable, Identifier, Literal

from singerkit_sql_target.fitting import is_mixed
from singerkit_wire.kinds import Column, Kind
from target_postgres.ddl import ExistingColumn

__all__ = ["Change", "change_of", "family", "goes_on_as", "text_of"]


@dataclass(frozen=True)
class Change:
    """A way to another type; in ``using`` ``{v}`` is the column, ``{t}`` its values as text, ``{type}`` the wanted type.

    ``note`` says what becomes of values; ``settings`` are statements that go before. ``may_fail``: not each value can be one of
    the type. ``keeps_keys``: a value that comes again is equal to what is stored then.
    """

    using: str
    note: str = ""
    settings: str = ""
    may_fail: bool = False
    keeps_keys: bool = True
    pattern: str = ""

    def expression(self, column: Identifier, found: ExistingColumn, type_: str) -> Composable:
        """Return what stands behind USING."""
        text = SQL(text_of(found).using).format(v=column)
        other = Literal(f"^(?!({self.pattern})$)")
        return SQL(self.using).format(v=column, t=text, type=SQL(type_), other=other)


_FAMILIES: Mapping[str, str] = {
    **dict.fromkeys(("int2", "int4", "int8"), "integer"),
    "numeric": "decimal",
    **dict.fromkeys(("float4", "float8"), "float"),
    "bool": "boolean",
    **dict.fromkeys(("text", "varchar", "bpchar", "citext"), "text"),
    "jsonb": "jsonb",
    "json": "json",
    "timestamptz": "moment",
    "timestamp": "local moment",
    "date": "date",
    "time": "time",
    "timetz": "time in a zone",
    "uuid": "uuid",
    "bytea": "bytes",
}
_OTHER = "other"
_NUMBERS = ("integer", "decimal", "float")
_DOCUMENTS = ("jsonb", "json")
_READ = ("text", *_DOCUMENTS)
"""Families whose values are text that has to be read."""

_ALL_DIGITS = "SET extra_float_digits = 3; "
_IN_UTC = "SET TIME ZONE 'UTC'; "
# What ends in no digit is `infinity`, or a year `BC`: no tap sends those, and they stay as PostgreSQL writes them.
_WITH_Z = "pg_catalog.regexp_replace(pg_catalog.to_jsonb({}) #>> '{{{{}}}}', '(?<=[0-9])$', 'Z')"
_TEXT: Mapping[str, Change] = {
    **dict.fromkeys(("integer", "boolean", "text"), Change("{v}::text")),
    "decimal": Change("{v}::text", keeps_keys=False),  # `1e2` is `100`
    "float": Change("{v}::text", settings=_ALL_DIGITS, keeps_keys=False),
    **dict.fromkeys(
        _DOCUMENTS, Change("{v} #>> '{{}}'", "documents as PostgreSQL writes them", keeps_keys=False)
    ),
    # Neither `::text`, which follows DateStyle and TimeZone, nor `to_char`, to which years before 1 are years after it.
    "moment": Change(
        _WITH_Z.format("{v} AT TIME ZONE 'UTC'"),
        "in UTC, in whatever zone they were sent",
        keeps_keys=False,
    ),
    "local moment": Change(
        _WITH_Z.format("{v}"),
        "in UTC, in whatever zone they were sent",
        keeps_keys=False,
    ),
    "date": Change("pg_catalog.to_jsonb({v}) #>> '{{}}'"),
    "time": Change("{v}::text", "as `12:30:00`, however they were sent", keeps_keys=False),
    "time in a zone": Change(
        "({v} AT TIME ZONE 'UTC')::time::text",
        "in UTC, as `12:30:00`, however they were sent",
        keeps_keys=False,
    ),
    "uuid": Change("{v}::text", "in small letters, however they were sent", keeps_keys=False),
    "bytes": Change("pg_catalog.replace(pg_catalog.encode({v}, 'base64'), pg_catalog.chr(10), '')"),
    _OTHER: Change("{v}::text", "as PostgreSQL writes them", keeps_keys=False),
}
"""What text each family becomes; kept as keys are those that have one spelling."""

_DAY, _OFFSET = "[0-9]{4}-[0-9]{2}-[0-9]{2}", "[Zz]|[+-][0-9]{2}(:?[0-9]{2})?"
_CLOCK = "[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?"
_OF_DAY = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]+)?)?[Zz]?"
_PATTERNS: Mapping[str, str] = {
    "integer": "[+-]?[0-9]+",
    **dict.fromkeys(("decimal", "float"), "[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?"),
    **dict.fromkeys(("moment", "local moment"), f"{_DAY}([Tt ]{_CLOCK}({_OFFSET})?)?"),
    "date": _DAY,
    **dict.fromkeys(("time", "time in a zone"), _OF_DAY),
}
"""What of a text is read as which type: to PostgreSQL `now` is a moment, too, and a date drops the rest of a longer text."""

_READING = "pg_catalog.regexp_replace({t}, {other}, 'not such a value: ')::{type}"
_EPOCH = Change(
    "pg_catalog.to_timestamp({v})",
    "which takes the numbers for seconds since 1970; write `/ 1000.0` behind the column's name where they are milliseconds",
    may_fail=True,
    keeps_keys=False,
)
_NO_TIME_OF_DAY = "which drops the time of day, in UTC"


def _cast(using: str = "{v}::{type}", *, may_fail: bool = False) -> Change:
    return Change(using, may_fail=may_fail)


def _each(found: Collection[str], wanted: Collection[str], change: Change) -> dict[tuple[str, str], Change]:
    return {(one, other): change for one in found for other in wanted}


_CHANGES: Mapping[tuple[str, str], Change] = {
    **_each(_NUMBERS, _NUMBERS, _cast()),
    **_each(("decimal", "float"), ("integer",), _cast("{v}::text::{type}", may_fail=True)),
    ("float", "decimal"): Change("{v}::text::{type}", settings=_ALL_DIGITS),
    **_each(
        ("boolean",), _NUMBERS, Change("{v}::int::{type}", "which makes true 1 and false 0", keeps_keys=False)
    ),
    **_each(
        _NUMBERS,
        ("boolean",),
        Change("{v}::text::{type}", "which makes 1 true and 0 false", may_fail=True, keeps_keys=False),
    ),
    ("text", "boolean"): _cast(may_fail=True),
    **_each(_DOCUMENTS, ("boolean",), Change(_READING, may_fail=True, pattern="true|false")),
    ("text", "uuid"): _cast(may_fail=True),
    **_each(_DOCUMENTS, ("uuid",), _cast("({t})::{type}", may_fail=True)),
    **{
        (one, other): Change(_READING, may_fail=True, pattern=pattern)
        for one in _READ
        for other, pattern in _PATTERNS.items()
    },
    **_each(_READ, ("moment",), Change(_READING, "", _IN_UTC, True, True, _PATTERNS["moment"])),
    **_each(_READ, ("time in a zone",), Change(_READING, "", _IN_UTC, True, True, _PATTERNS["time"])),
    **_each(
        _READ,
        ("local moment",),
        Change(
            "pg_catalog.regexp_replace({t}, {other}, 'not such a value: ')::timestamptz AT TIME ZONE 'UTC'",
            "",
            _IN_UTC,
            True,
            True,
            _PATTERNS["moment"],
        ),
    ),
    **_each(_NUMBERS, ("moment",), _EPOCH),
    **_each(_NUMBERS, ("local moment",), replace(_EPOCH, using=f"{_EPOCH.using} AT TIME ZONE 'UTC'")),
    ("moment", "moment"): _cast("{v}"),
    ("local moment", "local moment"): _cast("{v}"),
    ("moment", "local moment"): _cast("{v} AT TIME ZONE 'UTC'"),
    ("local moment", "moment"): _cast("{v} AT TIME ZONE 'UTC'"),
    ("date", "moment"): _cast("{v}::timestamp AT TIME ZONE 'UTC'"),
    ("date", "local moment"): _cast("{v}::timestamp"),
    ("moment", "date"): Change("({v} AT TIME ZONE 'UTC')::date", _NO_TIME_OF_DAY, keeps_keys=False),
    ("local moment", "date"): Change("{v}::date", _NO_TIME_OF_DAY, keeps_keys=False),
    ("time", "time"): _cast("{v}"),
    ("time in a zone", "time in a zone"): _cast("{v}"),
    ("time in a zone", "time"): _cast("({v} AT TIME ZONE 'UTC')::time"),
    ("time", "time in a zone"): _cast("({v}::text || 'Z')::timetz"),
    **_each((*_NUMBERS, "boolean"), ("jsonb",), _cast("pg_catalog.to_jsonb({v})")),
    **_each((*_NUMBERS, "boolean"), ("json",), _cast("pg_catalog.to_json({v})")),
    ("float", "jsonb"): Change("pg_catalog.to_jsonb({v})", settings=_ALL_DIGITS),
    ("float", "json"): Change("pg_catalog.to_json({v})", settings=_ALL_DIGITS),
    **_each(_DOCUMENTS, _DOCUMENTS, _cast()),
    **_each(("text",), _DOCUMENTS, _cast(may_fail=True)),
    ("text", "bytes"): _cast(may_fail=True),
    **_each(("text", _OTHER), (_OTHER,), _cast("{v}::text::{type}", may_fail=True)),
}
"""What is not here is no way: no time of day is a date, and no base64 a number. See `change_of` for what becomes text."""


def family(column: ExistingColumn) -> str:
    """Return the types that a type is like, whatever its limits."""
    return _FAMILIES.get(column.base, _OTHER)


def text_of(found: ExistingColumn) -> Change:
    """Return the way to text, which every type has."""
    change = _TEXT[family(found)]
    return replace(change, keeps_keys=True) if found.is_enum else change


def change_of(column: Column, found: ExistingColumn, wanted: ExistingColumn) -> Change | None:
    """Return the way from one type to another, None where there is none that keeps values or says what it drops."""
    old, new = family(found), family(wanted)
    if new == "text":
        return text_of(found)
    if old == "text" and new in _DOCUMENTS and is_mixed(column):
        return None  # `5` was a number or a text
    if old == "text" and new == "bytes" and column.kind is Kind.BINARY:
        return Change("pg_catalog.decode({v}, 'base64')", may_fail=True)
    known = _CHANGES.get((old, new))
    if known is None and new in _DOCUMENTS:
        return _into_document(found, new)
    if known is None:
        return None
    if new == "float" or (wanted.typmod >= 0 and new in _CUT_BY_THEIR_NUMBERS):
        return replace(
            known, note=f"which rounds or cuts what `{wanted.type}` does not hold", keeps_keys=False
        )
    return known


def _into_document(found: ExistingColumn, new: str) -> Change:
    """Return the way into a document: of a type that is not known here PostgreSQL makes a list, an object or a text of its own."""
    as_text = text_of(found)
    if family(found) != _OTHER:
        return replace(as_text, using=f"pg_catalog.to_{new}({{t}})")
    return replace(as_text, using=f"pg_catalog.to_{new}({{v}})", settings=f"{_ALL_DIGITS}{_IN_UTC}")


_CUT_BY_THEIR_NUMBERS = ("decimal", "moment", "local moment", "time", "time in a zone", _OTHER)

_NUMBER_KINDS = frozenset({Kind.INTEGER, Kind.BIG_INTEGER, Kind.NUMBER})
_GO_ON: Mapping[str, frozenset[Kind]] = {
    "integer": frozenset({Kind.STRING}),
    **dict.fromkeys(("decimal", "float"), _NUMBER_KINDS | {Kind.STRING}),
    **dict.fromkeys(("moment", "local moment"), frozenset({Kind.DATE_TIME, Kind.DATE, Kind.STRING})),
    "date": frozenset({Kind.DATE, Kind.DATE_TIME, Kind.STRING}),
    **dict.fromkeys(("time", "time in a zone"), frozenset({Kind.TIME, Kind.STRING})),
    "uuid": frozenset({Kind.STRING}),
    **dict.fromkeys(_DOCUMENTS, _NUMBER_KINDS | {Kind.BOOLEAN}),
    "text": frozenset(Kind),
    _OTHER: frozenset({Kind.STRING}),
}


def goes_on_as(column: Column, found: ExistingColumn) -> bool:
    """Tell whether the values that a column is sent now may be stored as before, where the user chooses that type."""
    return column.kind in _GO_ON.get(family(found), ())
