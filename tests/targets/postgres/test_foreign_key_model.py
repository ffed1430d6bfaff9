"""Histories of tables that refer to each other, made up at random, against a model of what has to be stored.

Rows of a unit come in any order, some of them several times, or with some of their fields; rows go; some records are no rows; SCHEMAs grow; connections end at any statement; rows without
the row that they refer to are set aside. After each run the tables are what the source was where the committed STATE stands.
"""

from __future__ import annotations

import io
import json
import logging
import os
import random
import uuid
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
from conftest import run_sql
from psycopg2.sql import SQL, Identifier

from singerkit_postgres.connect import Connection
from singerkit_shell.errors import SingerkitError
from singerkit_shell.signals import StopFlag
from singerkit_sql_target.settings import Settings
from singerkit_target.load import Limits, Load
from singerkit_target.publish import Publisher
from singerkit_wire.blocks import Judgement
from target_postgres.faults import REFUSING
from target_postgres.loader import PostgresLoader

LOG = logging.getLogger("keys")
LOG.setLevel(logging.CRITICAL)
PARENTS = {"p": "p", "c": "p", "g": "c", "x": "y", "y": "x", "j": "p"}
"""Each stream with the one that its `ref` refers to: a tree, two levels, a circle, and a journal without a key."""
MODES = ("", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED")
FIRST, COUNT = int(os.environ.get("SEED", "0")), int(os.environ.get("COUNT", "1"))
SEEDS = range(FIRST, FIRST + COUNT) if FIRST else (3, 131, 71016, 71058)
"""A sample; `SEED=1000 COUNT=500 pytest ...` tries others."""
UNITS = 6

Rows = dict[str, dict[int, dict[str, Any]]]


@dataclass
class Unit:
    """Messages up to a STATE, and what is stored behind it."""

    messages: list[dict[str, Any]]
    rows: Rows
    aside: list[tuple[str, int]]


@dataclass
class Source:
    """Tables that are whole at each STATE."""

    chance: random.Random
    deletes: bool
    orphans: bool
    leaves_out: bool
    rows: Rows = field(default_factory=lambda: {stream: {} for stream in PARENTS})
    levels: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARENTS, 0))
    aside: list[tuple[str, int]] = field(default_factory=list)
    last: int = 0

    def unit(self) -> Unit:
        chance = self.chance
        new = {stream: [self._id() for _ in range(chance.randrange(5))] for stream in PARENTS}
        orphans: dict[str, list[int]] = {stream: [] for stream in PARENTS}
        queues: dict[tuple[str, int], list[Any]] = {}
        gone = self._gone() if self.deletes else {stream: set() for stream in PARENTS}
        there = {s: [*(self.rows[s].keys() - gone[s]), *new[s]] for s in PARENTS}
        if self.orphans:
            for stream in PARENTS:
                orphans[stream] = [self._id() for _ in range(chance.randrange(2))]
        for stream, ids in new.items():
            changed = [i for i in there[stream] if i not in ids and stream != "j" and chance.random() < 0.3]
            for id_ in [*ids, *changed]:
                times = 1 if stream == "j" else chance.randrange(1, 3)
                queues[stream, id_] = [self._ref(there, stream) for _ in range(times)]
        for stream, ids in gone.items():
            for id_ in ids:
                again = [self._ref(there, stream)] if chance.random() < 0.3 else []
                queues[stream, id_] = [*again, "gone"]
        for stream, ids in orphans.items():
            for id_ in ids:
                parents = orphans[PARENTS[stream]] if stream in "cg" else []
                queues[stream, id_] = [chance.choice([10**6, *parents])]
        return self._sent(queues, orphans)

    def _id(self) -> int:
        self.last += 1
        return self.last

    def _ref(self, there: dict[str, list[int]], stream: str) -> int | None:
        return self.chance.choice([None, *there[PARENTS[stream]] * 3])

    def _gone(self) -> dict[str, set[int]]:
        """Rows that go, and with them those that refer to them; what the journal refers to stays, and what that refers to."""
        kept, more = set[int](), {row["ref"] for row in self.rows["j"].values()} - {None}
        while more:
            kept |= more
            more = {self.rows["p"][id_]["ref"] for id_ in more} - {None} - kept
        gone: dict[str, set[int]] = {stream: set() for stream in PARENTS}
        for stream in "pcgxy":
            gone[stream] = {i for i in self.rows[stream] if self.chance.random() < 0.15 and i not in kept}
        while any(self._go_along(gone, stream) for stream in "pcgxy"):
            pass
        return gone

    def _go_along(self, gone: dict[str, set[int]], stream: str) -> bool:
        refer = {id_ for id_, row in self.rows[stream].items() if row["ref"] in gone[PARENTS[stream]]}
        before = len(gone[stream])
        gone[stream] |= refer
        return len(gone[stream]) > before

    def _sent(self, queues: dict[tuple[str, int], list[Any]], orphans: dict[str, list[int]]) -> Unit:
        chance, messages = self.chance, []
        style = chance.choice(["mixed", "by stream"])
        streams = chance.sample(list(PARENTS), len(PARENTS))
        for stream in streams:
            if chance.random() < 0.7:
                messages.append(self.schema(stream))
        seen: set[str] = {one["stream"] for one in messages}
        while queues:
            names = [
                key
                for key in queues
                if style == "mixed" or key[0] == min((k[0] for k in queues), key=streams.index)
            ]
            stream, id_ = chance.choice(names)
            change = queues[stream, id_].pop(0)
            if not queues[stream, id_]:
                del queues[stream, id_]
            if chance.random() < 0.08 and self.levels[stream] < 2:
                self.levels[stream] += 1
                seen.discard(stream)
            if stream not in seen:
                seen.add(stream)
                messages.append(self.schema(stream))
            messages.append(self._record(stream, id_, change, is_orphan=id_ in orphans[stream]))
        return Unit(messages, deepcopy(self.rows), list(self.aside))

    def schema(self, stream: str) -> dict[str, Any]:
        integer = {"type": ["integer", "null"]}
        level = self.levels[stream]
        properties: dict[str, Any] = {"id": {"type": "integer"}, "ref": integer, "v": integer}
        if level > 0:
            properties["w"] = integer
        if level > 1:
            properties["v"] = {"type": ["number", "null"]}
        if stream != "j":
            properties["_sdc_deleted_at"] = {"type": ["string", "null"], "format": "date-time"}
        keys = [] if stream == "j" else ["id"]
        return {
            "type": "SCHEMA",
            "stream": stream,
            "schema": {"properties": properties},
            "key_properties": keys,
        }

    def _record(self, stream: str, id_: int, change: Any, *, is_orphan: bool) -> dict[str, Any]:
        if change == "gone":
            record = {"id": id_, "_sdc_deleted_at": "2024-01-01T00:00:00Z"}
            if self.chance.random() < 0.5:
                record |= self.rows[stream][id_]
            del self.rows[stream][id_]
            return {"type": "RECORD", "stream": stream, "record": record}
        row: dict[str, Any] = {"ref": change, "v": self.chance.randrange(100)}
        if self.levels[stream] > 0:
            row["w"] = self.chance.randrange(100)
        if is_orphan:
            self.aside.append((stream, id_))
        else:
            if self.leaves_out:
                row = {name: value for name, value in row.items() if self.chance.random() < 0.8}
            former = self.rows[stream].get(id_, {"ref": None, "v": None, "w": None})
            self.rows[stream][id_] = former | row
        return {"type": "RECORD", "stream": stream, "record": {"id": id_, **row}}


