"""What is wrong with the file, or with somebody who writes to it meanwhile: one sentence, its code, nothing lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from memory import peak_kilobytes
from taps.sqlite.conftest import Shop
from waiting import wait_until

from singerkit_shell.errors import BadDataError, ConfigurationError, NotAuthorisedError, RetryableError
from singerkit_shell.signals import stop_flag
from singerkit_sql_tap import chunks
from singerkit_sql_tap.trail import Trail
from singerkit_state.value import encode
from singerkit_tap.contract import Start

HEADER = b"SQLite format 3\0"


def rows_in(shop, count: int = 5, text: str = "x") -> None:
    shop.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)",
        "INSERT INTO t VALUES (?, ?)",
        rows=[(n, text) for n in range(count)],
    )


def test_a_missing_file_is_not_made(shop):
    outcome = shop.run().expect(78)
    assert (
        outcome.last_words
        == f"CRITICAL tap-sqlite: There is no file {shop.path}, and none was made; correct `path`."
    )
    assert not shop.path.exists()


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"id,name\n1,x\n" * 100, BadDataError, "is no SQLite database, or an encrypted one"),
        (os.urandom(4096), BadDataError, "is no SQLite database, or an encrypted one"),
        (HEADER + b"\x10\0\1\3" + b"\0" * 4076, ConfigurationError, "is of a newer format than SQLite"),
        (
            HEADER + b"\x10\0\1\1" + b"\0" * 24 + b"\0\0\0\5" + b"\0" * 4048,
            ConfigurationError,
            "is of a newer format than SQLite",
        ),
        (HEADER + b"\0" * 4080, BadDataError, "is no database, or an encrypted one"),
    ],
    ids=["csv", "encrypted", "newer version", "newer schema", "torn"],
)
def test_a_file_that_cannot_be_read_is_said_to_be_so(shop, content, error, said):
    shop.path.write_bytes(content)
    with pytest.raises(error, match=said):
        shop.sync()
    assert shop.path.read_bytes() == content


def test_a_folder_is_no_file(shop):
    with pytest.raises(ConfigurationError, match="is a folder; name the database file in it"):
        shop.sync(path=str(shop.folder))


def test_a_pipe_is_no_file(shop):
    """It was waited for, whatever the signal."""
    os.mkfifo(shop.folder / "pipe")
    with pytest.raises(ConfigurationError, match="is no file, but a pipe or a device"):
        shop.sync(path=str(shop.folder / "pipe"))


def test_an_empty_file_holds_no_table(shop):
    shop.path.touch()
    with pytest.raises(
        ConfigurationError, match="nothing to read; the tables are none: the database is empty"
    ):
        shop.sync()


@pytest.mark.parametrize(
    "name", ["a?mode=rwc", "b#c", "100%25", "with blank", "é", "file:x", "a&immutable=1"]
)
def test_any_name_of_a_file_is_a_name(shop, name):
    shop.name = f"{name}.db"
    rows_in(shop)
    assert len(shop.sync().rows()) == 5


# Writers


@contextmanager
def writer(path: Path, script: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own that writes to the file; it has said that it is at it."""
    code = (
        f"import os, sqlite3, sys, time\nc = sqlite3.connect({str(path)!r}, isolation_level=None)\n{script}"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


SAY = "print('ready', flush=True)\n"


def test_a_file_that_stays_locked_ends_the_run(shop):
    rows_in(shop)
    with (
        writer(shop.path, f"c.execute('BEGIN EXCLUSIVE')\n{SAY}sys.stdin.read()"),
        pytest.raises(RetryableError, match=r"A writer keeps .* locked; .*raise `busy_timeout`"),
    ):
        shop.sync(busy_timeout=0.2)


def test_a_writer_is_waited_for(shop):
    rows_in(shop)
    script = f"c.execute('BEGIN EXCLUSIVE')\n{SAY}sys.stdin.readline()\nc.execute('COMMIT')"
    with writer(shop.path, script) as process, shop.running() as running:
        assert running.wait_for_error("Waiting for a writer")
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        outcome = running.finish().expect(0)
    assert outcome.stdout.count(b'"RECORD"') == 5


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_writer_goes_on_while_the_pipe_is_full(shop, mode):
    """The target takes nothing for now: no lock may stand meanwhile."""
    shop.execute(f"PRAGMA journal_mode = {mode}") if mode == "delete" else _wal(shop)
    rows_in(shop, 40_000, "x" * 50)
    process = subprocess.Popen(
        shop.command("--state", str(shop.folder / "none.json")),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        process.stdout.read(1000)  # it is under way, and nobody reads on
        time.sleep(0.3)
        with closing(sqlite3.connect(shop.path, timeout=5)) as connection, connection:
            connection.execute("INSERT INTO t VALUES (1000000, 'late')")
            connection.execute("DELETE FROM t WHERE id = 39999")
        rest = process.stdout.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    # In one transaction both are as they were; chunk by chunk the deletion is seen.
    assert (b'"id":39999,' in rest) is (mode == "wal")
    assert b'"id":1000000,' not in rest


def _wal(shop) -> None:
    with closing(sqlite3.connect(shop.path)) as connection:
        connection.execute("PRAGMA journal_mode = wal")


def test_all_tables_are_read_as_of_one_moment_in_wal_mode(shop):
    _wal(shop)
    shop.execute("CREATE TABLE a (n INT)", "INSERT INTO a VALUES (1)")
    shop.execute("CREATE TABLE b (n INT)", "INSERT INTO b VALUES (1)")
    tap = shop.tap()
    a, b = (tap.streams[name] for name in "ab")
    assert len(next(iter(a.read_pages(None, Start()))).records) == 1
    shop.execute("INSERT INTO a VALUES (2)")
    shop.execute("INSERT INTO b VALUES (2)")
    assert len(next(iter(b.read_pages(None, Start()))).records) == 1
    tap.database.close()
    assert len(shop.sync().rows("b")) == 2


WRITES_AND_DIES = (
    "c.execute('PRAGMA cache_size = 5')\nc.execute('BEGIN')\n"
    "c.execute(\"UPDATE t SET v = v || 'half done'\")\n" + SAY + "os._exit(1)"
)


def test_what_a_dead_writer_left_half_done_is_not_read(shop):
    rows_in(shop, 3000, "x" * 100)
    with writer(shop.path, WRITES_AND_DIES):
        pass
    assert shop.path.with_name("shop.db-journal").exists()
    with pytest.raises(RetryableError, match=r"A writer has died in .* run `PRAGMA user_version`"):
        shop.sync()
    with closing(sqlite3.connect(shop.path)) as connection:  # as was advised
        connection.execute("PRAGMA user_version").fetchall()
    assert shop.sync().column("v") == ["x" * 100] * 3000


def test_what_a_dead_writer_has_committed_to_a_wal_is_read(shop):
    _wal(shop)
    rows_in(shop)
    committed = "c.execute(\"UPDATE t SET v = 'committed'\")\nc.execute('BEGIN')\nc.execute(\"UPDATE t SET v = 'not'\")\n"
    with writer(shop.path, committed + SAY + "os._exit(1)"):
        pass
    assert shop.sync().column("v") == ["committed"] * 5


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can start a process that may not write to a folder of its own"
)
@pytest.mark.parametrize("has_wal", [True, False])
def test_a_wal_file_in_a_folder_that_may_not_be_written_to(open_folder, has_wal):
    """Run as nobody: root may write anywhere."""
    shop = Shop(open_folder)
    _wal(shop)
    with writer(
        shop.path,
        f"c.execute('CREATE TABLE t (n INT)')\nc.execute('INSERT INTO t VALUES (1)')\n{SAY}os._exit(1)",
    ):
        pass
    if not has_wal:
        with closing(sqlite3.connect(shop.path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for rest in ("-shm", *([] if has_wal else ["-wal"])):
        shop.path.with_name(shop.path.name + rest).unlink(missing_ok=True)
    for path in shop.folder.iterdir():
        path.chmod(0o444)
    shop.folder.chmod(0o555)
    try:
        assert "needs its `-shm` file beside it" in _as_nobody(shop)
        told = _as_nobody(shop, immutable=True)
        assert ("holds rows that `immutable` would leave out" in told) is has_wal, told
        assert ("RECORD" in told) is not has_wal
    finally:
        shop.folder.chmod(0o755)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may enter; those of pytest are its own."""
    with tempfile.TemporaryDirectory(prefix="tap-sqlite-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def _as_nobody(shop, **settings: Any) -> str:
    """Read in a forked process without any rights, and return what it has written or what it ended with."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgid(65534)
        os.setuid(65534)
        try:
            text = repr(shop.sync(**settings).messages)
        except BaseException as error:
            text = repr(error)
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read().decode()
    os.waitpid(pid, 0)
    return told


def test_a_file_that_may_not_be_read(open_folder):
    if os.geteuid() != 0:
        pytest.skip("nobody else to be")
    shop = Shop(open_folder)
    rows_in(shop)
    shop.path.chmod(0)
    assert "may not be read by this user" in _as_nobody(shop)
    assert stat.S_IMODE(shop.path.stat().st_mode) == 0


# In the middle of a run


def test_a_damaged_page_ends_the_run_and_what_came_before_is_safe(shop):
    rows_in(shop, 5000, "x" * 100)
    catalog = shop.discover()  # with it nothing is looked at beforehand
    with shop.path.open("r+b") as file:
        file.seek(60 * 4096)
        file.write(b"\xff" * 3 * 4096)
    with pytest.raises(BadDataError, match=r"damaged .*safe: run `PRAGMA integrity_check`"):
        shop.sync(catalog=catalog, state_every=1)
    found = shop.result()
    assert 0 < len(found.rows()) < 5000
    assert found.column("id") == list(range(len(found.rows())))
    assert found.of_type("ACTIVATE_VERSION") == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP TABLE t", "The catalog selects stream `t`, which does not exist"),
        ("ALTER TABLE t RENAME COLUMN v TO w", "has the column `v` of `t`, which is gone from the table"),
        ("ALTER TABLE t DROP COLUMN v", "has the column `v` of `t`, which is gone from the table"),
    ],
)
def test_a_table_that_was_altered_since_discovery(shop, change, said):
    rows_in(shop)
    shop.execute("CREATE TABLE u (n INT)")
    catalog = shop.discover()
    shop.execute(change)
    with pytest.raises(ConfigurationError, match=said):
        shop.sync(catalog=catalog)
    assert shop.result().rows() == []


def test_a_column_that_is_new_since_discovery_is_told_of(shop, caplog):
    rows_in(shop)
    catalog = shop.discover()
    shop.execute("ALTER TABLE t ADD COLUMN w INT")
    assert shop.sync(catalog=catalog).rows()[0] == {"id": 0, "v": "x"}
    assert "has columns that the catalog does not have: `w`" in caplog.text


@pytest.mark.parametrize("change", ["DROP TABLE t", "ALTER TABLE t RENAME COLUMN v TO w"])
def test_a_table_that_is_altered_while_it_is_read(shop, monkeypatch, change):
    """A column that is gone must not become its own name as a text, as SQLite has it."""
    monkeypatch.setattr(chunks.ChunkSize.__init__, "__defaults__", (2,))
    rows_in(shop, 50)
    tap = shop.tap(snapshot="chunk")
    pages = tap.streams["t"].read_pages(None, Start())
    assert len(next(pages).records) == 2
    shop.execute(change)
    with pytest.raises(BadDataError, match=r"SQLite refused a query .*make the catalog again"):
        list(pages)
    tap.database.close()


@pytest.mark.parametrize("size", [2, 35])  # with 35 no row is left behind the number that was read
@pytest.mark.parametrize("key", ["", "PRIMARY KEY"])
def test_a_file_that_is_vacuumed_while_it_is_read(shop, monkeypatch, key, size):
    """The numbers of rows without one of their own may be others then."""
    monkeypatch.setattr(chunks.ChunkSize.__init__, "__defaults__", (size,))
    shop.execute(
        f"CREATE TABLE t (id INTEGER {key})", "INSERT INTO t VALUES (?)", rows=[(n,) for n in range(50)]
    )
    shop.execute("DELETE FROM t WHERE id < 10")
    tap = shop.tap(snapshot="chunk")
    pages = tap.streams["t"].read_pages(None, Start())
    found = len(next(pages).records)
    with closing(sqlite3.connect(shop.path)) as connection:
        connection.execute("VACUUM")
    if key:
        assert found + sum(len(page.records) for page in pages) == 40
    else:
        with pytest.raises(RetryableError, match="or the database vacuumed, while it was read"):
            list(pages)
    tap.database.close()


@pytest.mark.parametrize(
    ("change", "goes_on"),
    [("none", True), ("VACUUM", False), ("another file", False), ("fewer columns", False)],
)
def test_a_load_that_was_cut_off_begins_anew_where_its_place_means_something_else(shop, change, goes_on):
    shop.execute(
        "CREATE TABLE t (n INT, v REAL)", "INSERT INTO t VALUES (?, 1)", rows=[(n,) for n in range(3000)]
    )
    shop.execute("INSERT INTO t VALUES (3000, 9e999)")
    with pytest.raises(BadDataError, match="infinite"):
        shop.sync(state_every=1)
    cut = shop.result()
    shop.execute("UPDATE t SET v = 2 WHERE n = 3000")
    if change == "VACUUM":
        with closing(sqlite3.connect(shop.path)) as connection:
            connection.execute("VACUUM")
    if change == "another file":
        copy = shop.path.read_bytes()
        shop.path.rename(shop.folder / "former.db")
        shop.path.write_bytes(copy)
    again = shop.sync(cut.state, **({"select": ["t", "!t.v"]} if change == "fewer columns" else {}))
    both = {one["version"] for result in (cut, again) for one in result.of_type("RECORD")}
    if goes_on:
        assert [*cut.column("n"), *again.column("n")] == list(range(3001))
        assert len(both) == 1
    else:
        assert again.column("n") == list(range(3001))
        assert len(both) == 2
    assert again.of_type("ACTIVATE_VERSION")[0]["version"] == max(both)


REFILLED = ("CREATE TEMP TABLE n AS SELECT * FROM t ORDER BY rowid", "DELETE FROM t")
"""The rows of a table with few different ones, in mirrored order: most are as they were wherever one looks."""


@pytest.mark.parametrize(
    ("key", "changes", "goes_on"),
    [
        ("", [*REFILLED, "INSERT INTO t SELECT * FROM n ORDER BY rowid"], True),
        ("", [*REFILLED, "INSERT INTO t SELECT * FROM n ORDER BY rowid DESC"], False),
        ("", ["UPDATE t SET n = 7 WHERE rowid = 9"], False),
        ("", ["DELETE FROM t WHERE rowid = 9"], False),
        ("", ["UPDATE t SET n = 7 WHERE rowid = 3001", "INSERT INTO t VALUES (9, 9, '')"], True),
        (", UNIQUE (k)", [*REFILLED, "INSERT INTO t SELECT * FROM n ORDER BY rowid DESC"], False),
        (", PRIMARY KEY (k)", [*REFILLED, "INSERT INTO t SELECT * FROM n ORDER BY rowid DESC"], False),
        (", PRIMARY KEY (k)", ["UPDATE t SET n = 7 WHERE rowid = 9"], True),
    ],
)
def test_a_load_goes_on_only_behind_rows_that_are_those_it_has_sent(shop, key, changes, goes_on):
    """Rows were lost: a refilled table is told from the former one by nothing but its rows."""
    shop.execute(
        f"CREATE TABLE t (n INT, v REAL, k{key})",
        "INSERT INTO t VALUES (?, 1, ?)",
        rows=[(n // 1000 % 2, n if key else 0) for n in range(3000)],
    )
    shop.execute("INSERT INTO t VALUES (0, 9e999, -1)")
    with pytest.raises(BadDataError, match="infinite"):
        shop.sync(state_every=1)
    cut = shop.result()
    shop.execute("UPDATE t SET v = 2 WHERE rowid = 3001", *changes)
    again = shop.sync(cut.state)
    rows = len(again.rows())
    with closing(sqlite3.connect(shop.path)) as connection:
        (now,) = connection.execute("SELECT count(*) FROM t").fetchone()
    assert rows == (now - len(cut.rows()) if goes_on else now)
    assert len({one["version"] for one in (*cut.of_type("RECORD"), *again.of_type("RECORD"))}) == 2 - goes_on


@pytest.mark.parametrize(
    ("changes", "goes_on"),
    [
        (["DELETE FROM t WHERE a < 'f'"], False),
        (["INSERT INTO t VALUES ('aa', 10)"], False),
        (["UPDATE t SET a = 'aa' WHERE a = 'a'"], False),
        (["UPDATE t SET v = 10 WHERE a = 'a'", "INSERT INTO t VALUES ('x', 50)"], True),
    ],
)
@pytest.mark.parametrize(
    "key", ["a TEXT PRIMARY KEY NOT NULL, v INT", "a TEXT NOT NULL, v INT, PRIMARY KEY (a, v)"]
)
def test_a_load_of_a_table_without_rowid_goes_on_only_behind_rows_that_are_those_it_has_sent(
    shop, key, changes, goes_on
):
    """A load went on behind its last key though every row it had read was gone: they stayed in the target."""
    shop.execute(
        f"CREATE TABLE t ({key}) WITHOUT ROWID",
        "INSERT INTO t VALUES (?, ?)",
        rows=[(letter, number) for number, letter in enumerate("abcdef")],
    )
    whole = shop.sync(state_every=1)
    (before,) = (one["value"] for one in whole.of_type("STATE") if '"after"' in encode(one))
    if "v)" in key:
        changes = [one for one in changes if "SET v" not in one]
    shop.execute(*changes)
    again = shop.sync(before)
    rows = len(shop.query("SELECT 1 FROM t"))
    assert len(again.rows()) == (rows - 6 if goes_on else rows)
    versions = {one["version"] for one in (*whole.of_type("RECORD"), *again.of_type("RECORD"))}
    assert len(versions) == 2 - goes_on


@pytest.mark.parametrize(
    ("kind", "changes", "ends"),
    [
        ("INT", [*REFILLED, "INSERT INTO t SELECT * FROM n ORDER BY rowid DESC"], True),
        ("INT", ["DELETE FROM t WHERE rowid < 9", "UPDATE t SET n = -1 WHERE rowid < 20"], False),
        ("INT", ["DELETE FROM t WHERE rowid = 20"], False),  # the last row that was read
        ("INT", ["DELETE FROM t WHERE rowid = 40"], False),  # the last row of all
        ("INT", ["DELETE FROM t WHERE rowid IN (20, 40)"], True),
        ("INT", ["DELETE FROM t WHERE rowid > 1", "INSERT INTO t VALUES (7)"], True),  # below what was read
        ("INT PRIMARY KEY", ["DELETE FROM t WHERE rowid IN (20, 40)"], True),
        # No number of these is another row's later.
        ("INTEGER PRIMARY KEY", ["DELETE FROM t WHERE rowid IN (20, 40)"], False),
    ],
)
def test_a_table_that_is_refilled_while_it_is_read(shop, monkeypatch, kind, changes, ends):
    monkeypatch.setattr(chunks.ChunkSize.__init__, "__defaults__", (20,))
    shop.execute(
        f"CREATE TABLE t (n {kind})",
        "INSERT INTO t VALUES (?)",
        rows=[(n,) for n in range(1, 41)],
    )
    tap = shop.tap(snapshot="chunk")
    pages = tap.streams["t"].read_pages(None, Start())
    next(pages)
    shop.execute(*changes)
    if ends:
        with pytest.raises(
            RetryableError, match="were deleted while it was read, and others may have their numbers"
        ):
            list(pages)
    else:
        assert sum(len(page.records) for page in pages) in (19, 20)
    tap.database.close()


def test_what_others_write_meanwhile_ends_no_run_as_long_as_rows_stay(shop, monkeypatch):
    monkeypatch.setattr(chunks.ChunkSize.__init__, "__defaults__", (20,))
    shop.execute("CREATE TABLE t (n INT)", "INSERT INTO t VALUES (?)", rows=[(n,) for n in range(40)])
    tap = shop.tap(snapshot="chunk")
    monkeypatch.setattr(tap.database, "changes", count().__next__)
    assert sum(len(page.records) for page in tap.streams["t"].read_pages(None, Start())) == 40
    pages = tap.streams["t"].read_pages(None, Start())
    next(pages)
    shop.execute("DELETE FROM t WHERE rowid = 20")  # the last row of all may have been another one by then
    with pytest.raises(RetryableError, match="were deleted while it was read"):
        list(pages)
    tap.database.close()


def test_rows_are_one_by_what_tells_them_apart():
    by_key, whole = Trail([0, 2]), Trail(None)
    assert by_key.are_one((1, "a", 5), (1, "b", 5))
    for row, other in (((1, "a", 5), (2, "a", 5)), ((2, "a", 5), (1, "a", 5)), ((1, "a", 6), (1, "a", 5))):
        assert not by_key.are_one(row, other)
        assert not whole.are_one(row, other)
    assert whole.are_one((1, "a"), (1, "a"))
    assert not whole.are_one((1, "b"), (1, "a"))
    whole.add([(1, "a"), (2, None)])
    assert whole.told() == "3cd16b0f4f97cdec", "as a state of a former version has it"


def test_no_content_of_a_text_stands_in_an_error(shop):
    shop.by("k")
    shop.execute("CREATE TABLE t (k TEXT)", "INSERT INTO t VALUES (CAST(x'736563726574ff' AS TEXT))")
    with pytest.raises(Exception, match="not UTF-8") as raised:
        shop.sync()
    assert "secret" not in str(raised.value)


SLOW = "CREATE VIEW slow AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000000000) SELECT count(*) AS c FROM n"


@pytest.mark.parametrize(
    ("option", "number", "code"),
    [
        ("--state=none.json", signal.SIGTERM, 143),
        ("--discover", signal.SIGTERM, 143),
        ("--discover", signal.SIGINT, 130),
        ("--test", signal.SIGINT, 130),
    ],
)
def test_a_signal_ends_a_long_query(shop, option, number, code):
    shop.execute("CREATE TABLE t (n INT)", SLOW)
    with shop.running(option) as running:
        wait_until(lambda: running.has_open(shop.path), "the file is open")
        time.sleep(0.3)
        running.signal(number)
        outcome = running.finish()
    assert outcome.code == code, outcome
    assert "CRITICAL tap-sqlite: Stopped by SIG" in outcome.stderr


def test_a_query_has_a_deadline(shop):
    shop.execute("CREATE TABLE t (n INT)", SLOW)
    with pytest.raises(RetryableError, match="`slow` took longer than `query_timeout`"):
        shop.sync(query_timeout=0.2)


def test_a_reader_that_has_gone_ends_a_long_query(shop):
    shop.execute("CREATE TABLE t (n INT)", SLOW)
    tap = shop.tap()
    failure = RetryableError("gone")
    timer = threading.Timer(0.3, stop_flag.give_up, (failure,))
    timer.start()
    try:
        with pytest.raises(RetryableError, match="gone"):
            list(tap.streams["slow"].read_pages(None, Start()))
    finally:
        timer.join()
        stop_flag.give_up(None)
        tap.database.close()


def test_an_old_sqlite_is_told_of(shop, monkeypatch):
    rows_in(shop)
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(ConfigurationError, match=r"needs 3\.37 or newer"):
        shop.sync()


def test_no_room_for_what_is_put_aside(shop):
    from tap_sqlite.faults import fault

    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert "There is no room" in str(fault(error, str(shop.path), "reading `v`"))
    assert isinstance(fault(error, str(shop.path), "x"), RetryableError)
    error.sqlite_errorcode = sqlite3.SQLITE_AUTH
    assert isinstance(fault(error, str(shop.path), "x"), NotAuthorisedError)


# Memory


def test_wide_rows_come_few_at_a_time(shop):
    """A table of small rows that become large ones: what one chunk holds stays bounded."""
    shop.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)", "INSERT INTO t VALUES (?, zeroblob(?))",
        rows=[(n, 10 if n < 3000 else 2_000_000) for n in range(3040)])  # fmt: skip
    tap = shop.tap()
    sizes = [
        sum(len(bytes(row)) for row in page.records) for page in tap.streams["t"].read_pages(None, Start())
    ]
    tap.database.close()
    assert sum(sizes) > 40 * 2_000_000
    assert max(sizes) < 40_000_000


def test_memory_does_not_grow_with_the_table(shop, really_started):
    shop.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b REAL)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) INSERT INTO t SELECT i, 'row ' || i, i / 3.0 FROM n",
    )
    with (shop.folder / "out").open("wb") as out:
        peak = peak_kilobytes(shop.command(), out)
    assert (shop.folder / "out").stat().st_size > 30_000_000
    assert peak < 120 * 1024
