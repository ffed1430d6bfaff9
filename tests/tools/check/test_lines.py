"""Lines are the same however the stream is cut into pieces."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from singerkit_check.lines import LineCutter


@settings(deadline=None)
@given(
    data=st.lists(st.sampled_from([b"\n", b"a", b"bc", b"def", b"\r\n"]), max_size=30).map(b"".join),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    limit=st.integers(1, 6),
)
def test_any_cut_gives_the_same_lines(data: bytes, cuts: list[int], limit: int) -> None:
    cutter = LineCutter(limit)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    found = [line for start, end in itertools.pairwise(places) for line in cutter.feed(data[start:end])]
    rest = cutter.rest()
    *whole, last = data.split(b"\n")
    assert found == [(n, line if len(line) <= limit else None) for n, line in enumerate(whole, 1)]
    expected = (len(whole) + 1, last if len(last) <= limit else None) if last else None
    assert rest == expected
