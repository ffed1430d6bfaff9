"""Rows as Arrow arrays: every value comes back as it was given."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import nanoarrow as na
import pyarrow as pa
import pytest

from singerkit_sql_target.arrays import (
    are_short,
    array_of,
    as_decimals,
    as_numbers,
    as_stream,
    as_text,
    numbered,
)
from singerkit_wire.kinds import Kind

VALUES: dict[Kind, Sequence[Any]] = {
    Kind.INTEGER: [0, -(2**63), 2**63 - 1],
    Kind.BOOLEAN: [True, False],
    Kind.STRING: ["", "a\0b", "Größe 🍣", "null"],
    Kind.ANY_TEXT: ["1e400"],
    Kind.DATE: [date(1970, 1, 1), date(1969, 12, 31), date(1, 1, 1), date(9999, 12, 31), date(2024, 2, 29)],
    Kind.BINARY: [b"", b"\0\xff"],
    Kind.JSON: ['{"a": 1E2}', "null"],
}


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: str(kind.value))
def test_values_come_back(kind: Kind) -> None:
    values = [None, *VALUES[kind], None]
    found = na.Array(array_of(kind, values)).to_pylist()
    assert found == values
    assert na.Array(array_of(kind, values[1:-1])).to_pylist() == values[1:-1]


IN_UTC = [datetime(1970, 1, 1, 0, 0, 0, 1, UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)]
IN_INDIA = datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=5, minutes=30)))


@pytest.mark.parametrize(
    ("moments", "texts"),
    [
        (IN_UTC, ["1970-01-01T00:00:00.000001Z", "9999-12-31T23:59:59.999999Z"]),
        ([None], [None]),
        ([None, *IN_UTC], [None, "1970-01-01T00:00:00.000001Z", "9999-12-31T23:59:59.999999Z"]),
        ([IN_UTC[0], datetime(1, 1, 2, tzinfo=UTC)], ["1970-01-01T00:00:00.000001Z", "0001-01-02T00:00:00Z"]),
        ([datetime(2024, 2, 29), datetime(2024, 3, 1)], ["2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"]),
        ([IN_INDIA, IN_INDIA], ["2024-02-29T01:02:03.000004+05:30"] * 2),
    ],
    ids=["of one width", "null alone", "and null", "of two widths", "without an offset", "with one"],
)
def test_moments_are_their_text_with_an_offset(moments: Sequence[Any], texts: Sequence[str | None]) -> None:
    assert na.Array(array_of(Kind.DATE_TIME, moments)).to_pylist() == texts


def test_times_and_uuids_are_their_text() -> None:
    one = uuid.uuid4()
    assert na.Array(array_of(Kind.UUID, [one, None])).to_pylist() == [str(one), None]
    assert na.Array(array_of(Kind.UUID, [one, one])).to_pylist() == [str(one), str(one)]
    assert na.Array(array_of(Kind.TIME, [time(1, 2, 3, 4)])).to_pylist() == ["01:02:03.000004"]


def test_numbers_are_their_text() -> None:
    texts = [b"1.50", msgspec.Raw(b"-2e3"), b"null", b"0"]
    assert na.Array(as_numbers(texts)).to_pylist() == ["1.50", "-2e3", "null", "0"]


@pytest.mark.parametrize("count", [1, 8, 9])
def test_decimals_keep_every_digit_and_null(count: int) -> None:
    texts = ["1.5", "null", "-0.000000001", f"{'9' * 29}.{'9' * 9}", "null", "1e3", "0", "null", "-7"][:count]
    found = as_decimals([text.encode() for text in texts], (29, 9))
    # nanoarrow itself reads -1e-9 as 0.000000001
    assert pa.array(found).to_pylist() == [None if text == "null" else Decimal(text) for text in texts]


@pytest.mark.parametrize("text", [b"1.0000000001", b"1e-10", b"%d" % 10**29, b"-1E30"])
def test_a_decimal_that_would_lose_a_digit_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="more digits than its column"):
        as_decimals([text], (29, 9))


@pytest.mark.parametrize(
    ("texts", "is_short"),
    [
        ([], True),
        ([b"null", b"123456789.123456789", b"-1"], True),
        ([b"1", b"1234567890"], False),
        ([b"0.1234567890"], False),
        ([b"1e3"], False),
        ([b"1E3"], False),
    ],
)
def test_which_numbers_are_short(texts: Sequence[bytes], is_short: bool) -> None:
    assert are_short(texts, 9) is is_short


def test_rows_are_numbered_and_stand_in_one_stream() -> None:
    first = numbered([as_text(["a", "b"]), array_of(Kind.INTEGER, [1, None])], 2, 0)
    second = numbered([as_text(["c"]), array_of(Kind.INTEGER, [3])], 1, 2)
    stream = na.ArrayStream(as_stream([first, second])).read_all()
    assert stream.to_pylist() == [
        {"c0": "a", "c1": 1, "_singerkit_order": 0},
        {"c0": "b", "c1": None, "_singerkit_order": 1},
        {"c0": "c", "c1": 3, "_singerkit_order": 2},
    ]
