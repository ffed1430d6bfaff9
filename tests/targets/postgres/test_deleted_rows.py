"""Records that say that their row is gone (`_sdc_deleted_at`), as log-based streams do: deleted, or marked."""

from __future__ import annotations

from typing import Any

import pytest
from faults.loads import MARKED, RECORD, SCHEMA, load, query

STAMP = {"type": ["string", "null"], "format": "date-time"}
T = SCHEMA(
    "t", {"id": {"type": "integer"}, "v": {"type": ["string", "null"]}, "_sdc_deleted_at": STAMP}, ["id"]
)
AT = "2024-01-01T00:00:00Z"


def put(id_: int, v: str) -> Any:
    return RECORD("t", {"id": id_, "v": v, "_sdc_deleted_at": None})


def gone(id_: int) -> Any:
    return RECORD("t", {"id": id_, "_sdc_deleted_at": AT})


def loaded(database: str, number: int, *messages: Any, **config: Any) -> None:
    start = MARKED({"n": number - 1} if number > 1 else {})
    load(database, start, T, *messages, MARKED({"n": number}, complete=True), **config).expect(0)


def rows(database: str) -> list[tuple[Any, ...]]:
    return query(database, "SELECT id, v, _sdc_deleted_at IS NOT NULL FROM t ORDER BY id")


@pytest.mark.parametrize("metadata", [False, True], ids=["plain", "metadata"])
def test_a_row_that_is_gone_is_deleted_whatever_came_before_it_in_the_same_run(
    database: str, metadata: bool
) -> None:
    how: dict[str, Any] = {"hard_delete": True, "add_record_metadata": metadata}
    loaded(database, 1, put(1, "a"), put(2, "b"), gone(2), put(3, "c"), gone(3), put(3, "d"), gone(9), **how)
    assert rows(database) == [(1, "a", False), (3, "d", False)]
    loaded(database, 2, gone(1), put(2, "e"), gone(3), put(4, "f"), **how)
    assert rows(database) == [(2, "e", False), (4, "f", False)]


@pytest.mark.parametrize("how", [{}, {"hard_delete": False}], ids=["default", "soft"])
def test_a_row_that_is_gone_is_marked_and_keeps_what_is_known_and_one_that_comes_back_is_not(
    database: str, how: dict[str, Any]
) -> None:
    loaded(database, 1, put(1, "a"), put(2, "b"), gone(2), **how)
    loaded(database, 2, gone(1), put(2, "c"), **how)
    assert rows(database) == [(1, "a", True), (2, "c", False)]


def test_a_table_that_was_emptied_so_holds_no_rows_in_the_next_run_and_nobody_asks_for_them(
    database: str,
) -> None:
    start: dict[str, Any] = {"bookmarks": {"t": {"replication_key_value": "1"}}}
    later: dict[str, Any] = {"bookmarks": {"t": {"replication_key_value": "2"}}}
    first = [MARKED({}), T, put(1, "a"), put(2, "b"), MARKED(start, complete=True)]
    load(database, *first, hard_delete=True).expect(0)
    load(database, MARKED(start), T, gone(1), gone(2), MARKED(later, complete=True), hard_delete=True).expect(
        0
    )
    assert rows(database) == []
    load(database, MARKED(later), T, put(3, "c"), MARKED(start, complete=True), hard_delete=True).expect(0)
    assert rows(database) == [(3, "c", False)]


def test_columns_that_must_not_be_null_refuse_no_row_that_is_gone(database: str) -> None:
    loaded(database, 1, put(1, "a"), put(2, "b"), hard_delete=True)
    query(database, "ALTER TABLE t ALTER COLUMN v SET NOT NULL")
    loaded(database, 2, gone(1), gone(7), put(2, "c"), hard_delete=True)
    assert rows(database) == [(2, "c", False)]


def test_a_trigger_that_keeps_a_row_ends_the_run(database: str) -> None:
    loaded(database, 1, put(1, "a"), hard_delete=True)
    query(
        database,
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER keep BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION keep()",
    )
    ended = load(database, MARKED({"n": 1}), T, gone(1), MARKED({"n": 2}, complete=True), hard_delete=True)
    assert ended.code != 0
    assert "keeps rows that are to be deleted" in ended.last_words
    assert query(database, "SELECT state ->> 'n' FROM _singerkit_state") == [("1",)]


def test_a_row_that_was_to_be_deleted_after_the_last_safe_point_stays(database: str) -> None:
    bad = RECORD("t", {"id": "x", "v": "x"})
    messages = [MARKED({}), T, put(1, "a"), put(2, "b"), gone(2), MARKED({"n": 1}), gone(1), bad]
    load(database, *messages, hard_delete=True).expect(65)
    assert rows(database) == [(1, "a", False)]


def test_under_append_only_each_record_is_a_row(database: str) -> None:
    loaded(database, 1, put(1, "a"), gone(1), load_method="append-only")
    assert query(database, "SELECT id, v, _sdc_deleted_at IS NOT NULL FROM t ORDER BY 3") == [
        (1, "a", False),
        (1, None, True),
    ]