class Cursor(psycopg2.extensions.cursor):
    """Ends the connection before the statement at which `left` is 0."""

    left: int | None = None

    def _count(self) -> None:
        if Cursor.left is not None:
            Cursor.left -= 1
            if Cursor.left == 0:
                Cursor.left = None
                self.connection.close()
                raise psycopg2.OperationalError("server closed the connection unexpectedly")

    def execute(self, *arguments: Any) -> None:
        self._count()
        super().execute(*arguments)

    def copy_expert(self, *arguments: Any) -> None:
        self._count()
        super().copy_expert(*arguments)


class Killed(PostgresLoader):
    def _connect(self) -> Connection:
        connection = super()._connect()
        connection.cursor_factory = Cursor
        return connection


class Place:
    def __init__(self, dsn: str, chance: random.Random, *, cascades: bool) -> None:
        self.dsn, self.schema = dsn, f"k{uuid.uuid4().hex[:12]}"
        self.sql("CREATE SCHEMA {schema}")
        for stream in PARENTS:
            key = "" if stream == "j" else " PRIMARY KEY"
            gone = "" if stream == "j" else ", _sdc_deleted_at timestamptz"
            self.sql(f"CREATE TABLE {{schema}}.{stream} (id bigint{key}, ref bigint, v bigint{gone})")
        for stream, parent in PARENTS.items():
            mode = chance.choice(MODES)
            action = chance.choice(
                ["", "ON DELETE CASCADE", "ON DELETE SET NULL"] + ["ON DELETE RESTRICT"] * (not mode)
            )
            self.sql(
                f"ALTER TABLE {{schema}}.{stream} ADD FOREIGN KEY (ref) REFERENCES {{schema}}.{parent} (id)"
                f" {action if cascades else ''} {mode}"
            )

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        return run_sql(self.dsn, SQL(text).format(schema=Identifier(self.schema)))

    def rows(self) -> Rows:
        found: Rows = {}
        for stream in PARENTS:
            rows = self.sql(f"SELECT id, to_jsonb(t) FROM {{schema}}.{stream} AS t")
            assert len(rows) == len({id_ for id_, _ in rows}), "a row is there twice"
            found[stream] = {id_: {name: row.get(name) for name in ("ref", "v", "w")} for id_, row in rows}
        return found

    def letters(self) -> list[tuple[str, int]]:
        if not run_sql(self.dsn, "SELECT to_regclass(%s)", [f"{self.schema}._singerkit_rejects"])[0][0]:
            return []
        rows = self.sql("SELECT stream, record FROM {schema}._singerkit_rejects")
        return sorted((stream, json.loads(bytes(record))["record"]["id"]) for stream, record in rows)

    def state(self) -> int:
        if not run_sql(self.dsn, "SELECT to_regclass(%s)", [f"{self.schema}._singerkit_state"])[0][0]:
            return 0
        found = self.sql("SELECT state->'at' FROM {schema}._singerkit_state")
        return (found[0][0] or 0) if found else 0

    def run(self, lines: list[Any], limits: Limits, *, quarantine: bool) -> SingerkitError | None:
        settings, stop = Settings(self.schema, deletes_marked=True), StopFlag()
        aside = REFUSING if quarantine else ()
        loader = Killed(lambda: self.dsn, settings, LOG, stop=stop, sets_aside=aside)
        load = Load(
            loader,
            Judgement(quarantine=quarantine),
            limits,
            Publisher(None, io.StringIO()),
            stop,
            LOG,
            missing_fields="keep",
        )
        try:
            load.run(io.BytesIO(b"".join(json.dumps(line).encode() + b"\n" for line in lines)))
        except SingerkitError as error:
            return error
        return None


