"""The traps of a log that is read: what PostgreSQL does not say, says otherwise, or forgets (P1 to P14, P17)."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from conformance.processes import Running
from faults.table import records_fault
from taps.postgres.conftest import Shop
from taps.written import Result
from waiting import wait_until

from singerkit_shell.errors import ConfigurationError, SingerkitError
from tap_postgres.log import reader
from tap_postgres.log.spool import Spool
from tap_postgres.log.wal import Place
from tap_postgres.slot.looking import Site
from tap_postgres.slot.making import made

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, 'v' || n FROM generate_series(1, 5) n"
BIG = "string_agg(md5(n::text), '') FROM generate_series(1, 300) n"
"""About 10,000 characters that cannot be pressed into a row."""


def refused(shop: Shop, state: Any, code: int, *words: str, **changes: Any) -> None:
    with pytest.raises(SingerkitError) as caught:
        shop.sync(state, **changes)
    assert caught.value.exit_code == code, caught.value
    for word in words:
        assert word in str(caught.value)
    assert not shop.result().of_type("RECORD")


def told(result: Result, stream: str = "public-t", *names: str) -> list[Any]:
    """Return what came: the values of columns, `absent` where one was left out, and whether it is a deleted row."""
    return [
        (*(row.get(name, "absent") for name in names or ("id", "v")), row["_sdc_deleted_at"] is not None)
        for row in result.rows(stream)
    ]


def wait_for_the_end_of_reading(shop: Shop) -> None:
    """The server takes a moment to see that a run has ended."""
    active = "SELECT 1 FROM pg_replication_slots WHERE active AND database = current_database()"
    wait_until(lambda: not shop.query(active), "the end of whoever reads the log")


# --- before anything is read ------------------------------------------------------------------------------------


def test_p01_a_table_whose_rows_have_no_name_in_the_log_is_never_published(logged: Shop) -> None:
    """PostgreSQL would refuse the application's own UPDATE then."""
    logged.execute(TABLE, "CREATE TABLE k (v text); INSERT INTO k VALUES ('x')")
    refused(logged, None, 78, "public.k", "REPLICA IDENTITY FULL")
    logged.execute("UPDATE k SET v = 'y'", "DELETE FROM k", "UPDATE t SET v = 'y'")
    logged.execute("ALTER TABLE k REPLICA IDENTITY FULL")
    assert logged.sync().rows("public-k") == []


@pytest.mark.parametrize(
    "table",
    [
        "CREATE TABLE k (id int PRIMARY KEY DEFERRABLE)",
        "CREATE TABLE k (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE k1 PARTITION OF k DEFAULT; ALTER TABLE k1 REPLICA IDENTITY NOTHING",
        "CREATE TABLE k (id int) PARTITION BY RANGE (id); CREATE TABLE k1 PARTITION OF k DEFAULT; ALTER TABLE k REPLICA IDENTITY FULL",
    ],
    ids=["deferrable", "partition with nothing", "identity of the root alone"],
)
def test_p01_keys_and_partitions_by_which_the_log_names_no_rows(logged: Shop, table: str) -> None:
    """Each of them is asked of its own: by `--test` and runs, and by what makes publications."""
    logged.execute(table, "INSERT INTO k VALUES (1)")
    refused(logged, None, 78, "public.k", "REPLICA IDENTITY")
    with Site(logged.tap()) as site, pytest.raises(ConfigurationError, match="REPLICA IDENTITY"):
        [*made(site, knows_state=False)]
    logged.execute("UPDATE k SET id = 2", "DELETE FROM k")


LOST: Sequence[tuple[str, str]] = (
    ("DROP PUBLICATION {name}", "was dropped"),
    ("ALTER PUBLICATION {name} DROP TABLE t", "was taken out of the publication"),
    ("SELECT pg_drop_replication_slot('{name}')", "was dropped"),
    ("SELECT pg_replication_slot_advance('{name}', pg_current_wal_lsn())", "is not needed"),
)


