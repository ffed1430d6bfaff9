"""`nested`: objects inside records as columns, and what of them does not fit."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from targets.shared.test_databases import Database, target

from singerkit_catalog.unnesting import parts_of, taken_apart
from singerkit_sql_target.nestings import nesting_problems, nestings_of
from singerkit_target.unnesting import TakingApart
from singerkit_wire.messages import Run
from singerkit_wire.unnesting import Unnester, Wanted
from target_postgres.other_configs import taken_over

__all__ = ["target"]

INTEGER, TEXT = {"type": ["integer", "null"]}, {"type": ["string", "null"]}
NUMBER = {"type": ["number", "null"]}
GEO = {"type": ["object", "null"], "properties": {"lat": NUMBER}}
ADDRESS = {"type": ["object", "null"], "properties": {"city": TEXT, "geo": GEO, "lines": {"type": "array"}}}
OPEN = {"id": INTEGER, "address": ADDRESS, "tags": {"type": ["array", "null"]}}
ORDERS = SCHEMA("orders", OPEN, ["id"])
FLAT = {"nested": {"orders": "flatten"}}


def orders(*records: dict[str, Any]) -> list[dict[str, Any]]:
    return [RECORD("orders", {"id": number, **record}) for number, record in enumerate(records, 1)]


def columns(target: Database, table: str = "orders") -> list[str]:
    found = target.query(
        f"SELECT column_name FROM information_schema.columns WHERE table_schema = '{target.schema}' AND table_name = '{table}' ORDER BY ordinal_position"
    )
    return [name for (name,) in found]


def test_each_field_of_an_object_has_a_column(target: Database) -> None:
    came = orders(
        {"address": {"city": "A", "geo": {"lat": 1.5}, "lines": [1]}, "tags": []},
        {"address": {"city": "B"}},
        {"address": {}},
        {"address": None},
        {},
    )
    target.run(ORDERS, *came, STATE({"n": 1}), **FLAT).expect(0)
    assert columns(target) == ["id", "address__city", "address__geo__lat", "address__lines", "tags"]
    assert target.query("SELECT id, address__city, address__geo__lat FROM orders ORDER BY id") == [
        (1, "A", Decimal("1.5")),
        (2, "B", None),
        (3, None, None),
        (4, None, None),
        (5, None, None),
    ]
    target.run(
        ORDERS, *orders({"address": {"geo": {"lat": 2}}}), STATE({"n": 2}), missing_fields="keep", **FLAT
    ).expect(0)
    one = target.query("SELECT address__city, address__geo__lat FROM orders WHERE id = 1")
    assert one == [(None, 2)], "an object that is sent is sent whole"
    target.run(ORDERS, *orders({"tags": []}), STATE({"n": 3}), missing_fields="keep", **FLAT).expect(0)
    assert target.query("SELECT address__geo__lat FROM orders WHERE id = 1") == [(2,)], (
        "one that is left out stays"
    )


def test_down_to_a_depth_with_a_separator_and_by_globs(target: Database) -> None:
    other = SCHEMA("others", OPEN, ["id"])
    config = {
        "nested": {"ord*": {"as": "flatten", "depth": 1, "separator": "_"}, "*": "jsonb", "x": "flatten"}
    }
    came = [
        RECORD(name, {"id": 1, "address": {"city": "A", "geo": {"lat": 1}}}) for name in ("orders", "others")
    ]
    outcome = target.run(ORDERS, other, *came, STATE({"n": 1}), **config).expect(0)
    assert columns(target) == ["id", "address_city", "address_geo", "address_lines", "tags"]
    assert columns(target, "others") == ["id", "address", "tags"]
    assert outcome.stderr.count("`nested` names `x`, and this run had no stream") == 1


def test_an_object_that_does_not_fit_goes_on_whole(target: Database) -> None:
    """Beside nulls in its columns, into one of its own, which is null again when the row's object fits."""
    strict = SCHEMA("orders", {**OPEN, "address": {**ADDRESS, "required": ["city"]}}, ["id"])
    came = orders({"address": {"city": "A"}}, {"address": "N/A"}, {"address": {"city": "C", "geo": 7}})
    target.run(strict, *came, STATE({"n": 1}), **FLAT).expect(0)
    whole = (
        "SELECT id, address__city, CAST(address AS text), CAST(address__geo AS text) FROM orders ORDER BY id"
    )
    assert target.query(whole) == [(1, "A", None, None), (2, None, '"N/A"', None), (3, "C", None, "7")]
    again = [RECORD("orders", {"id": 2, "address": {"city": "B"}}), RECORD("orders", {"id": 4, "address": 1})]
    target.run(strict, again[0], STATE({"n": 2}), **FLAT).expect(0)
    target.run(strict, again[1], STATE({"n": 3}), **FLAT).expect(0)
    assert target.query(whole)[1:] == [(2, "B", None, None), (3, "C", None, "7"), (4, None, "1", None)]
    lacks = [RECORD("orders", {"id": 5, "address": {"geo": None}})]
    refused = target.run(strict, *lacks, STATE({"n": 3}), **FLAT).expect(65)
    assert "orders.$.address" in refused.last_words
    set_aside = target.run(
        strict,
        *lacks,
        *again,
        STATE({"n": 3}),
        on_invalid="quarantine",
        on_type_conflict="quarantine",
        **FLAT,
    ).expect(0)
    assert "2 set aside" in set_aside.stderr or "set aside" in set_aside.stderr
    assert target.query("SELECT id FROM orders ORDER BY id") == [(1,), (2,), (3,), (4,)]


