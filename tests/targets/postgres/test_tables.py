"""Tables of target-postgres: made, grown, merged into, versioned; what does not fit is refused."""

from __future__ import annotations

import json
import re
import shlex
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import run
from conformance.singer import lines
from faults.loads import RECORD, SCHEMA, STATE, command, connected, load, query, state_row, table
from psycopg2.sql import SQL, Identifier

INTEGER = {"type": ["integer", "null"]}
NUMBER = {"type": ["number", "null"]}
TEXT = {"type": ["string", "null"]}
BOOLEAN = {"type": ["boolean", "null"]}
DATE = {"type": ["string", "null"], "format": "date"}
MIXED = {"type": ["integer", "number", "boolean", "string", "null"]}
NOTHING_YET = {"type": ["null"]}
FAIL = {"on_type_conflict": "fail"}
ONLY_EXACT = r"\u0000"
"""Text that looks like an escaped NUL and is none: it sends its block to the exact path."""

ORDERS = SCHEMA("orders", {"id": INTEGER, "note": TEXT, "qty": INTEGER}, ["id"])


def order(**fields: Any) -> dict[str, Any]:
    return RECORD("orders", fields)


def columns(database: str, name: str, schema: str = "public") -> dict[str, str]:
    """The columns of a table with their types, in order."""
    return dict(
        query(
            database,
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid "
            "JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = %s AND relname = %s AND attnum > 0 "
            "AND NOT attisdropped ORDER BY attnum",
            [schema, name],
        )
    )


def versions(database: str, name: str) -> dict[int, str]:
    """What PostgreSQL knows of each row's last writer, by id."""
    statement = SQL("SELECT id, xmin::text || ' ' || ctid::text FROM {}").format(Identifier(name))
    return dict(query(database, statement))


# --- making -------------------------------------------------------------------------------------------------


def test_a_table_is_made_with_its_key_and_types(database: str) -> None:
    properties = {"id": INTEGER, 'say "hi"; --': TEXT, "on": {"type": "boolean"}, "doc": {"type": "object"}}
    load(database, SCHEMA('say "hi"; --', properties, ["id"]), default_target_schema="Größe; -- 50%s").expect(
        0
    )
    assert columns(database, 'say "hi"; --', "Größe; -- 50%s") == {
        "id": "bigint",
        'say "hi"; --': "text",
        "on": "boolean",
        "doc": "jsonb",
    }
    statement = SQL(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' AND conrelid = {}::regclass"
    )
    assert query(database, statement.format(SQL('\'"Größe; -- 50%s"."say ""hi""; --"\''))) == [
        ("PRIMARY KEY (id)",)
    ]


def test_a_stream_without_records_gets_its_table(database: str) -> None:
    load(database, ORDERS).expect(0)
    assert table(database, "orders") == []


def test_a_composite_key(database: str) -> None:
    keyed = SCHEMA("pairs", {"a": INTEGER, "b": TEXT, "v": INTEGER}, ["b", "a"])
    rows = [(1, "x", 1), (1, "y", 2), (2, "x", 3), (1, "x", 4), (2, "", 5)]
    load(database, keyed, *(RECORD("pairs", {"a": a, "b": b, "v": v}) for a, b, v in rows)).expect(0)
    assert table(database, "pairs", "a", "b", "v") == [(1, "x", 4), (1, "y", 2), (2, "", 5), (2, "x", 3)]


def test_a_schema_that_says_nothing_stores_records_whole(database: str) -> None:
    records = [{"a": 1}, {"b": [1.10, None]}, {}]
    whole = {"type": "SCHEMA", "stream": "any", "schema": {}, "key_properties": []}
    load(database, whole, *(RECORD("any", record) for record in records)).expect(0)
    assert columns(database, "any") == {"_record": "jsonb"}
    stored = [text for (text,) in query(database, 'SELECT _record::text FROM "any"')]
    assert stored == ['{"a": 1}', '{"b": [1.1, null]}', "{}"]


# --- growing ------------------------------------------------------------------------------------------------


def test_new_columns_are_added_and_old_ones_stay(database: str) -> None:
    load(database, ORDERS, order(id=1, note="a", qty=1)).expect(0)
    wider = SCHEMA("orders", {"id": INTEGER, "tax": NUMBER}, ["id"])
    load(database, wider, order(id=1, tax=0.5), order(id=2, tax=None)).expect(0)
    assert columns(database, "orders") == {"id": "bigint", "note": "text", "qty": "bigint", "tax": "numeric"}
    stored = query(database, "SELECT id, note, qty, tax::text FROM orders ORDER BY id")
    assert stored == [(1, "a", 1, "0.5"), (2, None, None, None)]


@pytest.mark.parametrize("keys", [["id"], []], ids=["key", "no key"])
def test_a_column_that_comes_is_told_with_the_command_that_reads_the_stream_anew(
    database: str, tmp_path: Path, keys: list[str]
) -> None:
    """Once a run; a table whose rows are all of the run has no rows without it."""
    state_file = tmp_path / "state.json"
    started = command(tmp_path, database, {}, "--state-file", str(state_file))

    def load_all(*messages: Any) -> Any:
        return run(started, stdin=lines(*messages)).expect(0)

    narrow, wide = (
        SCHEMA("orders", fields, keys) for fields in ({"id": INTEGER}, {"id": INTEGER, "qty": INTEGER})
    )
    at = STATE({"bookmarks": {"orders": {"replication_key_value": 2}}})
    first = load_all(narrow, order(id=1), wide, order(id=2, qty=2), at)
    assert "Columns added for stream `orders`: `qty`." in first.stderr
    assert "Rows that were loaded before" not in first.stderr
    query(database, "ALTER TABLE orders DROP COLUMN qty")
    told = load_all(narrow, wide, order(id=3, qty=3), narrow, wide, at).stderr
    assert told.count("Columns added") == 1
    advice = re.search(r"read the stream anew: run (.*), then the pipeline again\.", told)
    assert advice, told
    started_over, *statements = re.findall(r"`(.*?)`", advice[1])
    assert "--stream orders" in started_over
    run([started[0], *shlex.split(started_over)[1:]]).expect(0)
    for statement in statements:
        query(database, statement)
    assert "orders" not in json.loads(state_file.read_text())["bookmarks"], "the tap reads from the beginning"
    load_all(wide, *(order(id=n, qty=n) for n in (1, 2, 3)), at)
    assert table(database, "orders", "id", "qty") == [(1, 1), (2, 2), (3, 3)]