@pytest.mark.parametrize(("statement", "words"), LOST, ids=["publication", "table", "slot", "confirmed"])
def test_p02_p03_p10_changes_that_are_missing_are_never_passed_over(
    logged: Shop, statement: str, words: str
) -> None:
    logged.execute(TABLE, "CREATE TABLE u (id int PRIMARY KEY)")
    state = logged.sync().state
    logged.execute("INSERT INTO t VALUES (6)")
    wait_for_the_end_of_reading(logged)
    logged.execute(statement.format(name=logged.config["log"]["slot"]))
    logged.execute("INSERT INTO t VALUES (7)")
    refused(logged, state, 78, words, "start over")


def test_a_first_run_of_which_nothing_was_committed_is_not_gone_back_before(logged: Shop) -> None:
    """What was written before the publication was made anew cannot be read by it: PostgreSQL 15 to 17 end each run there, 18 is silent."""
    logged.execute(*TABLE.split("; "))
    logged.sync()
    logged.execute(f"DROP PUBLICATION {logged.config['log']['slot']}", "UPDATE t SET v = 'nowhere'")
    lost = logged.sync({}).state["_singerkit_log"]["position"]
    logged.execute("UPDATE t SET v = 'there' WHERE id = 1")
    again = logged.sync({})
    said = [message["value"].get("_singerkit_log") for message in again.of_type("STATE")]
    first = next(filter(None, said))["position"]
    assert Place.of(first).lsn >= Place.of(lost).lsn
    assert sorted(again.column("v")) == ["nowhere"] * (len(again.column("v")) - 1) + ["there"]


def test_a_state_that_is_older_than_what_the_slot_was_told_may_be_brought_up_to_date(logged: Shop) -> None:
    logged.execute(TABLE)
    state = logged.sync().state
    logged.execute("INSERT INTO t VALUES (6)")
    wait_for_the_end_of_reading(logged)
    logged.execute(
        f"SELECT pg_replication_slot_advance('{logged.config['log']['slot']}', pg_current_wal_lsn())"
    )
    done = logged.run("--state", logged.file("state.json", state))
    assert done.code == 78
    assert (
        "if the target has committed a later state, and has not brought the file up to it now, bring the file to what is committed with"
        in done.stderr
    )
    assert "--last-state" in done.stderr


def test_a_state_of_a_place_that_the_server_has_not_come_to_is_refused(logged: Shop) -> None:
    """It was brought back from a copy of its files, say, on the same timeline."""
    logged.execute(TABLE)
    state = logged.sync().state
    assert logged.sync(state).state, "at the end of the log itself"
    place, _, timeline = state["_singerkit_log"]["position"].partition("@")
    high, low = place.split("/")
    ahead = f"{high}/{int(low, 16) + 0x1000000:X}@{timeline}"
    state["_singerkit_log"]["position"] = state["bookmarks"]["public-t"]["replication_key_value"] = ahead
    refused(logged, state, 78, "it was brought back from a copy", "start over")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("SET (publish = 'insert')", "does not tell of all changes"),
        ("SET TABLE t WHERE (id > 3)", "tells of some rows"),
        ("SET TABLE t (id)", "does not tell of column `v`"),
    ],
)
def test_p02_a_publication_that_tells_of_less_is_refused(logged: Shop, statement: str, words: str) -> None:
    logged.execute(TABLE)
    state = logged.sync().state
    logged.execute(f"ALTER PUBLICATION {logged.config['log']['slot']} {statement}")
    refused(logged, state, 78, words)


def test_p17_a_standby_keeps_the_slot_where_the_server_can_see_to_that(logged: Shop) -> None:
    logged.execute(TABLE)
    logged.sync()
    kept = logged.query(
        "SELECT to_jsonb(s) ->> 'failover' FROM pg_replication_slots AS s WHERE database = current_database()"
    )
    is_17 = logged.query("SELECT current_setting('server_version_num')::int >= 170000") == [(True,)]
    assert kept == [("true" if is_17 else None,)]