@pytest.mark.parametrize("seed", SEEDS)
def test_all_rows_are_there_as_in_the_source(postgres_dsn: str, seed: int) -> None:
    chance = random.Random(seed)
    quarantine = seed % 3 == 0
    place = Place(postgres_dsn, chance, cascades=chance.random() < 0.5)
    source = Source(
        chance, deletes=chance.random() < 0.6, orphans=quarantine, leaves_out=chance.random() < 0.5
    )
    levels = [dict(source.levels)]
    units = []
    for _ in range(UNITS):
        units.append(source.unit())
        levels.append(dict(source.levels))
    for turn in range(30):
        at = place.state()
        source.levels = levels[at]
        lines: list[Any] = [{"type": "STATE", "value": {"at": at}}] if at else []
        lines += [source.schema(stream) for stream in chance.sample(list(PARENTS), len(PARENTS))]
        for number, unit in enumerate(units[at:], at + 1):
            messages = list(unit.messages)
            if not quarantine and turn < 20 and chance.random() < 0.25:
                there = chance.randrange(len(messages) + 1)
                messages.insert(there, {"type": "RECORD", "stream": "p", "record": {"id": "x"}})
            lines += [*messages, {"type": "STATE", "value": {"at": number}}]
        limits = Limits(
            chance.choice([1, 30, 10**9]),
            10**12,
            10**9,
            chunk_bytes=chance.choice([300, 3000, 1 << 20]),
            replay_bytes=chance.choice([0, 16 << 20, 16 << 20]) if turn < 20 else 16 << 20,
        )
        Cursor.left = chance.randrange(40, 600) if turn < 20 else None
        error = place.run(lines, limits, quarantine=quarantine)
        at = place.state()
        assert error is None or error.exit_code in (65, 69), error
        if error is not None and error.exit_code == 65:
            is_of_record = "Expected `integer`, got" in str(error)
            assert is_of_record or "is to be altered while rows" in str(error), error
            assert is_of_record or limits.replay_bytes == 0, error
        if at:
            assert place.rows() == units[at - 1].rows, f"after turn {turn}, at {at}: {error}"
            assert place.letters() == sorted(units[at - 1].aside)
        if error is None:
            assert at == UNITS
            break
    else:
        pytest.fail(f"no run ended with 0: {error}")
