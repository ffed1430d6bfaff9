"""`load_method: overwrite`: what hangs on a table, who reads it meanwhile, and what becomes of a run that is cut (docs/decisions/0053)."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest
from faults.loads import MARKED, RECORD, SCHEMA, connected, lines, load, query, running
from faults.test_process import in_transaction
from waiting import wait_until

INTEGER, NUMBER, TEXT = ({"type": [name, "null"]} for name in ("integer", "number", "string"))
T = SCHEMA("t", {"id": INTEGER, "v": INTEGER}, ["id"])
BEGIN, ON = MARKED({"bookmarks": {}}), MARKED({"bookmarks": {"t": {}}})
END = MARKED({"bookmarks": {"t": {}}}, complete=True)
ALL = "SELECT id, v FROM t ORDER BY id, v"


def rows(*pairs: tuple[int, Any], stream: str = "t") -> list[dict[str, Any]]:
    return [RECORD(stream, {"id": id_, "v": v}) for id_, v in pairs]


def overwrite(database: str, *messages: Any, code: int = 0, **config: Any) -> str:
    """Run with all streams overwritten; return what was said."""
    config = {"load_method": "overwrite", "commit_rows": 1} | config
    return load(database, BEGIN, *messages, **config).expect(code).stderr


def committed(database: str) -> Any:
    return query(database, "SELECT state -> 'bookmarks' FROM _singerkit_state")[0][0]


HANGING = """
CREATE TABLE parent (id bigint PRIMARY KEY); INSERT INTO parent SELECT generate_series(1, 9);
ALTER TABLE t ADD note text DEFAULT 'mine', ADD FOREIGN KEY (v) REFERENCES parent;
CREATE TABLE child (t bigint REFERENCES t); INSERT INTO child VALUES (2);
CREATE VIEW seen AS SELECT id, v FROM t WHERE v > 0;
CREATE INDEX by_v ON t (v); CREATE UNIQUE INDEX odd ON t (id) WHERE v % 2 = 1;
COMMENT ON TABLE t IS 'ours'; COMMENT ON COLUMN t.v IS 'value';
ALTER TABLE t ALTER v SET STATISTICS 500; CREATE STATISTICS both_of ON id, v FROM t;
CREATE PUBLICATION p FOR TABLE t; ALTER TABLE t SET (fillfactor = 70);
DO $$ BEGIN CREATE ROLE reader_of_t; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
GRANT SELECT ON t, seen TO reader_of_t; GRANT UPDATE (v) ON t TO reader_of_t; ALTER TABLE t OWNER TO reader_of_t;
"""
FACTS = """
SELECT c.oid, c.relowner, c.relacl::text, c.reloptions::text, obj_description(c.oid), col_description(c.oid, 2),
    (SELECT attacl::text FROM pg_attribute WHERE attrelid = c.oid AND attname = 'v'),
    (SELECT to_jsonb(a) ->> 'attstattarget' FROM pg_attribute a WHERE attrelid = c.oid AND attname = 'v'),
    ARRAY(SELECT indexrelid FROM pg_index WHERE indrelid = c.oid ORDER BY 1),
    ARRAY(SELECT oid FROM pg_constraint WHERE c.oid IN (conrelid, confrelid) AND convalidated ORDER BY 1),
    ARRAY(SELECT oid FROM pg_statistic_ext WHERE stxrelid = c.oid),
    ARRAY(SELECT prpubid FROM pg_publication_rel WHERE prrelid = c.oid)
