"""tap-sqlite into our targets: a corpus of odd values with 0 differing, deletes that arrive, loads that are killed."""

from __future__ import annotations

import base64
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from canaries import holds_secrets
from conformance.processes import Outcome
from targets.duckdb.driver import read_duckdb
from targets.jsonl.driver import read_lines
from targets.postgres.driver import read_table

BIN = Path(sys.executable).parent

CORPUS = """
CREATE TABLE numbers (id INTEGER PRIMARY KEY, i INTEGER, r REAL, n NUMERIC, d DECIMAL(10,2), b BOOLEAN);
INSERT INTO numbers VALUES (1, 9223372036854775807, 0.1, 10, 1.10, 1), (2, -9223372036854775808, 1e300, 1.5, 5, 0),
  (3, NULL, 5e-324, NULL, 99999999999999999999, 2), (9007199254740993, 0, -1.5e-7, 123456789012345680000, NULL, NULL);
CREATE TABLE texts (k TEXT PRIMARY KEY NOT NULL, v TEXT) WITHOUT ROWID;
INSERT INTO texts VALUES ('', ''), ('a', 'say "hi"; --'), ('A', char(8232) || char(133)), ('null', 'null'), ('\\N', '\\N'),
  ('é', '🍣' || char(13, 10, 9)), ('e' || char(769), ',"'), ('x', NULL);
CREATE TABLE blobs (a, b BLOB);
INSERT INTO blobs VALUES (1, x'00ff'), ('1', x''), (1.5, NULL), (x'31', x'6869'), (NULL, x'0a');
CREATE TABLE times (id INT, d DATE, at DATETIME, u TIMESTAMP, e DATETIME, y TIME, PRIMARY KEY (id, d));
INSERT INTO times VALUES (1, '2024-02-29', '2024-01-01T00:00:00Z', '2024-01-01 00:00:00', 1700000000, '10:00'),
  (1, '0001-01-01', '2024-01-01 10:00:00.123456+02:00', '2024-13-01', NULL, 'noon');
CREATE TABLE "say ""hi"";" ("d""q" INT, "]x" TEXT, "select" INT);
INSERT INTO "say ""hi"";" VALUES (1, 'x', 2), (1, 'x', 2);
CREATE TABLE hollow (a INT, b TEXT, c DATE, d);
CREATE VIEW seen AS SELECT id, i + 0 AS i, upper(r) AS r FROM numbers;
"""
STREAMS = ("numbers", "texts", "blobs", "times", 'say "hi";', "hollow", "seen")


def pipe(
    tap: dict[str, Any], target: str, config: dict[str, Any], folder: Path, *options: str
) -> tuple[Outcome, Outcome]:
    """Run the pipe with a state file on both sides."""
    (folder / "tap.json").write_text(json.dumps(tap))
    (folder / "target.json").write_text(json.dumps(config))
    holds_secrets(folder / "target.json")
    state = str(folder / "state.json")
    read = [str(BIN / "tap-sqlite"), "--config", str(folder / "tap.json"), "--state", state, *options]
    load = [str(BIN / target), "--config", str(folder / "target.json"), "--state-file", state]
    with (folder / "tap.err").open("wb") as errors:
        source = subprocess.Popen(read, stdout=subprocess.PIPE, stderr=errors)
        loaded = subprocess.run(load, stdin=source.stdout, capture_output=True, timeout=60, check=False)
        assert source.stdout is not None
        source.stdout.close()
        code = source.wait(60)
    told = (folder / "tap.err").read_text()
    return Outcome(tuple(read), code, b"", told), Outcome(
        tuple(load), loaded.returncode, loaded.stdout, loaded.stderr.decode()
    )


def source_rows(path: Path, stream: str) -> list[dict[str, Any]]:
    """The rows as JSON has them, by the plainest way there is."""
    with closing(sqlite3.connect(path)) as connection:
        cursor = connection.execute('SELECT * FROM "' + stream.replace('"', '""') + '"')
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def expected(stream: str, row: dict[str, Any]) -> dict[str, Any]:
    return {name: _expected(stream, name, value) for name, value in row.items() if value is not None}


