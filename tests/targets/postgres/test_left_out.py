"""Rows that PostgreSQL is given and does not store, without an error: counted, and never passed over in silence."""

from __future__ import annotations

import re
import uuid
from typing import Any

import psycopg2
import pytest
from conftest import run_sql
from faults.loads import RECORD, SCHEMA, STATE, load, query, state_row

from target_postgres.ddl import Detours, shape

INTEGER = {"type": ["integer", "null"]}
KEYLESS = SCHEMA("t", {"n": INTEGER, "v": INTEGER}, [])
KEYED = SCHEMA("t", {"n": INTEGER, "v": INTEGER}, ["n"])
SKIP = """
    CREATE TABLE t (n bigint {key}, v bigint) {parts};
    {part}
    CREATE FUNCTION skips() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN IF NEW.v = 77 THEN RETURN NULL; END IF; RETURN NEW; END $$;
    CREATE TRIGGER skips BEFORE INSERT OR UPDATE ON {on} FOR EACH ROW EXECUTE FUNCTION skips()"""


def row(n: int, v: int) -> dict[str, Any]:
    return RECORD("t", {"n": n, "v": v})


def skipping(database: str, *, keyed: bool, on: str = "t") -> None:
    parts, part = (
        ("", "") if on == "t" else ("PARTITION BY LIST (n)", f"CREATE TABLE {on} PARTITION OF t DEFAULT;")
    )
    run_sql(database, SKIP.format(key="PRIMARY KEY" if keyed else "", on=on, parts=parts, part=part))


@pytest.mark.parametrize(
    ("schema", "is_empty", "on"),
    [
        (KEYLESS, True, "t"),
        (KEYED, True, "t"),
        (KEYED, False, "t"),
        (KEYLESS, True, "part"),
        (KEYED, False, "part"),
    ],
    ids=["keyless", "keyed, empty", "keyed, filled", "keyless partition", "keyed partition"],
)
def test_rows_that_a_trigger_leaves_out(
    database: str, schema: dict[str, Any], is_empty: bool, on: str
) -> None:
    """Into an empty table and by merging, new rows and changed ones, in a partition too."""
    keyed = schema is KEYED
    skipping(database, keyed=keyed, on=on)
    if not is_empty:
        run_sql(database, "INSERT INTO t VALUES (1, 0), (2, 5)")
    before = query(database, "SELECT n, v FROM t ORDER BY n")
    outcome = load(database, schema, row(1, 77), row(2, 5), row(3, 6), row(4, 77), STATE({"n": 4})).expect(65)
    assert "a trigger of the table leaves out 2 of its rows" in outcome.last_words
    assert "stream `t`" in outcome.last_words
    assert query(database, "SELECT n, v FROM t ORDER BY n") == before
    # The advice: set aside.
    load(
        database,
        schema,
        row(1, 77),
        row(2, 5),
        row(3, 6),
        row(4, 77),
        STATE({"n": 4}),
        on_invalid="quarantine",
    ).expect(0)
    assert {(2, 5), (3, 6)} <= set(query(database, "SELECT n, v FROM t"))
    assert query(database, "SELECT line, reason FROM _singerkit_rejects ORDER BY line") == [
        (2, "PostgreSQL refused it: a trigger of the table leaves it out"),
        (5, "PostgreSQL refused it: a trigger of the table leaves it out"),
    ]
    found = state_row(database)
    assert found
    assert found[1] == {"n": 4}


TAKES = """
    CREATE TABLE t (n bigint {key}, v bigint) {parts};
    {part}
    CREATE FUNCTION takes() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN DELETE FROM t WHERE v = 77 {which}; RETURN NULL; END $$;
    CREATE {trigger} EXECUTE FUNCTION takes()"""
TRIGGERS = {
    "row": "TRIGGER takes AFTER INSERT OR UPDATE ON {on} FOR EACH ROW",
    "statement": "TRIGGER takes AFTER INSERT OR UPDATE ON t FOR EACH STATEMENT",
    "deferred": "CONSTRAINT TRIGGER takes AFTER INSERT OR UPDATE ON {on} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
}


