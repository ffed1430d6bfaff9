"""G13: the target streams that singer-sdk ships, through the real executable, with the rows checked.

singer-sdk's own suite asserts little more than that nothing was raised; the rows expected here are worked out by
hand from the files. Two corrections: ``pk_updates.singer`` has its keys inside ``schema``, where they mean
nothing, so they are moved out; and what ``multiple_state_messages`` wants in the SDK (three particular STATEs) is
a matter of when a target commits: ours prints any of those sent, in order, the last one last.
"""

from __future__ import annotations

import importlib.resources
import json
from typing import Any

import pytest
from singer_sdk.testing import target_test_streams

from singerkit_check.suite.drivers import Destination
from singerkit_check.suite.singer import instant
from singerkit_check.suite.target_runs import Load, TargetRuns


def singer_file(name: str, target: TargetRuns) -> bytes:
    """Return a file of the SDK with the names its streams have in this session, else byte for byte."""
    data = (importlib.resources.files(target_test_streams) / f"{name}.singer").read_bytes()
    for stream in {json.loads(line)["stream"] for line in data.splitlines() if b'"stream"' in line}:
        old, new = (f'"stream": {json.dumps(text)}'.encode() for text in (stream, target.stream(stream)))
        assert old in data
        data = data.replace(old, new)
    return data


def load(target: TargetRuns, name: str, place: Destination | None = None, **settings: Any) -> Load:
    done = target.load(singer_file(name, target), destination=place, **settings)
    done.outcome.expect(0)
    return done


def by_id(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: str(row["id"]))


FRUITS = [["apple", "orange", "pear"], ["banana", "apple"], ["pear"], ["orange", "banana", "apple", "pear"]]
LAST_STATES = {
    "array_data": {"test_array_data": 4},
    "duplicate_records": {"test_duplicate_records": 2},
    "no_primary_keys": {"test_no_pk": 3},
    "optional_attributes": {"test_optional_attributes": 4},
    "schema_updates": {"test_schema_updates": 6},
    "user_location_data": {"test_users": 5, "test_locations": 3, "test_user_in_location": 3},
}


def test_g13_array_data(target: TargetRuns) -> None:
    done = load(target, "array_data")
    assert done.rows("test_array_data", ["id"]) == [
        {"id": n, "fruits": f} for n, f in enumerate(FRUITS, start=1)
    ]
    assert done.last_state == LAST_STATES["array_data"]


def test_g13_camelcase(target: TargetRuns) -> None:
    assert load(target, "camelcase").rows("TestCamelcase", ["Id"]) == [
        {"Id": "1", "clientName": "Gitter Windows Desktop App"}, {"Id": "2", "clientName": "Gitter iOS App"},
    ]  # fmt: skip


def test_g13_camelcase_complex_schema(target: TargetRuns) -> None:
    """Two schemas and no record: nothing to read back, and nothing to fail at."""
    assert load(target, "camelcase_complex_schema").rows("ForecastingTypeToCategory") == []


def test_g13_duplicate_records(target: TargetRuns) -> None:
    done = load(target, "duplicate_records")
    assert done.rows("test_duplicate_records", ["id"]) == [{"id": 1, "metric": 100}, {"id": 2, "metric": 20}]
    assert done.last_state == LAST_STATES["duplicate_records"]


PLAIN = [
    "απλή συμβολοσειρά", "简单的字串", "chaîne simple", 'quoted "string"',
    'various " \\ / \n escape sequences', "m", "ā", "ƙ",
]  # fmt: skip


