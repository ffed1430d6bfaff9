"""Order of replication key values: kinds, instants, numbers, and looking back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerkit_state.order import UnorderableError, ValueKind, less_lookback, order_key

INSTANT, NUMBER, TEXT = ValueKind.INSTANT, ValueKind.NUMBER, ValueKind.TEXT
T1 = "2024-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string", "format": "date-time"}, INSTANT),
        ({"type": ["null", "string"], "format": "date"}, INSTANT),
        ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}, INSTANT),
        ({"type": ["null", "integer"]}, NUMBER),
        ({"type": "number"}, NUMBER),
        ({"type": "string"}, TEXT),
        ({}, TEXT),
    ],
)
def test_the_kind_comes_from_the_schema(schema, kind):
    assert ValueKind.of_schema(schema) is kind


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
        (INSTANT, "2024-03-01T00:00:10.250+02:00", 10, "2024-02-29T22:00:00.25Z"),
        (INSTANT, "2024-03-01T00:00:10", 10, "2024-03-01T00:00:00"),
        (INSTANT, "2024-03-01", 2, "2024-02-28"),
        (INSTANT, "0001-01-01T00:00:00Z", 86400, "0001-01-01T00:00:00Z"),
        (NUMBER, 10, 3, 7),
        (NUMBER, Decimal("1.5"), 1, Decimal("0.5")),
        (TEXT, "b", 5, "b"),
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
    assert ValueKind.of_schema({key: [{"type": "null"}, {"type": "string", "format": "date"}]}) is INSTANT
    assert ValueKind.of_schema({key: [{"type": ["null", "integer"]}]}) is NUMBER
    assert ValueKind.of_schema({key: [{"enum": ["a"]}], "type": ("string", "null")}) is TEXT


def test_a_value_without_a_type_in_its_schema_is_compared_as_text() -> None:
    assert [order_key(value, TEXT) for value in ("b", 5, Decimal("1.50"))] == ["b", "5", "1.50"]


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
        ("2024-03-01 Z", 10, "2024-02-29T23:59:50Z"),
        ("2024-03-01T02:00:10+02", 10, "2024-03-01T00:00:00Z"),
        ("2024-03-01T01:02:03Z", 1, "2024-03-01T01:02:02Z"),
        ("9999-12-31", -5, "9999-12-31"),
        ("0001-01-05", 4, "0001-01-01"),
        ("0001-01-05", 5, "0001-01-01"),
        ("9999-12-30", -1, "9999-12-31"),
    ],
)
def test_lookback_stays_inside_the_calendar(value: str, lookback: int, earlier: str) -> None:
    assert less_lookback(value, INSTANT, lookback) == earlier
