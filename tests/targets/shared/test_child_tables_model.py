"""Random records with lists, repeated, left out, gone, odd and not named by each SCHEMA, with kills and input that is cut: the tables of the lists
hold what the last record of each key had.

`SINGERKIT_CHILDREN=FIRST:COUNT` runs as many histories from a seed on.
"""

from __future__ import annotations

import io
import json
import os
import random
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest
from conftest import run_sql
from psycopg2.sql import SQL, Identifier
from targets.postgres.test_foreign_key_model import LOG, Cursor, Killed

from singerkit_catalog.patterns import EVERY
from singerkit_shell.errors import SingerkitError
from singerkit_shell.signals import StopFlag
from singerkit_sql_target.loader import SqlLoader
from singerkit_sql_target.methods import Method, Methods
from singerkit_sql_target.settings import Settings
from singerkit_state.lineage import WaysOut
from singerkit_target.contract import Loader
from singerkit_target.load import Limits, Load
from singerkit_target.publish import Publisher
from singerkit_target.unnesting import TakingApart, Unnesting
from singerkit_wire.blocks import Judgement
from singerkit_wire.conflicts import Conflicts, OnConflict
from target_duckdb.connect import DuckDialect

FIRST, COUNT = map(int, os.environ.get("SINGERKIT_CHILDREN", "0:0").split(":"))
CASES = [
    (database, seed)
    for database, few in (("postgres", range(3)), ("duckdb", range(1)))
    for seed in (range(FIRST, FIRST + COUNT) if COUNT else few)
]
UNITS = 4
CONFLICTS = Conflicts(lambda _stream, _field: OnConflict.VARIANT, takes_unstorable=True)
TEXT = {"type": ["string", "null"]}
ITEM = {"type": "object", "properties": {"sku": TEXT, "parts": {"type": "array", "items": TEXT}}}
PROPERTIES = {
    "id": {"type": "integer"},
    "v": TEXT,
    "items": {"type": ["array", "null"], "items": ITEM},
    "box": {"type": ["object", "null"], "properties": {"tags": {"type": "array", "items": TEXT}}},
}
WIDER = {**ITEM, "properties": {**ITEM["properties"], "note": TEXT}}


def keeps_column(row: dict[str, Any], unnamed: list[str]) -> bool:
    """Whether a row has a column of its own for what was no list, which it keeps if it goes and comes back in a unit where no SCHEMA names it."""
    return any(not isinstance(row.get(name), list | dict | None) for name in unnamed)


def line(type_: str, **more: Any) -> str:
    return json.dumps({"type": type_, "stream": "o", **more})


def record_of(chance: random.Random, *, whole: bool) -> dict[str, Any]:
    def item() -> Any:
        parts = [chance.choice("xyz") for _ in range(chance.randrange(3))]
        return (
            chance.choice(["odd", 7])
            if chance.random() < 0.1
            else {"sku": chance.choice("ab"), "parts": parts}
        )

    fields: dict[str, Any] = {
        "v": chance.choice("ab"),
        "items": [item() for _ in range(chance.randrange(5))],
        "box": {"tags": [chance.choice("st") for _ in range(chance.randrange(3))]},
    }
    for name, odd in (("items", "odd"), ("box", 5)):
        if chance.random() < 0.15:
            fields[name] = chance.choice([None, odd])
    return {name: value for name, value in fields.items() if whole or name == "v" or chance.random() < 0.8}


