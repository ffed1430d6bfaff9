"""What a read remembers: no more rows than the limit and a page, and from the threshold on every one."""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import tries

from singerkit_state.memory import RowMemory, row_hash
from singerkit_state.order import ValueKind, extremes

PAGE = 6


@settings(max_examples=tries(150), deadline=None)
@given(
    pages=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=PAGE), min_size=1, max_size=12),
    limit=st.integers(1, 8),
    is_sorted=st.booleans(),
    looks=st.sets(st.integers(0, 11)),
    has_quick_values=st.booleans(),
)
def test_the_newest_rows_are_known_whole(
    pages: list[list[int]], limit: int, is_sorted: bool, looks: set[int], has_quick_values: bool
) -> None:
    if is_sorted:
        keys = sorted(key for page in pages for key in page)
        pages = [[keys.pop(0) for _ in page] for page in pages]
    memory = RowMemory(limit, int, keeps_newest=True)
    noted: list[tuple[int, str]] = []
    for number, page in enumerate(pages):
        column = [msgspec.Raw(b"%d" % key) for key in page]
        records = [b"row %d %d" % (len(noted) + place, key) for place, key in enumerate(page)]
        ends = extremes(column, ValueKind.NUMBER)
        assert ends is not None
        values = ends.values if has_quick_values else None
        memory.note(column, records, b"", range(len(page)), (ends.low, ends.high), values)
        noted += [(key, row_hash(record)) for key, record in zip(page, records, strict=True)]
        if number in looks:  # a state of a read under way
            few = memory.newest()
            check(few or memory, noted, limit)
    check(memory, noted, limit)


def check(memory: RowMemory, noted: list[tuple[int, str]], limit: int) -> None:
    groups = memory.groups()
    threshold = -1 if memory.threshold is None else int(memory.threshold)
    # What came below the threshold later on may be known; the bookmark passes it.
    known = Counter(
        {row: count for key, rows in groups.items() for row, count in rows.items() if int(key) >= threshold}
    )
    expected = Counter(row for key, row in noted if key >= threshold)
    if memory.is_whole:
        assert known == expected
        assert sum(rows.total() for rows in groups.values()) < limit + PAGE, (
            "a page more, where it costs nothing"
        )
    else:  # more rows at one value than can be remembered: they are sent again
        assert known <= expected
