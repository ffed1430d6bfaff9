"""What a target reads: lines, message types, records."""

from __future__ import annotations

import re
import time

from singerkit_check.suite.pieces import DECIMALS, INTEGERS, ORDER
from singerkit_check.suite.singer import RECORD, SCHEMA, STATE, instant, parse
from singerkit_check.suite.target_runs import TargetRuns

NAMES = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]


def test_o03_unknown_types_are_warned_about_once_and_skipped(target: TargetRuns) -> None:
    load = target.loaded("o03")
    assert load.rows("o03", ["id"]) == NAMES
    warnings = [line for line in load.outcome.stderr.splitlines() if "HEARTBEAT" in line]
    assert len(warnings) == 1, warnings


def test_o04_type_is_read_case_insensitively(target: TargetRuns) -> None:
    assert [row["id"] for row in target.loaded("o04").rows("o04", ["id"])] == [1, 2]


def test_o05_utf8_and_escaped_ascii_give_the_same_text(target: TargetRuns) -> None:
    rows = target.loaded("o05").rows("o05", ["id"])
    assert [row["name"] for row in rows] == ["Größe – 寿司 🍣"] * 2


def test_o06_nan_and_infinity_are_refused_or_kept_as_they_are(target: TargetRuns) -> None:
    schema = SCHEMA(target.stream("o06"), {"id": {"type": "integer"}, "x": {"type": "number"}}, ["id"])
    rows = f'{{"type": "RECORD", "stream": "{target.stream("o06")}", "record": {{"id": 1, "x": NaN}}}}'
    load = target.load(schema, rows)
    kept = [[str(value).lower() for value in row.values()] for row in load.rows("o06")]
    assert kept == [] if load.outcome.code else all("nan" in values for values in kept)


def test_o07_big_integers_and_decimals_survive(target: TargetRuns) -> None:
    if target.is_refused("o07"):
        return
    rows = target.loaded("o07").rows("o07", ["id"])
    assert [row["big"] for row in rows] == INTEGERS
    assert [row["exact"] for row in rows] == [parse(text) for text in DECIMALS]


def test_o07_an_integer_beyond_64_bits_survives_among_small_ones(target: TargetRuns) -> None:
    name = target.stream("o07_wide")
    big = 2**64 + 3
    rows = [RECORD(name, {"id": 1, "big": 7}), STATE({"x": 1}), RECORD(name, {"id": 2, "big": big})]
    load = target.load(SCHEMA(name, {"id": {"type": "integer"}, "big": {"type": "integer"}}, ["id"]), *rows)
    load.outcome.expect(0)
    assert [row["big"] for row in load.rows("o07_wide", ["id"])] == [7, big]


def test_o09_nul_in_a_text_is_stored_or_answered_by_a_policy(target: TargetRuns) -> None:
    name = target.stream("o09")
    line = f'{{"type": "RECORD", "stream": "{name}", "record": {{"id": 1, "name": "a\\u0000b"}}}}'
    load = target.load(SCHEMA(name, ORDER, ["id"]), line)
    if load.outcome.code == 0:
        (row,) = load.rows("o09")
        assert row["name"] == "a\0b" or ("NUL" in load.outcome.stderr), (row, str(load.outcome))
    elif target.driver.is_ours:
        load.outcome.expect(65)
        assert "name" in load.outcome.last_words
        assert load.rows("o09") == []


def test_r01_a_record_without_record_or_stream_is_refused(target: TargetRuns) -> None:
    schema = SCHEMA(target.stream("r01"), ORDER, ["id"])
    target.refused(schema, {"type": "RECORD", "stream": target.stream("r01")}, place="record")


def test_r03_time_extracted_becomes_sdc_extracted_at(target: TargetRuns) -> None:
    assert target.loaded("r03").rows("r03") == [{"id": 1, "name": "a"}]


def test_r05_mixed_streams_arrive_whole(target: TargetRuns) -> None:
    load = target.loaded("r05")
    for part, name in enumerate(("r05_a", "r05_b")):
        rows = sorted(load.rows(name), key=lambda row: row["id"])
        assert rows == [{"id": n, "name": f"row {n}"} for n in range(part, 20, 2)]


def test_r06_record_before_schema_is_refused(target: TargetRuns) -> None:
    load = target.refused(
        RECORD(target.stream("r06"), {"id": 1}), SCHEMA(target.stream("r06"), ORDER, ["id"]), place="r06"
    )
    assert load.rows("r06") == []