@pytest.mark.parametrize("kind", TRIGGERS)
@pytest.mark.parametrize(
    ("schema", "is_empty", "on"),
    [
        (KEYLESS, True, "t"),
        (KEYED, True, "t"),
        (KEYED, False, "t"),
        (KEYED, False, "part"),
        (KEYLESS, False, "part"),
    ],
    ids=["keyless", "keyed, empty", "keyed, filled", "keyed partition", "keyless partition"],
)
def test_rows_that_a_trigger_deletes(
    database: str, schema: dict[str, Any], is_empty: bool, on: str, kind: str
) -> None:
    """Behind the statement that has written them, or at the end of the transaction: no count of the server's tells."""
    key = "PRIMARY KEY" if schema is KEYED else ""
    parts, part = (
        ("", "") if on == "t" else ("PARTITION BY LIST (n)", f"CREATE TABLE {on} PARTITION OF t DEFAULT;")
    )
    which = "" if kind == "statement" else "AND n = NEW.n"
    trigger = TRIGGERS[kind].format(on=on)
    if not is_empty:
        parts += "; INSERT INTO t VALUES (2, 5)" if on == "t" else ""
    run_sql(database, TAKES.format(key=key, parts=parts, part=part, which=which, trigger=trigger))
    before = query(database, "SELECT n, v FROM t ORDER BY n")
    rows = [row(1, 77), row(2, 5), row(3, 6), row(4, 77), STATE({"n": 4})]
    outcome = load(database, schema, *rows).expect(65)
    assert "a trigger of the table leaves out 2 of its rows" in outcome.last_words
    assert query(database, "SELECT n, v FROM t ORDER BY n") == before
    # The advice: set aside.
    load(database, schema, *rows, on_invalid="quarantine").expect(0)
    assert set(query(database, "SELECT n, v FROM t")) == {(2, 5), (3, 6)}
    assert query(database, "SELECT line, reason FROM _singerkit_rejects ORDER BY line") == [
        (2, "PostgreSQL refused it: a trigger of the table leaves it out"),
        (5, "PostgreSQL refused it: a trigger of the table leaves it out"),
    ]


@pytest.mark.parametrize("schema", [KEYLESS, KEYED], ids=["keyless", "keyed"])
def test_triggers_that_delete_no_row_of_the_batch(database: str, schema: dict[str, Any]) -> None:
    """One that keeps a journal, one that deletes what is old, one that changes the row behind the statement."""
    key = "PRIMARY KEY" if schema is KEYED else ""
    run_sql(
        database,
        f"CREATE TABLE t (n bigint {key}, v bigint, at text); CREATE TABLE journal (n bigint);"
        "INSERT INTO t VALUES (-1, 0), (-2, 0);"
        "CREATE FUNCTION notes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO journal VALUES (NEW.n);"
        "DELETE FROM t WHERE n < 0; UPDATE t SET at = 'now' WHERE n = NEW.n AND at IS NULL; RETURN NULL; END $$;"
        "CREATE TRIGGER notes AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION notes()",
    )
    load(database, schema, row(1, 1), row(2, 2), STATE({"n": 2})).expect(0)
    load(database, schema, row(3, 3), row(4, 4), STATE({"n": 4})).expect(0)
    assert query(database, "SELECT n, v, at FROM t ORDER BY n") == [(n, n, "now") for n in (1, 2, 3, 4)]
    assert query(database, "SELECT count(*) FROM journal") == [(4,)]


def test_a_trigger_that_changes_the_key_and_one_behind_it(database: str) -> None:
    """The row is looked for under the key with which it was stored."""
    run_sql(
        database,
        "CREATE TABLE t (n bigint PRIMARY KEY, v bigint);"
        "CREATE FUNCTION moves() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.n = NEW.n + 100; RETURN NEW; END $$;"
        "CREATE FUNCTION takes() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN DELETE FROM t WHERE v = 77 AND n = NEW.n; RETURN NULL; END $$;"
        "CREATE TRIGGER moves BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION moves();"
        "CREATE TRIGGER takes AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION takes()",
    )
    load(database, KEYED, row(1, 1), row(2, 2), STATE({"n": 2})).expect(0)
    assert query(database, "SELECT n, v FROM t ORDER BY n") == [(101, 1), (102, 2)]
    outcome = load(database, KEYED, row(3, 77), STATE({"n": 3})).expect(65)
    assert "leaves out 1 of its rows" in outcome.last_words


@pytest.mark.parametrize("schema", [KEYLESS, KEYED], ids=["keyless", "keyed"])
def test_a_trigger_that_truncates(database: str, schema: dict[str, Any]) -> None:
    key = "PRIMARY KEY" if schema is KEYED else ""
    run_sql(
        database,
        f"CREATE TABLE t (n bigint {key}, v bigint);"
        "CREATE FUNCTION empties() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN TRUNCATE t; RETURN NULL; END $$;"
        "CREATE TRIGGER empties AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION empties()",
    )
    load(database, schema, row(1, 1), STATE({"n": 1})).expect(65)


