"""`newest_by` where rows wait for others, and where triggers stand (docs/target-postgres/newest-by.md)."""

from __future__ import annotations

import pytest
from conftest import run_sql
from faults.loads import STATE, load, query
from targets.shared.test_databases import Database
from targets.shared.test_newest import BY, OWN, load_at_random, row

TIED = "CREATE TABLE s (id bigint PRIMARY KEY, up bigint REFERENCES s (id))"


@pytest.mark.parametrize("seed", range(2))
def test_rows_that_wait_for_others_do_as_those_that_do_not(database: str, seed: int) -> None:
    run_sql(database, TIED)
    target = Database(lambda *m, **c: load(database, *m, **c), lambda q: query(database, q), "public")
    load_at_random(target, seed)


def test_a_row_that_stays_out_is_none_that_a_trigger_keeps_out(database: str) -> None:
    load(database, OWN, row(1, 5, "a"), row(2, 5, "a"), STATE({"n": 1}), **BY).expect(0)
    run_sql(
        database,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN IF NEW.v = ''never'' THEN RETURN NULL; END IF; RETURN NEW; END';"
        "CREATE TRIGGER t BEFORE INSERT OR UPDATE ON s FOR EACH ROW EXECUTE FUNCTION f()",
    )
    load(database, OWN, row(1, 4, "old"), row(2, 6, "new"), STATE({"n": 2}), **BY).expect(0)
    assert query(database, "SELECT ver, v FROM s ORDER BY id") == [(5, "a"), (6, "new")]
    load(database, OWN, row(1, 4, "never"), STATE({"n": 3}), **BY)
    load(database, OWN, row(1, 6, "never"), STATE({"n": 4}), **BY).expect(65)


def test_types_of_which_the_order_is_known(database: str) -> None:
    config = {"newest_by": {"*": "v"}, "column_types": {"s.v": "pg_lsn"}}
    for lsn in ("0/A000000", "0/9FFFFFF", "1/0"):
        load(database, OWN, row(1, 1, lsn), STATE({"n": lsn}), **config).expect(0)
        assert query(database, "SELECT v::text FROM s") == [("1/0" if lsn == "1/0" else "0/A000000",)]
    run_sql(database, "DROP TABLE s")
    load(database, OWN, row(1, 1, "a"), STATE({"n": 9}), rows_gone="accept", column_types={"s.ver": "text"})
    refused = load(database, OWN, row(1, 1, "a"), STATE({"n": 8}), rows_gone="accept", **BY)
    assert "column of type `text`" in refused.expect(78).last_words
