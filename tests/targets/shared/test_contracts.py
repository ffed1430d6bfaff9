"""A table that `schema_contract` holds as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from targets.shared.test_databases import INTEGER, TEXT, Database, target_of

NUMBER = {"type": ["number", "null"]}
FIRST = [SCHEMA("s", {"id": INTEGER, "v": INTEGER}, ["id"]), RECORD("s", {"id": 1, "v": 1}), STATE({"a": 1})]


@pytest.fixture(params=["postgres", "duckdb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return target_of(request, tmp_path)


def wide(*records: dict[str, Any], **fields: Any) -> list[Any]:
    own = SCHEMA("s", {"id": INTEGER, "v": INTEGER} | fields, ["id"])
    own["schema"] |= {"additionalProperties": False, "required": ["id", *fields]}
    return [own, *(RECORD("s", record) for record in records), STATE({"a": 2})]


@pytest.mark.parametrize(
    ("messages", "config", "named"),
    [
        (wide({"id": 2, "v": 2, "w": "x"}, w=TEXT), {}, "`w`"),
        (wide({"id": 2, "v": 1.5}, v=NUMBER), {}, "`v`"),
        ([FIRST[0], RECORD("s", {"id": 2, "w": "x"}), STATE({"a": 2})], {"extra": "load"}, "`w`"),
        ([FIRST[0], RECORD("s", {"id": 2, "v": "N/A"}), STATE({"a": 2})], {}, "s.$.v"),
        ([FIRST[0], RECORD("s", {"id": 2, "v": 2**63}), STATE({"a": 2})], {}, "`v`"),
    ],
    ids=["a column", "a type", "a field of records", "a value", "a longer integer"],
)
def test_a_frozen_table_gets_no_column_and_no_type(
    target: Database, messages: list[Any], config: dict[str, Any], named: str
) -> None:
    """It is made in the first run, and what was committed stays."""
    frozen = {"schema_contract": {"s": "freeze"}}
    target.run(*FIRST, **frozen).expect(0)
    assert named in target.run(*messages, **config, **frozen).expect(65).last_words
    assert target.query("SELECT * FROM s") == [(1, 1)]
    target.run(*messages, **config).expect(0)
    assert len(target.query("SELECT id FROM s")) == 2


def test_new_fields_are_left_out_where_the_contract_says_so(target: Database) -> None:
    """By the fast path and by the exact one; with `extra: load`, too."""
    ignoring = {"schema_contract": "ignore", "extra": "load"}
    target.run(*FIRST, **ignoring).expect(0)
    records = [{"id": 2, "v": 2, "w": "x"}, {"id": 3, "v": 3.0, "w": "y"}]
    done = target.run(*wide(*records, w=TEXT), RECORD("s", {"id": 4, "v": 4, "z": 1}), **ignoring).expect(0)
    assert "`w` is left out" in done.stderr
    assert target.query("SELECT * FROM s ORDER BY id") == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert "`v`" in target.run(*wide(v=TEXT), **ignoring).expect(65).last_words


def test_what_is_no_object_is_not_left_out_where_objects_are_taken_apart(target: Database) -> None:
    """It was, and the columns of the object were emptied for it, with exit code 0."""
    place = {"type": ["object", "null"], "properties": {"city": TEXT}}
    messages = [
        SCHEMA("s", {"id": INTEGER, "spot": place}, ["id"]),
        RECORD("s", {"id": 1, "spot": {"city": "A"}}),
    ]
    target.run(*messages, STATE({"a": 1}), nested="flatten").expect(0)
    held = {"nested": "flatten", "schema_contract": "ignore"}
    said = (
        target.run(*messages, RECORD("s", {"id": 1, "spot": "B"}), STATE({"a": 2}), **held)
        .expect(65)
        .last_words
    )
    assert "take apart in `spot` of stream `s`, got something else" in said
    target.query("ALTER TABLE s ADD COLUMN spot json")
    aside = {**held, "on_invalid": "quarantine"}
    told = (
        target.run(*messages, RECORD("s", {"id": 1, "spot": "B"}), STATE({"a": 2}), **aside).expect(0).stderr
    )
    assert "1 record is set aside" in told
    assert target.query("SELECT spot__city, spot FROM s") == [("A", None)]


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_a_deletion_is_not_left_out(target: Database, hard: bool) -> None:
    """It was looked for for ever where no SCHEMA names the mark, and where one does the row was emptied, and not gone."""
    config = {"schema_contract": "ignore", "hard_delete": hard}
    gone = {"_sdc_deleted_at": "2026-01-01T00:00:00Z"}
    named = SCHEMA(
        "s", FIRST[0]["schema"]["properties"] | {"_sdc_deleted_at": {**TEXT, "format": "date-time"}}, ["id"]
    )
    target.run(*FIRST, RECORD("s", {"id": 2, "v": 2}), STATE({"a": 2}), **config).expect(0)
    target.run(FIRST[0], RECORD("s", {"id": 1, "v": 1, **gone}), STATE({"a": 3}), **config).expect(0)
    target.run(named, RECORD("s", {"id": 2, **gone}), STATE({"a": 4}), **config).expect(0)
    assert target.query('SELECT id FROM s WHERE "_sdc_deleted_at" IS NULL') == []
    assert len(target.query("SELECT id FROM s")) == (0 if hard else 2)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"on_type_conflict": "varient"}, "`on_type_conflict`"),
        ({"on_type_conflict": {"s.v": "text"}}, "on_type_conflict.s.v"),
        ({"schema_contract": {"s": "frozen"}}, "at schema_contract.s (did you mean `freeze`?)"),
    ],
    ids=str,
)
def test_a_word_that_is_none_is_refused(target: Database, config: dict[str, Any], said: str) -> None:
    assert said.strip("`") in target.run(*FIRST, **config).expect(78).last_words


def test_a_pattern_that_nothing_has_is_told(target: Database) -> None:
    said = target.run(*FIRST, on_type_conflict={"s.w": "fail"}, schema_contract={"t": "freeze"}).expect(0)
    assert "`on_type_conflict` names `s.w`" in said.stderr
    assert "`schema_contract` names `t`" in said.stderr