def test_a_trigger_that_adds_rows_hides_none_that_another_leaves_out(database: str) -> None:
    skipping(database, keyed=False)
    run_sql(
        database,
        "CREATE FUNCTION adds() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t VALUES (NEW.n + 100, 1); RETURN NULL; END $$;"
        "CREATE TRIGGER adds AFTER INSERT ON t FOR EACH ROW WHEN (NEW.n < 100) EXECUTE FUNCTION adds()",
    )
    outcome = load(database, KEYLESS, row(1, 1), row(2, 77), STATE({"n": 2})).expect(65)
    assert "leaves out 1 of its rows" in outcome.last_words
    load(database, KEYLESS, row(1, 1), STATE({"n": 2})).expect(0)
    assert query(database, "SELECT n FROM t ORDER BY n") == [(1,), (101,)]


def test_rows_that_stay_the_same_are_not_missed(database: str) -> None:
    """What is unchanged is not written, and of several with one key the last is; a trigger may change values."""
    skipping(database, keyed=True)
    run_sql(
        database,
        "CREATE TABLE log (n bigint);"
        "CREATE FUNCTION adds() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (NEW.n); NEW.v = NEW.v + 1000; RETURN NEW; END $$;"
        "CREATE TRIGGER adds BEFORE INSERT OR UPDATE ON t FOR EACH ROW WHEN (NEW.n = 9) EXECUTE FUNCTION adds()",
    )
    for _ in range(2):
        load(database, KEYED, row(1, 1), row(2, 2), row(1, 3), row(9, 9), STATE({"n": 9})).expect(0)
        assert query(database, "SELECT n, v FROM t ORDER BY n") == [(1, 3), (2, 2), (9, 1009)]
    assert query(database, "SELECT count(*) FROM log") == [(2,)]  # looking leaves no trace


def test_rows_of_other_versions_that_stay(database: str) -> None:
    def version(number: int) -> list[dict[str, Any]]:
        return [
            KEYED,
            {"type": "RECORD", "stream": "t", "record": {"n": number, "v": 1}, "version": number},
            {"type": "ACTIVATE_VERSION", "stream": "t", "version": number},
            STATE({"version": number}),
        ]

    load(database, *version(1), add_record_metadata=True).expect(0)
    run_sql(
        database,
        "CREATE FUNCTION keeps() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
        "CREATE TRIGGER keeps BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION keeps()",
    )
    outcome = load(database, *version(2), add_record_metadata=True).expect(65)
    assert "leaves rows of other versions as they are" in outcome.last_words
    run_sql(database, "DROP TRIGGER keeps ON t; CREATE RULE keeps AS ON DELETE TO t DO INSTEAD NOTHING")
    load(database, *version(3), add_record_metadata=True).expect(65)
    run_sql(database, "DROP RULE keeps ON t")
    load(database, *version(4), add_record_metadata=True).expect(0)
    assert query(database, "SELECT n FROM t") == [(4,)]


@pytest.mark.parametrize("schema", [KEYED, KEYLESS], ids=["keyed", "keyless"])
@pytest.mark.parametrize("action", ["ALSO INSERT INTO log VALUES (NEW.n)", "INSTEAD NOTHING"])
@pytest.mark.parametrize("filled", [True, False], ids=["filled", "empty"])
def test_a_table_with_a_rule_for_its_rows_is_refused(
    database: str, schema: dict[str, Any], action: str, filled: bool
) -> None:
    """COPY follows none: the first run ended with 0 without it, and the next one with advice on types, since no ON CONFLICT takes one."""
    key = "PRIMARY KEY" if schema is KEYED else ""
    run_sql(database, f"CREATE TABLE t (n bigint {key}, v bigint); CREATE TABLE log (n bigint)")
    if filled:
        run_sql(database, "INSERT INTO t VALUES (1, 0)")
    run_sql(database, f'CREATE RULE "say ""hi""" AS ON INSERT TO t DO {action}')
    outcome = load(database, schema, row(2, 77), STATE({"n": 2})).expect(78)
    assert 'has the rule `say "hi"` (ON INSERT)' in outcome.last_words
    assert query(database, "SELECT n FROM t") == ([(1,)] if filled else [])
    (drop,) = re.findall("`(DROP RULE .*?)`", outcome.last_words)
    run_sql(database, drop)
    load(database, schema, row(2, 77), STATE({"n": 2})).expect(0)