def test_g13_encoded_string_data(target: TargetRuns) -> None:
    """PostgreSQL stores no NUL: a target that cannot is told to replace it (at every depth)."""
    settings, nul = target.driver.replacing_nul
    done = load(target, "encoded_string_data", **settings)
    control = f"Control Characters in string: {nul} A \x01"
    literal = "Double quoting: \\u0000 \\u0041 \\u0001"
    strings = ["simple string 2837", *PLAIN, literal, control]
    assert by_id(done.rows("test_strings")) == by_id(
        [{"id": n, "info": text} for n, text in enumerate(strings, 1)]
    )
    names = ["simple", "greek", "chinese", "french", "quoted string", "escape sequences", *["unicode"] * 3]
    values = ["simple string 2837", *PLAIN, " \\u0000 \\u0041 \\u0001", f"{nul} A \x01"]
    names += ["Double quoting", "Control Characters in string"]
    objects = [{"name": name, "value": value} for name, value in zip(names, values, strict=True)]
    assert by_id(done.rows("test_strings_in_objects")) == by_id(
        [{"id": n, "info": o} for n, o in enumerate(objects, 1)]
    )
    arrays = [
        ["simple string", "απλή συμβολοσειρά", "简单的字串"], ["chaîne simple", 'quoted "string"'],
        ['various " \\ / \n escape sequences'], ["m", "ā", "ƙ"], ["aaa", literal], ["bbb", control],
    ]  # fmt: skip
    assert by_id(done.rows("test_strings_in_arrays")) == by_id(
        [{"id": n, "strings": a} for n, a in enumerate(arrays, 1)]
    )


def test_g13_multiple_state_messages(target: TargetRuns) -> None:
    done = load(target, "multiple_state_messages")
    a, b = "test_multiple_state_messages_a", "test_multiple_state_messages_b"
    assert by_id(done.rows(a)) == [{"id": n, "metric": 100 * n} for n in range(1, 7)]
    assert by_id(done.rows(b)) == [{"id": n, "metric": 110 * n} for n in range(1, 7)]
    sent = [{a: x, b: y} for x, y in ((1, 0), (2, 1), (3, 2), (5, 3), (5, 6))]
    order = [sent.index(state) for state in done.states]
    assert order == sorted(set(order))
    assert done.last_state == sent[-1]


def test_g13_no_primary_keys_and_then_more(target: TargetRuns) -> None:
    place = target.destination()
    first = load(target, "no_primary_keys", place)
    rows = [{"id": n, "metric": 11 * n} for n in (1, 2, 3)]
    assert by_id(first.rows("test_no_pk")) == rows
    assert first.last_state == LAST_STATES["no_primary_keys"]
    second = load(target, "no_primary_keys_append", place)
    assert second.last_state == {"test_no_pk": 5}
    assert sorted(row["metric"] for row in second.rows("test_no_pk")) == [11, 22, 33, 101, 202, 303, 404, 505]


def test_g13_optional_attributes(target: TargetRuns) -> None:
    done = load(target, "optional_attributes")
    rows = [(row["id"], row.get("optional")) for row in done.rows("test_optional_attributes", ["id"])]
    assert rows == [(1, "This is optional"), (2, None), (3, "Also optional"), (4, None)]


def test_g13_pk_updates(target: TargetRuns) -> None:
    done = target.load(*_with_keys_moved_out(singer_file("pk_updates", target)))
    done.outcome.expect(0)
    assert by_id(done.rows("example_stream")) == [
        {"id": 1, "name": "Alice", "email": "alice@example.com"},
        {"id": 2, "name": "Bob", "email": "bob@example.com"},
    ]


def test_g13_pk_updates_then_the_new_key_counts(target: TargetRuns) -> None:
    messages = _with_keys_moved_out(singer_file("pk_updates", target))
    record = messages[-1] | {"record": {"id": 3, "name": "Alicia", "email": "alice@example.com"}}
    done = target.load(*messages, record)
    done.outcome.expect(0)
    assert done.rows("example_stream", ["email"]) == [
        {"id": 3, "name": "Alicia", "email": "alice@example.com"},
        {"id": 2, "name": "Bob", "email": "bob@example.com"},
    ]


def _with_keys_moved_out(data: bytes) -> list[dict[str, Any]]:
    messages = [json.loads(line) for line in data.splitlines()]
    for message in messages:
        if message["type"] == "SCHEMA":
            message["key_properties"] = message["schema"].pop("key_properties")
    return messages


def test_g13_record_missing_fields(target: TargetRuns) -> None:
    done = load(target, "record_missing_fields")
    rows = [(row["id"], row.get("optional")) for row in done.rows("record_missing_fields", ["id"])]
    assert rows == [(1, "now you see me"), (2, None)]


