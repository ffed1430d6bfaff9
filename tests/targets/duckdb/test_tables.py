"""Tables that change: columns, types, names, versions, and tables that are there already."""

from __future__ import annotations

import io
import re
import shlex
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conformance.processes import run
from conformance.singer import RECORD, SCHEMA, STATE, lines
from targets.duckdb.test_target_duckdb import BIN, TEXT, file, load, query, record, rows, schema, state

from singerkit_shell.errors import CannotWriteError
from singerkit_sql_target.dialect import Field
from singerkit_sql_target.stage import Part, Stage
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.wirecolumns import WireColumns
from target_duckdb import retyping
from target_duckdb.connect import DuckDialect
from target_duckdb.target import TargetDuckDB

__all__ = ["file"]

INTEGER, NUMBER = {"type": ["integer", "null"]}, {"type": ["number", "null"]}


def types_of(file: Path, table: str = "s") -> dict[str, str]:
    return {name: type_ for name, type_, *_ in query(file, f'DESCRIBE "{table}"')}


# --- evolution -----------------------------------------------------------------------------------------------


def test_columns_are_added_and_others_keep_what_they_have(file: Path) -> None:
    load(file, schema("id", a=TEXT), record(id=1, a="a"), STATE({"at": 1})).expect(0)
    more = load(file, schema("id", b=INTEGER), record(id=1, b=2), record(id=2, b=3), STATE({"at": 2})).expect(
        0
    )
    assert "Columns added for stream `s`: `b`." in more.stderr
    assert rows(file) == [(1, "a", 2), (2, None, 3)]


def test_a_schema_that_changes_in_mid_stream_keeps_the_rows_before_it(file: Path) -> None:
    messages = [
        schema("id", a=INTEGER),
        record(id=1, a=5),
        schema("id", a=NUMBER, b=TEXT),
        record(id=2, a=1.5, b="x"),
        STATE({"at": 1}),
    ]
    load(file, *messages).expect(0)
    assert types_of(file)["a"] == "DECIMAL(38,9)"
    assert rows(file, columns="id, CAST(a AS DOUBLE), b") == [(1, 5.0, None), (2, 1.5, "x")]


def test_integers_widen_with_what_is_stored(file: Path) -> None:
    load(file, schema("id", a=INTEGER), record(id=1, a=2**63 - 1), STATE({"at": 1})).expect(0)
    load(file, schema("id", a=INTEGER), record(id=2, a=2**63), record(id=3, a=1), STATE({"at": 2})).expect(0)
    assert types_of(file)["a"] == "DECIMAL(38,0)"
    assert rows(file, columns="id, CAST(a AS VARCHAR)") == [(1, str(2**63 - 1)), (2, str(2**63)), (3, "1")]
    load(file, schema("id", a=INTEGER), record(id=3, a=4), STATE({"at": 3})).expect(0)
    assert rows(file, columns="id, CAST(a AS VARCHAR)")[2] == (3, "4")


def test_another_type_is_refused_with_statements_that_help(file: Path) -> None:
    load(file, schema("id", a=INTEGER), record(id=1, a=5), STATE({"at": 1})).expect(0)
    said = (
        load(file, schema("id", a=TEXT), record(id=2, a="x"), STATE({"at": 2}), on_type_conflict="fail")
        .expect(65)
        .last_words
    )
    assert "Expected a column of type `VARCHAR` for `a` of stream `s`, got `BIGINT` in the table" in said
    query(file, said.split("with `")[1].split("`")[0])
    load(
        file, schema("id", a=TEXT), record(id=2, a="x"), STATE({"at": 2}), column_types={"s.a": "VARCHAR"}
    ).expect(0)
    assert rows(file) == [(1, "5"), (2, "x")]


def test_a_column_of_a_type_that_nobody_knows_is_named_and_left(file: Path) -> None:
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE s AS SELECT 7 AS id, {'x': 1} AS a")
    refused = load(
        file, schema("id", a=TEXT), record(id=1, a="x"), STATE({"at": 1}), on_type_conflict="fail"
    ).expect(65)
    assert "for `a` of stream `s`, got `STRUCT(x INTEGER)` in the table" in refused.last_words
    assert rows(file) == [(7, {"x": 1})]


def test_a_key_of_another_type_is_not_to_be_made_text(file: Path) -> None:
    """DuckDB would write a moment otherwise than the source does, so that each row came beside itself."""
    moment = {"type": "string", "format": "date-time"}
    load(file, schema("at", at=moment), record(at="2026-01-01T00:00:00Z"), STATE({"at": 1})).expect(0)
    refused = load(file, schema("at", at=TEXT), record(at="2026-01-01T00:00:00Z"), STATE({"at": 2})).expect(
        65
    )
    assert "`at` is a part of the key" in refused.stderr
    assert "TYPE VARCHAR" not in refused.stderr
    assert "read the stream anew: run " in refused.stderr