FROM pg_class c WHERE c.oid = 't'::regclass
"""


def test_what_hangs_on_the_table_stays_and_a_row_that_is_the_same_is_not_written(database: str) -> None:
    overwrite(database, T, *rows((1, 1), (2, 2), (3, 3)), END)
    query(database, HANGING)
    before = query(database, FACTS)
    (written,) = query(database, "SELECT xmin::text FROM t WHERE id = 2")
    overwrite(database, T, *rows((2, 2), (3, 5), (4, 4)), END)
    assert query(database, FACTS) == before
    assert query(database, "SELECT id, v, note FROM t ORDER BY id") == [
        (2, 2, "mine"),
        (3, 5, "mine"),
        (4, 4, "mine"),
    ]
    assert query(database, "SELECT * FROM seen ORDER BY id") == [(2, 2), (3, 5), (4, 4)]
    assert query(database, "SELECT xmin::text FROM t WHERE id = 2") == [written]
    query(database, "SET ROLE reader_of_t; SELECT count(*) FROM t, seen")


def test_whoever_reads_meanwhile_sees_one_load_or_the_other_and_never_waits(database: str) -> None:
    """A SCHEMA that changes in mid-load alters the table beside it, and rows of the load follow."""
    most = 3000
    overwrite(database, T, *rows(*((n, 1) for n in range(most))), END)
    seen: set[tuple[Any, ...]] = set()
    ended = threading.Event()

    def read() -> None:
        with connected(database) as cursor:
            cursor.execute("SET lock_timeout = '2s'")
            while not ended.is_set():
                cursor.execute("SELECT count(*), min(v), max(v) FROM t")
                seen.update(cursor.fetchall())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        wider = SCHEMA("t", {"id": INTEGER, "v": NUMBER, "w": TEXT}, ["id"])
        first = rows(*((n, 2) for n in range(most // 2)))
        second = rows(*((n, 2) for n in range(most // 2, most + 1)))
        overwrite(database, T, *first, ON, wider, *second, END, replay_bytes=0)
    finally:
        ended.set()
        reader.join()
    overwrite(database, wider, *rows((1, 2.5)), END)
    assert seen == {(most, 1, 1), (most + 1, 2, 2)} or seen == {(most, 1, 1)}
    assert query(database, ALL) == [(1, 2.5)]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_cut_leaves_the_table_and_the_next_one_begins_the_load_anew(
    database: str, end: signal.Signals
) -> None:
    overwrite(database, T, *rows((1, 1)), END)
    before = committed(database)
    with running(database, load_method="overwrite", commit_rows=1) as process:
        process.send(lines(BEGIN, T, *rows((2, 2)), ON, *rows((3, 3)), ON))
        wait_until(lambda: in_transaction(database))
        assert query(database, ALL) == [(1, 1)]
        process.signal(end)
        assert process.finish().code != 0
    assert query(database, ALL) == [(1, 1)]
    assert committed(database) in (before, {})
    overwrite(database, T, *rows((3, 3)), END)
    assert query(database, ALL) == [(3, 3)]


def test_a_lost_connection_has_the_load_written_again(database: str) -> None:
    overwrite(database, T, *rows((1, 1)), END)
    with running(database, load_method="overwrite", commit_rows=1) as process:
        process.send(lines(BEGIN, T, *rows((2, 2)), ON))
        wait_until(lambda: in_transaction(database))
        query(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'target-postgres' AND datname = current_database()",
        )
        process.send(lines(*rows((3, 3)), END))
        process.finish().expect(0)
    assert query(database, ALL) == [(2, 2), (3, 3)]


PARENTS = SCHEMA("parents", {"id": INTEGER, "v": INTEGER}, ["id"])
TIED = "ALTER TABLE t ADD FOREIGN KEY (v) REFERENCES parents"


def parents(*ids: int) -> list[Any]:
    return rows(*((n, 0) for n in ids), stream="parents")


def test_tables_that_refer_to_each_other_change_together(database: str) -> None:
    """New parents before their children, and children that go before their parents, whatever the order of the rows."""
    overwrite(database, T, PARENTS, *rows((1, 1), (2, 2)), *parents(1, 2), END)
    query(database, TIED)
    overwrite(database, T, PARENTS, *rows((2, 3), (5, 2)), *parents(2, 3), END)
    assert query(database, ALL) == [(2, 3), (5, 2)]
    assert query(database, "SELECT id FROM parents ORDER BY id") == [(2,), (3,)]
    # A row of a table that is not in the run refers to one that would go.
    said = overwrite(database, PARENTS, *parents(2), MARKED({"bookmarks": {}}, complete=True), code=65)
    assert "rows that did not come in the load of stream `parents`" in said
    assert "rows of the table public.t refer to them" in said
    assert query(database, "SELECT id FROM parents ORDER BY id") == [(2,), (3,)]


def test_rows_that_the_table_refuses_are_set_aside_with_the_end_of_the_load(database: str) -> None:
    overwrite(database, T, *rows((1, 1)), END)
    query(database, "ALTER TABLE t ADD CHECK (v < 10)")
    load_of = [T, *rows((1, 1), (2, 20), (3, 3)), ON, *rows((4, 40), (5, 5)), END]
    assert "violates check constraint" in overwrite(database, *load_of, code=65)
    assert query(database, ALL) == [(1, 1)]
    overwrite(database, *load_of, on_invalid="quarantine")
    assert query(database, ALL) == [(1, 1), (3, 3), (5, 5)]
    letters = (
        "SELECT convert_from(record, 'utf8')::json -> 'record' ->> 'id' FROM _singerkit_rejects ORDER BY 1"
    )
    assert query(database, letters) == [("2",), ("4",)]


@pytest.mark.parametrize("keys", [["id"], []], ids=["key", "no key"])
def test_a_trigger_that_keeps_rows_ends_the_run(database: str, keys: list[str]) -> None:
    own = SCHEMA("t", {"id": INTEGER, "v": INTEGER}, keys)
    overwrite(database, own, *rows((1, 1)), END)
    query(
        database,
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER keep BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION keep()",
    )
    assert "keeps rows that are to be deleted" in overwrite(database, own, *rows((2, 2)), END, code=65)
    assert query(database, ALL) == [(1, 1)]


def test_a_key_that_comes_twice_a_field_that_is_left_out_and_a_row_that_says_that_it_is_gone(
    database: str,
) -> None:
    moment = {"type": ["string", "null"], "format": "date-time"}
    own = SCHEMA("t", {"id": INTEGER, "v": INTEGER, "_sdc_deleted_at": moment}, ["id"])
    overwrite(database, own, *rows((1, 1), (2, 2), (3, 3)), END, hard_delete=True)
    unknown = RECORD("t", {"id": 1})
    gone = RECORD("t", {"id": 3, "_sdc_deleted_at": "2024-01-01T00:00:00Z"})
    overwrite(database, own, *rows((2, 5), (2, 6)), unknown, *rows((3, 4)), gone, END, hard_delete=True)
    assert query(database, ALL) == [(1, 1), (2, 6)]


def test_what_is_not_of_the_type_and_a_table_without_a_key_are_as_in_any_load(database: str) -> None:
    own = SCHEMA("t", {"id": INTEGER, "v": INTEGER})
    overwrite(database, own, *rows((1, 1), (2, 2)), END)
    said = overwrite(database, own, *rows((1, 5), (2, "N/A")), ON, *rows((3, 7)), END)
    assert "TRUNCATE" not in said, "no row would be there twice"
    assert query(database, "SELECT id, v, v__text FROM t ORDER BY id") == [
        (1, 5, None),
        (2, None, "N/A"),
        (3, 7, None),
    ]
