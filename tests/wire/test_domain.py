"""What a target says that it can hold, judged by both paths in one way."""

from __future__ import annotations

import dataclasses
import logging
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from msgspec import Raw

from singerkit_wire.blocks import BlockDecoder, Judgement
from singerkit_wire.checks import LONGEST_NUMBER, Refused, checks_of
from singerkit_wire.domain import Domain, Numbers
from singerkit_wire.kinds import Kind
from singerkit_wire.messages import Run
from singerkit_wire.stream import Stream, stream_of
from singerkit_wire.unstorable import Policy

NUMBER = {"type": ["number", "null"]}
DECIMAL_TEXT = {"type": ["string", "null"], "x-singer.decimal": True}
MONEY = Numbers.fixed(5, 2)


def stream(prop: Any, **narrower: Any) -> Stream:
    found = stream_of("s", {"properties": {"n": {"type": "integer"}, "v": prop}}, ())
    n, v = found.columns
    return dataclasses.replace(found, columns=(n, dataclasses.replace(v, **narrower)))


def decoded(
    to: Stream, *wire: str, domain: Domain, exact: bool, policy: Policy = Policy.QUARANTINE
) -> tuple[list[Any], list[tuple[int, str]], Stream]:
    """(values, (line, reason) of rejects, the stream as it was at the end)."""
    decoder = BlockDecoder(
        to,
        Judgement(unstorable=policy, domain=domain),
        lambda stream: stream,
        logging.getLogger("domain"),
        always_exact=exact,
    )
    lines = [
        f'{{"type":"RECORD","stream":"s","record":{{"n":{n},"v":{value}}}}}\n' for n, value in enumerate(wire)
    ]
    batches, rejects = decoder.decode(Run("s", "".join(lines).encode(), len(lines), 1))
    values = [None if row[1] == Raw(b"null") else row[1] for batch in batches for row in batch.wire_rows]
    return values, [(reject.line, reject.reason) for reject in rejects], decoder.stream


both_paths = pytest.mark.parametrize("exact", [False, True], ids=["block", "exact"])

FITS = ["0", "-0.00", "999.99", "-999.99", "1.50", "1.5000000", "0.10e1", "1e2", "0e-99", "null"]
TOO_MUCH = ["1000", "-1000", "0.001", "1.005", "99999.9e-1", "1e3", "1e-3", "123456789012"]


@both_paths
@pytest.mark.parametrize("prop", [NUMBER, DECIMAL_TEXT], ids=["number", "in text"])
def test_a_number_that_its_column_would_round_is_set_aside_with_the_reason(prop: Any, exact: bool) -> None:
    def wire(text: str) -> str:
        return f'"{text}"' if prop is DECIMAL_TEXT and text != "null" else text

    narrow = stream(prop, numbers=MONEY)
    for text in FITS:
        values, rejects, _ = decoded(narrow, wire(text), domain=Domain(), exact=exact)
        assert (len(values), rejects) == (1, []), text
    for text in TOO_MUCH:
        values, rejects, _ = decoded(narrow, wire(text), wire("1"), domain=Domain(), exact=exact)
        is_long = abs(Decimal(text)) < 1000
        excess = "one with more than 2 digits after the point" if is_long else "one out of range"
        assert rejects[0] == (1, f"Expected a number that decimal(5,2) can hold, got {excess}"), text
        nulled, rejects, _ = decoded(narrow, wire(text), domain=Domain(), exact=exact, policy=Policy.NULL)
        assert (nulled, rejects) == ([None], []), text


@both_paths
def test_the_numbers_of_a_whole_store_are_judged_likewise(exact: bool) -> None:
    small = Domain(numbers=Numbers(3, 2, "a small store"))
    _, rejects, _ = decoded(stream(NUMBER), "1.00", "1.000", domain=small, exact=exact)
    excess = "one with more than 2 digits after the point"
    assert rejects == [(2, f"Expected a number that a small store can hold, got {excess}")]


@both_paths
def test_doubles_are_held_and_what_a_double_would_round_is_told_of(exact: bool) -> None:
    doubles = Numbers(308, 323, "a double", counts_zeros=False, as_double=True)
    fits = ["0.1", "1e-20", "1e+300", "5e-324", "-0.0", "1.7976931348623157e308", "0.30000000000000004"]
    fits += ["9007199254740992", "1152921504606846976", "1.0E5", "null", "100000000000000000000"]
    rounded = ["9007199254740993", "0.1000000000000000000001", "1e-400", "1152921504606846977"]
    for text in (*fits, *rounded, "1e400"):
        values, rejects, _ = decoded(stream(NUMBER, numbers=doubles), text, "1", domain=Domain(), exact=exact)
        if text in fits:
            assert (len(values), rejects) == (2, []), text
        else:
            excess = "one that a double rounds" if text in rounded else "one out of range"
            assert rejects == [(1, f"Expected a number that a double can hold, got {excess}")], text


