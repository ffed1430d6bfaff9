"""`load_method: history`: each version of a row with the range in which it held (docs/decisions/0054)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faults.loads import MARKED, RECORD, SCHEMA, STATE
from targets.shared.test_databases import Database, target_of

INTEGER, TEXT = {"type": ["integer", "null"]}, {"type": ["string", "null"]}
MOMENT = {**TEXT, "format": "date-time"}
T = SCHEMA("t", {"id": INTEGER, "v": INTEGER, "w": TEXT}, ["id"])
MARKS = SCHEMA("t", {"id": INTEGER, "v": INTEGER, "w": TEXT, "_sdc_deleted_at": MOMENT}, ["id"])
AT = "2024-01-01T00:00:00Z"
VERSIONS = "SELECT id, v, _sdc_valid_to IS NULL FROM t ORDER BY id, _sdc_valid_from"
BEGIN, END = MARKED({"bookmarks": {}}), MARKED({"bookmarks": {}}, complete=True)


@pytest.fixture(params=["postgres", "duckdb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return target_of(request, tmp_path)


def rows(*pairs: tuple[int, Any], **more: Any) -> list[dict[str, Any]]:
    return [RECORD("t", {"id": id_, "v": v, "w": ""}, **more) for id_, v in pairs]


def gone(id_: int) -> dict[str, Any]:
    return RECORD("t", {"id": id_, "_sdc_deleted_at": AT})


def activate(version: int) -> dict[str, Any]:
    return {"type": "ACTIVATE_VERSION", "stream": "t", "version": version}


def keep(target: Database, *messages: Any, code: int = 0, **config: Any) -> str:
    """Load with the history of each stream kept, and see that the ranges of a key follow each other; return what was said."""
    said = target.run(*messages, **({"load_method": "history"} | config)).expect(code).stderr
    broken = """
        SELECT id, _sdc_valid_from, _sdc_valid_to, next FROM (
            SELECT id, _sdc_valid_from, _sdc_valid_to, lead(_sdc_valid_from) OVER (PARTITION BY id ORDER BY _sdc_valid_from) AS next FROM t
        ) AS one WHERE _sdc_valid_to <= _sdc_valid_from OR next < _sdc_valid_to OR (next IS NOT NULL AND _sdc_valid_to IS NULL)
    """
    assert target.query(broken) == []
    return said


def test_a_key_of_text_is_one_key_however_a_block_has_left_it(target: Database) -> None:
    """Beside a value of another type, and fields that are left out, the run ended with 70."""
    own = SCHEMA("t", {"id": TEXT, "v": INTEGER, "w": TEXT}, ["id"])
    records = [
        {"id": "é", "v": 1, "w": "a"},
        {"id": "b", "v": "N/A", "w": "b"},
        {"id": "é", "w": "c"},
        {"id": "é", "v": 2},
    ]
    keep(target, BEGIN, own, *(RECORD("t", record) for record in records), END, missing_fields="keep")
    assert target.query("SELECT id, v, w, v__text FROM t WHERE _sdc_valid_to IS NULL ORDER BY id") == [
        ("b", None, "b", "N/A"),
        ("é", 2, "c", None),
    ]


def test_a_row_that_changes_ends_and_one_that_does_not_is_left_alone(target: Database) -> None:
    keep(target, T, *rows((1, 1), (2, 2)), STATE({"a": 1}))
    place = (
        "SELECT xmin::text, ctid::text FROM t WHERE id = 2"
        if target.schema == "public"
        else "SELECT rowid FROM t WHERE id = 2"
    )
    unchanged = target.query(place)
    keep(target, T, *rows((1, 5), (2, 2), (3, 3)), STATE({"a": 2}))
    assert target.query(VERSIONS) == [(1, 1, False), (1, 5, True), (2, 2, True), (3, 3, True)]
    assert target.query(place) == unchanged
    followed = "SELECT count(*) FROM t a JOIN t b ON a.id = b.id AND a._sdc_valid_to = b._sdc_valid_from"
    assert target.query(followed) == [(1,)]
    # Of several that come in one unit the last one is what the table says; going back is a version again.
    keep(target, T, *rows((1, 7), (1, 8)), *rows((4, 4), (4, 5)), *rows((1, 1)), STATE({"a": 3}))
    assert target.query(VERSIONS)[:3] == [(1, 1, False), (1, 5, False), (1, 1, True)]
    assert target.query("SELECT v FROM t WHERE id = 4") == [(5,)]


def test_a_row_that_is_gone_ends_and_one_that_comes_back_begins(target: Database) -> None:
    keep(target, MARKS, *rows((1, 1), (2, 2)), STATE({"a": 1}))
    keep(target, MARKS, gone(1), gone(9), *rows((3, 3)), gone(3), STATE({"a": 2}))
    assert target.query(VERSIONS) == [(1, 1, False), (2, 2, True)]
    keep(target, MARKS, *rows((1, 1)), STATE({"a": 3}))
    assert target.query(VERSIONS) == [(1, 1, False), (1, 1, True), (2, 2, True)]
    assert target.query("SELECT count(*) FROM t WHERE _sdc_deleted_at IS NOT NULL") == [(0,)]


def test_a_field_that_is_left_out_keeps_its_value_in_the_new_version(target: Database) -> None:
    keep(target, BEGIN, T, RECORD("t", {"id": 1, "v": 1, "w": "a"}), END)
    keep(target, BEGIN, T, RECORD("t", {"id": 1, "v": 2}), END)
    keep(target, BEGIN, T, RECORD("t", {"id": 1, "v": 2}), RECORD("t", {"id": 1, "w": "a"}), END)
    assert target.query("SELECT v, w FROM t ORDER BY _sdc_valid_from") == [(1, "a"), (2, "a")]


def test_a_column_that_no_schema_names_keeps_its_value_in_the_new_version(target: Database) -> None:
    keep(target, T, *rows((1, 1)), STATE({"a": 1}))
    for change in ("ADD COLUMN note text", "ADD COLUMN word text DEFAULT 'new'"):
        target.query(f"ALTER TABLE t {change}")
    target.query("UPDATE t SET note = 'mine', word = 'mine', w = 'kept'")
    short = SCHEMA("t", {"id": INTEGER, "v": INTEGER}, ["id"])
    keep(target, short, RECORD("t", {"id": 1, "v": 2}), RECORD("t", {"id": 2, "v": 2}), STATE({"a": 2}))
    found = target.query("SELECT id, w, note, word FROM t ORDER BY id, _sdc_valid_from")
    assert found == [(1, "kept", "mine", "mine"), (1, "kept", "mine", "new"), (2, None, None, "new")]


def test_a_complete_load_ends_rows_that_are_gone(target: Database) -> None:
    metadata = {"add_record_metadata": True}
    first = [T, *rows((1, 1), (2, 2), (3, 3), version=1), activate(1), STATE({"a": 1})]
    keep(target, *first, **metadata)
    received = target.query("SELECT _sdc_received_at FROM t WHERE id = 2")
    # In two commits, with one row that is the same and one that changes.
    second = [
        T,
        *rows((2, 2), version=2),
        STATE({"a": 2}),
        *rows((3, 4), version=2),
        STATE({"a": 3}),
        activate(2),
    ]
    keep(target, *second, STATE({"a": 4}), commit_rows=1, **metadata)
    assert target.query(VERSIONS) == [(1, 1, False), (2, 2, True), (3, 3, False), (3, 4, True)]
    assert target.query("SELECT _sdc_received_at FROM t WHERE id = 2") == received
    # An increment whose tap says the version again.
    keep(target, T, *rows((3, 4), version=2), activate(2), STATE({"a": 5}), **metadata)
    assert target.query(VERSIONS)[1] == (2, 2, True)
    # A load that another run began: nobody knows what came then.
    inside = {"bookmarks": {"t": {"_singerkit_load": {"version": 3, "position": {"after": [2]}}}}}
    keep(target, T, *rows((2, 2), version=3), STATE(inside), **metadata)
    said = keep(target, T, *rows((3, 4), version=3), activate(3), STATE({"a": 6}), **metadata)
    assert "ends no range of its history" in said
    assert target.query(VERSIONS)[1] == (2, 2, True)
    assert "is ignored: rows carry no version" in keep(target, T, activate(4), STATE({"a": 7}))


OPEN = "SELECT id FROM t WHERE _sdc_valid_to IS NULL ORDER BY id"


@pytest.mark.parametrize("config", [{}, {"commit_rows": 1}], ids=["one unit", "units"])
def test_what_came_with_a_load_that_was_given_up_is_not_of_the_next(
    target: Database, config: dict[str, Any]
) -> None:
    how = {"add_record_metadata": True} | config
    keep(target, T, *rows((1, 1), (2, 2), (3, 3), version=1), activate(1), STATE({"a": 1}), **how)
    given_up = [*rows((3, 3), version=2), STATE({"a": 2})]
    keep(target, T, *given_up, *rows((1, 1), (2, 2), version=3), activate(3), STATE({"a": 3}), **how)
    assert target.query(OPEN) == [(1,), (2,)]
    # Version 2 goes on, whose keys nobody has any more; and one that is said again in the middle of another ends nothing of that.
    said = keep(target, T, *rows((1, 1), version=2), activate(2), STATE({"a": 4}), **how)
    assert "ends no range of its history" in said
    again = [*rows((2, 2), version=9), activate(2), STATE({"a": 5}), *rows((3, 3), version=9), activate(9)]
    assert "ends no range" not in keep(target, T, *again, STATE({"a": 6}), **how)
    assert target.query(OPEN) == [(2,), (3,)]


def test_a_load_that_came_in_two_runs_ends_nothing(target: Database) -> None:
    how = {"add_record_metadata": True}
    keep(target, T, *rows((1, 1), (2, 2), (3, 3), version=1), activate(1), STATE({"a": 1}), **how)
    keep(target, T, *rows((1, 1), version=2), STATE({"a": 2}), **how)
    said = keep(target, T, *rows((2, 2), version=2), activate(2), STATE({"a": 3}), **how)
    assert "ends no range of its history" in said
    assert target.query(OPEN) == [(1,), (2,), (3,)]
    keep(target, T, *rows((1, 1), version=3), activate(3), STATE({"a": 4}), **how)
    assert target.query(OPEN) == [(1,)]
    keep(target, T, *rows((2, 2), version=4), STATE({"a": 5}), **how)
    assert "ends no range of its history" in keep(target, T, activate(4), STATE({"a": 6}), **how)
    assert target.query(OPEN) == [(1,), (2,)]


def test_a_row_that_came_and_went_in_one_unit_was_never_there(target: Database) -> None:
    first = [*rows((1, 1), (2, 2), version=1), activate(1), STATE({"a": 1})]
    keep(target, T, *first, *rows((1, 1), version=2), activate(2), STATE({"a": 2}), add_record_metadata=True)
    assert target.query(VERSIONS) == [(1, 1, True)]


def test_a_history_has_no_range_of_an_older_version(target: Database) -> None:
    by = {"newest_by": {"t": "v"}}
    keep(target, MARKS, *rows((1, 5), (2, 5)), *rows((2, 6), (2, 4)), STATE({"a": 1}), **by)
    gone = {"_sdc_deleted_at": "2026-01-01T00:00:00Z"}
    marked = [{**one, "record": one["record"] | gone} for one in rows((1, 4), (2, 7))]
    said = keep(target, MARKS, *rows((1, 3)), *marked, *rows((3, 1)), STATE({"a": 2}), **by)
    ranges = "SELECT id, v, _sdc_valid_to IS NULL FROM t ORDER BY id, _sdc_valid_from"
    assert target.query(ranges) == [(1, 5, True), (2, 6, False), (3, 1, True)]
    assert "Stream `t`: 1 row that came was older by `v`" in said
    keep(target, T, *rows((1, 6), (2, 5), (2, 8)), STATE({"a": 3}), **by)
    assert target.query(ranges) == [(1, 5, False), (1, 6, True), (2, 6, False), (2, 8, True), (3, 1, True)]


def test_what_has_no_key_no_range_or_our_names_is_refused(target: Database) -> None:
    keyless = SCHEMA("t", {"id": INTEGER, "v": INTEGER})
    refused = target.run(keyless, *rows((1, 1)), load_method="history").expect(78)
    assert "it has no key" in refused.last_words
    own = SCHEMA("t", {"id": INTEGER, "_sdc_valid_to": MOMENT}, ["id"])
    assert "`_sdc_valid_to` and" in target.run(own, load_method="history").expect(65).last_words
    target.run(T, *rows((1, 1)), STATE({"a": 1})).expect(0)
    refused = target.run(T, *rows((1, 2)), STATE({"a": 2}), load_method="history").expect(78)
    statement = refused.last_words.partition("run `")[2].partition("`")[0]
    target.query(statement)
    keep(target, T, *rows((1, 2)), STATE({"a": 2}))
    assert target.query(VERSIONS) == [(1, 1, False), (1, 2, True)]