def test_a_column_of_before_is_null_where_the_object_is_taken_apart(target: Database) -> None:
    """What other rows have there stays, and so does that of rows which leave the object out."""
    former = [{"address": {"city": name}} for name in "ABC"]
    target.run(ORDERS, *orders(*former), STATE({"n": 1})).expect(0)
    came = orders({"address": {"city": "a"}}, {"tags": [1]})
    target.run(ORDERS, *came, STATE({"n": 2}), missing_fields="keep", **FLAT).expect(0)
    found = "SELECT id, address__city, address IS NULL FROM orders ORDER BY id"
    assert target.query(found) == [(1, "a", True), (2, None, False), (3, None, False)]
    target.run(ORDERS, *orders({"address": "N/A"}, {"address": {}}), STATE({"n": 3}), **FLAT).expect(0)
    assert target.query(found) == [(1, None, False), (2, None, True), (3, None, False)]
    refused = target.run(
        ORDERS, *orders({"address": 1}), STATE({"n": 4}), on_type_conflict="fail", **FLAT
    ).expect(65)
    assert "Expected `object` or `null`, got `1` at orders.$.address" in refused.last_words


@pytest.mark.parametrize(
    ("former", "value"),
    [({"type": ["integer", "null"]}, 5), (TEXT, "old"), ({"type": ["boolean", "null"]}, True)],
)
def test_a_column_of_what_was_no_object_is_null_where_one_is_taken_apart(
    target: Database, former: dict[str, Any], value: Any
) -> None:
    """It kept what it had, beside the fields of the object."""
    before = SCHEMA("orders", {"id": {"type": "integer"}, "address": former}, ["id"])
    target.run(before, *orders({"address": value}, {"address": value}), STATE({"n": 1})).expect(0)
    target.run(ORDERS, *orders({"address": {"city": "A"}}), STATE({"n": 2}), **FLAT).expect(0)
    found = "SELECT id, address__city, address IS NULL FROM orders ORDER BY id"
    assert target.query(found) == [(1, "A", True), (2, None, False)]
    came = orders({"address": {"city": "B"}}, {"address": [1]}, {"address": {"city": "C"}})
    for _ in range(2):
        target.run(ORDERS, *came, STATE({"n": 3}), **FLAT).expect(0)
        assert target.query(found)[::2] == [(1, "B", True), (3, "C", True)]
    beside = "address" if former is TEXT else "coalesce(CAST(address AS text), address__text)"
    assert target.query(f"SELECT address__city, {beside} FROM orders WHERE id = 2") == [(None, "[1]")]
    target.run(ORDERS, *orders({}, {"address": {"city": "D"}}), STATE({"n": 4}), **FLAT).expect(0)
    assert target.query(f"SELECT address__city, {beside} FROM orders WHERE id = 2") == [("D", None)]


