"""What is wrong at a PostgreSQL that is read, by the real executable: one sentence with the way out, which is taken, and then nothing is missing (L1 to L10).

L4 restarts a server, and tries what L1 advises there: in test_log_held.py. L8 stands in test_log_traps.py.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from conformance.processes import Outcome, Running, run
from conftest import run_sql, uri_of
from psycopg2.extras import LogicalReplicationConnection
from taps.postgres.conftest import TAP, Shop
from taps.postgres.log_target import Tables
from waiting import wait_until

from singerkit_shell.errors import CannotWriteError
from singerkit_state.value import decode, encode
from tap_postgres.log.spool import Spool

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, 'v' || n FROM generate_series(1, 5) n"
TAKES_THE_SLOT = "SELECT active_pid FROM pg_replication_slots WHERE active AND database = current_database()"


class Pipeline:
    """Runs of the executable, and what a target in memory has of table `t` after each, also after one that fails."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.tables = shop, Tables({"public-t": ["id"]})
        self.state = shop.folder / "state.json"

    def run(self, *before: str, **changes: Any) -> Outcome:
        done = run([*before, *self.command(**changes)])
        self.take(done)
        return done

    def command(self, **changes: Any) -> list[str]:
        return self.shop.command("--state", str(self.state), **changes)

    def take(self, done: Outcome) -> None:
        self.tables.load([decode(line.decode()) for line in done.stdout.splitlines()])
        if self.tables.state:
            self.state.write_text(encode(self.tables.state))

    def is_refused(self, code: int, words: str, *before: str, **changes: Any) -> str:
        """Run, and see that it ends with one sentence; return it."""
        return said(self.run(*before, **changes), code, words)

    def goes_on(self) -> None:
        """See that a run completes what the target has."""
        done = self.run()
        assert done.code == 0, done.stderr
        have = sorted((row["id"], row["v"]) for row in self.tables.table("public-t"))
        assert have == self.shop.query("SELECT id, v FROM t ORDER BY id")

    def start_over(self, sentence: str) -> None:
        """Run the command that a sentence advises."""
        (command,) = re.findall(r"`(singerkit-state reset [^`]+)`", sentence)
        program, *arguments = shlex.split(command)
        done = run([str(Path(TAP).with_name(program)), *arguments])
        assert done.code == 0, done.stderr


def said(done: Outcome, code: int, words: str) -> str:
    assert done.code == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("CRITICAL") == 1
    assert re.search(words, done.last_words), done.last_words
    return done.last_words


@pytest.fixture
def pipeline(logged: Shop) -> Pipeline:
    logged.execute(TABLE)
    return Pipeline(logged)


