"""ACTIVATE_VERSION in PostgreSQL: which rows go, when, and what is said of those that stay (docs/decisions/0022)."""

from __future__ import annotations

import re
import shlex
import signal
from typing import Any

import pytest
from faults.loads import RECORD, SCHEMA, STATE, lines, load, query, running, table
from faults.test_process import in_transaction
from waiting import wait_until

INTEGER = {"type": ["integer", "null"]}
BOOLEAN = {"type": ["boolean", "null"]}
T = SCHEMA("t", {"id": INTEGER}, ["id"])
DONE = b'{"done": 2}\n'
U = SCHEMA("u", {"id": INTEGER}, ["id"])


def activate(version: Any, stream: str = "t") -> dict[str, Any]:
    return {"type": "ACTIVATE_VERSION", "stream": stream, "version": version}


def rows(version: Any, *ids: Any) -> list[Any]:
    more = {} if version is None else {"version": version}
    return [RECORD("t", {"id": n}, **more) for n in ids]


FIRST = [*rows(1, 1, 2), activate(1), STATE({"done": 1})]
SECOND = [*rows(2, 1), activate(2), STATE({"done": 2})]
"""What a run has committed, and what the next one commits before it comes to harm: one row is gone."""


def loaded(database: str, *messages: Any, metadata: bool = True, code: int = 0, **config: Any) -> str:
    """Load into the table t with metadata; return the warnings."""
    outcome = load(database, T, *messages, add_record_metadata=metadata, **config).expect(code)
    return "\n".join(line for line in outcome.stderr.splitlines() if "WARNING" in line)


def test_rows_that_this_run_wrote_without_a_version_stay(database: str) -> None:
    said = loaded(database, *rows(None, 1, 2), activate(1), STATE({"a": 1}))
    assert table(database, "t", "id") == [(1,), (2,)]
    assert (
        said.count(
            "ACTIVATE_VERSION of stream `t` found 2 rows of the table public.t without a version, and leaves"
        )
        == 1
    )
    assert "Have the tap send `version` with each record, or remove by hand what is gone" in said
    assert "DELETE" not in said, "it would remove the rows of this run"


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_rows_from_before_versions_stay_and_the_statement_that_is_told_removes_them(
    database: str, hard: bool
) -> None:
    loaded(database, activate(1), *rows(1, 1, 2), STATE({"a": 1}), metadata=False)
    again = [activate(1), *rows(1, 3), activate(1), STATE({"a": 2}), activate(1), STATE({"a": 3})]
    said = loaded(database, *again, hard_delete=hard)
    alive = "SELECT id FROM t WHERE _sdc_deleted_at IS NULL ORDER BY id"
    assert query(database, alive) == [(1,), (2,), (3,)]
    assert said.count("found 2 rows of the table public.t without a version, ") == 1
    found = re.search(r"If it is gone at the source, remove it with `([^`]+)`\.", said)
    assert found
    query(database, found[1])
    assert query(database, alive) == [(3,)]
    assert "without a version" not in loaded(
        database, activate(1), *rows(1, 4), STATE({"a": 4}), hard_delete=hard
    )


def test_rows_that_are_written_without_versions_keep_old_ones_and_the_run_says_so(database: str) -> None:
    first = [activate(1), *rows(1, 1, 2), activate(1), STATE({"a": 1})]
    assert "keep the version" not in loaded(database, *first, metadata=False), "there are none"
    assert "keep the version" not in loaded(database, *first)
    again = [*rows(2, 1, 2), activate(2), STATE({"a": 2})]
    said = loaded(database, *again, activate(2), STATE({"a": 3}), metadata=False)
    assert said.count("ACTIVATE_VERSION of stream `t` is ignored") == 1
    statement = re.search(r"before you set it again, run `([^`]+)`\.", said)
    assert statement
    query(database, statement[1])
    loaded(database, activate(2), *rows(2, 3), STATE({"a": 4}))
    assert table(database, "t", "id") == [(1,), (2,), (3,)]


