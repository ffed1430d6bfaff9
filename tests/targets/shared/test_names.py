"""Names of tables and columns as the config wants them, in every database; what the names were before is never forgotten."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from targets.shared.test_databases import INTEGER, TEXT, Database, target_of

from singerkit_sql_target.naming import Naming, naming_problems, snake


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("orderId", "order_id"),
        ("HTTPServer", "http_server"),
        ("userID", "user_id"),
        ("Total (EUR)", "total_eur"),
        ("already_snake", "already_snake"),
        ("_id", "_id"),
        ("__v", "__v"),
        ("2fa", "_2fa"),
        ("Größe/m²", "größe_m²"),
        ("$$$", "_"),
        ("a--b..c", "a_b_c"),
        ("v2Beta1", "v2_beta1"),
        ("_sdc_table_version", "_sdc_table_version"),
    ],
)
def test_snake(name: str, made: str) -> None:
    assert snake(name) == made


def test_the_first_template_that_fits_and_a_name_of_its_own_before_all() -> None:
    naming = Naming(
        "lower", {"crm-*": "crm_{table}", "*": "raw_{stream}", "Orders": "Sales"}, {"crm-*": "{schema}_raw"}
    )
    assert [naming.table(stream) for stream in ("crm-Deals-Won", "Users", "Orders")] == [
        "crm_deals-won",
        "raw_users",
        "Sales",
    ]
    assert [naming.schema(stream, "d") for stream in ("crm-Deals", "Users")] == ["crm_raw", "d"]
    assert Naming(schemas={"*": "{schema}"}).schema("users", "d") == "d"


@pytest.mark.parametrize("template", ["{name}", "{stream!r}", "{stream:>9}", "{stream", "{0}", "{stream.x}"])
def test_a_template_that_cannot_be_filled_in_is_refused(template: str) -> None:
    (problem,) = naming_problems({"table_name": {"a": template}})
    assert problem.endswith(f"at `table_name`, got `{template}`")


@pytest.fixture(params=["postgres", "duckdb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return target_of(request, tmp_path)


def rows(stream: str, *records: dict[str, Any], key: str = "Id") -> list[Any]:
    fields = {name: INTEGER if name == key else TEXT for record in records for name in record}
    return [SCHEMA(stream, fields, [key]), *(RECORD(stream, one) for one in records)]


def state(*streams: str, value: int = 1) -> Any:
    return STATE({"bookmarks": {stream: {"replication_key_value": value} for stream in streams}})


def test_tables_and_columns_have_the_names_of_the_config(target: Database) -> None:
    config = {
        "names": "snake",
        "table_name": {"*-*": "raw_{table}"},
        "schema_name": {"*-*": "from_{schema}"},
        "column_names": {"Shop-LineItems.Id": "item", "*.Note": "REMARK"},
    }
    messages = [
        *rows("Shop-LineItems", {"Id": 1, "unitPrice": "a", "Note": "n"}),
        *rows("plainStream", {"Id": 2}),
        state("Shop-LineItems"),
    ]
    target.run(*messages, **config).expect(0)
    again = [
        *rows("Shop-LineItems", {"Id": 1, "unitPrice": "b", "Note": "n"}),
        state("Shop-LineItems", value=2),
    ]
    target.run(*again, **config).expect(0)
    assert target.query('SELECT item, unit_price, "REMARK" FROM from_shop.raw_line_items') == [(1, "b", "n")]
    assert target.query(f"SELECT id FROM {target.schema}.plain_stream") == [(2,)]


def test_names_that_would_be_one_are_refused_before_anything_of_them_is_written(target: Database) -> None:
    two = target.run(*rows("A", {"Id": 1}), *rows("a", {"Id": 1}), state("A"), names="lower").expect(65)
    assert "name the table of one in `table_name`" in two.stderr.splitlines()[-1]
    fields = target.run(*rows("s", {"Id": 1, "aB": "x", "a b": "y"}), state("s"), names="snake").expect(65)
    assert "got `aB` and `a b`" in fields.stderr.splitlines()[-1]
    assert "name one in `column_names`" in fields.stderr.splitlines()[-1]
    one = target.run(*rows("b", {"Id": 1}), *rows("c", {"Id": 1}), state("b"), table_name="all").expect(65)
    assert "got `b` and `c`" in one.stderr.splitlines()[-1]


def test_other_names_do_not_begin_an_empty_table_under_a_state_that_knows_rows(target: Database) -> None:
    target.run(*rows("s", {"Id": 1}), state("s")).expect(0)
    moved = target.run(*rows("s", {"Id": 2}), state("s", value=2), table_name="raw_{stream}").expect(78)
    assert (
        f"were loaded into the table {target.schema}.s, and are to go to {target.schema}.raw_s now"
        in moved.stderr
    )
    target.query(f"ALTER TABLE {target.schema}.s RENAME TO raw_s")
    target.run(*rows("s", {"Id": 2}), state("s", value=2), table_name="raw_{stream}").expect(0)
    assert target.query(f"SELECT count(*) FROM {target.schema}.raw_s") == [(2,)]
    back = target.run(*rows("s", {"Id": 3}), state("s", value=3)).expect(78)
    assert (
        f"were loaded into the table {target.schema}.raw_s, and are to go to {target.schema}.s now"
        in back.stderr
    )


def test_a_full_table_under_another_name_is_told(target: Database) -> None:
    target.run(*rows("s", {"Id": 1}), STATE({"bookmarks": {}})).expect(0)
    told = target.run(*rows("s", {"Id": 1}), STATE({"bookmarks": {}}), table_name="raw_{stream}").expect(0)
    assert (
        f"loaded into the table {target.schema}.s before, and go to {target.schema}.raw_s now" in told.stderr
    )


def test_columns_that_are_called_otherwise_are_told_at_once_with_the_statements(target: Database) -> None:
    target.run(*rows("s", {"Id": 1, "unitPrice": "a"}), state("s")).expect(0)
    refused = target.run(*rows("s", {"Id": 1, "unitPrice": "b"}), state("s", value=2), names="snake").expect(
        78
    )
    last = refused.stderr.splitlines()[-1]
    assert "`unitPrice` is to be `unit_price`" in last
    for statement in last.split("rename them (`")[1].split("`),")[0].split("; "):
        target.query(statement)
    target.run(*rows("s", {"Id": 1, "unitPrice": "b"}), state("s", value=2), names="snake").expect(0)
    assert target.query(f"SELECT id, unit_price FROM {target.schema}.s") == [(1, "b")]


def test_names_that_are_exchanged_are_told_with_the_statements(target: Database) -> None:
    schema = SCHEMA("s", {"id": INTEGER, "a": TEXT, "b": TEXT}, ["id"])
    plain = [schema, RECORD("s", {"id": 1, "a": "of a", "b": "of b"}), STATE({"n": 1})]
    swapped: dict[str, Any] = {"column_names": {"s.a": "b", "s.b": "a"}}
    target.run(*plain).expect(0)
    for config, a, b in ((swapped, "of b", "of a"), ({}, "of a", "of b")):
        words = target.run(*plain, **config).expect(78).last_words
        assert "`b` holds" in words
        (rename,) = re.findall(r"rename them \(`(.*?)`\)", words)
        for statement in rename.split("; "):
            target.query(statement)
        target.run(*plain, **config).expect(0)
        assert target.query("SELECT id, a, b FROM s") == [(1, a, b)]
    (note,) = re.findall(r"note that \(`(.*?)`\)", target.run(*plain, **swapped).expect(78).last_words)
    for statement in note.split("; "):
        target.query(statement)
    target.run(*plain, **swapped).expect(0)
    # One that goes on in the column of a field which is no more is nobody's surprise.
    later = [
        SCHEMA("s", {"id": INTEGER, "c": TEXT}, ["id"]),
        RECORD("s", {"id": 1, "c": "of c"}),
        STATE({"n": 2}),
    ]
    target.run(*later, column_names={"s.c": "a"}).expect(0)
    assert target.query("SELECT a FROM s") == [("of c",)]


def test_pipelines_share_a_table_by_its_name_and_not_by_that_of_the_stream(target: Database) -> None:
    target.run(*rows("s", {"Id": 1}), state("s"), pipeline="one", table_name="one_{stream}").expect(0)
    apart = target.run(*rows("s", {"Id": 1}), state("s"), pipeline="two", table_name="two_{stream}").expect(0)
    assert "by the pipeline" not in apart.stderr
    shared = target.run(*rows("t", {"Id": 1}), state("t"), pipeline="three", table_name="one_s").expect(0)
    assert "The table of stream `t` was loaded by the pipeline `one`, too" in shared.stderr
    assert "forget its state with `target-" in shared.stderr
    assert "--config" in shared.stderr.split("forget its state with `")[1].split("`")[0]


def test_a_stream_does_not_take_the_table_of_another_one_of_an_earlier_run(target: Database) -> None:
    """Where the load is overwritten all rows of the other were deleted, with exit 0."""
    whole = STATE({"bookmarks": {}})
    target.run(*rows("my-Orders", {"Id": 1}, {"Id": 2}), whole, names="snake").expect(0)
    for method in ("upsert", "overwrite"):
        again = target.run(
            *rows("my_orders", {"Id": 1}), whole, names="snake", load_method=method, end_of_input="state"
        ).expect(78)
        assert "this pipeline has loaded the stream `my-Orders` before" in again.last_words
    assert target.query(f"SELECT count(*) FROM {target.schema}.my_orders") == [(2,)]
    _, config, _, *arguments = shlex.split(again.last_words.split("say so with `")[1].split("`")[0])
    assert config == "--config"
    target.run(arguments=arguments, names="snake").expect(0)
    target.run(*rows("my_orders", {"Id": 3}), whole, names="snake").expect(0)
    target.run(*rows("my_orders", {"Id": 4}), whole, names="snake").expect(0)
    assert target.query(f"SELECT count(*) FROM {target.schema}.my_orders") == [(4,)]


def test_what_was_made_under_other_names_goes_with_a_run_that_ends_without_rows(target: Database) -> None:
    places = {"table_name": "raw_{stream}", "schema_name": "elsewhere", "names": "snake"}
    bad = [*rows("s", {"Id": 1}), RECORD("s", {"Id": "x"}), state("s")]
    target.run(*bad, **places).expect(65)
    if target.schema == "public":  # target-duckdb makes a table before its unit, and leaves it empty
        assert target.query("SELECT to_regclass('elsewhere.raw_s')") == [(None,)]
    overwriting = {**places, "load_method": "overwrite", "end_of_input": "state"}
    for number in (1, 2):
        target.run(*rows("s", {"Id": number}), STATE({"bookmarks": {}}), **overwriting).expect(0)
    assert target.query("SELECT id FROM elsewhere.raw_s") == [(2,)]
    if target.schema != "public":
        return  # what comes is target-postgres' alone
    history = {**places, "load_method": "history", "table_name": "h_{stream}"}
    for number in (1, 2):
        target.run(*rows("s", {"Id": 1, "aB": str(number)}), STATE({"bookmarks": {}}), **history).expect(0)
    assert target.query("SELECT count(*), count(DISTINCT a_b) FROM elsewhere.h_s") == [(2, 2)]


def test_a_pattern_that_nothing_meets_is_told_at_the_end(target: Database) -> None:
    config = {"table_name": {"oders": "o"}, "column_names": {"s.Naem": "name"}}
    told = target.run(*rows("s", {"Id": 1}), state("s"), **config).expect(0).stderr
    assert "`table_name` names `oders`, and this run had no such stream" in told
    assert "`column_names` names `s.Naem`, and this run had no such stream with such a field" in told