def test_a_rule_that_is_in_nobodys_way_is_none(database: str) -> None:
    """One for UPDATE where rows are appended, one that is disabled, one of a part, to which rows are not sent by name."""
    run_sql(database, "CREATE TABLE t (n bigint, v bigint) PARTITION BY LIST (v)")
    run_sql(database, "CREATE TABLE part PARTITION OF t DEFAULT; CREATE TABLE log (n bigint)")
    run_sql(database, "CREATE RULE a AS ON UPDATE TO t DO ALSO INSERT INTO log VALUES (NEW.n)")
    run_sql(database, "CREATE RULE b AS ON INSERT TO t DO INSTEAD NOTHING; ALTER TABLE t DISABLE RULE b")
    run_sql(database, "CREATE RULE c AS ON INSERT TO part DO INSTEAD NOTHING")
    load(database, KEYLESS, row(2, 77), STATE({"n": 2})).expect(0)
    assert query(database, "SELECT n FROM t") == [(2,)]
    run_sql(database, "ALTER TABLE t ADD PRIMARY KEY (n, v); ALTER TABLE t DISABLE RULE a")
    by_both = SCHEMA("t", {"n": INTEGER, "v": INTEGER}, ["n", "v"])
    told = load(database, by_both, row(2, 78), STATE({"n": 3})).expect(78).last_words
    assert "has the rule `a` (ON UPDATE)" in told
    run_sql(database, "DROP RULE a ON t")
    load(database, by_both, row(2, 78), STATE({"n": 3})).expect(0)
    assert query(database, "SELECT v FROM t ORDER BY v") == [(77,), (78,)]