@pytest.mark.parametrize(
    "name",
    [
        "invalid_schema",
        "record_before_schema",
        "record_missing_key_property",
        "record_missing_required_property",
    ],
)
def test_g13_what_cannot_be_loaded_is_refused(target: TargetRuns, name: str) -> None:
    done = target.refused(singer_file(name, target), place=target.stream(f"test_{name}"))
    assert done.rows(f"test_{name}") == []


def test_g13_schema_no_properties(target: TargetRuns) -> None:
    done = load(target, "schema_no_properties")
    with_properties = done.rows("test_object_schema_with_properties")
    assert sorted(row["object_store"]["metric"] for row in with_properties) == [187, 203]
    without = done.rows("test_object_schema_no_properties")
    assert sorted(row["object_store"]["metric"] for row in without) == [1, 2]
    assert all(set(row["object_store"]) == {"id", "metric"} for row in [*with_properties, *without])


def test_g13_schema_updates(target: TargetRuns) -> None:
    done = load(target, "schema_updates")
    a3 = [None, True, False, True, False, True]
    a4 = [None, None, *({"id": n, "value": v} for n, v in ((1, 1), (2, 22), (3, 33), (4, 444)))]
    a5 = [None, None, ["banana", "apple"], ["orange", "pear"], ["apple"], ["banana", "orange"]]
    a6 = [None, None, None, None, 985, 341]
    expected = [
        {
            "id": n,
            "a1": 100 + n,
            "a2": f"string{n}",
            "a3": a3[n - 1],
            "a4": a4[n - 1],
            "a5": a5[n - 1],
            "a6": a6[n - 1],
        }
        for n in range(1, 7)
    ]
    rows = done.rows("test_schema_updates", ["id"])
    assert [{field: row.get(field) for field in expected[0]} for row in rows] == expected
    assert done.last_state == LAST_STATES["schema_updates"]


def test_g13_special_chars_in_attributes(target: TargetRuns) -> None:
    done = load(target, "special_chars_in_attributes")
    nested = {"env": "prod", "agent:type": "desktop", "agent:os:version": "10.13.1"}
    assert done.rows("test:SpecialChars!in?attributes") == [{"_id": "a2e98886", "d": nested}]
    for extracted in (
        row.get("_sdc_extracted_at") for row in done.metadata("test:SpecialChars!in?attributes")
    ):
        assert extracted is None or instant(extracted) == instant("2018-11-02T22:57:04.841020Z")


def test_g13_user_location_data_and_then_its_upserts(target: TargetRuns) -> None:
    place = target.destination()
    first = load(target, "user_location_data", place)
    users = {1: "Yannis", 2: "Micael", 3: "Jacob", 4: "Josh", 5: "Thomas"}
    locations = {1: "Philadelphia", 2: "NY", 3: "SF"}
    assert named(first, "test_users") == users
    assert named(first, "test_locations") == locations
    assert first.last_state == LAST_STATES["user_location_data"]
    second = load(target, "user_location_upsert_data", place)
    users |= {1: "Johny", 2: "George", 5: "Jim", 8: "Thomas", 12: "Paul", 13: "Mary"}
    locations |= {1: "Philly", 3: "San Francisco", 6: "Colorado", 8: "Boston"}
    assert named(second, "test_users") == users
    assert named(second, "test_locations") == locations
    visits = [
        (1, 1, 4, {"weather": "rainy", "mood": "sad"}),
        (14, 4, 1, {"weather": "cloudy", "mood": "ok"}),
        (2, 2, 3, {"weather": "sunny", "mood": "satisfied"}),
        (3, 1, 3, {"weather": "sunny", "mood": "happy"}),
        (6, 3, 2, {"weather": "sunny", "mood": "happy"}),
    ]
    rows = second.rows("test_user_in_location", ["id"])
    assert [(row["id"], row["user_id"], row["location_id"], row["info"]) for row in rows] == visits
    assert second.last_state == {"test_users": 13, "test_locations": 8, "test_user_in_location": 14}


def named(done: Load, stream: str) -> dict[int, str]:
    return {row["id"]: row["name"] for row in done.rows(stream, ["id"])}
