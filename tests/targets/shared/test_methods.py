"""`load_method` by stream: which pattern counts, what is refused, and what each stream's table has then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from faults.loads import MARKED
from targets.shared.test_databases import Database, target

from singerkit_shell.errors import ConfigurationError
from singerkit_sql_target.methods import Method, method_problems, methods_of
from singerkit_target.abilities import always, never
from singerkit_target.delivery import Ways, deliveries
from singerkit_target.overwriting import Overwrites
from target_duckdb.target import TargetDuckDB

__all__ = ["target"]

INTEGER = {"type": ["integer", "null"]}


def of(value: object, stream: str) -> str:
    return methods_of(value).of(stream).value


def test_the_most_exact_pattern_counts() -> None:
    by_pattern = {"*": "append", "log_*": "upsert", "log_a*": "append", "log_ab": "upsert", "x[1]": "upsert"}
    found = {stream: of(by_pattern, stream) for stream in ("z", "log_z", "log_az", "log_ab", "x[1]", "x1")}
    assert found == {
        "z": "append",
        "log_z": "upsert",
        "log_az": "append",
        "log_ab": "upsert",
        "x[1]": "upsert",
        "x1": "upsert",
    }
    assert of({"a*": "append"}, "z") == "upsert", "the default"
    assert of(json.dumps(by_pattern), "log_az") == "append", "from the environment"
    assert of("append-only", "z") == of("append", "z") == "append"


def test_two_that_are_as_exact_are_refused_where_they_say_different_things() -> None:
    both = methods_of({"a*": "append", "*b": "upsert"})
    assert both.of("aa") is Method.APPEND
    with pytest.raises(ConfigurationError, match=r"for stream `ab`, got `a\*` and `\*b`"):
        both.of("ab")


def test_an_unknown_method_is_refused_with_the_nearest() -> None:
    assert "got `apend` at load_method (did you mean `append`?)" in method_problems("apend")[0]
    assert "got `upsrt` at load_method.a (did you mean `upsert`?)" in method_problems({"a": "upsrt"})[0]
    assert "got `1` at load_method.a" in method_problems({"a": 1})[0]
    assert not method_problems({"a": "append-only", "*": "upsert"})


def test_each_stream_is_loaded_by_its_own(target: Database) -> None:
    messages = [
        part
        for stream in ("log_a", "orders")
        for part in (SCHEMA(stream, {"id": INTEGER, "v": INTEGER}, ["id"]), RECORD(stream, {"id": 1, "v": 1}))
    ]
    config = {"load_method": {"log_*": "append", "ordres": "append", "*": "upsert"}}
    outcomes = [target.run(*messages, STATE({"n": n}), **config).expect(0) for n in range(2)]
    assert target.query("SELECT id FROM orders") == [(1,)]
    assert target.query("SELECT id FROM log_a") == [(1,), (1,)]
    assert outcomes[0].stderr.count("`load_method` names `ordres`, and this run had no stream") == 1
    assert "names `log_*`" not in outcomes[0].stderr
    refused = target.run(*messages, load_method={"orders": "upsret"}).expect(78)
    assert "did you mean `upsert`?" in refused.last_words


def test_the_promise_is_told_by_method() -> None:
    mixed = TargetDuckDB.ways_of_rows({"load_method": {"log_*": "append", "*": "upsert"}})
    assert mixed == Ways(replaces=True, appends=True)
    told = [one.configuration for one in deliveries(ways=mixed, has_state_url=True, state_file=None)]
    assert any("streams that `load_method` upserts, with a key" in how for how in told)
    assert any("streams that `load_method` appends" in how for how in told)
    assert TargetDuckDB.ways_of_rows({"load_method": {"*": "append"}}) == Ways(replaces=False, appends=True)


KEYED = SCHEMA("o", {"id": INTEGER, "v": INTEGER}, ["id"])
KEYLESS = SCHEMA("o", {"id": INTEGER, "v": INTEGER})
OVERWRITE = {"load_method": {"o": "overwrite"}}
BEGIN, END = MARKED({"bookmarks": {}}), MARKED({"bookmarks": {"o": {}}}, complete=True)
ALL = "SELECT id, v FROM o ORDER BY id, v"


def rows(*pairs: tuple[int, int], **more: Any) -> list[dict[str, Any]]:
    return [RECORD("o", {"id": id_, "v": v}, **more) for id_, v in pairs]


@pytest.mark.parametrize("schema", [KEYED, KEYLESS], ids=["key", "no key"])
def test_a_complete_load_takes_the_place_of_what_was_there(target: Database, schema: dict[str, Any]) -> None:
    target.run(BEGIN, schema, *rows((1, 1), (2, 2), (3, 3)), END, **OVERWRITE).expect(0)
    among = [part for n in range(3) for part in (*rows((n + 2, 2 + n)), MARKED({"bookmarks": {"o": {}}}))]
    target.run(BEGIN, schema, *among, END, commit_rows=1, **OVERWRITE).expect(0)
    assert target.query(ALL) == [(2, 2), (3, 3), (4, 4)]
    # Of a run that ends early, or sends what is not valid, nothing is stored, state included.
    for cut in ([MARKED({"bookmarks": {"o": {}}})], [RECORD("o", {"id": "x"}), END], []):
        ended = target.run(
            BEGIN, schema, *rows((9, 9)), *cut, commit_rows=1, on_type_conflict="fail", **OVERWRITE
        ).expect(65)
        assert target.query(ALL) == [(2, 2), (3, 3), (4, 4)]
        assert b'"o"' not in ended.stdout
    target.run(BEGIN, schema, END, **OVERWRITE).expect(0)
    assert target.query(ALL) == [(2, 2), (3, 3), (4, 4)], "no row came, and nobody says that there is none"
    gone = {"type": "ACTIVATE_VERSION", "stream": "o", "version": 1}
    target.run(BEGIN, schema, gone, END, **OVERWRITE).expect(0)
    assert target.query(ALL) == []
    target.run(BEGIN, schema, *rows((5, 5)), END, **OVERWRITE).expect(0)
    assert target.query(ALL) == [(5, 5)], "a table that a load has emptied lacks no rows"


@pytest.mark.parametrize("schema", [KEYED, KEYLESS], ids=["key", "no key"])
def test_a_tap_that_does_not_say_that_all_rows_came_takes_none_away(
    target: Database, schema: dict[str, Any]
) -> None:
    target.run(BEGIN, schema, *rows((1, 1), (2, 2)), END, **OVERWRITE).expect(0)
    ended = MARKED({"bookmarks": {"o": {"_singerkit_load": {"version": 7, "rows": 1}}}}, complete=True)
    outcome = target.run(BEGIN, schema, *rows((1, 5), (3, 3), version=7), ended, **OVERWRITE).expect(0)
    assert "did not say that all rows of stream `o` have come" in outcome.stderr
    kept = [(1, 1), (2, 2)] if schema is KEYLESS else [(1, 5), (2, 2), (3, 3)]
    assert target.query(ALL) == kept
    said = {"type": "ACTIVATE_VERSION", "stream": "o", "version": 7}
    target.run(BEGIN, schema, *rows((1, 5), version=7), said, ended, **OVERWRITE).expect(0)
    assert target.query(ALL) == [(1, 5)]


def test_a_tap_of_others_has_to_end_with_a_state(target: Database) -> None:
    refused = target.run(KEYED, *rows((1, 1)), STATE({"bookmarks": {}}), **OVERWRITE).expect(78)
    assert "set `end_of_input` to `state`" in refused.last_words
    config = {"end_of_input": "state", **OVERWRITE}
    target.run(KEYED, *rows((1, 1)), STATE({"bookmarks": {"o": {}}}), **config).expect(0)
    target.run(KEYED, *rows((2, 2)), STATE({"bookmarks": {"o": {}}}), *rows((3, 3)), **config).expect(65)
    assert target.query(ALL) == [(1, 1)]
    inside = {"last_replication_method": "FULL_TABLE", "last_pk_fetched": {"id": 2}, "version": 1}
    target.run(KEYED, *rows((2, 2)), STATE({"bookmarks": {"o": inside}}), **config).expect(65)
    assert target.query(ALL) == [(1, 1)]


PARTS: dict[str, tuple[dict[str, Any], bool]] = {
    "nothing": ({}, True),
    "a whole load": ({"_singerkit_load": {"version": 1, "rows": 3}, "_singerkit_read": {"fields": {}}}, True),
    "a place in a whole load": ({"_singerkit_load": {"position": 2}}, True),
    "a place in one of others": ({"last_pk_fetched": {"id": 3}, "max_pk_values": {"id": 9}}, True),
    "of others": ({"last_replication_method": "FULL_TABLE", "version": 3}, True),
    "bookmark": ({"replication_key": "v", "replication_key_value": 3}, False),
    "partitions": ({"partitions": [{"context": {"p": 1}, "replication_key_value": 3}]}, False),
    "token": ({"_singerkit_continuation": {"token": "a"}}, False),
    "log": ({"_singerkit_log": {"version": 1}}, False),
    "changed parents": ({"_singerkit_driven_by": "parents"}, False),
}


@pytest.mark.parametrize(("part", "is_whole"), PARTS.values(), ids=PARTS)
def test_what_a_state_says_of_a_stream_that_is_overwritten(part: dict[str, Any], is_whole: bool) -> None:
    overwrites = Overwrites(always, never, lambda _said, _stream: None, lambda _stream: "start over")
    overwrites.begin({})
    overwrites.declare("o", marks_its_end=True)
    if is_whole:
        overwrites.take_state({"bookmarks": {"o": part, "other": {"replication_key_value": 1}}})
        return
    with pytest.raises(ConfigurationError, match="FULL_TABLE"):
        overwrites.take_state({"bookmarks": {"o": part}})
    with pytest.raises(ConfigurationError, match="FULL_TABLE"):  # it does not tell streams apart
        overwrites.take_state({"somewhere": 3})


def test_a_stream_of_which_runs_bring_what_is_new_is_refused(target: Database) -> None:
    """The table would have the last increment only, with exit 0."""
    bookmark = {"bookmarks": {"o": {"replication_key": "v", "replication_key_value": 3}}}
    refused = target.run(BEGIN, KEYED, *rows((2, 2)), MARKED(bookmark, complete=True), **OVERWRITE).expect(78)
    assert "FULL_TABLE" in refused.last_words
    target.run(BEGIN, KEYED, *rows((2, 2)), MARKED(bookmark, complete=True)).expect(0)
    target.run(MARKED(bookmark), KEYED, *rows((3, 3)), END, **OVERWRITE).expect(78)
    assert target.query(ALL) == [(2, 2)]


def test_a_load_that_another_run_began_is_refused(target: Database) -> None:
    """Its first rows went another way, before the stream was overwritten."""
    inside = {"bookmarks": {"o": {"_singerkit_load": {"position": {"after": [1]}}}}}
    target.run(BEGIN, KEYED, *rows((1, 1)), MARKED(inside)).expect(65)
    refused = target.run(MARKED(inside), KEYED, *rows((2, 2)), END, **OVERWRITE).expect(78)
    assert "in the middle of a load" in refused.last_words
    assert "--start-over" in refused.last_words
    assert target.query(ALL) == [(1, 1)]


def test_two_pipelines_with_one_table_are_refused(target: Database) -> None:
    target.run(MARKED({"bookmarks": {}}, pipeline="a"), KEYED, *rows((1, 1)), STATE({"a": 1})).expect(0)
    refused = target.run(BEGIN, KEYED, *rows((2, 2)), END, **OVERWRITE).expect(78)
    assert "was loaded by the pipeline `a`, too" in refused.last_words


LINES = {"id": INTEGER, "order_id": INTEGER, "v": INTEGER}
KEYED_LINES, KEYLESS_LINES = SCHEMA("lines", LINES, ["id"]), SCHEMA("lines", LINES)
REPLACE = {"load_method": {"lines": "delete+insert"}, "replace_by": {"lines": ["order_id"]}}
LINES_NOW = "SELECT order_id, id, v FROM lines ORDER BY 1, 2, 3"


def order_lines(*of: tuple[int, int | None, int]) -> list[dict[str, Any]]:
    return [RECORD("lines", {"id": id_, "order_id": order, "v": v}) for id_, order, v in of]


def at(n: int, *, complete: bool = False) -> dict[str, Any]:
    """STATEs of an incremental stream: sets of rows come whole, not the table."""
    return MARKED({"bookmarks": {"lines": {"replication_key_value": n}}}, complete=complete)


@pytest.mark.parametrize("schema", [KEYED_LINES, KEYLESS_LINES], ids=["key", "no key"])
def test_sets_of_rows_that_come_whole_take_the_place_of_those(
    target: Database, schema: dict[str, Any]
) -> None:
    first = order_lines((1, 1, 1), (2, 1, 2), (3, 2, 3), (4, 3, 4))
    target.run(BEGIN, schema, *first, at(1, complete=True), **REPLACE).expect(0)
    # The lines of an order come with a STATE between them, and one moves to another order.
    again = [*order_lines((1, 1, 9)), at(2), *order_lines((5, 1, 5)), at(3), *order_lines((3, 2, 3))]
    target.run(at(1), schema, *again, at(4, complete=True), commit_rows=1, **REPLACE).expect(0)
    assert target.query(LINES_NOW) == [(1, 1, 9), (1, 5, 5), (2, 3, 3), (3, 4, 4)]
    cut = target.run(at(4), schema, *order_lines((1, 1, 0)), at(5), commit_rows=1, **REPLACE).expect(65)
    assert b'"replication_key_value":5' not in cut.stdout
    nobody = target.run(at(4), schema, *order_lines((7, None, 0)), at(5, complete=True), **REPLACE).expect(65)
    assert "sets of rows are replaced (`replace_by`), got `null` at lines.$.order_id" in nobody.last_words
    target.run(at(4), schema, at(4, complete=True), **REPLACE).expect(0)
    assert target.query(LINES_NOW) == [(1, 1, 9), (1, 5, 5), (2, 3, 3), (3, 4, 4)]
    # Nothing comes but what is set aside.
    aside = RECORD("lines", {"order_id": 1, "id": 1, "v": "x"})
    for replace_by in (["order_id"], {"window": "v"}):
        how = {**REPLACE, "replace_by": {"lines": replace_by}, "on_type_conflict": "quarantine"}
        target.run(at(4), schema, aside, at(4, complete=True), **how).expect(0)
    assert target.query(LINES_NOW) == [(1, 1, 9), (1, 5, 5), (2, 3, 3), (3, 4, 4)]
    window = {**REPLACE, "replace_by": {"li*": {"window": "v"}}}
    target.run(at(4), schema, *order_lines((6, 9, 5), (8, 9, 8)), at(5, complete=True), **window).expect(0)
    assert target.query(LINES_NOW) == [(1, 1, 9), (2, 3, 3), (3, 4, 4), (9, 6, 5), (9, 8, 8)]


def test_a_row_that_moves_between_sets_replaces_both_and_one_of_no_set_is_set_aside(target: Database) -> None:
    marks = SCHEMA(
        "lines", {**LINES, "_sdc_deleted_at": {"type": ["string", "null"], "format": "date-time"}}, ["id"]
    )
    first = order_lines((1, 1, 1), (2, 1, 2), (3, 2, 3), (4, 3, 4))
    target.run(BEGIN, marks, *first, at(1, complete=True), **REPLACE).expect(0)
    moves = [RECORD("lines", {"id": 1, "order_id": order}) for order in (1, 2)]
    odd = [
        RECORD("lines", {"id": 4, "order_id": "x", "v": 5}),
        RECORD("lines", {"id": 4, "order_id": None, "v": 5}),
        RECORD("lines", {"id": 4, "v": 5}),
        RECORD("lines", {"id": 4, "_sdc_deleted_at": "2026-01-01T00:00:00Z"}),
    ]
    how = {**REPLACE, "missing_fields": "keep", "on_invalid": "quarantine"}
    target.run(at(1), marks, *moves, *odd, at(2, complete=True), **how).expect(0)
    assert target.query(LINES_NOW) == [(2, 1, 1), (3, 4, 4)]
    assert target.query("SELECT path, count(*) FROM _singerkit_rejects GROUP BY path") == [("$.order_id", 4)]
    target.run(at(2), marks, odd[3], at(3, complete=True), missing_fields="keep", **REPLACE).expect(65)
    target.run(at(2), marks, *order_lines((6, 1, 6)), at(3, complete=True), **REPLACE).expect(0)
    assert target.query(LINES_NOW) == [(1, 6, 6), (2, 1, 1), (3, 4, 4)]
    target.run(at(3), marks, *moves, at(4, complete=True), missing_fields="keep", **REPLACE).expect(0)
    assert target.query(LINES_NOW) == [(2, 1, 1), (3, 4, 4)]


def test_what_is_replaced_has_to_be_said(target: Database) -> None:
    by = REPLACE["load_method"]
    refused = target.run(BEGIN, KEYED_LINES, END, load_method=by).expect(78)
    assert '{"replace_by": {"lines": ["order_id"]}}' in refused.last_words
    near = target.run(BEGIN, KEYED_LINES, END, load_method=by, replace_by={"lines": ["order_idd"]}).expect(78)
    assert "did you mean `order_id`?" in near.last_words
    by_span = {"load_method": by, "replace_by": {"lines": {"windw": "id"}}}
    for config in (
        {"replace_by": {"lines": ["id"]}},
        {"load_method": by, "replace_by": {"lines": "id"}},
        by_span,
    ):
        target.run(BEGIN, KEYED_LINES, END, **config).expect(78)


TYPED: Mapping[str, tuple[dict[str, Any], Any]] = {
    "null": ({"type": "null"}, "007"),
    "integer": ({"type": ["null", "integer"]}, 5),
    "number": ({"type": ["null", "number"]}, 1.5),
    "text": ({"type": ["null", "string"]}, "1971"),
    "date-time": ({"type": ["null", "string"], "format": "date-time"}, "2024-01-01T10:00:00+02:00"),
}
"""Types of a field, and of each a value that it holds; of null one that it does not."""


@pytest.mark.parametrize(
    ("target", "method"),
    [("postgres", "overwrite"), ("postgres", "delete+insert"), ("duckdb", "overwrite")],
    indirect=["target"],
)
def test_values_that_wait_are_not_cast_where_a_schema_gives_their_column_another_type(
    target: Database, method: str
) -> None:
    """Where a load waits for its end its table is empty: 5 became a moment of 1970, and the text `007` the number 7, with exit 0."""
    pairs = {f"{one}_{other}": (one, other) for one, other in permutations(TYPED, 2)}
    sent: list[Any] = []
    for stream, pair in pairs.items():
        for id_, type_ in enumerate(pair):
            schema, value = TYPED[type_]
            sent += [
                SCHEMA(stream, {"id": INTEGER, "c": schema}, ["id"]),
                RECORD(stream, {"id": id_, "c": value}),
            ]
    sets = {"replace_by": {"*": ["id"]}} if method == "delete+insert" else {}
    target.run(*sent, STATE({"bookmarks": {}}), load_method=method, end_of_input="state", **sets).expect(0)
    for stream, pair in pairs.items():
        rows = target.query(f'SELECT CAST(to_json(t) AS VARCHAR) FROM "{stream}" AS t ORDER BY id')
        for (row,), type_ in zip(rows, pair, strict=True):
            stored = json.loads(row)
            assert _is_same(TYPED[type_][1], [stored["c"], stored.get("c__text")]), (stream, row)


@pytest.mark.parametrize("method", ["overwrite", "delete+insert"])
def test_a_column_that_a_schema_leaves_out_for_a_while_keeps_what_waits(
    target: Database, method: str
) -> None:
    """Such a run of target-postgres ended with 70, each time."""
    sent: list[Any] = []
    seconds = [INTEGER, {"type": ["number", "null"]}, {"type": ["string", "null"]}]
    for stream, second in zip("abc", seconds, strict=True):
        sent += [
            SCHEMA(stream, {"id": INTEGER, "c": INTEGER}, ["id"]),
            RECORD(stream, {"id": 1, "c": 5}),
            SCHEMA(stream, {"id": INTEGER}, ["id"]),
            RECORD(stream, {"id": 2}),
            SCHEMA(stream, {"id": INTEGER, "c": second}, ["id"]),
            RECORD(stream, {"id": 3, "c": {"a": 6, "b": 1.5, "c": "x"}[stream]}),
        ]
    sets = {"replace_by": {"*": ["id"]}} if method == "delete+insert" else {}
    target.run(*sent, STATE({"bookmarks": {}}), load_method=method, end_of_input="state", **sets).expect(0)
    for stream, last in zip("abc", (6, 1.5, "x"), strict=True):
        found = target.query(f'SELECT CAST(to_json(t) AS VARCHAR) FROM "{stream}" AS t ORDER BY id')
        one, two, three = (json.loads(row) for (row,) in found)
        assert _is_same(5, [one["c"], one.get("c__text")])
        assert two["c"] is None
        assert _is_same(last, [three["c"], three.get("c__text")])


def _is_same(value: Any, stored: list[Any]) -> bool:
    """Whether a value stands in its column or beside it, as itself or as its text."""
    texts = [str(one).replace(" ", "") for one in stored if one is not None]
    moment = value == TYPED["date-time"][1] and any(
        "2024-01-01" in one and ("10:00:00+02" in one or "08:00:00" in one) for one in texts
    )
    return value in stored or moment or str(value) in texts or json.dumps(value).replace(" ", "") in texts


def test_a_column_that_an_earlier_schema_of_the_run_has_named_is_met(target: Database) -> None:
    wide, narrow = (SCHEMA("o", dict.fromkeys(names, INTEGER), ["id"]) for names in (("id", "v"), ("id",)))
    sent = [wide, *rows((1, 1)), narrow, RECORD("o", {"id": 2}), STATE({"n": 1})]
    named = "integer" if target.schema == "public" else "INTEGER"
    outcome = target.run(*sent, column_types={"o.v": named, "o.w": named}).expect(0)
    assert "`column_types` names `o.w`" in outcome.stderr
    assert "`column_types` names `o.v`" not in outcome.stderr