def test_a_row_that_comes_back_is_not_deleted_with_metadata_or_without(database: str) -> None:
    """Unchanged or not; and what is not written keeps its mark."""
    soft: dict[str, Any] = {"hard_delete": False}
    loaded(database, *rows(1, 1, 2, 3, 4), activate(1), STATE({"a": 1}), **soft)
    loaded(database, *rows(2, 1), activate(2), STATE({"a": 2}), **soft)
    wider = SCHEMA("t", {"id": INTEGER, "x": INTEGER}, ["id"])
    more = [RECORD("t", {"id": 3, "x": 1}), STATE({"a": 3})]
    load(database, T, *rows(None, 2), wider, *more, on_invalid="quarantine", **soft).expect(0)
    marked = "SELECT id, _sdc_deleted_at IS NOT NULL, _sdc_table_version FROM t ORDER BY id"
    assert query(database, marked) == [(1, False, 2), (2, False, 1), (3, False, 1), (4, True, 1)]
    loaded(database, *rows(2, 4), STATE({"a": 4}), **soft)
    assert query(database, marked)[-1] == (4, False, 2)


@pytest.mark.parametrize(
    "column", ["_sdc_deleted_at timestamptz", "_sdc_deleted_at boolean, _sdc_table_version bigint"]
)
def test_a_column_that_is_only_called_like_the_mark_keeps_its_values(database: str, column: str) -> None:
    query(database, f"CREATE TABLE t (id bigint PRIMARY KEY, {column})")
    value = "now()" if "timestamptz" in column else "true"
    query(database, f"INSERT INTO t (id, _sdc_deleted_at) VALUES (1, {value})")
    loaded(database, *rows(None, 1, 2), STATE({"a": 1}), metadata=False)
    kept = query(database, "SELECT id, _sdc_deleted_at IS NOT NULL FROM t ORDER BY id")
    assert kept == [(1, True), (2, False)]


@pytest.mark.parametrize(
    "behind", [[STATE({"done": 2}), activate(2)], [activate(2)], [STATE({"done": 2}), U, activate(2)]]
)
def test_a_version_behind_the_last_state_is_not_taken_where_the_input_ends_with_one(
    database: str, behind: list[Any]
) -> None:
    config: dict[str, Any] = {"add_record_metadata": True, "end_of_input": "state"}
    load(database, T, *rows(1, 1, 2), activate(1), STATE({"done": 1}), **config).expect(0)
    outcome = load(database, T, *behind, **config).expect(65)
    assert "behind its last STATE, with an ACTIVATE_VERSION after it" in outcome.last_words
    assert outcome.stdout == (DONE if len(behind) > 1 else b"")
    assert table(database, "t", "id") == [(1,), (2,)]
    load(database, T, *behind, STATE({"done": 3}), **config).expect(0)
    assert table(database, "t", "id") == []


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_a_version_does_not_take_the_rows_that_another_pipeline_has_loaded(database: str, hard: bool) -> None:
    """Each run deleted the rows of the other pipeline, with exit 0."""
    first = [*rows(1, 1, 2), activate(1), STATE({"bookmarks": {"t": {"a": 1}}})]
    second = [T, *rows(2, 2, 3), activate(2), STATE({"a": 2})]
    how: dict[str, Any] = {"pipeline": "two", "hard_delete": hard}
    assert "too: rows with one key" not in loaded(database, *first, pipeline="one", hard_delete=hard)
    refused = load(database, *second, add_record_metadata=True, on_invalid="quarantine", **how).expect(78)
    done = "delete" if hard else "mark as deleted"
    assert f"an ACTIVATE_VERSION that would {done} rows of other versions ends the run" in refused.stderr
    assert (
        f"would {done} 1 row of other versions in the table public.t, which the pipeline `one` has loaded"
        in refused.last_words
    )
    assert query(database, "SELECT id FROM t WHERE _sdc_deleted_at IS NULL ORDER BY id") == [(1,), (2,)]
    loaded(database, *first, pipeline="one", hard_delete=hard)  # which a refused one does not trouble
    said = loaded(database, *second, metadata=False, pipeline="two")
    assert "rows with one key replace each other. If the two" in said
    assert table(database, "t", "id") == [(1,), (2,), (3,)]