def test_p17_the_log_of_another_server_is_not_gone_on_with(logged: Shop) -> None:
    logged.execute(TABLE)
    state = logged.sync().state
    state["_singerkit_log"]["source"] = "7000000000000000000/5"
    refused(logged, state, 78, "7000000000000000000/5", "start over")


@pytest.mark.fault("L8", exit=[75], main=True)
def test_two_taps_on_one_slot(logged: Shop) -> None:
    logged.execute(TABLE)
    state = logged.file("state.json", logged.sync().state)
    follows = {**logged.config["log"], "end": "follow"}
    with Running(logged.command("--state", state, log=follows)):
        active = "SELECT 1 FROM pg_replication_slots WHERE active AND database = current_database()"
        wait_until(lambda: logged.query(active), "the first run to read the log")
        second = records_fault(logged.run("--state", state))
        assert second.code == 75
        assert "is read by another session" in second.stderr


# --- changes ----------------------------------------------------------------------------------------------------


def test_p04_a_key_that_changes_keeps_a_value_that_the_log_does_not_have(logged: Shop) -> None:
    logged.execute("CREATE TABLE t (id int PRIMARY KEY, v text, n int)", f"INSERT INTO t SELECT 1, {BIG}")
    first = logged.sync()
    logged.execute("UPDATE t SET n = 1", "UPDATE t SET id = 2")
    changed, deleted, new = told(logged.sync(first.state), "public-t", "id", "v", "n")
    assert changed == (1, "absent", 1, False)
    assert deleted[0] == 1
    assert deleted[-1] is True
    assert new == (2, first.rows()[0]["v"], 1, False)


def test_p05_generated_columns_are_in_the_log_as_in_the_snapshot(logged: Shop) -> None:
    logged.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int GENERATED ALWAYS AS (id * 2) STORED)",
        "INSERT INTO t VALUES (1)",
    )
    if logged.query("SELECT current_setting('server_version_num')::int < 180000") == [(True,)]:
        refused(logged, None, 78, "public.t: column `v` is generated", "PostgreSQL 18 has")
        return
    first = logged.sync()
    assert told(first) == [(1, 2, False)]
    logged.execute("INSERT INTO t VALUES (2)")
    assert told(logged.sync(first.state)) == [(2, 4, False)]


def test_p06_settings_of_a_database_change_no_value_of_the_log(logged: Shop) -> None:
    logged.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a timestamptz, b bytea, c interval, d float8, e date)"
    )
    database = "ALTER DATABASE {} SET".format(logged.query("SELECT current_database()")[0][0])
    for setting in (
        "datestyle = 'German'",
        "timezone = 'Asia/Kolkata'",
        "bytea_output = 'escape'",
        "intervalstyle = 'postgres_verbose'",
        "extra_float_digits = -15",
        "standard_conforming_strings = off",
        "backslash_quote = on",
        "escape_string_warning = on",
    ):
        logged.execute(f"{database} {setting}")
    try:
        values = "'2026-03-04 05:06:07.5+02', decode('00ff', 'hex'), '1 year -2 days', 0.1::float8 + 0.2, '2026-03-04'"
        logged.execute(f"INSERT INTO t VALUES (1, {values})")
        first = logged.sync()
        logged.execute("INSERT INTO t SELECT 2, a, b, c, d, e FROM t")
        second = logged.sync(first.state)
    finally:
        logged.execute(database.removesuffix("SET") + "RESET ALL")
    (snapshot,), (log,) = first.rows(), second.rows()
    assert {**log, "id": 1} == snapshot
    assert [snapshot[name] for name in "abce"] == [
        "2026-03-04T03:06:07.5+00:00",
        "AP8=",
        "P1Y-2D",
        "2026-03-04",
    ]
    assert str(snapshot["d"]) == "0.30000000000000004"


