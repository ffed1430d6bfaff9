"""`load_method: history`: each version of a row with the range in which it held (docs/decisions/0054)."""

from __future__ import annotations

from typing import Any

import pytest
from faults.loads import MARKED, RECORD, SCHEMA, STATE, lines, load, query, running
from faults.test_process import in_transaction
from waiting import wait_until

INTEGER, TEXT = {"type": ["integer", "null"]}, {"type": ["string", "null"]}
MOMENT = {**TEXT, "format": "date-time"}
T = SCHEMA("t", {"id": INTEGER, "v": INTEGER, "w": TEXT}, ["id"])
MARKS = SCHEMA("t", {"id": INTEGER, "v": INTEGER, "w": TEXT, "_sdc_deleted_at": MOMENT}, ["id"])
AT = "2024-01-01T00:00:00Z"
VERSIONS = "SELECT id, v, _sdc_valid_to IS NULL FROM t ORDER BY id, _sdc_valid_from"
BEGIN, END = MARKED({"bookmarks": {}}), MARKED({"bookmarks": {}}, complete=True)


def rows(*pairs: tuple[int, Any], **more: Any) -> list[dict[str, Any]]:
    return [RECORD("t", {"id": id_, "v": v, "w": ""}, **more) for id_, v in pairs]


def gone(id_: int) -> dict[str, Any]:
    return RECORD("t", {"id": id_, "_sdc_deleted_at": AT})


def activate(version: int) -> dict[str, Any]:
    return {"type": "ACTIVATE_VERSION", "stream": "t", "version": version}


def keep(database: str, *messages: Any, code: int = 0, **config: Any) -> str:
    """Load with the history of each stream kept, and see that the ranges of a key follow each other; return what was said."""
    said = load(database, *messages, **({"load_method": "history"} | config)).expect(code).stderr
    broken = """
        SELECT id, _sdc_valid_from, _sdc_valid_to, next FROM (
            SELECT id, _sdc_valid_from, _sdc_valid_to, lead(_sdc_valid_from) OVER (PARTITION BY id ORDER BY _sdc_valid_from) AS next FROM t
        ) AS one WHERE _sdc_valid_to <= _sdc_valid_from OR next < _sdc_valid_to OR (next IS NOT NULL AND _sdc_valid_to IS NULL)
    """
    assert query(database, broken) == []
    return said


def test_a_row_that_changes_ends_and_one_that_does_not_is_left_alone(database: str) -> None:
    keep(database, T, *rows((1, 1), (2, 2)), STATE({"a": 1}))
    unchanged = query(database, "SELECT xmin::text, ctid::text FROM t WHERE id = 2")
    keep(database, T, *rows((1, 5), (2, 2), (3, 3)), STATE({"a": 2}))
    assert query(database, VERSIONS) == [(1, 1, False), (1, 5, True), (2, 2, True), (3, 3, True)]
    assert query(database, "SELECT xmin::text, ctid::text FROM t WHERE id = 2") == unchanged
    followed = "SELECT count(*) FROM t a JOIN t b ON a.id = b.id AND a._sdc_valid_to = b._sdc_valid_from"
    assert query(database, followed) == [(1,)]
    # Of several that come in one unit the last one is what the table says; going back is a version again.
    keep(database, T, *rows((1, 7), (1, 8)), *rows((4, 4), (4, 5)), *rows((1, 1)), STATE({"a": 3}))
    assert query(database, VERSIONS)[:3] == [(1, 1, False), (1, 5, False), (1, 1, True)]
    assert query(database, "SELECT v FROM t WHERE id = 4") == [(5,)]


def test_a_row_that_is_gone_ends_and_one_that_comes_back_begins(database: str) -> None:
    keep(database, MARKS, *rows((1, 1), (2, 2)), STATE({"a": 1}))
    keep(database, MARKS, gone(1), gone(9), *rows((3, 3)), gone(3), STATE({"a": 2}))
    assert query(database, VERSIONS) == [(1, 1, False), (2, 2, True)]
    keep(database, MARKS, *rows((1, 1)), STATE({"a": 3}))
    assert query(database, VERSIONS) == [(1, 1, False), (1, 1, True), (2, 2, True)]
    assert query(database, "SELECT count(*) FROM t WHERE _sdc_deleted_at IS NOT NULL") == [(0,)]