class History:
    """Units of messages, and after each of them what was sent last of each field of each key."""

    def __init__(self, chance: random.Random, *, deletes: bool) -> None:
        self.units: list[list[str]] = []
        self.sent: list[dict[int, dict[str, Any]]] = []
        rows: dict[int, dict[str, Any]] = {}
        version = 1
        for _ in range(UNITS):
            lines: list[str] = []
            for _ in range(chance.choice([1, 1, 2])):
                items = {"type": ["array", "null"], "items": chance.choice([ITEM, WIDER])}
                properties = {**PROPERTIES, "items": items}
                unnamed = [name for name in ("items", "box") if chance.random() < 0.2]
                for name in unnamed:
                    del properties[name]
                lines.append(line("SCHEMA", schema={"properties": properties}, key_properties=["id"]))
                is_load = chance.random() < 0.2
                version += is_load
                left = {
                    id_: {name: row[name] for name in unnamed if name in row} for id_, row in rows.items()
                }
                if is_load:
                    rows = {}
                record: dict[str, Any]
                for _ in range(chance.randrange(1, 9)):
                    id_ = chance.randrange(5)
                    says_gone = chance.random() < 0.15 and (deletes or not is_load)
                    says_gone = says_gone and not keeps_column(rows.get(id_, left.get(id_, {})), unnamed)
                    if says_gone and not deletes:
                        record = record_of(chance, whole=False) if chance.random() < 0.3 else {}
                        record = {name: value for name, value in record.items() if name not in unnamed}
                        rows = {**rows, id_: {**rows.get(id_, {}), **record, "gone": True}}
                        record["_sdc_deleted_at"] = "2026-01-01T00:00:00Z"
                    elif says_gone:
                        record = {"_sdc_deleted_at": "2026-01-01T00:00:00Z"}
                        rows = {key: row for key, row in rows.items() if key != id_}
                        left.pop(id_, None)
                    else:
                        record = record_of(chance, whole=is_load)
                        record = {name: value for name, value in record.items() if name not in unnamed}
                        rows = {**rows, id_: {**rows.get(id_, left.get(id_, {})), **record, "gone": False}}
                    lines.append(line("RECORD", record={"id": id_, **record}, version=version))
                if is_load:
                    lines.append(line("ACTIVATE_VERSION", version=version))
                    break  # behind it rows would put it off until the end of the run
            self.units.append(lines)
            self.sent.append(rows)