def test_a_column_without_a_value_takes_the_type_that_comes(file: Path) -> None:
    load(file, schema("id", a={"type": "null"}), record(id=1, a=None), STATE({"at": 1})).expect(0)
    load(file, schema("id", a=TEXT), record(id=2, a="x"), STATE({"at": 2})).expect(0)
    assert (types_of(file)["a"], rows(file)) == ("VARCHAR", [(1, None), (2, "x")])


def test_values_that_wait_are_not_turned_into_another_type(file: Path) -> None:
    messages = [
        schema("id", a=INTEGER),
        record(id=1, a=5),
        schema("id", a=TEXT),
        record(id=2, a="x"),
        STATE({"at": 1}),
    ]
    refused = load(file, *messages, on_type_conflict="fail").expect(65)
    assert "got `BIGINT` in the table" in refused.last_words
    assert rows(file) == []
    load(file, *messages).expect(0)
    assert rows(file) == [(1, 5, None), (2, None, "x")]


# --- names ---------------------------------------------------------------------------------------------------


def test_names_that_differ_in_case_only_are_one_column_and_one_table(file: Path) -> None:
    both = load(file, schema("id", Name=TEXT, name=TEXT), record(id=1), STATE({"at": 1}))
    assert "got `Name` and `name`, which are one column to DuckDB" in both.expect(65).last_words
    streams = [SCHEMA("S", {"id": INTEGER}, []), SCHEMA("s", {"id": INTEGER}, []), STATE({"at": 1})]
    assert "got `S` and `s`, which are one table to DuckDB" in load(file, *streams).expect(65).last_words
    load(file, schema("id", Name=TEXT), record(id=1, Name="a"), STATE({"at": 1})).expect(0)
    load(
        file,
        SCHEMA("s", {"ID": INTEGER, "name": TEXT}, ["ID"]),
        RECORD("s", {"ID": 1, "name": "b"}),
        STATE({"at": 2}),
    ).expect(0)
    assert (types_of(file).keys(), rows(file)) == ({"id", "Name"}, [(1, "b")])


def test_odd_names_are_kept(file: Path) -> None:
    # `Ö` and `ö` are two letters to DuckDB, `O` and `o` are one.
    names = ['say "hi"; --', "select", "%(x)s", "a.b", "Größe 🍣", "GrÖße 🍣", "x" * 500, "rowid", "_n"]
    for at in (1, 2):
        streams = [
            [SCHEMA(name, {name: INTEGER, "v": TEXT}, [name]), RECORD(name, {name: 1, "v": str(at)})]
            for name in names
        ]
        load(file, *(message for both in streams for message in both), STATE({"at": at})).expect(0)
    for name in names:
        quoted = name.replace('"', '""')
        assert query(file, f'SELECT "{quoted}", v FROM "{quoted}"') == [(1, "2")]


@pytest.mark.parametrize(
    ("stream", "field", "words"),
    [
        ("s", "a\0b", "a NUL character"),
        ("_SingerKit_Rejects", "a", "the name of a table that this target keeps for itself"),
        ("s", "_singerkit_order", "which this target keeps for itself"),
    ],
)
def test_names_that_cannot_be_are_refused(file: Path, stream: str, field: str, words: str) -> None:
    done = load(
        file,
        SCHEMA(stream, {"id": INTEGER, field: TEXT}, ["id"]),
        RECORD(stream, {"id": 1}),
        STATE({"at": 1}),
    )
    assert words in done.expect(65).last_words


def test_what_is_no_table_of_that_name_is_left_alone(file: Path) -> None:
    query(file, "CREATE VIEW s AS SELECT 1 AS id")
    assert "or nothing of that name, got a view" in load(file, schema("id")).expect(65).last_words
    query(file, "CREATE SCHEMA other; CREATE TABLE other._singerkit_state (a INT)")
    other = load(file, schema("id"), default_target_schema="Other")
    assert "is not the one this target keeps its state in" in other.expect(78).last_words