def test_the_former_name_of_a_pipeline_is_forgotten_with_the_command_that_is_told(database: str) -> None:
    loaded(database, *rows(1, 1, 2), activate(1), STATE({"a": 1}), pipeline="one")
    loaded(database, *rows(2, 1, 2), activate(2), STATE({"a": 2}), pipeline="two")  # no row would go
    third = [T, *rows(3, 2), activate(3), STATE({"a": 3})]
    refused = load(database, *third, add_record_metadata=True, pipeline="two").expect(78).last_words
    command = refused.split("forget its state with `")[1].split("`")[0]
    assert command.endswith(" --pipeline one --start-over")
    load(database, arguments=shlex.split(command)[-3:], pipeline="two").expect(0)
    loaded(database, *third[1:], pipeline="two")
    assert table(database, "t", "id") == [(2,)]


ANEW = "ALTER TABLE c DROP CONSTRAINT f, ADD CONSTRAINT f FOREIGN KEY (t) REFERENCES t ON DELETE"


@pytest.mark.parametrize("invalid", ["fail", "quarantine"])
@pytest.mark.parametrize(("deferred", "way", "config"), [
    ("", "DELETE FROM c", {}),
    ("", "UPDATE c SET t = 1", {}),
    ("", f"{ANEW} CASCADE", {}),
    ("DEFERRABLE INITIALLY DEFERRED", f"{ANEW} SET NULL", {}),
    ("DEFERRABLE INITIALLY DEFERRED", "", {"hard_delete": False}),
])  # fmt: skip
def test_rows_that_refer_to_one_that_goes(
    database: str, deferred: str, way: str, config: dict[str, Any], invalid: str
) -> None:
    """The advice is tried, each piece of it."""
    loaded(database, *rows(1, 1, 2), activate(1), STATE({"a": 1}))
    query(
        database, f"CREATE TABLE c (t bigint CONSTRAINT f REFERENCES t {deferred}); INSERT INTO c VALUES (2)"
    )
    second = [*rows(2, 1), activate(2), STATE({"a": 2})]
    outcome = load(database, T, *second, add_record_metadata=True, on_invalid=invalid).expect(65)
    for piece in (
        "at ACTIVATE_VERSION of stream `t`: rows of the table public.c refer to them",
        "the foreign key `f`",
    ):
        assert piece in outcome.last_words
    assert "at the source" not in outcome.last_words
    assert table(database, "t", "id") == [(1,), (2,)]
    if way:
        query(database, way)
    loaded(database, *second, on_invalid=invalid, **config)
    assert query(database, "SELECT id FROM t WHERE _sdc_deleted_at IS NULL") == [(1,)]


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_a_trigger_that_refuses_to_let_rows_go(database: str, hard: bool) -> None:
    loaded(database, *rows(1, 1, 2), activate(1), STATE({"a": 1}))
    query(
        database,
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no %', OLD.id; END$$; "
        f"CREATE TRIGGER no BEFORE {'DELETE' if hard else 'UPDATE'} ON t FOR EACH ROW EXECUTE FUNCTION no()",
    )
    second = [*rows(2, 3), activate(2), STATE({"a": 2})]
    said = load(database, T, *second, add_record_metadata=True, hard_delete=hard).expect(65).last_words
    assert f"refused to {'delete' if hard else 'mark'} rows of other versions at ACTIVATE_VERSION" in said
    assert f"`hard_delete` to {'false' if hard else 'true'}" in said
    loaded(database, *second, hard_delete=not hard)
    assert query(database, "SELECT id FROM t WHERE _sdc_deleted_at IS NULL") == [(3,)]


def test_rows_of_another_loader_have_no_version(database: str) -> None:
    query(database, "CREATE TABLE t (id bigint PRIMARY KEY); INSERT INTO t VALUES (1)")
    assert "found 1 row of the table public.t without a version, " in loaded(
        database, *rows(1, 4), activate(1)
    )
    assert table(database, "t", "id") == [(1,), (4,)]


def test_versions_as_text_are_the_integers_they_are(database: str) -> None:
    assert loaded(database, *rows("7", 1, 2), activate(7), STATE({"a": 1})) == ""
    assert query(database, "SELECT id, _sdc_table_version FROM t ORDER BY id") == [(1, 7), (2, 7)]
    loaded(database, *rows("next", 3), activate(7), code=65)


