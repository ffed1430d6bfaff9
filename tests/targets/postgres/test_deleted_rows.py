"""What a trigger may do to rows that a record says are gone; what else becomes of them is in `targets.shared.test_deleted_rows`."""

from __future__ import annotations

from faults.loads import MARKED, load, query
from targets.shared.test_deleted_rows import T, gone, put


def test_a_trigger_that_keeps_a_row_ends_the_run(database: str) -> None:
    first = [MARKED({}), T, put(1, "a"), MARKED({"n": 1}, complete=True)]
    load(database, *first, hard_delete=True).expect(0)
    query(
        database,
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER keep BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION keep()",
    )
    ended = load(database, MARKED({"n": 1}), T, gone(1), MARKED({"n": 2}, complete=True), hard_delete=True)
    assert ended.code != 0
    assert "keeps rows that are to be deleted" in ended.last_words
    assert query(database, "SELECT state ->> 'n' FROM _singerkit_state") == [("1",)]