def test_a_table_of_the_users_own_with_a_key_and_more_columns(file: Path) -> None:
    query(file, "CREATE TABLE s (id BIGINT PRIMARY KEY, t VARCHAR NOT NULL, mine INTEGER DEFAULT 7)")
    query(file, "INSERT INTO s VALUES (1, 'old', 1)")
    load(file, schema("id", t=TEXT), record(id=1, t="new"), record(id=2, t="x"), STATE({"at": 1})).expect(0)
    assert rows(file) == [(1, "new", 1), (2, "x", 7)]
    null = [schema("id", t=TEXT), record(id=3, t=None), STATE({"at": 2})]
    refused = load(file, *null, on_invalid="quarantine").expect(65)
    said = (
        "refused rows while storing rows of stream `s`: NOT NULL constraint failed: s.t; what was committed"
    )
    assert said in refused.last_words
    assert state(file) == (1, {"at": 1})
    query(file, "ALTER TABLE s ALTER t DROP NOT NULL")
    load(file, *null).expect(0)


def test_a_constraint_is_named_without_the_values_of_the_row(tmp_path: Path) -> None:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE p (id VARCHAR PRIMARY KEY, n INT CHECK (n < 5), u VARCHAR)")
    connection.execute("CREATE TABLE c (id VARCHAR REFERENCES p (id)); CREATE UNIQUE INDEX i ON p (u)")
    connection.execute("INSERT INTO p VALUES ('secret', 1, 'secret')")
    dialect = DuckDialect(tmp_path / "w.duckdb")
    for values, words in [
        (
            "p VALUES ('a', 7, 'a')",
            "x: CHECK constraint failed on table p with expression CHECK((n < 5)); what",
        ),
        ("p VALUES ('secret', 1, 'b')", "x: a primary key or a unique index of its table; what"),
        ("p VALUES ('b', 1, 'secret')", "x: a primary key or a unique index of its table; what"),
        ("c VALUES ('secret2')", "x: a foreign key of its table; what"),
    ]:
        with pytest.raises(duckdb.ConstraintException) as refused:
            connection.execute(f"INSERT INTO {values}")
        said = str(dialect.error(refused.value, "x"))
        assert words in said
        assert "secret" not in said


def test_a_generated_column_of_a_field_is_named_and_can_be_dropped(file: Path) -> None:
    query(file, "CREATE TABLE s (id BIGINT DEFAULT 7, t VARCHAR GENERATED ALWAYS AS (CAST(id AS VARCHAR)))")
    messages = [schema("id", t=TEXT), record(id=1, t="a"), STATE({"at": 1})]
    said = load(file, *messages).expect(65).last_words
    assert "Expected a column that can be written for `t` of stream `s`, got a generated one" in said
    query(file, said.split("plain column with `")[1].split("`")[0])
    load(file, *messages).expect(0)
    assert rows(file) == [(1, "a")]


def test_keys_and_values_that_a_collation_takes_for_one_stay_two(file: Path) -> None:
    """A table of the user's with NOCASE: a row was lost, and a value that changed its case was not written."""
    query(file, "CREATE TABLE s (id VARCHAR COLLATE NOCASE, t VARCHAR COLLATE NOCASE.NOACCENT)")
    query(file, "INSERT INTO s VALUES ('a', 'x'), ('b', 'e')")
    fed = [record(id="A", t="q"), record(id="a", t="X"), record(id="b", t="é")]
    load(file, SCHEMA("s", {"id": TEXT, "t": TEXT}, ["id"]), *fed, STATE({"at": 1})).expect(0)
    assert sorted(rows(file)) == [("A", "q"), ("a", "X"), ("b", "é")]


def test_a_table_with_the_name_of_a_stage_is_a_table_like_any_other(file: Path) -> None:
    """DuckDB takes the temporary table of a name for the one in `main`: all rows were lost."""
    session = DuckDialect(file).connect()
    stage = Stage()
    stage.append(
        session, "s", [Field("id", "BIGINT", Column("id", Kind.INTEGER, True, True))], WireColumns([(1,)]), 1
    )
    stage.flush(session)
    [(name,)] = session.execute("SELECT table_name FROM duckdb_tables() WHERE temporary")
    [(_, part)] = stage
    assert isinstance(part, Part)
    assert part.name == name  # of what is read from memory, too
    session.close()
    assert len(name) > 32  # nobody has it by chance


@pytest.mark.parametrize("name", ["temp", "System", "information_schema", "w"])
def test_a_schema_that_duckdb_does_not_tell_apart_is_refused(file: Path, name: str) -> None:
    """The database of the file `w.duckdb` is called `w`."""
    refused = load(file, schema("id"), default_target_schema=name).expect(78).last_words
    assert f"Expected a schema of another name at `default_target_schema`, got `{name}`" in refused


def test_a_column_that_cannot_change_its_type_is_named(file: Path) -> None:
    query(file, "CREATE TABLE s (id INTEGER PRIMARY KEY)")
    refused = load(file, schema("id"), record(id=1), STATE({"at": 1})).expect(65)
    assert (
        "Expected a column of type `BIGINT` for `id` of stream `s`, got `INTEGER` in the table"
        in refused.last_words
    )