def test_a_unit_is_written_again_behind_a_schema_that_has_no_object_any_more(target: Database) -> None:
    """target-postgres ended with 70, each time: `t` gets a column, so the unit is written again, with the former SCHEMA of `s`."""
    nested = SCHEMA("s", {"id": INTEGER, "g": GEO}, ["id"])
    plain, other = SCHEMA("s", {"id": INTEGER, "f": TEXT}, ["id"]), SCHEMA("t", {"id": INTEGER}, ["id"])
    wider = SCHEMA("t", {"id": INTEGER, "n": TEXT}, ["id"])
    first = [nested, other, RECORD("s", {"id": 1, "g": {"lat": 1}}), RECORD("t", {"id": 1}), STATE({"n": 1})]
    target.run(*first, nested="flatten").expect(0)
    rows = [
        other,
        RECORD("t", {"id": 1}),
        RECORD("s", {"id": 1, "g": {"lat": 2}}),
        plain,
        RECORD("s", {"id": 2, "f": "x"}),
    ]
    target.run(
        nested, *rows, wider, RECORD("t", {"id": 2, "n": "x"}), STATE({"n": 2}), nested="flatten"
    ).expect(0)
    assert target.query("SELECT id, g__lat, f FROM s ORDER BY id") == [(1, 2, None), (2, None, "x")]
    assert target.query("SELECT id, n FROM t ORDER BY id") == [(1, None), (2, "x")]


def test_fields_that_no_schema_names(target: Database) -> None:
    came = orders({"address": {"city": "A", "zip": "1", "geo": {"lon": 5}}}, {"address": {"city": "B"}})
    ignored = target.run(ORDERS, *came, STATE({"n": 1}), **FLAT).expect(0)
    assert "`address__zip`" in ignored.stderr
    assert "address__zip" not in columns(target)
    target.run(ORDERS, *came, STATE({"n": 2}), extra="load", **FLAT).expect(0)
    found = target.query(
        "SELECT address__city, address__zip, CAST(address__geo__lon AS INTEGER) FROM orders ORDER BY id"
    )
    assert found == [("A", "1", 5), ("B", None, None)]


def test_two_fields_with_one_name_are_refused_before_anything_is_written(target: Database) -> None:
    both = SCHEMA("orders", {**OPEN, "address__city": TEXT}, ["id"])
    refused = target.run(both, *orders({}), STATE({"n": 1}), **FLAT).expect(78)
    assert "`address.city` would be called `address__city`" in refused.last_words
    assert columns(target) == []
    other = {"nested": {"orders": {"as": "flatten", "separator": "."}}}
    target.run(
        both, *orders({"address": {"city": "A"}, "address__city": "B"}), STATE({"n": 1}), **other
    ).expect(0)
    assert target.query('SELECT "address.city", address__city FROM orders') == [("A", "B")]
    late = orders({"address": {"city": "A"}, "address__city": "B"})
    refused = target.run(ORDERS, *late, STATE({"n": 2}), default_target_schema="late", **FLAT).expect(65)
    assert "got `address__city` at line 2" in refused.last_words


def test_keys_and_schemas_that_ask_more_stay_whole(target: Database) -> None:
    properties = {
        "id": {"type": "object", "properties": {"a": INTEGER}},
        "few": {"type": "object", "properties": {"a": INTEGER}, "minProperties": 1},
        "any": {"anyOf": [{"type": "object", "properties": {"a": {"enum": ["x"]}}}, {"type": "null"}]},
        "map": {"type": "object"},
    }
    came = [RECORD("s", {"id": {"a": 1}, "few": {"a": 2}, "any": {"a": "x"}, "map": {"b": 1}})]
    target.run(SCHEMA("s", properties, ["id"]), *came, STATE({"n": 1}), nested="flatten").expect(0)
    assert columns(target, "s") == ["id", "few", "any__a", "map"]
    assert target.query("SELECT any__a FROM s") == [("x",)]
    more = {
        **SCHEMA("t", {"o": ADDRESS}),
        "schema": {"type": "object", "properties": {"o": ADDRESS}, "minProperties": 1},
    }
    outcome = target.run(more, RECORD("t", {"o": {}}), STATE({"n": 2}), nested="flatten").expect(0)
    assert columns(target, "t") == ["o"]
    assert (
        "Stream `t` stays nested, whatever `nested` says: its SCHEMA asks by `minProperties`"
        in outcome.stderr
    )


