"""What each class of errors of PostgreSQL (appendix A of its documentation) ends a run with: 70 is left for our own statements."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

import psycopg2
import pytest
from faults.loads import RECORD, SCHEMA, STATE, connected, lines, load, query, running, table
from psycopg2 import errorcodes
from psycopg2.extensions import make_dsn
from waiting import wait_until

from singerkit_target.contract import UnitLost
from target_postgres.faults import fault

INTEGER = {"type": ["integer", "null"]}
LONG = "".join(
    chr(0x4E00 + number * 7919 % 20000) for number in range(1_500)
)  # compressed, it is still too long for an index
ROW = [SCHEMA("t", {"id": INTEGER}, []), RECORD("t", {"id": 1}), STATE({"at": 1})]

CLASSES = {
    **dict.fromkeys(["00", "01", "02", "03", "0B", "0F", "0Z", "24", "25", "26", "2D", "34", "3B"], 70),
    **dict.fromkeys(["09", "10", "20", "21", "22", "23", "27", "2F", "38", "39", "44", "54", "P0"], 65),
    **dict.fromkeys(["0A", "2B", "3D", "3F", "42", "55", "HV"], 78),
    **dict.fromkeys(["0L", "0P", "28"], 77),
    **dict.fromkeys(["08", "57", "58", "72", "F0", "XX"], 69),
    "40": 75,
    "53": 74,
}
CODES = {
    "25006": 74,  # read-only
    **dict.fromkeys(["25P03", "25P04"], 69),  # a time limit that ends the session
    "40003": 69,  # nobody knows whether it was committed
    "42501": 77,
    **dict.fromkeys(["42P01", "42703"], 65),  # dropped by others
    **dict.fromkeys(["42P06", "42P07", "42701", "42710"], 75),  # made by others in the same moment
    **dict.fromkeys(["42702", "42P02", "42P03", "42P05", "42P08", "42P09", "42P11", "42712", "42803", "42P14"], 70),
    **dict.fromkeys(["42P19", "42P20"], 70),
    "53300": 69,
    **dict.fromkeys(["55P03", "55006"], 75),
}  # fmt: skip
"""The codes that mean something else than the rest of their class."""
ALL = sorted({code for code in vars(errorcodes).values() if isinstance(code, str) and len(code) == 5})
RETRIED = ("08", "40", "57", "58", "72", "F0", "XX")
"""Classes with which the unit in hand is written again."""


def error_with(code: str | None, words: str = "it went wrong") -> psycopg2.Error:
    kind = type("Raised", (psycopg2.Error,), {"pgcode": code})
    return kind(words)  # type: ignore[no-any-return]  # a class that is made here


def test_each_class_is_decided_upon() -> None:
    classes = {code[:2] for code in ALL}
    assert len(classes) > 40
    assert CLASSES.keys() == classes
    assert {code[:2] for code in CODES} <= classes


@pytest.mark.parametrize("code", [*ALL, "25P04"])
def test_a_code_ends_the_run_as_its_class_does(code: str) -> None:
    error = fault(error_with(code), "loading stream `t`")
    assert error.exit_code == CODES.get(code, CLASSES[code[:2]])
    assert "loading stream `t`" in str(error) or code == "25006"
    assert "what was committed is safe" in str(error)
    assert str(error).endswith(".")
    assert "{" not in str(error)
    if code[:2] in RETRIED and code != "57014":
        assert isinstance(error, UnitLost)
        assert str(error).startswith(f"{error.finding}; what was committed is safe: "), (
            "the run does the rest itself"
        )


def test_a_code_that_postgresql_does_not_have_is_that_of_an_extension() -> None:
    error = fault(error_with("TS001", 'refused {x} in "secret row"'), "loading stream `t`")
    assert error.exit_code == 78
    assert "TS001: refused {x} in `...`" in str(error)


@pytest.mark.parametrize("code", ["38000", "39P01", "HV000"])
def test_the_words_of_functions_of_others_are_told_without_what_they_quote(code: str) -> None:
    error = fault(error_with(code, "no row like 'secret row'"), "loading stream `t`")
    assert f"{code}: no row like `...`" in str(error)


@pytest.mark.parametrize("type_", ["bigint(4)", "select from", "varchar(10) collate nonsense"])
def test_a_chosen_type_that_is_none_is_the_users(database: str, type_: str) -> None:
    outcome = load(database, *ROW, column_types={"t.id": type_}).expect(78)
    assert "correct `column_types`" in outcome.last_words


def test_a_default_that_does_not_fit_a_column_that_has_to_change_is_named(database: str) -> None:
    query(database, "CREATE TABLE t (id jsonb DEFAULT '{}')")
    outcome = load(database, *ROW).expect(78)
    assert 'default for column "id"' in outcome.last_words
    query(database, "ALTER TABLE t ALTER id DROP DEFAULT")
    load(database, *ROW).expect(0)
    assert table(database, "t") == [(1,)]


def test_a_table_that_another_session_makes_in_the_same_moment_is_taken(database: str) -> None:
    load(database, STATE({"at": 0})).expect(0)
    with connected(database, autocommit=False) as cursor:
        cursor.execute("CREATE TABLE t (id bigint)")
        with running(database) as target:
            target.send(lines(*ROW))
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            wait_until(lambda: query(database, waiting), "the run to wait for the other session")
            cursor.execute("COMMIT")
            outcome = target.finish().expect(0)
    assert "written again" not in outcome.stderr, "the unit has nothing to do with it"
    assert table(database, "t") == [(1,)]


def test_a_schema_that_postgresql_keeps_for_itself_is_the_users(database: str) -> None:
    outcome = load(database, *ROW, default_target_schema="pg_mine").expect(78)
    assert 'unacceptable schema name "pg_mine"' in outcome.last_words


def test_a_limit_of_the_server_is_no_lost_connection(database: str) -> None:
    """`temp_file_limit` (53400) was taken for one, and the unit was written again and again."""
    rows = [RECORD("t", {"id": number % 900, "v": "x" * 1_000}) for number in range(1_800)]
    schema = SCHEMA("t", {"id": INTEGER, "v": {"type": "string"}}, ["id"])
    limited = make_dsn(database, options="-c work_mem=1MB -c temp_file_limit=256kB")
    outcome = load(limited, schema, *rows, STATE({"at": 1})).expect(74)
    assert "temp_file_limit" in outcome.last_words
    assert "written again" not in outcome.stderr
    load(database, schema, *rows, STATE({"at": 1})).expect(0)


def test_a_type_that_the_server_has_no_support_for_is_told_as_that(database: str) -> None:
    """It said that something depends on the table."""
    schema = SCHEMA("t", {"id": INTEGER, "v": {"type": "string"}}, ["id"])
    rows = [RECORD("t", {"id": 1, "v": "<a/>"}), STATE({"at": 1})]
    try:
        query(database, "SELECT xml '<a/>'")
        is_supported = True
    except psycopg2.errors.FeatureNotSupported:
        is_supported = False
    outcome = load(database, schema, *rows, column_types={"t.v": "xml"}).expect(0 if is_supported else 78)
    if is_supported:  # as a server of another build is, by `make test-postgres`
        assert query(database, "SELECT v::text FROM t") == [("<a/>",)]
        return
    assert "no support" in outcome.last_words
    assert "libxml" in outcome.last_words
    assert "depends on" not in outcome.last_words
    load(database, schema, *rows, column_types={"t.v": "text"}).expect(0)


@pytest.mark.parametrize("way", ["quarantine", "DROP INDEX long"])
def test_a_value_that_is_too_long_for_an_index_is_told_with_what_helps(database: str, way: str) -> None:
    """It advised to select fewer fields."""
    query(database, "CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    query(database, "CREATE INDEX long ON t (v)")
    schema = SCHEMA("t", {"id": INTEGER, "v": {"type": "string"}}, ["id"])
    rows = [RECORD("t", {"id": 1, "v": LONG}), RECORD("t", {"id": 2, "v": "a"}), STATE({"at": 1})]
    outcome = load(database, schema, *rows).expect(65)
    assert '"long"' in outcome.last_words
    assert "`on_invalid: quarantine`" in outcome.last_words
    assert LONG[:9] not in outcome.stderr
    if way == "quarantine":
        load(database, schema, *rows, on_invalid="quarantine").expect(0)
    else:
        query(database, way)
        load(database, schema, *rows).expect(0)
    assert query(database, "SELECT id FROM t ORDER BY 1") == [(2,)] if way == "quarantine" else [(1,), (2,)]


def test_a_key_that_is_too_long_is_set_aside(database: str) -> None:
    schema = SCHEMA("t", {"id": {"type": "string"}}, ["id"])
    rows = [RECORD("t", {"id": LONG}), RECORD("t", {"id": "a"}), STATE({"at": 1})]
    outcome = load(database, schema, *rows).expect(65)
    assert "`on_invalid: quarantine`" in outcome.last_words
    load(database, schema, *rows, on_invalid="quarantine").expect(0)
    assert table(database, "t") == [("a",)]


def test_a_row_of_too_many_columns_is_told_with_fewer_fields(database: str) -> None:
    schema = SCHEMA("t", {f"c{number}": INTEGER for number in range(1_700)}, [])
    assert "select fewer fields" in load(database, schema, STATE({"at": 1})).expect(65).last_words


def test_what_depends_on_a_column_is_named_where_its_type_has_to_change(database: str) -> None:
    query(database, "CREATE TABLE t (id bigint PRIMARY KEY, v bigint)")
    query(database, "CREATE VIEW reading AS SELECT v FROM t")
    schema = SCHEMA("t", {"id": INTEGER, "v": {"type": "number"}}, ["id"])
    rows = [RECORD("t", {"id": 1, "v": 1.5}), STATE({"at": 1})]
    outcome = load(database, schema, *rows, on_type_conflict="fail").expect(78)
    assert "view reading" in outcome.last_words
    query(database, "DROP VIEW reading")
    load(database, schema, *rows).expect(0)


@pytest.fixture
def stranger(database: str) -> Iterator[str]:
    """A role that may do anything with the rows of `t`, which is not its own."""
    role = f"role_{uuid.uuid4().hex[:12]}"
    query(database, "CREATE TABLE t (id bigint)")
    query(
        database, f"CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}; GRANT ALL ON t TO {role}"
    )
    yield role
    query(database, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_whose_table_it_is_not_is_told_how_it_gets_it(database: str, stranger: str) -> None:
    """It was advised to grant a privilege, and there is none."""
    more = [SCHEMA("t", {"id": INTEGER, "more": INTEGER}, []), RECORD("t", {"id": 1, "more": 2})]
    told = load(database, *more, user=stranger).expect(77).last_words
    assert "`ALTER TABLE ... OWNER TO ...`" in told
    query(database, f"ALTER TABLE t OWNER TO {stranger}")
    load(database, *more, user=stranger).expect(0)


@pytest.mark.parametrize("key", [["id"], []], ids=["INSERT", "COPY"])
@pytest.mark.parametrize("way", ["ALTER ROLE {role} BYPASSRLS", "ALTER TABLE t DISABLE ROW LEVEL SECURITY"])
def test_row_level_security_is_told_of(database: str, stranger: str, key: Sequence[str], way: str) -> None:
    """It was advised to take another type, or another server."""
    query(database, "CREATE UNIQUE INDEX ON t (id); ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    rows = [SCHEMA("t", {"id": INTEGER}, key), RECORD("t", {"id": 1})]
    told = load(database, *rows, user=stranger).expect(77).last_words
    assert "Row level security of the table" in told
    assert "`ALTER ROLE ... BYPASSRLS`" in told
    assert "`ALTER TABLE ... DISABLE ROW LEVEL SECURITY`" in told
    query(database, way.format(role=stranger))
    load(database, *rows, user=stranger).expect(0)


def test_a_row_that_comes_before_the_one_that_it_refers_to(database: str) -> None:
    query(
        database,
        'CREATE TABLE p (id bigint PRIMARY KEY); CREATE TABLE "C" (id bigint, p bigint REFERENCES p)',
    )
    child = [SCHEMA("C", {"id": INTEGER, "p": INTEGER}, []), RECORD("C", {"id": 1, "p": 2})]
    parent = [SCHEMA("p", {"id": INTEGER}, ["id"]), RECORD("p", {"id": 2})]
    load(database, *child, *parent).expect(0)
    assert query(database, 'SELECT id, p FROM "C"') == [(1, 2)]


def test_a_row_that_others_refer_to_is_no_child_that_came_early() -> None:
    error = fault(error_with("23503", 'update or delete on table "p" violates'), "loading stream `p`")
    assert "first" not in str(error)
