"""Order of replication key values: kinds, instants, numbers, and looking back."""

from __future__ import annotations

import email.utils
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import tries

from singerkit_catalog.inference import SchemaInference
from singerkit_state.instants import NoInstantError, check_calendar, pattern_less, pattern_of
from singerkit_state.order import (
    UnknownOrderError,
    UnorderableError,
    ValueKind,
    comparable_keys,
    exact_keys,
    extremes,
    formats_of,
    instant_of,
    less_lookback,
    order_key,
    starting_value,
)

INSTANT, NUMBER, TEXT = ValueKind.INSTANT, ValueKind.NUMBER, ValueKind.TEXT
DATE, ANY = ValueKind("DATE"), ValueKind("ANY", is_guessed=True)
GUESSED = ValueKind("INSTANT", is_guessed=True)
T1 = "2024-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string", "format": "date-time"}, INSTANT),
        ({"type": ["null", "string"], "format": "date"}, DATE),
        ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}, INSTANT),
        ({"type": ["null", "integer"]}, NUMBER),
        ({"type": "number"}, NUMBER),
        ({"type": "string"}, GUESSED),
        ({}, ANY),
        ({"type": ["string", "integer"]}, ANY),
    ],
)
def test_the_kind_comes_from_the_schema(schema, kind):
    assert ValueKind.of_schema(schema) == kind


