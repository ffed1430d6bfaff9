"""M25: what a map hides in records, good ones and bad ones, is seen again nowhere: tables, dead letters, results of rules, log, state.

`canaries.check` searches what a run prints and the files it leaves; tables of ours by the fixture of the database, those of the streams here.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import canaries
import duckdb
import pytest
from canaries import canary
from conformance.processes import run
from conftest import run_sql
from faults.loads import MARKED, SCHEMA
from faults.test_canaries import BIN

HIDDEN = canary("what a map hides")
KEY = canary("the key of a map in a target")
FIELDS: dict[str, Any] = {name: {} for name in ("name", "mail", "card", "note", "gone", "born")}
FIELDS |= {"id": {"type": "integer"}, "when": {"type": "string"}, "who": {"type": ["object", "null"], "properties": {"mail": {}}}}  # fmt: skip
OPERATIONS: list[dict[str, Any]] = [
    {"op": "date", "field": "when", "formats": ["%Y-%m-%d"]}, {"op": "mask", "field": "name"}, {"op": "hmac", "field": "mail", "key": KEY}, {"op": "hmac", "field": "who.mail", "key": KEY},
    {"op": "truncate", "field": "card", "length": 3}, {"op": "truncate", "field": "born", "to": "year"}, {"op": "redact", "field": "note"}, {"op": "drop", "fields": ["gone"]},
]  # fmt: skip
RULES = [
    {"rule": "length", "field": "name", "max": 2, "on": "quarantine"},
    {"rule": "matches", "field": "mail", "pattern": "[0-9]*", "on": "warn"},
]
SEEDS = random.Random("hidden data")


def record(number: int) -> dict[str, Any]:
    """A record that holds what is to be hidden, in a value of some kind, and may be bad otherwise."""
    odd = SEEDS.choice(["", "é", '"\\', "\n", "\ud800", "\u0000"])
    kinds: list[Any] = [
        f"{odd}{HIDDEN}{odd}",
        [HIDDEN],
        {"a": HIDDEN},
        {HIDDEN: 1},
        f"{HIDDEN}@example.org",
        "plain",
    ]
    fields: dict[str, Any] = {name: SEEDS.choice(kinds) for name in ("name", "mail", "gone")}
    fields |= {"card": SEEDS.choice(["abc" + HIDDEN, [HIDDEN]]), "born": SEEDS.choice(["1990-05-06", HIDDEN]), "note": f"by {HIDDEN}@example.org"}  # fmt: skip
    fields |= {"id": SEEDS.choice([number, number, "no number"]), "when": SEEDS.choice(["2024-01-01", "2024-01-01", "soon"])}  # fmt: skip
    fields |= {"who": SEEDS.choice([None, {"mail": HIDDEN}, {"mail": [HIDDEN]}, HIDDEN])}
    if number % 3 == 0:
        fields |= {"id": number, "when": "2024-01-01", "name": None, "mail": HIDDEN, "who": {"mail": HIDDEN}, "card": f"ab{HIDDEN}", "born": "1990-05-06"}  # fmt: skip
        return fields
    return {name: value for name, value in fields.items() if SEEDS.random() > 0.1}


@pytest.mark.fault("M25", exit=[0, 65])
@pytest.mark.parametrize("name", ["target-postgres", "target-duckdb", "singerkit-map"])
def test_m25_what_a_map_hides_is_seen_nowhere(name: str, database: str, tmp_path: Path) -> None:
    records = [{"type": "RECORD", "stream": "s", "record": record(number)} for number in range(80)]
    messages = [SCHEMA("s", FIELDS, ["id"]), *records, MARKED({"at": 1}, complete=True)]
    given = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
    operations = SEEDS.sample(OPERATIONS, len(OPERATIONS))
    mapped = {"streams": {"s": operations}, "on_error": "fail" if name == "singerkit-map" else "quarantine"}
    config: dict[str, Any] = {
        "target-postgres": {"dsn": database, "map": mapped, "checks": {"s": RULES}, "on_invalid": "quarantine"},
        "target-duckdb": {"database": str(tmp_path / "all.duckdb"), "map": mapped, "checks": {"s": RULES}, "on_invalid": "quarantine"},
        "singerkit-map": mapped,
    }[name]  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    outcome = run([str(BIN / name), "--config", str(path), "--debug"], stdin=given, cwd=tmp_path)
    outcome.expect(65 if name == "singerkit-map" else 0)
    if name == "target-postgres":
        shown = str([run_sql(database, f"SELECT * FROM {table}") for table in ("s", "_singerkit_rejects")])
    elif name == "target-duckdb":
        with duckdb.connect(str(tmp_path / "all.duckdb")) as connection:
            tables = [
                table for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
            ]
            shown = str([connection.execute(f'SELECT * FROM "{table}"').fetchall() for table in tables])
    else:
        shown = outcome.stderr
    assert canaries.found_in(shown.encode()) is None
    assert name == "singerkit-map" or ("1990-01-01" in shown and "Expected" in shown), (
        "rows are there, and records that are set aside"
    )