class Place:
    """A schema of PostgreSQL, or a file of DuckDB; ``cuts``: where nothing can be killed the input is cut instead."""

    def __init__(self, request: pytest.FixtureRequest, case: tuple[str, int], *, deletes: bool) -> None:
        self.cuts, self.deletes = case[0] == "duckdb", deletes
        self.most_kills = 1 if self.cuts else 12
        self.schema = "main" if self.cuts else f"children_{uuid.uuid4().hex[:12]}"
        self.chance = random.Random(case[1])
        if self.cuts:
            self.file: Path = request.getfixturevalue("tmp_path") / "a.duckdb"
        else:
            self.dsn: str = request.getfixturevalue("postgres_dsn")
            self.sql("CREATE SCHEMA {schema}")

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        if not self.cuts:
            return run_sql(self.dsn, SQL(text).format(schema=Identifier(self.schema)))
        with duckdb.connect(str(self.file)) as connection:
            return connection.execute(text.format(schema=self.schema)).fetchall()

    def state(self) -> int:
        if not self.has("_singerkit_state"):
            return 0
        found = self.sql("SELECT CAST(state->'at' AS text) FROM {schema}._singerkit_state")
        return int(found[0][0] or 0) if found else 0

    def rows(self, table: str) -> list[dict[str, Any]]:
        as_json = "to_json" if self.cuts else "to_jsonb"
        try:
            found = self.sql(f"SELECT CAST({as_json}(t) AS text) FROM {{schema}}.{table} AS t")
        except (duckdb.CatalogException, psycopg2.errors.UndefinedTable):
            return []
        return [json.loads(row) for (row,) in found]

    def has(self, table: str) -> bool:
        asked = (
            f"FROM information_schema.tables WHERE table_schema = '{self.schema}' AND table_name = '{table}'"
        )
        return (not self.cuts or self.file.exists()) and self.sql(f"SELECT count(*) {asked}") == [(1,)]

    def refer(self, rest: str = "") -> bool:
        """Make a foreign key from elements to their rows; DuckDB takes none later."""
        if self.cuts or not self.has("o__items"):
            return False
        self.sql(
            f"ALTER TABLE {{schema}}.o__items ADD FOREIGN KEY (_root_id) REFERENCES {{schema}}.o (id) {rest}"
        )
        return True

    def stored(self) -> dict[int, dict[str, Any]]:
        """The records, put together again."""
        found: dict[int, dict[str, Any]] = {}
        for row in self.rows("o"):
            whole = {"items": row.get("items") or [], "box": row.get("box") or []}
            found[row["id"]] = {"v": row["v"], **whole, "gone": row["_sdc_deleted_at"] is not None}
        parts: dict[tuple[int, int], list[Any]] = {}
        for element in [*self.rows("o__items__parts"), *self.rows("o__items"), *self.rows("o__box__tags")]:
            is_gone = element["_sdc_deleted_at"] is not None
            assert is_gone == found[element["_root_id"]]["gone"], "marked as its row is"
        for part in sorted(self.rows("o__items__parts"), key=lambda row: row["_position"]):
            parts.setdefault((part["_root_id"], part["_parent_position"]), []).append(part["value"])
        for item in sorted(self.rows("o__items"), key=lambda row: row["_position"]):
            id_, at = item["_root_id"], item["_position"]
            made = item.get("_value") or {"sku": item["sku"], "parts": parts.pop((id_, at), [])}
            assert at == len(found[id_]["items"]), "positions follow each other"
            found[id_]["items"].append(made)
        for tag in sorted(self.rows("o__box__tags"), key=lambda row: row["_position"]):
            found[tag["_root_id"]]["box"].append(tag["value"])
        assert not parts, "parts of items that are not there"
        return found

    def appended(self) -> list[str]:
        """The same of rows that no key tells apart."""
        tables = ("o__items", "o__items__parts", "o__box__tags")
        elements: dict[str, dict[str, list[Any]]] = {table: {} for table in tables}
        for table, found in elements.items():
            for row in sorted(self.rows(table), key=lambda row: row["_position"]):
                found.setdefault(row["_root_row_id"], []).append(row)
        made = []
        for row in self.rows("o"):
            items, parts, tags = (elements[table].pop(row["_row_id"], []) for table in tables)
            inside: dict[int, list[Any]] = {}
            for part in parts:
                inside.setdefault(part["_parent_position"], []).append(part["value"])
            whole = [
                item.get("_value") or {"sku": item["sku"], "parts": inside.pop(item["_position"], [])}
                for item in items
            ]
            assert not inside, "parts of items that are not there"
            box = [tag["value"] for tag in tags] or row.get("box") or []
            fields = {"v": row["v"], "gone": False, "items": whole or row.get("items") or [], "box": box}
            made.append(json.dumps(fields, sort_keys=True))
        assert not any(elements.values()), "elements of rows that are not there"
        return made

    def run(self, lines: list[str], limits: Limits, method: Method = Method.UPSERT) -> SingerkitError | None:
        stop, owners = StopFlag(), dict[str, str]()
        settings = Settings(
            self.schema,
            conflicts=CONFLICTS,
            with_metadata=True,
            deletes_marked=self.deletes,
            methods=Methods({EVERY: method}, owners=owners),
        )
        if self.cuts:
            ways = WaysOut(("target-duckdb",))
            loader: Loader = SqlLoader(
                DuckDialect(self.file), settings, LOG, ways=lambda _pipeline: ways, stop=stop
            )
            if Cursor.left is not None:
                lines = [*lines[: self.chance.randrange(1, len(lines) + 1)], "{"]
        else:
            loader = Killed(lambda: self.dsn, settings, LOG, stop=stop)
        apart = TakingApart(9, "__", lists=True, appends=method is Method.APPEND)
        unnesting = Unnesting(lambda _stream: apart, LOG, owners=owners, deletes_marked=self.deletes)
        judged = Judgement(conflicts=CONFLICTS, with_metadata=True)
        load = Load(
            loader,
            judged,
            limits,
            Publisher(None, io.StringIO()),
            stop,
            LOG,
            missing_fields="keep",
            ends_with_state=self.cuts or method is Method.OVERWRITE,
            unnesting=unnesting,
        )
        try:
            load.run(io.BytesIO("".join(f"{line}\n" for line in lines).encode()))
        except SingerkitError as error:
            return error
        return None