@given(st.datetimes(min_value=datetime(1600, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_instants_agree_with_datetime(naive, minutes):
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    seconds, fraction = order_key(moment.isoformat(), INSTANT)
    exact = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert seconds * 1_000_000 + int(fraction.ljust(6, "0")) == exact


@pytest.mark.parametrize("value", ["soon", "2024-01", 5, "2024-01-01T00:00:00Zulu", True])
def test_what_is_no_instant(value):
    with pytest.raises(UnorderableError):
        order_key(value, INSTANT)


@pytest.mark.parametrize("value", ["x", True, "NaN", "Infinity"])
def test_what_is_no_number(value):
    with pytest.raises(UnorderableError):
        order_key(value, NUMBER)


@pytest.mark.parametrize(
    ("kind", "value", "lookback", "earlier"),
    [
        (INSTANT, "2024-03-01T00:00:10Z", 20, "2024-02-29T23:59:50Z"),
        (INSTANT, "2024-03-01T00:00:10.250+02:00", 10, "2024-03-01T00:00:00.250+02:00"),
        (INSTANT, "2024-03-01T00:00:10", 10, "2024-03-01T00:00:00"),
        (INSTANT, "2024-03-01", 2, "2024-02-28"),
        (INSTANT, "0001-01-01T00:00:00Z", 86400, "0001-01-01T00:00:00Z"),
        (NUMBER, 10, 3, 7),
        (NUMBER, Decimal("1.5"), 1, Decimal("0.5")),
        (TEXT, "b", 0, "b"),
        (INSTANT, "2024-03-01 00:00:10,250 +0200", 20, "2024-02-29 23:59:50,250 +0200"),
        (INSTANT, "2024-03-01t00:01z", 10, "2024-03-01t00:00z"),
        (ValueKind.named("epoch"), 100, Decimal("1.5"), 98),
        (ValueKind.named("epoch_ms"), 1_700_000_000_000, 600, 1_699_999_400_000),
        (ValueKind.named("epoch_ms"), "1700000000000", Decimal("0.5"), "1699999999500"),
        (ValueKind.named("number"), "00010", 3, "00007"),
        (ValueKind.named("number"), "10.5", 3, "7.5"),
        (
            ValueKind.named("rfc2822"),
            "Wed, 21 Oct 2026 00:00:05 +0200",
            10,
            "Tue, 20 Oct 2026 23:59:55 +0200",
        ),
        (ValueKind.named("json_date"), "/Date(1767225603750+0100)/", 4, "/Date(1767225599750+0100)/"),
        (ValueKind.named("json_date"), "/Date(500)/", 1, "/Date(-500)/"),
        (ValueKind.named("rfc2822"), "1 Jan 2026 00:00:05 GMT", 10, "31 Dec 2025 23:59:55 GMT"),
        (ValueKind.named("%m/%d/%Y"), "03/01/2024", 1, "02/29/2024"),
        (ValueKind.named("%d.%m.%Y %H:%M"), "01.03.2024 00:05", 60, "01.03.2024 00:04"),
        (ValueKind.named("%Y-%m-%dT%H:%M:%S%z"), "2024-03-01T00:00:05+0200", 10, "2024-02-29T23:59:55+0200"),
        (ANY, 10, 3, 7),
        (ANY, "2024-03-01T00:00:10Z", 10, "2024-03-01T00:00:00Z"),
        (INSTANT, "2024-03-01T00:00:10+02:00", 0, "2024-03-01T00:00:10+02:00"),
    ],
)
def test_lookback(kind, value, lookback, earlier):
    assert less_lookback(value, kind, lookback) == earlier


@pytest.mark.parametrize(
    "text", ["2042-31-12", "2024-13-45T25:61:61Z", "2024-00-01", "2024-01-32", "2024-01-01T00:60:00Z"]
)
def test_a_date_that_no_calendar_has_is_no_bookmark(text: str) -> None:
    with pytest.raises(UnorderableError, match="no calendar"):
        order_key(text, ValueKind.INSTANT)


@pytest.mark.parametrize(
    ("value", "lookback", "start"),
    [
        ("2024-01-02T00:00:00Z", "0.5", "2024-01-01T23:59:59Z"),
        ("2024-01-10", "1.1", "2024-01-08"),
        ("2024-01-10", "2", "2024-01-08"),
    ],
)
def test_a_part_of_a_second_or_day_is_looked_back_over_as_a_whole(
    value: str, lookback: str, start: str
) -> None:
    assert less_lookback(value, ValueKind.INSTANT, Decimal(lookback)) == start


@pytest.mark.parametrize("key", ["anyOf", "oneOf"])
def test_the_kind_is_found_in_branches(key: str) -> None:
    assert ValueKind.of_schema({key: [{"type": "null"}, {"type": "string", "format": "date"}]}) == DATE
    assert ValueKind.of_schema({key: [{"type": ["null", "integer"]}]}) == NUMBER
    assert ValueKind.of_schema({key: [{"enum": ["a"]}], "type": ("string", "null")}) == GUESSED


def test_text_is_text_and_a_number_in_its_place_is_none() -> None:
    assert order_key("b", TEXT) == "b"
    with pytest.raises(UnorderableError, match="Expected text"):
        order_key(5, TEXT)


def test_numbers_in_any_form_are_exact() -> None:
    assert [order_key(value, NUMBER) for value in (5, "1.50", Decimal("2.5"))] == [
        5,
        Decimal("1.5"),
        Decimal("2.5"),
    ]
    assert order_key(0.1, NUMBER) == Decimal("0.1")  # type: ignore[arg-type]  a state of another tap


@pytest.mark.parametrize(
    ("value", "same"),
    [
        ("2024-01-01T02:00:00+02", T1),
        ("2024-01-01T02:30:00+02:30", T1),
        ("2023-12-31T21:30:00-0230", T1),
        ("2024-01-01T00:00", T1),
        ("2024-01-01T00:00:00.000Z", T1),
        ("2024-01-01 00:00:00 Z", T1),
        ("2024-01-01t00:00:00z", T1),
        ("2024-01-01T00:00:00,5Z", "2024-01-01T00:00:00.5Z"),
    ],
)
def test_instants_in_other_words(value: str, same: str) -> None:
    assert order_key(value, INSTANT) == order_key(same, INSTANT)


@pytest.mark.parametrize("year", [1600, 1700, 1800, 1900, 1999, 2000, 2001, 2100])
@pytest.mark.parametrize("day", ["01-01", "02-28", "03-01", "12-31"])
def test_days_are_those_of_the_calendar(year: int, day: str) -> None:
    text = f"{year}-{day}T00:00:00+00:00"
    exact = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    assert order_key(text, INSTANT) == (exact.days * 86400, "")


@pytest.mark.parametrize(
    ("value", "lookback", "earlier"),
    [
        ("2024-03-01 Z", 1, "2024-02-29 Z"),
        ("2024-03-01T02:00:10+02", 10, "2024-03-01T02:00:00+02"),
        ("2024-03-01T01:02:03Z", 1, "2024-03-01T01:02:02Z"),
        ("9999-12-31", -5, "9999-12-31"),
        ("0001-01-05", 4, "0001-01-01"),
        ("0001-01-05", 5, "0001-01-01"),
        ("9999-12-30", -1, "9999-12-31"),
    ],
)
def test_lookback_stays_inside_the_calendar(value: str, lookback: int, earlier: str) -> None:
    assert less_lookback(value, INSTANT, lookback) == earlier


# Points in time in every look


def in_look(moment: datetime, look: str, digits: int) -> str:
    """Write a moment of whole seconds in one of the looks that are known without a word of the user."""
    fraction = "" if digits == 0 else f"{moment.microsecond:06}"[:digits]
    offset = moment.strftime("%z")
    clock = f"{moment:%H:%M:%S}" + (("," if "comma" in look else ".") + fraction if fraction else "")
    t = " " if "blank" in look else "t" if "small" in look else "T"
    zone = {"colon": f"{offset[:3]}:{offset[3:]}", "bare": offset, "apart": f" {offset[:3]}:{offset[3:]}"}
    return f"{moment.year:04}-{moment:%m-%d}{t}{clock}{zone[look.split('-')[0]]}"


LOOKS = ["colon", "bare", "apart", "colon-blank", "bare-blank", "bare-comma", "colon-small"]
MOMENTS = st.builds(
    lambda naive, minutes: naive.replace(tzinfo=timezone(timedelta(minutes=minutes))),
    st.datetimes(min_value=datetime(1600, 1, 1), max_value=datetime(2400, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
)
NEAR = st.builds(
    lambda seconds, micro, minutes: datetime.fromtimestamp(
        1_790_000_000 + seconds, timezone(timedelta(minutes=minutes))
    ).replace(microsecond=micro),
    st.integers(-2, 2),
    st.sampled_from([0, 1, 500_000, 999_999]),
    st.sampled_from([0, 60, 120, -330]),
)


@settings(max_examples=tries(100), deadline=None)
@given(st.lists(st.tuples(MOMENTS | NEAR, st.sampled_from(LOOKS)), min_size=2, max_size=6))
def test_the_order_of_any_looks_is_that_of_the_moments(written: list[tuple[datetime, str]]) -> None:
    texts = [in_look(moment, look, 6) for moment, look in written]
    keys = [order_key(text, GUESSED) for text in texts]
    for (one, _), key in zip(written, keys, strict=True):
        for (other, _), other_key in zip(written, keys, strict=True):
            assert (one < other) == (key < other_key)
            assert (one == other) == (key == other_key)
    ends = extremes([msgspec.Raw(json.dumps(text).encode()) for text in texts], GUESSED)
    assert ends is not None
    assert (ends.low, ends.high) == (min(keys), max(keys))
    assert ends.at_high == [index for index, key in enumerate(keys) if key == max(keys)]


@given(MOMENTS)
def test_short_looks_are_read(moment: datetime) -> None:
    moment = moment.replace(second=0, microsecond=0).astimezone(UTC)
    key = order_key(moment.isoformat(), GUESSED)
    naive = f"{moment:%m-%dT%H:%M}"
    year = f"{moment.year:04}"
    assert order_key(f"{year}-{naive}", GUESSED) == key
    assert order_key(f"{year}-{naive}Z", GUESSED) == key
    assert order_key(f"{year}-{naive}:00+00", GUESSED) == key
    assert order_key(f"{year}-{moment:%m-%d}", GUESSED) == order_key(f"{year}-{moment:%m-%d} 00:00Z", DATE)


@settings(max_examples=tries(80), deadline=None)
@given(MOMENTS, MOMENTS, st.sampled_from(["rfc2822", "%d/%m/%Y %H:%M:%S %z", "%Y%m%d%H%M%S%z"]))
def test_named_looks_are_in_the_order_of_the_moments(one: datetime, other: datetime, name: str) -> None:
    kind = ValueKind.named(name)
    one, other = one.replace(microsecond=0), other.replace(microsecond=0)
    texts = [
        email.utils.format_datetime(moment) if name == "rfc2822" else moment.strftime(name)
        for moment in (one, other)
    ]
    keys = [order_key(text, kind) for text in texts]
    assert (one < other, one == other) == (keys[0] < keys[1], keys[0] == keys[1])
    assert keys[0] == order_key(one.isoformat(), INSTANT)


NUMBERS = st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=6)


@settings(max_examples=tries(80), deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=8), st.booleans())
def test_numbers_are_in_the_order_of_numbers_as_text_too(numbers: list[Any], as_text: bool) -> None:
    kind = ValueKind.named("number")
    column = [msgspec.Raw((f'"{number}"' if as_text else str(number)).encode()) for number in numbers]
    ends = extremes(column, kind)
    assert ends is not None
    assert (ends.low, ends.high) == (min(numbers), max(numbers))
    assert ends.at_high == [index for index, number in enumerate(numbers) if number == max(numbers)]
    assert exact_keys(column, kind) == numbers


COLUMNS = {
    "date-time": [
        "2026-01-01T00:00:00Z",
        "2026-01-01T02:00:00+0200",
        "2026-01-01",
        "2026-01-01T00:00:00.0000001Z",
        "2026-10-25T02:50:00",
        "2026-10-25T02:10:00",
        "2026-10-25T01:59:59",
    ],
    "date": ["2026-01-01", "2026-01-02"],
    "epoch": [0, 1, "7", 1_700_000_000, -5],
    "epoch_ms": [0, 1_700_000_000_000, "1700000000001"],
    "number": [1, "10", 9, "9.5", 1e3],
    "rfc2822": ["Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 +0100"],
    "json_date": [
        "/Date(1767225603750+0100)/",
        "/Date(1767225603751)/",
        "/Date(-500)/",
        "/Date(0)/",
        "/Date(-1500)/",
    ],
    "version": ["1.10", "1.9", "v2", "1.10.0"],
    "text": ["10", "9", "2026-W02"],
    "%m/%d/%Y": ["12/31/2025", "01/01/2026"],
}


@settings(max_examples=tries(100), deadline=None)
@given(st.sampled_from(sorted(COLUMNS)), st.booleans(), st.data())
def test_the_fast_way_is_the_exact_way_for_every_kind(name: str, in_zone: bool, data: Any) -> None:
    kind = ValueKind.named(name, ZoneInfo("Europe/Berlin") if in_zone else None)
    values = data.draw(st.lists(st.sampled_from([None, *COLUMNS[name]]), min_size=1, max_size=6))
    column = [msgspec.Raw(json.dumps(value).encode()) for value in values]
    keys = exact_keys(column, kind)
    present = [key for key in keys if key is not None]
    ends = extremes(column, kind)
    if not present:
        assert ends is None
        return
    assert ends is not None
    assert (ends.low, ends.high, ends.nulls) == (min(present), max(present), len(keys) - len(present))
    assert ends.at_high == [index for index, key in enumerate(keys) if key == max(present)]


@settings(max_examples=tries(100), deadline=None)
@given(st.sampled_from(sorted(COLUMNS)), st.booleans(), st.data())
def test_keys_that_are_decoded_at_once_compare_as_exact_ones_do(name: str, in_zone: bool, data: Any) -> None:
    kind = ValueKind.named(name, ZoneInfo("Europe/Berlin") if in_zone else None)
    looks = st.sampled_from(COLUMNS[name])
    values, marks = data.draw(st.lists(st.none() | looks, max_size=6)), data.draw(st.lists(looks, max_size=2))
    column, beside = ([msgspec.Raw(json.dumps(value).encode()) for value in part] for part in (values, marks))
    compared = comparable_keys(column, kind, beside)
    keys, of_marks, present, *_ = compared
    exact = exact_keys([*column, *beside], kind)
    assert [key is None for key in keys] == [value is None for value in values]
    assert present == [key for key in keys if key is not None]
    assert (compared.ascends, compared.has_null) == (present == sorted(present), None in keys)
    pairs = [(one, same) for one, same in zip([*keys, *of_marks], exact, strict=True) if one is not None]
    for one, same in pairs:
        assert [(one < other, one == other) for other, _ in pairs] == [
            (same < other, same == other) for _, other in pairs
        ]


@settings(max_examples=tries(100), deadline=None)
@given(st.sampled_from(sorted(COLUMNS)), st.booleans(), st.data())
def test_the_ends_of_a_column_that_ascends_are_those_of_any(name: str, in_zone: bool, data: Any) -> None:
    kind = ValueKind.named(name, ZoneInfo("Europe/Berlin") if in_zone else None)
    drawn = data.draw(st.lists(st.sampled_from(COLUMNS[name]), min_size=1, max_size=6))
    values = sorted(drawn, key=lambda value: order_key(value, kind))
    column = [msgspec.Raw(json.dumps(value).encode()) for value in values]
    compared = comparable_keys(column, kind)
    assert compared.ascends
    if compared.is_quick:
        assert extremes(column, kind, compared.keys) == extremes(column, kind)


@pytest.mark.parametrize("look", ["2026-01-01T00:00:00.000000{}Z", "2026-01-01T00:00:00.\\u0030000000{}Z"])
def test_keys_that_differ_beyond_microseconds_are_told_apart(look: str) -> None:
    column = [msgspec.Raw(f'"{look.format(digit)}"'.encode()) for digit in (1, 2)]
    one, other = comparable_keys(column, INSTANT).keys
    assert one < other


# Local times


BERLIN = ZoneInfo("Europe/Berlin")
ZONED = ValueKind("INSTANT", zone=BERLIN)
BACK, FORTH = 1792890000, 1774746000  # 2026-10-25T01:00:00Z and 2026-03-29T01:00:00Z


def on_the_wall(seconds: int, zone: ZoneInfo = BERLIN) -> str:
    return datetime.fromtimestamp(seconds, zone).replace(tzinfo=None).isoformat()


AROUND = st.sampled_from([BACK, FORTH]).flatmap(lambda turn: st.integers(turn - 9000, turn + 9000))


@settings(max_examples=tries(120), deadline=None)
@given(AROUND, st.integers(0, 9000), st.sampled_from([0, 600, 3600, 5000]))
def test_no_row_that_a_start_covers_lies_before_it(before: int, after: int, lookback: int) -> None:
    """As the server compares, by the text, and as we do: whenever the clocks change."""
    start = less_lookback(on_the_wall(before), ZONED, lookback)
    row = on_the_wall(before - lookback + after)
    assert row >= str(start)
    assert order_key(row, ZONED) >= order_key(start, ZONED)


@settings(max_examples=tries(100), deadline=None)
@given(AROUND, AROUND)
def test_local_times_never_go_back(one: int, other: int) -> None:
    before, later = sorted((one, other))
    assert order_key(on_the_wall(before), ZONED) <= order_key(on_the_wall(later), ZONED)


def test_a_column_of_local_times_takes_the_exact_way() -> None:
    column = [msgspec.Raw(f'"2026-10-25T02:{minute}:00"'.encode()) for minute in (50, 10, 30)]
    ends = extremes(column, ZONED)
    assert ends is not None
    assert (ends.low, ends.at_high) == (ends.high, [0, 1, 2])


def test_the_hour_that_comes_twice_is_one_moment_and_the_one_left_out_is_its_end() -> None:
    early, late = order_key("2026-10-25T02:00:00", ZONED), order_key("2026-10-25T02:59:59", ZONED)
    assert early == late == (BACK - 3600, "")
    assert order_key("2026-10-25T03:00:00", ZONED) == (BACK + 3600, "")
    assert order_key("2026-03-29T02:30:00", ZONED) == order_key("2026-03-29T03:00:00", ZONED) == (FORTH, "")
    assert less_lookback("2026-10-25T02:50:00.5", ZONED, 0) == "2026-10-25T02:00:00.0"
    assert less_lookback("2026-10-25 02:50", ZONED, 0) == "2026-10-25 02:00"
    pattern = ValueKind.named("%d.%m.%Y %H:%M", BERLIN)
    assert less_lookback("25.10.2026 02:50", pattern, 0) == "25.10.2026 02:00"
    assert less_lookback("24.10.2026 02:50", pattern, 0) == "24.10.2026 02:50"
    assert order_key("2026-10-25T02:50:00+01:00", ZONED) == (BACK + 3000, ""), (
        "an offset says which of the two"
    )


def test_a_local_time_that_no_zone_can_tell_is_taken_as_it_is() -> None:
    assert order_key("10000-01-01T00:00:00", ZONED) == order_key("10000-01-01T00:00:00Z", INSTANT)
    assert order_key("-0044-03-15T00:00:00", ZONED) == order_key("-0044-03-15T00:00:00Z", INSTANT)


# A start date


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("date-time", "2026-01-01T00:00:03.75Z"),
        ("date", "2026-01-01"),
        ("epoch", 1767225603),
        ("epoch_ms", 1767225603750),
        ("epoch_us", 1767225603750000),
        ("epoch_ns", 1767225603750000000),
        ("rfc2822", "Thu, 01 Jan 2026 00:00:03 GMT"),
        ("json_date", "/Date(1767225603750)/"),
        ("%m/%d/%Y %H:%M:%S", "01/01/2026 00:00:03"),
        ("number", None),
        ("text", None),
        ("version", None),
    ],
)
def test_a_start_date_becomes_a_value_of_the_kind(name: str, value: Any) -> None:
    kind = ValueKind.named(name)
    assert starting_value("2026-01-01T00:00:03.75Z", kind) == value
    assert starting_value(None, kind) is None
    if value is not None:
        assert instant_of(value, kind) <= (1767225603, "75")


def test_a_start_date_is_written_as_the_clocks_of_the_zone_show_it() -> None:
    assert starting_value("2025-12-31T23:30:00Z", ValueKind.named("date", BERLIN)) == "2026-01-01"
    assert (
        starting_value("2026-07-01T00:00:00Z", ValueKind.named("%Y-%m-%d %H:%M", BERLIN))
        == "2026-07-01 02:00"
    )
    assert starting_value("2026-07-01T02:00:00", ValueKind.named("epoch", BERLIN)) == 1782864000 + 7200
    with pytest.raises(UnorderableError):
        starting_value("soon", INSTANT)


# What has no order


@pytest.mark.parametrize(
    ("values", "formats"),
    [
        (["9", "10"], ["number", "version"]),
        (["1700000000", "1700000001"], ["epoch", "number", "version"]),
        (["1700000000000"], ["epoch_ms", "number", "version"]),
        (["Wed, 21 Oct 2026 07:28:00 GMT", None], ["rfc2822"]),
        (["/Date(1439434356790+0000)/"], ["json_date"]),
        (["12/31/2026"], ["%m/%d/%Y"]),
        (["12/11/2026"], ["%m/%d/%Y", "%d/%m/%Y"]),
        (["31.12.2026 23:59"], ["%d.%m.%Y %H:%M"]),
        (["1.10.2", "1.9"], ["version"]),
        (["20261231T235900Z"], ["%Y%m%dT%H%M%S%z"]),
        (["2026-W02"], []),
        (["soon", "2026-01-01"], []),
        ([], []),
    ],
)
def test_text_without_an_order_is_refused_with_the_formats_that_read_it(
    values: list[Any], formats: list[str]
) -> None:
    assert formats_of(values) == formats
    if values:
        with pytest.raises(UnknownOrderError) as refused:
            extremes([msgspec.Raw(json.dumps(value).encode()) for value in values], GUESSED)
        assert list(refused.value.formats) == formats
        assert refused.value.value == values[0][:16]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epoch", 1_700_000_000_000),
        ("epoch_ms", 1_700_000_000),
        ("epoch_us", 1_700_000_000_000),
        ("epoch_us", 1_700_000_000),
        ("epoch_ns", 1_700_000_000_000_000),
        ("epoch", "soon"),
        ("epoch", True),
        ("number", "soon"),
        ("rfc2822", "Wed, 31 Feb 2026 07:28:00 GMT"),
        ("rfc2822", "2026-01-01T00:00:00Z"),
        ("json_date", "/Date(soon)/"),
        ("json_date", 1439434356790),
        ("version", "1.x"),
        ("version", 1),
        ("date", "2026-01-01T00:00:00Z"),
        ("date-time", "soon"),
        ("date-time", "2026-01-01T00:00:00+99:00"),
        ("%m/%d/%Y", "2026-01-01"),
        ("%m/%d/%Y", 5),
        ("text", 5),
    ],
)
def test_what_is_not_of_the_named_kind_is_refused(name: str, value: Any) -> None:
    kind = ValueKind.named(name)
    with pytest.raises(UnorderableError) as refused:
        order_key(value, kind)
    assert not isinstance(refused.value, UnknownOrderError)
    with pytest.raises(UnorderableError):
        extremes([msgspec.Raw(b"null"), msgspec.Raw(json.dumps(value).encode())], kind)