def test_a_field_that_is_left_out_keeps_its_value_in_the_new_version(database: str) -> None:
    keep(database, BEGIN, T, RECORD("t", {"id": 1, "v": 1, "w": "a"}), END)
    keep(database, BEGIN, T, RECORD("t", {"id": 1, "v": 2}), END)
    keep(database, BEGIN, T, RECORD("t", {"id": 1, "v": 2}), RECORD("t", {"id": 1, "w": "a"}), END)
    assert query(database, "SELECT v, w FROM t ORDER BY _sdc_valid_from") == [(1, "a"), (2, "a")]


def test_a_column_that_no_schema_names_keeps_its_value_in_the_new_version(database: str) -> None:
    keep(database, T, *rows((1, 1)), STATE({"a": 1}))
    query(
        database,
        "ALTER TABLE t ADD COLUMN note text, ADD COLUMN number integer GENERATED ALWAYS AS IDENTITY, "
        "ADD COLUMN word text DEFAULT 'new', ADD COLUMN twice bigint GENERATED ALWAYS AS (v * 2) STORED;"
        "UPDATE t SET note = 'mine', word = 'old', w = 'kept'",
    )
    short = SCHEMA("t", {"id": INTEGER, "v": INTEGER}, ["id"])
    keep(database, short, RECORD("t", {"id": 1, "v": 2}), RECORD("t", {"id": 2, "v": 2}), STATE({"a": 2}))
    assert query(database, "SELECT id, v, w, note, word, twice FROM t ORDER BY id, _sdc_valid_from") == [
        (1, 1, "kept", "mine", "old", 2),
        (1, 2, "kept", "mine", "new", 4),
        (2, 2, None, None, "new", 4),
    ]


def test_a_complete_load_ends_rows_that_are_gone(database: str) -> None:
    metadata = {"add_record_metadata": True}
    first = [T, *rows((1, 1), (2, 2), (3, 3), version=1), activate(1), STATE({"a": 1})]
    keep(database, *first, **metadata)
    received = query(database, "SELECT _sdc_received_at FROM t WHERE id = 2")
    # In two commits, with one row that is the same and one that changes.
    second = [
        T,
        *rows((2, 2), version=2),
        STATE({"a": 2}),
        *rows((3, 4), version=2),
        STATE({"a": 3}),
        activate(2),
    ]
    keep(database, *second, STATE({"a": 4}), commit_rows=1, **metadata)
    assert query(database, VERSIONS) == [(1, 1, False), (2, 2, True), (3, 3, False), (3, 4, True)]
    assert query(database, "SELECT _sdc_received_at FROM t WHERE id = 2") == received
    # An increment whose tap says the version again.
    keep(database, T, *rows((3, 4), version=2), activate(2), STATE({"a": 5}), **metadata)
    assert query(database, VERSIONS)[1] == (2, 2, True)
    # A load that another run began: nobody knows what came then.
    inside = {"bookmarks": {"t": {"_singerkit_load": {"version": 3, "position": {"after": [2]}}}}}
    keep(database, T, *rows((2, 2), version=3), STATE(inside), **metadata)
    said = keep(database, T, *rows((3, 4), version=3), activate(3), STATE({"a": 6}), **metadata)
    assert "ends no range of its history" in said
    assert query(database, VERSIONS)[1] == (2, 2, True)
    assert "is ignored: rows carry no version" in keep(database, T, activate(4), STATE({"a": 7}))


OPEN = "SELECT id FROM t WHERE _sdc_valid_to IS NULL ORDER BY id"