def test_what_the_config_may_say() -> None:
    said = nestings_of({"a": {"as": "flatten", "depth": 2, "separator": "."}, "*": "flatten", "b*": "jsonb"})
    assert (said.of("a"), said.of("b1")) == (TakingApart(2, "."), None)
    assert (
        said.of("c") == nestings_of(json.dumps({"as": "flatten"})).of("c") == nestings_of("flatten").of("c")
    )
    assert nestings_of("jsonb").of("a") is None
    for value, words in (
        ("flaten", "got `flaten` at nested (did you mean `flatten`?)"),
        ({"a": "x"}, "got `x` at nested.a"),
        ({"a": 1}, "at nested.a, got `1`"),
        ({"a": {"depth": 1}}, "Expected `as` at nested.a"),
        ({"a": {"as": "flatten", "dept": 1}}, "got `dept` (did you mean `depth`?)"),
        ({"as": "flatten", "depth": 0}, "at nested.depth, got `0`"),
        ({"as": "flatten", "depth": True}, "at nested.depth, got `true`"),
        ({"as": "flatten", "separator": ""}, 'at nested.separator, got `""`'),
        ({"as": "jsonb", "depth": 1}, "since `jsonb` takes no object apart, got `depth`"),
    ):
        [problem] = nesting_problems(value)
        assert words in problem
    assert not nesting_problems({"as": "flatten", "depth": 3})
    assert not nesting_problems({"*": "jsonb"})


def test_a_config_of_meltanolabs_that_flattens() -> None:
    theirs = {"use_copy": True, "flattening_enabled": True}
    made = taken_over({**theirs, "flattening_max_depth": 2})
    assert made.config["nested"] == {"as": "flatten", "depth": 2, "separator": "__"}
    assert not made.problems
    assert "nested" not in taken_over({**theirs, "flattening_max_depth": 0}).config
    assert "needs `flattening_max_depth`" in taken_over(theirs).problems[0]
    short = {**theirs, "flattening_max_depth": 1, "flattening_max_key_length": 30}
    assert "`flattening_max_key_length` below 63" in taken_over(short).problems[0]


def value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(9 if depth else 6)
    if kind < 6:
        return (None, 1, Decimal("1.0"), 'a"\\\u00e9', [{"b": 1}], 2**70)[kind]
    keys = rng.sample(["a", "b", "c", 'q"'], rng.randrange(5))
    return {key: value(rng, depth - 1) for key in keys}


def schema(rng: random.Random, depth: int) -> dict[str, Any]:
    properties = {
        key: schema(rng, depth - 1) if depth and rng.random() < 0.6 else {}
        for key in rng.sample(["a", "b", "c"], 2)
    }
    types = rng.choice(["object", ["object", "null"]])
    required = rng.sample(sorted(properties), rng.randrange(2))
    closed = {"additionalProperties": False} if rng.random() < 0.2 else {}
    return {"type": types, "properties": properties, "required": required, **closed}


def expected(part: Any, record: Any, separator: str, seen: Any) -> dict[str, Any]:
    """What the flat record has of an object, slowly: the values of its leaves, and those that stay whole."""
    found: dict[str, Any] = {}
    fits = (
        isinstance(record, dict)
        and part.required <= record.keys()
        and (part.is_open or record.keys() <= part.leaves.keys() | part.objects.keys())
    )
    fields = record if fits else {}
    for key, one in fields.items():
        if key not in part.objects:
            found[separator.join((*part.path, key))] = one
    for key, inner in part.objects.items():
        if part.path or key in fields:
            found |= expected(inner, fields.get(key), separator, seen)
    if not fits and record is not None:
        found[part.name] = record
    return found


@pytest.mark.parametrize("seed", range(60))
def test_lines_hold_what_was_in_the_record(seed: int) -> None:
    """Against a flattening that is written as one would think it; null is what is not there."""
    rng = random.Random(seed)
    whole = {**schema(rng, 2), "type": "object", "required": [], "additionalProperties": True}
    table = parts_of(whole, [], rng.choice([1, 2]), ".")
    if table is None:
        return
    record = table.row
    names = taken_apart(table)["properties"].keys()
    assert {name for part in record.all_parts() for name in part.leaves.values()} == names
    unnester = Unnester("s", table, Wanted("."))
    for _ in range(4):
        came = [{"a": value(rng, 2), "b": value(rng, 2), "c": value(rng, 2)} for _ in range(3)]
        lines = [
            _encoder.encode({"type": "RECORD", "stream": "s", "record": one, "version": 7}) for one in came
        ]
        [run] = unnester.apart(Run("s", b"\n".join(lines) + b"\n", len(lines), 1))
        for line, one in zip(run.data.splitlines(), came, strict=True):
            message = json.loads(line, parse_float=Decimal)
            assert message["version"] == 7
            flat = {name: value for name, value in message["record"].items() if value is not None}
            wanted = expected(record, one, ".", None)
            assert flat == {name: value for name, value in wanted.items() if value is not None}


_encoder = msgspec.json.Encoder(decimal_format="number")
