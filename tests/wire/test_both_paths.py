"""The fast path and the exact path leave the same rows, and these are what the records say.

Schemas and records are random. What a record says is read here by code of its own: `json` with decimals, a
jsonschema validator for what is valid, and, for formatted text, the moment or number that the text was made from.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import msgspec
import pytest
from faults.loads import connected, load
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from jsonschema.validators import extend
from psycopg2.sql import SQL, Identifier
from sampling import IS_SAMPLE, tries

from singerkit_wire.batch import Batch
from singerkit_wire.blocks import BlockDecoder, Judgement
from singerkit_wire.decode import Refused, compile_decoder
from singerkit_wire.exact import RejectedRow, TooWide, UnknownFields, compile_exact
from singerkit_wire.kinds import Kind
from singerkit_wire.messages import Run
from singerkit_wire.stream import Stream, stream_of
from singerkit_wire.unstorable import Policy

QUICK = dict(deadline=None, derandomize=IS_SAMPLE, database=None, suppress_health_check=list(HealthCheck))


class _Unstorable:
    def __repr__(self) -> str:
        return "UNSTORABLE"


UNSTORABLE = _Unstorable()
"""The reading of a value that no column holds: its record is set aside."""


@dataclass(frozen=True)
class Value:
    """``wire`` is JSON text; ``reading`` what must be found in the database, if the record is valid."""

    wire: str
    reading: Any


@dataclass(frozen=True, repr=False)
class Property:
    """A property schema, how to make values for it, and how to read one that was not made for it."""

    schema: Mapping[str, Any]
    values: st.SearchStrategy[Value]
    read: Callable[[Any], Any]


@dataclass(frozen=True, repr=False)
class Example:
    properties: Mapping[str, Property]
    schema: Mapping[str, Any]
    records: Sequence[Mapping[str, Value]]

    def __repr__(self) -> str:
        return f"{json.dumps(self.schema)} {self.lines('s')}"

    def lines(self, stream: str) -> list[bytes]:
        return [_record_line(stream, number, record) for number, record in enumerate(self.records)]


def _record_line(stream: str, number: int, record: Mapping[str, Value]) -> bytes:
    fields = "".join(f", {json.dumps(name)}: {value.wire}" for name, value in record.items())
    text = f'{{"type": "RECORD", "stream": {json.dumps(stream)}, "record": {{"n": {number}{fields}}}}}'
    return text.encode()


# --- reading, on its own ------------------------------------------------------------------------------------


def parsed(wire: str) -> Any:
    return json.loads(wire, parse_float=Decimal)


def is_integer(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value == value.to_integral_value()
    return isinstance(value, int) and not isinstance(value, bool)


Oracle = extend(
    Draft7Validator,
    type_checker=Draft7Validator.TYPE_CHECKER.redefine("integer", lambda _checker, value: is_integer(value)),
)


def is_valid(schema: Mapping[str, Any], instance: Any) -> bool:
    with localcontext(prec=5000):  # `multipleOf` divides
        return bool(Oracle(schema).is_valid(instance))


def is_storable(value: Any) -> bool:
    """No NUL, no lone surrogate, at any depth."""
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return all(is_storable(key) and is_storable(item) for key, item in value.items())
    return all(map(is_storable, value)) if isinstance(value, list) else True


def read_plain(value: Any) -> Any:
    return value


def read_number(value: Any) -> Any:
    return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def read_nothing(value: Any) -> Any:
    """Text in a column that wants a form: none of the junk below has it."""
    return UNSTORABLE if value is not None else None


# --- values -------------------------------------------------------------------------------------------------

_EDGES = [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**64, 10**40]
integers = st.sampled_from(_EDGES) | st.integers(-1000, 1000) | st.integers()


@st.composite
def number_texts(draw: st.DrawFn) -> str:
    whole = str(draw(integers))
    fraction = draw(st.just("") | st.text("0123456789", min_size=1, max_size=40).map(lambda d: "." + d))
    exponent = draw(st.sampled_from(["", "", "", "e0", "E5", "e-7", "e+20", "E-300", "e400", "e1000"]))
    return whole + fraction + exponent


_TELLING = [
    "",
    "null",
    "\\.",
    "\\N",
    '"',
    "\\",
    "\n",
    "\r\n",
    "\t",
    ",",
    "][",
    "a\u2028b",
    "\x7f",
    "é",
    "e\u0301",
    "😀",
]
_ODD = ["\x00", "a\x00b", "\\u0000", "\x01\x02\x1f"]
_SURROGATES = ["\ud800", "x\udfffy", "\udc00\ud800"]
texts = (
    st.sampled_from(_TELLING) | st.text(max_size=12) | st.sampled_from(_ODD) | st.sampled_from(_SURROGATES)
)
plain_texts = st.sampled_from(_TELLING) | st.text("abcdef 0123456789", max_size=8)


@st.composite
def wires(draw: st.DrawFn, text: str) -> str:
    ascii_only = draw(st.booleans()) or any("\ud800" <= character <= "\udfff" for character in text)
    wire = json.dumps(text, ensure_ascii=ascii_only)
    return wire.replace("/", "\\/") if draw(st.booleans()) else wire


scalars = st.none() | st.booleans() | integers | plain_texts | texts
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain_texts | texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def document_values(draw: st.DrawFn, made: st.SearchStrategy[Any] = documents) -> Value:
    wire = json.dumps(draw(made), ensure_ascii=True)
    if draw(st.booleans()):
        number = draw(number_texts())
        wire = draw(st.sampled_from([wire, f"[{wire}, {number}]", f'{{"k": {number}, "l": {wire}}}']))
    return Value(wire, parsed(wire))


integer_values = integers.map(lambda number: Value(str(number), number))
whole_values = st.sampled_from([Value("3.0", 3), Value("-2e2", -200), Value("1E30", 10**30), Value("-0", 0)])
number_values = number_texts().map(lambda text: Value(text, Decimal(text)))
boolean_values = st.booleans().map(lambda value: Value(json.dumps(value), value))
text_values = texts.flatmap(lambda text: wires(text).map(lambda wire: Value(wire, text)))
null_values = st.just(Value("null", None))
junk_values = st.sampled_from(
    [
        '"12a"',
        '""',
        '"yesterday"',
        "12",
        "1.5",
        "true",
        "[]",
        "{}",
        '"2026-13-01"',
        '"99:00:00"',
        '"=="',
        '"\\u0000"',
    ]
).map(lambda wire: Value(wire, None))


@st.composite
def date_time_values(draw: st.DrawFn) -> Value:
    year = draw(st.sampled_from([1, 2, 1600, 1900, 1999, 2000, 2024, 2026, 9998]))
    day = dt.datetime(year, 1, 1) + dt.timedelta(days=draw(st.integers(0, 364)))
    hour, minute = draw(st.integers(0, 23)), draw(st.integers(0, 59))
    second = draw(st.integers(0, 59) | st.just(60))
    fraction = draw(st.just("") | st.text("0123456789", min_size=1, max_size=12) | st.just("999999999"))
    offset = draw(st.sampled_from([None, 0, 0, 330, -720, 14 * 60, -1]))
    letter = draw(st.sampled_from("Tt "))
    text = f"{day:%m-%d}{letter}{hour:02}:{minute:02}:{second:02}" + (f".{fraction}" if fraction else "")
    if offset is not None:
        sign, size = "-" if offset < 0 else "+", abs(offset)
        forms = [f"{sign}{size // 60:02}:{size % 60:02}", f"{sign}{size // 60:02}{size % 60:02}"]
        text += draw(st.sampled_from([*forms, "Z", "z"] if offset == 0 else forms))
    micros = (int((fraction or "0").ljust(12, "0")) + 500_000) // 1_000_000
    moment = (
        day + dt.timedelta(hours=hour, minutes=minute - (offset or 0), seconds=second, microseconds=micros)
        if ((year, offset) != (1, 330) and (year, offset) != (1, 840))
        else None
    )
    if moment is None:  # before the year 1 in UTC: PostgreSQL stores it, Python has no name for it
        return Value('"2000-01-01T00:00:00Z"', dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
    return Value(f'"{year:04}-{text}"', moment.replace(tzinfo=dt.UTC))


dates = st.dates().map(lambda day: Value(f'"{day.isoformat()}"', day))


@st.composite
def time_values(draw: st.DrawFn) -> Value:
    time = draw(st.times())
    zone = draw(st.sampled_from(["", "Z", "+00:00", "z"]))
    return Value(f'"{time.isoformat()}{zone}"', time)


uuid_values = st.uuids().flatmap(
    lambda found: st.sampled_from([str(found), str(found).upper(), found.hex]).map(
        lambda text: Value(f'"{text}"', found)
    )
)
bytes_values = st.binary(max_size=9).map(
    lambda data: Value(json.dumps(base64.b64encode(data).decode()), data)
)
decimal_texts = number_texts().map(lambda text: Value(f'"{text}"', Decimal(text)))

# --- schemas ------------------------------------------------------------------------------------------------

json_types = ["null", "boolean", "integer", "number", "string", "object", "array"]
bounds = st.integers(-100, 100) | st.sampled_from([0.01, 1.5, -0.5, 100.25])


@st.composite
def narrowed(
    draw: st.DrawFn, schema: dict[str, Any], keywords: Mapping[str, st.SearchStrategy[Any]]
) -> dict[str, Any]:
    chosen = (
        draw(st.lists(st.sampled_from(sorted(keywords)), max_size=2, unique=True))
        if draw(st.booleans())
        else []
    )
    return schema | {keyword: draw(keywords[keyword]) for keyword in chosen}


NUMERIC = {
    "minimum": bounds,
    "maximum": bounds,
    "exclusiveMinimum": bounds,
    "exclusiveMaximum": bounds,
    "multipleOf": st.sampled_from([1, 2, 0.01, 0.5]),
}
TEXTUAL = {
    "minLength": st.integers(0, 3),
    "maxLength": st.integers(0, 9),
    "pattern": st.sampled_from(["^a", "[0-9]+$", "^[a-f ]*$", "\\S"]),
    "enum": st.lists(plain_texts | st.none(), min_size=1, max_size=3, unique=True),
    "const": plain_texts,
}


@st.composite
def nested_schemas(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    kind = draw(
        st.sampled_from(["any", "scalar", "types", "enum", "array", "object"] if depth else ["any", "scalar"])
    )
    if kind == "any":
        return {}
    if kind == "scalar":
        name = draw(st.sampled_from(json_types[:5]))
        keywords = (
            NUMERIC
            if name in ("integer", "number")
            else TEXTUAL
            if name == "string"
            else {"title": st.just("t")}
        )
        return draw(narrowed({"type": name}, keywords))
    if kind == "types":
        return {"type": draw(st.lists(st.sampled_from(json_types), min_size=1, max_size=3, unique=True))}
    if kind == "enum":
        return {
            "enum": draw(
                st.lists(st.none() | st.booleans() | st.integers(0, 3) | plain_texts, min_size=1, max_size=3)
            )
        }
    if kind == "array":
        schema: dict[str, Any] = {"type": draw(st.sampled_from(["array", ["array", "null"]]))}
        return schema | ({"items": draw(nested_schemas(depth - 1))} if draw(st.booleans()) else {})
    schema = {"type": draw(st.sampled_from(["object", ["null", "object"]]))}
    names = draw(st.lists(st.sampled_from(["a", "b", 'say "c"']), max_size=3, unique=True))
    if names:
        schema["properties"] = {name: draw(nested_schemas(depth - 1)) for name in names}
        schema["required"] = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    if draw(st.booleans()):
        schema["additionalProperties"] = draw(st.booleans() | nested_schemas(0))
    return schema


def made_for(schema: Any) -> st.SearchStrategy[Any]:
    """Values that often satisfy a nested schema."""
    if not isinstance(schema, Mapping) or not schema:
        return documents
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    types = schema.get("type", json_types)
    return st.one_of([_made_of(name, schema) for name in ([types] if isinstance(types, str) else types)])


def _made_of(name: str, schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    match name:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer" | "number":
            return integers
        case "string":
            return plain_texts
        case "array":
            return st.lists(made_for(schema.get("items")), max_size=3)
    required = set(schema.get("required", ()))
    properties = schema.get("properties", {})
    return st.fixed_dictionaries(
        {name: made_for(prop) for name, prop in properties.items() if name in required},
        optional={name: made_for(prop) for name, prop in properties.items() if name not in required}
        | {"z": integers},
    )


def simple(
    schema: st.SearchStrategy[dict[str, Any]], values: st.SearchStrategy[Value], read: Callable[[Any], Any]
) -> st.SearchStrategy[Property]:
    return schema.map(lambda found: Property(found, values, read))


SCALARS = [
    simple(
        narrowed({"type": "integer"}, NUMERIC),
        integer_values | whole_values,
        lambda v: int(v) if is_integer(v) else v,
    ),
    simple(narrowed({"type": "number"}, NUMERIC), number_values | integer_values, read_number),
    simple(st.just({"type": "boolean"}), boolean_values, read_plain),
    simple(narrowed({"type": "string"}, TEXTUAL), text_values, read_plain),
    simple(st.just({"type": "string", "format": "email"}), text_values, read_plain),
    simple(
        narrowed({"type": "string", "format": "date-time"}, {"minLength": st.just(3)}),
        date_time_values(),
        read_nothing,
    ),
    simple(st.just({"type": "string", "format": "date"}), dates, read_nothing),
    simple(st.just({"type": "string", "format": "time"}), time_values(), read_nothing),
    simple(st.just({"type": "string", "format": "uuid"}), uuid_values, read_nothing),
    simple(
        st.just({"type": "string", "contentEncoding": "base64"}),
        bytes_values,
        lambda v: b"" if v == "" else read_nothing(v),
    ),
    simple(st.just({"type": "string", "format": "x-singer.decimal"}), decimal_texts, read_nothing),
]


@st.composite
def properties(draw: st.DrawFn) -> Property:
    if draw(st.integers(0, 3)) == 0:
        schema = draw(nested_schemas())
        made = (
            made_for(schema).map(lambda value: json.dumps(value)).map(lambda wire: Value(wire, parsed(wire)))
        )
        return _reading_by_type(Property(schema, made | document_values(), read_plain))
    prop = draw(st.one_of(SCALARS))
    form = draw(st.sampled_from(["plain", "plain", "types", "types", "anyOf", "oneOf"]))
    if form == "plain":
        return prop
    nullable = {
        "types": lambda s: {**s, "type": [s["type"], "null"]},
        "anyOf": lambda s: {"anyOf": [s, {"type": "null"}]},
        "oneOf": lambda s: {"oneOf": [{"type": "null"}, s]},
    }[form](prop.schema)
    return Property(nullable, prop.values | null_values, prop.read)


def _reading_by_type(prop: Property) -> Property:
    """A random nested schema may name one scalar type: then the column is of that type."""
    types = prop.schema.get("type")
    names = {types} if isinstance(types, str) else set(types or ())
    if names - {"null"} == {"integer"}:
        return Property(prop.schema, prop.values, lambda v: int(v) if is_integer(v) else v)
    return prop


@st.composite
def examples(draw: st.DrawFn) -> Example:
    names = ["a", "B b", 'say "c"', "null"][: draw(st.integers(1, 4))]
    props = {name: draw(properties()) for name in names}
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, **{name: prop.schema for name, prop in props.items()}},
        "required": draw(st.lists(st.sampled_from(names), unique=True, max_size=2)),
    }
    if draw(st.integers(0, 4)) == 0:
        schema["additionalProperties"] = draw(st.booleans())
    records = [draw(_records(props)) for _ in range(draw(st.integers(1, 4)))]
    return Example(props, schema, records)


@st.composite
def _records(draw: st.DrawFn, props: Mapping[str, Property]) -> Mapping[str, Value]:
    record: dict[str, Value] = {}
    for name, prop in props.items():
        match draw(st.integers(0, 11)):
            case 0:
                continue
            case 1:
                junk = draw(junk_values | null_values | document_values())
                record[name] = Value(junk.wire, prop.read(parsed(junk.wire)))
            case _:
                record[name] = draw(prop.values)
    if draw(st.integers(0, 9)) == 0:
        record["extra"] = draw(junk_values)
    return record


# --- the same rows from both paths --------------------------------------------------------------------------


def stream_for(example: Example) -> Stream:
    # As on the wire: the schema's numbers are decimals.
    return stream_of("s", parsed(json.dumps(example.schema)), ())


def canonical(batches: Sequence[Batch], stream: Stream) -> list[dict[str, Any]]:
    """Rows as what PostgreSQL reads from their encoding: numbers as decimals, moments in UTC, JSON parsed."""
    return [
        {
            column.name: _canonical(value, column.kind)
            for column, value in zip(batch.columns, row, strict=True)
        }
        for batch in batches
        for row in batch.wire_rows
    ]


def _canonical(value: Any, kind: Kind) -> Any:
    read = parsed(msgspec.json.encode(value).decode())
    if isinstance(read, str):
        match kind:
            case Kind.JSON:
                return ("json", _decimals(parsed(read)))
            case Kind.NUMBER:
                return ("number", Decimal(read))
            case Kind.TIME:
                return read.removesuffix("Z").removesuffix("+00:00")
            case Kind.DATE_TIME:
                moment = dt.datetime.fromisoformat(read)
                return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return _decimals(read)


def _decimals(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _decimals(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decimals(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return (type(value).__name__, value)
    return ("number", Decimal(value))


@settings(max_examples=tries(100), **QUICK)
@given(examples(), st.booleans())
def test_what_the_fast_path_accepts_the_exact_path_and_jsonschema_accept_too(
    example: Example, reads_texts: bool
) -> None:
    stream = stream_for(example)
    fast = compile_decoder(
        stream, validate=True, allow_extra=True, with_metadata=False, reads_texts=reads_texts
    )
    if fast is None:
        return
    exact = compile_exact(stream, validate=True, policy=Policy.FAIL, extra=(), forbid_extra=False)
    for line in example.lines("s"):
        try:
            batches = fast.decode(line + b"\n", 1, 1)
        except Refused:
            continue
        record = parsed(line.decode())["record"]
        assert is_valid(stream.schema, record), record
        assert is_storable({name: record[name] for name in record if name in stream.column_names})
        values = tuple(None if value is msgspec.UNSET else value for value in exact.decode(line))
        row = [Batch(stream.columns, [values], first_line=1)]
        assert canonical(batches, stream) == canonical(row, stream)


@settings(max_examples=tries(40), **QUICK)
@given(examples())
def test_a_block_gives_the_same_rows_and_rejects_whichever_path_it_takes(example: Example) -> None:
    outcomes = []
    for always_exact in (False, True):
        stream = stream_for(example)
        decoder = BlockDecoder(
            stream,
            Judgement(unstorable=Policy.QUARANTINE, quarantine=True),
            lambda stream: stream,
            logging.getLogger("both paths"),
            always_exact=always_exact,
        )
        data = b"\n".join(example.lines("s")) + b"\n"
        batches, rejects = decoder.decode(Run("s", data, data.count(b"\n"), 1))
        rows = canonical(batches, decoder.stream)
        outcomes.append((rows, [(reject.line, reject.path) for reject in rejects]))
    assert outcomes[0] == outcomes[1]


FRACTIONS = [
    "",
    ".1",
    ".123456",
    ".1234560",
    ".123456000",
    ".1234561",
    ".00000001",
    ".9999999",
    ".1234560001",
]
CLOCKS = {
    "date-time": "2026-01-01T10:12:59{}Z",
    "time": "10:12:59{}",
    "date": "2026-01-01",
    "moment with an offset": "2026-01-01T10:12:59{}+01:30",
}


@pytest.mark.parametrize("kind", CLOCKS)
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_digits_that_no_clock_holds_are_told_of_on_both_paths(kind: str, fraction: str) -> None:
    """A number and a text with such digits, and a row before, which has none, do not hide them."""
    format_ = kind if kind in ("date-time", "time", "date") else "date-time"
    at = {"type": "string", "format": format_}
    schema = {"properties": {"n": {"type": "number"}, "note": {"type": "string"}, "at": at}}
    texts = [CLOCKS[kind].format(digits) for digits in ("", fraction)]
    data = "".join(
        f'{{"type":"RECORD","stream":"s","record":{{"n":12.1234567,"note":"1:12.1234567","at":"{text}"}}}}\n'
        for text in texts
    ).encode()
    rounded = []
    for always_exact in (False, True):
        decoder = BlockDecoder(
            stream_of("s", schema, ()),
            Judgement(),
            lambda stream: stream,
            logging.getLogger("both paths"),
            always_exact=always_exact,
        )
        batches, _ = decoder.decode(Run("s", data, 2, 1))
        rounded.append((decoder._rounded, canonical(batches, decoder.stream)))
    assert rounded[0] == rounded[1]
    assert bool(rounded[0][0]) == bool(re.search("[.][0-9]{6}0*[1-9]", texts[1]))


B64 = {"type": "string", "contentEncoding": "base64"}
DECIMAL = {"type": "string", "x-singer.decimal": True}
NEVER = {
    "bits that base64 does not keep": (B64, '"aGVsbG9="'),
    "base64 with a blank": (B64, '"aGVs bG8="'),
    "base64 of padding alone": (B64, '"===="'),
    "base64 of other characters": (B64, '"a\u00e9=="'),
    "a decimal with underscores": (DECIMAL, '"1_000"'),
    "a decimal in blanks": (DECIMAL, '" 1 "'),
    "a decimal and a line feed": (DECIMAL, '"1\\n"'),
    "a decimal in other digits": (DECIMAL, '"\u0661"'),
    "any value where the schema is false": (False, "1"),
    "null where the schema is false": (False, "null"),
    "items where their schema is false": ({"items": False}, "[1]"),
    "items inside where their schema is false": (
        {"type": "object", "properties": {"a": {"items": False}}},
        '{"a":[1]}',
    ),
    "a property of another type in an object of no type": (
        {"properties": {"a": {"type": "string"}}},
        '{"a":1}',
    ),
    "a number that is next to its bound as a float": (
        {"type": "object", "properties": {"a": {"type": "number", "minimum": 0}}},
        '{"a":-1e-400}',
    ),
    "one of many digits": ({"type": ["number", "string"], "maximum": 1}, "1.0000000000000000001"),
    "an object of no properties without what it requires": ({"type": "object", "required": ["b"]}, "{}"),
}


@pytest.mark.parametrize("always_exact", [False, True], ids=["block", "exact"])
@pytest.mark.parametrize("name", NEVER)
def test_what_no_path_takes(name: str, always_exact: bool) -> None:
    """It would become another value, or is not valid: it is set aside, and the record beside it is not."""
    property_schema, wire = NEVER[name]
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "v": property_schema}}
    decoder = BlockDecoder(
        stream_of("s", schema, ()),
        Judgement(unstorable=Policy.QUARANTINE, quarantine=True),
        lambda stream: stream,
        logging.getLogger("both paths"),
        always_exact=always_exact,
    )
    lines = [
        f'{{"type":"RECORD","stream":"s","record":{record}}}\n'
        for record in (f'{{"n":1,"v":{wire}}}', '{"n":2}')
    ]
    batches, rejects = decoder.decode(Run("s", "".join(lines).encode(), 2, 1))
    assert [row[0] for batch in batches for row in batch.wire_rows] == [2]
    assert [(reject.line, reject.path.startswith("$.v")) for reject in rejects] == [(1, True)]


# --- what is loaded is what the records say ----------------------------------------------------------------


def expected_rows(example: Example) -> list[tuple[int, dict[str, Any]]]:
    """(n, fields) of the records that are valid and storable."""
    schema = parsed(json.dumps(example.schema))
    rows = []
    for number, record in enumerate(example.records):
        instance = {"n": number} | {name: parsed(value.wire) for name, value in record.items()}
        known = {name: value for name, value in record.items() if name != "extra"}
        if not is_storable(instance) or any(value.reading is UNSTORABLE for value in known.values()):
            continue
        if is_valid(schema, instance):
            rows.append(
                (
                    number,
                    {name: known[name].reading if name in known else None for name in example.properties},
                )
            )
    return rows


def loaded_rows(
    cursor: Any, schema: str, stream: str, names: Sequence[str]
) -> list[tuple[int, dict[str, Any]]]:
    cursor.execute(
        SQL("SELECT {}, n FROM {} ORDER BY n").format(
            SQL(", ").join(SQL("{0}::text, pg_typeof({0})::text").format(Identifier(name)) for name in names),
            Identifier(schema, stream),
        )
    )
    return [
        (row[-1], {name: from_text(row[2 * i], row[2 * i + 1]) for i, name in enumerate(names)})
        for row in cursor.fetchall()
    ]


def from_text(text: str | None, type_: str) -> Any:
    """Read a value in PostgreSQL's text form."""
    if text is None:
        return None
    match type_:
        case "bigint":
            return int(text)
        case "numeric":
            return Decimal(text)
        case "boolean":
            return text == "true"
        case "jsonb":
            return parsed(text)
        case "timestamp with time zone":
            return dt.datetime.fromisoformat(text)
        case "date":
            return dt.date.fromisoformat(text)
        case "time without time zone":
            return dt.time.fromisoformat(text)
        case "uuid":
            return uuid.UUID(text)
        case "bytea":
            return bytes.fromhex(text.removeprefix("\\x"))
    return text


