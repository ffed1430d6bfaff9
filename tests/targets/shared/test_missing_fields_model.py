"""Records that leave fields out, in any order, against a model: a field that is left out keeps what is stored, the last that is sent wins.

`SINGERKIT_MISSING=FIRST:COUNT` runs as many histories from a seed on.
"""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import run_sql
from targets.postgres.test_foreign_key_model import LOG, Cursor, Killed

from singerkit_shell.errors import SingerkitError
from singerkit_shell.signals import StopFlag
from singerkit_sql_target.loader import SqlLoader
from singerkit_sql_target.settings import Settings
from singerkit_state.lineage import WaysOut
from singerkit_target.contract import Loader
from singerkit_target.load import Limits, Load
from singerkit_target.publish import Publisher
from singerkit_wire.blocks import Judgement
from target_duckdb.connect import DuckDialect
from target_postgres.faults import REFUSING

FIRST, COUNT = map(int, os.environ.get("SINGERKIT_MISSING", "0:0").split(":"))
SEEDS = range(FIRST, FIRST + COUNT) if COUNT else range(6)
UNITS = 4
NULLABLE: Mapping[str, Any] = {
    "a": {"type": ["integer", "null"]},
    "b": {"type": ["string", "null"]},
    "c": {"type": ["number", "null"]},
    "d": {"type": ["object", "null"]},
    "e": {"type": ["array", "null"]},
}
VALUES: Mapping[str, list[Any]] = {
    "a": [None, 0, 7, -1, 2**40],
    "b": [None, "", "null", 'a "b" \\ c', "two\nlines", "é\t,", "x"],
    "c": [None, 0, 1.5, 12],
    "d": [None, {}, {"x": [1, "\n"]}],
    "e": [None, [], ["a", 'b"']],
}
DELETED = "_sdc_deleted_at"
Rows = dict[tuple[int, str], dict[str, Any]]


class Source:
    """Units of records, and the rows behind each of them."""

    def __init__(self, chance: random.Random) -> None:
        self.deletes = chance.random() < 0.5
        self.fills = not self.deletes and chance.random() < 0.3  # a column of the table has a default
        self.units: list[list[dict[str, Any]]] = []
        self.rows: list[Rows] = []
        rows: Rows = {}
        for _ in range(UNITS):
            share = chance.choice([0, 0.1, 0.5, 0.9])
            unit = [self._record(chance, share) for _ in range(chance.choice([1, 8, 40]))]
            for record in unit:
                rows = self._after(rows, record)
            self.units.append(unit)
            self.rows.append(rows)

    def _record(self, chance: random.Random, share: float) -> dict[str, Any]:
        record = {"id": chance.randrange(4), "k": chance.choice(["", "x"])}
        record |= {name: chance.choice(VALUES[name]) for name in NULLABLE if chance.random() >= share}
        if chance.random() < 0.2:
            record[DELETED] = chance.choice([None, "2024-01-01T00:00:00Z"])
        return record

    def _after(self, rows: Rows, record: dict[str, Any]) -> Rows:
        key = record["id"], record["k"]
        if self.deletes and record.get(DELETED) is not None:
            return {other: row for other, row in rows.items() if other != key}
        new = dict.fromkeys(NULLABLE) | ({"b": "none"} if self.fills else {})
        return {**rows, key: rows.get(key, new) | {DELETED: None} | record}


class Trickle(io.BytesIO):
    """Gives no more than so many bytes at a time."""

    def __init__(self, messages: Sequence[Any], size: int) -> None:
        super().__init__(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
        self._size = size

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self._size)


