"""Values that only PostgreSQL refuses, at any place of a unit with several STATEs: no state runs ahead of the rows.

The loop and the real loader, in process, over a real database. The rows are numbered; a STATE says the number of the
last row before it, so what must be stored follows from the state that is committed. The whole executable, with its
state file and what it prints, comes last.
"""

from __future__ import annotations

import io
import json
import logging
import signal
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import run_sql
from faults.loads import lines as encoded
from faults.loads import load, running
from psycopg2.sql import SQL, Identifier
from waiting import wait_until

from singerkit_shell.errors import BadDataError, SingerkitError, Stopped
from singerkit_shell.signals import StopFlag
from singerkit_sql_target.settings import Settings
from singerkit_target.load import Limits, Load
from singerkit_target.publish import Publisher
from singerkit_wire.blocks import Judgement
from target_postgres.faults import REFUSING
from target_postgres.loader import PostgresLoader

LOG = logging.getLogger("refused")
BAD = 770077
ROWS, EVERY = 9, 3
"""Rows in the unit, and after how many of them a STATE comes."""


@dataclass(frozen=True)
class Refusal:
    """How a table refuses the value `BAD`: ``setup`` and ``removal`` are SQL over its name, ``types`` chosen types."""

    setup: str = ""
    removal: str = ""
    types: str = ""


RAISE = """
    CREATE FUNCTION {schema}.check_n() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN IF NEW.v = 770077 THEN RAISE EXCEPTION 'no row like this: %', NEW; END IF; RETURN NEW; END $$;
    CREATE TRIGGER refuses BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {schema}.check_n()"""
REFUSALS = {
    "check": Refusal("ALTER TABLE {table} ADD CONSTRAINT small CHECK (v <> 770077)", "ALTER TABLE {table} DROP CONSTRAINT small"),
    "trigger": Refusal(RAISE, "DROP TRIGGER refuses ON {table}"),
    "trigger with another code": Refusal(
        RAISE.replace("NEW; END IF", "NEW USING ERRCODE = 'XX000'; END IF"), "DROP TRIGGER refuses ON {table}"
    ),
    "chosen type": Refusal("", "ALTER TABLE {table} ALTER v TYPE numeric(9)", "numeric(1)"),
    "unique index": Refusal(
        "CREATE UNIQUE INDEX once ON {table} ((v <> 770077)) WHERE v = 770077; INSERT INTO {table} (n, v) VALUES (0, 770077)",
        "DROP INDEX {schema}.once",
    ),
    "exclusion": Refusal(
        "ALTER TABLE {table} ADD CONSTRAINT alone EXCLUDE ((v = 770077) WITH =) WHERE (v = 770077);"
        " INSERT INTO {table} (n, v) VALUES (0, 770077)",
        "ALTER TABLE {table} DROP CONSTRAINT alone",
    ),
    "deferred": Refusal(
        "CREATE TABLE {schema}.known AS SELECT v FROM generate_series(0, 9) AS v; ALTER TABLE {schema}.known ADD UNIQUE (v);"
        " ALTER TABLE {table} ADD CONSTRAINT known FOREIGN KEY (v) REFERENCES {schema}.known (v) DEFERRABLE INITIALLY DEFERRED",
        "ALTER TABLE {table} DROP CONSTRAINT known",
    ),
    "foreign key": Refusal(
        "CREATE TABLE {schema}.known AS SELECT v FROM generate_series(0, 9) AS v; ALTER TABLE {schema}.known ADD UNIQUE (v);"
        " ALTER TABLE {table} ADD CONSTRAINT known FOREIGN KEY (v) REFERENCES {schema}.known (v)",
        "ALTER TABLE {table} DROP CONSTRAINT known",
    ),
    "deferred exclusion": Refusal(
        "ALTER TABLE {table} ADD CONSTRAINT alone EXCLUDE ((v = 770077) WITH =) WHERE (v = 770077)"
        " DEFERRABLE INITIALLY DEFERRED; INSERT INTO {table} (n, v) VALUES (0, 770077)",
        "ALTER TABLE {table} DROP CONSTRAINT alone",
    ),
}  # fmt: skip
BEHIND: dict[str, list[Any]] = {
    "": [],
    "a malformed line": ["{nonsense\n"],
    "a bad record": [{"type": "RECORD", "stream": "a", "record": {"n": "x"}}],
    "SIGTERM": [],
}
"""What comes right behind the row that is refused, and may overtake the refusal."""
NAMED = {"deferred": 'table "a"', "deferred exclusion": 'constraint "alone"'}
"""What the sentence names where COMMIT alone refuses, and nobody knows the stream."""
PLACES = (1, 5, 9)
CHUNKS = {"one chunk": 1 << 20, "many chunks": 64}