def test_an_index_of_which_column_ever_keeps_types_and_is_named_and_the_advice_works(file: Path) -> None:
    load(file, schema("id", t=TEXT), record(id=1, t="a"), STATE({"at": 1})).expect(0)
    query(file, 'CREATE INDEX "by t" ON s (t)')
    wide = [schema("id", t=TEXT, w=INTEGER), record(id=2, w=1), record(id=3, w=2**70), STATE({"at": 2})]
    refused = load(file, *wide).expect(65)
    assert 'whichever column it is, while the table has the index `"main"."by t"`' in refused.last_words
    assert "an integer beyond 64 bits" not in refused.stderr
    query(file, refused.last_words.split("untouched: run `")[1].split("`")[0])
    told = load(file, *wide).expect(0).stderr
    assert told.count("an integer beyond 64 bits; column `w` becomes DECIMAL(38,0)") == 1
    assert rows(file, columns="id, w") == [(1, None), (2, 1), (3, 2**70)]


@pytest.mark.parametrize(
    ("types", "said"),
    [(["number", "string"], "`1` and `1.0`"), (["object", "array"], "two orders of its fields")],
)
def test_of_a_key_in_a_document_the_truth_is_told_once(file: Path, types: list[str], said: str) -> None:
    keyed = SCHEMA("s", {"k": {"type": types}}, ["k"])
    column = {"s.k": "JSON"}
    told = load(file, keyed, STATE({"at": 1}), column_types=column).expect(0).stderr
    assert f"{said} are two keys there. If the source writes a value in more than one way, have it" in told
    again = load(file, keyed, STATE({"at": 2}), column_types=column).expect(0).stderr
    assert "are two keys there" not in again


# --- keys ----------------------------------------------------------------------------------------------------


def test_a_key_that_stored_rows_do_not_have_is_refused_and_the_advice_works(file: Path) -> None:
    """Rows under the former key stayed beside those under the new one."""
    start = STATE({"bookmarks": {"s": {"replication_key_value": 1}}})
    load(file, schema("id", t=TEXT), record(id=1, t="a"), record(id=2, t="a"), start).expect(0)
    longer = [
        SCHEMA("s", {"id": INTEGER, "t": TEXT, "r": TEXT}, ["id", "r"]),
        record(id=1, t="b", r="eu"),
        start,
    ]
    for messages in (longer, [SCHEMA("s", {"id": INTEGER, "t": TEXT}, ["t"]), record(id=3, t="a"), start]):
        said = load(file, *messages).expect(65).last_words
        assert (
            "to be unique and not null in the table main.s, got rows that are not, since they were loaded by the key `id`"
            in said
        )
    assert types_of(file).keys() == {"id", "t"}
    load(file, schema("id", t=TEXT), record(id=1, t="c"), start).expect(0)
    command = shlex.split(said.split("run `")[1].split("`")[0])
    run([str(BIN / command[0]), *command[1:]]).expect(0)
    query(file, said.split("`, `")[-1].split("`")[0])
    load(file, *longer).expect(0)
    assert rows(file) == [(1, "b", "eu")]


def test_another_key_that_stored_rows_have_is_taken_with_a_warning(file: Path) -> None:
    load(file, schema("id", t=TEXT), record(id=1, t="a"), record(id=2, t="b"), STATE({"at": 1})).expect(0)
    by_text = SCHEMA("s", {"id": INTEGER, "t": TEXT}, ["t"])
    told = load(file, by_text, record(id=7, t="a"), STATE({"at": 2})).expect(0)
    assert "The key of the table of stream `s` is `t` now, and was `id`" in told.stderr
    assert rows(file) == [(2, "b"), (7, "a")]
    assert "is `t` now" not in load(file, by_text, STATE({"at": 3})).expect(0).stderr


def test_a_stream_that_has_lost_its_key_is_refused_unless_rows_are_to_be_appended(file: Path) -> None:
    load(file, schema("id", t=TEXT), record(id=1, t="a"), STATE({"at": 1})).expect(0)
    keyless = [SCHEMA("s", {"id": INTEGER, "t": TEXT}, []), record(id=1, t="a"), STATE({"at": 2})]
    said = load(file, *keyless).expect(65).last_words
    assert "Stream `s` has no key, and rows of its table main.s replace each other by `id`" in said
    load(file, *keyless, load_method="append-only").expect(0)
    assert len(rows(file)) == 2
    assert "to be unique and not null" in load(file, schema("id", t=TEXT)).expect(65).last_words


