"""REPLACE: rows with some values go in the transaction of what takes their place, in every database; refused where they cannot."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg2.errors
import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from faults.loads import MARKED, load, query
from targets.jsonl.test_manifest import load as load_jsonl
from targets.shared.test_databases import INTEGER, MOMENT, TEXT, Database, target

from singerkit_shell.errors import ConfigurationError
from singerkit_sql_target.newest import newest_of
from singerkit_sql_target.replacing import Replacing
from singerkit_sql_target.settings import SETTINGS, settings_of
from singerkit_sql_target.tables import StreamTable
from singerkit_wire.stream import stream_of
from target_postgres.words import WORDS

__all__ = ["target"]

FILES = {"_file": TEXT, "_row": INTEGER, "v": TEXT, "at": MOMENT}
KEYED, KEYLESS = SCHEMA("o", FILES, ["_file", "_row"]), SCHEMA("o", FILES)
ALL = 'SELECT "_file", "_row", v FROM o ORDER BY 1, 2, 3'
THERE = 'SELECT "_file", "_row", v FROM o WHERE _sdc_deleted_at IS NULL ORDER BY 1, 2, 3'


def replace(stream: str = "o", **where: Any) -> dict[str, Any]:
    return {"type": "REPLACE", "stream": stream, "where": where}


def rows(file: str | None, *values: str | None, start: int = 1) -> list[dict[str, Any]]:
    numbered = enumerate(values, start)
    return [RECORD("o", {"_file": file, "_row": number, "v": value}) for number, value in numbered]


def again(file: str | None, *values: str) -> list[dict[str, Any]]:
    return [replace(_file=file), *rows(file, *values)]


@pytest.mark.parametrize("schema", [KEYED, KEYLESS], ids=["keyed", "keyless"])
@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_a_file_that_is_read_again_has_the_rows_it_has_now(
    target: Database, schema: dict[str, Any], hard: bool
) -> None:
    """Stored or sent before, in the same unit or in one before it; several of them in one unit; files without any row."""
    config: dict[str, Any] = {"hard_delete": hard, "add_record_metadata": not hard}
    there = ALL if hard else THERE
    first = [*rows("a", "1", "2", "3"), *rows("b", "1", "2"), *rows("c", "1")]
    target.run(schema, *first, STATE({"n": 1}), **config).expect(0)
    came = [
        *rows("b", "x", start=9),
        *again("b", "3"),
        *again("c"),
        *rows("d", "1", "2"),
        *again("d", "9"),
        *again("d"),
    ]
    outcome = target.run(
        schema, *came, *again("d", "8"), *again("a", "1", "y"), STATE({"n": 2}), **config
    ).expect(0)
    assert target.query(there) == [("a", 1, "1"), ("a", 2, "y"), ("b", 1, "3"), ("d", 1, "8")]
    assert schema is KEYLESS or "WARNING" not in outcome.stderr
    gone = target.query("SELECT count(*) FROM o")[0][0] - 4
    assert gone == (0 if hard else 5 if schema is KEYED else 10), "they are marked"


def test_a_cut_off_run_has_taken_nothing_away(target: Database) -> None:
    """What goes is committed with what comes, by the STATE behind both: not at a bad row, and not at the end of an input without one."""
    target.run(KEYED, *rows("a", "1", "2"), STATE({"n": 1})).expect(0)
    bad = RECORD("o", {"_file": "a", "_row": "x", "v": "1"})
    refused = target.run(
        KEYED, *rows("b", "1"), STATE({"n": 2}), *again("a", "3"), bad, STATE({"n": 3})
    ).expect(65)
    assert "up to the last STATE before it" in refused.stderr
    assert target.query(ALL) == [("a", 1, "1"), ("a", 2, "2"), ("b", 1, "1")]
    ended = target.run(KEYED, *again("a", "3")).expect(65)
    assert "ended behind a REPLACE without a STATE after it" in ended.last_words
    cut = target.run(MARKED({}), KEYED, *again("a", "3"), MARKED({"n": 3}), *again("b", "4")).expect(65)
    assert "before the tap had finished" in cut.last_words
    assert target.query(ALL) == [("a", 1, "3"), ("b", 1, "1")]


def test_values_are_compared_as_they_are_stored(target: Database) -> None:
    """Whatever the type of the column is: text that must be quoted, null, numbers, moments with another offset, columns that fold."""
    odd = 'it\'s a \\ "path" % {} \U0001f600\n/x'
    types = {
        "t": TEXT,
        "n": {"type": ["number", "null"]},
        "m": MOMENT,
        "b": {"type": ["boolean", "null"]},
        "i": INTEGER,
    }
    schema = SCHEMA("s", types)
    records: Sequence[dict[str, Any]] = [
        {"t": odd, "n": 1, "m": None, "b": None, "i": None},
        {"t": odd.upper(), "n": 1.50, "m": "2024-01-01T00:00:00Z", "b": True, "i": 2**60},
        {"t": None, "n": None, "m": "2024-01-01T00:00:00.5+02:00", "b": False, "i": 0},
    ]

    def left_by(**where: Any) -> list[int]:
        messages = [RECORD("s", one) for one in records]
        target.run(schema, replace("s", **where), STATE({"n": str(where)})).expect(0)
        left = [
            int(n)
            for (n,) in target.query(
                "SELECT CASE WHEN b IS NULL THEN 0 WHEN b THEN 1 ELSE 2 END FROM s ORDER BY 1"
            )
        ]
        gone = [one for number, one in enumerate(messages) if number not in left]
        target.run(schema, *gone, STATE({"back": str(where)})).expect(0)
        return left

    target.run(schema, *(RECORD("s", one) for one in records), STATE({"n": 0})).expect(0)
    assert left_by(t=odd) == [1, 2]
    assert left_by(t=None) == [0, 1]
    assert left_by(n=1.5) == [0, 2]
    assert left_by(n=1, t=odd) == [1, 2]
    assert left_by(n=1, t="other") == [0, 1, 2]
    assert left_by(m="2024-01-01T01:00:00+01:00") == [0, 2]
    assert left_by(m="2023-12-31T22:00:00.500Z") == [0, 1]
    assert left_by(b=False) == [0, 1]
    assert left_by(i=2**60) == [0, 2]
    assert left_by(i=2**70) == [0, 1, 2], "no row of a column of 64 bits has it"
    assert left_by(i="x") == [0, 1, 2], "it would stand beside the column"


def test_a_value_that_stands_beside_its_column_is_found_there(target: Database) -> None:
    schema = SCHEMA("s", {"i": INTEGER})
    target.run(schema, *(RECORD("s", {"i": one}) for one in (1, "x", None)), STATE({"n": 1})).expect(0)
    target.run(schema, replace("s", i="x"), STATE({"n": 2})).expect(0)
    assert sorted(target.query("SELECT i, i__text FROM s"), key=str) == [(1, None), (None, None)]
    target.run(schema, replace("s", i=None), STATE({"n": 3})).expect(0)
    assert target.query("SELECT i, i__text FROM s") == [(1, None)]


def test_a_column_of_another_name_or_type_is_found(target: Database) -> None:
    schema = SCHEMA("s", {"File": TEXT, "n": {"type": "integer"}})
    config = {"column_names": {"s.File": "from_file"}, "column_types": {"s.n": "text"}}
    target.run(
        schema, *(RECORD("s", {"File": "a", "n": n}) for n in (1, 10)), STATE({"n": 1}), **config
    ).expect(0)
    target.run(schema, replace("s", File="a", n=10), STATE({"n": 2}), **config).expect(0)
    assert target.query("SELECT from_file, n FROM s") == [("a", "1")]


def test_columns_that_come_amid_the_new_rows_change_nothing_of_it(target: Database) -> None:
    """The table is altered behind the message: the unit is given up for that, and written again with it."""
    target.run(KEYED, *rows("a", "1", "2"), *rows("b", "1"), STATE({"n": 1})).expect(0)
    wide = SCHEMA("o", {**FILES, "w": INTEGER}, ["_file", "_row"])
    more = RECORD("o", {"_file": "a", "_row": 2, "v": "4", "w": 5})
    messages = [
        KEYED,
        *rows("b", "2", start=2),
        *again("a", "3"),
        wide,
        more,
        *again("c"),
        replace(w=5, v="x"),
        STATE({"n": 2}),
    ]
    target.run(*messages).expect(0)
    now = [("a", 1, "3"), ("a", 2, "4"), ("b", 1, "1"), ("b", 2, "2")]
    assert target.query(ALL) == now
    widest = SCHEMA("o", {**FILES, "w": {"type": ["number", "null"]}, "x": TEXT}, ["_file", "_row"])
    rest = [
        replace(x="none has it"),
        replace(x=None, v="4"),
        RECORD("o", {"_file": "a", "_row": 3, "w": 0.5}),
        replace(w=0.5),
        replace(w=5),
    ]
    target.run(wide, *rows("c", "5"), replace(w=5), widest, *rest, STATE({"n": 3})).expect(0)
    assert target.query(ALL) == [("a", 1, "3"), ("b", 1, "1"), ("b", 2, "2"), ("c", 1, "5")]


DEFAULTS = {
    **{name: one["default"] for name, one in SETTINGS.items() if "default" in one},
    "default_target_schema": "main",
    "add_record_metadata": False,
    "extra": "ignore",
}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"load_method": "append"}, "`load_method: append`, which deletes nothing"),
    ({"load_method": "overwrite"}, "`load_method: overwrite`, which lets the complete load"),
    ({"load_method": "history"}, "`load_method: history`, which keeps what each row was"),
    (
        {"load_method": "delete+insert", "replace_by": {"o": ["_file"]}},
        "`load_method: delete+insert`, which replaces",
    ),
    ({"newest_by": {"o": "at"}}, "`newest_by`, by which a row that is stored may win"),
    ({"hard_delete": False}, "no column for the time at which a row was marked"),
]


def test_a_config_by_which_no_row_may_go_is_refused() -> None:
    """By what both databases share."""
    stream = stream_of("o", KEYED["schema"], ("_file", "_row"))
    columns = {name: name for name in FILES}
    for config, why in REFUSED:
        settings = settings_of({**DEFAULTS, **config}, frozenset(config))
        given = settings.as_told(stream)
        newest = newest_of(given, columns, WORDS.quote)
        table = StreamTable(
            "o",
            given,
            "main",
            "o",
            "o",
            columns,
            (),
            {},
            frozenset(),
            "",
            is_of_this_run=False,
            newest=newest,
        )
        with pytest.raises(ConfigurationError) as refused:
            Replacing(WORDS, settings).check(table)
        assert why in str(refused.value)
        assert "stream `o`" in str(refused.value)


def test_what_was_committed_before_a_refused_message_stays(target: Database) -> None:
    appended = {"load_method": "append"}
    target.run(KEYED, *rows("a", "1"), STATE({"n": 1}), **appended).expect(0)
    target.run(KEYED, *again("a", "2"), STATE({"n": 2}), **appended).expect(78)
    assert target.query(ALL) == [("a", 1, "1")]


def test_rows_that_are_appended_are_marked_where_the_config_says_so(target: Database) -> None:
    config = {"load_method": "append", "hard_delete": False, "add_record_metadata": True}
    target.run(KEYED, *rows("a", "1", "2"), STATE({"n": 1}), **config).expect(0)
    target.run(KEYED, *again("a", "3"), STATE({"n": 2}), **config).expect(0)
    assert target.query(THERE) == [("a", 1, "3")]
    assert len(target.query(ALL)) == 3


def test_a_file_that_rows_are_appended_to_takes_none_away(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"destination_path": str(tmp_path / "out")}))
    outcome = load_jsonl(tmp_path / "out", KEYED, *rows("a", "1"), STATE({"n": 1}), *again("a", "2")).expect(
        78
    )
    assert "target-jsonl only appends to files" in outcome.last_words
    assert "tap-files: `on_changed` `append`" in outcome.last_words


ORDERS = SCHEMA("o", {**FILES, "tags": {"type": ["array", "null"], "items": TEXT}}, ["_file", "_row"])
BY_ID = {**ORDERS, "key_properties": ["_row"]}
TAGS = "SELECT _root__row, _position, value FROM o__tags ORDER BY 1, 2"


def order(file: str, row: int, *tags: str) -> dict[str, Any]:
    return RECORD("o", {"_file": file, "_row": row, "v": "", "tags": list(tags)})


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
@pytest.mark.parametrize("schema", [ORDERS, BY_ID], ids=["in the key", "not in the key"])
def test_elements_of_lists_go_with_their_rows(target: Database, schema: dict[str, Any], hard: bool) -> None:
    config: dict[str, Any] = {"nested": "child_tables", "hard_delete": hard, "add_record_metadata": not hard}
    first = [order("a", 1, "x", "y"), order("a", 2, "z"), order("b", 3, "u", "v")]
    target.run(schema, *first, STATE({"n": 1}), **config).expect(0)
    came = [order("a", 5, "gone"), replace(_file="a"), order("a", 1, "w"), order("a", 4, "t")]
    target.run(schema, *came, STATE({"n": 2}), **config).expect(0)
    there = TAGS if hard else TAGS.replace("ORDER", "WHERE _sdc_deleted_at IS NULL ORDER")
    assert target.query(there) == [(1, 0, "w"), (3, 0, "u"), (3, 1, "v"), (4, 0, "t")]
    target.run(
        schema, replace(_file="b"), replace(_file="a"), order("a", 2, "z"), STATE({"n": 3}), **config
    ).expect(0)
    assert target.query(there) == [(2, 0, "z")]


def test_what_of_the_table_keeps_rows_is_told(database: str) -> None:
    """A trigger by which no row goes, and a foreign key that would take rows of another table along, or refuse it; marking is no matter."""
    load(database, KEYED, *rows("a", "1", "2"), STATE({"n": 1})).expect(0)
    query(database, "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    query(database, "CREATE TRIGGER keep BEFORE DELETE ON o FOR EACH ROW EXECUTE FUNCTION keep()")
    kept = load(database, KEYED, *again("a", "3"), STATE({"n": 2})).expect(65)
    assert "leaves rows that others take the place of as they are at REPLACE of stream `o`" in kept.last_words
    query(database, "DROP TRIGGER keep ON o")
    key = 'FOREIGN KEY ("_file", "_row") REFERENCES o ON DELETE CASCADE'
    query(database, f'CREATE TABLE p ("_file" text, "_row" bigint, {key})')
    query(database, "INSERT INTO p VALUES ('a', 1)")
    refused = load(database, KEYED, *again("a", "3"), STATE({"n": 2})).expect(78)
    assert "a foreign key of another table refers to the table public.o" in refused.last_words
    soft = {"hard_delete": False, "add_record_metadata": True}
    load(database, KEYED, *again("a", "3"), STATE({"n": 2}), **soft).expect(0)
    assert query(database, THERE) == [("a", 1, "3")]
    assert query(database, "SELECT * FROM p") == [("a", 1)]
    refers = SCHEMA("p", {"_file": TEXT, "_row": INTEGER})
    both = [
        refers,
        *(RECORD("p", {"_file": "a", "_row": 1}) for _ in range(2)),
        replace("p", _file="a"),
        *again("a", "4"),
    ]
    load(database, KEYED, *both, RECORD("p", {"_file": "a", "_row": 1}), STATE({"n": 3}), **soft).expect(0)
    assert len(query(database, "SELECT * FROM p WHERE _sdc_deleted_at IS NULL")) == 1, (
        "they wait for the rows they refer to"
    )


def test_a_column_that_folds_takes_no_other_text_along(target: Database) -> None:
    text = "text COLLATE nocase"
    if target.schema == "public":
        text = "text COLLATE fold"
        try:
            target.query(
                "CREATE COLLATION fold (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
            )
        except psycopg2.errors.FeatureNotSupported:
            pytest.skip("this server has no ICU")
    target.query(f'CREATE TABLE o ("_file" {text}, "_row" bigint, v text)')
    target.run(KEYLESS, *rows("a", "1"), *rows("A", "2"), *again("a", "3"), STATE({"n": 1})).expect(0)
    assert target.query("SELECT v FROM o ORDER BY 1") == [("2",), ("3",)]


def test_a_long_table_without_an_index_is_told(database: str) -> None:
    query(
        database,
        'CREATE TABLE o AS SELECT \'a\'::text AS "_file", n AS "_row", NULL::text AS v FROM generate_series(1::bigint, 100000) AS n',
    )
    query(database, "ANALYZE o")
    told = load(database, KEYLESS, *again("b"), *again("c"), STATE({"n": 1})).expect(0).stderr
    statement = 'CREATE INDEX CONCURRENTLY ON "public"."o" ("_file")'
    assert told.count(statement) == 1
    query(database, statement.replace("CONCURRENTLY ", ""))
    assert "CONCURRENTLY" not in load(database, KEYLESS, *again("b"), STATE({"n": 2})).expect(0).stderr


STEPS = [("a", (1, 2)), ("a", (2,)), ("b", (1, 3)), ("b", (3,))]


def test_of_files_that_share_keys_a_row_goes_with_the_file_that_was_the_last_to_have_it(
    target: Database,
) -> None:
    """In all orders in which they are read again, side by side in one table: two of them in one unit, behind one that was stored."""
    schema = SCHEMA("o", {"n": INTEGER, "id": INTEGER, "_file": TEXT}, ["n", "id"])
    orders = list(itertools.product(STEPS[:1], STEPS[2:], STEPS[1:]))
    table: dict[tuple[int, int], str] = {}
    came: list[dict[str, Any]] = []
    for turn in range(3):
        for number, order in enumerate(orders):
            name, ids = order[turn]
            file = f"{number}{name}"
            table = {key: of for key, of in table.items() if of != file} | {
                (number, id_): file for id_ in ids
            }
            came += [replace(_file=file)] if turn else []
            came += [RECORD("o", {"n": number, "id": id_, "_file": file}) for id_ in ids]
        came += [STATE({"turn": turn})] if turn == 0 else []
    target.run(schema, *came, STATE({"turn": 3})).expect(0)
    assert dict(((n, id_), of) for n, id_, of in target.query('SELECT n, id, "_file" FROM o')) == table
