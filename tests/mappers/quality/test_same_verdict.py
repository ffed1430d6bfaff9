"""A rule gives the same verdict where records pass, in PostgreSQL, and in DuckDB: for all kinds of odd values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mappers.quality.test_judge import broken
from sampling import tries

from singerkit_quality.rules import Rule, rules_of
from singerkit_sql_target.dialect import Words
from singerkit_sql_target.letters import literal
from singerkit_sql_target.rowsql import NotHere, row_condition
from target_duckdb.connect import DuckDialect
from target_postgres.words import WORDS

_LOCAL = "2025-12-31T23:59:59.999999"
_TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5),
    st.text("aAbB \u00e4\u0308\U0001f600\n\u00c3\u00bc\ufffd\u0085\u00a0\u2028\t1-", max_size=5),
    st.sampled_from(
        [
            "",
            " ",
            "a ",
            " a",
            "A",
            "a",
            "NaN",
            "-0",
            "0",
            "01",
            "1e3",
            "true",
            "TRUE",
            "2024-02-29",
            "2023-02-29",
            "null",
            "\u0661",
        ]
    ),
)
_NUMBERS = st.one_of(
    st.decimals(-12, 12, places=3).map("#{:f}".format),
    st.sampled_from(
        ["#-0", "#-0.0", "#0.1", "#0.10", "#0.100000001", "#1e1", "#9.999999999", "#10.000000001"]
    ),
)
_PATTERNS = st.sampled_from(
    [
        "[a-z]+",
        "a|",
        ".*",
        ".{2}",
        "[^a]*",
        r"\d+",
        r"\w*",
        r"\s+",
        "[\u00e4-\u00fc]",
        "(?:a|ab)*b?",
        "A",
        r"[^\w]+",
        ".?\n?",
        r"\W",
        "[]a-]+",
        r"\.|-?1",
    ]
)
_RULES = st.one_of(
    st.builds(lambda p: ("t", {"rule": "matches", "pattern": p}), _PATTERNS),
    st.sampled_from(
        [
            ("t", {"rule": "not_null"}),
            ("t", {"rule": "length", "min": 1, "max": 2}),
            ("t", {"rule": "encoding"}),
            ("t", {"rule": "accepted", "values": ["a", "", "NaN", "\u00e4", "it's", "-0"]}),
            *(
                ("t", {"rule": "type", "type": type_})
                for type_ in ("integer", "number", "boolean", "date", "uuid")
            ),
            ("n", {"rule": "not_null"}),
            ("n", {"rule": "range", "min": 0}),
            ("n", {"rule": "range", "min": -0.1, "max": 10}),
            ("n", {"rule": "accepted", "values": [0, 0.1, 10]}),
            ("i", {"rule": "range", "min": 0, "max": 9.5}),
            ("i", {"rule": "accepted", "values": [0, 1]}),
            ("d", {"rule": "range", "min": "2024-02-29"}),
            ("m", {"rule": "range", "max": "2026-01-01T00:00:00Z"}),
            ("b", {"rule": "accepted", "values": [False]}),
        ]
    ),
)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "t": _TEXTS,
    "n": _NUMBERS,
    "i": st.integers(-3, 12) | st.sampled_from([2**62, -(2**62)]),
    "d": st.dates().map(str),
    "m": st.sampled_from(
        [
            "2026-01-01T00:00:00Z",
            "2026-01-01T01:00:00+01:00",
            _LOCAL,
            "2026-01-01T00:00:00.000001Z",
        ]
    ),
    "b": st.booleans(),
}
_COLUMNS = {
    "t": ("text", "VARCHAR"),
    "n": ("numeric", "DECIMAL(38,9)"),
    "i": ("bigint", "BIGINT"),
    "d": ("date", "DATE"),
    "m": ("timestamp with time zone", "TIMESTAMP WITH TIME ZONE"),
    "b": ("boolean", "BOOLEAN"),
}

Execute = Callable[[str], list[tuple[Any, ...]]]


def in_sql(
    execute: Execute, words: Words, rule: Rule, type_: str, field: str, values: Sequence[Any]
) -> list[int]:
    """Return the places of the values that break a rule, as the database says."""
    rows = ", ".join(f"({place}, CAST({_literal(value)} AS {type_}))" for place, value in enumerate(values))
    of = "TRUE" if rule.kind == "not_null" else "t.v IS NOT NULL"
    condition = row_condition(rule, "t.v", type_, words)
    return [
        place
        for (place,) in execute(
            f"SELECT place FROM (VALUES {rows}) AS t (place, v) WHERE {of} AND {condition} ORDER BY place"
        )
    ]


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if value == _LOCAL:
        return literal(f"{_LOCAL}Z")  # as it is loaded
    text = value.removeprefix("#") if isinstance(value, str) else json.dumps(value)
    return literal(text)


@pytest.fixture(scope="module")
def stores(postgres_dsn: str) -> Iterator[list[tuple[Execute, Words, int]]]:
    connection = psycopg2.connect(postgres_dsn)
    connection.autocommit = True
    duck = duckdb.connect()
    duck.execute("SET TimeZone = 'UTC'")

    def postgres(query: str) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'; " + query)
            return cursor.fetchall()

    dialect: Any = DuckDialect
    try:
        yield [
            (postgres, WORDS, 0),
            (
                lambda query: duck.execute(query).fetchall(),
                dialect(Path("none.duckdb"), number_type="decimal"),
                1,
            ),
        ]
    finally:
        connection.close()
        duck.close()


@settings(max_examples=tries(150), deadline=None)
@given(data=st.data(), asked=_RULES)
def test_a_rule_says_the_same_of_records_and_in_both_databases(
    stores: list[Any], data: st.DataObject, asked: tuple[str, dict[str, Any]]
) -> None:
    field, said = asked
    one = (
        _VALUES[field]
        if field == "n"
        else _VALUES[field].filter(lambda value: not str(value).startswith("#"))
    )
    values = data.draw(st.lists(st.none() | one, min_size=1, max_size=12))
    expected = broken({"field": field, **said}, values)
    [rule] = rules_of({"s": [{"field": field, **said}]}).of("s")
    for execute, words, which in stores:
        assert in_sql(execute, words, rule, _COLUMNS[field][which], field, values) == expected, words.name


@pytest.mark.parametrize(
    ("said", "type_"),
    [
        ({"rule": "range", "min": 0}, "double precision"),
        ({"rule": "range", "min": 0}, "text"),
        ({"rule": "range", "min": "x"}, "date"),
        ({"rule": "length", "max": 1}, "character(3)"),
        ({"rule": "accepted", "values": ["a"]}, "jsonb"),
        ({"rule": "matches", "pattern": "a{300}"}, "text"),
        ({"rule": "matches", "pattern": r"a\x00"}, "text"),
    ],
)
def test_a_rule_that_would_say_something_else_of_a_column_is_not_judged_there(
    said: dict[str, Any], type_: str
) -> None:
    [rule] = rules_of({"s": [{"field": "v", **said}]}).of("s")
    with pytest.raises(NotHere):
        row_condition(rule, "t.v", type_, WORDS)