def test_p07_a_pipe_that_takes_nothing_for_long_costs_no_connection(logged: Shop) -> None:
    logged.execute(TABLE)
    state = logged.file("state.json", logged.sync().state)
    database = "ALTER DATABASE {}".format(logged.query("SELECT current_database()")[0][0])
    logged.execute("INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(10, 2000) n")
    logged.execute(f"{database} SET wal_sender_timeout = '400ms'")
    try:
        log = {**logged.config["log"], "keep_alive_seconds": 0.1}
        command = logged.command("--state", state, log=log)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tap:
            # Three times as long as the server waits for an answer; what the tap writes fills the pipe at once.
            threading.Event().wait(1.2)
            output, errors = tap.communicate()
        assert tap.returncode == 0, errors
        assert output.count(b'"RECORD"') == 1991
    finally:
        logged.execute(f"{database} RESET wal_sender_timeout")


def test_p09_a_large_transaction_comes_whole_without_what_was_undone(logged: Shop) -> None:
    """The server sends it before it is committed, parts of it that are rolled back among them."""
    logged.execute(TABLE)
    state = logged.sync().state
    rows = "SELECT n, repeat('x', 100) FROM generate_series({}, {}) n"
    with closing(psycopg2.connect(logged.dsn)) as connection, connection.cursor() as cursor:
        for statement in (
            f"INSERT INTO t {rows.format(1001, 3000)}",
            "SAVEPOINT a",
            f"INSERT INTO t {rows.format(3001, 4000)}",
            "ROLLBACK TO a",
            f"INSERT INTO t {rows.format(4001, 5000)}",
        ):
            cursor.execute(statement)
        logged.execute("INSERT INTO t VALUES (6, 'between')")
        connection.commit()
        cursor.execute(f"INSERT INTO t {rows.format(6001, 8000)}")
        connection.rollback()
    read = logged.sync(state)
    assert read.column("id") == [6, *range(1001, 3001), *range(4001, 5001)]
    assert read.state["_singerkit"]["complete"] is True


SMALL = 20_000
"""Bytes of open transactions that are kept in memory here."""