def test_what_a_committed_state_covers_is_done_whatever_comes_then(database: str) -> None:
    loaded(database, *FIRST)
    outcome = load(database, T, *SECOND, U, RECORD("u", {"id": "bad"}), add_record_metadata=True).expect(65)
    assert outcome.stdout == DONE
    assert table(database, "t", "id") == [(1,)]


def test_a_run_that_is_killed_after_a_commit_has_activated_what_is_before_it(database: str) -> None:
    loaded(database, *FIRST)
    with running(database, add_record_metadata=True, commit_rows=1) as process:
        process.send(lines(T, *SECOND, *rows(2, 3)))
        assert process.wait_for(lambda printed: printed == [DONE])
        process.signal(signal.SIGKILL)
        process.finish(close=False)
    assert table(database, "t", "id") == [(1,)]


def test_a_run_that_is_stopped_has_activated_what_its_last_state_covers(database: str) -> None:
    loaded(database, *FIRST)
    with running(database, add_record_metadata=True) as process:
        process.send(lines(T, *SECOND, *rows(3, 3), activate(3)))
        wait_until(lambda: in_transaction(database), "a transaction")
        process.signal(signal.SIGTERM)
        assert process.finish().expect(143).stdout == DONE
    assert table(database, "t", "id") == [(1,)]


def test_a_version_of_a_unit_that_is_lost_is_activated_again(database: str) -> None:
    loaded(database, *FIRST)
    with running(database, add_record_metadata=True) as process:
        process.send(lines(T, *SECOND, *rows(2, 3)))
        ((pid,),) = wait_until(lambda: in_transaction(database), "a transaction")
        query(database, "SELECT pg_terminate_backend(%s)", [pid])
        process.send(lines(STATE({"done": 3})))
        assert "written again" in process.finish().expect(0).stderr
    assert table(database, "t", "id") == [(1,), (3,)]


# --- versions that are not the newest ------------------------------------------------------------------------

IDS = "SELECT id FROM t WHERE _sdc_deleted_at IS NULL ORDER BY id"


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_a_version_of_an_older_load_takes_no_newer_rows(database: str, hard: bool) -> None:
    """It removed all rows, without a word."""
    loaded(database, *rows(3, 1, 2, 3), activate(3), STATE({"a": 1}), hard_delete=hard)
    loaded(database, *rows(5, 1, 2), STATE({"a": 2}), hard_delete=hard)  # a load that was cut off
    assert "older than 3 rows" in loaded(database, activate(2), STATE({"a": 3}), hard_delete=hard)
    said = loaded(database, activate(4), STATE({"a": 4}), activate(4), STATE({"a": 5}), hard_delete=hard)
    told = "(4) is older than 2 rows of newer versions (up to 5) of the table public.t, which stay"
    assert said.count(told) == 1
    assert query(database, IDS) == [(1,), (2,)]
    assert loaded(database, activate(5), STATE({"a": 6}), hard_delete=hard) == ""
    assert query(database, IDS) == [(1,), (2,)]
    removal = re.search(r"remove them with `([^`]+)`", said)
    assert removal
    query(database, removal[1])
    assert query(database, IDS) == []


@pytest.mark.parametrize("written", [(6, 5), (5, 6)], ids=str)
def test_records_of_a_load_that_has_begun_stay_at_the_version_of_the_one_before(
    database: str, written: tuple[int, ...]
) -> None:
    loaded(database, *rows(4, 9), activate(4), STATE({"a": 1}))
    records = [record for version in written for record in rows(version, version)]
    assert "is older than 1 row" in loaded(database, *records, activate(5), STATE({"a": 2}))
    assert query(database, IDS) == [(5,), (6,)]
    assert loaded(database, *rows(6, 6), activate(6), STATE({"a": 3})) == ""
    assert query(database, IDS) == [(6,)]


def test_versions_that_begin_anew_are_followed_and_told(database: str) -> None:
    loaded(database, *rows(9, 1, 2), activate(9), STATE({"a": 1}))
    said = loaded(database, *rows(1, 1), activate(1), STATE({"a": 2}))
    assert "(1), which the records of this run carry, has deleted 1 row of newer versions (up to 9)" in said
    assert query(database, IDS) == [(1,)]


