"""What a run says of its rows against what its tables were before and after it: any load method, kills, and units that are written again.

`SINGERKIT_OUTCOMES=FIRST:COUNT` runs as many histories from a seed on.
"""

from __future__ import annotations

import io
import json
import os
import random
import uuid
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import run_sql
from targets.postgres.test_foreign_key_model import LOG, Cursor, Killed

from singerkit_shell.errors import RetryableError
from singerkit_shell.signals import StopFlag
from singerkit_sql_target.loader import SqlLoader
from singerkit_sql_target.methods import Method, Methods
from singerkit_sql_target.settings import Settings
from singerkit_state.lineage import WaysOut
from singerkit_target.contract import Loader
from singerkit_target.load import Limits, Load
from singerkit_target.outcomes import Outcome
from singerkit_target.publish import Publisher
from singerkit_wire.blocks import Judgement
from target_duckdb.connect import DuckDialect
from target_postgres.faults import REFUSING

FIRST, COUNT = map(int, os.environ.get("SINGERKIT_OUTCOMES", "0:0").split(":"))
SEEDS = {"postgres": (3, 5, 12), "duckdb": (3,)}
CASES = [
    (name, seed)
    for name, seeds in SEEDS.items()
    for seed in (range(FIRST, FIRST + COUNT) if COUNT else seeds)
]
RUNS = 5
TEXT = {"type": ["string", "null"]}
PROPERTIES = {
    "id": {"type": "integer"},
    "v": TEXT,
    "w": TEXT,
    "_sdc_deleted_at": {**TEXT, "format": "date-time"},
}
Rows = dict[int, tuple[Any, ...]]


class Place:
    """A table of a stream with a key, in PostgreSQL or in a file of DuckDB, and a loader into it."""

    def __init__(self, database: str, dsn: str, folder: Path, method: Method) -> None:
        self.dsn, self.file = dsn, folder / "a.duckdb"
        self.is_duckdb = database == "duckdb"
        self.settings = Settings(
            "main" if self.is_duckdb else f"o{uuid.uuid4().hex[:12]}",
            methods=Methods({"*": method}),
            hard_delete=True,
            deletes_marked=True,
        )
        if not self.is_duckdb:
            run_sql(dsn, f"CREATE SCHEMA {self.settings.schema}")

    def loader(self, stop: StopFlag, *, sets_aside: bool) -> Loader:
        if self.is_duckdb:
            ways = WaysOut(("target-duckdb",))
            return SqlLoader(
                DuckDialect(self.file), self.settings, LOG, ways=lambda _pipeline: ways, stop=stop
            )
        return Killed(
            lambda: self.dsn, self.settings, LOG, stop=stop, sets_aside=REFUSING if sets_aside else ()
        )

    def refuse(self) -> None:
        """From here on a row with a `q` is refused, when all else of the unit is done."""
        schema = self.settings.schema
        run_sql(
            self.dsn,
            f"CREATE OR REPLACE FUNCTION {schema}.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; "
            f"CREATE CONSTRAINT TRIGGER no AFTER INSERT OR UPDATE ON {schema}.s DEFERRABLE INITIALLY DEFERRED "
            f"FOR EACH ROW WHEN (NEW.v = 'q') EXECUTE FUNCTION {schema}.no()",
        )

    def rows(self) -> Rows:
        """The rows that hold, by their keys."""
        now = " WHERE _sdc_valid_to IS NULL" if self.settings.methods.of("s") is Method.HISTORY else ""
        statement = f'SELECT id, v, w FROM "{self.settings.schema}".s{now}'
        try:
            if self.is_duckdb:
                with duckdb.connect(str(self.file)) as connection:
                    found = connection.execute(statement).fetchall()
            else:
                found = run_sql(self.dsn, statement)
        except Exception:  # there is no table yet
            return {}
        return {id_: rest for id_, *rest in found}


def sent(chance: random.Random, letters: str, *, has_repeats: bool, removes: bool) -> list[dict[str, Any]]:
    """Records of one unit, of which some leave fields out, and some say that their row is gone."""
    ids = [chance.randrange(12) for _ in range(chance.randrange(20))]
    records = []
    for id_ in ids if has_repeats else dict.fromkeys(ids):
        if removes and chance.random() < 0.2:
            records.append({"id": id_, "_sdc_deleted_at": "2026-01-01T00:00:00Z"})
            continue
        record = {"id": id_, "v": chance.choice(letters), "w": chance.choice(["", "x", None])}
        if chance.random() < 0.3:
            del record[chance.choice("vw")]
        records.append(record | ({"_sdc_deleted_at": None} if removes else {}))
    return records


def done(before: Rows, after: Rows) -> Outcome:
    new, gone = after.keys() - before.keys(), before.keys() - after.keys()
    changed = [id_ for id_ in before.keys() & after.keys() if before[id_] != after[id_]]
    return Outcome(len(new), len(changed), len(gone))


@pytest.mark.parametrize(("database", "seed"), CASES)
def test_what_is_said_is_what_happened(postgres_dsn: str, tmp_path: Path, database: str, seed: int) -> None:
    chance = random.Random(seed)
    methods = [
        Method.UPSERT,
        Method.UPSERT,
        Method.OVERWRITE,
        *([Method.HISTORY] if database == "postgres" else []),
    ]
    place = Place(database, postgres_dsn, tmp_path, chance.choice(methods))
    overwrites, refuses = place.settings.overwrites("s"), False
    for turn in range(RUNS):
        has_repeats = chance.random() < 0.3
        sets_aside = chance.random() < 0.3
        schema = {
            "type": "SCHEMA",
            "stream": "s",
            "schema": {"properties": PROPERTIES},
            "key_properties": ["id"],
        }
        letters = "abcq" if sets_aside and refuses else "abc"
        records = sent(
            chance, letters, has_repeats=has_repeats, removes=not overwrites and chance.random() < 0.5
        )
        ended = {"at": turn + 1, "bookmarks": {"s": {}}}
        messages = [
            *([{"type": "STATE", "value": ended | {"at": turn}}] if turn else []),
            schema,
            *({"type": "RECORD", "stream": "s", "record": record} for record in records),
            {"type": "STATE", "value": ended},
        ]
        lines = "".join(f"{json.dumps(message)}\n" for message in messages)
        chunk = chance.choice([200, 1 << 20])
        Cursor.left = chance.randrange(10, 80) if chance.random() < 0.5 else None
        before, stop = place.rows(), StopFlag()
        loader = place.loader(stop, sets_aside=sets_aside)
        load = Load(
            loader,
            Judgement(),
            Limits(10**9, 10**12, 10**9, chunk_bytes=chunk, replay_bytes=0 if place.is_duckdb else 1 << 20),
            Publisher(None, io.StringIO()),
            stop,
            LOG,
            missing_fields=chance.choice(["keep", "null"]),
            ends_with_state=True,
        )
        try:
            load.run(io.BytesIO(lines.encode()))
        except RetryableError:  # it was killed before it had begun, and could not begin again
            assert not loader.outcomes.known()
            assert place.rows() == before
            continue
        finally:
            Cursor.left = None
        after = place.rows()
        if not (refuses or place.is_duckdb):
            place.refuse()
            refuses = True
        said = loader.outcomes.known().get("s", Outcome())
        assert said.new - said.deleted == len(after) - len(before)
        if not has_repeats:
            assert said.counts == done(before, after).counts, (before, after, records)
        elif not (sets_aside or chunk == 200):
            found = done(before, after)
            assert (said.new, said.deleted) >= (found.new, found.deleted)
