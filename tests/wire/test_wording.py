"""Rows without a key that are asked for again in other words are recognised; rows that say something else are not."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from singer_sdk.singerlib import SelectionMask

from singerkit_state.memory import row_hash
from singerkit_wire.encode import RecordEncoder, SentRows

TEXT = {"type": ["string", "null"]}
TIME = {"type": ["string", "null"], "format": "date-time"}
SCHEMA = {
    "properties": {
        "at": TIME,
        "note": TEXT,
        "n": {"type": ["number", "null"]},
        "in": {"type": ["object", "null"], "properties": {"seen": TIME, "told": TEXT}},
        "list": {"type": ["array", "null"], "items": {"anyOf": [TIME, {"type": "null"}]}},
    }
}
AT = "2024-01-02T00:00:00Z"


def encoder(*, unselected: tuple[str, ...] = (), **settings: Any) -> RecordEncoder:
    mask = SelectionMask(
        {(): True} | {("properties", name): name not in unselected for name in SCHEMA["properties"]}
    )
    return RecordEncoder("orders", SCHEMA, mask, **settings)


def said(text: str | bytes, **settings: Any) -> bytes:
    record = text.encode() if isinstance(text, str) else text
    return SentRows(encoder(**settings)).texts([record])[0]


SAME = {
    "order of fields": ('{"n": 1, "note": "a"}', '{"note":"a","n":1}'),
    "order inside": (
        '{"in": {"told": "a", "x": [{"b": 1, "c": 2}]}}',
        '{"in":{"x":[{"c":2,"b":1}],"told":"a"}}',
    ),
    "a field that the schema has not": ('{"n": 1}', '{"n": 1, "request": "9f2"}'),
    "null or left out": ('{"n": 1, "note": null, "in": {"a": null}}', '{"n": 1, "in": {}}'),
    "the zone of a time": (f'{{"at": "{AT}"}}', '{"at": "2024-01-02T01:00:00.000+01:00"}'),
    "UTC in two ways": (f'{{"at": "{AT}"}}', '{"at": "2024-01-02T00:00:00+00:00"}'),
    "a time inside": (f'{{"in": {{"seen": "{AT}"}}}}', '{"in": {"seen": "2024-01-02 00:00:00+0000"}}'),
    "a time in a list": (f'{{"list": ["{AT}", null]}}', '{"list": ["2024-01-01T23:00:00-01:00", null]}'),
    "numbers": ('{"n": 1, "in": {"x": [100, 0.1, 0]}}', '{"n": 1.00, "in": {"x": [1e2, 10E-2, -0.0]}}'),
    "escapes": ('{"note": "\\u00fc/\\ud83d\\ude00"}', '{"note": "ü\\/😀"}'),
    "half a character": ('{"note": "\\ud83d", "n": 1}', '{"n": 1.0, "note": "\\ud83d"}'),
}
"""What two answers may write differently of one row."""

OTHER = {
    "text": ('{"note": "a"}', '{"note": "b"}'),
    "times in text": (f'{{"note": "{AT}"}}', '{"note": "2024-01-02T00:00:00+00:00"}'),
    "the tenth of a second": (f'{{"at": "{AT}"}}', '{"at": "2024-01-02T00:00:00.1Z"}'),
    "years beyond all calendars": ('{"at": "12024-01-01T00:00:00+01:00"}', '{"at": "12025-01-01T00:00:00+01:00"}'),
    "a digit that no float has": ('{"n": 0.10000000000000000001}', '{"n": 0.1}'),
    "a number in text": ('{"in": {"x": 1}}', '{"in": {"x": "1"}}'),
    "empty text": ('{"note": ""}', '{"note": null}'),
    "order of a list": ('{"list": ["a", "b"]}', '{"list": ["b", "a"]}'),
    "null in a list": ('{"list": [null]}', '{"list": []}'),
    "half a character": ('{"note": "\\ud83d"}', '{"note": "\\ud83e"}'),
    "digits beyond all bounds": ('{"in": {"x": %s}}' % ("1" * 5000), '{"in": {"x": %s}}' % ("2" * 5000)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_two_ways_to_write_a_row_are_one_row(name: str) -> None:
    one, other = SAME[name]
    assert said(one) == said(other)


@pytest.mark.parametrize("name", OTHER)
def test_two_values_are_two_rows(name: str) -> None:
    one, other = OTHER[name]
    assert said(one) != said(other)


def test_what_is_not_sent_does_not_count_and_what_is_not_known_is_not_null() -> None:
    assert said('{"n": 1, "note": "a"}', unselected=("note",)) == said(
        '{"n": 1, "note": "b"}', unselected=("note",)
    )
    assert said('{"n": 1, "note": null}', partial=True) != said('{"n": 1}', partial=True)


def test_a_row_that_cannot_be_read_changes_nothing_for_those_beside_it() -> None:
    rows = [b'{"note": "a", "n": 1}', b'{"in": {"x": %s}}' % (b"1" * 5000), b'{"n": 1.0, "note": "a"}']
    texts = SentRows(encoder()).texts(rows)
    assert texts[0] == texts[2] == said(rows[0])
    assert texts[1] == said(rows[1])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(deadline=None)
@given(row=st.dictionaries(st.text(max_size=3), VALUES, max_size=5), seed=st.integers(0, 9))
def test_any_row_is_recognised_in_any_order_with_any_escapes(row: dict[str, Any], seed: int) -> None:
    whole = SentRows(RecordEncoder("orders", {}, SelectionMask()))
    texts = [written(row, random.Random(number), ascii_only=number > 0) for number in (0, seed + 1)]
    one, other = whole.texts([text.encode() for text in texts])
    assert one == other
    assert whole.texts([one])[0] == one, "a wording is its own wording"


def written(value: Any, roll: random.Random, *, ascii_only: bool) -> str:
    """Return JSON in one of its ways."""
    if isinstance(value, dict):
        items = list(value.items())
        roll.shuffle(items)
        parts = [
            f"{json.dumps(name, ensure_ascii=ascii_only)}: {written(item, roll, ascii_only=ascii_only)}"
            for name, item in items
        ]
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(item, roll, ascii_only=ascii_only) for item in value) + "]"
    if isinstance(value, bool | str | None):
        return json.dumps(value, ensure_ascii=ascii_only)
    text = f"{value:f}" if not isinstance(value, int) else str(value)
    if not ascii_only or isinstance(value, int):
        return text
    return f"{value:E}" if roll.random() < 0.5 else text + ("0" if "." in text else ".0")


# Runs


def stream(example: Any, **settings: Any) -> dict[str, Any]:
    return example.config(
        example.stream(**{"key_properties": [], "replication_key": "at", "schema": SCHEMA} | settings),
        state_every=2,
    )


ROWS = [{"at": f"2024-01-{day:02}T00:00:00Z", "note": f"row {day}", "n": day} for day in range(1, 10)]


@pytest.mark.parametrize("is_sorted", [False, True])
@pytest.mark.parametrize("signpost", ["auto", "none"])
def test_an_api_that_writes_its_rows_in_another_way_doubles_none(
    example: Any, is_sorted: bool, signpost: str
) -> None:
    config = stream(example, is_sorted=is_sorted, signpost=signpost)
    example.pages(ROWS[:3], ROWS[3:6], ROWS[6:])
    first = example.sync(config)
    assert len(first.records()) == 9
    again = [
        {"trace": str(row), "n": float(row["n"]), "in": None, "at": row["at"].replace("Z", "+00:00"), "note": row["note"]}
        for row in ROWS
    ]  # fmt: skip
    new = {"n": 10, "at": "2024-01-10T00:00:00+00:00"}
    example.pages(again[:4], again[4:8], [*again[8:], new])
    second = example.sync(config, first.state)
    assert [record["at"] for record in second.records()] == [new["at"]]
    example.pages(ROWS[:3], ROWS[3:6], ROWS[6:])
    assert example.sync(config, second.state).records() == []


@pytest.mark.parametrize("is_sorted", [False, True])
def test_a_row_that_changed_in_what_is_sent_comes(example: Any, is_sorted: bool) -> None:
    config = stream(example, is_sorted=is_sorted)
    example.pages(ROWS)
    first = example.sync(config)
    changed = ROWS[-1] | {"note": "changed"}
    example.pages([*ROWS[:-1], changed])
    assert [record["note"] for record in example.sync(config, first.state).records()] == ["changed"]


def test_a_field_that_is_new_doubles_no_row_that_was_sent_without_it(example: Any) -> None:
    before = {"properties": {name: part for name, part in SCHEMA["properties"].items() if name != "note"}}
    example.pages(ROWS[:3], ROWS[3:6], ROWS[6:])
    first = example.sync(stream(example, schema=before))
    second = example.sync(stream(example), first.state)
    assert second.records() == []
    # From now on the new field counts: of the rows that are asked for again the changed one comes.
    rows = [*ROWS[:-1], ROWS[-1] | {"note": "changed"}]
    example.pages(rows[:3], rows[3:6], rows[6:])
    third = example.sync(stream(example), second.state)
    assert [record["note"] for record in third.records()] == ["changed"]


def without(*names: str) -> dict[str, Any]:
    return {"properties": {name: part for name, part in SCHEMA["properties"].items() if name not in names}}


INSIDE = {**SCHEMA["properties"]["in"], "properties": {"seen": TIME, "told": TEXT, "new": TEXT}}
DEEP = [
    row | {"in": {"seen": "2024-05-01T00:00:00+02:00", "told": "a"}, "list": [row["at"]], "time": "2024-05-01T01:00:00+00:00"}
    for row in ROWS
]  # fmt: skip
TIMED = {"properties": {**SCHEMA["properties"], "time": TIME}}
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "deselected": ({}, {"select": ["orders", "!orders.note"]}, {}),
    "selected": ({"select": ["orders", "!orders.note"]}, {}, {}),
    "taken out of the schema": ({"schema": TIMED}, {}, {}),
    "deselected inside": ({}, {"select": ["orders", "!orders.in.told"]}, {}),
    "deselected with what is inside": ({}, {"select": ["orders", "!orders.in"]}, {}),
    "another one, while some inside is deselected": (
        {"select": ["orders", "!orders.in.told"]},
        {"select": ["orders", "!orders.in.told", "!orders.n"]},
        {},
    ),
    "new inside": ({}, {"schema": {"properties": {**SCHEMA["properties"], "in": INSIDE}}}, {"new": "x"}),
    "all of it": ({"schema": without("list", "in")}, {"schema": {}}, {}),
}
"""What may be sent of a row that is the same, before and after, and what its object has more."""


@pytest.mark.parametrize("is_sorted", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_other_fields_of_rows_that_were_sent_double_none(
    example: Any, caplog: Any, name: str, is_sorted: bool
) -> None:
    before, after, inside = CHANGES[name]
    example.pages(DEEP[:3], DEEP[3:6], DEEP[6:])
    state = example.sync(_with(example, before, is_sorted)).state
    rows = [row | {"in": row["in"] | inside} for row in DEEP]
    for _ in range(2):
        example.pages(rows[:3], rows[3:6], rows[6:])
        again = example.sync(_with(example, after, is_sorted), state)
        assert again.records() == []
        state = again.state
    assert "could be recognised" not in caplog.text
    # What is sent now counts from now on.
    changed = [*rows[:-1], rows[-1] | {"in": {**rows[-1]["in"], "seen": AT}, "n": 99}]
    example.pages(changed)
    assert len(example.sync(_with(example, after, is_sorted), state).records()) == 1


def _with(example: Any, settings: dict[str, Any], is_sorted: bool) -> dict[str, Any]:
    own = {key: value for key, value in settings.items() if key != "select"}
    select = {"select": settings["select"]} if "select" in settings else {}
    return {**stream(example, is_sorted=is_sorted, **own), **select}


@pytest.mark.parametrize(
    ("schema", "row", "why"),
    [
        (SCHEMA, {"n": None}, "no record of this run has `n`"),
        (
            {"properties": {**SCHEMA["properties"], "n": {"type": ["number", "string"]}}},
            {"n": "9"},
            "`n` is of another type now",
        ),
    ],
)
def test_where_rows_cannot_be_compared_the_run_says_why(
    example: Any, caplog: Any, schema: Any, row: dict[str, Any], why: str
) -> None:
    example.pages(ROWS)
    first = example.sync(stream(example))
    others = [{name: value for name, value in (known | row).items() if value is not None} for known in ROWS]
    example.pages(others)
    caplog.clear()
    second = example.sync(stream(example, schema=schema), first.state)
    assert len(second.records()) == 1, "nothing tells that it is the same"
    assert f"none of them could be recognised: they are known by what they said, and {why}" in caplog.text
    assert "a selected field changes" not in caplog.text
    caplog.clear()
    example.pages([*others[:-1], others[-1] | {"note": "changed"}])
    third = example.sync(stream(example, schema=schema), second.state)
    assert [record["note"] for record in third.records()] == ["changed"]
    assert "could be recognised" not in caplog.text, "once"


def test_rows_that_an_older_version_remembered_are_recognised_once_more(example: Any) -> None:
    example.pages(ROWS[6:])
    config = stream(example)
    raw = [json.dumps(row).encode() for row in ROWS]
    seen = {"at": ROWS[7]["at"], "rows": [row_hash(raw[7])], "others": [[ROWS[8]["at"], row_hash(raw[8])]]}
    state = {
        "bookmarks": {
            "orders": {"replication_key": "at", "replication_key_value": seen["at"], "_singerkit_seen": seen}
        }
    }
    first = example.sync(config, state)
    assert first.records() == []
    example.pages([dict(reversed(row.items())) for row in ROWS[6:]])
    assert example.sync(config, first.state).records() == []


def test_a_parent_that_is_not_sent_is_known_by_all_its_fields(example: Any) -> None:
    """Of a parent that is only read for its children all counts, or one of two at the same moment would be taken for both."""
    schema = {"properties": {"order": {"type": "integer"}, "id": {"type": "integer"}}}
    config = example.config(
        example.stream(replication_key="at", schema=SCHEMA, key_properties=[], selected_by_default=False),
        example.stream(name="items", schema=schema, key_properties=[], parent="orders", parent_key="order"),
    )
    example.pages([{"order": 1, "id": 1}, {"order": 2, "id": 2}], name="items")
    example.pages([{"id": 1, "at": AT}])
    first = example.sync(config)
    example.pages([{"id": 2, "at": AT}, {"at": AT, "id": 1}])
    assert [record["id"] for record in example.sync(config, first.state).records("items")] == [2]