def test_a_version_that_no_record_carries_is_told_where_it_takes_what_has_just_come(database: str) -> None:
    said = loaded(database, *rows(5, 1, 2), activate(6), STATE({"a": 1}))
    assert (
        "(6) has deleted 2 rows of older versions, those of this run among them, whose records carry 5"
        in said
    )
    assert query(database, IDS) == []
    assert loaded(database, activate(7), STATE({"a": 2}), rows_gone="accept") == ""


# --- fields with the names of metadata columns --------------------------------------------------------------

NAMES = [
    "_sdc_extracted_at", "_sdc_received_at", "_sdc_batched_at", "_sdc_deleted_at", "_sdc_sequence", "_sdc_table_version",
    "_sdc_sync_started_at",
]  # fmt: skip


@pytest.mark.parametrize(("type_", "value"), [("integer", 1700000000000), ("string", "1700000000000")])
def test_a_field_that_is_called_like_the_version_keeps_its_column(
    database: str, type_: str, value: Any
) -> None:
    own = SCHEMA("t", {"id": INTEGER, "_sdc_table_version": {"type": ["null", type_]}}, ["id"])
    records = [RECORD("t", {"id": n, "_sdc_table_version": value}, version=7) for n in (1, 2)]
    more = [RECORD("t", {"id": 3}, version=7), activate(7), STATE({"a": 1}), activate(7), STATE({"a": 2})]
    outcome = load(database, own, *records, *more, add_record_metadata=True).expect(0)
    stored = [(1, value), (2, value), (3, None)]
    assert query(database, "SELECT id, _sdc_table_version FROM t ORDER BY id") == stored
    said = "ACTIVATE_VERSION of stream `t` is passed over, and rows of other versions stay: the stream has a field"
    assert outcome.stderr.count(said) == 1
    advice = re.search(r"rename its column, as with `([^`]+)`\.", outcome.stderr)
    assert advice
    query(database, advice[1])
    assert "found 3 rows of the table public.t without a version, " in loaded(
        database, *rows(8, 4), activate(8)
    )
    assert query(database, "SELECT id, _sdc_table_version FROM t ORDER BY id") == [
        *((n, None) for n in (1, 2, 3)),
        (4, 8),
    ]


@pytest.mark.parametrize("exact", [False, True], ids=["fast", "exact"])
@pytest.mark.parametrize("missing", ["keep", "null"])
def test_fields_that_are_called_like_metadata_are_the_taps(database: str, missing: str, exact: bool) -> None:
    """With types that fit none of ours, and where a record leaves them out."""
    own = SCHEMA("t", {"id": INTEGER, "x": {}, **{name: BOOLEAN for name in NAMES}}, ["id"])
    message = {"version": 7, "time_extracted": "2026-01-02T03:04:05Z"}
    full = RECORD("t", {"id": 1, "x": "\\u0000" if exact else "", **dict.fromkeys(NAMES, True)}, **message)
    outcome = load(
        database,
        own,
        full,
        RECORD("t", {"id": 2}, **message),
        activate(7),
        STATE({"a": 1}),
        add_record_metadata=True,
        hard_delete=False,
        missing_fields=missing,
    ).expect(0)
    assert table(database, "t", "id", *NAMES) == [(1, *[True] * 7), (2, *[None] * 7)]
    assert "is passed over" in outcome.stderr


@pytest.mark.parametrize("left", NAMES)
def test_each_of_them_alone(database: str, left: str) -> None:
    own = SCHEMA("t", {"id": INTEGER, left: BOOLEAN}, ["id"])
    records = [RECORD("t", {"id": 1, left: True}, version=7), RECORD("t", {"id": 2}, version=7)]
    load(database, own, *records, activate(7), STATE({"a": 1}), add_record_metadata=True).expect(0)
    assert table(database, "t", "id", left) == [(1, True), (2, None)]
    others = [name for name in NAMES if name not in (left, "_sdc_extracted_at", "_sdc_deleted_at")]
    assert all(None not in row for row in table(database, "t", *others))