@pytest.mark.parametrize("config", [{}, {"commit_rows": 1}], ids=["one unit", "units"])
def test_what_came_with_a_load_that_was_given_up_is_not_of_the_next(
    database: str, config: dict[str, Any]
) -> None:
    how = {"add_record_metadata": True} | config
    keep(database, T, *rows((1, 1), (2, 2), (3, 3), version=1), activate(1), STATE({"a": 1}), **how)
    given_up = [*rows((3, 3), version=2), STATE({"a": 2})]
    keep(database, T, *given_up, *rows((1, 1), (2, 2), version=3), activate(3), STATE({"a": 3}), **how)
    assert query(database, OPEN) == [(1,), (2,)]
    # Version 2 goes on, whose keys nobody has any more; and one that is said again in the middle of another ends nothing of that.
    said = keep(database, T, *rows((1, 1), version=2), activate(2), STATE({"a": 4}), **how)
    assert "ends no range of its history" in said
    again = [*rows((2, 2), version=9), activate(2), STATE({"a": 5}), *rows((3, 3), version=9), activate(9)]
    assert "ends no range" not in keep(database, T, *again, STATE({"a": 6}), **how)
    assert query(database, OPEN) == [(2,), (3,)]


def test_a_load_that_came_in_two_runs_ends_nothing(database: str) -> None:
    how = {"add_record_metadata": True}
    keep(database, T, *rows((1, 1), (2, 2), (3, 3), version=1), activate(1), STATE({"a": 1}), **how)
    keep(database, T, *rows((1, 1), version=2), STATE({"a": 2}), **how)
    said = keep(database, T, *rows((2, 2), version=2), activate(2), STATE({"a": 3}), **how)
    assert "ends no range of its history" in said
    assert query(database, OPEN) == [(1,), (2,), (3,)]
    keep(database, T, *rows((1, 1), version=3), activate(3), STATE({"a": 4}), **how)
    assert query(database, OPEN) == [(1,)]
    keep(database, T, *rows((2, 2), version=4), STATE({"a": 5}), **how)
    assert "ends no range of its history" in keep(database, T, activate(4), STATE({"a": 6}), **how)
    assert query(database, OPEN) == [(1,), (2,)]


def test_a_row_that_came_and_went_in_one_unit_was_never_there(database: str) -> None:
    first = [*rows((1, 1), (2, 2), version=1), activate(1), STATE({"a": 1})]
    keep(
        database, T, *first, *rows((1, 1), version=2), activate(2), STATE({"a": 2}), add_record_metadata=True
    )
    assert query(database, VERSIONS) == [(1, 1, True)]


@pytest.mark.parametrize("config", [{}, {"on_invalid": "quarantine"}], ids=["fail", "quarantine"])
def test_a_unit_that_is_written_again_makes_no_version_twice(database: str, config: dict[str, Any]) -> None:
    keep(database, T, *rows((1, 1)), STATE({"a": 1}), **config)
    with running(database, load_method="history", **config) as process:
        process.send(lines(T, *rows((1, 2)), STATE({"a": 2}), *rows((1, 3)), STATE({"a": 3})))
        wait_until(lambda: in_transaction(database))
        query(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'target-postgres' AND datname = current_database()",
        )
        process.send(lines(*rows((2, 2), (1, 4)), STATE({"a": 4})))
        process.finish().expect(0)
    keep(database, T, *rows((1, 4)), STATE({"a": 5}), **config)
    assert query(database, VERSIONS) == [(1, 1, False), (1, 4, True), (2, 2, True)]


def test_what_has_no_key_no_range_or_our_names_is_refused(database: str) -> None:
    keyless = SCHEMA("t", {"id": INTEGER, "v": INTEGER})
    refused = load(database, keyless, *rows((1, 1)), load_method="history").expect(78)
    assert "it has no key" in refused.last_words
    own = SCHEMA("t", {"id": INTEGER, "_sdc_valid_to": MOMENT}, ["id"])
    assert "`_sdc_valid_to` and" in load(database, own, load_method="history").expect(65).last_words
    load(database, T, *rows((1, 1)), STATE({"a": 1})).expect(0)
    refused = load(database, T, *rows((1, 2)), STATE({"a": 2}), load_method="history").expect(78)
    statement = refused.last_words.partition("run `")[2].partition("`")[0]
    query(database, statement)
    keep(database, T, *rows((1, 2)), STATE({"a": 2}))
    assert query(database, VERSIONS) == [(1, 1, False), (1, 2, True)]
