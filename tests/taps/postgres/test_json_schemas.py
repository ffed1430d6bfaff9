"""JSON whose SCHEMA is found from a sample: what the sample had not is declared before the first row that has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pytest
from conformance.processes import run
from conftest import run_sql
from taps.postgres.conftest import TAP, Shop

from singerkit_shell.errors import ConfigurationError
from singerkit_state.value import encode
from tap_postgres import jsoncolumns

TABLE = "CREATE TABLE t (id int PRIMARY KEY, doc jsonb, raw json, n int)"


@pytest.fixture(autouse=True)
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsoncolumns, "SAMPLED_ROWS", 2)


def by_sample(shop: Shop, **more: Any) -> None:
    shop.config["streams"] = [{"name": "public.t", "json_schema": "sample", **more}]


def put(shop: Shop, *docs: Any, first: int = 1) -> None:
    for number, doc in enumerate(docs, first):
        text = json.dumps(doc).replace("'", "''")
        shop.execute(f"INSERT INTO t VALUES ({number}, '{text}', '{text}', {number})")


def types_of(shop: Shop, column: str = "doc") -> list[Any]:
    """What each SCHEMA of the last run says of a column."""
    return [one["schema"]["properties"][column] for one in shop.result().of_type("SCHEMA")]


def check_rows(shop: Shop) -> list[Any]:
    """Hold each row against the SCHEMA that stands before it, in which no object has a field that it does not name; return the documents."""
    schema: Any = None
    docs = []
    for message in shop.result().messages:
        if message["type"] == "SCHEMA":
            schema = closed(message["schema"])
        elif message["type"] == "RECORD":
            record = json.loads(json.dumps(message["record"], default=float))
            jsonschema.validate(record, schema)
            docs.append(record.get("doc"))
    return docs


def closed(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) if key == "items" else value for key, value in schema.items()}
    if schema.get("properties"):
        made["properties"] = {name: closed(one) for name, one in schema["properties"].items()}
        made["additionalProperties"] = "_sdc_deleted_at" in schema["properties"] and {}
    return made


DOCS: list[Any] = [
    {"a": 1, "in": {"x": True}},
    {"a": 2, "in": {"x": False}},
    None,
    {"a": 1.5},
    {"a": "text", "new": [1]},
    {"new": ["s", {"deep": 1}], "in": 7},
    {"a": 10**30},
    {"a": 10**30},
    ["list"],
    "scalar",
    {},
    {'say "hi"; --': None},
]


@pytest.mark.parametrize("key", [None, "n"])
def test_rows_are_described_before_they_come(shop: Shop, key: str | None) -> None:
    shop.execute(TABLE)
    put(shop, *DOCS)
    by_sample(shop, **({"replication_key": key} if key else {}))
    shop.sync()
    assert check_rows(shop) == json.loads(json.dumps(DOCS))
    first, *_ = types_of(shop)
    assert first == {
        "type": ["null", "object"],
        "properties": {
            "a": {"type": ["null", "integer"]},
            "in": {"type": ["null", "object"], "properties": {"x": {"type": ["null", "boolean"]}}},
        },
    }
    assert types_of(shop, "raw")[0] == first
    assert set(types_of(shop)[-1]["type"]) == {"null", "string", "array", "object"}
    assert types_of(shop)[-1]["properties"]["a"] == {"type": ["null", "number", "string"]}


def test_the_log_is_described_like_the_start(logged: Shop) -> None:
    logged.execute(TABLE)
    put(logged, *DOCS[:3])
    by_sample(logged, replication_method="LOG_BASED")
    first = logged.sync()
    assert len(types_of(logged)) == 1
    put(logged, *DOCS[3:], first=4)
    logged.execute("DELETE FROM t WHERE id = 1", "ALTER TABLE t ADD also jsonb")
    logged.execute("INSERT INTO t VALUES (50, '{\"later\": 1}', 'true', 1, '{\"x\": 1}')")
    logged.sync(first.state)
    docs = check_rows(logged)
    assert docs == [*json.loads(json.dumps(DOCS[3:])), None, {"later": 1}]
    assert types_of(logged)[-1]["properties"]["later"] == {"type": ["null", "integer"]}


def test_without_it_json_is_any_json(shop: Shop) -> None:
    shop.execute(TABLE)
    put(shop, {"a": 1}, {"b": "x"})
    shop.sync()
    assert types_of(shop) == [{"type": ["null", "boolean", "number", "string", "array", "object"]}]


@pytest.mark.parametrize("docs", [[], [None, None], ["a", "b"], [1, 2], [{"a": 1}, "text"]])
def test_a_sample_of_anything_else_than_objects_or_lists_says_nothing(shop: Shop, docs: list[Any]) -> None:
    """A target would make a column of it that takes nothing else."""
    shop.execute(TABLE)
    put(shop, *docs)
    by_sample(shop)
    shop.sync()
    assert types_of(shop) == [{"type": ["null", "boolean", "number", "string", "array", "object"]}]


def test_a_catalog_has_the_sample_and_a_run_with_it_too(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.execute(TABLE, "COMMENT ON COLUMN t.doc IS 'as it came'")
    put(shop, {"a": 1}, {"a": 2})
    by_sample(shop)
    entry = shop.entry()
    doc = entry["schema"]["properties"]["doc"]
    assert doc["properties"] == {"a": {"type": ["null", "integer"]}}
    assert doc["description"] == "as it came"
    doc["x-of-targets"] = 1
    put(shop, {"b": [1]}, first=3)
    shop.sync(catalog={"streams": [entry]})
    assert check_rows(shop) == [{"a": 1}, {"a": 2}, {"b": [1]}]
    assert [one["x-of-targets"] for one in types_of(shop)] == [1] * len(types_of(shop))
    assert "otherwise than the values are" not in caplog.text


def test_what_has_no_structure_is_any_json_in_the_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from tap_postgres import copying

    monkeypatch.setattr(jsoncolumns, "MOST_CHANGES", 3)
    monkeypatch.setattr(copying, "_BLOCK_BYTES", 1)
    shop.execute(TABLE)
    docs = [{f"k{number}": number} for number in range(12)]
    put(shop, *docs)
    by_sample(shop)
    shop.sync()
    assert check_rows(shop) == docs
    assert len(types_of(shop)) <= 6
    assert types_of(shop)[-1]["type"] == ["null", "boolean", "number", "string", "array", "object"]
    assert "as what has no structure" in caplog.text


def test_the_setting_beside_no_json_is_refused(shop: Shop) -> None:
    shop.execute("CREATE TABLE t (id int PRIMARY KEY)")
    by_sample(shop)
    with pytest.raises(ConfigurationError, match=r"`streams\[0\].json_schema` .* has no effect"):
        shop.sync()


def test_a_sample_of_a_large_table_is_spread_over_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsoncolumns, "_LARGE_ROWS", 50)
    monkeypatch.setattr(jsoncolumns, "SAMPLED_ROWS", 500)
    shop.execute(
        "CREATE TABLE t (id int PRIMARY KEY, doc jsonb)",
        "INSERT INTO t SELECT n, CASE WHEN n < 2500 THEN '{\"old\": 1}' ELSE '{\"new\": 1}' END::jsonb FROM generate_series(1, 5000) AS n",
        "ANALYZE t",
    )
    by_sample(shop)
    assert shop.entry()["schema"]["properties"]["doc"]["properties"].keys() == {"old", "new"}
    monkeypatch.setattr(jsoncolumns, "_spread", lambda _: " TABLESAMPLE SYSTEM (0)")
    assert shop.entry()["schema"]["properties"]["doc"]["properties"].keys() == {"old"}


def leaves(value: Any) -> list[str]:
    """All that is in a value but null, as text, each list and object by what is in it."""
    if isinstance(value, dict):
        return [leaf for one in value.values() for leaf in leaves(one)]
    if isinstance(value, list):
        return [leaf for one in value for leaf in leaves(one)]
    if isinstance(value, str) and value[:1] in ("{", "[", '"'):
        return leaves(json.loads(value, parse_float=str))
    return [] if value is None else [str(value).lower()]


@pytest.mark.parametrize(("target", "nested"), [("postgres", "jsonb"), ("duckdb", "flatten")])
def test_what_the_sample_had_not_is_lost_in_no_target(
    shop: Shop, postgres_dsn: str, target: str, nested: str
) -> None:
    shop.execute(TABLE)
    put(shop, *DOCS[:3])
    by_sample(shop, replication_key="n")
    config = {
        "nested": nested,
        **({"dsn": postgres_dsn} if target == "postgres" else {"database": str(shop.folder / "w.duckdb")}),
    }
    load(shop, target, config, shop.sync())
    put(shop, *DOCS[3:], first=4)
    load(shop, target, config, shop.sync(shop.result().state))
    shop.execute(
        "DELETE FROM t WHERE id < 7"
    )  # the sample is another one, and says less than the table has by now
    put(shop, {"a": 7}, {"a": "seven"}, first=20)
    load(shop, target, config, shop.sync(shop.result().state))
    docs = dict(enumerate([*DOCS], 1)) | {20: {"a": 7}, 21: {"a": "seven"}}
    rows = {row["id"]: row for row in rows_of(target, config)}
    assert rows.keys() == docs.keys()
    for number, row in rows.items():
        told = {name: value for name, value in row.items() if name.startswith("doc")}
        assert sorted(leaves(told)) == sorted(leaves(docs[number])), (docs[number], told)
    columns = {name for row in rows.values() for name in row}
    assert ("doc__a" in columns) == (nested == "flatten")


def load(shop: Shop, target: str, config: Any, found: Any) -> None:
    check_rows(shop)
    lines = "".join(encode(message) + "\n" for message in found.messages)
    path = shop.file("target.json", config)
    done = run([str(Path(TAP).with_name(f"target-{target}")), "--config", path], stdin=lines.encode())
    assert done.code == 0, done.stderr


def rows_of(target: str, config: Any) -> list[Any]:
    if target == "duckdb":
        with duckdb.connect(config["database"]) as connection:
            found = connection.execute('SELECT to_json(t)::text FROM "public-t" AS t').fetchall()
    else:
        found = run_sql(config["dsn"], 'SELECT row_to_json(t)::text FROM "public-t" AS t')
    return [json.loads(text, parse_float=str) for (text,) in found]