def _expected(stream: str, name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        text = base64.b64encode(value).decode()
        return {"base64": text} if (stream, name) == ("blobs", "a") else text
    return Decimal(repr(value)) if isinstance(value, float) else value


def normal(value: Any) -> Any:
    """One way to write what is the same: 1.0 and 1, a moment, bytes as PostgreSQL shows them."""
    if isinstance(value, str) and value.startswith("\\x"):
        return base64.b64encode(bytes.fromhex(value[2:])).decode()
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return format(Decimal(str(value)).normalize(), "f")
    moments = {
        "2024-01-01T00:00:00+00:00": "2024-01-01T00:00:00Z",
        "2024-01-01T08:00:00.123456+00:00": "2024-01-01 10:00:00.123456+02:00",
    }
    return moments.get(value, value) if isinstance(value, str) else value


def differing(path: Path, read: Any) -> list[Any]:
    found = []
    for stream in STREAMS:
        wanted = sorted(
            repr(sorted((k, normal(v)) for k, v in expected(stream, row).items()))
            for row in source_rows(path, stream)
        )
        stored = sorted(
            repr(
                sorted((k, normal(v)) for k, v in row.items() if v is not None and not k.startswith("_sdc_"))
            )
            for row in read(stream)
        )
        found += [(stream, wanted, stored)] if wanted != stored else []
    return found


def corpus(folder: Path) -> Path:
    path = folder / "odd name ?#%20.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(CORPUS)
    return path


def test_a_corpus_of_odd_values_arrives_in_postgres(database: str, tmp_path: Path) -> None:
    path = corpus(tmp_path)
    config = {"dsn": database, "add_record_metadata": True}
    for _ in range(2):  # the second load leaves each row of the streams without a key there once
        tap, target = pipe({"path": str(path)}, "target-postgres", config, tmp_path)
        assert (tap.code, target.code) == (0, 0), (tap.stderr, target.stderr)
        assert differing(path, lambda stream: read_table(database, "public", stream)) == []


def test_a_corpus_of_odd_values_arrives_in_a_duckdb_file(tmp_path: Path) -> None:
    path = corpus(tmp_path)
    file = tmp_path / "odd.duckdb"
    config = {"database": str(file), "add_record_metadata": True}
    for _ in range(2):
        tap, target = pipe({"path": str(path)}, "target-duckdb", config, tmp_path)
        assert (tap.code, target.code) == (0, 0), (tap.stderr, target.stderr)
        assert differing(path, lambda stream: read_duckdb(file, stream)) == []


def test_a_corpus_of_odd_values_arrives_in_files(tmp_path: Path) -> None:
    path = corpus(tmp_path)
    out = tmp_path / "out"
    tap, target = pipe({"path": str(path)}, "target-jsonl", {"destination_path": str(out)}, tmp_path)
    assert (tap.code, target.code) == (0, 0), (tap.stderr, target.stderr)
    assert differing(path, lambda stream: read_lines(out, stream)) == []


@pytest.mark.parametrize("key", ["PRIMARY KEY", ""])
def test_rows_that_are_deleted_at_the_source_go_from_the_target(
    database: str, tmp_path: Path, key: str
) -> None:
    path = tmp_path / "shop.db"
    config = {"dsn": database, "add_record_metadata": True}
    for rows in ([1, 2, 3], [1, 3, 4], []):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"CREATE TABLE IF NOT EXISTS t (id INTEGER {key})")
            connection.execute("DELETE FROM t")
            connection.executemany("INSERT INTO t VALUES (?)", [(row,) for row in rows])
        tap, target = pipe({"path": str(path)}, "target-postgres", config, tmp_path)
        assert (tap.code, target.code) == (0, 0), (tap.stderr, target.stderr)
        assert sorted(row["id"] for row in read_table(database, "public", "t")) == rows


@pytest.mark.parametrize(("key", "mode"), [("PRIMARY KEY", "wal"), ("", "delete")])
def test_a_full_load_that_is_cut_off_goes_on_and_each_row_is_there_once(
    database: str, tmp_path: Path, key: str, mode: str
) -> None:
    path = tmp_path / "shop.db"
    rows = [(n, f"row {n}") for n in range(30_000)]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute(f"CREATE TABLE t (id INTEGER {key}, v TEXT, n NUMERIC)")
        connection.executemany("INSERT INTO t VALUES (?, ?, 1)", rows)
        connection.execute("INSERT INTO t VALUES (30000, 'bad', 9e999)")  # ends the run
    config = {"dsn": database, "add_record_metadata": True, "commit_rows": 5_000}
    settings = {"path": str(path), "state_every": 5_000}
    tap, target = pipe(settings, "target-postgres", config, tmp_path)
    assert tap.code == 65, tap.stderr
    stored = len(read_table(database, "public", "t"))
    assert 5_000 <= stored <= 30_000
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE t SET n = 1 WHERE v = 'bad'")
    tap, target = pipe(settings, "target-postgres", config, tmp_path)
    assert (tap.code, target.code) == (0, 0), (tap.stderr, target.stderr)
    assert "the full load that was cut off goes on where it was" in tap.stderr
    assert sorted(row["id"] for row in read_table(database, "public", "t")) == list(range(30_001))
