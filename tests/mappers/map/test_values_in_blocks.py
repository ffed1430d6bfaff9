"""Operations on values at work on blocks: null, missing, nested, what they may not do to keys."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from mappers.map.mapping import mapped
from mappers.map.operating import KEY, made

from singerkit_map.block import Block, Place
from singerkit_map.contract import Impossible, Shape
from singerkit_map.operations.table import OPERATIONS
from singerkit_shell.errors import BadDataError

FIELDS = {
    "f": {"type": ["string", "null"]},
    "number": {"type": "integer"},
    "flag": {"type": "boolean"},
    "who": {"type": "object", "properties": {"mail": {"type": ["string", "null"]}, "tags": {"type": "array", "items": {"type": "string"}}}},
}  # fmt: skip
SHAPE = Shape("s", FIELDS)
EVERY: dict[str, tuple[dict[str, Any], str, Any]] = {
    "country": ({}, "Germany", "DE"), "date": ({"formats": ["%d.%m.%Y"]}, "29.02.2024", "2024-02-29"), "fix_text": ({}, "MÃ¼nchen", "München"),
    "hmac": ({"key_id": "k"}, "a", "k:aa2187723645a252148bbf3aad0e20d4c3a2861235bb65a264967af9d46faec2"), "json": ({}, "[1.10]", [1.1]), "labels": ({"labels": {"a": 1}}, "a", 1),
    "mask": ({"keep_last": 1}, "abc", "**c"), "normalise": ({"case": "upper"}, "a", "A"), "phone": ({"region": "DE"}, "030 901820", "+4930901820"), "redact": ({}, "a@b.org", "[email]"),
    "timezone": ({"assume": "UTC"}, "2024-01-01T00:00", "2024-01-01T00:00:00Z"), "truncate": ({"length": 1}, "ab", "a"),
}  # fmt: skip


def records(operation: Any, *given: dict[str, Any], on_error: str = "fail") -> list[dict[str, Any]]:
    """Return what becomes of records."""
    names = dict.fromkeys(name for record in given for name in record)
    columns = {
        name: [msgspec.Raw(msgspec.json.encode(one[name])) if name in one else msgspec.UNSET for one in given]
        for name in names
    }
    block = Block(Place("s", on_error), dict(columns), list(range(1, len(given) + 1)))
    operation.apply(block, SHAPE)
    return [
        {name: msgspec.json.decode(column[row]) for name, column in block.columns.items() if column[row] is not msgspec.UNSET}
        for row in range(len(given))
    ]  # fmt: skip


@pytest.mark.parametrize("op", EVERY)
def test_null_stays_null_missing_stays_missing_and_it_works_at_any_depth(op: str) -> None:
    said, given, expected = EVERY[op]
    operation = made(op, **said)
    assert operation.outcome(SHAPE).fields.keys() == FIELDS.keys()
    assert records(operation, {"f": given}, {"f": None}, {"x": 1}) == [{"f": expected}, {"f": None}, {"x": 1}]
    nested = made(op, **said, field="who.mail", **{"as": "it"})
    assert nested.outcome(SHAPE).fields["who"]["properties"].keys() == {"mail", "tags", "it"}
    assert records(nested, {"who": {"mail": given}}, {"who": {"mail": None}}, {"who": {}}, {"who": None}) == [
        {"who": {"mail": given, "it": expected}}, {"who": {"mail": None, "it": None}}, {"who": {}}, {"who": None},
    ]  # fmt: skip
    each = made(op, **said, field="who.tags[]")
    assert records(each, {"who": {"tags": [given, None, given]}}) == [
        {"who": {"tags": [expected, None, expected]}}
    ]


def test_parts_of_a_url_of_null_are_null_and_of_nothing_are_nothing() -> None:
    operation = made("parse_url", into={"host": "host", "query.a[]": "all"})
    assert records(operation, {"f": "https://x.org/?a=1&a=2"}, {"f": None}, {"x": 1}) == [
        {"f": "https://x.org/?a=1&a=2", "host": "x.org", "all": ["1", "2"]}, {"f": None, "host": None, "all": None}, {"x": 1},
    ]  # fmt: skip


def test_a_default_stands_for_null_and_for_what_is_missing_where_that_is_said() -> None:
    assert records(made("default", value="x"), {"f": "y"}, {"f": None}, {"x": 1}) == [
        {"f": "y"},
        {"f": "x"},
        {"x": 1},
    ]
    everywhere = made("default", value="x", missing=True)
    assert records(everywhere, {"f": "y"}, {"f": None}, {"x": 1}) == [
        {"f": "y"},
        {"f": "x"},
        {"x": 1, "f": "x"},
    ]
    nested = made("default", value="x", missing=True, field="who.mail")
    assert records(nested, {"who": {"mail": None}}, {"who": {}}, {"who": None}) == [{"who": {"mail": "x"}}, {"who": {"mail": "x"}}, {"who": None}]  # fmt: skip


@pytest.mark.parametrize(
    "op", [op for op in EVERY if op not in ("hmac", "labels", "date", "mask", "country")]
)
def test_a_field_of_numbers_is_refused_where_texts_are_worked_on(op: str) -> None:
    with pytest.raises(Impossible, match="Expected text in `number`, the SCHEMA has an integer there"):
        made(op, **EVERY[op][0], field="number").outcome(SHAPE)


def test_a_boolean_is_not_masked_as_its_length_would_tell() -> None:
    with pytest.raises(Impossible, match="`flag`, the SCHEMA has a boolean"):
        made("mask", field="flag").outcome(SHAPE)


@pytest.mark.parametrize("op", EVERY)
def test_keys_are_changed_by_what_keeps_them_apart_alone(op: str) -> None:
    keyed = Shape("s", FIELDS, keys=("f",))
    if op == "hmac":
        assert made(op).outcome(keyed).keys == ("f",)
        return
    with pytest.raises(Impossible, match="may make one key of two"):
        made(op, **EVERY[op][0]).outcome(keyed)


@pytest.mark.parametrize(
    "op", [op for op in EVERY if op not in ("hmac", "mask", "normalise", "redact", "fix_text")]
)
def test_a_bad_value_is_told_of_without_itself(op: str) -> None:
    planted = "S3cret-VALUE, of nobody"
    said = EVERY[op][0] | ({"to": "year"} if op == "truncate" else {})
    said.pop("length", None)
    operation = made(op, **said)
    with pytest.raises(BadDataError, match=r"\(line 2\)") as caught:
        records(operation, {"f": None}, {"f": planted})
    assert "S3cret" not in str(caught.value)
    assert records(operation, {"f": planted}, on_error="null") == [{"f": None}]
    left = records(operation, {"f": planted}, on_error="quarantine")
    assert left == [{"f": "***" if operation.protects else planted}]


EXAMPLES = [(op, one) for op, row in OPERATIONS.items() for one in row.settings.get("examples", ())]


@pytest.mark.parametrize(
    ("op", "example"), EXAMPLES, ids=[f"{op}-{number}" for number, (op, _) in enumerate(EXAMPLES)]
)
def test_the_examples_of_the_docs_are_so(op: str, example: dict[str, Any]) -> None:
    said = {**example["said"], **({"key": KEY} if "key" in example["said"] else {})}
    assert said.pop("op") == op
    operation = made(op, **said)
    fields = {name: {"type": ["string", "null"]} for name in example["before"]}
    assert set(operation.outcome(Shape("s", fields)).fields) == set(example["after"])
    assert records(operation, example["before"]) == [example["after"]]


def test_each_operation_on_values_has_an_example() -> None:
    assert {op for op, _ in EXAMPLES} >= {*EVERY, "parse_url", "default"}


def test_where_bad_values_become_null_the_schema_admits_it_but_for_keys() -> None:
    fields = {"k": {"type": "string"}, "f": {"type": "string"}, "who": {"type": "object", "properties": {"f": {"type": "string"}}}}  # fmt: skip
    operations = [
        {"op": "phone", "field": "f"}, {"op": "phone", "field": "who.f"}, {"op": "phone", "field": "f", "as": "g"}, {"op": "hmac", "field": "k", "key": KEY},
    ]  # fmt: skip
    text = {"type": "string"}
    for on_error, made_so, whole in (
        ("fail", text, "object"),
        ("null", {"type": ["string", "null"]}, ["object", "null"]),
    ):
        found = mapped(operations, fields, [], keys=["k"], on_error=on_error).schema["schema"]["properties"]
        assert found == {"k": text, "f": made_so, "who": {"type": whole, "properties": {"f": made_so}}, "g": made_so}  # fmt: skip
