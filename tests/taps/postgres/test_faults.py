"""What an error of PostgreSQL ends a run with: errors that a server has really answered with, and all codes that there are."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest
from psycopg2 import errorcodes
from taps.postgres.conftest import Shop

from singerkit_postgres.errors import connection_error
from tap_postgres import faults

_ALREADY = """
CREATE TABLE t (id integer primary key, s text); INSERT INTO t VALUES (1, 'topsecret'); CREATE TABLE hidden (id integer);
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; ALTER TABLE hidden FORCE ROW LEVEL SECURITY;
CREATE VIEW cast_fails AS SELECT s::integer FROM t; CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS x WITH NO DATA;
CREATE FUNCTION raises() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'row topsecret is bad' USING ERRCODE = '42501'; END $$;
CREATE VIEW raising AS SELECT raises();
CREATE SEQUENCE n; CREATE VIEW writing AS SELECT nextval('n');
DO $$ BEGIN CREATE ROLE singerkit_nobody; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
GRANT USAGE ON SCHEMA public TO singerkit_nobody; GRANT SELECT ON hidden TO singerkit_nobody;
SET default_transaction_read_only = on;
"""


@pytest.mark.parametrize(
    ("statements", "code", "words"),
    [
        ("SET ROLE singerkit_nobody; SELECT * FROM t", 77, "grant what is missing"),
        ("SET ROLE singerkit_nobody; SET row_security = off; SELECT * FROM hidden", 77, "Row security would keep rows out of sight"),
        ("SET ROLE singerkit_nobody; SELECT pg_create_logical_replication_slot('x', 'pgoutput')", 77, "`ALTER ROLE ... REPLICATION`"),
        ("SELECT * FROM gone", 65, "make the catalog again with --discover"),
        ("SELECT gone FROM t", 65, "make the catalog again with --discover"),
        ("SELECT * FROM cast_fails", 65, "(22P02: invalid input syntax for type integer: `...`)"),
        ("SELECT * FROM raising", 65, "A function of a view failed while reading table `t` at h:1/d (42501 of `raises`)"),
        ("SELECT * FROM unfilled", 78, "has not been populated"),
        ("SELECT * FROM writing", 78, "a replica and this session do not do"),
        ("SET statement_timeout = 1; SELECT pg_sleep(9)", 69, "a longer `query_timeout`"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", 69, "the connection was lost while reading table `t`"),
        ("SELECT pg_replication_slot_advance('none', '0/1')", 78, "correct the config, or make it at the source"),
    ],
)  # fmt: skip
def test_an_error_is_one_sentence_with_a_way_out(shop: Shop, statements: str, code: int, words: str) -> None:
    with closing(psycopg2.connect(shop.dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(_ALREADY)
        with pytest.raises(psycopg2.Error) as found:
            cursor.execute(statements)
    fault = faults.fault(found.value, "h:1/d", "reading table `t`")
    assert fault.exit_code == code
    assert words in str(fault)
    assert "what was confirmed by the target is safe" in str(fault)
    assert "topsecret" not in str(fault)


@pytest.mark.parametrize(
    ("setting", "code"),
    [("port=x", 78), ("sslmode=x", 78), ("channel_binding=x", 78), ("port=1,2,3", 78), ("port=1", 69)],
)
def test_a_setting_that_libpq_does_not_take_is_one_of_the_config(setting: str, code: int) -> None:
    with pytest.raises(psycopg2.Error) as found:
        psycopg2.connect(f"host=127.0.0.1 dbname=d {setting}")
    assert connection_error(found.value, "PostgreSQL").exit_code == code


def test_a_connection_that_is_gone_has_no_code() -> None:
    fault = faults.fault(
        psycopg2.OperationalError("server closed the connection unexpectedly\n\tmore"), "h:1/d", "x"
    )
    assert fault.exit_code == 69
    assert "(server closed the connection unexpectedly); " in str(fault)


def test_each_class_of_errors_is_decided() -> None:
    """Only what is wrong with a statement of ours whatever the tables are is a fault of ours (70)."""
    named = [
        getattr(errorcodes, name)
        for name in dir(errorcodes)
        if name.isupper() and not name.startswith("CLASS_")
    ]
    codes = [code for code in named if isinstance(code, str) and len(code) == 5]
    ends = {code: faults.fault_of(code, "", "text", "p", "d").exit_code for code in codes}
    assert len(codes) > 200
    assert {code[:2] for code, end in ends.items() if end == 70} == {
        *("00", "01", "02", "03", "0B", "0F", "0Z", "24", "25", "26", "2B", "2D", "34", "3B")
    }
    assert (
        faults.fault_of("54000", "enlargeStringInfo", "text", "p", "d").exit_code == 65
    )  # a row of more than 1 GB
    for code in ("42501", "53100", "53200"):  # by what the system has answered
        shared_memory = faults.fault_of(code, "dsm_impl_posix", "could not open", "p", "d")
        assert shared_memory.exit_code == 69
        assert "`/dev/shm`" in str(shared_memory)
    assert (ends[errorcodes.OBJECT_IN_USE], ends[errorcodes.LOCK_NOT_AVAILABLE]) == (75, 69)
    assert faults.fault_of("ZZ999", "", 'quotes "topsecret"', "p", "d").exit_code == 78
    assert "topsecret" not in str(faults.fault_of("ZZ999", "", 'quotes "topsecret"', "p", "d"))


@pytest.mark.parametrize(
    ("code", "function", "is_gone"),
    [
        (errorcodes.UNDEFINED_OBJECT, "ReplicationSlotAcquire", True),
        (errorcodes.OBJECT_NOT_IN_PREREQUISITE_STATE, "StartLogicalReplication", True),  # PostgreSQL 15
        (errorcodes.OBJECT_NOT_IN_PREREQUISITE_STATE, "ReplicationSlotAcquire", True),  # PostgreSQL 18
        (errorcodes.UNDEFINED_OBJECT, "get_publication_oid", True),
        (errorcodes.OBJECT_IN_USE, "ReplicationSlotAcquire", False),
        (errorcodes.OBJECT_NOT_IN_PREREQUISITE_STATE, "CreateDecodingContext", False),
    ],
)
def test_a_log_that_is_gone_is_told_from_what_passes(code: str, function: str, is_gone: bool) -> None:
    assert (faults.log_gone(code, function) is not None) == is_gone