@both_paths
def test_floats_of_32_bits_hold_what_they_are_or_are_written_as(exact: bool) -> None:
    singles = Numbers(38, 45, "a float", counts_zeros=False, as_single=True)
    fits = [
        "0.1",
        "1e-20",
        "3.4028235e38",
        "1e-45",
        "-0.0",
        "16777216",
        "0.000001",
        "0.33333334",
        "1e5",
        "null",
    ]
    fits += ["0.100000001490116119384765625", "16777218.0", "-999999"]
    rounded = ["16777217", "0.1234567890", "0.10000000149", "1e-46", "33554431.0", "0.333333343"]
    for text in (*fits, *rounded, "1e39"):
        values, rejects, _ = decoded(stream(NUMBER, numbers=singles), text, "1", domain=Domain(), exact=exact)
        if text in fits:
            assert (len(values), rejects) == (2, []), text
        else:
            excess = "one that 32 bits round" if text in rounded else "one out of range"
            assert rejects == [(1, f"Expected a number that a float can hold, got {excess}")], text


NO_MOMENTS = [
    ("date-time", "2026-13-01T00:00:00Z", "Expected a date-time of a day that the calendar has"),
    ("date-time", "2026-02-30T00:00:00Z", "Expected a date-time of a day that the calendar has"),
    ("date-time", "2026-02-28T00:00:00+25:00", "Expected a date-time with an offset below 24 hours"),
    ("date-time", "2026-02-28T24:01:00Z", "Expected a date-time with a time from 00:00:00 to 24:00:00"),
    ("date-time", "0000-12-31T00:00:00Z", "Expected a date-time between the years 1 and 9999"),
    ("date-time", "9999-12-31T24:00:00Z", "Expected a date-time between the years 1 and 9999"),
    ("date-time", "tomorrow", "Expected a date-time (RFC 3339)"),
    ("date", "tomorrow", "Expected a date (RFC 3339)"),
    ("date", "2026-02-30", "Expected a date of a day that the calendar has"),
    ("time", "25:00", "Expected a time (RFC 3339)"),
]


@both_paths
def test_of_a_moment_that_is_none_the_part_that_is_wrong_is_told(exact: bool) -> None:
    for format_, text, words in NO_MOMENTS:
        to = stream({"type": ["string", "null"], "format": format_})
        _, [(_, reason)], _ = decoded(to, f'"{text}"', domain=Domain(), exact=exact)
        assert reason.startswith(words), (text, reason)


@both_paths
def test_integers_that_were_widened_are_limited_too(exact: bool) -> None:
    wide = stream({"type": "integer"}, kind=Kind.BIG_INTEGER, numbers=Numbers.fixed(20, 0))
    values, rejects, _ = decoded(wide, "9" * 20, "-" + "9" * 20, "1" + "0" * 20, domain=Domain(), exact=exact)
    assert (len(values), [line for line, _ in rejects]) == (2, [3])


@both_paths
def test_a_store_may_have_no_wider_integers(exact: bool) -> None:
    values, rejects, to = decoded(
        stream({"type": "integer"}), "1", str(2**63), domain=Domain(wide_integers=None), exact=exact
    )
    assert values == [1]
    assert rejects == [(2, "Expected an integer of at most 64 bits, got one out of range")]
    assert to.columns[1].kind is Kind.INTEGER
    values, rejects, to = decoded(stream({"type": "integer"}), "1", str(2**63), domain=Domain(), exact=exact)
    assert (len(values), rejects, to.columns[1].kind) == (2, [], Kind.BIG_INTEGER)


@both_paths
def test_offsets_that_the_store_does_not_read_become_utc(exact: bool) -> None:
    moment, zone = '"2026-01-01T12:00:00+20:00"', timezone(timedelta(hours=20))
    at = stream({"type": "string", "format": "date-time"})
    (kept,), _, _ = decoded(at, moment, domain=Domain(), exact=exact)
    assert (kept, kept.tzinfo) == (datetime(2026, 1, 1, 12, tzinfo=zone), zone)
    (moved,), _, _ = decoded(at, moment, domain=Domain(widest_offset=timedelta(hours=15)), exact=exact)
    assert (moved, moved.tzinfo) == (kept, UTC)


MOMENT, DAY = ({"type": ["string", "null"], "format": name} for name in ("date-time", "date"))


