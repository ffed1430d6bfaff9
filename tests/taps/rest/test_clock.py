"""What the clock of an API certainly showed: `Date`, less what the request took, the age of a cached answer, the margin."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tap_rest.answers.answer import Response
from tap_rest.answers.clock import clock_of

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
AT = 1792567680


@pytest.fixture(autouse=True)
def _zone_again() -> Iterator[None]:
    yield
    time.tzset()


def answer(headers: Mapping[str, str], seconds: float = 0) -> Any:
    return Response("http://api.test/", 200, headers, b"", seconds)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Date": DATE}, AT),
        ({"date": DATE}, AT),
        ({"Date": DATE, "Age": "30"}, AT - 30),
        ({"Date": DATE, "Age": "-5"}, AT),  # no cache answers before it was asked
        ({"Date": "Wed, 21 Oct 2026 09:28:00 +0200"}, AT),
        ({"Date": "Wed, 21 Oct 2026 07:28:00"}, AT),  # HTTP knows GMT alone
        ({"Date": "Wed, 21 Oct 2026 07:28:00 -0000"}, AT),
        ({"Date": "Wednesday, 21-Oct-26 07:28:00 GMT"}, AT),  # RFC 850, which clients have to read too
    ],
)
def test_the_date_of_an_answer(
    headers: Mapping[str, str], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert clock_of(answer(headers), 0) == expected
    assert clock_of(answer(headers, seconds=2.5), 60) == expected - 62.5


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Date": ""},
        {"Date": "yesterday"},
        {"Date": "Wed, 32 Oct 2026 07:28:00 GMT"},
        {"Date": "Wed, 21 Oct 99999 07:28:00 GMT"},
        {"Date": "Thu, 01 Jan 1970 00:00:00 GMT"},  # a clock that was never set
        {"Date": "Fri, 31 Dec 1999 23:59:59 GMT"},
        {"Date": DATE, "Age": "soon"},
        {"Date": DATE, "Age": "nan"},
        {"Date": DATE, "Age": "inf"},
        {"Date": DATE, "Age": "1e400"},
    ],
)
def test_no_usable_date_is_none(headers: Mapping[str, str]) -> None:
    assert clock_of(answer(headers), 60) is None
