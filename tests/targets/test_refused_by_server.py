"""Values that only PostgreSQL refuses, at any place of a unit with several STATEs: no state runs ahead of the rows.

The loop and the real loader, in process, over a real database. The rows are numbered; a STATE says the number of the
last row before it, so what must be stored follows from the state that is committed.
"""

from __future__ import annotations

import io
import json
import logging
import signal
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import run_sql
from psycopg2.sql import SQL, Identifier

from singerkit_shell.errors import BadDataError, SingerkitError, Stopped
from singerkit_shell.signals import StopFlag
from singerkit_target.blocks import Judgement
from singerkit_target.load import Limits, Load
from singerkit_target.publish import Publisher
from target_postgres.faults import REFUSING
from target_postgres.loader import PostgresLoader
from target_postgres.tables import Wishes

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
}  # fmt: skip


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
        wishes = Wishes(
            self.schema, column_types={"a.v": "numeric(9)"} if self.refusal.types and self.removed else types
        )
        stop, stdout = StopFlag(), io.StringIO()
        aside = REFUSING if quarantine else ()
        loader = PostgresLoader(
            lambda: self.dsn, wishes, LOG, stop=stop, sets_aside=aside, quarantine_limit=limit
        )
        limits = Limits(10**9, 10**12, 10**9, chunk_bytes=chunk_bytes, wait_seconds=0.05, max_rejects=limit)
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


@pytest.mark.parametrize("behind", ["", "a malformed line", "SIGTERM"])
@pytest.mark.parametrize("chunk_bytes", [1 << 20, 64], ids=["one chunk", "many chunks"])
@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("keys", [[], ["n"]], ids=["no key", "key"])
def test_the_state_is_that_of_the_rows_that_are_stored(
    postgres_dsn: str, kind: str, keys: list[str], chunk_bytes: int, behind: str
) -> None:
    for bad in (1, 5, 9):
        place = Place(postgres_dsn, REFUSALS[kind], keys)
        lines = messages(keys, bad)
        at = place_of(lines, bad)
        if behind == "a malformed line":
            lines.insert(at + 1, "{nonsense\n")
        error, load, printed = place.run(
            lines, chunk_bytes=chunk_bytes, stop_at=at if behind == "SIGTERM" else None
        )
        assert isinstance(error, Stopped if behind == "SIGTERM" else BadDataError), (bad, error)
        kept = place.state()
        assert kept < bad, "a state beyond the refused row"
        assert place.rows() == sorted(place.there + sent(keys, bad, kept)), (bad, kept)
        assert printed[-1:] == ([kept] if kept else []), "what is printed is what is committed"
        assert load.summary.committed_rows == kept
        assert f"{kept} rows are committed" in str(error), error
        assert str(BAD) not in str(error)
        again, _, _ = place.run(messages(keys, bad, place.state()), chunk_bytes=chunk_bytes)
        assert isinstance(again, BadDataError), "no run ends with 0 while the row is not stored"
        assert ('table "a"' if kind == "deferred" else "stream `a`") in str(again)
        assert place.rows() == sorted(place.there + sent(keys, bad, place.state()))
        place.sql(place.refusal.removal)
        place.removed = True
        done, _, printed = place.run(messages(keys, bad, place.state()), chunk_bytes=chunk_bytes)
        assert done is None
        assert (place.rows(), place.state()) == (sorted(place.there + sent(keys, bad, ROWS)), ROWS)
        assert printed[-1:] == [ROWS]


@pytest.mark.parametrize("behind", ["", "a malformed line", "SIGTERM"])
@pytest.mark.parametrize("chunk_bytes", [1 << 20, 64], ids=["one chunk", "many chunks"])
@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("keys", [[], ["n"]], ids=["no key", "key"])
def test_a_refused_row_is_set_aside_and_the_others_are_stored(
    postgres_dsn: str, kind: str, keys: list[str], chunk_bytes: int, behind: str
) -> None:
    for bad in (1, 5, 9):
        place = Place(postgres_dsn, REFUSALS[kind], keys)
        lines = messages(keys, bad)
        at = place_of(lines, bad)
        if behind == "a malformed line":
            lines.insert(at + 1, "{nonsense\n")
        error, load, _ = place.run(
            lines, chunk_bytes=chunk_bytes, quarantine=True, stop_at=at if behind == "SIGTERM" else None
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
            continue
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
