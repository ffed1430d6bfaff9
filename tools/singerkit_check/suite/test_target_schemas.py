"""What a target makes of schemas."""

from __future__ import annotations

import json

from singerkit_check.suite.pieces import INSTANTS, MIXED, ORDER
from singerkit_check.suite.singer import RECORD, SCHEMA, instant
from singerkit_check.suite.source_server import serve
from singerkit_check.suite.target_runs import TargetRuns

ROW = [{"id": 1, "name": "a"}]


def test_s01_key_properties_may_be_empty(target: TargetRuns) -> None:
    assert target.loaded("s01").rows("s01") == ROW


def test_s01_a_schema_message_without_schema_is_refused(target: TargetRuns) -> None:
    target.refused(
        {"type": "SCHEMA", "stream": target.stream("s01_none"), "key_properties": []}, place="schema"
    )


def test_s03_a_key_that_is_no_top_level_property_is_refused(target: TargetRuns) -> None:
    name = target.stream("s03")
    load = target.refused(
        SCHEMA(name, ORDER, ["nowhere"]), RECORD(name, {"id": 1, "name": "a"}), place="nowhere"
    )
    assert load.rows("s03") == []


def test_s04_bookmark_properties_are_optional(target: TargetRuns) -> None:
    (row,) = target.loaded("s04").rows("s04")
    assert row["name"] == "a"
    assert instant(row["at"]) == instant("2024-01-01T00:00:00Z")


def test_s06_the_top_level_type_may_be_absent(target: TargetRuns) -> None:
    assert target.loaded("s06").rows("s06") == ROW


def test_s08_the_empty_schema_is_valid(target: TargetRuns) -> None:
    (row,) = target.loaded("s08").rows("s08")
    assert row.get("_record", row) == {"any": [1, {"b": None}], "thing": "x"}


def test_s09_local_references_are_resolved(target: TargetRuns) -> None:
    (row,) = target.loaded("s09").rows("s09")
    assert row == {"id": 1, "zip": 8000, "home": {"city": "Zürich", "zip": 8001}}


def test_s09_remote_references_are_refused_without_being_asked_for(target: TargetRuns) -> None:
    with serve() as server:
        properties = {"id": {"type": "integer"}, "x": {"$ref": f"{server.url}/schema.json"}}
        name = target.stream("s09_remote")
        target.refused(SCHEMA(name, properties, ["id"]), RECORD(name, {"id": 1, "x": 1}), place="s09_remote")
        assert server.asked == []


def test_s11_drafts_4_to_2020_12(target: TargetRuns) -> None:
    load = target.loaded("s11")
    ((old,), (new,)) = load.rows("s11_old"), load.rows("s11_new")
    assert (old["id"], float(old["score"])) == (1, 0.5)
    assert (new["id"], float(new["score"]), new["pair"]) == (1, 0.5, [1, "x"])


def test_s14_integer_decimal_and_timestamp(target: TargetRuns) -> None:
    rows = target.loaded("s14").rows("s14", ["id"])
    assert [instant(row["at"]) for row in rows] == [instant(text) for text in INSTANTS]
    assert [(row["id"], str(row["price"])) for row in rows] == [
        (n, target.driver.decimal(f"{n}.25")) for n in range(len(INSTANTS))
    ]


def test_s15_schema_again_same_is_nothing_and_changed_evolves(target: TargetRuns) -> None:
    rows = target.loaded("s15").rows("s15", ["id"])
    assert [(row["id"], row["name"], row.get("added")) for row in rows] == [
        (1, "newest", 10), (2, "b", None), (3, "c", 30), (4, "d", None),
    ]  # fmt: skip


def test_s16_any_of_one_of_and_type_lists(target: TargetRuns) -> None:
    rows = target.loaded("s16").rows("s16", ["id"])
    assert [row["id"] for row in rows] == [1, 2, 3, 4]
    for row, sent in zip(rows, MIXED, strict=True):
        for field in ("one", "types"):
            # a column that holds several types may hold them as JSON or as its text
            assert row[field] == sent[field] or _as_json(row[field]) == sent[field], (field, row)
        assert (row["all"] is None) == (sent["all"] is None)
        assert row["all"] is None or float(row["all"]) == sent["all"]
    assert rows[2]["any"] == "not a date"
    assert instant(rows[0]["any"]) == instant("2024-01-01T00:00:00Z")


def _as_json(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def test_s17_names_are_kept(target: TargetRuns) -> None:
    if target.is_refused("s17"):
        return
    load = target.loaded("s17")
    (row,) = load.rows("s17:A!b? c")
    names = ["Name", "name", "agent:os!version?", "with blank", 'say "hi"; --', "select", "%(x)s"]
    assert row == {"_Id": 1} | {name: f"value of {name}" for name in names}


def test_s17_streams_that_differ_in_case_only_are_two(target: TargetRuns) -> None:
    if target.is_refused("s17"):
        return
    assert target.loaded("s17").rows("S17:a!B? C") == [{"id": 1, "name": "the other stream"}]


def test_x11_annotations_of_properties_are_read_or_passed_over(target: TargetRuns) -> None:
    (row,) = target.loaded("x11").rows("x11")
    assert (row["id"], row["code"], str(row["price"])) == (1, "abc", target.driver.decimal("12.50"))
    assert row["blob"] in ("AAEC/w==", "\\x000102ff")  # text as sent, or the bytes it stands for