def test_a_comment_of_the_users_stays_and_the_key_is_looked_at_by_each_run(file: Path) -> None:
    query(file, "CREATE TABLE s (id BIGINT); COMMENT ON TABLE s IS 'mine'; INSERT INTO s VALUES (1)")
    load(file, schema("id"), record(id=1), STATE({"at": 1})).expect(0)
    assert query(file, "SELECT comment FROM duckdb_tables() WHERE table_name = 's'") == [("mine",)]
    query(file, "INSERT INTO s VALUES (1)")
    assert "to be unique and not null" in load(file, schema("id")).expect(65).last_words


def test_a_key_that_changes_between_rows_that_are_committed_together(file: Path) -> None:
    """Each row replaces others by the key under which it came."""
    by_text = SCHEMA("s", {"id": INTEGER, "t": TEXT}, ["t"])
    first = [schema("id", t=TEXT), record(id=1, t="a"), record(id=1, t="b"), record(id=2, t="c")]
    load(file, *first, by_text, record(id=3, t="b"), record(id=1, t="d"), STATE({"at": 1})).expect(0)
    assert sorted(rows(file)) == [(1, "d"), (2, "c"), (3, "b")]
    load(file, by_text, STATE({"at": 2})).expect(0)
    same = [schema("id", t=TEXT), record(id=4, t="c"), by_text, record(id=5, t="x"), STATE({"at": 3})]
    assert "Expected the key `t` of stream `s` to be unique" in load(file, *same).expect(65).last_words
    assert sorted(rows(file)) == [(1, "d"), (2, "c"), (3, "b")]


# --- versions, dead letters, metadata ------------------------------------------------------------------------


def activate(version: int) -> Any:
    return {"type": "ACTIVATE_VERSION", "stream": "s", "version": version}


def versioned(version: int, *ids: int) -> list[Any]:
    return [RECORD("s", {"id": n}, version=version) for n in ids]


@pytest.mark.parametrize(("hard", "there"), [(True, [2, 3]), (False, [1, 2, 3])])
def test_rows_of_other_versions_go_or_are_marked(file: Path, hard: bool, there: list[int]) -> None:
    config = {"add_record_metadata": True, "hard_delete": hard}
    load(file, schema("id"), *versioned(1, 1, 2), activate(1), STATE({"at": 1}), **config).expect(0)
    load(file, schema("id"), *versioned(2, 2, 3), activate(2), STATE({"at": 2}), **config).expect(0)
    assert [row[0] for row in rows(file, columns="id")] == there
    marked = rows(file, columns="id, _sdc_deleted_at IS NOT NULL, _sdc_table_version")
    assert [row for row in marked if row[1]] == ([] if hard else [(1, True, 1)])
    load(file, schema("id"), *versioned(3, 1), activate(3), STATE({"at": 3}), **config).expect(0)
    assert (1, False, 3) in rows(file, columns="id, _sdc_deleted_at IS NOT NULL, _sdc_table_version")


def test_rows_that_a_foreign_key_refers_to_are_marked_where_the_advice_is_followed(file: Path) -> None:
    query(file, "CREATE TABLE s (id BIGINT PRIMARY KEY); CREATE TABLE c (x BIGINT REFERENCES s (id))")
    first = [schema("id"), *versioned(1, 1, 2), activate(1), STATE({"at": 1})]
    load(file, *first, add_record_metadata=True).expect(0)
    query(file, "INSERT INTO c VALUES (1)")
    second = [schema("id"), *versioned(2, 2), activate(2), STATE({"at": 2})]
    refused = load(file, *second, add_record_metadata=True).expect(65).last_words
    assert "DuckDB refused to delete rows of other versions at ACTIVATE_VERSION of stream `s`" in refused
    load(file, *second, add_record_metadata=True, hard_delete=False).expect(0)
    marked = rows(file, columns="id, _sdc_deleted_at IS NOT NULL")
    assert sorted(marked) == [(1, True), (2, False)]