@both_paths
def test_dates_outside_the_years_of_the_store_are_set_aside(exact: bool) -> None:
    years = Domain(years=(1900, 2299))
    for prop, fits, too_much in (
        (DAY, ["1900-01-01", "2299-12-31"], ["1899-12-31", "2300-01-01"]),
        (
            MOMENT,
            [
                "1900-01-01T00:00:00Z",
                "1899-12-31T22:00:00-05:00",
                "2299-12-31T23:59:59",
                "2300-01-01T00:00:00+01:00",
            ],
            ["1900-01-01T00:00:00+01:00", "2299-12-31T23:59:59-01:00", "1800-06-01T00:00:00Z"],
        ),
    ):
        texts = [f'"{text}"' for text in (*fits, *too_much)]
        values, rejects, _ = decoded(stream(prop), *texts, "null", domain=years, exact=exact)
        assert (len(values), [line for line, _ in rejects]) == (
            len(fits) + 1,
            [len(fits) + n + 1 for n in range(len(too_much))],
        )
        assert rejects[0][1].startswith("Expected a date between the years 1900 and 2299, got ")
        for text in texts:  # each alone, so that no other one sends it to the exact path
            _, alone, _ = decoded(stream(prop), text, domain=years, exact=exact)
            assert bool(alone) == (text.strip('"') in too_much), text
    edges = ['"0001-01-01T00:00:00+10:00"', '"9999-12-31T23:59:59-10:00"']
    assert len(decoded(stream(MOMENT), *edges, domain=Domain(), exact=exact)[0]) == 2
    assert len(decoded(stream(MOMENT), *edges, domain=Domain(years=(1, 9999)), exact=exact)[1]) == 2


@both_paths
def test_documents_may_have_too_many_levels_for_the_store(exact: bool) -> None:
    fits = ["[]", '{"a":[1]}', "[[],{},[],{}]", r'["[[[{{{\"[[["]', "1", "null"]
    too_deep = ["[[[]]]", r'{"\"":[{"a":1}]}', '[[], {"a": {}}]']
    for wire in fits:
        assert decoded(stream({}), wire, domain=Domain(nesting=2), exact=exact)[1] == [], wire
    for wire in too_deep:
        reasons = decoded(stream({}), wire, domain=Domain(nesting=2), exact=exact)[1]
        assert reasons == [(1, "Expected a document of at most 2 levels, got one of more")], wire
        assert decoded(stream({}), wire, domain=Domain(nesting=3), exact=exact)[1] == []
        nulled, _, _ = decoded(stream({}), wire, domain=Domain(nesting=2), exact=exact, policy=Policy.NULL)
        assert nulled == [None]


@both_paths
def test_a_record_that_is_stored_whole_may_have_too_many_levels(exact: bool) -> None:
    judgement = Judgement(unstorable=Policy.QUARANTINE, domain=Domain(nesting=2))
    decoder = BlockDecoder(
        stream_of("s", {}, ()),
        judgement,
        lambda stream: stream,
        logging.getLogger("domain"),
        always_exact=exact,
    )
    lines = [b'{"type":"RECORD","stream":"s","record":{"a":%b}}\n' % value for value in (b"[1]", b"[[1]]")]
    batches, rejects = decoder.decode(Run("s", b"".join(lines), 2, 1))
    assert [batch.rows() for batch in batches] == [[('{"a":[1]}',)]]
    assert [(reject.line, reject.path) for reject in rejects] == [(2, "$")]


@both_paths
def test_a_store_may_hold_nul(exact: bool) -> None:
    text = stream({"type": "string"})
    (value,), rejects, _ = decoded(text, r'"a\u0000b"', domain=Domain(holds_nul=True), exact=exact)
    assert (value, rejects) == ("a\0b", [])
    values, rejects, _ = decoded(text, r'"a\u0000b"', domain=Domain(), exact=exact)
    assert (values, len(rejects)) == ([], 1)
    _, rejects, _ = decoded(text, r'"a\ud800b"', domain=Domain(holds_nul=True), exact=exact)
    assert len(rejects) == 1


def test_zeros_behind_the_last_digit_count_where_the_store_keeps_them() -> None:
    keeping = dataclasses.replace(MONEY, counts_zeros=True)
    assert [numbers.hold(Decimal("1.500")) for numbers in (MONEY, keeping)] == [True, False]
    assert [numbers.hold(Decimal("0.0000")) for numbers in (MONEY, keeping)] == [True, False]
    assert Numbers.fixed(38, 9).hold(Decimal("9" * 29 + "." + "9" * 9))


@pytest.mark.parametrize("before", [0, 1, 700, 5_000], ids=lambda count: f"behind {count}")
@pytest.mark.parametrize("after", [0, 1, 5_000], ids=lambda count: f"before {count}")
def test_among_many_numbers_one_that_is_too_long_for_the_block_is_found(before: int, after: int) -> None:
    (check,) = checks_of(stream(NUMBER).columns[1], True, Domain())

    def column(digits: int) -> list[Any]:
        short = [Raw(b"12.50"), Raw(b"null"), Raw(b"0")]
        return [*(short * before)[:before], Raw(b"9" * digits), *(short * after)[:after]]

    assert check(column(LONGEST_NUMBER)) is None
    with pytest.raises(Refused):
        check(column(LONGEST_NUMBER + 1))
