"""Each check finds the stream that breaks it, names the line and no value, and is silent on good streams."""

from __future__ import annotations

import pytest
from tools.check.streams import BROKEN, GOOD, MARKED, RECORD, SCHEMA, STATE, check, entry, text

from singerkit_check.rules import CHECKS, NOT_IN_A_STREAM, RULES, Severity


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("piece", [1 << 16, 7])
def test_a_good_stream_is_silent(name: str, piece: int) -> None:
    assert check(text(GOOD[name]), piece=piece) == []


@pytest.mark.parametrize("name", CHECKS)
def test_a_broken_stream_is_found(name: str) -> None:
    messages, line = BROKEN[name]
    found = check(text(messages), max_line_bytes=4000 if name == "length" else 250_000)
    assert [finding.check for finding in found] == [name], [finding.sentence for finding in found]
    assert found[0].line == line
    assert found[0].severity is CHECKS[name].severity
    assert "xpected" in found[0].sentence or "refers to" in found[0].sentence


def test_every_rule_has_a_check_or_a_reason() -> None:
    excused: set[str] = set()
    for names in NOT_IN_A_STREAM:
        for name in names.split(", "):
            first, _, last = name.partition("-")
            excused |= {rule for rule in RULES if _between(rule, first, last or first)}
    checked = {check.rule for check in CHECKS.values()}
    assert checked | excused == set(RULES)
    assert checked & excused == set()


def _between(rule: str, first: str, last: str) -> bool:
    letters = rule.rstrip("0123456789")
    return letters == first.rstrip("0123456789") and first <= rule <= last


def test_a_required_rule_gives_errors_and_a_recommended_one_does_not() -> None:
    recommended = {"R03", "R07", "R08", "ST05", "ST06", "ST09", "ST13", "ST14", "O09"}
    for name, one in CHECKS.items():
        if one.rule in recommended:
            assert one.severity is not Severity.ERROR, name


@pytest.mark.parametrize("name", ["invalid", "required", "key-value", "nan", "utf8", "date-time", "row-late"])
def test_no_row_content_is_told(name: str) -> None:
    canary = "canary-4711"
    messages = [
        RECORD(n, code=canary, at=f"{canary}-{n}")
        if isinstance(one, dict) and one["type"] == "RECORD"
        else one
        for n, one in enumerate(BROKEN[name][0], 1)
    ]
    found = check(text(messages))
    assert found
    assert not any(canary in finding.sentence for finding in found)


def test_a_finding_names_the_place() -> None:
    (finding,) = check(text(BROKEN["invalid"][0]))
    assert finding.rule == "G05"
    assert finding.sentence == "Expected `string`, got an integer at `orders`.home.city"


def test_keys_that_only_the_row_has_are_not_told() -> None:
    by_name = {
        "type": "object",
        "additionalProperties": {"type": "object", "properties": {"n": {"type": "integer"}}},
    }
    schema = SCHEMA(schema={"properties": {"id": {}, "by_name": by_name}}, bookmark_properties=...)
    row = {"type": "RECORD", "stream": "orders", "record": {"id": 1, "by_name": {"canary": {"n": "x"}}}}
    (finding,) = check(text([schema, row]))
    assert finding.sentence == "Expected `integer`, got a text at `orders`.by_name.*.n"
    twice = b'{"type":"RECORD","stream":"orders","record":{"id":1,"by_name":{"canary":{},"canary":{}}}}'
    assert [one.sentence for one in check(text([schema, twice]))] == ["Expected each key once, got one twice"]


def test_findings_go_on_after_a_broken_line() -> None:
    found = check(text([b"{", SCHEMA(), b"[]", RECORD(1), b"\xff", RECORD(2, id=None), STATE(2)]))
    assert [(finding.line, finding.check) for finding in found] == [
        (1, "json"),
        (3, "object"),
        (5, "utf8"),
        (6, "key-value"),
    ]


# Where a run began


def test_the_state_a_run_began_with_makes_st07_exact() -> None:
    stream = text([SCHEMA(), RECORD(2), STATE(3)])
    assert [one.check for one in check(stream)] == ["state-beyond"]
    assert check(stream, start=STATE(3)["value"]) == []
    assert [one.check for one in check(stream, start=STATE(1)["value"])] == ["state-ahead"]
    assert [one.check for one in check(stream, start={})] == ["state-ahead"]


def test_a_bookmark_without_any_row_is_ahead() -> None:
    assert check(text([STATE(1), SCHEMA(), STATE(1)])) == []
    assert [one.check for one in check(text([STATE(1), SCHEMA(), STATE(2)]))] == ["state-ahead"]


