"""What a tap writes: lines, SCHEMA, RECORD, values."""

from __future__ import annotations

import json
import re
from typing import Any

from jsonschema import Draft4Validator, Draft202012Validator

from singerkit_check.suite.singer import instant
from singerkit_check.suite.sources import key_of
from singerkit_check.suite.tap_runs import TapRuns, records, schemas

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def test_o01_one_json_object_a_line(tap: TapRuns) -> None:
    assert tap.full.stdout.endswith(b"\n")
    assert len(tap.full.messages) == tap.full.stdout.count(b"\n") > 0


def test_o02_each_message_has_a_type(tap: TapRuns) -> None:
    assert all(isinstance(message["type"], str) for message in tap.full.messages)


def test_o05_text_is_what_the_source_has(tap: TapRuns) -> None:
    tap.full.stdout.decode("utf-8")
    for name, row, sent in _sent(tap):
        texts = {field: value for field, value in row.items() if isinstance(value, str)}
        assert {field: sent[field] for field in texts} == texts, name


def test_o06_nan_and_infinity_are_never_written(tap: TapRuns) -> None:
    for line in tap.full.stdout.splitlines():
        json.loads(line, parse_constant=_fail)


def _fail(word: str) -> Any:
    raise AssertionError(f"{word} was written")


def test_o07_big_integers_and_decimals_survive(tap: TapRuns) -> None:
    for name, row, sent in _sent(tap):
        assert {field: repr(sent[field]) for field in row} == {
            field: repr(value) for field, value in row.items()
        }, name


def test_o09_nul_is_passed_on_as_the_source_sent_it(fresh: TapRuns) -> None:
    stream, _ = fresh.source.facts(ascends=True)
    note, row = fresh.source.text_field(stream), fresh.source.rows(stream)[2]
    fresh.source.put(stream, row | {note: f"{row[note]}\0 and more"})
    wanted = fresh.source.rows(stream)
    assert wanted[2][note] == f"{row[note]}\0 and more"
    outcome = fresh.run("--catalog", fresh.file(fresh.selecting({stream: True}))).expect(0)
    assert [row[note] for row in records(outcome, stream)] == [row[note] for row in wanted]


def test_r01_record_has_a_record_object_and_a_stream(tap: TapRuns) -> None:
    sent = [message for message in tap.full.messages if message["type"] == "RECORD"]
    assert sent
    assert all(isinstance(message["record"], dict) and isinstance(message["stream"], str) for message in sent)


def test_r03_time_extracted_is_rfc_3339_with_a_zone(tap: TapRuns) -> None:
    times = {message["time_extracted"] for message in tap.full.messages if "time_extracted" in message}
    assert times, "no RECORD says when it was extracted"
    assert all(RFC3339.fullmatch(time) for time in times), times


def test_r06_schema_comes_before_its_records(tap: TapRuns) -> None:
    declared = set()
    for message in tap.full.messages:
        if message["type"] == "SCHEMA":
            declared.add(message["stream"])
        elif message["type"] == "RECORD":
            assert message["stream"] in declared


def test_r07_a_version_is_an_integer(tap: TapRuns) -> None:
    assert all(isinstance(message.get("version", 0), int) for message in tap.full.messages)


def test_r08_r09_records_match_their_schema(tap: TapRuns) -> None:
    for name, message in schemas(tap.full).items():
        validator = Draft202012Validator(message["schema"])
        for record in records(tap.full, name):
            assert not list(validator.iter_errors(record)), (name, record)


def test_r09_a_field_the_source_does_not_send_is_not_made_up(tap: TapRuns) -> None:
    for name, row, sent in _sent(tap):
        made_up = {field for field in sent if field not in row and sent[field] is not None}
        assert not made_up, (name, made_up)


def test_r10_every_record_has_its_key(tap: TapRuns) -> None:
    for name, message in schemas(tap.full).items():
        for record in records(tap.full, name):
            assert all(record.get(key) is not None for key in message["key_properties"]), (name, record)


def test_s01_schema_has_schema_stream_and_key_properties(tap: TapRuns) -> None:
    assert schemas(tap.full)
    for message in schemas(tap.full).values():
        assert isinstance(message["schema"], dict)
        assert isinstance(message["key_properties"], list)


def test_s03_keys_are_top_level_properties(tap: TapRuns) -> None:
    for message in schemas(tap.full).values():
        assert set(message["key_properties"]) <= set(message["schema"]["properties"])


def test_s03_keys_are_those_of_the_source(tap: TapRuns) -> None:
    keys = {name: tuple(message["key_properties"]) for name, message in schemas(tap.full).items()}
    assert keys == {name: facts.key for name, facts in tap.source.known_streams.items()}


def test_s04_bookmark_properties_name_the_replication_key(tap: TapRuns) -> None:
    for name, message in schemas(tap.full).items():
        properties = message.get("bookmark_properties", [])
        assert isinstance(properties, list), name
        assert set(properties) <= set(message["schema"]["properties"]), name


def test_s06_s08_each_schema_says_that_it_is_an_object(tap: TapRuns) -> None:
    """A reader may take a schema without type or properties; a tap that knows better says so."""
    for name, message in schemas(tap.full).items():
        assert "object" in message["schema"].get("type", []), name
        assert message["schema"]["properties"], name


def test_s09_references_are_resolved_before_writing(tap: TapRuns) -> None:
    for name, message in schemas(tap.full).items():
        assert '"$ref"' not in json.dumps(message["schema"], default=str), name


def test_s11_schemas_are_valid_in_the_oldest_and_the_newest_draft(tap: TapRuns) -> None:
    for message in schemas(tap.full).values():
        schema = json.loads(json.dumps(message["schema"], default=float))
        Draft4Validator.check_schema(schema)
        Draft202012Validator.check_schema(schema)


def test_s14_timestamps_are_declared_and_written_as_date_time(tap: TapRuns) -> None:
    for name, facts in tap.source.known_streams.items():
        if facts.replication_key:
            field = schemas(tap.full)[name]["schema"]["properties"][facts.replication_key]
            assert "date-time" in json.dumps(field), name
            for record in records(tap.full, name):
                assert RFC3339.fullmatch(record[facts.replication_key])


def test_s15_schema_is_not_repeated_without_need(tap: TapRuns) -> None:
    """SCHEMA again with nothing changed is legal and costs a reader a flush: once a stream is enough."""
    sent = [json.dumps(message, default=str) for message in tap.full.messages if message["type"] == "SCHEMA"]
    assert len(sent) == len(set(sent))


def test_s16_s17_fields_and_streams_keep_their_names(tap: TapRuns) -> None:
    names = {stream["stream"] for stream in tap.catalog["streams"]}
    assert set(schemas(tap.full)) <= names
    for name, row, sent in _sent(tap):
        assert set(row) <= set(sent), name


def test_l08_dates_are_utc(tap: TapRuns) -> None:
    for message in tap.full.messages:
        if "time_extracted" in message:
            offset = instant(message["time_extracted"]).utcoffset()
            assert offset is not None
            assert not offset, message["time_extracted"]


def _sent(tap: TapRuns) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return (stream, row of the source, record sent) for every row of the streams that are known."""
    pairs = []
    for name, facts in tap.source.known_streams.items():
        sent = {key_of(record, facts): record for record in records(tap.full, name)}
        for row in tap.source.rows(name):
            assert key_of(row, facts) in sent, f"row {key_of(row, facts)} of {name} was not sent"
            pairs.append((name, row, sent[key_of(row, facts)]))
    return pairs
