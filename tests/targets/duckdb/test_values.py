"""Values of every kind go into a file and come back as they were sent, from both paths; what a column cannot hold is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from targets.duckdb.test_target_duckdb import file, load, query, rows, state

from singerkit_sql_target.arrays import as_stream
from singerkit_sql_target.dialect import ORDER, Field
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.values import plain_values
from target_duckdb.arrow import ROWS, as_arrow
from target_duckdb.target import TargetDuckDB
from target_duckdb.types import TYPES

__all__ = ["file"]

INTEGER, NUMBER, TEXT = (
    {"type": ["integer", "null"]},
    {"type": ["number", "null"]},
    {"type": ["string", "null"]},
)


def formatted(format_: str) -> dict[str, Any]:
    return {"type": ["string", "null"], "format": format_}


# kind: schema, type of the column, (as sent, as it is there)
VALUES: dict[str, tuple[Any, str, list[tuple[str, Any]]]] = {
    "integer": (INTEGER, "BIGINT", [("0", "0"), (str(2**63 - 1), str(2**63 - 1)), (str(-(2**63)), str(-(2**63)))]),
    "wide": (INTEGER, "DECIMAL(38,0)", [("7", "7"), (str(2**64 + 3), str(2**64 + 3)), (str(-(10**38) + 1), str(-(10**38) + 1))]),
    "number": (
        NUMBER,
        "DECIMAL(38,9)",
        [
            ("0.1", "0.100000000"),
            ("-123456789.123456789", "-123456789.123456789"),
            ("1e3", "1000.000000000"),
            (f"{'9' * 29}.{'9' * 9}", f"{'9' * 29}.{'9' * 9}"),
            ("1.5000000000000", "1.500000000"),
            ("-0.0", "0.000000000"),
        ],
    ),
    "cents": (NUMBER | {"multipleOf": 0.01}, "DECIMAL(38,2)", [("12.5", "12.50"), ("-99999999999999.99", "-99999999999999.99")]),
    "money": (formatted("x-singer.decimal") | {"precision": 12, "scale": 4}, "DECIMAL(12,4)", [('"1.2345"', "1.2345")]),
    "double": (
        NUMBER | {"format": "double"},
        "DOUBLE",
        [("0.1", "0.1"), ("1e-20", "1e-20"), ("1e300", "1e+300"), ("5e-324", "5e-324"), ("-0.0", "-0.0"), ("9007199254740993.0e-20", "9.007199254740993e-05")],
    ),
    "boolean": ({"type": ["boolean", "null"]}, "BOOLEAN", [("true", "true"), ("false", "false")]),
    "string": (
        TEXT,
        "VARCHAR",
        [('""', ""), ('"null"', "null"), ('"say \\"hi\\" \\\\ \\n"', 'say "hi" \\ \n'), ('"a\\u0000b"', "a\0b"), ('"Größe 🍣"', "Größe 🍣")],
    ),
    "moment": (
        formatted("date-time"),
        "TIMESTAMP WITH TIME ZONE",
        [
            ('"2024-02-29T12:00:00.5Z"', "2024-02-29 12:00:00.5+00"),
            ('"2024-02-29T12:00:00+15:59"', "2024-02-28 20:01:00+00"),
            ('"2024-02-29T12:00:00"', "2024-02-29 12:00:00+00"),
            ('"0001-01-01T00:00:00+14:00"', "0001-12-31 (BC) 10:00:00+00"),
            ('"9999-12-31T23:59:59.999999Z"', "9999-12-31 23:59:59.999999+00"),
        ],
    ),
    "date": (formatted("date"), "DATE", [('"0001-01-01"', "0001-01-01"), ('"9999-12-31"', "9999-12-31")]),
    "time": (formatted("time"), "TIME", [('"12:00:00.123456"', "12:00:00.123456"), ('"23:59:59Z"', "23:59:59")]),
    "uuid": (formatted("uuid"), "UUID", [(f'"{"ab" * 4}-{"cd" * 2}-{"ef" * 2}-{"01" * 2}-{"23" * 6}"', f"{'ab' * 4}-{'cd' * 2}-{'ef' * 2}-{'01' * 2}-{'23' * 6}")]),
    "binary": (TEXT | {"contentEncoding": "base64"}, "BLOB", [('"AAEC/w=="', "\\x00\\x01\\x02\\xFF"), ('""', "")]),
    "json": (
        {"type": ["object", "array", "null"]},
        "JSON",
        [('{"b":12345678901234567890.50,"a":[1e400]}', '{"b":12345678901234567890.50,"a":[1e400]}'), ("[]", "[]")],
    ),
    "mixed": ({"type": ["integer", "string", "null"]}, "JSON", [("5", "5"), ('"5"', '"5"')]),
}  # fmt: skip


@pytest.mark.parametrize("exact", [False, True])
def test_values_come_back_as_they_were_sent(file: Path, exact: bool) -> None:
    """All kinds in one run: null in each column, too."""
    properties = {kind: schema for kind, (schema, _, _) in VALUES.items()}
    most = max(len(values) for _, _, values in VALUES.values())
    records = [
        f'{{"type": "RECORD", "stream": "s", "record": {{"id": {place}'
        + "".join(
            f', "{kind}": {values[place][0] if place < len(values) else "null"}'
            for kind, (_, _, values) in VALUES.items()
        )
        + "}}"
        for place in range(most)
    ]
    messages = [SCHEMA("s", {"id": {"type": "integer"}, **properties}, ["id"]), *records, STATE({"at": 1})]
    if exact:  # a field that nobody knows makes the fast path give up
        messages.insert(1, RECORD("s", {"id": 99, "unknown": 1}))
    load(file, *messages).expect(0)
    described = {name: type_ for name, type_, *_ in query(file, "DESCRIBE s")}
    for kind, (_, type_, values) in VALUES.items():
        found = query(file, f'SELECT CAST("{kind}" AS VARCHAR) FROM s WHERE id < 99 ORDER BY id')
        assert described[kind] == type_
        assert [value for (value,) in found] == [there for _, there in values] + [None] * (
            most - len(values)
        ), kind


TOO_LONG: list[tuple[str, Any, str, str]] = [
    # field, schema, what is sent, a type that is chosen
    ("a", NUMBER, "0.1234567891", ""),
    ("b", NUMBER, f"{10**29}", ""),
    ("c", NUMBER, "1e-10", ""),
    ("d", NUMBER, f"0.{'1' * 40}", ""),
    ("e", NUMBER | {"multipleOf": 0.01}, "1e36", ""),
    ("f", INTEGER, str(10**38), ""),
    ("g", NUMBER, "1e400", "DOUBLE"),
    ("h", NUMBER, "-1e-400", "DOUBLE"),
    ("i", NUMBER, "4e38", "FLOAT"),
    ("j", INTEGER, "3000000000", "INTEGER"),
    ("k", NUMBER | {"format": "double"}, "9007199254740993", ""),
]


def test_a_number_with_too_many_digits_is_refused_and_never_rounded(file: Path) -> None:
    chosen = {f"s.{name}": type_ for name, _, _, type_ in TOO_LONG if type_}
    schema = SCHEMA(
        "s", {"id": {"type": "integer"}, **{name: schema for name, schema, *_ in TOO_LONG}}, ["id"]
    )
    records = [
        f'{{"type": "RECORD", "stream": "s", "record": {{"id": {place}, "{name}": {value}}}}}'
        for place, (name, _, value, _) in enumerate(TOO_LONG, 1)
    ]
    messages = [schema, RECORD("s", {"id": 0, "a": 1}), *records, STATE({"at": 1})]
    fails = {"column_types": chosen, "on_unstorable": "fail"}
    refused = load(file, *messages, **fails).expect(65)
    others = "(`column_types` chooses another: VARCHAR, which keeps every digit, or DOUBLE, which rounds)"
    excess = "got one with more than 9 digits after the point"
    assert (
        f"Expected a number that its column of type DECIMAL(38,9) {others} can hold, {excess}"
        in refused.last_words
    )
    assert "at s.$.a (line 3)" in refused.last_words
    load(file, *messages, **fails, on_invalid="quarantine").expect(0)
    assert [row[0] for row in rows(file)] == [0]
    letters = query(file, "SELECT line, path, record FROM _singerkit_rejects ORDER BY line")
    found = [(line, path, json.loads(record)["record"]["id"]) for line, path, record in letters]
    assert found == [(place + 2, f"$.{name}", place) for place, (name, *_) in enumerate(TOO_LONG, 1)]
    assert state(file)[1] == {"at": 1}
    load(file, *messages, column_types=chosen, on_unstorable="null").expect(0)
    assert sorted(rows(file, columns="id, a IS NULL")) == [(0, False), *((n, True) for n in range(1, 12))]


def test_a_key_in_a_column_of_text_is_one_however_it_is_written(file: Path) -> None:
    wide = 2**64
    records = [
        f'{{"type": "RECORD", "stream": "s", "record": {{"id": {n}}}}}'
        for n in ("12.0", "12", f"{wide}.0", wide)
    ]
    load(
        file,
        SCHEMA("s", {"id": {"type": "integer"}}, ["id"]),
        *records,
        STATE({"at": 1}),
        column_types={"s.id": "TEXT"},
    ).expect(0)
    assert rows(file) == [("12",), (str(wide),)]


def test_batches_of_both_paths_wait_together(file: Path) -> None:
    """On one path text has its quotes on the wire, on the other it has none."""
    text = {"id": {"type": "integer"}, "t": TEXT, "x": NUMBER}
    plain = [RECORD("s", {"id": n, "t": "a", "x": 1.5}) for n in range(3)]
    odd = [RECORD("s", {"id": 10 + n, "t": "\u001f", "x": 2}) for n in range(3)]
    units = [STATE({"at": 1}), SCHEMA("o", {"id": {"type": "integer"}}, [])]
    messages = [SCHEMA("s", text, ["id"]), *plain, units[1], *odd, units[1], *plain, units[0]]
    load(file, *messages).expect(0)
    assert sorted(rows(file, columns="id, t")) == [
        (0, "a"),
        (1, "a"),
        (2, "a"),
        (10, "\x1f"),
        (11, "\x1f"),
        (12, "\x1f"),
    ]


def test_text_keeps_all_digits_where_the_config_says_so(file: Path) -> None:
    exact = "-0.30000000000000004"
    record = f'{{"type": "RECORD", "stream": "s", "record": {{"id": 1, "x": {exact}, "y": 5}}}}'
    messages = [
        SCHEMA("s", {"id": {"type": "integer"}, "x": NUMBER, "y": INTEGER}, ["id"]),
        record,
        STATE({"a": 1}),
    ]
    load(file, *messages, column_types={"s.x": "text", "s.y": "varchar(3)"}).expect(0)
    assert rows(file) == [(1, exact, "5")]
    load(file, *messages, default_target_schema="d", column_types={"s.x": "double", "s.y": "int"}).expect(0)
    assert query(file, "SELECT x, y FROM d.s") == [(float(exact), 5)]


@pytest.mark.parametrize(
    "setting",
    [{"number_type": "double"}, {"column_types": {"s.x": "DOUBLE"}}, {"column_types": {"s.x": "VARCHAR"}}],
)
def test_the_advice_about_a_number_that_does_not_fit_works(file: Path, setting: dict[str, Any]) -> None:
    """The run that refused the number has made the table."""
    exact = "0.30000000000000004"
    record = f'{{"type": "RECORD", "stream": "s", "record": {{"id": 1, "x": {exact}}}}}'
    messages = [SCHEMA("s", {"id": {"type": "integer"}, "x": NUMBER}, ["id"]), record, STATE({"a": 1})]
    load(file, *messages, on_unstorable="fail").expect(65)
    load(file, *messages, **setting).expect(0)
    assert rows(file, columns="id, CAST(x AS VARCHAR)") == [(1, exact)]


def test_doubles_can_be_keys(file: Path) -> None:
    double = {"type": "number", "format": "double"}
    records = [RECORD("s", {"x": x, "t": t}) for x, t in ((0.1, "a"), (1e300, "b"), (0.1, "c"))]
    load(file, SCHEMA("s", {"x": double, "t": TEXT}, ["x"]), *records, STATE({"a": 1})).expect(0)
    assert sorted(rows(file)) == [(0.1, "c"), (1e300, "b")]


@pytest.mark.parametrize(
    "type_", ["numeric(99,1)", "nosuch", "int; DROP TABLE s", "STRUCT(a INT)", "decimal(4,9)"]
)
def test_a_type_that_no_rows_go_into_is_refused(file: Path, type_: str) -> None:
    done = load(file, SCHEMA("s", {"id": INTEGER, "x": TEXT}, ["id"]), column_types={"s.x": type_})
    assert f"`{type_}`" in done.expect(65).last_words


def test_every_kind_has_a_type_that_takes_it() -> None:
    for kind in Kind:
        column = Column("x", kind, nullable=True, required=False)
        assert TYPES.as_stored(column, TYPES.new_type(column, None, "decimal")) is not None
    assert TargetDuckDB.abilities({"load_method": "append-only"}).appends("s")


def test_a_column_of_doubles_with_values_takes_what_it_would_round_as_the_text_that_is_advised(
    file: Path,
) -> None:
    """The sentence named `column_types` alone, which the next run refused for the values that are stored."""
    schema = SCHEMA("s", {"id": {"type": "integer"}, "n": NUMBER | {"format": "double"}}, ["id"])
    load(file, schema, RECORD("s", {"id": 1, "n": 0.1}), STATE({"at": 1})).expect(0)
    wide = [schema, RECORD("s", {"id": 2, "n": 2**53 + 1}), STATE({"at": 2})]
    said = load(file, *wide, on_unstorable="fail").expect(65).last_words
    assert "`column_types` chooses another: VARCHAR, which keeps every digit" in said
    load(file, *wide, column_types={"s.n": "VARCHAR"}).expect(0)
    assert rows(file) == [(1, "0.1"), (2, "9007199254740993")]


def column(kind: Kind, **schema: Any) -> Column:
    return Column("x", kind, nullable=True, required=False, schema=schema)


@pytest.mark.parametrize(
    ("type_", "most", "too_much"),
    [
        ("TINYINT", "99", "100"),
        ("SMALLINT", "9999", "10000"),
        ("INTEGER", "999999999", "1e9"),
        ("BIGINT", "9" * 18, "1e18"),
        ("HUGEINT", "9" * 38, "1e38"),
        ("DECIMAL(4,2)", "99.99", "100"),
        ("DECIMAL(4,2)", "0.0100", "0.001"),
        ("DOUBLE", "9.99e307", "1e308"),
        ("DOUBLE", "1e-323", "1e-324"),
        ("FLOAT", "3.4028235e38", "3.4028236e38"),
        ("FLOAT", "1e-45", "1e-46"),
        ("FLOAT", "16777216", "16777217"),
        ("FLOAT", "0.1", "0.30000000000000004"),
    ],
)
def test_how_much_a_column_holds(type_: str, most: str, too_much: str) -> None:
    """DuckDB itself makes infinity, or nothing, of what comes just behind."""
    numbers = getattr(TYPES.as_stored(column(Kind.NUMBER), type_), "numbers", None)
    assert numbers is not None
    assert (numbers.hold(Decimal(most)), numbers.hold(Decimal(too_much))) == (True, False)
    value = duckdb.sql(f"SELECT CAST('{most}' AS {type_})").fetchall()[0][0]
    assert value
    assert value != float("inf")


@pytest.mark.parametrize(
    ("chosen", "type_"),
    [("decimal", "DECIMAL(18,3)"), ("NUMERIC (7)", "DECIMAL(7,0)"), ("dec(4, 4)", "DECIMAL(4,4)"), ("varchar(3)", "VARCHAR"), ("double  precision", "DOUBLE")],
)  # fmt: skip
def test_what_a_chosen_type_is_called_by_duckdb(chosen: str, type_: str) -> None:
    assert TYPES.new_type(column(Kind.STRING), chosen, "decimal") == type_
    assert str(duckdb.sql(f"SELECT CAST(NULL AS {chosen}) AS x").types[0]) == type_


def scanned(
    kind: Kind, type_: str, values: Sequence[Any], first: int = 0, look: str = "CAST(x AS VARCHAR)"
) -> list[tuple[Any, ...]]:
    """What DuckDB makes of a column."""
    on_wire = plain_values(column(kind), values)
    encoded = as_arrow([Field("x", type_, column(kind))], [on_wire], first)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Asia/Tokyo'")
        connection.register(ROWS, as_stream([encoded.array]))
        connection.execute(f"CREATE TABLE t (x {type_}, {ORDER} BIGINT)")
        connection.execute(f"INSERT INTO t SELECT {encoded.selected} FROM {ROWS}")
        return connection.execute(f"SELECT {look}, {ORDER} FROM t ORDER BY 2").fetchall()


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("DECIMAL(38,9)", ["123456789.123456789", "-0.000000001", None]),
        ("DECIMAL(38,9)", ["1234567890.000000001", f"-{'9' * 29}.{'9' * 9}"]),
        ("DECIMAL(38,10)", ["1.1234567891"]),
        ("DECIMAL(38,0)", [None, "1", None, None, "2", "-3", "4", "5", None, "9" * 38]),
        ("DECIMAL(38,37)", [f"9.{'9' * 37}"]),
    ],
)
def test_decimals_are_handed_over_with_every_digit(type_: str, values: list[str | None]) -> None:
    assert scanned(Kind.NUMBER, type_, values, 7) == [(value, place) for place, value in enumerate(values, 7)]


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("DECIMAL(38,8)", "1.123456789"),
        ("DECIMAL(38,9)", "1E-10"),
        ("DECIMAL(38,9)", "1e-10"),
        ("DECIMAL(38,0)", str(10**38)),
        ("DECIMAL(38,0)", str(-(10**38))),
        ("DECIMAL(38,38)", f"0.{'9' * 40}"),
        ("DECIMAL(38,38)", f"0.{'1' * 40}"),
    ],
)
def test_a_decimal_that_would_lose_a_digit_is_never_handed_over(type_: str, value: str) -> None:
    """It is refused when it is decoded; this is the second look."""
    with pytest.raises(ValueError, match="more digits than its column"):
        scanned(Kind.NUMBER, type_, ["1", value])


def test_a_moment_in_a_column_without_a_zone_is_in_utc() -> None:
    moment = datetime(2024, 2, 29, 12, 0, 0, 5, tzinfo=UTC)
    found = scanned(Kind.DATE_TIME, "TIMESTAMP", [moment, None])
    assert found == [("2024-02-29 12:00:00.000005", 0), (None, 1)]


MOMENTS = [
    [datetime(2024, 2, 29, 12, 0, 0, 5, UTC), datetime(1, 1, 1, 0, 0, 0, 1, UTC)],
    [datetime(2024, 2, 29, 12), datetime(9999, 12, 31, 23, 59, 59), None],
    [datetime(2024, 2, 29, 12, tzinfo=timezone(timedelta(hours=14))), datetime(2024, 2, 29, 12)],
    [datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=15, minutes=59)))],
    [datetime(9999, 12, 31, 23, 59, tzinfo=timezone(-timedelta(hours=15, minutes=59)))],
]


@pytest.mark.parametrize("moments", MOMENTS)
@pytest.mark.parametrize("type_", ["TIMESTAMP WITH TIME ZONE", "TIMESTAMP"])
def test_a_moment_is_that_moment_whatever_the_zone_of_the_session(type_: str, moments: Sequence[Any]) -> None:
    in_utc = [None if m is None else m if m.tzinfo else m.replace(tzinfo=UTC) for m in moments]
    micros = [
        None if m is None else (m - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        for m in in_utc
    ]
    found = scanned(Kind.DATE_TIME, type_, moments, look="epoch_us(x)")
    assert [moment for moment, _ in found] == micros


def test_a_key_of_integers_in_a_column_of_text_is_one_text() -> None:
    found = scanned(Kind.BIG_INTEGER, "VARCHAR", ["12.0", "12", "1.2e1", None])
    assert [text for text, _ in found] == ["12", "12", "12", None]