def test_epochs_in_the_first_days_of_1970_and_before_are_believed() -> None:
    assert order_key(0, ValueKind.named("epoch_ms")) == 0
    assert instant_of(-1, ValueKind.named("epoch_ms")) == (-1, "999")
    assert instant_of("1700000000.25", ValueKind.named("epoch")) == (1700000000, "25")


def test_versions_are_compared_part_by_part() -> None:
    kind = ValueKind.named("version")
    texts = ["1.9", "1.10", "v1.10.1", "2", "10.0"]
    assert sorted(reversed(texts), key=lambda text: order_key(text, kind)) == texts
    assert order_key("1.0", kind) == order_key("1", kind)


@pytest.mark.parametrize(
    "name", ["", "epochs", "%d.%m", "%m/%d/%Y %I:%M", "%Z", "%H:%M", "%Y-%Q", "%d %d", "%Y-%d", "%Y-%m-%d %Z"]
)
def test_a_format_without_an_order_is_none(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        ValueKind.named(name)


def test_values_of_no_known_type_are_times_or_numbers_and_never_both() -> None:
    assert order_key("2026-01-01", ANY) < order_key("2026-01-02T00:00:00+0200", ANY)
    assert order_key(9, ANY) < order_key(Decimal("10.5"), ANY)
    assert order_key(1, ANY) == order_key(Decimal("1.0"), ANY)
    with pytest.raises(UnorderableError, match="times and numbers"):
        extremes([msgspec.Raw(b"1"), msgspec.Raw(b'"2026-01-01"')], ANY)
    with pytest.raises(UnknownOrderError):
        extremes([msgspec.Raw(b'"10"'), msgspec.Raw(b'"9"')], ANY)


@settings(max_examples=tries(100), deadline=None)
@given(MOMENTS, st.sampled_from(LOOKS), st.integers(0, 6))
def test_whatever_inference_calls_a_time_has_an_order(moment: datetime, look: str, digits: int) -> None:
    inference = SchemaInference()
    text = in_look(moment, look, digits)
    inference.observe([json.dumps({"at": text, "on": text[:10]}).encode()])
    schema = inference.schema()["properties"]
    assert schema["on"]["format"] == "date"
    kind = ValueKind.of_schema(schema["at"])
    assert order_key(text, kind) == order_key(in_look(moment, "colon", digits), INSTANT)


def test_early_years_are_written_with_four_digits():
    """glibc writes the year 1 as `1`, which no API reads as one."""
    assert pattern_of((-62_135_596_800, ""), "%Y-%m-%d") == "0001-01-01"
    assert pattern_of((-59_000_000_000, ""), "%F %%Y") == "0100-05-13 %Y"
    assert pattern_less("0999-01-02", 1, "%Y-%m-%d") == "0999-01-01"
    assert pattern_of((0, ""), "%Y-%m-%d") == "1970-01-01"


@pytest.mark.parametrize("kind", [NUMBER, ANY, ValueKind.named("epoch")])
@pytest.mark.parametrize("sign", ["", "-"])
def test_an_integer_of_thousands_of_digits_is_no_bookmark(kind: ValueKind, sign: str) -> None:
    """It could be compared, and not be written into a state that is read again."""
    column = [msgspec.Raw(b"1"), msgspec.Raw(sign.encode() + b"9" * 5000)]
    with pytest.raises(UnorderableError, match="a number"):
        extremes(column, kind)
    with pytest.raises(UnorderableError, match="a number"):
        exact_keys(column, kind)


@pytest.mark.parametrize("digits", [b"9" * 300, b"0." + b"9" * 5000])
def test_a_number_that_can_be_written_is_one(digits: bytes) -> None:
    found = extremes([msgspec.Raw(b"-1"), msgspec.Raw(digits)], NUMBER)
    assert found is not None
    assert found.high == Decimal(digits.decode())


def test_a_calendar_has_what_a_user_writes() -> None:
    """A source may send what none has; who writes it by hand has mistyped it."""
    for text in (
        "2024-02-29",
        "2026-12-31T24:00:00Z",
        "2016-12-31T23:59:60Z",
        "0001-01-01",
        "9999-12-31T23:59:59Z",
    ):
        check_calendar(text)
    beyond = ("9999-12-31T23:59:59-12:00", "9999-12-31T24:00:00Z", "0001-01-01T00:00:00+01:00")
    for text in (
        "2026-02-30",
        "2026-02-30T00:00:00Z",
        "2023-02-29",
        "2026-04-31",
        "0000-01-01",
        *beyond,
        "x",
        None,
    ):
        with pytest.raises(NoInstantError):
            check_calendar(text)