@pytest.mark.parametrize(("property_", "takes"), [
    ({"type": ["null", "string"], "format": "date-time"}, True),
    ({"type": ["null", "string"]}, True),
    ({"type": ["null", "integer"]}, False),
    ({}, False),
])  # fmt: skip
def test_rows_are_marked_in_a_field_of_the_tap_that_takes_times(
    database: str, property_: dict[str, Any], takes: bool
) -> None:
    own = SCHEMA("t", {"id": INTEGER, "_sdc_deleted_at": property_}, ["id"])
    config: dict[str, Any] = {"add_record_metadata": True, "hard_delete": False}
    outcome = load(database, own, *rows(1, 1), *rows(2, 2), activate(2), STATE({"a": 1}), **config).expect(0)
    marked = query(database, "SELECT id, _sdc_deleted_at IS NOT NULL FROM t ORDER BY id")
    assert marked == [(1, takes), (2, False)]
    assert ("`_sdc_deleted_at` of its own, whose column of type" in outcome.stderr) is not takes
    load(database, own, *rows(2, 2), activate(2), **(config | {"hard_delete": True})).expect(0)
    assert table(database, "t", "id") == [(2,)]


def test_metadata_columns_that_are_there_are_fitted_or_refused(database: str) -> None:
    query(
        database,
        "CREATE TABLE t (id bigint PRIMARY KEY, _sdc_table_version integer, _sdc_sequence smallint, "
        "_sdc_received_at timestamp, _sdc_deleted_at varchar, _sdc_sync_started_at numeric)",
    )
    assert "without a version" not in loaded(database, *rows(2**40, 1), activate(2**40))
    assert table(database, "t", "id", "_sdc_table_version") == [(1, 2**40)]
    query(
        database,
        "ALTER TABLE t ALTER _sdc_table_version TYPE text, ALTER _sdc_sequence TYPE boolean USING true, "
        "ALTER _sdc_deleted_at TYPE varchar(5), ALTER _sdc_sync_started_at TYPE numeric(5) USING 1, "
        "ALTER _sdc_batched_at TYPE date",
    )
    outcome = load(database, T, *rows(3, 1), add_record_metadata=True).expect(65)
    renamings = re.findall(r"`(ALTER TABLE [^`]+)`", outcome.last_words)
    assert len(renamings) == 5
    loaded(database, *rows(3, 1), metadata=False)
    query(database, ";".join(renamings))
    loaded(database, *rows(4, 1, 2), activate(4))
    assert table(database, "t", "id", "_sdc_table_version") == [(1, 4), (2, 4)]


@pytest.mark.parametrize("commit_rows", [1, 20_000, 500_000])
def test_a_version_behind_a_batch_that_is_not_full_takes_no_row_of_it(
    database: str, commit_rows: int
) -> None:
    """Of a known loader: of 21,000 rows it deletes the 20,000 that it has written, with exit code 0."""
    loaded(database, *rows(1, 1, 99_999), activate(1), STATE({"a": 1}))
    batches = [
        [*rows(2, *range(first, first + 5_000)), STATE({"a": first})] for first in range(0, 20_000, 5_000)
    ]
    messages = [message for batch in batches for message in batch]
    last = rows(2, *range(20_000, 21_000))
    loaded(database, *messages, *last, activate(2), STATE({"a": 2}), commit_rows=commit_rows)
    assert query(database, "SELECT count(*), min(id), max(id) FROM t") == [(21_000, 0, 20_999)]


def test_append_only_keeps_the_rows_of_other_versions(database: str) -> None:
    """They were deleted: "always appends" lost to the default of `hard_delete`."""
    loaded(database, *FIRST, load_method="append-only")
    said = loaded(database, *SECOND, load_method="append-only")
    assert table(database, "t", "id") == [(1,), (1,), (2,)]
    assert said.count("ACTIVATE_VERSION of stream `t` (2) removes nothing under `load_method: append`") == 1
    marked = loaded(database, *SECOND, load_method="append-only", hard_delete=False)
    assert "ACTIVATE_VERSION" not in marked
    assert query(database, "SELECT _sdc_table_version, _sdc_deleted_at IS NULL FROM t ORDER BY 1") == [
        (1, False),
        (1, False),
        (2, True),
        (2, True),
    ]
    refused = load(database, T, *FIRST, load_method="append-only", hard_delete=True).expect(78)
    assert "Expected `false` at `hard_delete`, or nothing" in refused.last_words