@dataclass(frozen=True, repr=False)
class Batched:
    """Many examples for one load; too long to be printed."""

    examples: list[Example]

    def __repr__(self) -> str:
        return f"{len(self.examples)} examples"


LOADS = 0


@pytest.mark.parametrize("path", ["block path", "exact path"])
@settings(max_examples=tries(2), phases=[Phase.generate], **QUICK)
@given(batch=st.lists(examples(), min_size=40, max_size=40).map(Batched))
def test_what_is_loaded_is_what_the_records_say(postgres_dsn: str, path: str, batch: Batched) -> None:
    global LOADS
    LOADS += 1
    schema = f"{path} {LOADS}"
    odd = r', "n2": "\\u0000"}}' if path == "exact path" else "}}"  # sends the block to the exact path
    messages: list[Any] = []
    for number, example in enumerate(batch.examples):
        stream = f"s{number}"
        messages.append({"type": "SCHEMA", "stream": stream, "schema": example.schema, "key_properties": []})
        if example.schema.get("additionalProperties") is False:
            messages.extend(example.lines(stream))
        else:
            messages.extend(line[:-2] + odd.encode() for line in example.lines(stream))
    load(
        postgres_dsn,
        *messages,
        default_target_schema=schema,
        on_invalid="quarantine",
        on_unstorable="quarantine",
        on_type_conflict="quarantine",
        pipeline=schema,
    ).expect(0)
    with connected(postgres_dsn) as cursor:
        for number, example in enumerate(batch.examples):
            found = loaded_rows(cursor, schema, f"s{number}", list(example.properties))
            if found != expected_rows(example):  # not `assert`: hypothesis would print the whole batch
                pytest.fail(f"{example}\nfound    {found}\nexpected {expected_rows(example)}")


def test_the_exact_path_knows_what_it_asks_of_its_caller() -> None:
    stream = stream_of("s", {"properties": {"v": {"type": "integer"}}}, ())
    exact = compile_exact(stream, validate=True, policy=Policy.FAIL, extra=(), forbid_extra=True)
    for record, error in (('{"v": 1e30}', TooWide), ('{"w": 1}', UnknownFields), ('{"v": "x"}', RejectedRow)):
        with pytest.raises(error):
            exact.decode(f'{{"type": "RECORD", "stream": "s", "record": {record}}}'.encode())