@pytest.fixture
def role(logged: Shop) -> Iterator[str]:
    owner, name = logged.dsn, f"singerkit_reader_{logged.config['log']['slot']}"
    run_sql(owner, f"CREATE ROLE {name} LOGIN")
    yield name
    run_sql(owner, f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.fault("L1", exit=[78], main=True)
def test_l01_a_server_without_a_logical_log_is_told_before_anything_is_made(shop: Shop) -> None:
    if shop.query("SHOW wal_level") == [("logical",)]:
        pytest.skip("the server that the tests were given has a logical log")
    shop.execute(TABLE)
    by_log = {"streams": [{"name": "*", "replication_method": "LOG_BASED"}]}
    words = "wal_level.*othing was read.*ALTER SYSTEM SET wal_level = 'logical'.*restart the server"
    Pipeline(shop).is_refused(78, words, **by_log)
    assert shop.query("SELECT pubname FROM pg_publication") == []


@pytest.mark.fault("L2", exit=[77], main=True)
def test_l02_each_grant_is_named_with_its_statement(pipeline: Pipeline, role: str) -> None:
    owner = pipeline.shop.dsn
    pipeline.shop.dsn = uri_of(owner, user=role)
    seen = []
    while len(seen) < 9:
        done = pipeline.run()
        if done.code == 0:
            break
        sentence = said(done, 77, "nothing was|Nothing was")
        found = re.search(r"(?:Run|may run it): (.*?)(;|$)", sentence)
        assert found, sentence
        assert found[1] not in seen, sentence
        seen.append(found[1])
        run_sql(owner, found[1])
    pipeline.shop.dsn = owner
    pipeline.goes_on()
    assert len(seen) == 4, seen


@pytest.mark.fault("L3", exit=[75], main=True)
def test_l03_a_slot_in_use_names_who_reads_by_it(pipeline: Pipeline) -> None:
    pipeline.goes_on()
    pipeline.shop.execute("INSERT INTO t VALUES (6)")
    name = pipeline.shop.config["log"]["slot"]
    other = psycopg2.connect(pipeline.shop.dsn, connection_factory=LogicalReplicationConnection)
    with closing(other), other.cursor() as cursor:
        options = {"proto_version": "1", "publication_names": f'"{name}"'}
        cursor.start_replication(name, decode=False, options=options)
        ((pid,),) = pipeline.shop.query(TAKES_THE_SLOT)
        pipeline.is_refused(75, rf"is read by another session \(process {pid} .* wait until it ends")
    wait_until(lambda: not pipeline.shop.query(TAKES_THE_SLOT), "the end of who reads")
    pipeline.goes_on()


@pytest.mark.fault("L5", exit=[78], main=True)
def test_l05_a_publication_that_is_gone_is_never_passed_by(pipeline: Pipeline) -> None:
    pipeline.goes_on()
    name = pipeline.shop.config["log"]["slot"]
    pipeline.shop.execute(
        f"DROP PUBLICATION {name}", "INSERT INTO t VALUES (6)", "DELETE FROM t WHERE id = 1"
    )
    sentence = pipeline.is_refused(78, f"the publication `{name}` was dropped.*what is loaded is safe")
    pipeline.is_refused(78, "was dropped")
    pipeline.start_over(sentence)
    pipeline.goes_on()


@pytest.mark.fault("L6", exit=[78])
def test_l06_a_table_that_is_gone_before_a_run(pipeline: Pipeline) -> None:
    pipeline.shop.execute("CREATE TABLE gone (id int PRIMARY KEY)")
    catalog = pipeline.shop.file("catalog.json", decode(pipeline.shop.run("--discover").stdout.decode()))
    pipeline.shop.execute("DROP TABLE gone")
    done = run([*pipeline.command(), "--catalog", catalog])
    said(done, 78, "`public-gone`, which does not exist.*nothing was read.*--discover")
    catalog = pipeline.shop.file("catalog.json", decode(pipeline.shop.run("--discover").stdout.decode()))
    done = run([*pipeline.command(), "--catalog", catalog])
    assert done.code == 0, done.stderr


@pytest.mark.fault("L6", exit=[65], main=True)
def test_l06_a_table_that_goes_while_it_is_waited_for(pipeline: Pipeline) -> None:
    shop = pipeline.shop
    whole = {"streams": []}
    with closing(psycopg2.connect(shop.dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with Running(pipeline.command(**whole)) as running:
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            cursor_waits = lambda: _asked(cursor, waits)  # noqa: E731  the name of a table that is locked is known to who has locked it
            wait_until(cursor_waits, "the tap to wait for the table")
            cursor.execute("DROP TABLE t")
            connection.commit()
            done = running.finish()
    said(done, 65, "not there any more.*what was confirmed by the target is safe.*--discover")
    shop.execute(TABLE)
    assert run(pipeline.command(**whole)).code == 0


def _asked(cursor: Any, statement: str) -> list[Any]:
    cursor.execute(statement)
    return list(cursor.fetchall())


@pytest.mark.fault("L7", exit=[78], main=True)
def test_l07_a_table_without_an_identity_is_never_published(pipeline: Pipeline) -> None:
    pipeline.shop.execute("ALTER TABLE t REPLICA IDENTITY NOTHING")
    sentence = pipeline.is_refused(78, "public.t.*othing was (read|done)")
    pipeline.shop.execute("UPDATE t SET v = 'still' WHERE id = 1")
    found = re.search(r"ALTER TABLE [^;]+", sentence)
    assert found, sentence
    pipeline.shop.execute(found[0])
    pipeline.goes_on()


@pytest.mark.fault("L9", exit=[69], main=True)
def test_l09_a_server_that_is_away(pipeline: Pipeline) -> None:
    there = pipeline.shop.dsn
    pipeline.shop.dsn = uri_of(there, host="127.0.0.1", port=1)
    pipeline.is_refused(
        69, "127.0.0.1:1.* cannot be reached .*nothing is lost: check that it runs, then run again"
    )
    pipeline.shop.dsn = there
    pipeline.goes_on()


@pytest.mark.fault("L9", exit=[69])
def test_l09_a_server_that_goes_away_in_mid_log(pipeline: Pipeline) -> None:
    pipeline.goes_on()
    follows = {**pipeline.shop.config["log"], "end": "follow"}
    with Running(pipeline.command(log=follows)) as running:
        ((pid,),) = wait_until(lambda: pipeline.shop.query(TAKES_THE_SLOT), "the tap to read the log")
        pipeline.shop.execute("INSERT INTO t VALUES (6)", f"SELECT pg_terminate_backend({pid})")
        done = running.finish()
    said(done, 69, "what was confirmed by the target is safe.*run again")
    pipeline.take(done)
    wait_until(lambda: not pipeline.shop.query(TAKES_THE_SLOT), "the end of who reads")
    pipeline.shop.execute("INSERT INTO t VALUES (7)")
    pipeline.goes_on()


LARGE = "INSERT INTO t SELECT n, repeat('x', 1000000) FROM generate_series(10, 50) AS n"
"""More than is kept in memory."""


@pytest.mark.fault("L10", exit=[74], main=True)
@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed")
def test_l10_a_disk_without_room_for_a_large_transaction(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.goes_on()
    pipeline.shop.execute(LARGE)
    there = {**pipeline.shop.config["log"], "spool_folder": str(tmp_path)}
    words = f"cannot be kept in the folder {tmp_path} .*make room there, or name another folder"
    pipeline.is_refused(74, words, "prlimit", "--fsize=1000000", log=there)
    pipeline.goes_on()


@pytest.mark.fault("L10", exit=[74])
def test_l10_more_than_may_be_kept_of_transactions(pipeline: Pipeline) -> None:
    pipeline.goes_on()
    pipeline.shop.execute(LARGE)
    small = {**pipeline.shop.config["log"], "spool_bytes": 1_000_000}
    pipeline.is_refused(74, r"more than the 1000000 bytes of `log.spool_bytes`.*raise it", log=small)
    pipeline.goes_on()


def test_what_cannot_be_read_back_is_told(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), 1, None)
    spool.keep(7, b"I" + (7).to_bytes(4) + b"x" * 100)
    file = spool._open[7].file
    assert file is not None
    folder = os.open(tmp_path, os.O_RDONLY)
    os.dup2(folder, file.fileno())  # reading fails from now on
    os.close(folder)
    with pytest.raises(CannotWriteError, match=f"cannot be kept in the folder {tmp_path}"):
        list(spool.take(7))
    spool.clear()