def test_the_replication_key_may_be_named_by_the_state_only() -> None:
    schema = SCHEMA(bookmark_properties=...)
    found = check(text([STATE(1), schema, RECORD(2), STATE(3), RECORD(3), STATE(3)]))
    assert [one.check for one in found] == ["state-ahead"]


@pytest.mark.parametrize(
    ("schema", "values", "is_late"),
    [
        ({"type": "integer"}, [9, 10, 11, 10], True),
        ({"type": "integer"}, [9, 10, 10, 12], False),
        ({"type": "number"}, [0.5, 1, 1.25, 0.75], True),
        ({"type": "string"}, ["a", "b", "ba", "az"], True),
        (
            {"type": "string", "format": "date"},
            ["2024-01-09", "2024-01-10", "2024-01-11", "2024-01-09"],
            True,
        ),
        # the same instant in other zones, and then one that its text puts behind
        (
            {"type": "string", "format": "date-time"},
            [
                "2024-01-01T00:00:00Z",
                "2024-01-01T02:00:00+02:00",
                "2023-12-31T23:00:00-02:00",
                "2024-01-01T01:00:00Z",
            ],
            False,
        ),
        # an earlier instant whose text is behind
        (
            {"type": "string", "format": "date-time"},
            [
                "2024-01-01T00:00:00+00:00",
                "2024-01-01T00:30:00+00:00",
                "2024-01-01T01:00:00+00:00",
                "2024-01-01T02:00:00+02:00",
            ],
            True,
        ),
    ],
)
def test_order_is_that_of_the_replication_key(
    schema: dict[str, str], values: list[object], is_late: bool
) -> None:
    """The state is at the third value, and a fourth row follows."""
    whole = {"properties": {"id": {"type": "integer"}, "at": schema}}
    rows = [RECORD(n, at=value) for n, value in enumerate(values, 1)]
    messages = [
        STATE(),
        SCHEMA(schema=whole),
        *rows[:3],
        STATE(orders={"at": values[2]}),
        rows[3],
        STATE(orders={"at": values[2]}),
    ]
    for one in rows:
        one["record"] = {"id": one["record"]["id"], "at": one["record"]["at"]}
    found = [one.check for one in check(text(messages)) if one.check != "unsorted"]
    assert found == (["row-late"] if is_late else [])


def test_rows_in_batches_are_not_seen_and_not_judged() -> None:
    batch = {"type": "BATCH", "stream": "orders", "encoding": {"format": "jsonl"}, "manifest": []}
    assert check(text([STATE(1), SCHEMA(), batch, STATE(9), RECORD(2), STATE(12)])) == []


def test_rows_after_the_mark_of_the_end_are_found_on_the_fast_way_too() -> None:
    messages = [MARKED(complete=False), SCHEMA(), RECORD(1), MARKED(complete=True), RECORD(2)]
    assert "end-passed" in [one.check for one in check(text(messages))]


def test_a_bookmark_may_follow_rows_that_an_earlier_run_had_sent() -> None:
    known = {"at": entry(1)["replication_key_value"], "top": entry(2)["replication_key_value"]}
    start = STATE(orders={**entry(1), "_singerkit_seen": known})
    assert check(text([start, SCHEMA(), STATE(2)])) == []
    assert [one.check for one in check(text([start, SCHEMA(), STATE(3)]))] == ["state-ahead"]


def test_a_row_that_ascends_below_a_bookmark_ahead_is_found() -> None:
    found = check(text([STATE(1), SCHEMA(), RECORD(2), STATE(9), RECORD(3), RECORD(4), STATE(9)]))
    assert [(one.check, one.line) for one in found] == [("state-ahead", 4), ("row-late", 5), ("row-late", 6)]


@pytest.mark.parametrize("required", [["t"], ["t", "x"]], ids=["fast", "closer look"])
def test_a_pattern_that_backtracks_has_a_time_bound(
    monkeypatch: pytest.MonkeyPatch, required: list[str]
) -> None:
    for module in ("decode", "records"):
        monkeypatch.setattr(f"singerkit_check.{module}.JUDGE_SECONDS", 0.2)
    schema = {
        "type": "object",
        "properties": {"t": {"type": "string", "pattern": "^(a+)+$"}},
        "required": required,
    }
    messages = [{"type": "SCHEMA", "stream": "s", "schema": schema, "key_properties": []}]
    messages += [
        {"type": "RECORD", "stream": "s", "record": {"t": value, "x": 1}} for value in ("aaa", "a" * 60 + "!")
    ]
    found = check(text([*messages, STATE()]))
    assert [one.line for one in found if one.check == "invalid"] == [3]
    assert any("judge within 0.2 seconds" in one.sentence for one in found)
