"""Records that say that their row is gone (`_sdc_deleted_at`), as log-based streams do: deleted, or marked; in every database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conformance.processes import Outcome
from faults.loads import MARKED, RECORD, SCHEMA
from targets.shared.test_databases import MOMENT, TEXT, Database, target_of


@pytest.fixture(params=["postgres", "duckdb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return target_of(request, tmp_path)


T = SCHEMA("t", {"id": {"type": "integer"}, "v": TEXT, "_sdc_deleted_at": MOMENT}, ["id"])
AT = "2024-01-01T00:00:00Z"
ALL = "SELECT id, v, _sdc_deleted_at IS NOT NULL FROM t ORDER BY 1, 3"


def put(id_: int, v: str) -> Any:
    return RECORD("t", {"id": id_, "v": v, "_sdc_deleted_at": None})


def gone(id_: int, **more: Any) -> Any:
    return RECORD("t", {"id": id_, **more, "_sdc_deleted_at": AT})


def loaded(target: Database, number: int, *messages: Any, **config: Any) -> Outcome:
    start = MARKED({"n": number - 1} if number > 1 else {})
    schemas = [] if messages and messages[0]["type"] == "SCHEMA" else [T]
    end = MARKED({"n": number}, complete=True)
    return target.run(start, *schemas, *messages, end, **config).expect(0)


@pytest.mark.parametrize("metadata", [False, True], ids=["plain", "metadata"])
def test_a_row_that_is_gone_is_deleted_whatever_came_before_it_in_the_same_run(
    target: Database, metadata: bool
) -> None:
    how: dict[str, Any] = {"hard_delete": True, "add_record_metadata": metadata}
    loaded(target, 1, put(1, "a"), put(2, "b"), gone(2), put(3, "c"), gone(3), put(3, "d"), gone(9), **how)
    assert target.query(ALL) == [(1, "a", False), (3, "d", False)]
    loaded(target, 2, gone(1), put(2, "e"), gone(3), put(4, "f"), **how)
    assert target.query(ALL) == [(2, "e", False), (4, "f", False)]


def test_the_last_record_of_a_key_counts_where_all_have_the_same_fields(target: Database) -> None:
    """They are put into the table at once: a key that is there, and one that is not, deleted last or not."""
    loaded(target, 1, put(1, "a"), put(2, "a"), put(3, "a"), hard_delete=True)
    changes = [gone(1, v="b"), put(1, "c"), put(2, "b"), gone(2, v="c"), gone(3, v=None)]
    new = [put(4, "a"), gone(4, v="b"), gone(5, v="a"), put(5, "b"), gone(6, v="a")]
    loaded(target, 2, *changes, *new, hard_delete=True)
    assert target.query(ALL) == [(1, "c", False), (5, "b", False)]


def test_a_mark_goes_where_a_later_schema_does_not_name_it(target: Database) -> None:
    loaded(target, 1, put(1, "a"), gone(1))
    assert target.query(ALL) == [(1, "a", True)]
    less = SCHEMA("t", {"id": {"type": "integer"}, "v": TEXT}, ["id"])
    loaded(target, 2, less, RECORD("t", {"id": 1, "v": "b"}))
    assert target.query(ALL) == [(1, "b", False)]


def test_rows_of_a_key_of_several_columns_are_deleted_by_all_of_them(target: Database) -> None:
    two = SCHEMA("t", {"id": {"type": "integer"}, "v": TEXT, "_sdc_deleted_at": MOMENT}, ["id", "v"])
    loaded(target, 1, two, put(1, "a"), put(1, "b"), put(2, "a"), hard_delete=True)
    loaded(target, 2, two, gone(1, v="b"), gone(2, v="b"), hard_delete=True)
    assert target.query(ALL) == [(1, "a", False), (2, "a", False)]


@pytest.mark.parametrize(
    ("units", "between"), [(1, 0), (1, 3000), (2, 0)], ids=["together", "far apart", "two units"]
)
@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_what_comes_behind_a_deletion_is_a_new_row(
    target: Database, between: int, units: int, hard: bool
) -> None:
    """It is there, and has nothing of a row that was deleted, in whatever unit; of one that was marked it has what was stored."""
    wide = SCHEMA("t", {"id": {"type": "integer"}, "v": TEXT, "w": TEXT, "_sdc_deleted_at": MOMENT}, ["id"])
    others = [RECORD("t", {"id": 10 + n, "v": "x"}) for n in range(between)]
    steps: list[list[Any]] = [
        [RECORD("t", {"id": 1, "v": "a", "w": "old"}), RECORD("t", {"id": 2, "v": "a", "w": "old"})],
        [gone(1), *others],
        [RECORD("t", {"id": 1, "v": "new"}), RECORD("t", {"id": 2, "v": "new"})],
    ]
    loaded(target, 1, wide, *steps[0], hard_delete=hard, missing_fields="keep")
    rest = [[*steps[1], *steps[2]]] if units == 1 else steps[1:]
    for number, messages in enumerate(rest, 2):
        loaded(target, number, wide, *messages, hard_delete=hard, missing_fields="keep")
    found = target.query("SELECT id, v, w, _sdc_deleted_at IS NOT NULL FROM t WHERE id < 10 ORDER BY 1")
    assert found == [(1, "new", None if hard else "old", False), (2, "new", "old", False)]


UNNAMED = SCHEMA("t", {"id": {"type": "integer"}, "v": TEXT}, ["id"])


@pytest.mark.parametrize("missing", ["null", "keep"])
@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_a_row_that_is_back_in_the_same_unit_is_there_though_no_schema_names_the_field(
    target: Database, hard: bool, missing: str
) -> None:
    loaded(target, 1, UNNAMED, RECORD("t", {"id": 1, "v": "a"}), hard_delete=hard, missing_fields=missing)
    back = [gone(1), RECORD("t", {"id": 1, "v": "b"})]
    loaded(target, 2, UNNAMED, *back, hard_delete=hard, missing_fields=missing)
    assert target.query(ALL) == [(1, "b", False)]


def test_a_row_that_is_back_in_a_later_run_or_schema_is_there_though_no_schema_names_the_field(
    target: Database,
) -> None:
    wide = SCHEMA("t", {"id": {"type": "integer"}, "v": TEXT, "w": TEXT}, ["id"])
    one = [RECORD("t", {"id": id_, "v": "a"}) for id_ in (1, 2, 3)]
    loaded(target, 1, UNNAMED, *one, gone(1), gone(2), gone(3), wide, RECORD("t", {"id": 1, "v": "b"}))
    loaded(target, 2, UNNAMED, RECORD("t", {"id": 2, "v": "b"}))
    assert target.query(ALL) == [(1, "b", False), (2, "b", False), (3, "a", True)]
    # Another name of the column changes nothing of it.
    named = {"default_target_schema": "named", "column_names": {"t._sdc_deleted_at": "gone_at"}}
    loaded(target, 1, UNNAMED, *one, gone(1), **named)
    loaded(target, 2, UNNAMED, RECORD("t", {"id": 1, "v": "b"}), **named)
    assert target.query("SELECT id FROM named.t WHERE gone_at IS NOT NULL") == []


@pytest.mark.parametrize("metadata", [False, True], ids=["plain", "metadata"])
def test_a_row_is_gone_though_no_schema_names_the_field_that_says_so(
    target: Database, metadata: bool
) -> None:
    """As in the messages of singer-sdk, whose targets add that field to each schema."""
    how: dict[str, Any] = {"hard_delete": True, "add_record_metadata": metadata}
    rows = [RECORD("t", {"id": id_, "v": "x", "odd": 1}) for id_ in range(1, 400)]
    ended = loaded(target, 1, UNNAMED, *rows, gone(2), RECORD("t", {"id": 4, "v": "y"}), gone(3), **how)
    assert "records say by `_sdc_deleted_at` that their rows are gone" in ended.stderr
    kept = [(id_, "y" if id_ == 4 else "x") for id_ in range(1, 400) if id_ not in (2, 3)]
    assert target.query("SELECT id, v FROM t ORDER BY 1") == kept
    loaded(target, 2, UNNAMED, gone(1), RECORD("t", {"id": 2, "v": "z"}), **how)
    assert target.query("SELECT id, v FROM t WHERE id < 4 ORDER BY 1") == [(2, "z")]


@pytest.mark.parametrize(
    ("type_", "value"), [("boolean", False), ("string", ""), ("integer", 0), ("number", 0)]
)
def test_a_value_that_is_no_time_deletes_no_row(target: Database, type_: str, value: Any) -> None:
    marked = SCHEMA("t", {"id": {"type": "integer"}, "_sdc_deleted_at": {"type": ["null", type_]}}, ["id"])
    there = RECORD("t", {"id": 1, "_sdc_deleted_at": None})
    loaded(target, 1, marked, there, RECORD("t", {"id": 3}), hard_delete=True)
    said = RECORD("t", {"id": 1, "_sdc_deleted_at": value})
    ended = target.run(MARKED({"n": 1}), marked, said, MARKED({"n": 2}), hard_delete=True).expect(65)
    assert "got false, 0 or an empty text" in ended.stderr
    assert target.query("SELECT id FROM t ORDER BY 1") == [(1,), (3,)]
    loaded(target, 2, marked, said, hard_delete=False)
    assert target.query("SELECT id FROM t ORDER BY 1") == [(1,), (3,)]


def test_a_null_in_a_field_that_no_schema_names_says_nothing(target: Database) -> None:
    loaded(target, 1, UNNAMED, put(1, "a"), put(2, "b"), hard_delete=True)
    assert target.query("SELECT * FROM t ORDER BY 1") == [(1, "a"), (2, "b")]


def test_a_row_that_is_gone_keeps_what_is_known_though_no_schema_names_the_field(target: Database) -> None:
    loaded(target, 1, UNNAMED, put(1, "a"), put(2, "b"), gone(2))
    loaded(target, 2, UNNAMED, gone(1), put(2, "c"))
    assert target.query(ALL) == [(1, "a", True), (2, "c", False)]


@pytest.mark.parametrize("how", [{}, {"hard_delete": False}], ids=["default", "soft"])
def test_a_row_that_is_gone_is_marked_and_keeps_what_is_known_and_one_that_comes_back_is_not(
    target: Database, how: dict[str, Any]
) -> None:
    loaded(target, 1, put(1, "a"), put(2, "b"), gone(2), **how)
    loaded(target, 2, gone(1), put(2, "c"), **how)
    assert target.query(ALL) == [(1, "a", True), (2, "c", False)]


def test_a_table_that_was_emptied_so_holds_no_rows_in_the_next_run_and_nobody_asks_for_them(
    target: Database,
) -> None:
    start: dict[str, Any] = {"bookmarks": {"t": {"replication_key_value": "1"}}}
    later: dict[str, Any] = {"bookmarks": {"t": {"replication_key_value": "2"}}}
    first = [MARKED({}), T, put(1, "a"), put(2, "b"), MARKED(start, complete=True)]
    target.run(*first, hard_delete=True).expect(0)
    emptied = [MARKED(start), T, gone(1), gone(2), MARKED(later, complete=True)]
    target.run(*emptied, hard_delete=True).expect(0)
    assert target.query(ALL) == []
    target.run(MARKED(later), T, put(3, "c"), MARKED(start, complete=True), hard_delete=True).expect(0)
    assert target.query(ALL) == [(3, "c", False)]


def test_a_table_that_others_have_emptied_is_missed_though_rows_were_deleted_before(target: Database) -> None:
    start: dict[str, Any] = {"bookmarks": {"t": {"replication_key_value": "1"}}}
    messages = [MARKED({}), T, put(1, "a"), put(2, "b"), gone(2), MARKED(start, complete=True)]
    target.run(*messages, hard_delete=True).expect(0)
    target.query("DELETE FROM t")
    ended = target.run(MARKED(start), T, put(3, "c"), MARKED(start, complete=True), hard_delete=True)
    assert "is empty, and the saved state says that rows" in ended.expect(69).stderr


def test_columns_that_must_not_be_null_refuse_no_row_that_is_gone(target: Database) -> None:
    loaded(target, 1, put(1, "a"), put(2, "b"), hard_delete=True)
    target.query("ALTER TABLE t ALTER COLUMN v SET NOT NULL")
    loaded(target, 2, gone(1), gone(7), put(2, "c"), hard_delete=True)
    assert target.query(ALL) == [(2, "c", False)]


def test_a_primary_key_of_the_users_own_lets_rows_go_and_come_back(target: Database) -> None:
    target.query("CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT, _sdc_deleted_at TIMESTAMP WITH TIME ZONE)")
    loaded(target, 1, put(1, "a"), put(2, "b"), put(3, "c"), hard_delete=True)
    loaded(target, 2, gone(1), put(1, "d"), gone(2), gone(3, v="x"), put(3, "e"), gone(4), hard_delete=True)
    assert target.query(ALL) == [(1, "d", False), (3, "e", False)]


def test_a_row_that_was_to_be_deleted_after_the_last_safe_point_stays(target: Database) -> None:
    bad = RECORD("t", {"id": "x", "v": "x"})
    messages = [MARKED({}), T, put(1, "a"), put(2, "b"), gone(2), MARKED({"n": 1}), gone(1), bad]
    target.run(*messages, hard_delete=True).expect(65)
    assert target.query(ALL) == [(1, "a", False)]


@pytest.mark.parametrize(
    ("key", "how"), [(["id"], {"load_method": "append-only"}), ([], {"hard_delete": True})]
)
def test_where_rows_are_appended_each_record_is_a_row(
    target: Database, key: list[str], how: dict[str, Any]
) -> None:
    appended = SCHEMA("t", {"id": {"type": "integer"}, "v": TEXT, "_sdc_deleted_at": MOMENT}, key)
    loaded(target, 1, appended, put(1, "a"), gone(1), **how)
    assert target.query(ALL) == [(1, "a", False), (1, None, True)]


WITH_LARGE = SCHEMA(
    "t", {"id": {"type": "integer"}, "v": TEXT, "large": TEXT, "_sdc_deleted_at": MOMENT}, ["id"]
)


def whole(id_: int, v: str) -> Any:
    return RECORD("t", {"id": id_, "v": v, "large": f"large {id_}", "_sdc_deleted_at": None})


def test_a_new_row_of_a_log_that_leaves_out_what_it_was_to_keep_is_told_of(target: Database) -> None:
    """A log has no large value that has not changed: the row was set aside, or left out by a map, when it came whole."""
    rows = "SELECT id, v, large FROM t ORDER BY id"
    told = "new here came without all fields"
    first = loaded(target, 1, WITH_LARGE, put(9, "only"))
    assert "Stream `t`: 1 row that is " + told in first.stderr
    assert "not noted" not in first.stderr
    assert "--start-over --stream t" in first.stderr
    assert told not in loaded(target, 2, WITH_LARGE, *[whole(n, "a") for n in range(1, 5)]).stderr
    # All of one set of fields, and rows of several; what stands here already, what came whole in the same unit, and what is gone count for none.
    assert told not in loaded(target, 3, WITH_LARGE, put(1, "b"), put(2, "b"), gone(20)).stderr
    assert (
        "2 rows that are " + told
        in loaded(target, 4, WITH_LARGE, put(1, "c"), put(7, "c"), put(8, "c"), put(8, "d")).stderr
    )
    mixed = [
        whole(5, "e"),
        put(5, "f"),
        put(6, "e"),
        whole(10, "e"),
        put(3, "e"),
        gone(21),
        gone(4),
        put(6, "f"),
    ]
    fifth = loaded(target, 5, WITH_LARGE, *mixed, hard_delete=True)
    assert "Stream `t`: 1 row that is " + told in fifth.stderr
    assert [row for row in target.query(rows) if row[0] != 20] == [
        *[(1, "c", "large 1"), (2, "b", "large 2"), (3, "e", "large 3"), (5, "f", "large 5"), (6, "f", None)],
        *[(7, "c", None), (8, "d", None), (9, "only", None), (10, "e", "large 10")],
    ]


@pytest.mark.parametrize(
    ("target", "how"),
    [("postgres", "history"), ("duckdb", "history"), ("postgres", "foreign key")],
    indirect=["target"],
)
def test_such_a_row_of_a_history_or_of_a_table_that_refers_to_another_is_told_of(
    target: Database, how: str
) -> None:
    config = {"load_method": "history"} if how == "history" else {}
    loaded(target, 1, WITH_LARGE, *[whole(n, "a") for n in range(1, 4)], **config)
    if how == "foreign key":
        target.query("CREATE TABLE parents (id bigint PRIMARY KEY)")
        target.query("INSERT INTO parents SELECT generate_series(1, 20)")
        target.query("ALTER TABLE t ADD FOREIGN KEY (id) REFERENCES parents")
    second = loaded(
        target, 2, WITH_LARGE, put(1, "b"), put(8, "b"), put(7, "b"), whole(6, "b"), put(6, "c"), **config
    )
    assert "Stream `t`: 2 rows that are new here came without all fields" in second.stderr
    current = " WHERE _sdc_valid_to IS NULL" if how == "history" else ""
    assert target.query(f"SELECT id, v, large FROM t{current} ORDER BY id") == [
        *[
            (1, "b", "large 1"),
            (2, "a", "large 2"),
            (3, "a", "large 3"),
            (6, "c", "large 6"),
            (7, "b", None),
            (8, "b", None),
        ]
    ]
    assert (
        "new here" not in loaded(target, 3, WITH_LARGE, put(1, "d"), put(8, "d"), gone(20), **config).stderr
    )
