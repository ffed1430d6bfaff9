"""Values of each type of PostgreSQL, how SQL writes them, and the JSON that has to leave: told by this file, not by the tap."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

__all__ = ["KINDS", "NULL", "SETUP", "TEXT", "Kind", "Value", "is_same", "same_json"]

TEXT = object()
"""What is expected is the text that the server itself makes of the value."""


@dataclass(frozen=True)
class Value:
    """One value. ``literal``: in SQL, with its type where it needs one; ``json``: what it is in a record, numbers as Decimal."""

    literal: str
    json: Any = TEXT


NULL = Value("NULL", None)


@dataclass(frozen=True)
class Kind:
    """A column. ``type``: in SQL; ``values``: without NULL."""

    name: str
    type: str
    values: st.SearchStrategy[Value]


def quoted(text: str) -> str:
    """Return a text as a literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def _typed(type_: str, make: Callable[[Any], Any] = lambda value: TEXT) -> Callable[[Any], Value]:
    return lambda value: Value(f"{quoted(str(value))}::{type_}", make(value))


def _among(
    type_: str, *texts: str, expected: Callable[[str], Any] = lambda text: TEXT
) -> st.SearchStrategy[Value]:
    return st.sampled_from([Value(f"{quoted(text)}::{type_}", expected(text)) for text in texts])


# --- texts ----------------------------------------------------------------------------------------------------

_TEXTS = st.one_of(
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12),
    st.sampled_from(
        [
            "",
            "null",
            "NULL",
            "\\N",
            "\\.",
            "\x01",
            "a\x01b\x02c",
            "\x02\x01\x01\x02\n\r\n",
            "\x1f\x7f\x80\x85\u2028\u2029",
            '"',
            '""',
            "'",
            "\\",
            '\\"',
            '{"a": 1}',
            "🦀 e\u0301 ﷺ",
            "a\tb\nc\rd",
            " trailing ",
            "</script>&amp;%s{}$1",
            "1.10",
            "2026-02-30",
            "true",
        ]
    ),
)
_LABELS = ("ok", "sad", 'say "hi"', "it's", "a,b", "{x}", " blank ", "größe", "NULL", "back\\slash")


def _padded(text: str) -> Value:
    cut = text[:5].rstrip(" ")
    return Value(f"{quoted(cut)}::character(5)", cut.ljust(5))


# --- numbers --------------------------------------------------------------------------------------------------


def _integers(type_: str, bits: int) -> st.SearchStrategy[Value]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    edges = st.sampled_from([0, -1, 1, low, high, low + 1, high - 1])
    return st.one_of(edges, st.integers(low, high)).map(_typed(type_, lambda n: n))


_DECIMALS = st.one_of(
    st.sampled_from(
        [
            "0",
            "0.0",
            "0.00000",
            "1.10",
            "-1.50",
            "1e-20",
            "100000000000000000000",
            "9" * 1000,
            "-0." + "0" * 400 + "1",
            "1" * 300 + "." + "3" * 300,
            "0.1",
            "12345678901234567890.1234567890",
        ]
    ),
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12).map(
        str
    ),
)
_FLOATS = st.one_of(
    st.sampled_from(
        [0.0, 0.1, 0.1 + 0.2, 1e300, 1e-300, 5e-324, 1.7976931348623157e308, 1e15, 1e16, -1.5, 1 / 3]
    ),
    st.floats(allow_nan=False, allow_infinity=False),
)


def _float4(value: float) -> Value:
    return Value(f"'{_single(value)!r}'::float4", ("float4", _single(value)))