def test_r07_a_record_may_have_a_version(target: TargetRuns) -> None:
    assert target.loaded("r07").rows("r07") == [{"id": 1, "name": "a"}]


def test_r08_fields_that_are_not_in_the_schema_are_ignored_with_one_warning(target: TargetRuns) -> None:
    load = target.loaded("r08")
    rows = load.rows("r08", ["id"])
    assert [(row["id"], row["name"]) for row in rows] == [(n, "a") for n in range(3)]
    surplus = [row.get("surplus") for row in rows]
    if target.driver.is_ours:
        assert surplus == [None] * 3
        warnings = [line for line in load.outcome.stderr.splitlines() if "surplus" in line]
        assert len(warnings) == 1, warnings
    else:
        assert surplus in ([None] * 3, [0, 1, 2]), "neither ignored nor loaded"


def test_r08_fields_that_are_not_in_the_schema_are_loaded_when_the_policy_says_so(target: TargetRuns) -> None:
    name = target.stream("r08_load")
    rows = [RECORD(name, {"id": 1, "name": "a"}), RECORD(name, {"id": 2, "name": "b", "surplus": "s"})]
    load = target.load(SCHEMA(name, ORDER, ["id"]), *rows, extra="load")
    load.outcome.expect(0)
    assert [row.get("surplus") for row in load.rows("r08_load", ["id"])] == [None, "s"]


def test_r09_absent_fields_are_legal_unless_required(target: TargetRuns) -> None:
    rows = target.loaded("r09").rows("r09", ["id"])
    assert [(row["id"], row.get("name"), row.get("note")) for row in rows] == [
        (1, "a", "x"), (2, "b", None), (3, None, None), (4, None, None),
    ]  # fmt: skip
    schema = SCHEMA(target.stream("r09_required"), ORDER, ["id"])
    schema["schema"]["required"] = ["name"]
    target.refused(schema, RECORD(target.stream("r09_required"), {"id": 1}), place="name")


def test_r10_a_record_without_a_key_property_is_refused(target: TargetRuns) -> None:
    name = target.stream("r10")
    load = target.refused(SCHEMA(name, ORDER, ["id"]), RECORD(name, {"name": "no key"}), place="id")
    assert load.rows("r10") == []


def test_r10_a_null_key_is_refused(target: TargetRuns) -> None:
    name = target.stream("r10_null")
    properties = ORDER | {"id": {"type": ["integer", "null"]}}
    target.refused(SCHEMA(name, properties, ["id"]), RECORD(name, {"id": None, "name": "a"}), place="id")


def test_o01_a_line_that_is_not_json_is_refused_without_showing_it(target: TargetRuns) -> None:
    name = target.stream("o01")
    load = target.refused(SCHEMA(name, ORDER, ["id"]), '{"type": "RECORD", "canary-row-content')
    if target.driver.is_ours:
        assert "canary-row-content" not in load.outcome.stderr
        assert re.search(r"\bline 2\b", load.outcome.last_words), load.outcome.last_words


def test_o02_a_message_without_a_type_is_refused(target: TargetRuns) -> None:
    target.refused(
        SCHEMA(target.stream("o02"), ORDER, ["id"]), {"stream": target.stream("o02")}, place="type"
    )


def test_g15_blank_lines_and_crlf_are_skipped(target: TargetRuns) -> None:
    assert [row["id"] for row in target.loaded("g15").rows("g15", ["id"])] == [1, 2]


def test_g14_metadata_columns(target: TargetRuns) -> None:
    name = target.stream("g14")
    load = target.load(
        SCHEMA(name, ORDER, ["id"]),
        RECORD(name, {"id": 1, "name": "a"}, time_extracted="2024-05-06T07:08:09.123456+02:00", version=7),
        add_record_metadata=True,
    )
    load.outcome.expect(0)
    (row,) = load.metadata("g14")
    assert instant(row["_sdc_extracted_at"]) == instant("2024-05-06T05:08:09.123456Z")
    started = row["_sdc_sync_started_at"] / 1000  # milliseconds since 1970, as singer-sdk has it
    assert started - 1 <= instant(row["_sdc_received_at"]).timestamp() <= time.time()
    assert instant(row["_sdc_received_at"]) <= instant(row["_sdc_batched_at"])
    assert row["_sdc_table_version"] == 7
    assert isinstance(row["_sdc_sequence"], int)
    assert row["_sdc_deleted_at"] is None