@pytest.mark.parametrize("hard", [True, False])
def test_a_version_does_not_take_the_rows_that_another_pipeline_has_loaded(file: Path, hard: bool) -> None:
    """Each run deleted the rows of the other pipeline, with exit 0."""
    config = {"add_record_metadata": True, "hard_delete": hard}
    there = "id, _sdc_table_version, _sdc_deleted_at IS NULL"
    first = [schema("id"), *versioned(1, 1, 2), activate(1), STATE({"at": 1})]
    second = [schema("id"), *versioned(2, 2, 3), activate(2), STATE({"at": 2})]
    load(file, *first, pipeline="one", **config).expect(0)
    refused = load(file, *second, pipeline="two", on_invalid="quarantine", **config).expect(78)
    done = "delete" if hard else "mark as deleted"
    assert (
        f"would {done} 1 row of other versions in the table main.s, which the pipeline `one`"
        in refused.last_words
    )
    assert rows(file, columns=there) == [(1, 1, True), (2, 1, True)]
    command = refused.last_words.split("forget its state with `")[1].split("`")[0]
    run([str(BIN / "target-duckdb"), *shlex.split(command)[1:]], cwd=file.parent).expect(0)
    load(file, *second, pipeline="two", **config).expect(0)
    assert rows(file, columns=there)[-2:] == [(2, 2, True), (3, 2, True)]
    mixed = [schema("id"), *versioned(3, 7), activate(3), STATE({"at": 3})]
    load(file, *mixed, pipeline="one", hard_delete=hard).expect(0)
    assert {2, 3, 7} <= {row[0] for row in rows(file, columns=there)}


def test_a_version_of_an_older_load_takes_no_newer_rows(file: Path) -> None:
    """Nor what comes behind it in its unit, which is no record of it."""
    config = {"add_record_metadata": True}
    load(file, schema("id"), *versioned(5, 1, 2), activate(5), STATE({"at": 1}), **config).expect(0)
    behind = [activate(4), STATE({"at": 2}), *versioned(6, 3), STATE({"at": 3})]
    stale = load(file, schema("id"), *behind, **config).expect(0)
    assert "(4) is older than 2 rows of newer versions (up to 5) of the table main.s" in stale.stderr
    assert sorted(rows(file, columns="id")) == [(1,), (2,), (3,)]
    both = [*versioned(6, 3), activate(6), STATE({"at": 4}), *versioned(7, 4), STATE({"at": 5})]
    assert "ACTIVATE_VERSION" not in load(file, schema("id"), *both, **config).expect(0).stderr
    assert sorted(rows(file, columns="id")) == [(3,), (4,)]
    anew = [*versioned(1, 3), activate(1), STATE({"at": 6})]
    assert (
        "has deleted 1 row of newer versions (up to 7)"
        in load(file, schema("id"), *anew, **config).expect(0).stderr
    )
    assert rows(file, columns="id") == [(3,)]


def test_a_version_is_taken_back_with_the_unit_that_failed(file: Path) -> None:
    config = {"add_record_metadata": True}
    load(file, schema("id"), *versioned(1, 1, 2), activate(1), STATE({"at": 1}), **config).expect(0)
    load(
        file, schema("id"), *versioned(2, 3), activate(2), record(id="no"), STATE({"at": 2}), **config
    ).expect(65)
    assert [row[0] for row in rows(file, columns="id")] == [1, 2]