class Place:
    """Where the rows go; ``request.param`` says of which database."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path, seed: int) -> None:
        self.is_duckdb = request.param == "duckdb"
        self.schema = "main" if self.is_duckdb else f"missing_{os.getpid()}_{seed}"
        self.file = folder / "missing.duckdb"
        self.dsn = "" if self.is_duckdb else request.getfixturevalue("postgres_dsn")
        if not self.is_duckdb:
            self.sql(f"CREATE SCHEMA {self.schema}")

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        if not self.is_duckdb:
            return run_sql(self.dsn, statement)
        with duckdb.connect(str(self.file)) as connection:
            return connection.execute(statement).fetchall()

    def loader(self, stop: StopFlag, *, deletes: bool, metadata: bool, quarantine: bool) -> Loader:
        settings = Settings(self.schema, with_metadata=metadata, deletes_marked=deletes, hard_delete=deletes)
        if self.is_duckdb:
            return SqlLoader(DuckDialect(self.file), settings, LOG, ways=lambda _: WaysOut(("t",)), stop=stop)
        aside = REFUSING if quarantine else ()
        return Killed(lambda: self.dsn, settings, LOG, stop=stop, sets_aside=aside)

    def state(self) -> int:
        if not self.sql(
            f"SELECT 1 FROM information_schema.tables WHERE table_schema = '{self.schema}' AND table_name = '_singerkit_state'"
        ):
            return 0
        found = self.sql(f"SELECT state FROM {self.schema}._singerkit_state")
        value = found[0][0] if found else None
        return (json.loads(value) if isinstance(value, str) else value or {}).get("at", 0)

    def rows(self) -> Rows:
        names = ", ".join(f'CAST("{name}" AS VARCHAR)' for name in NULLABLE)
        found = self.sql(f'SELECT id, k, {names}, "{DELETED}" IS NOT NULL FROM {self.schema}.s')
        assert len(found) == len({row[:2] for row in found}), "a row is there twice"
        return {
            row[:2]: dict(zip([*NULLABLE, DELETED], [*map(_read, NULLABLE, row[2:]), row[-1]], strict=True))
            for row in found
        }


def _read(name: str, text: str | None) -> Any:
    if text is None or name == "b":
        return text
    return Decimal(text) if name in ("a", "c") else json.loads(text)


def as_stored(rows: Rows) -> Rows:
    return {
        key: {name: row[name] for name in NULLABLE} | {DELETED: row[DELETED] is not None}
        for key, row in rows.items()
    }


@pytest.fixture(params=["postgres", "duckdb"])
def target(request: pytest.FixtureRequest) -> pytest.FixtureRequest:
    return request


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_record_leaves_out_keeps_what_is_stored(
    target: pytest.FixtureRequest, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    source, place = Source(chance), Place(target, tmp_path, seed)
    how = {
        "deletes": source.deletes,
        "metadata": chance.random() < 0.3,
        "quarantine": chance.random() < 0.3,
    }
    if source.fills:
        types = ("BIGINT", "JSON", "DECIMAL(38,9)") if place.is_duckdb else ("bigint", "jsonb", "numeric")
        text = "VARCHAR" if place.is_duckdb else "text"
        place.sql(
            f"CREATE TABLE {place.schema}.s (id {types[0]}, k {text}, b {text} DEFAULT 'none'"
            f"{'' if place.is_duckdb else ', PRIMARY KEY (id, k)'})"
        )
    properties = {"id": {"type": "integer"}, "k": {"type": "string"}, **NULLABLE}
    properties[DELETED] = {"type": ["string", "null"], "format": "date-time"}
    schema = {
        "type": "SCHEMA",
        "stream": "s",
        "schema": {"properties": properties},
        "key_properties": ["id", "k"],
    }
    for turn in range(20):
        at = place.state()
        lines: list[Any] = [{"type": "STATE", "value": {"at": at}}] if at else []
        lines.append(schema)
        for number, unit in enumerate(source.units[at:], at + 1):
            lines += [{"type": "RECORD", "stream": "s", "record": record} for record in unit]
            lines.append({"type": "STATE", "value": {"at": number}})
        limits = Limits(
            chance.choice([1, 30, 10**9]),
            10**12,
            10**9,
            chunk_bytes=chance.choice([300, 1500, 1 << 20]),
            replay_bytes=0 if place.is_duckdb else chance.choice([0, 16 << 20]),
        )
        kills = not place.is_duckdb and turn < 12
        Cursor.left = chance.randrange(20, 200) if kills else None
        stop = StopFlag()
        loader, judged = (
            place.loader(stop, **how),
            Judgement(quarantine=how["quarantine"], with_metadata=how["metadata"]),
        )
        load = Load(loader, judged, limits, Publisher(None, io.StringIO()), stop, LOG, missing_fields="keep")
        error: SingerkitError | None = None
        try:
            load.run(Trickle(lines, limits.chunk_bytes))
        except SingerkitError as caught:
            error = caught
        Cursor.left = None
        assert error is None or error.exit_code == 69, error
        at = place.state()
        if at:
            assert place.rows() == as_stored(source.rows[at - 1]), f"after turn {turn}, at {at}"
        if error is None:
            assert at == UNITS
            break
    else:
        pytest.fail(f"no run ended with 0: {error}")
