"""What leaves for each type, and what two targets then hold, is what the server says: by property, with the odd values of each."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest
from conformance.processes import run
from faults.torture.checker import _equals, _is_text_of
from faults.torture.duckdb_checker import columns_of
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st
from psycopg2.sql import SQL, Identifier
from taps.postgres.conftest import Shop
from taps.postgres.kinds_of_values import KINDS, NULL, SETUP, Value, is_same, same_json

from singerkit_state.value import encode

EXAMPLES = int(os.environ.get("SINGERKIT_VALUES", "3"))
"""How many tables are made; more of them in a long run."""
ROWS = 12
BIN = Path(sys.executable).parent
by_property = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[*HealthCheck],
    report_multiple_bugs=False,
    phases=[Phase.generate],  # what is wrong is told for each column
    verbosity=Verbosity.quiet,
)


tables = st.lists(
    st.tuples(*(st.one_of(st.just(NULL), kind.values, kind.values, kind.values) for kind in KINDS)),
    min_size=ROWS,
    max_size=ROWS,
)


@pytest.fixture(scope="module")
def source(postgres_dsn: str) -> str:
    """A database with the types that are ours."""
    with closing(psycopg2.connect(postgres_dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA shop; SET search_path = public; " + SETUP)
    return postgres_dsn


def fill(database: str, rows: Sequence[Sequence[Value]]) -> list[dict[str, str | None]]:
    """Make the table anew; return each value as the server writes it."""
    names = [Identifier(kind.name) for kind in KINDS]
    columns = SQL(", ").join(SQL("{} " + kind.type).format(Identifier(kind.name)) for kind in KINDS)
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'iso_8601'; SET lc_monetary = 'C'"
        )
        cursor.execute(
            SQL("DROP TABLE IF EXISTS shop.v; CREATE TABLE shop.v (no integer PRIMARY KEY, {})").format(
                columns
            )
        )
        for number, row in enumerate(rows):
            values = ", ".join(value.literal for value in row)
            cursor.execute(
                SQL("INSERT INTO shop.v VALUES ({}, ").format(SQL(str(number))).as_string(connection).encode()
                + values.encode()
                + b")"
            )
        shown = SQL(", ").join(SQL("format('%s', {})").format(name) for name in names)
        cursor.execute(SQL("SELECT {} FROM shop.v AS t ORDER BY t.no").format(shown))
        return [dict(zip((kind.name for kind in KINDS), row, strict=True)) for row in cursor.fetchall()]


def read(folder: Path, database: str) -> bytes:
    config = folder / "tap.json"
    config.write_text(json.dumps({"dsn": database, "tables": ["shop.v"]}))
    outcome = run([str(BIN / "tap-postgres"), "--config", str(config)])
    assert outcome.code == 0, outcome.stderr
    return outcome.stdout


def records_of(output: bytes) -> list[dict[str, Any]]:
    messages = [json.loads(line, parse_float=Decimal) for line in output.splitlines()]
    records = [message["record"] for message in messages if message["type"] == "RECORD"]
    return sorted(records, key=lambda record: record["no"])


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@by_property
@given(rows=tables)
def test_the_values_of_a_table_leave_as_they_are_and_arrive_so(
    source: str, tmp_path_factory: pytest.TempPathFactory, rows: Any
) -> None:
    folder = tmp_path_factory.mktemp("values")
    texts = fill(source, rows)
    output = read(folder, source)
    records = records_of(output)
    assert len(records) == len(rows)
    wrong = [
        (kind.name, value.literal, text[kind.name], record[kind.name])
        for row, text, record in zip(rows, texts, records, strict=True)
        for kind, value in zip(KINDS, row, strict=True)
        if not is_same(value.json, text[kind.name], record[kind.name])
    ]
    assert not wrong, told(wrong)
    for target, held in (("postgres", held_by_postgres), ("duckdb", held_by_duckdb)):
        wrong = [
            (name, types[name], str(sent), str(stored[name]))
            for record, (types, stored) in zip(records, held(folder, source, output), strict=True)
            for name, sent in record.items()
            if not holds(sent, stored[name], types[name])
            and not _is_text_of(sent, stored.get(f"{name}__text") or "")
        ]
        assert not wrong, f"{target}: {told(wrong)}"


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@by_property
@given(rows=tables)
def test_the_log_gives_the_same_json_as_a_snapshot(logged: Shop, rows: Any) -> None:
    if not logged.query("SELECT 1 FROM pg_type WHERE typname = 'comp'"):
        logged.execute("CREATE SCHEMA shop", *SETUP.strip().splitlines())
    fill(logged.dsn, rows)
    start = logged.sync(tables=["shop.v"])
    snapshot = {row["no"]: row for row in start.rows("shop-v")}
    assert len(snapshot) == len(rows)
    names = ", ".join('"' + kind.name.replace('"', '""') + '"' for kind in KINDS)
    logged.execute(
        f"INSERT INTO shop.v SELECT no + 100, {names} FROM shop.v",
        # The values of a deleted row are its key alone; those of a changed key stand outside of the row, where they are large.
        "UPDATE shop.v SET no = no + 100 WHERE no >= 100",
        "ALTER TABLE shop.v REPLICA IDENTITY FULL; UPDATE shop.v SET no = no + 300 WHERE no < 100",
    )
    read = logged.sync(start.state, tables=["shop.v"])
    changes = [row for row in read.rows("shop-v") if row["_sdc_deleted_at"] is None]
    assert len(changes) == 3 * len(rows)
    wrong = [
        (name, encode(value), encode(change.get(name, "nothing")))
        for change in changes
        for name, value in snapshot[change["no"] % 100].items()
        if name not in ("no", "_sdc_deleted_at") and encode(change.get(name, "nothing")) != encode(value)
    ]
    assert not wrong, told(wrong)


def told(wrong: list[tuple[str, ...]]) -> str:
    """Return the first wrong value of each column."""
    return "\n".join(
        f"{name}: {' | '.join(str(each)[:200] for each in rest)}"
        for name, *rest in {each[0]: each for each in reversed(wrong)}.values()
    )


def holds(sent: Any, stored: str | None, column_type: str) -> bool:
    """Tell whether a target has the value of a record; bytes are read out as hexadecimal digits."""
    if sent is None or stored is None:
        return sent is stored
    if column_type in ("bytea", "blob"):
        return base64.b64decode(sent) == bytes.fromhex(stored.removeprefix("\\x"))
    if column_type == "timestamp with time zone":
        moment = datetime.fromisoformat(sent)
        return datetime.fromisoformat(stored) == (moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    if (
        isinstance(sent, int | Decimal)
        and not isinstance(sent, bool)
        and column_type in ("double", "double precision")
    ):
        return float(sent) == float(stored)
    if isinstance(sent, Decimal) and column_type in ("numeric", "bigint"):
        return sent == Decimal(stored) and (
            sent.as_tuple().exponent > 0 or sent.as_tuple() == Decimal(stored).as_tuple() or "E" in str(sent)
        )
    if column_type == "jsonb":  # which writes numbers in its own way
        return same_json(sent, json.loads(stored, parse_float=Decimal))
    return _equals(sent, stored, column_type)


Held = list[tuple[Mapping[str, str], Mapping[str, str | None]]]


def held_by_postgres(folder: Path, database: str, output: bytes) -> Held:
    config = folder / "target.json"
    config.write_text(json.dumps({"dsn": database, "default_target_schema": "lake"}))
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS lake CASCADE")
        connection.commit()
        outcome = run([str(BIN / "target-postgres"), "--config", str(config)], stdin=output)
        assert outcome.code == 0, outcome.stderr
        cursor.execute("SET timezone = 'UTC'")
        cursor.execute(
            "SELECT attname, format_type(atttypid, NULL), attrelid::regclass::text FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
            " WHERE relnamespace = 'lake'::regnamespace AND relname NOT LIKE '\\_%' AND relkind = 'r' AND attnum > 0 ORDER BY attnum"
        )
        found = cursor.fetchall()
        types = {name: type_ for name, type_, _ in found}
        shown = SQL(", ").join(SQL("{}::text").format(Identifier(name)) for name in types)
        cursor.execute(SQL("SELECT {} FROM {} AS t ORDER BY t.no").format(shown, SQL(found[0][2])))
        return [(types, dict(zip(types, row, strict=True))) for row in cursor.fetchall()]


SHOWN = {"blob": 'hex("{}")'}


def held_by_duckdb(folder: Path, database: str, output: bytes) -> Held:
    config = folder / "duck.json"
    config.write_text(json.dumps({"database": str(folder / "w.duckdb")}))
    outcome = run([str(BIN / "target-duckdb"), "--config", str(config)], stdin=output)
    assert outcome.code == 0, outcome.stderr
    with duckdb.connect(str(folder / "w.duckdb")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        (name,) = connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE table_name NOT LIKE '\\_%' ESCAPE '\\'"
        ).fetchone() or ("",)
        types = columns_of(connection, name)
        shown = ", ".join(
            SHOWN.get(type_, 'CAST("{}" AS VARCHAR)').format(each.replace('"', '""'))
            for each, type_ in types.items()
        )
        found = connection.execute(f'SELECT {shown} FROM "{name}" AS t ORDER BY t.no').fetchall()
        return [(types, dict(zip(types, row, strict=True))) for row in found]
