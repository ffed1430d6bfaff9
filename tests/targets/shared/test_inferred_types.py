"""A field whose type a tap has inferred turns out to be more: its column takes all of it, and the pipe goes on.

Whether the tap remembers that or not; a field that is declared is another matter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import Outcome
from conformance.singer import RECORD, STATE
from faults.loads import load as load_into_postgres
from faults.loads import query as query_postgres
from targets.duckdb.test_target_duckdb import load as load_into_duckdb
from targets.duckdb.test_target_duckdb import query as query_duckdb

TEXT = {"type": ["string", "null"]}
A_UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


def of(*types: str, **more: Any) -> dict[str, Any]:
    return {"type": [*types, "null"], **more}


@dataclass(frozen=True)
class Store:
    """A target, and how its table is read: each value as text."""

    load: Callable[..., Outcome]
    query: Callable[[str], list[tuple[Any, ...]]]

    def rows(self) -> list[tuple[Any, ...]]:
        fields = ", ".join(f"CAST({name} AS VARCHAR)" for name in CHANGES)
        return self.query(f"SELECT id, {fields} FROM s ORDER BY id")


@pytest.fixture(params=["target-postgres", "target-duckdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "target-duckdb":
        file = tmp_path / "x.duckdb"
        return Store(
            lambda *messages, **config: load_into_duckdb(file, *messages, **config),
            lambda text: query_duckdb(file, text),
        )
    database = request.getfixturevalue("database")
    return Store(
        lambda *messages, **config: load_into_postgres(database, *messages, **config),
        lambda text: query_postgres(database, text),
    )


def schema(*, inferred: Sequence[str] | None = None, **fields: Mapping[str, Any]) -> Any:
    properties = {"id": of("integer"), **fields}
    return {
        "type": "SCHEMA",
        "stream": "s",
        "schema": {"type": "object", "properties": properties},
        "key_properties": ["id"],
        "inferred": list(properties if inferred is None else inferred),
    }


def row(id_: Any, **fields: Any) -> Any:
    return RECORD("s", {"id": id_, **fields})


CHANGES: dict[str, tuple[Any, Any, str, Any, Any, str]] = {
    "uuid_": (of("string", format="uuid"), A_UUID, A_UUID, TEXT, "none", "none"),
    "day": (
        of("string", format="date"),
        "2026-01-02",
        "2026-01-02",
        TEXT,
        "2026-02-01T10:00:00Z",
        "2026-02-01T10:00:00Z",
    ),
    "moment": (
        of("string", format="date-time"),
        "2026-01-02T10:00:00.5+02:00",
        "2026-01-02T08:00:00.5Z",
        TEXT,
        "soon",
        "soon",
    ),
    "clock": (of("string", format="time"), "10:00:00", "10:00:00", TEXT, "24h", "24h"),
    "whole": (of("integer"), 9007199254740993, "9007199254740993", of("integer", "string"), "N/A", '"N/A"'),
    "decimal_": (of("number"), 1.5, "1.5", of("number", "string"), "N/A", '"N/A"'),
    "flag": (of("boolean"), True, "true", of("boolean", "integer"), 0, "0"),
    "day_or_number": (
        of("string", format="date"),
        "2026-01-02",
        '"2026-01-02"',
        of("string", "integer"),
        5,
        "5",
    ),
}


NAMES = list(CHANGES)
FIRST, VALUES, KEPT, LATER, OTHERS, STORED = (
    dict(zip(NAMES, each, strict=True)) for each in zip(*CHANGES.values(), strict=True)
)


@pytest.mark.parametrize("when", ["in a later run", "behind a STATE", "in one unit"])
def test_a_column_takes_what_comes_and_keeps_what_it_has(when: str, store: Store) -> None:
    head, tail = [schema(**FIRST), row(1, **VALUES)], [schema(**LATER), row(2, **OTHERS), STATE({"at": 2})]
    if when == "in a later run":
        store.load(*head, STATE({"at": 1})).expect(0)
        done = store.load(*tail).expect(0)
    else:
        between = [STATE({"at": 1})] if when == "behind a STATE" else []
        done = store.load(*head, *between, *tail, commit_rows=1).expect(0)
    for name in NAMES if when == "in a later run" else ():
        assert done.stderr.count(f"Column `{name}` of stream `s` becomes ") == 1
    assert store.rows() == [(1, *KEPT.values()), (2, *STORED.values())]
    # A tap without a memory infers the narrow types again.
    store.load(schema(**FIRST), row(3, **VALUES), STATE({"at": 3})).expect(0)
    assert store.rows() == [
        (1, *KEPT.values()),
        (2, *STORED.values()),
        (3, *(json.dumps(VALUES[name]) if STORED[name] != OTHERS[name] else VALUES[name] for name in NAMES)),
    ]


FAIL = {"on_type_conflict": "fail"}


def test_what_is_declared_or_chosen_is_not_changed(store: Store) -> None:
    store.load(schema(v=FIRST["day"]), row(1, v="2026-01-02"), STATE({"at": 1})).expect(0)
    later, others = schema(v=TEXT, inferred=["id"]), row(2, v="soon")
    assert (
        "for `v` of stream `s`" in store.load(later, others, STATE({"at": 2}), **FAIL).expect(65).last_words
    )
    chosen = {"column_types": {"s.v": "date"}, "on_type_conflict": "quarantine"}
    store.load(schema(v=TEXT), others, STATE({"at": 2}), **chosen).expect(0)
    assert store.query("SELECT id, CAST(v AS VARCHAR) FROM s") == [(1, "2026-01-02")]


def test_a_key_becomes_wider_where_its_rows_are_found_again(store: Store) -> None:
    mixed = of("integer", "string")
    store.load(schema(v=TEXT), row(1, v="a"), STATE({"at": 1})).expect(0)
    rows = [row(1, v="b"), row("x", v="c"), row("1", v="d")]
    store.load(schema(v=TEXT, id=mixed), *rows, STATE({"at": 2})).expect(0)
    found = store.query("SELECT CAST(id AS VARCHAR), v FROM s")
    assert sorted(found) == [('"1"', "d"), ('"x"', "c"), ("1", "b")]


def test_a_key_whose_rows_would_not_be_found_again_is_refused(store: Store) -> None:
    store.load(schema(v=TEXT, id=FIRST["uuid_"]), row(A_UUID, v="a"), STATE({"at": 1})).expect(0)
    words = store.load(schema(v=TEXT, id=TEXT), row("none", v="b"), STATE({"at": 2})).expect(65).last_words
    assert "is a part of the key" in words


def test_what_stands_on_the_column_is_told_as_before(database: str) -> None:
    """A view, which PostgreSQL lets nobody pull the column away from, and an index that only text of its own kind has."""
    load_into_postgres(
        database, schema(v=FIRST["day"], w=FIRST["day"]), row(1, v="2026-01-02"), STATE({"at": 1})
    ).expect(0)
    query_postgres(database, "CREATE VIEW recent AS SELECT v FROM s")
    query_postgres(database, "CREATE INDEX ON s (date_part('year', w))")
    refused = (
        load_into_postgres(database, schema(v=TEXT, w=TEXT), row(2, v="soon"), STATE({"at": 2}), **FAIL)
        .expect(65)
        .last_words
    )
    assert "drop the view `public.recent`" in refused
    query_postgres(database, "DROP VIEW recent")
    refused = (
        load_into_postgres(database, schema(v=TEXT, w=TEXT), row(2, v="soon"), STATE({"at": 2}), **FAIL)
        .expect(65)
        .last_words
    )
    assert "Expected a column of type `text` for `w` of stream `s`, got `date` in the table" in refused