@pytest.mark.parametrize(
    ("schema", "what"),
    [(KEYLESS, "policy"), (KEYED, "policy"), (KEYED, "no partition")],
    ids=["keyless policy", "keyed policy", "keyed no partition"],
)
def test_what_postgresql_refuses_by_itself(database: str, schema: dict[str, Any], what: str) -> None:
    key = "PRIMARY KEY" if schema is KEYED else ""
    if what == "no partition":
        run_sql(database, f"CREATE TABLE t (n bigint {key}, v bigint) PARTITION BY LIST (n);")
        run_sql(database, "CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1)")
        load(database, schema, row(2, 77), STATE({"n": 2})).expect(65)
        return
    role = f"role_{uuid.uuid4().hex[:12]}"
    run_sql(database, f"CREATE TABLE t (n bigint {key}, v bigint); INSERT INTO t VALUES (1, 0)")
    run_sql(database, "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY")
    run_sql(database, "CREATE POLICY small ON t USING (v < 5) WITH CHECK (v < 5)")
    run_sql(
        database,
        f"CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}; ALTER TABLE t OWNER TO {role}",
    )
    try:
        outcome = load(database, schema, row(2, 77), STATE({"n": 2}), user=role)
        assert outcome.code in (77, 78), outcome.stderr
    finally:
        run_sql(database, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


KEEPS = """
    CREATE TABLE t (n bigint PRIMARY KEY, v bigint, w text);
    INSERT INTO t VALUES (1, 5, 'a'), (2, 6, 'b');
    CREATE FUNCTION guards() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
    CREATE TRIGGER guards BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION guards()"""
WORDED = SCHEMA("t", {"n": INTEGER, "v": INTEGER, "w": {"type": ["string", "null"]}}, ["n"])


def worded(n: int, v: int, w: str) -> dict[str, Any]:
    return RECORD("t", {"n": n, "v": v, "w": w})


@pytest.mark.parametrize(
    "body",
    [
        "IF TG_OP = 'UPDATE' AND OLD.v > NEW.v THEN RETURN OLD; END IF; RETURN NEW;",
        "IF TG_OP = 'UPDATE' AND OLD.v > NEW.v THEN NEW := OLD; END IF; RETURN NEW;",
    ],
    ids=["returned", "taken over"],
)
def test_rows_that_a_trigger_keeps_as_they_were(database: str, body: str) -> None:
    run_sql(database, KEEPS.format(body=body))
    rows = [worded(1, 4, "A"), worded(2, 7, "B"), worded(3, 8, "C"), STATE({"n": 3})]
    outcome = load(database, WORDED, *rows).expect(65)
    assert "a trigger of the table leaves out 1 of its rows" in outcome.last_words
    assert query(database, "SELECT * FROM t ORDER BY n") == [(1, 5, "a"), (2, 6, "b")]
    load(database, WORDED, *rows, on_invalid="quarantine").expect(0)
    assert query(database, "SELECT * FROM t ORDER BY n") == [(1, 5, "a"), (2, 7, "B"), (3, 8, "C")]
    assert query(database, "SELECT line FROM _singerkit_rejects") == [(2,)]


@pytest.mark.parametrize(
    "body",
    [
        "NEW.w := lower(NEW.w); RETURN NEW;",
        "IF TG_OP = 'UPDATE' AND NEW.v <> OLD.v THEN NEW.w := OLD.w; END IF; RETURN NEW;",
    ],
    ids=["a change that comes to the same", "one column that is kept"],
)
def test_triggers_that_change_what_they_are_given_are_no_loss(database: str, body: str) -> None:
    run_sql(database, KEEPS.format(body=body))
    load(database, WORDED, worded(1, 5 + ("OLD" in body), "A"), worded(2, 7, "B")).expect(0)
    assert query(database, "SELECT w FROM t ORDER BY n") == [("a",), ("b",)]


def test_a_table_that_is_looked_back_at_takes_several_merges_in_one_unit(database: str) -> None:
    """Rows with other fields are merged by themselves; those with the key alone change nothing."""
    run_sql(database, KEEPS.format(body="IF OLD.v > NEW.v THEN RETURN OLD; END IF; RETURN NEW;"))
    rows = [worded(1, 7, "A"), RECORD("t", {"n": 2, "v": 8}), RECORD("t", {"n": 1}), worded(3, 9, "C")]
    load(database, WORDED, *rows, STATE({"n": 3}), missing_fields="keep").expect(0)
    assert query(database, "SELECT * FROM t ORDER BY n") == [(1, 7, "A"), (2, 8, "b"), (3, 9, "C")]


TRIGGER = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$; CREATE {what} EXECUTE FUNCTION f()"
AFTER = "TRIGGER x AFTER INSERT ON t FOR EACH ROW"
BEFORE = "TRIGGER x BEFORE INSERT OR UPDATE ON t FOR EACH ROW"
LEAVES_OUT, TAKES_AWAY = Detours(leave_out=True), Detours(take_away=True)


def made(what: str, body: str = "") -> str:
    return TRIGGER.format(what=what, body=body)


FOUND: list[tuple[str, Detours]] = [
    ("SELECT", Detours()),
    (
        "CREATE TABLE o (n bigint PRIMARY KEY REFERENCES t); ALTER TABLE t ADD FOREIGN KEY (v) REFERENCES o",
        Detours(),
    ),
    ("CREATE RULE x AS ON INSERT TO t DO ALSO SELECT 1", Detours()),
    (made(AFTER), TAKES_AWAY),
    (made("TRIGGER x AFTER UPDATE ON t"), TAKES_AWAY),
    (
        made("CONSTRAINT TRIGGER x AFTER INSERT ON t DEFERRABLE FOR EACH ROW"),
        Detours(take_away=True, defer=True),
    ),
    (made(AFTER) + "; ALTER TABLE t DISABLE TRIGGER x", Detours()),
    (made("TRIGGER x BEFORE INSERT ON t"), Detours()),
    (made(BEFORE), LEAVES_OUT),
    (made(BEFORE) + "; ALTER TABLE t DISABLE TRIGGER x", Detours()),
    (made(BEFORE.replace("ON t", "ON part")), LEAVES_OUT),
    (made(BEFORE, "NEW := Old;"), Detours(leave_out=True, keep_old=True)),
    (made(BEFORE, "NEW.v := 1; /* bold, golden, olds */"), LEAVES_OUT),
    (made(BEFORE.replace(" OR UPDATE", ""), "NEW := OLD;"), LEAVES_OUT),
    (made("TRIGGER x AFTER UPDATE ON t FOR EACH ROW", "NEW := OLD;"), TAKES_AWAY),
]


def test_which_triggers_may_keep_rows_out(database: str) -> None:
    """What a table has not costs nothing."""
    run_sql(database, "CREATE TABLE t (n bigint PRIMARY KEY, v bigint); CREATE TABLE part () INHERITS (t)")
    connection = psycopg2.connect(database)
    with connection.cursor() as cursor:
        for statement, expected in FOUND:
            cursor.execute(statement)
            assert shape(cursor, "public", "t").detours == expected, statement
            connection.rollback()
    connection.close()