def test_a_column_beside_one_is_made_with_what_it_is_known_by(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in between, the next run made a second one."""
    messages = [SCHEMA("t", {"id": {"type": "integer"}, "n": {"type": "integer"}}, ["id"])]
    odd = [*messages, RECORD("t", {"id": 1, "n": "odd"}), STATE({"n": 1})]
    load(file, *messages, RECORD("t", {"id": 1, "n": 1}), STATE({"n": 0})).expect(0)

    class Killed(BaseException):
        pass

    def kill(*_: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("target_duckdb.connect._DuckSession.comment", kill)
        with pytest.raises(Killed):
            TargetDuckDB(config={"database": str(file)}).listen(io.BytesIO(lines(*odd)))
    load(file, *odd).expect(0)
    assert query(file, "SELECT * FROM t") == [(1, None, "odd")]


@pytest.mark.parametrize("beside", ["other", "RowId"])
def test_a_file_opens_after_a_kill_behind_a_column_that_got_another_type(
    file: Path, beside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB cannot read its own log where an expression of ALTER calls a function: everything in the file was lost."""
    types = {"n": "integer", "d": "number", "at": "string", "none": "integer", beside: "integer"}
    own = {name: {"type": [type_, "null"]} for name, type_ in types.items()}
    own["at"]["format"] = "date-time"
    declared = SCHEMA("t", {"id": {"type": "integer"}, **own}, ["id"])
    first = {"id": 1, "n": 5, "d": 1.5, "at": "2024-01-01T00:00:00Z", "none": None, beside: 1}
    load(file, declared, RECORD("t", first), RECORD("t", {"id": 2}), STATE({"n": 1})).expect(0)
    wider = {**own, "n": {"type": ["object", "null"]}, "none": {"type": ["object", "null"]}}
    other = {"id": 3, "n": {"a": 1}, "d": "x", "at": "y", "none": {"a": 1}, beside: 2}
    copies: list[Path] = []

    def copy_of_the_file() -> None:
        copies.append(file.with_name(f"{len(copies)}.duckdb"))
        for suffix in ("", ".wal"):
            if Path(f"{file}{suffix}").exists():
                shutil.copyfile(f"{file}{suffix}", f"{copies[-1]}{suffix}")

    class Killed:
        """A session that is killed behind each of its statements."""

        def __init__(self, session: Any) -> None:
            self._session = session

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

        def execute(self, statement: str) -> Any:
            found = self._session.execute(statement)
            copy_of_the_file()
            return found

    def retyped_and_killed(session: Any, *change: Any) -> None:
        retyping.retype(Killed(session), *change)
        copy_of_the_file()

    monkeypatch.setattr("target_duckdb.connect.retype", retyped_and_killed)
    messages = [
        SCHEMA("t", {"id": {"type": "integer"}, **wider}, ["id"]),
        RECORD("t", other),
        STATE({"n": 2}),
    ]
    config = {"database": str(file), "on_type_conflict": "widen"}
    TargetDuckDB(config=config).listen(io.BytesIO(lines(*messages)))
    assert len(copies) > 4 * 3
    for copy in copies:
        assert query(copy, "SELECT id FROM t ORDER BY id") == [(1,), (2,)]
    kept = 'SELECT n, d, "at", "none" FROM t ORDER BY id'
    was = [("5", "1.5", "2024-01-01T00:00:00Z", None), (None, None, None, None)]
    assert query(copies[-1], kept) == was
    assert query(file, kept) == [*was, ('{"a": 1}', "x", "y", '{"a": 1}')]


def test_metadata_columns_of_another_program_that_take_not_what_is_written_are_refused(file: Path) -> None:
    """It ended with 70."""
    with closing(duckdb.connect(str(file))) as connection:
        connection.execute("CREATE TABLE t (id BIGINT, _sdc_deleted_at TIMESTAMP, _sdc_sequence DATE)")
        connection.execute("INSERT INTO t VALUES (7, '2024-01-01', '2024-01-01')")
    messages = [SCHEMA("t", {"id": {"type": "integer"}}, ["id"]), RECORD("t", {"id": 1}), STATE({"n": 1})]
    refused = load(file, *messages, add_record_metadata=True).expect(65).last_words
    ways = re.findall(r"`(ALTER TABLE [^`]+)`", refused)
    assert len(ways) == 2
    with closing(duckdb.connect(str(file))) as connection:
        for way in ways:
            connection.execute(way)
    load(file, *messages, add_record_metadata=True).expect(0)


def test_versions_without_metadata_or_that_nothing_can_follow_are_told(file: Path) -> None:
    plain = load(file, schema("id"), *versioned(1, 1), activate(1), STATE({"at": 1})).expect(0)
    assert "is ignored: rows carry no version without `add_record_metadata`" in plain.stderr
    appended = load(
        file, schema("id"), *versioned(2, 1), activate(2), STATE({"at": 2}), load_method="append-only"
    )
    assert "removes nothing under `load_method: append`" in appended.expect(0).stderr
    both = {"load_method": "append-only", "hard_delete": True}
    assert "`load_method: append` deletes no row" in load(file, schema("id"), **both).expect(78).last_words


@pytest.mark.parametrize(
    ("keys", "left"),
    [
        (["id"], "those that are gone at the source stay"),
        (
            [],
            "each complete load of this stream, which has no key, adds all its rows to those that are there",
        ),
    ],
)
def test_what_a_version_leaves_without_metadata_is_said_and_the_advice_works(
    file: Path, keys: list[str], left: str
) -> None:
    def loaded(version: int, *ids: int, **config: Any) -> str:
        messages = [SCHEMA("s", {"id": INTEGER}, keys), *versioned(version, *ids), activate(version)]
        return load(file, *messages, STATE({"at": version}), **config).expect(0).stderr

    assert left in loaded(1, 1, 2, 3)
    assert "Set it to true" in loaded(2, 1, 2)
    assert len(rows(file)) == (3 if keys else 5)
    told = loaded(3, 1, 2, add_record_metadata=True)
    assert ("are there twice now" in told) == (not keys)
    query(file, told.split("emove " + ("it" if keys else "them") + " with `")[1].split("`")[0])
    assert sorted(rows(file, columns="id")) == [(1,), (2,)]
    loaded(4, 2, add_record_metadata=True)
    assert rows(file, columns="id") == [(2,)]


def test_a_version_that_a_log_tells_of_once_is_not_passed_over(file: Path) -> None:
    def state(version: int) -> dict[str, Any]:
        return STATE({"bookmarks": {"s": {"_singerkit_log": {"version": version}}}})

    load(file, schema("id"), *versioned(1, 1), activate(1), state(1)).expect(0)
    emptied = [state(1), schema("id"), *versioned(2, 2), activate(2), state(2)]
    assert "Stream `s` was emptied at its source (TRUNCATE)" in load(file, *emptied).expect(78).last_words
    assert len(rows(file)) == 1
    load(file, *emptied, add_record_metadata=True).expect(0)
    assert "read anew" not in load(file, state(2), schema("id"), activate(2), state(2)).expect(0).stderr


def test_records_that_are_set_aside_are_there_with_their_unit_and_limited(file: Path) -> None:
    bad = [record(id="x"), record(id=None), RECORD("s", {})]
    done = load(file, schema("id"), record(id=1), *bad, STATE({"at": 1}), on_invalid="quarantine").expect(0)
    assert "3 records are set aside in the table main._singerkit_rejects, with the reasons" in done.stderr
    found = query(
        file, "SELECT stream, line, path, reason, run_id IS NOT NULL FROM _singerkit_rejects ORDER BY line"
    )
    assert [row[:3] for row in found] == [("s", 3, "$.id"), ("s", 4, "$.id"), ("s", 5, "$.id")]
    load(
        file, schema("id"), record(id=2), *bad, STATE({"at": 2}), on_invalid="quarantine", quarantine_limit=2
    ).expect(65)
    assert query(file, "SELECT count(*) FROM _singerkit_rejects") == [(3,)]


def test_the_metadata_columns_are_those_of_singer_sdk(file: Path) -> None:
    load(
        file,
        schema("id"),
        RECORD("s", {"id": 1}, time_extracted="2024-01-01T00:00:00Z", version=7),
        STATE({"at": 1}),
        add_record_metadata=True,
    ).expect(0)
    assert types_of(file)["_sdc_received_at"] == "TIMESTAMP WITH TIME ZONE"
    there = "CAST(_sdc_extracted_at AS VARCHAR), _sdc_table_version, _sdc_deleted_at IS NULL, _sdc_sequence > 0, _sdc_batched_at IS NOT NULL"
    assert rows(file, columns=there) == [("2024-01-01 00:00:00+00", 7, True, True, True)]


def test_another_pipeline_that_loads_the_same_table_is_told_of(file: Path) -> None:
    load(file, schema("id"), record(id=1), STATE({"at": 1}), pipeline="one").expect(0)
    told = load(file, schema("id"), record(id=2), STATE({"at": 1}), pipeline="two").expect(0)
    assert "was loaded by the pipeline `one`, too" in told.stderr


def test_a_batch_is_staged_with_one_thread_and_a_unit_applied_with_all(file: Path) -> None:
    session = DuckDialect(file).connect()
    threads = "SELECT current_setting('threads')"
    before = session.execute(threads)
    stage = Stage()
    stage.append(
        session, "s", [Field("id", "BIGINT", Column("id", Kind.INTEGER, True, True))], WireColumns([(1,)]), 1
    )
    stage.flush(session)
    assert session.execute(threads) == [(1,)]
    with session.transaction():
        assert session.execute(threads) == before
    session.close()


def test_keys_that_are_not_stored_yet_are_inserted_and_others_merged(file: Path) -> None:
    """Both in one unit and in turn; the last unit has none in common with the table."""
    for number, ids in enumerate([(1, 2), (2, 3), (4, 5)]):
        load(file, schema("id", a=INTEGER), *(record(id=id_, a=number) for id_ in ids), STATE({"at": number}))
    assert sorted(rows(file)) == [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)]


def test_a_disk_that_keeps_nothing_is_said_as_that(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that is there: it is none of a newer version, and no copy is put back for it."""
    load(file, schema("id", a=INTEGER), record(id=1, a=1), STATE({"at": 1}))

    def failing(*_: Any, **__: Any) -> None:
        raise duckdb.FatalException("FATAL Error: fsync failed!")

    monkeypatch.setattr(duckdb, "connect", failing)
    with pytest.raises(CannotWriteError, match=r"cannot be written .*fsync failed.*mend its disk"):
        DuckDialect(file).connect()


def test_no_room_for_a_file_that_is_made_is_said_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as a file of a newer version, which is not there."""

    def full(*_: Any, **__: Any) -> None:
        raise duckdb.IOException("IO Error: Could not write file: No space left on device")

    monkeypatch.setattr(duckdb, "connect", full)
    with pytest.raises(CannotWriteError, match=r"cannot be made .*No space left.*make room"):
        DuckDialect(tmp_path / "w.duckdb").connect()
