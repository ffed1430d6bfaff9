"""Which type a column gets, which one keeps what is there and what comes, and how values go there, whatever a store calls them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from singerkit_sql_target import decimals
from singerkit_sql_target.types import Types
from singerkit_wire.kinds import Column, Kind
from target_duckdb.types import TYPES as OF_DUCKDB

_OTHERS = {
    "TINYINT": "INT8",
    "SMALLINT": "INT16",
    "INTEGER": "INT32",
    "BIGINT": "INT64",
    "HUGEINT": "INT128",
    "DECIMAL": "NUMERIC",
    "DOUBLE": "FLOAT64",
    "FLOAT": "FLOAT32",
    "VARCHAR": "STRING",
    "BOOLEAN": "BOOL",
    "BLOB": "BYTES",
    "TIMESTAMP": "DATETIME",
}


def renamed(type_: str) -> str:
    """The name of a type in a store that calls all of them otherwise."""
    name, bracket, digits = type_.partition("(")
    return _OTHERS.get(name, name) + bracket + digits


OF_ANOTHER = replace(
    OF_DUCKDB,
    store="Another",
    table={kind: renamed(type_) for kind, type_ in OF_DUCKDB.table.items()},
    integers={renamed(type_): digits for type_, digits in OF_DUCKDB.integers.items()},
    clocks={renamed(type_): kind for type_, kind in OF_DUCKDB.clocks.items()},
    double="FLOAT64",
    single="FLOAT32",
    decimal="NUMERIC",
    aliases={},
)


class Store:
    """The types of a store, asked by the names that DuckDB has for them."""

    def __init__(self, types: Types, *, is_another: bool) -> None:
        self.types = types
        self.called = renamed if is_another else str

    def fitting(self, column: Column, found: str, wanted: str) -> str | None:
        return self.types.fitting(column, self.called(found), self.called(wanted))

    def as_stored(self, column: Column, type_: str) -> Column | None:
        return self.types.as_stored(column, self.called(type_))

    def new_type(self, column: Column, chosen: str | None, number_type: str) -> str:
        return self.types.new_type(column, chosen, number_type)


@pytest.fixture(params=["DuckDB", "another"])
def store(request: pytest.FixtureRequest) -> Store:
    is_another = request.param == "another"
    return Store(OF_ANOTHER if is_another else OF_DUCKDB, is_another=is_another)


def column(kind: Kind, **schema: Any) -> Column:
    return Column("x", kind, nullable=True, required=False, schema=schema)


def test_a_store_without_a_type_of_32_bits_rounds_in_one_type_only() -> None:
    assert set(OF_ANOTHER.inexact) == {"FLOAT64", "FLOAT32"}
    assert set(replace(OF_ANOTHER, single=None).inexact) == {"FLOAT64"}


@pytest.mark.parametrize(
    ("kind", "found", "wanted", "fits"),
    [
        (Kind.INTEGER, "INTEGER", "BIGINT", "BIGINT"),
        (Kind.INTEGER, "HUGEINT", "BIGINT", "HUGEINT"),
        (Kind.INTEGER, "DECIMAL(38,9)", "BIGINT", "DECIMAL(38,9)"),
        (Kind.INTEGER, "DECIMAL(10,2)", "BIGINT", "DECIMAL(21,2)"),
        (Kind.INTEGER, "VARCHAR", "BIGINT", "VARCHAR"),
        (Kind.INTEGER, "BOOLEAN", "BIGINT", None),
        (Kind.BIG_INTEGER, "BIGINT", "DECIMAL(38,0)", "DECIMAL(38,0)"),
        (Kind.BIG_INTEGER, "DECIMAL(38,9)", "DECIMAL(38,0)", "DECIMAL(38,9)"),
        (Kind.BIG_INTEGER, "DECIMAL(21,2)", "DECIMAL(38,0)", "DECIMAL(21,2)"),
        (Kind.NUMBER, "BIGINT", "DECIMAL(38,9)", "DECIMAL(38,9)"),
        (Kind.NUMBER, "BIGINT", "DECIMAL(12,2)", "DECIMAL(21,2)"),
        (Kind.NUMBER, "BIGINT", "DOUBLE", None),
        (Kind.NUMBER, "DECIMAL(38,2)", "DECIMAL(38,9)", None),
        (Kind.INTEGER, "DECIMAL(19,0)", "BIGINT", "DECIMAL(19,0)"),
        (Kind.INTEGER, "DECIMAL(18,0)", "BIGINT", "DECIMAL(19,0)"),
        (Kind.BIG_INTEGER, "DECIMAL(18,0)", "DECIMAL(38,0)", "DECIMAL(38,0)"),
        (Kind.NUMBER, "DECIMAL(12,2)", "DECIMAL(38,9)", "DECIMAL(38,9)"),
        (Kind.NUMBER, "DECIMAL(38,0)", "DECIMAL(38,9)", None),
        (Kind.NUMBER, "DOUBLE", "DECIMAL(38,9)", None),
        (Kind.NUMBER, "DECIMAL(38,9)", "DOUBLE", "DECIMAL(38,9)"),
        (Kind.STRING, "BIGINT", "VARCHAR", None),
        (Kind.DATE, "TIMESTAMP", "DATE", None),
    ],
)
def test_a_column_becomes_the_type_that_keeps_what_is_there_and_what_comes(
    store: Store, kind: Kind, found: str, wanted: str, fits: str | None
) -> None:
    assert store.fitting(column(kind), found, wanted) == (None if fits is None else store.called(fits))


def test_doubles_of_the_source_come_back_and_others_are_rounded_where_the_config_says_so(
    store: Store,
) -> None:
    """DOUBLE is the word for that; FLOAT rounded without a word, and few who choose it know how early."""
    wide = Decimal(2**53 + 1)
    of_source = store.as_stored(column(Kind.NUMBER, format="double"), "DOUBLE")
    chosen = store.as_stored(column(Kind.NUMBER), "DOUBLE")
    narrow = store.as_stored(column(Kind.NUMBER, format="double"), "FLOAT")
    found = [one.numbers for one in (of_source, chosen, narrow) if one is not None and one.numbers]
    assert [numbers.hold(wide) for numbers in found] == [False, True, False]
    held = "0.1", "1e308", "1.7976931348623157e308", "5e-324", "-0.0", str(2**53)
    assert all(map(found[0].hold_text, held))
    assert not any(map(found[0].hold_text, ["1.8e308", "3e-324", "0.10000000000000000001"]))


@pytest.mark.parametrize("chosen", ["decimal(0,0)", "decimal(39)", "decimal(4,5)"])
def test_decimals_that_the_store_does_not_have(store: Store, chosen: str) -> None:
    with pytest.raises(ValueError, match="more than 38 digits"):
        store.new_type(column(Kind.NUMBER), chosen, "decimal")


def test_types_that_the_schema_tells(store: Store) -> None:
    in_text = replace(column(Kind.NUMBER), number_in_text=True)
    assert store.new_type(in_text, None, "double") == store.called("DECIMAL(38,9)")
    assert store.new_type(column(Kind.NUMBER), None, "double") == store.called("DOUBLE")
    assert store.new_type(column(Kind.NUMBER, format="double"), None, "decimal") == store.called("DOUBLE")
    steps = [(1e-19, (19, 19)), (1e-20, None), (100, (38, 0)), (0, None)]
    assert [decimals.declared(column(Kind.NUMBER, multipleOf=step), 38) for step, _ in steps] == [
        digits for _, digits in steps
    ]
    assert decimals.declared(column(Kind.NUMBER, precision=38, scale=38), 38) == (0, 38)
    assert decimals.declared(column(Kind.NUMBER, precision=39, scale=1), 38) is None
    assert decimals.declared(column(Kind.NUMBER, precision=0), 38) is None


def test_in_which_kind_a_column_takes_values(store: Store) -> None:
    def kind(given: Column, type_: str) -> Kind | None:
        found = store.as_stored(given, type_)
        assert found is None or not found.number_in_text or found.kind is Kind.NUMBER
        return None if found is None else found.kind

    in_text = replace(column(Kind.NUMBER), number_in_text=True)
    key = replace(column(Kind.INTEGER), is_key=True)
    found = [
        kind(in_text, "VARCHAR"),
        kind(in_text, "JSON"),
        kind(key, "VARCHAR"),
        kind(column(Kind.INTEGER), "VARCHAR"),
        kind(column(Kind.INTEGER), "INTEGER"),
        kind(column(Kind.STRING), "UUID"),
        kind(column(Kind.STRING), "DATE"),
        kind(column(Kind.DATE_TIME), "TIMESTAMP"),
        kind(column(Kind.INTEGER), "DATE"),
        kind(column(Kind.BOOLEAN), "BIGINT"),
    ]
    assert found == [
        Kind.STRING, Kind.JSON, Kind.INTEGER, Kind.ANY_TEXT, Kind.BIG_INTEGER, Kind.UUID, Kind.DATE, Kind.DATE_TIME, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "type_", ["STRUCT(x INTEGER)", "INTERVAL", "BIT", "UNION(n INTEGER)", "INTEGER[]", "ENUM('a')"]
)
def test_no_kind_goes_into_a_type_that_nobody_knows(store: Store, type_: str) -> None:
    for one in map(column, Kind):
        assert store.fitting(one, type_, store.new_type(one, None, "decimal")) is None
        assert store.as_stored(one, type_) is None