@pytest.fixture
def spooling(logged: Shop, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A state, behind which two transactions write at once more than fits into memory, and roll parts of it back."""
    monkeypatch.setattr(reader, "Spool", lambda folder, _memory, disk: Spool(folder, SMALL, disk))
    logged.execute(TABLE)
    state = logged.sync().state
    rows = "INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series({}, {}) n"
    with closing(psycopg2.connect(logged.dsn)) as one, closing(psycopg2.connect(logged.dsn)) as other:
        for connection, begin in ((one, 1000), (other, 2000), (one, 3000), (other, 4000)):
            with connection.cursor() as cursor:
                cursor.execute(rows.format(begin, begin + 499))
                cursor.execute("SAVEPOINT a")
                cursor.execute(rows.format(begin + 500, begin + 999))
                cursor.execute("ROLLBACK TO a")
        other.commit()
        one.commit()
    return state


def test_p09_what_does_not_fit_into_memory_is_kept_in_files(
    logged: Shop, spooling: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = logged.folder / "spool"
    folder.mkdir()
    files, in_memory = [], []
    make, keep = tempfile.TemporaryFile, Spool.keep

    def makes(*arguments: Any, **named: Any) -> Any:
        files.append(make(*arguments, **named))
        return files[-1]

    def keeps(self: Spool, *arguments: Any) -> None:
        keep(self, *arguments)
        in_memory.append(self._in_memory)

    monkeypatch.setattr(tempfile, "TemporaryFile", makes)
    monkeypatch.setattr(Spool, "keep", keeps)
    read = logged.sync(spooling, log={**logged.config["log"], "spool_folder": str(folder)})
    first, second = [*range(2000, 2500), *range(4000, 4500)], [*range(1000, 1500), *range(3000, 3500)]
    assert read.column("id") == first + second
    assert len(files) == 2
    assert all(file.closed for file in files)
    assert list(folder.iterdir()) == []
    assert max(in_memory) <= SMALL


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"spool_bytes": 30_000}, "fill more than the 30000 bytes of `log.spool_bytes`"),
        (
            {"spool_folder": "/none/such"},
            "cannot be kept in the folder /none/such (No such file or directory)",
        ),
    ],
)
def test_p09_a_transaction_for_which_there_is_no_room_is_not_sent(
    logged: Shop, spooling: Any, setting: dict[str, Any], words: str
) -> None:
    refused(logged, spooling, 74, words, "is safe", log={**logged.config["log"], **setting})
    assert len(logged.sync(spooling).rows()) == 2000


def test_p12_columns_come_go_and_change_in_mid_log(logged: Shop) -> None:
    logged.execute(TABLE)
    state = logged.sync().state
    logged.execute(
        "INSERT INTO t VALUES (6, 'six')",
        "ALTER TABLE t ADD n int",
        "INSERT INTO t VALUES (7, 'seven', 7)",
        "ALTER TABLE t ALTER n TYPE text",
        "INSERT INTO t VALUES (8, 'eight', 'of another type')",
        "ALTER TABLE t DROP v",
        "INSERT INTO t VALUES (9, 'nine')",
    )
    read = logged.sync(state)
    # What a column held that is not there any more is not sent.
    assert told(read, "public-t", "id", "v", "n") == [
        (6, "absent", "absent", False),
        (7, "absent", 7, False),
        (8, "absent", "of another type", False),
        (9, "absent", "nine", False),
    ]
    logged.execute("ALTER TABLE t RENAME n TO m", "INSERT INTO t VALUES (10, 'ten')")
    assert told(logged.sync(read.state), "public-t", "id", "n", "m") == [(10, "absent", "ten", False)]


def test_p13_a_row_that_moves_to_another_part_stays_in_its_stream(logged: Shop) -> None:
    logged.execute(
        "CREATE TABLE t (id int, v text, PRIMARY KEY (id, v)) PARTITION BY LIST (v)",
        "CREATE TABLE t_a PARTITION OF t FOR VALUES IN ('a')",
        "CREATE TABLE t_b PARTITION OF t DEFAULT",
        "INSERT INTO t VALUES (1, 'a')",
    )
    first = logged.sync()
    logged.execute("UPDATE t SET v = 'b'")
    second = logged.sync(first.state)
    assert told(first) == [(1, "a", False)]
    assert told(second) == [(1, "a", True), (1, "b", False)]
    logged.execute(
        f"ALTER PUBLICATION {logged.config['log']['slot']} SET (publish_via_partition_root = false)"
    )
    refused(logged, second.state, 78, "parts of partitioned tables")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("UNLOGGED TABLE part PARTITION OF t DEFAULT", r"it is unlogged.* SET LOGGED;"),
        ("FOREIGN TABLE part PARTITION OF t DEFAULT SERVER far", "it is a foreign table, of which the log says nothing"),
    ],
)  # fmt: skip
def test_p13_a_partition_of_which_the_log_says_nothing_is_told(logged: Shop, part: str, words: str) -> None:
    logged.execute("CREATE FOREIGN DATA WRAPPER far", "CREATE SERVER far FOREIGN DATA WRAPPER far")
    try:
        logged.execute(
            "CREATE TABLE t (id int, v text) PARTITION BY RANGE (id)",
            "ALTER TABLE t REPLICA IDENTITY FULL",
            f"CREATE {part}",
        )
        with pytest.raises(SingerkitError, match=f"public.part: {words}") as caught:
            logged.sync()
        assert caught.value.exit_code == 78
    finally:
        logged.execute("DROP FOREIGN DATA WRAPPER far CASCADE")


def test_p14_a_table_that_is_added_later_starts_while_others_go_on(logged: Shop) -> None:
    logged.execute(TABLE)
    state = logged.sync().state
    logged.execute(
        "CREATE TABLE u (id int PRIMARY KEY, v text)",
        "INSERT INTO u VALUES (1, 'old')",
        "INSERT INTO t VALUES (6, 'six')",
    )
    second = logged.sync(state)
    assert (told(second), told(second, "public-u")) == ([(6, "six", False)], [(1, "old", False)])
    logged.execute("UPDATE u SET v = 'new'", "DELETE FROM t WHERE id = 6")
    third = logged.sync(second.state)
    assert [row[0] for row in told(third)] == [6]
    assert told(third, "public-u") == [(1, "new", False)]


@pytest.mark.parametrize(
    ("said", "words"),
    [({"replication_key": "xmin"}, "`xmin`"), ({"replication_method": "XMIN"}, "XMIN")],
)
def test_p15_the_numbers_of_transactions_are_no_bookmark(
    logged: Shop, said: dict[str, Any], words: str
) -> None:
    """They begin anew after four thousand million."""
    logged.execute(TABLE)
    with pytest.raises(SingerkitError, match=words) as caught:
        logged.sync(streams=[{"name": "*", **said}])
    assert caught.value.exit_code == 78


ODD = [
    'say "hi"; --',
    "select",
    "Select",
    "%s {} $1",
    "ü" * 31 + "a",
    "ü" * 31 + "b",
]
"""Names of which each is one of its own: the last two are as long as names can be, 63 bytes, and differ in the last."""


def test_p18_names_of_any_kind_are_those_of_tables_and_columns_in_the_log(logged: Shop) -> None:
    quoted = ['"' + name.replace('"', '""') + '"' for name in ODD]
    columns = ", ".join(f"{name} text" for name in quoted[1:])
    for name in quoted:
        logged.execute(f"CREATE TABLE {name} ({quoted[0]} int PRIMARY KEY, {columns})")
        logged.execute(f"INSERT INTO {name} ({quoted[0]}, {quoted[2]}) VALUES (1, 'here')")
    first = logged.sync()
    for name in quoted:
        logged.execute(f"UPDATE {name} SET {quoted[1]} = {quoted[2]}, {quoted[2]} = 'there'")
    second = logged.sync(first.state)
    for name in ODD:
        row = dict.fromkeys(ODD) | {ODD[0]: 1, "_sdc_deleted_at": None}
        assert first.rows(f"public-{name}") == [row | {"Select": "here"}]
        assert second.rows(f"public-{name}") == [row | {"select": "here", "Select": "there"}]


@pytest.mark.parametrize("policy", ["new_version", "fail"])
def test_a_table_that_is_emptied(logged: Shop, policy: str) -> None:
    logged.execute(TABLE)
    logged.config["log"]["truncate"] = policy
    first = logged.sync()
    logged.execute("TRUNCATE t; INSERT INTO t VALUES (9, 'nine')")
    if policy == "fail":
        with pytest.raises(SingerkitError, match="emptied") as caught:
            logged.sync(first.state)
        assert caught.value.exit_code == 65
        return
    second = logged.sync(first.state)
    (record,) = second.of_type("RECORD")
    assert record["version"] > first.of_type("RECORD")[0]["version"]
    assert second.of_type("ACTIVATE_VERSION")[-1]["version"] == record["version"]


def test_the_server_forgets_only_what_the_state_of_the_next_run_has(logged: Shop) -> None:
    logged.execute(TABLE)
    confirmed = f"SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{logged.config['log']['slot']}'"
    first = logged.sync()
    begun = logged.query(confirmed)
    logged.execute("INSERT INTO t VALUES (6, 'six')")
    second = logged.sync(first.state)
    told_of = logged.query(confirmed)
    assert told_of <= [(first.state["_singerkit_log"]["position"].partition("@")[0],)]
    again = logged.sync(first.state)  # the target was killed: its state is the one before
    assert told(again) == told(second) == [(6, "six", False)]
    assert begun <= told_of