def test_an_integer_column_widens_for_numbers(database: str) -> None:
    load(database, ORDERS, order(id=1, qty=1)).expect(0)
    decimals = SCHEMA("orders", {"id": INTEGER, "qty": NUMBER}, ["id"])
    load(database, decimals, order(id=2, qty=2.5)).expect(0)
    assert columns(database, "orders")["qty"] == "numeric"
    load(database, ORDERS, order(id=3, qty=3)).expect(0)  # back again: numeric keeps integers, too
    assert query(database, "SELECT id, qty::text FROM orders ORDER BY id") == [(1, "1"), (2, "2.5"), (3, "3")]


def test_smaller_integers_in_a_table_of_the_users_widen(database: str) -> None:
    query(database, "CREATE TABLE orders (id integer PRIMARY KEY, note varchar, qty smallint)")
    load(database, ORDERS, order(id=2**40, note="a", qty=2**50)).expect(0)
    assert columns(database, "orders") == {"id": "bigint", "note": "character varying", "qty": "bigint"}


@pytest.mark.parametrize(
    ("existing", "wanted"),
    [
        ("numeric(12,2)", NUMBER),
        ("double precision", NUMBER),
        ("timestamp without time zone", {"type": "string", "format": "date-time"}),
        ("bigint", TEXT),
        ("date", TEXT),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_column_that_would_change_values_is_refused(postgres_dsn: str, existing: str, wanted: Any) -> None:
    schema = f"refused {existing}"
    query(postgres_dsn, f'CREATE SCHEMA "{schema}"')
    query(postgres_dsn, f'CREATE TABLE "{schema}".t (v {existing})')
    outcome = load(
        postgres_dsn, SCHEMA("t", {"v": wanted}), default_target_schema=schema, pipeline=schema, **FAIL
    ).expect(65)
    assert "`v`" in outcome.last_words
    assert "column_types" in outcome.last_words
    assert len(columns(postgres_dsn, "t", schema)) == 1


def test_all_columns_of_other_types_are_told_at_once(database: str) -> None:
    """One a run was told, and each cost a run that failed."""
    query(
        database,
        "CREATE TABLE t (a integer, b integer, c date, d boolean); INSERT INTO t VALUES (1, 2, '2024-01-01', true)",
    )
    messages = [SCHEMA("t", {"a": TEXT, "b": NUMBER, "c": TEXT, "d": TEXT}), RECORD("t", {"a": "new"})]
    refused = load(database, *messages, **FAIL).expect(65)
    assert "`a` (type `text`, in the table `integer`), `c` (type `text`, in the table `date`), `d`" in (
        refused.last_words
    )
    assert "`b`" not in refused.last_words, "that widens"
    for statement in re.findall(r"`(ALTER [^`]+)`", refused.last_words):
        query(database, statement)
    load(database, *messages).expect(0)
    assert query(database, "SELECT a FROM t ORDER BY a") == [("1",), ("new",)]


def test_a_column_that_rounds_is_accepted_when_the_user_names_its_type(database: str) -> None:
    query(database, "CREATE TABLE t (v numeric(12,2))")
    load(
        database, SCHEMA("t", {"v": NUMBER}), RECORD("t", {"v": 1.25}), column_types={"t.v": "numeric(12,2)"}
    ).expect(0)
    assert query(database, "SELECT v::text FROM t") == [("1.25",)]


def test_a_text_column_of_limited_length_fails_rather_than_cuts(database: str) -> None:
    query(database, "CREATE TABLE t (v varchar(3))")
    load(database, SCHEMA("t", {"v": TEXT}), RECORD("t", {"v": "abc"})).expect(0)
    outcome = load(database, SCHEMA("t", {"v": TEXT}), RECORD("t", {"v": "secret words"}), **FAIL).expect(65)
    assert "at most 3 characters" in outcome.last_words
    assert "t.$.v" in outcome.last_words
    assert "secret" not in outcome.stderr


@pytest.mark.parametrize("mid_run", [False, True], ids=["next run", "mid-run"])
def test_a_column_of_nulls_takes_the_type_of_its_first_value(database: str, mid_run: bool) -> None:
    first = [SCHEMA("t", {"id": INTEGER, "v": NOTHING_YET}, ["id"]), RECORD("t", {"id": 1, "v": None})]
    then = [SCHEMA("t", {"id": INTEGER, "v": BOOLEAN}, ["id"]), RECORD("t", {"id": 2, "v": True})]
    if mid_run:
        load(database, *first, *then).expect(0)
    else:
        load(database, *first).expect(0)
        assert columns(database, "t")["v"] == "jsonb"
        assert "`v`" in load(database, *then).expect(0).stderr
    assert columns(database, "t")["v"] == "boolean"
    assert table(database, "t", "id", "v") == [(1, None), (2, True)]


def test_a_key_without_rows_takes_the_type_of_its_first_value(database: str) -> None:
    load(database, SCHEMA("t", {"id": NOTHING_YET}, ["id"])).expect(0)
    load(database, SCHEMA("t", {"id": INTEGER}, ["id"]), RECORD("t", {"id": 1})).expect(0)
    load(database, SCHEMA("t", {"id": NOTHING_YET}, ["id"])).expect(0)  # the tap has lost what it knew
    assert columns(database, "t") == {"id": "bigint"}
    assert table(database, "t", "id") == [(1,)]


def test_nulls_go_into_a_column_of_any_type(database: str) -> None:
    query(
        database,
        "CREATE TABLE t (id bigint PRIMARY KEY, a double precision, b date, c bytea, d numeric(4,1))",
    )
    query(database, "INSERT INTO t VALUES (1, 1.5, '2024-02-29', 'x', 1.5)")
    schema = SCHEMA("t", {"id": INTEGER} | dict.fromkeys("abcd", NOTHING_YET), ["id"])
    emptied = RECORD("t", {"id": 1, "a": None, "b": None, "c": None})
    load(database, schema, emptied, missing_fields="keep").expect(0)
    assert query(database, "SELECT id, a, b, c, d::text FROM t") == [(1, None, None, None, "1.5")]
    outcome = load(database, schema, RECORD("t", {"id": 1, "a": 2.5}), **FAIL).expect(65)
    assert "Expected `null`" in outcome.last_words
    assert "t.$.a" in outcome.last_words
    load(database, schema, RECORD("t", {"id": 1, "a": 2.5, "b": "soon", "d": 1.25})).expect(0)
    stored = query(database, "SELECT a, b, b__text, d, d__text FROM t")
    assert stored == [(2.5, None, "soon", None, "1.25")]


def test_a_document_with_values_keeps_its_type(database: str) -> None:
    load(database, SCHEMA("t", {"v": {}}), RECORD("t", {"v": 5})).expect(0)
    boolean = [SCHEMA("t", {"v": BOOLEAN}), RECORD("t", {"v": True})]
    assert "`v`" in load(database, *boolean, **FAIL).expect(65).last_words
    load(database, *boolean).expect(0)
    assert columns(database, "t") == {"v": "jsonb"}
    assert query(database, "SELECT v FROM t ORDER BY v") == [(5,), (True,)]


@pytest.mark.parametrize("is_late", [False, True], ids=["", "a child before its parent"])
def test_columns_come_and_widen_over_rows_for_which_a_deferred_constraint_waits(
    database: str, is_late: bool
) -> None:
    """PostgreSQL alters no such table (55006), which ended the run with 70."""
    query(
        database,
        "CREATE TABLE nodes (id bigint PRIMARY KEY, up bigint REFERENCES nodes DEFERRABLE INITIALLY DEFERRED)",
    )
    narrow = {"id": INTEGER, "up": INTEGER}
    rows = [RECORD("nodes", {"id": 4, "up": 3, "v": "x"}), RECORD("nodes", {"id": 3, "up": 1, "v": 3})]
    load(
        database,
        SCHEMA("nodes", narrow, ["id"]),
        *(RECORD("nodes", {"id": id_, "up": 1}) for id_ in (2, 1)),
        SCHEMA("nodes", {**narrow, "v": INTEGER}, ["id"]),
        RECORD("nodes", {"id": 5, "up": 1, "v": 5}),
        SCHEMA("nodes", {**narrow, "v": MIXED}, ["id"]),
        *(rows if is_late else reversed(rows)),
    ).expect(0)
    stored = query(database, "SELECT id, v::text FROM nodes ORDER BY id")
    assert stored == [(1, None), (2, None), (3, "3"), (4, '"x"'), (5, "5")]


def test_a_row_that_a_deferred_constraint_refuses_before_a_column_comes_is_set_aside(database: str) -> None:
    query(
        database,
        "CREATE TABLE nodes (id bigint PRIMARY KEY, up bigint REFERENCES nodes DEFERRABLE INITIALLY DEFERRED)",
    )
    load(
        database,
        SCHEMA("nodes", {"id": INTEGER, "up": INTEGER}, ["id"]),
        *(RECORD("nodes", {"id": id_, "up": up}) for id_, up in ((1, None), (2, 99))),
        SCHEMA("nodes", {"id": INTEGER, "up": INTEGER, "v": INTEGER}, ["id"]),
        RECORD("nodes", {"id": 3, "up": 1, "v": 3}),
        on_invalid="quarantine",
    ).expect(0)
    assert query(database, "SELECT id, v FROM nodes ORDER BY id") == [(1, None), (3, 3)]
    assert query(database, "SELECT count(*) FROM _singerkit_rejects") == [(1,)]


def test_a_view_on_a_column_that_must_widen_is_named(database: str) -> None:
    load(database, ORDERS, order(id=1, qty=1)).expect(0)
    query(database, "CREATE VIEW quantities AS SELECT qty FROM orders")
    decimals = SCHEMA("orders", {"id": INTEGER, "qty": NUMBER}, ["id"])
    outcome = load(database, decimals, **FAIL).expect(78)
    assert "on view quantities" in outcome.last_words
    load(database, decimals, order(id=2, qty=1.25), order(id=3, qty=3)).expect(0)
    assert query(database, "SELECT qty, qty__text FROM orders ORDER BY id") == [
        (1, None),
        (None, "1.25"),
        (3, None),
    ]
    query(database, "DROP VIEW quantities")
    load(database, decimals, order(id=2, qty=1.5)).expect(0)


def test_views_on_a_column_whose_type_is_to_be_changed_are_named(database: str) -> None:
    """The statement that is told was refused because of them."""
    load(database, ORDERS, order(id=1, qty=1)).expect(0)
    views = {
        "low": "SELECT qty FROM orders",
        "lower": "SELECT * FROM low",
        "other": "SELECT note FROM orders",
    }
    for name, text in views.items():
        query(database, f"CREATE VIEW {name} AS {text}")
    mixed = [SCHEMA("orders", {"id": INTEGER, "qty": MIXED}, ["id"]), order(id=2, qty="a few")]
    told = load(database, *mixed, **FAIL).expect(65).last_words
    assert (
        "(drop the views `public.low`, `public.lower` before, which PostgreSQL asks for, and make them again after)"
        in told
    )
    (statement,) = re.findall(r"`(ALTER [^`]+)`", told)
    query(database, f"DROP VIEW lower; DROP VIEW low; {statement}; CREATE VIEW low AS {views['low']}")
    load(database, *mixed).expect(0)
    assert query(database, "SELECT qty::text FROM low ORDER BY 1") == [('"a few"',), ("1",)]
    chosen = load(database, ORDERS, column_types={"orders.note": "varchar(9)"}).expect(65).last_words
    assert "(drop the view `public.other` before" in chosen


# --- another type in the unit that has made the column ---------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "is_safe"), [([], False), (["id"], True)], ids=["no key", "key, behind a STATE"]
)
def test_new_columns_become_ones_of_documents(database: str, keys: list[str], is_safe: bool) -> None:
    """It ended the first load with 65, and the advice named a table that was never committed."""
    first = {"a": INTEGER, "b": {**INTEGER, "maximum": 2**80}, "c": NUMBER, "d": BOOLEAN}
    values = {"a": "12345678901234567", "b": str(2**70), "c": "1.10", "d": "true"}
    sent = ", ".join(f'"{name}": {text}' for name, text in values.items())
    load(
        database,
        SCHEMA("s", {"id": INTEGER} | first, keys),
        f'{{"type": "RECORD", "stream": "s", "record": {{"id": 1, {sent}}}}}\n',
        *([STATE({"at": 1})] if is_safe else []),
        SCHEMA("s", {"id": INTEGER} | dict.fromkeys(first, MIXED), keys),
        RECORD("s", {"id": 2} | dict.fromkeys(first, "12 pts")),
    ).expect(0)
    assert columns(database, "s") == {"id": "bigint"} | dict.fromkeys(first, "jsonb")
    stored = query(database, "SELECT a::text, b::text, c::text, d::text FROM s ORDER BY id")
    assert stored == [tuple(values.values()), ('"12 pts"',) * 4]


def test_a_key_and_a_column_that_was_added_become_documents_too(database: str) -> None:
    load(database, SCHEMA("s", {"id": INTEGER}, []), RECORD("s", {"id": 1})).expect(0)
    load(
        database,
        SCHEMA("s", {"id": INTEGER, "v": INTEGER}, []),
        RECORD("s", {"id": 2, "v": 2}),
        SCHEMA("s", {"id": INTEGER, "v": MIXED}, []),
        RECORD("s", {"id": 3, "v": "x"}),
        SCHEMA("k", {"id": INTEGER, "n": INTEGER}, ["id"]),
        *(RECORD("k", {"id": 1, "n": n}) for n in (1, 2)),
        SCHEMA("k", {"id": MIXED, "n": INTEGER}, ["id"]),
        *(RECORD("k", {"id": id_, "n": 3}) for id_ in (1, "1")),
    ).expect(0)
    assert query(database, "SELECT id, v::text FROM s ORDER BY id") == [(1, None), (2, "2"), (3, '"x"')]
    assert query(database, "SELECT id::text, n FROM k ORDER BY 1") == [('"1"', 3), ("1", 3)]


MOMENT = {"type": ["null", "string"], "format": "date-time"}
UUID = {"type": ["null", "string"], "format": "uuid"}
BASE64 = {"type": ["null", "string"], "contentEncoding": "base64"}


@pytest.mark.parametrize("is_safe", [False, True], ids=["", "behind a STATE"])
def test_a_new_column_without_a_value_becomes_one_of_any_type(database: str, is_safe: bool) -> None:
    """It ended the first load with 65, though there was nothing to lose."""
    first = {"a": MOMENT, "b": UUID, "c": BASE64, "d": INTEGER, "e": DATE}
    then = {"a": TEXT, "b": TEXT, "c": TEXT, "d": DATE, "e": INTEGER}
    values = {"a": "soon", "b": "x", "c": "?", "d": "2024-01-02", "e": 5}
    load(
        database,
        SCHEMA("s", {"id": INTEGER} | first, ["id"]),
        RECORD("s", {"id": 1} | dict.fromkeys(first)),
        *([STATE({"at": 1})] if is_safe else []),
        SCHEMA("s", {"id": INTEGER} | then, ["id"]),
        RECORD("s", {"id": 2} | values),
    ).expect(0)
    assert list(columns(database, "s").values()) == ["bigint", *["text"] * 3, "date", "bigint"]
    stored = query(database, "SELECT a, b, c, d::text, e FROM s ORDER BY id")
    assert stored == [(None,) * 5, tuple(values.values())]


@pytest.mark.parametrize("validate", [True, False])
def test_a_type_that_goes_back_leaves_a_column_of_documents(database: str, validate: bool) -> None:
    """It ended with 65 and the advice to say a wider type than the column's, which was the wider one."""
    narrow = [INTEGER, NUMBER, BOOLEAN, TEXT, MOMENT, UUID, BASE64]
    sent = ["3", "1.10", "true", '"3"', '"2024-01-02T00:00:00+02:00"', f'"{"a" * 32}"', '"aGk="']
    lines_ = [SCHEMA("s", {"id": INTEGER, "v": INTEGER}, ["id"]), RECORD("s", {"id": -2, "v": 7})]
    lines_ += [SCHEMA("s", {"id": INTEGER, "v": MIXED}, ["id"]), RECORD("s", {"id": -1, "v": "x"})]
    for id_, (type_, value) in enumerate(zip(narrow, sent, strict=True)):
        lines_.append(SCHEMA("s", {"id": INTEGER, "v": type_}, ["id"]))
        lines_.append(f'{{"type": "RECORD", "stream": "s", "record": {{"id": {id_}, "v": {value}}}}}\n')
    load(database, *lines_, validate_records=validate, number_type="double precision").expect(0)
    assert columns(database, "s")["v"] == "jsonb"
    stored = query(database, "SELECT v::text FROM s ORDER BY id")
    assert [text for (text,) in stored] == ["7", '"x"', *sent]


def test_a_key_whose_type_goes_back_stays_one_of_documents(database: str) -> None:
    lines_ = []
    for type_, ids in ((INTEGER, [1, 2]), (MIXED, [1, "1"]), (INTEGER, [2, 3]), (TEXT, ["1", "3"])):
        lines_ += [SCHEMA("k", {"id": type_, "n": INTEGER}, ["id"])]
        lines_ += [RECORD("k", {"id": id_, "n": len(lines_)}) for id_ in ids]
    load(database, *lines_).expect(0)
    stored = query(database, "SELECT id::text, n FROM k ORDER BY id")
    assert stored == [('"1"', 10), ('"3"', 10), ("1", 4), ("2", 7), ("3", 7)]


def test_going_back_behind_the_change_of_a_type_leaves_the_former_one(database: str) -> None:
    narrow, wide = (SCHEMA("s", {"id": INTEGER, "v": type_}, ["id"]) for type_ in (INTEGER, MIXED))
    lines_ = [
        narrow,
        RECORD("s", {"id": 1, "v": 1}),
        STATE({"at": 1}),
        wide,
        RECORD("s", {"id": 2, "v": "x"}),
    ]
    load(database, *lines_, "no message\n").expect(65)
    assert table(database, "s", "id", "v") == [(1, 1)]
    assert columns(database, "s")["v"] == "bigint"


@pytest.mark.parametrize("is_kept", [False, True], ids=["nothing is kept", "behind a STATE"])
def test_a_new_column_that_would_lose_how_its_values_were_sent(database: str, is_kept: bool) -> None:
    """What is kept is told with the statement that changes it; of what is not, no statement can."""
    narrow, wide = (SCHEMA("s", {"id": INTEGER, "v": type_}, ["id"]) for type_ in (DATE, TEXT))
    first, second = (RECORD("s", {"id": id_, "v": v}) for id_, v in ((1, "2024-01-02"), (2, "soon")))
    refused = load(database, narrow, first, *([STATE({"at": 1})] * is_kept), wide, second, **FAIL).expect(65)
    statement = re.search(r"`(ALTER TABLE .*?)`", refused.last_words)
    if is_kept:
        assert statement, refused.last_words
        query(database, statement[1])
        load(database, wide, second).expect(0)
    else:
        assert statement is None
        assert query(database, "SELECT to_regclass('s')") == [(None,)]
        assert "behind rows that this run has loaded as `date`; the column was new" in refused.last_words
        load(database, wide, first, second).expect(0)
        query(database, "DROP TABLE s")
        (chosen,) = re.findall(r"choose a type for both with `(.*?)`", refused.last_words)
        load(database, narrow, first, wide, second, **json.loads(chosen)).expect(0)
    assert table(database, "s", "id", "v") == [(1, "2024-01-02"), (2, "soon")]


# --- upsert -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exact", [False, True], ids=["block path", "exact path"])
def test_the_last_of_several_rows_with_one_key_wins(database: str, exact: bool) -> None:
    note = ONLY_EXACT if exact else "a"
    for first in (1, 4):  # into an empty table, and into one with rows
        rows = [order(id=n % 2, note=note, qty=first + n) for n in range(3)]
        load(database, ORDERS, *rows).expect(0)
        assert table(database, "orders", "id", "qty") == [(0, first + 2), (1, first + 1)]


def test_missing_keeps_the_value_within_a_unit_and_across_groups(database: str) -> None:
    load(
        database,
        ORDERS,
        *(order(id=1, note="a", qty=1), order(id=2, note="b", qty=2)),
        *(order(id=1, qty=9), order(id=2, note="c"), order(id=3), order(id=1, note="d")),
        *(order(id=3, note=None, qty=3), order(id=2, qty=None)),
        *(
            order(id=4, note="old"),
            order(id=4, note="new", qty=4),
        ),  # a group before an older one of more fields
        missing_fields="keep",
    ).expect(0)
    assert table(database, "orders", "id", "note", "qty") == [
        (1, "d", 9),
        (2, "c", None),
        (3, None, 3),
        (4, "new", 4),
    ]


def test_groups_of_fields_in_alternation_keep_their_order(database: str) -> None:
    load(database, ORDERS, order(id=1, note="old", qty=0)).expect(0)
    rows = [order(id=1, note=f"n{n}") if n % 2 else order(id=1, qty=n) for n in range(9)]
    parts = [
        part
        for n, row in enumerate(rows)
        for part in (row, {"type": "ODD"} if n % 3 == 0 else STATE({"n": n}))
    ]
    load(database, ORDERS, *parts, missing_fields="keep").expect(0)
    assert table(database, "orders", "id", "note", "qty") == [(1, "n7", 8)]


def test_rows_that_do_not_change_are_not_rewritten(database: str) -> None:
    rows = [order(id=n, note=str(n), qty=n) for n in range(5)]
    load(database, ORDERS, *rows).expect(0)
    before = versions(database, "orders")
    changed = [*rows[:4], order(id=4, note="changed", qty=4), order(id=0)]
    load(database, ORDERS, *changed, missing_fields="keep").expect(0)
    after = versions(database, "orders")
    assert {n for n in before if before[n] != after[n]} == {4}


def test_a_null_that_becomes_a_value_and_back_is_a_change(database: str) -> None:
    for note in ("a", None, "b"):
        load(database, ORDERS, order(id=1, note=note)).expect(0)
        assert table(database, "orders", "note") == [(note,)]


def test_an_empty_table_takes_copies_until_a_key_repeats(database: str) -> None:
    outcome = load(
        database,
        ORDERS,
        *(part for n in range(6) for part in (order(id=n % 4, qty=n), STATE({"n": n}), {"type": "ODD"})),
        commit_rows=2,
    ).expect(0)
    assert table(database, "orders", "id", "qty") == [(0, 4), (1, 5), (2, 2), (3, 3)]
    assert json.loads(outcome.stdout.splitlines()[-1]) == {"n": 5}


def test_append_only_appends(database: str) -> None:
    for _ in range(2):
        load(database, ORDERS, order(id=1, qty=1), order(id=1, qty=2), load_method="append-only").expect(0)
    assert sorted(table(database, "orders", "id", "qty")) == [(1, 1), (1, 1), (1, 2), (1, 2)]


def test_without_a_key_rows_are_appended_and_missing_is_null(database: str) -> None:
    keyless = SCHEMA("log", {"a": INTEGER, "b": TEXT})
    for _ in range(2):
        load(database, keyless, RECORD("log", {"a": 1}), RECORD("log", {"b": "x"})).expect(0)
    assert sorted(table(database, "log", "a", "b"), key=repr) == [
        (1, None),
        (1, None),
        (None, "x"),
        (None, "x"),
    ]


def test_a_key_change_between_runs(database: str) -> None:
    load(database, ORDERS, order(id=1, note="a"), order(id=2, note="b")).expect(0)
    load(database, {**ORDERS, "key_properties": ["note"]}, order(id=9, note="b")).expect(0)
    assert table(database, "orders", "id", "note") == [(1, "a"), (9, "b")]


def test_a_unique_index_of_the_users_serves_as_the_key(database: str) -> None:
    query(database, "CREATE TABLE orders (id bigint, note text, qty bigint)")
    query(database, "CREATE UNIQUE INDEX ON orders (id)")
    load(database, ORDERS, order(id=1, qty=1), order(id=1, qty=2)).expect(0)
    assert table(database, "orders", "id", "qty") == [(1, 2)]


def test_a_key_that_grows_is_the_key_of_the_table_then(database: str) -> None:
    """With an index of the users' on the whole of it the former primary key stayed, and refused rows."""
    keyed = [SCHEMA("pairs", {"a": INTEGER, "b": INTEGER}, key) for key in (["a"], ["a", "b"])]
    load(database, keyed[0], RECORD("pairs", {"a": 1, "b": 1})).expect(0)
    query(database, "CREATE UNIQUE INDEX ON pairs (b, a)")
    outcome = load(database, keyed[1], RECORD("pairs", {"a": 1, "b": 2})).expect(0)
    assert "The key of the table of stream `pairs` is `a`, `b` now, and was `a`" in outcome.stderr
    assert table(database, "pairs", "a", "b") == [(1, 1), (1, 2)]


KEYLESS = SCHEMA("cards", {"id": INTEGER, "v": TEXT}, [])
KEYED = SCHEMA("cards", {"id": INTEGER, "v": TEXT}, ["id"])


def card(id_: int, v: str) -> dict[str, Any]:
    return RECORD("cards", {"id": id_, "v": v})


@pytest.mark.parametrize(
    ("appends", "way"),
    [
        (False, "the key is given back"),
        (False, "the primary key is dropped"),
        (True, "the key is given back"),
    ],
    ids=["no key, given back", "no key, dropped", "append-only"],
)
def test_a_primary_key_under_rows_that_are_appended(database: str, appends: bool, way: str) -> None:
    """Each row that came again was refused, and `on_invalid: quarantine`, which was advised, kept the former ones for good."""
    load(database, KEYED, card(1, "old")).expect(0)
    schema = KEYED if appends else KEYLESS
    config = {"load_method": "append-only"} if appends else {}
    again = [card(1, "new"), card(2, "new")]
    told = load(database, schema, *again, on_invalid="quarantine", **config).expect(65).last_words
    assert query(database, "SELECT v FROM cards") == [("old",)]
    assert query(database, "SELECT to_regclass('_singerkit_rejects')") == [(None,)], "before the first row"
    setting, statement = re.findall(r"`([^`]+)`", told[told.index("to have rows replace") :])[-2:]
    if way == "the primary key is dropped":
        query(database, statement)
        load(database, schema, *again, **config).expect(0)
        assert query(database, "SELECT v FROM cards ORDER BY id, v") == [("new",), ("old",), ("new",)]
    else:
        assert setting == ("upsert" if appends else '"primary_keys": ["id"]')
        load(database, KEYED, *again).expect(0)
        assert table(database, "cards", "id", "v") == [(1, "new"), (2, "new")]


def test_a_primary_key_that_is_dropped_leaves_columns_that_take_null(database: str) -> None:
    """The statement that was advised left their NOT NULL, which refused rows, and with `on_invalid: quarantine` set them aside."""
    load(database, KEYED, card(1, "old")).expect(0)
    nameless = [KEYLESS, RECORD("cards", {"id": None, "v": "new"})]
    told = load(database, *nameless).expect(65).last_words
    query(database, re.findall(r"`(ALTER TABLE [^`]+)`", told)[0])
    load(database, *nameless).expect(0)
    assert query(database, "SELECT id, v FROM cards ORDER BY id") == [(1, "old"), (None, "new")]


def test_a_primary_key_that_the_stream_does_not_send_is_none_of_its_own(database: str) -> None:
    query(
        database,
        "CREATE TABLE cards (number int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id bigint, v text)",
    )
    load(database, KEYLESS, card(1, "a"), card(1, "b")).expect(0)
    assert table(database, "cards", "id", "v") == [(1, "a"), (1, "b")]


@pytest.mark.parametrize("is_late", [False, True], ids=["empty", "with rows"])
def test_a_primary_key_of_the_users_stays_beside_the_one_of_the_stream(database: str, is_late: bool) -> None:
    """It was dropped without a word."""
    query(database, "CREATE TABLE cards (number serial PRIMARY KEY, id bigint, v text)")
    if is_late:
        query(database, "INSERT INTO cards (id, v) VALUES (1, 'old')")
    first = load(database, KEYED, card(1, "a"), card(1, "b"), card(2, "b")).expect(0)
    assert "keeps its primary key `number`" in first.stderr
    load(database, KEYED, card(2, "c")).expect(0)
    assert table(database, "cards", "id", "v") == [(1, "b"), (2, "c")]
    constraints = query(
        database,
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'cards'::regclass AND contype <> 'n'",
    )
    assert sorted(constraints) == [("PRIMARY KEY (number)",), ("UNIQUE (id)",)]


@pytest.mark.parametrize("when", ["", " INITIALLY DEFERRED"])
def test_a_primary_key_that_is_judged_at_the_commit_is_refused_with_the_statement(
    database: str, when: str
) -> None:
    """`ON CONFLICT` goes by no deferrable key; it was replaced, and the key said to be another one."""
    query(database, f"CREATE TABLE cards (id bigint PRIMARY KEY DEFERRABLE{when}, v text)")
    query(database, "INSERT INTO cards VALUES (1, 'old')")
    refused = load(database, KEYED, card(1, "a")).expect(78).last_words
    assert "is DEFERRABLE" in refused
    (statement,) = re.findall(r"`(ALTER TABLE [^`]+)`", refused)
    query(database, statement)
    load(database, KEYED, card(1, "a"), card(2, "b")).expect(0)
    assert table(database, "cards", "id", "v") == [(1, "a"), (2, "b")]


def test_a_role_that_has_all_names_quoted_knows_its_own_tables(database: str) -> None:
    """format_type() writes `"date"` for it, which was taken for a type of somebody else's."""
    ((name,),) = query(database, "SELECT current_database()")
    query(database, SQL("ALTER DATABASE {} SET quote_all_identifiers TO on").format(Identifier(name)))
    for day in ("2026-03-04", "2026-03-05"):
        dated = SCHEMA("days", {"id": INTEGER, "d": {"type": "string", "format": "date"}}, ["id"])
        load(database, dated, RECORD("days", {"id": 1, "d": day})).expect(0)
    assert table(database, "days", "id", "d") == [(1, date(2026, 3, 5))]


def test_a_stream_whose_key_is_not_unique_in_a_table_of_the_users(database: str) -> None:
    query(database, "CREATE TABLE cards (number serial PRIMARY KEY, id bigint, v text)")
    query(database, "INSERT INTO cards (id, v) VALUES (1, 'a'), (1, 'b')")
    refused = load(database, KEYED, card(2, "c")).expect(65)
    assert "Expected the key (id) of stream `cards` to be unique and not null" in refused.last_words
    assert table(database, "cards", "id", "v") == [(1, "a"), (1, "b")]


def test_a_primary_key_that_this_target_fills_is_another_one_each_time(database: str) -> None:
    query(database, "CREATE TABLE cards (_sdc_sequence bigint PRIMARY KEY, id bigint, v text)")
    for _ in range(2):
        load(database, KEYLESS, card(1, "a"), add_record_metadata=True).expect(0)
    assert table(database, "cards", "id", "v") == [(1, "a"), (1, "a")]


@pytest.mark.parametrize("way", ["key", "drop", "quarantine"])
def test_a_unique_index_of_the_users_refuses_single_rows_and_is_named(database: str, way: str) -> None:
    query(database, "CREATE TABLE cards (id bigint, v text); CREATE UNIQUE INDEX once ON cards (id)")
    load(database, KEYLESS, card(1, "old")).expect(0)
    again = [card(1, "new"), card(2, "new")]
    told = load(database, KEYLESS, *again).expect(65).last_words
    assert (
        'violates unique constraint "once"; what was committed is safe: if rows that are the same there'
        in told
    )
    assert "give the stream its columns as the key" in told
    assert "drop that index" in told
    if way == "key":
        load(database, KEYED, *again).expect(0)
        assert table(database, "cards", "id", "v") == [(1, "new"), (2, "new")]
    elif way == "drop":
        query(database, "DROP INDEX once")
        load(database, KEYLESS, *again).expect(0)
        assert query(database, "SELECT v FROM cards ORDER BY id, v") == [("new",), ("old",), ("new",)]
    else:
        load(database, KEYLESS, *again, on_invalid="quarantine").expect(0)
        assert table(database, "cards", "id", "v") == [(1, "old"), (2, "new")]
        assert query(database, "SELECT reason ~ 'once' FROM _singerkit_rejects") == [(True,)]


# --- what the schema does not name -------------------------------------------------------------------------


def test_extra_fields_are_ignored_with_one_warning(database: str) -> None:
    rows = [order(id=n, note="a", qty=1, color="red") for n in range(3)]
    outcome = load(database, ORDERS, *rows).expect(0)
    assert outcome.stderr.count("`color`") == 1
    assert "color" not in columns(database, "orders")
    assert len(table(database, "orders")) == 3


def test_extra_fields_are_loaded_when_asked(database: str) -> None:
    rows = [
        *(order(id=1, color="red"), order(id=2, weight=1.5), order(id=3, tags=["a"]), order(id=4, new=True)),
        *(order(id=5, color="blue", weight=2**70), order(id=6, nothing=None)),
    ]
    load(database, ORDERS, *rows, extra="load").expect(0)
    types = columns(database, "orders")
    assert (types["color"], types["weight"], types["tags"], types["new"]) == (
        "text",
        "numeric",
        "jsonb",
        "boolean",
    )
    assert query(database, "SELECT id, color, weight::text, tags::text, new FROM orders ORDER BY id")[:5] == [
        (1, "red", None, None, None),
        (2, None, "1.5", None, None),
        (3, None, None, '["a"]', None),
        (4, None, None, None, True),
        (5, "blue", str(2**70), None, None),
    ]


# --- metadata and versions ----------------------------------------------------------------------------------

METADATA = {
    "_sdc_extracted_at": "timestamp with time zone",
    "_sdc_received_at": "timestamp with time zone",
    "_sdc_batched_at": "timestamp with time zone",
    "_sdc_deleted_at": "timestamp with time zone",
    "_sdc_sequence": "bigint",
    "_sdc_table_version": "bigint",
    "_sdc_sync_started_at": "bigint",
}


def test_metadata_columns(database: str) -> None:
    at = "2026-01-02T03:04:05.5+01:00"
    rows = [RECORD("orders", {"id": n}, time_extracted=at, version=7) for n in (1, 2)]
    load(database, ORDERS, *rows, order(id=3, note=ONLY_EXACT), add_record_metadata=True).expect(0)
    found = columns(database, "orders")
    assert {name: found[name] for name in METADATA} == METADATA
    with connected(database) as cursor:
        cursor.execute(
            "SELECT id, _sdc_extracted_at::text, _sdc_table_version, _sdc_received_at BETWEEN now() - interval '1 min' "
            "AND now(), _sdc_batched_at >= _sdc_received_at, _sdc_deleted_at FROM orders ORDER BY _sdc_sequence"
        )
        assert cursor.fetchall() == [
            (1, "2026-01-02 02:04:05.5+00", 7, True, True, None),
            (2, "2026-01-02 02:04:05.5+00", 7, True, True, None),
            (3, None, None, True, True, None),
        ]


def test_metadata_of_a_row_that_comes_again_is_that_of_its_last_coming(database: str) -> None:
    """Rows that did not come are deleted by it."""
    found = []
    for day in ("2026-01-01", "2026-01-02"):
        row = RECORD("orders", {"id": 1, "note": "a"}, time_extracted=f"{day}T00:00:00Z")
        load(database, ORDERS, row, add_record_metadata=True).expect(0)
        stamps = "_sdc_extracted_at, _sdc_received_at, _sdc_batched_at, _sdc_sequence, _sdc_sync_started_at"
        found += query(database, f"SELECT {stamps} FROM orders")
    first, second = found
    assert all(later > earlier for earlier, later in zip(first, second, strict=True))
    assert str(second[0]).startswith("2026-01-02")


@pytest.mark.parametrize("metadata", [True, False], ids=["added", "not added"])
def test_metadata_that_the_tap_sends_is_its_own(database: str, metadata: bool) -> None:
    """As from a target that passed its rows on."""
    stamps = {"type": ["string", "null"], "format": "date-time"}
    sent = SCHEMA("orders", {"id": INTEGER, "_sdc_extracted_at": stamps, "_sdc_deleted_at": stamps}, ["id"])
    row = {"id": 1, "_sdc_extracted_at": "2020-01-01T00:00:00Z", "_sdc_deleted_at": "2020-01-02T00:00:00Z"}
    load(database, sent, RECORD("orders", row), add_record_metadata=metadata).expect(0)
    stored = query(database, "SELECT id, _sdc_extracted_at::text, _sdc_deleted_at::text FROM orders")
    assert stored == [(1, "2020-01-01 00:00:00+00", "2020-01-02 00:00:00+00")]


def test_a_field_with_a_name_of_metadata_is_stored_when_it_alone_changes(database: str) -> None:
    sent = SCHEMA("orders", {"id": INTEGER, "note": TEXT, "_sdc_lsn": INTEGER}, ["id"])
    for lsn in (1, 2):
        load(database, sent, RECORD("orders", {"id": 1, "note": "a", "_sdc_lsn": lsn})).expect(0)
    assert query(database, "SELECT _sdc_lsn FROM orders") == [(2,)]


def version(number: int) -> dict[str, Any]:
    return {"type": "ACTIVATE_VERSION", "stream": "orders", "version": number}


def versioned(number: int, *ids: int) -> list[Any]:
    return [RECORD("orders", {"id": n, "qty": number}, version=number) for n in ids]


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_activate_version_removes_rows_of_other_versions(database: str, hard: bool) -> None:
    config: dict[str, Any] = {"add_record_metadata": True, "hard_delete": hard}
    load(database, ORDERS, *versioned(1, 1, 2, 3), version(1), **config).expect(0)
    load(database, ORDERS, *versioned(2, 2, 3, 4), STATE({"a": 1}), version(2), **config).expect(0)
    statement = "SELECT id, _sdc_deleted_at IS NOT NULL FROM orders ORDER BY id"
    gone = [] if hard else [(1, True)]
    assert query(database, statement) == [*gone, (2, False), (3, False), (4, False)]


def test_activate_version_before_the_rows_of_its_version_removes_none_of_them(database: str) -> None:
    load(database, ORDERS, version(2), *versioned(2, 1, 2), add_record_metadata=True).expect(0)
    assert table(database, "orders", "id") == [(1,), (2,)]


def test_activate_version_without_versions_is_ignored_with_a_warning(database: str) -> None:
    outcome = load(database, ORDERS, *versioned(1, 1, 2), version(2)).expect(0)
    assert "add_record_metadata" in outcome.stderr
    assert table(database, "orders", "id") == [(1,), (2,)]


# --- quarantine ---------------------------------------------------------------------------------------------


def test_bad_rows_are_set_aside_with_their_reason(database: str) -> None:
    rows = [order(id=1, qty="many"), order(id=2, qty=2), order(qty=3), order(id=None), order(id=5, qty=5)]
    outcome = load(
        database, ORDERS, *rows, STATE({"at": 5}), on_invalid="quarantine", on_type_conflict="quarantine"
    ).expect(0)
    assert table(database, "orders", "id") == [(2,), (5,)]
    letters = query(
        database,
        "SELECT pipeline, stream, line, path, reason, convert_from(record, 'UTF8')::json -> 'record' ->> 'qty' "
        "FROM _singerkit_rejects ORDER BY line",
    )
    assert [letter[:4] for letter in letters] == [
        ("default", "orders", 2, "$.qty"),
        ("default", "orders", 4, "$.id"),
        ("default", "orders", 5, "$.id"),
    ]
    assert letters[0][4:] == ('Expected `integer` or `null`, got `"many"`', "many")
    assert (
        "3 records are set aside in the table public._singerkit_rejects, with the reasons." in outcome.stderr
    )
    assert state_row(database) == (1, {"at": 5})


def test_dead_letters_go_with_the_unit(database: str) -> None:
    rows = [order(id=1), order(id="x"), STATE({"at": 1}), order(id="y"), '{"type": "RECORD"']
    load(database, ORDERS, *rows, on_invalid="quarantine").expect(65)
    assert query(database, "SELECT line FROM _singerkit_rejects") == [(3,)]
    assert table(database, "orders", "id") == [(1,)]


def test_too_many_bad_rows_are_a_failure(database: str) -> None:
    bad = [order(id=f"x{n}") for n in range(4)]
    config: dict[str, Any] = {"on_invalid": "quarantine", "quarantine_limit": 3}
    load(database, ORDERS, order(id=1), *bad[:3], **config).expect(0)
    outcome = load(database, ORDERS, order(id=2), *bad, **config).expect(65)
    assert "quarantine_limit" in outcome.last_words
    assert table(database, "orders", "id") == [(1,)]


def test_without_validation_only_types_and_keys_are_checked(database: str) -> None:
    strict = SCHEMA(
        "t", {"id": {"type": "integer", "maximum": 5}, "v": {"type": "string", "maxLength": 1}}, ["id"]
    )
    load(
        database,
        strict,
        RECORD("t", {"id": 9, "v": None}),
        RECORD("t", {"id": 8, "v": "abc"}),
        validate_records=False,
    ).expect(0)
    assert table(database, "t", "id", "v") == [(8, "abc"), (9, None)]
    load(database, strict, RECORD("t", {"id": "9"}), validate_records=False).expect(65)
    load(database, strict, RECORD("t", {"v": "a"}), validate_records=False).expect(65)


# --- types chosen for columns that are not there ------------------------------------------------------------


def test_a_chosen_type_names_a_column_that_there_is(database: str) -> None:
    messages = [SCHEMA("a.b", {"total": NUMBER}), RECORD("a.b", {"total": 1.25})]
    outcome = load(database, *messages, column_types={"a.b.totl": "numeric(12,2)"}).expect(78)
    assert "`column_types.a.b.totl`" in outcome.last_words
    assert "did you mean `total`?" in outcome.last_words
    assert columns(database, "a.b") == {}
    load(database, *messages, column_types={"a.b.total": "numeric(12,2)"}).expect(0)
    assert columns(database, "a.b")["total"] == "numeric(12,2)"


def test_a_chosen_type_that_a_run_never_met_is_told(database: str) -> None:
    """Of a stream that did not come, of a field that few records have, and with `extra: load`."""
    few = load(
        database, SCHEMA("few", {"v": NUMBER}), RECORD("few", {"v": 1}), column_types={"few.rare": "text"}
    )
    assert "`column_types` names `few.rare`" in few.expect(0).stderr
    types = {"t.v": "text", "tt.v": "text", "t.w": "text"}
    messages = [SCHEMA("t", {"v": NUMBER}), RECORD("t", {"v": 1.25, "w": 1})]
    outcome = load(database, *messages, column_types=types, extra="load").expect(0)
    warnings = [line for line in outcome.stderr.splitlines() if "`column_types` names" in line]
    assert len(warnings) == 1
    assert "`tt.v`" in warnings[0]
    assert columns(database, "t")["w"] == "text"
    outcome = load(database, *messages, column_types={"t.x": "text"}, extra="load").expect(0)
    assert "`column_types` names `t.x`" in outcome.stderr
    assert "column_types" not in load(database, *messages, column_types={"t.v": "text"}).expect(0).stderr