def expected(row: dict[str, Any]) -> dict[str, Any]:
    box = row.get("box")
    return {
        "v": row.get("v"),
        "gone": row["gone"],
        "items": row.get("items") or [],
        "box": (box["tags"] if isinstance(box, dict) else box) or [],
    }


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_tables_of_lists_hold_what_was_sent_last(
    request: pytest.FixtureRequest, case: tuple[str, int]
) -> None:
    chance = random.Random(case[1])
    deletes = chance.random() < 0.5
    history, place = History(chance, deletes=deletes), Place(request, case, deletes=deletes)
    refers = chance.random() < 0.5
    for turn in range(20):
        at = place.state()
        lines = [json.dumps({"type": "STATE", "value": {"at": at}})] if at else []
        for number, unit in enumerate(history.units[at:], at + 1):
            lines += [*unit, json.dumps({"type": "STATE", "value": {"at": number}})]
        limits = Limits(
            chance.choice([1, 10, 10**9]),
            10**12,
            10**9,
            chunk_bytes=chance.choice([300, 1 << 20]),
            replay_bytes=chance.choice([0, 16 << 20]),
        )
        Cursor.left = chance.randrange(20, 300) if turn < place.most_kills else None
        error = place.run(lines, limits)
        Cursor.left = None
        assert error is None or error.exit_code in ((65,) if place.cuts else (69,)), error
        at = place.state()
        if at:
            wanted = {id_: expected(row) for id_, row in history.sent[at - 1].items()}
            assert place.stored() == wanted, f"after turn {turn}, at {at}"
            refers = refers and not place.refer("ON DELETE CASCADE")
        if error is None and at == UNITS:
            break
    else:
        pytest.fail(f"no run ended with 0: {error}")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_elements_follow_the_rows_of_loads_that_replace_others(
    request: pytest.FixtureRequest, case: tuple[str, int]
) -> None:
    """Each load is repeated until it is complete; until then the tables are what the one before has left."""
    chance = random.Random(case[1])
    place = Place(request, case, deletes=True)
    rows: dict[int, dict[str, Any]] = {}
    for number in range(UNITS):
        unnamed = [name for name in ("items", "box") if chance.random() < 0.2]
        named = {name: schema for name, schema in PROPERTIES.items() if name not in unnamed}
        lines = [line("SCHEMA", schema={"properties": named}, key_properties=["id"])]
        before, came, gone = rows, dict[int, dict[str, Any]](), set[int]()
        for _ in range(chance.randrange(1, 9)):
            id_ = chance.randrange(5)
            record = record_of(chance, whole=False)
            record = {name: value for name, value in record.items() if name not in unnamed}
            if chance.random() < 0.15 and not keeps_column(before.get(id_, {}), unnamed):
                record = {"_sdc_deleted_at": "2026-01-01T00:00:00Z"}
                came.pop(id_, None)
                gone.add(id_)
            else:
                base = came.get(id_) or ({} if id_ in gone else before.get(id_, {}))
                came[id_] = {**base, **record, "gone": False}
            lines.append(line("RECORD", record={"id": id_, **record}))
            if chance.random() < 0.2:
                lines.append(json.dumps({"type": "STATE", "value": {}}))
        lines.append(json.dumps({"type": "STATE", "value": {}}))
        for turn in range(20):
            limits = Limits(1, 10**12, 10**9, chunk_bytes=300, replay_bytes=chance.choice([0, 16 << 20]))
            Cursor.left = chance.randrange(20, 300) if turn < place.most_kills else None
            error = place.run(lines, limits, Method.OVERWRITE)
            Cursor.left = None
            assert error is None or error.exit_code in ((65,) if place.cuts else (69,)), error
            rows = before if error else came
            if number or error is None:
                wanted = {id_: expected(row) for id_, row in rows.items()}
                assert place.stored() == wanted, f"load {number}, turn {turn}"
            if error is None:
                break
        if not number and chance.random() < 0.5:
            place.refer()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_appended_rows_have_their_elements_once(
    request: pytest.FixtureRequest, case: tuple[str, int]
) -> None:
    chance = random.Random(case[1])
    place = Place(request, case, deletes=False)
    units: list[list[str]] = []
    sent: list[str] = []
    ends = [0]
    for _ in range(UNITS):
        lines = [line("SCHEMA", schema={"properties": PROPERTIES}, key_properties=["id"])]
        for _ in range(chance.randrange(9)):
            record = {"id": chance.randrange(3), **record_of(chance, whole=False)}
            lines.append(line("RECORD", record=record))
            sent.append(json.dumps(expected({**record, "gone": False}), sort_keys=True))
        units.append(lines)
        ends.append(len(sent))
    for turn in range(20):
        at = place.state()
        lines = [json.dumps({"type": "STATE", "value": {"at": at}})] if at else []
        for number, unit in enumerate(units[at:], at + 1):
            lines += [*unit, json.dumps({"type": "STATE", "value": {"at": number}})]
        limits = Limits(chance.choice([1, 10, 10**9]), 10**12, 10**9, chunk_bytes=300)
        limits = replace(limits, replay_bytes=chance.choice([0, 16 << 20]))
        Cursor.left = chance.randrange(20, 300) if turn < place.most_kills else None
        error = place.run(lines, limits, Method.APPEND)
        Cursor.left = None
        assert error is None or error.exit_code in ((65,) if place.cuts else (69,)), error
        if place.has("o"):
            assert sorted(place.appended()) == sorted(sent[: ends[place.state()]]), f"after turn {turn}"
        if error is None:
            break
    else:
        pytest.fail(f"no run ended with 0: {error}")
