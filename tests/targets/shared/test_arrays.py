"""Rows as Arrow arrays: every value comes back as it was given."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import nanoarrow as na
import pyarrow as pa
import pytest

from singerkit_sql_target.arrays import are_short, array_of, as_decimals, as_stream, as_text, numbered
from singerkit_wire.kinds import Kind

VALUES: dict[Kind, Sequence[Any]] = {
    Kind.INTEGER: [0, -(2**63), 2**63 - 1],
    Kind.BOOLEAN: [True, False],
    Kind.STRING: ["", "a\0b", "Größe 🍣", "null"],
    Kind.ANY_TEXT: ["1e400"],
    Kind.DATE_TIME: [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
    ],
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


def test_times_and_uuids_are_their_text() -> None:
    one = uuid.uuid4()
    assert na.Array(array_of(Kind.UUID, [one, None])).to_pylist() == [str(one), None]
    assert na.Array(array_of(Kind.TIME, [time(1, 2, 3, 4)])).to_pylist() == ["01:02:03.000004"]


@pytest.mark.parametrize("count", [1, 8, 9])
def test_decimals_keep_every_digit_and_null(count: int) -> None:
    texts = ["1.5", None, "-0.000000001", f"{'9' * 29}.{'9' * 9}", None, "1e3", "0", None, "-7"][:count]
    found = pa.array(as_decimals(texts, (29, 9))).to_pylist()  # nanoarrow itself reads -1e-9 as 0.000000001
    assert found == [None if text is None else Decimal(text) for text in texts]


@pytest.mark.parametrize("text", ["1.0000000001", "1e-10", str(10**29), "-1E30"])
def test_a_decimal_that_would_lose_a_digit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="more digits than its column"):
        as_decimals([text], (29, 9))


@pytest.mark.parametrize(
    ("texts", "is_short"),
    [
        ([], True),
        ([None, "123456789.123456789", "-1"], True),
        (["1", "1234567890"], False),
        (["0.1234567890"], False),
        (["1e3"], False),
        (["1E3"], False),
    ],
)
def test_which_numbers_are_short(texts: Sequence[str | None], is_short: bool) -> None:
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
