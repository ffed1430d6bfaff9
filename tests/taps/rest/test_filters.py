"""`records` with a filter: pages are counted, ended and asked for by the rows that came, not by those that are left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from taps.rest.test_paging_doubts import read

from singerkit_shell.errors import BadDataError
from tap_rest.config import config_conflicts
from tap_rest.paths import filters, unfiltered

ROWS = [{"id": n, "kind": "y" if 3 <= n <= 8 else "x"} for n in range(1, 13)]
WANTED = [row for row in ROWS if row["kind"] == "x"]
FILTER = "$.data[?(@.kind == 'x')]"


def answer(params: Mapping[str, str]) -> Any:
    """Three rows a page; none of the second is wanted."""
    start = int(params.get("after") or params.get("offset") or 3 * (int(params.get("page") or 1) - 1))
    return {"data": ROWS[start : start + 3], "total": len(ROWS)}


@pytest.mark.parametrize(
    "pagination",
    [
        {"type": "page"},
        {"type": "page", "total_count": "$.total"},
        {"type": "page", "size": 3, "stop_on_short_page": True},
        {"type": "offset"},
        {"type": "offset", "size": 3, "total_count": "$.total"},
        {"type": "keyset", "field": "id", "param": "after"},
    ],
)
def test_what_is_filtered_out_is_counted(pagination: dict[str, Any]) -> None:
    assert read(pagination, answer, FILTER) == (WANTED, [])


def test_a_page_where_nothing_is_left_is_none_that_lacks_rows() -> None:
    """And one without the place for rows is."""
    assert read({"type": "page"}, answer, "$.data[?(@.kind == 'z')]") == ([], [])
    with pytest.raises(BadDataError, match="Expected records at"):
        read({"type": "page"}, lambda _: {"total": 0}, FILTER)


@pytest.mark.parametrize(
    ("path", "whole"),
    [
        (FILTER, "$.data[*]"),
        ("$[?(@.a > 3)]", "$[*]"),
        ("data[?(@.a)]", "data[*]"),
        ("$.a.b[?(@.a & @.b)].row", "$.a.b[*]"),
        ("$.data[1:]", "$.data[*]"),
        ("$.groups[?(@.a)].rows[*]", None),
        ("$..rows[?(@.a)]", None),
        ("$.groups[*].rows[?(@.a)]", None),
        ("$.data[?(@['a'] > 3)]", None),
    ],
)
def test_the_path_of_all_rows(path: str, whole: str | None) -> None:
    assert filters(path)
    assert unfiltered(path) == whole


@pytest.mark.parametrize("path", ["$.data[*]", "$..rows", "$[0].rows", "$['a:b'][*]", "$.groups[*].rows[*]"])
def test_paths_that_filter_nothing(path: str) -> None:
    assert not filters(path)


def config(records: str, **more: Any) -> dict[str, Any]:
    stream = {"name": "rows", "path": "/rows", "records": records}
    return {"base_url": "https://api.example", "streams": [stream | more]}


def test_a_filter_that_leaves_unknown_how_many_came_is_refused_where_that_counts() -> None:
    odd = "$.groups[?(@.a)].rows[*]"
    for pagination in ({"type": "page"}, {"type": "cursor", "cursor": "$.n", "total_count": "$.total"}):
        problems = config_conflicts(config(odd, pagination=pagination))
        assert len(problems) == 1
        assert "nobody knows how many came" in problems[0]
        assert config_conflicts(config(FILTER, pagination=pagination)) == []
        assert len(config_conflicts(config(odd) | {"pagination": pagination})) == 1
    for pagination in ({"type": "single"}, {"type": "cursor", "cursor": "$.n"}, {"type": "link_header"}):
        assert config_conflicts(config(odd, pagination=pagination)) == []


def test_a_filter_does_not_go_on_by_the_bookmark() -> None:
    more: dict[str, Any] = {
        "replication_key": "at",
        "is_sorted": True,
        "incremental": {"param": "since"},
        "pagination": {"type": "page", "continue_by": "bookmark"},
    }
    assert "does not go with a filter" in config_conflicts(config(FILTER, **more))[0]
    assert config_conflicts(config("$.data[*]", **more)) == []