def cases(*behinds: str) -> list[Any]:
    """A row refused at once and one refused at the end of the transaction with everything, the others with less.

    It is the first, a middle or the last row in turn, so that each of these meets each kind, size of chunks and thing behind.
    """
    whole = [
        (kind, chunk, behind) for kind in ("check", "deferred") for chunk in CHUNKS for behind in behinds
    ]
    others = [(kind, "many chunks", "") for kind in REFUSALS if kind not in ("check", "deferred")]
    every = [(keys, *case) for keys in ([], ["n"]) for case in [*whole, *others]]
    return [
        pytest.param(
            keys, *case, bad, id="-".join(("key" if keys else "no key", *filter(None, case), str(bad)))
        )
        for number, (keys, *case) in enumerate(every)
        for bad in [PLACES[(number + number // len(behinds)) % len(PLACES)]]
    ]


class Place:
    """A schema with the table that refuses, and runs into it."""

    def __init__(self, dsn: str, refusal: Refusal, keys: list[str]) -> None:
        self.dsn, self.refusal, self.keys = dsn, refusal, keys
        self.schema = f"s{uuid.uuid4().hex[:12]}"
        self.removed = False
        self.sql("CREATE SCHEMA {schema}")
        v = refusal.types or "bigint"
        self.sql(f"CREATE TABLE {{table}} (n bigint{' PRIMARY KEY' * bool(keys)}, v {v})")
        if refusal.setup:
            self.sql(refusal.setup)
        self.there = self.rows()

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        names = {"schema": Identifier(self.schema), "table": Identifier(self.schema, "a")}
        return run_sql(self.dsn, SQL(text).format(**names))

    def rows(self) -> list[tuple[int, int]]:
        return self.sql("SELECT n, v::bigint FROM {table} ORDER BY n, v")

    def letters(self) -> list[tuple[int, dict[str, Any]]]:
        if not run_sql(self.dsn, "SELECT to_regclass(%s)", [f"{self.schema}._singerkit_rejects"])[0][0]:
            return []
        found = self.sql("SELECT line, record FROM {schema}._singerkit_rejects ORDER BY line")
        return [(line, json.loads(bytes(record))["record"]) for line, record in found]

    def state(self) -> int:
        found = self.sql("SELECT state->'bookmarks'->'a'->'at' FROM {schema}._singerkit_state")
        return found[0][0] or 0 if found else 0

    def run(
        self,
        lines: list[Any],
        *,
        chunk_bytes: int,
        quarantine: bool = False,
        limit: int = 1000,
        stop_at: int | None = None,
    ) -> tuple[SingerkitError | None, Load, list[int]]:
        types = {"a.v": self.refusal.types} if self.refusal.types and not self.removed else {}
        settings = Settings(
            self.schema, column_types={"a.v": "numeric(9)"} if self.refusal.types and self.removed else types
        )
        stop, stdout = StopFlag(), io.StringIO()
        aside = REFUSING if quarantine else ()
        loader = PostgresLoader(
            lambda: self.dsn, settings, LOG, stop=stop, sets_aside=aside, quarantine_limit=limit
        )
        limits = Limits(
            10**9,
            10**12,
            10**9,
            chunk_bytes=chunk_bytes,
            wait_seconds=0.05,
            max_rejects=limit,
            replay_bytes=16 << 20,
        )
        load = Load(loader, Judgement(quarantine=quarantine), limits, Publisher(None, stdout), stop, LOG)
        error: SingerkitError | None = None
        try:
            load.run(Input(lines, chunk_bytes, stop, stop_at))
        except SingerkitError as caught:
            error = caught
        printed = [json.loads(line)["bookmarks"]["a"]["at"] for line in stdout.getvalue().splitlines()]
        return error, load, printed


class Input(io.BytesIO):
    """Lines in pieces; a signal comes once the line ``stop_at`` has been handed over."""

    def __init__(self, lines: list[Any], chunk_bytes: int, stop: StopFlag, stop_at: int | None) -> None:
        texts = [one if isinstance(one, str) else json.dumps(one) + "\n" for one in lines]
        super().__init__("".join(texts).encode())
        self._size = chunk_bytes
        self._stop = stop
        self._stop_at = None if stop_at is None else len("".join(texts[: stop_at + 1]).encode())

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(self._size)
        if self._stop_at is not None and self.tell() >= self._stop_at:
            self._stop_at = None
            self._stop._on_signal(signal.SIGTERM, None)
        return data

    read1 = read


def messages(keys: list[str], bad: int, after: int = 0) -> list[Any]:
    """Rows after row ``after``, with a STATE after every third; row ``bad`` holds what is refused."""
    schema = {"properties": {"n": {"type": "integer"}, "v": {"type": "integer"}}}
    found: list[Any] = [state(after)] if after else []
    found.append({"type": "SCHEMA", "stream": "a", "schema": schema, "key_properties": keys})
    for n in range(after + 1, ROWS + 1):
        found.append({"type": "RECORD", "stream": "a", "record": {"n": n, "v": BAD if n == bad else n % 3}})
        if n % EVERY == 0:
            found.append(state(n))
    return found


def state(n: int) -> dict[str, Any]:
    return {"type": "STATE", "value": {"bookmarks": {"a": {"at": n}}}}


def place_of(lines: list[Any], n: int) -> int:
    return next(i for i, line in enumerate(lines) if line.get("record", {}).get("n") == n)


def sent(keys: list[str], bad: int, upto: int) -> list[tuple[int, int]]:
    return [
        (one["record"]["n"], one["record"]["v"])
        for one in messages(keys, bad)
        if one["type"] == "RECORD" and one["record"]["n"] <= upto
    ]


@pytest.mark.parametrize(("keys", "kind", "chunk", "behind", "bad"), cases(*BEHIND))
def test_the_state_is_that_of_the_rows_that_are_stored(
    postgres_dsn: str, keys: list[str], kind: str, chunk: str, behind: str, bad: int
) -> None:
    place = Place(postgres_dsn, REFUSALS[kind], keys)
    lines = messages(keys, bad)
    at = place_of(lines, bad)
    lines[at + 1 : at + 1] = BEHIND[behind]
    error, load, printed = place.run(
        lines, chunk_bytes=CHUNKS[chunk], stop_at=at if behind == "SIGTERM" else None
    )
    assert isinstance(error, Stopped if behind == "SIGTERM" else BadDataError), (bad, error)
    kept = place.state()
    assert kept < bad, "a state beyond the refused row"
    assert place.rows() == sorted(place.there + sent(keys, bad, kept)), (bad, kept)
    assert printed[-1:] == ([kept] if kept else []), "what is printed is what is committed"
    assert load.summary.committed_rows == kept
    assert f"{kept} rows are committed" in str(error), error
    assert str(BAD) not in str(error)
    again, _, _ = place.run(messages(keys, bad, place.state()), chunk_bytes=CHUNKS[chunk])
    assert isinstance(again, BadDataError), "no run ends with 0 while the row is not stored"
    assert NAMED.get(kind, "stream `a`") in str(again)
    assert place.rows() == sorted(place.there + sent(keys, bad, place.state()))
    place.sql(place.refusal.removal)
    place.removed = True
    done, _, printed = place.run(messages(keys, bad, place.state()), chunk_bytes=CHUNKS[chunk])
    assert done is None
    assert (place.rows(), place.state()) == (sorted(place.there + sent(keys, bad, ROWS)), ROWS)
    assert printed[-1:] == [ROWS]


@pytest.mark.parametrize(("keys", "kind", "chunk", "behind", "bad"), cases("", "a malformed line", "SIGTERM"))
def test_a_refused_row_is_set_aside_and_the_others_are_stored(
    postgres_dsn: str, keys: list[str], kind: str, chunk: str, behind: str, bad: int
) -> None:
    place = Place(postgres_dsn, REFUSALS[kind], keys)
    lines = messages(keys, bad)
    at = place_of(lines, bad)
    lines[at + 1 : at + 1] = BEHIND[behind]
    error, load, _ = place.run(
        lines, chunk_bytes=CHUNKS[chunk], quarantine=True, stop_at=at if behind == "SIGTERM" else None
    )
    assert isinstance(error, {"": type(None), "SIGTERM": Stopped}.get(behind, BadDataError)), error
    kept = place.state()
    assert kept == ROWS or behind
    assert place.rows() == sorted(place.there + [row for row in sent(keys, bad, kept) if row[0] != bad])
    is_aside = bad <= kept
    assert place.letters() == ([(at + 1, {"n": bad, "v": BAD})] if is_aside else [])
    assert load.summary.rejected.total() == is_aside
    assert load.summary.committed_rows == kept - is_aside
    if behind:
        return
    reason = place.sql("SELECT reason FROM {schema}._singerkit_rejects")[0][0]
    assert reason.startswith("PostgreSQL refused it: ")
    assert str(BAD) not in reason


def many(count: int, keys: list[str], bad: set[int]) -> list[Any]:
    schema = {"properties": {"n": {"type": "integer"}, "v": {"type": "integer"}, "x": {"type": "string"}}}
    found: list[Any] = [{"type": "SCHEMA", "stream": "a", "schema": schema, "key_properties": keys}]
    for n in range(1, count + 1):
        record = {"n": n, "v": BAD if n in bad else n % 3} | ({"x": "x"} if n % 7 == 0 else {})
        found.append({"type": "RECORD", "stream": "a", "record": record})
    return [*found, state(count)]


@pytest.mark.parametrize("kind", ["check", "trigger", "deferred"])
@pytest.mark.parametrize("keys", [[], ["n"]], ids=["no key", "key"])
def test_several_in_one_batch_are_found(postgres_dsn: str, kind: str, keys: list[str]) -> None:
    bad = {1, 2, 90, 256, 257, 400}
    place = Place(postgres_dsn, REFUSALS[kind], keys)
    error, load, _ = place.run(many(400, keys, bad), chunk_bytes=1 << 20, quarantine=True)
    assert error is None
    assert [n for n, _ in place.rows()] == [n for n in range(1, 401) if n not in bad]
    assert [record["n"] for _, record in place.letters()] == sorted(bad)
    assert load.summary.rejected == {"a": len(bad)}
    assert load.summary.committed == {"a": 400 - len(bad)}


def test_of_several_versions_of_a_row_only_those_that_are_refused_are_set_aside(postgres_dsn: str) -> None:
    """Though a field is missing in some: no row takes values over from one that was refused."""
    place = Place(postgres_dsn, REFUSALS["chosen type"], ["n"])
    lines = many(1, ["n"], set())
    versions = [
        {"n": 7, "v": 1, "x": "a"},
        {"n": 7, "v": BAD},
        {"n": 8, "v": BAD, "x": "b"},
        {"n": 8, "v": 2},
    ]
    lines[2:2] = [{"type": "RECORD", "stream": "a", "record": record} for record in versions]
    error, _, _ = place.run(lines, chunk_bytes=1 << 20, quarantine=True)
    assert error is None
    assert [record["n"] for _, record in place.letters()] == [7, 8]
    assert place.sql("SELECT n, v::int, x FROM {table} WHERE n > 6 ORDER BY n") == [(7, 1, "a"), (8, 2, None)]


def test_too_many_end_the_run_and_nothing_of_the_unit_is_kept(postgres_dsn: str) -> None:
    place = Place(postgres_dsn, REFUSALS["check"], ["n"])
    error, _, printed = place.run(
        many(20, ["n"], set(range(3, 9))), chunk_bytes=1 << 20, quarantine=True, limit=5
    )
    assert isinstance(error, BadDataError)
    assert "Expected at most 5 records to be set aside (quarantine_limit)" in str(error)
    assert (place.rows(), place.letters(), printed) == ([], [], [])


# --- the executable ---------------------------------------------------------------------------------------------

CHECKED = "ALTER TABLE a ADD CONSTRAINT small CHECK (v <> 770077)"
IN_TRANSACTION = (
    "SELECT 1 FROM pg_stat_activity WHERE application_name = 'target-postgres' AND xact_start IS NOT NULL"
    " AND datname = current_database()"
)


def with_schemas(lines: list[Any]) -> list[Any]:
    """A SCHEMA after each STATE keeps the STATEs from being taken as one."""
    schema = next(line for line in lines if line["type"] == "SCHEMA")
    return [more for line in lines for more in ([line, schema] if line["type"] == "STATE" else [line])]


def is_whole(database: str, keys: list[str], before: int, bad: int) -> int:
    """Check that the rows are those of the committed state; return it."""
    (at,) = run_sql(database, "SELECT (state->'bookmarks'->'a'->>'at')::int FROM _singerkit_state")[0]
    assert run_sql(database, "SELECT n, v FROM a ORDER BY n") == sent(keys, bad, at)
    assert before <= at < bad
    return int(at)


@pytest.mark.parametrize("keys", [[], ["n"]], ids=["no key", "key"])
@pytest.mark.parametrize("bad", [4, 6, ROWS], ids=["first after a state", "last before a state", "last"])
def test_file_and_output_say_what_is_stored(database: str, tmp_path: Path, bad: int, keys: list[str]) -> None:
    """Two runs end with 65, and the third is whole once nothing refuses the row."""
    file = tmp_path / "state.json"
    options = ("--state-file", str(file))
    load(database, *messages(keys, 0)[: EVERY + 2], arguments=options).expect(0)
    run_sql(database, CHECKED)
    at = EVERY
    for _ in range(2):
        before = at
        outcome = load(database, *with_schemas(messages(keys, bad, before)), arguments=options).expect(65)
        assert str(BAD) not in outcome.stderr, "no value in a log"
        at = is_whole(database, keys, before, bad)
        assert json.loads(file.read_text()) == state(at)["value"]
        printed = [json.loads(line)["bookmarks"]["a"]["at"] for line in outcome.stdout.splitlines()]
        assert all(number <= at for number in printed)
        assert f"{at - before} rows are committed" in outcome.last_words
    run_sql(database, "ALTER TABLE a DROP CONSTRAINT small")
    load(database, *messages(keys, bad, at), arguments=options).expect(0)
    assert run_sql(database, "SELECT n, v FROM a ORDER BY n") == sent(keys, bad, ROWS)
    assert json.loads(file.read_text()) == state(ROWS)["value"]


@pytest.mark.parametrize("keys", [[], ["n"]], ids=["no key", "key"])
def test_a_signal_that_overtakes_a_refused_row_commits_no_newer_state(database: str, keys: list[str]) -> None:
    load(database, *messages(keys, 0)[: EVERY + 2]).expect(0)
    run_sql(database, CHECKED)
    with running(database) as process:
        process.send(encoded(*with_schemas(messages(keys, 8, EVERY))))
        wait_until(lambda: run_sql(database, IN_TRANSACTION), "a transaction")
        process.signal(signal.SIGTERM)
        outcome = process.finish()
    assert outcome.code in (65, 143)
    is_whole(database, keys, EVERY, 8)


def test_a_trigger_that_changes_keys_is_told(database: str) -> None:
    load(database, *messages(["n"], 0)).expect(0)
    run_sql(
        database,
        "CREATE FUNCTION even() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.n = NEW.n / 2 * 2; RETURN NEW; END $$;"
        " CREATE TRIGGER even BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION even()",
    )
    schema = next(line for line in messages(["n"], 0) if line["type"] == "SCHEMA")
    rows = [{"type": "RECORD", "stream": "a", "record": {"n": n, "v": n}} for n in (102, 103)]
    outcome = load(database, schema, *rows).expect(65)
    assert "no trigger of the table changes keys" in outcome.last_words


def test_a_number_too_large_for_a_chosen_type(database: str) -> None:
    """The sentence says what to do, and both ways do it; a column that nobody has chosen is widened."""
    schema = {"type": "SCHEMA", "stream": "t", "schema": {"properties": {"v": {"type": "integer"}}}}
    schema["key_properties"] = ["v"]
    messages = [schema, {"type": "RECORD", "stream": "t", "record": {"v": 3_000_000_000}}]
    chosen = {"t.v": "integer"}
    outcome = load(database, *messages, column_types=chosen).expect(65)
    assert (
        "in column `v`; what was committed is safe: give the column a type that holds it"
        in outcome.last_words
    )
    load(database, *messages, column_types=chosen, on_invalid="quarantine").expect(0)
    run_sql(database, "ALTER TABLE t ALTER v TYPE bigint")
    load(database, *messages, column_types={"t.v": "bigint"}).expect(0)
    run_sql(database, "DROP TABLE t; CREATE TABLE t (v integer PRIMARY KEY)")
    load(database, *messages).expect(0)