def _single(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


# --- times ----------------------------------------------------------------------------------------------------


def _instant(value: datetime) -> Value:
    return Value(f"'{value.isoformat()}+00'::timestamptz", ("instant", value))


def _local(value: datetime) -> Value:
    return Value(f"'{value.isoformat()}'::timestamp", ("local", value))


_MOMENTS = st.one_of(
    st.sampled_from(
        [
            datetime(1, 1, 1),
            datetime(9999, 12, 31, 23, 59, 59, 999999),
            datetime(1970, 1, 1),
            datetime(2026, 3, 29, 1, 30),
        ]
    ),
    st.datetimes(),
)
_ODD_DAYS = ("infinity", "-infinity", "0044-03-15 BC", "10000-01-01", "294276-12-31")


def _odd(type_: str, tail: str) -> st.SearchStrategy[Value]:
    """Return times that no calendar of JSON has; they leave as text all the same."""

    def expected(text: str) -> str:
        day, _, era = text.partition(" ")
        return text if text.endswith("infinity") else f"{day}{tail}{' ' * bool(era)}{era}"

    return _among(type_, *_ODD_DAYS, expected=expected)


# --- what holds others ------------------------------------------------------------------------------------------


def _array(kind: Kind, value: list[Any]) -> Value:
    """Make an array; lists in lists are further dimensions."""

    def literal(each: Any) -> str:
        if isinstance(each, list):
            return "ARRAY[" + ",".join(map(literal, each)) + "]"
        return str(each.literal)

    def expected(each: Any) -> Any:
        return [expected(one) for one in each] if isinstance(each, list) else each.json

    return Value(f"{literal(value)}::{kind.type}[]", expected(value))


def arrays(kind: Kind) -> st.SearchStrategy[Value]:
    """Return arrays of a kind: empty, with NULL, of several dimensions."""
    one = st.one_of(st.just(NULL), kind.values)
    flat = st.lists(one, max_size=4)
    square = st.integers(1, 2).flatmap(
        lambda width: st.lists(st.lists(one, min_size=width, max_size=width), min_size=1, max_size=3)
    )
    return st.one_of(flat, square, flat.map(lambda row: [[row[:1] or [NULL]]])).map(
        lambda value: _array(kind, value)
    )


def _composite(values: tuple[Value, ...]) -> Value:
    literal = f"ROW({', '.join(value.literal for value in values)})::comp"
    return Value(
        literal, dict(zip(("n", 'say "t"', "at", "words"), (value.json for value in values), strict=True))
    )


def _json_text(depth: int = 2) -> st.SearchStrategy[str]:
    """Return JSON as people write it: with blanks, new lines, doubled keys, numbers of any length."""
    numbers = st.sampled_from(["0", "-0", "1.10", "1e400", "9" * 400, "0." + "1" * 60, "1E+2", "-1.5e-7"])
    words = _TEXTS.map(lambda text: json.dumps(text, ensure_ascii=False))
    leaf = st.one_of(numbers, words, st.sampled_from(["null", "true", "false", "[]", "{}"]))
    if depth == 0:
        return leaf
    inner = _json_text(depth - 1)
    return st.one_of(
        leaf,
        st.lists(inner, max_size=3).map(lambda all_: "[\n " + " ,\r\n\t".join(all_) + "\n]"),
        st.lists(st.tuples(words, inner), max_size=3).map(
            lambda pairs: "{\n" + ",\n".join(f"{name} :\t{value}" for name, value in pairs) + "}"
        ),
        inner.map(lambda value: f'{{"a": {value}, "b": 1, "a": {value}}}'),
    )


def _is_for_jsonb(text: str) -> bool:
    return "1e400" not in text or len(text) < 5000


_JSON = _json_text()
_INTEGER = Kind("int4", "integer", _integers("integer", 32))
_WORDS = Kind("text", "text", _TEXTS.map(_typed("text", lambda text: text)))
_NUMERIC = Kind("numeric", "numeric", _DECIMALS.map(_typed("numeric", lambda text: ("number", text))))
_INSTANT = Kind("timestamptz", "timestamptz", _MOMENTS.map(_instant))
_BYTES = Kind(
    "bytea",
    "bytea",
    st.one_of(st.binary(max_size=12), st.just(bytes(range(256)))).map(
        lambda raw: Value(f"'\\x{raw.hex()}'::bytea", base64.b64encode(raw).decode())
    ),
)
_BOOLEAN = Kind("bool", "boolean", st.booleans().map(_typed("boolean", lambda value: value)))
_MOOD = Kind("mood", '"odd mood"', st.sampled_from(_LABELS).map(_typed('"odd mood"', lambda text: text)))
_COMPOSITE = Kind(
    "comp",
    "comp",
    st.tuples(
        *(
            st.one_of(st.just(NULL), values)
            for values in (_INTEGER.values, _WORDS.values, _INSTANT.values, arrays(_WORDS))
        )
    ).map(_composite),
)
_HSTORE = st.dictionaries(_TEXTS, st.one_of(st.none(), _TEXTS), max_size=3).map(
    lambda pairs: Value(
        "hstore(ARRAY["
        + ",".join(map(quoted, pairs))
        + "]::text[], ARRAY["
        + ",".join("NULL" if value is None else quoted(value) for value in pairs.values())
        + "]::text[])",
        pairs,
    )
)
_SPANS = st.tuples(st.integers(-1000, 1000), st.integers(-400, 400), st.integers(-(10**12), 10**12)).map(
    lambda parts: Value(f"make_interval(months => {parts[0]}, days => {parts[1]}, secs => {parts[2]} / 1e6)")
)

KINDS: tuple[Kind, ...] = (
    Kind("int2", "smallint", _integers("smallint", 16)),
    _INTEGER,
    Kind("int8", "bigint", _integers("bigint", 64)),
    _NUMERIC,
    Kind("scaled", "numeric(20,4)", st.integers(-(10**19), 10**19).map(
        lambda n: Value(f"'{n}e-4'::numeric(20,4)", ("number", str(Decimal(n).scaleb(-4)))))),
    Kind("float8", "float8", _FLOATS.map(lambda value: Value(f"'{value!r}'::float8", ("float8", value)))),
    Kind("float4", "float4", st.floats(width=32, allow_nan=False, allow_infinity=False).map(_float4)),
    _BOOLEAN,
    _WORDS,
    Kind("varchar", "varchar(40)", _TEXTS.map(_typed("varchar(40)", lambda text: text))),
    Kind("char5", "character(5)", _TEXTS.map(_padded)),
    Kind("onechar", '"char"', st.sampled_from(["a", " ", '"', "\\", "\x01", "z"]).map(_typed('"char"', lambda text: text))),
    Kind("name", "name", st.sampled_from(["a", 'say "hi"', "ü" * 31]).map(_typed("name", lambda text: text))),
    _BYTES,
    _INSTANT,
    Kind("timestamp", "timestamp", _MOMENTS.map(_local)),
    Kind("date", "date", st.dates().map(_typed("date", lambda day: day.isoformat()))),
    Kind("time", "time", st.times().map(_typed("time", lambda moment: ("time", moment)))),
    Kind("odd_date", "date", _odd("date", "")),
    Kind("odd_instant", "timestamptz", _odd("timestamptz", "T00:00:00+00:00")),
    Kind("odd_timestamp", "timestamp", _odd("timestamp", "T00:00:00")),
    Kind("odd_time", "time", _among("time", "24:00:00", expected=str)),
    Kind("timetz", "timetz", _among("timetz", "05:06:07+02", "23:59:59.999999-11:30", "00:00:00+00")),
    Kind("interval", "interval", _SPANS),
    Kind("uuid", "uuid", st.uuids().map(_typed("uuid", str))),
    Kind("inet", "inet", _among("inet", "10.0.0.1/24", "10.0.0.1", "::1", "2001:db8::/32")),
    Kind("cidr", "cidr", _among("cidr", "10.0.0.0/24", "2001:db8::/32")),
    Kind("macaddr", "macaddr", _among("macaddr", "08:00:2b:01:02:03")),
    Kind("macaddr8", "macaddr8", _among("macaddr8", "08:00:2b:01:02:03:04:05")),
    Kind("bit", "bit(5)", _among("bit(5)", "00000", "10101")),
    Kind("varbit", "varbit", _among("varbit", "", "1", "000111000111")),
    _MOOD,
    Kind("int4range", "int4range", _among("int4range", "empty", "[1,5)", "(,)", "[3,]")),
    Kind("tstzrange", "tstzrange", _among("tstzrange", "empty", '["2026-01-01 00:00+00",infinity)', "(,2026-05-05 05:05:05.5+02]")),
    Kind("multirange", "int4multirange", _among("int4multirange", "{}", "{[1,3),[5,6)}")),
    Kind("oid", "oid", _among("oid", "0", "4294967295")),
    Kind("pg_lsn", "pg_lsn", _among("pg_lsn", "0/1A", "FFFFFFFF/FFFFFFFF")),
    Kind("point", "point", _among("point", "(1,2)", "(-0.1,1e-300)")),
    Kind("polygon", "polygon", _among("polygon", "((0,0),(1,1),(1,0))")),
    Kind("tsvector", "tsvector", _among("tsvector", "", "'a':1 'it''s':2,3A", "'\\\\'")),
    Kind("money", "money", st.integers(-(2**62), 2**62).map(
        lambda n: Value(f"'{n}e-2'::numeric::money", ("number", str(Decimal(n).scaleb(-2)))))),
    Kind("json", "json", _JSON.map(lambda text: Value(f"{quoted(text)}::json", ("json", text)))),
    Kind("jsonb", "jsonb", _JSON.filter(_is_for_jsonb).map(lambda text: Value(f"{quoted(text)}::jsonb", ("jsonb", text)))),
    Kind("hstore", "hstore", _HSTORE),
    _COMPOSITE,
    Kind("posint", "posint", st.integers(1, 2**31 - 1).map(_typed("posint", lambda n: n))),
    Kind("shortlist", "shortlist", st.lists(_WORDS.values, max_size=3).map(lambda value: Value(
        _array(_WORDS, value).literal + "::shortlist", [each.json for each in value]))),
    Kind("ints", "integer[]", arrays(_INTEGER)),
    Kind("lowered", "integer[]", st.lists(st.integers(0, 9), min_size=1, max_size=3).map(
        lambda ns: Value(f"'[{-2}:{len(ns) - 3}]={{{','.join(map(str, ns))}}}'::integer[]", ns))),
    Kind("texts", "text[]", arrays(_WORDS)),
    Kind("numerics", "numeric[]", arrays(_NUMERIC)),
    Kind("bools", "boolean[]", arrays(_BOOLEAN)),
    Kind("instants", "timestamptz[]", arrays(_INSTANT)),
    Kind("moods", '"odd mood"[]', arrays(_MOOD)),
    Kind("comps", "comp[]", arrays(_COMPOSITE)),
    Kind("jsonbs", "jsonb[]", arrays(Kind("", "jsonb", st.sampled_from(["1.10", '{"a": [null, "x"]}', "null"]).map(
        lambda text: Value(f"'{text}'::jsonb", ("jsonb", text)))))),
    Kind('say "hi".; --', "text", _WORDS.values),
    Kind("n" * 63, "text", _WORDS.values),
    Kind("Größe", "integer", _INTEGER.values),
    Kind("select", "integer", _INTEGER.values),
)  # fmt: skip

SETUP = f'''
CREATE EXTENSION hstore;
CREATE TYPE "odd mood" AS ENUM ({", ".join(map(quoted, _LABELS))});
CREATE TYPE comp AS (n integer, "say ""t""" text, at timestamptz, words text[]);
CREATE DOMAIN posint AS integer CHECK (value > 0);
CREATE DOMAIN shortlist AS text[] CHECK (cardinality(value) < 5);
'''


def is_same(expected: Any, text: str | None, found: Any) -> bool:
    """Tell whether a value of a record, with its numbers as Decimal, is what was expected; ``text``: as the server writes it."""
    if expected is TEXT:
        return bool(found == text)
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(is_same(each, None, one) for each, one in zip(expected, found, strict=True))
        )
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(is_same(value, None, found[name]) for name, value in expected.items())
        )
    if not isinstance(expected, tuple):
        return type(found) is type(expected) and bool(found == expected)
    kind, value = expected
    match kind:
        case "number":
            return isinstance(found, int | Decimal) and Decimal(value).as_tuple() == Decimal(found).as_tuple()
        case "float8":
            return isinstance(found, int | Decimal) and float(found) == value
        case "float4":
            return isinstance(found, int | Decimal) and _single(float(found)) == value
        case "instant":
            return (
                isinstance(found, str)
                and datetime.fromisoformat(found).utcoffset() == timedelta(0)
                and (datetime.fromisoformat(found).replace(tzinfo=None) == value)
            )
        case "local":
            return isinstance(found, str) and datetime.fromisoformat(found) == value
        case "time":
            return isinstance(found, str) and time.fromisoformat(found) == value
        case "json" | "jsonb":
            return same_json(json.loads(value, parse_float=Decimal, parse_int=Decimal), found)
    raise AssertionError(kind)


def same_json(sent: Any, found: Any) -> bool:
    """Tell whether two JSON values are the same, however their numbers are written."""
    if isinstance(sent, int | Decimal) and not isinstance(sent, bool):
        return isinstance(found, int | Decimal) and not isinstance(found, bool) and sent == found
    if type(sent) is not type(found):
        return False
    if isinstance(sent, dict):
        return sent.keys() == found.keys() and all(same_json(sent[k], found[k]) for k in sent)
    if isinstance(sent, list):
        return len(sent) == len(found) and all(same_json(a, b) for a, b in zip(sent, found, strict=True))
    return bool(sent == found)
