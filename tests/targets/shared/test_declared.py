"""`--tables` says the tables and columns that a load makes, without a look at the database."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from targets.shared.test_databases import INTEGER, TEXT, Database, target_of

from singerkit_shell.errors import BadDataError
from target_duckdb.target import TargetDuckDB
from target_postgres.target import TargetPostgres


@pytest.fixture(params=["postgres", "duckdb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return target_of(request, tmp_path)


def told(schema: str, messages: list[dict[str, Any]], capsys: Any, **config: Any) -> list[dict[str, Any]]:
    """Of the target whose tables are in ``schema``, which has no database here."""
    lines = io.BytesIO(b"".join(json.dumps(one).encode() + b"\n" for one in messages))
    if schema == "public":
        TargetPostgres(config={"dsn": "postgresql://u:secret@nowhere.invalid/shop", **config}).tell_tables(
            lines
        )
    else:
        TargetDuckDB(config={"database": "/nowhere/a.duckdb", **config}).tell_tables(lines)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


ORDERS = {
    "Id": INTEGER,
    "theNote": TEXT,
    "x" * 70: TEXT,
    "ctid": TEXT,
    "address": {"type": ["object", "null"], "properties": {"zipCode": TEXT}},
    "lines": {"type": "array", "items": {"type": "object", "properties": {"sku": TEXT}}},
}
CONFIGS: list[dict[str, Any]] = [
    {"add_record_metadata": True, "hard_delete": False},
    {"names": "snake", "nested": "child_tables", "column_names": {"*.theNote": 'a "note"'}},
    {"load_method": "history", "schema_name": "raw", "table_name": "{stream}_raw", "nested": "flatten"},
    {"key_properties": {"*": "*"}},
    {"load_method": "append", "nested": "child_tables"},
]


@pytest.mark.parametrize("config", CONFIGS, ids=["metadata", "nested", "history", "hash", "appended lists"])
def test_the_tables_that_are_told_are_those_that_a_load_makes(
    target: Database, capsys: Any, config: dict[str, Any]
) -> None:
    messages = [
        SCHEMA("theOrders", ORDERS, ["Id"]),
        RECORD("theOrders", {"Id": 1, "lines": [{"sku": "a"}]}),
        STATE({"n": 1}),
    ]
    tables = told(target.schema, messages, capsys, **config)
    target.run(*messages, **config).expect(0)
    for table in tables:
        where = f"table_schema = '{table['schema']}' AND table_name = '{table['table']}'"
        found = {
            name
            for (name,) in target.query(f"SELECT column_name FROM information_schema.columns WHERE {where}")
        }
        columns = [one["column"] for one in table["columns"]]
        known = {*columns, *table["key"], *(table["valid"] or ())}
        assert known <= found
        assert {name for name in found - known if not name.startswith("_sdc_")} == set()
        assert (table["valid"] or []) == sorted(name for name in found if name.startswith("_sdc_valid_"))
        assert (table["deleted_at"] in found) == ("_sdc_deleted_at" in found)
        assert (table["loaded_at"] in found) == ("_sdc_batched_at" in found)
    assert [table["stream"] for table in tables] == ["theOrders"] + (
        ["theOrders__lines"] if "child_tables" in config.values() else []
    )
    assert "secret" not in json.dumps(tables)


def test_what_a_load_would_refuse_is_refused(capsys: Any) -> None:
    messages = [SCHEMA("orderId", {"id": INTEGER}, []), SCHEMA("order_id", {"id": INTEGER}, [])]
    with pytest.raises(BadDataError, match="got `orderId` and `order_id`, which both become `order_id`"):
        told("public", messages, capsys, names="snake")
    assert [one["database"] for one in told("public", messages, capsys)] == ["nowhere.invalid:5432/shop"] * 2
