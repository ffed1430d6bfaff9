"""Pages whose number travels inside a link or a token are numbered pages: rows shift between them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving

from tap_rest.pages.numbering import Numbering, numbering_of

ROWS = [msgspec.Raw(json.dumps({"id": number, "v": "x"}).encode()) for number in (1, 8, 9)]
URL = "https://api.example/rows"


@pytest.mark.parametrize(
    ("asked", "following", "name", "first", "counts_rows"),
    [
        ("", "?page=2", "page", 1, False),
        ("?per_page=3", "?per_page=3&page=2", "page", 1, False),
        ("?since=2026", "?since=2026&per_page=30&page=2", "page", 1, False),
        ("?page=0", "?page=1", "page", 0, False),
        ("", "?page=1", "page", 0, False),
        ("", "?page%5Bnumber%5D=2&page%5Bsize%5D=3", "page[number]", 1, False),
        ("", "?limit=3&offset=3", "offset", 0, True),
        ("?offset=6", "?offset=9", "offset", 6, True),
        ("", "?startIndex=4", "startIndex", 1, True),
        ("", "?cursor=2", "cursor", 1, False),
        ("", "?after=3", "after", 0, True),
        ("", "?page_token=3", "page_token", 0, True),
        ("", "?page=2&sig=a1", "page", 1, False),
    ],
)
def test_a_number_that_counts_pages_or_rows(
    asked: str, following: str, name: str, first: int, counts_rows: bool
) -> None:
    found = numbering_of(URL + asked, URL + following, ROWS)
    assert found is not None
    assert (found.name, found.first, found.counts_rows) == (name, first, counts_rows)
    second = first + (3 if counts_rows else 1)
    assert found.at(second).url == URL + following


@pytest.mark.parametrize(
    ("asked", "following"),
    [
        ("", "?cursor=abc"),
        ("", "?page=2&page_info=eyJ"),
        ("", "?since_id=9"),
        ("", "?after=9"),
        ("", "?after=10"),
        ("", "?from_id=10"),
        ("", "?from_id=1700000000"),
        ("?limit=3", "?limit=3&after=40"),
        ("", "?limit=2"),
        ("?page=1", "?page=3"),
        ("?page=x", "?page=2"),
        ("", ""),
        ("", "/2"),
    ],
)
def test_what_is_no_such_number(asked: str, following: str) -> None:
    assert numbering_of(URL + asked, URL + following, ROWS) is None


@pytest.mark.parametrize(
    ("name", "counts_rows"), [("offset", True), ("start", True), ("page", False), ("cursor", False)]
)
def test_a_number_that_fits_both_ways_counts_what_its_name_says(name: str, counts_rows: bool) -> None:
    found = numbering_of(URL, f"{URL}?{name}=2", [msgspec.Raw(b'{"id":70}'), msgspec.Raw(b'{"id":80}')])
    assert found is not None
    assert found.counts_rows == counts_rows


@pytest.mark.parametrize(("following", "is_signed"), [("?page=2&sig=b2", True), ("?page=2&sort=id", False)])
def test_a_link_that_is_signed_leads_to_no_other_page(following: str, is_signed: bool) -> None:
    found = numbering_of(f"{URL}?sig=a1", URL + following, ROWS)
    assert found is not None
    assert found.is_signed == is_signed


def test_steps_lead_to_the_page_that_holds_a_row() -> None:
    pages = Numbering("page", "u?page=", "&x=1", 1, counts_rows=False)
    assert pages.step_behind(20, 10).url == "u?page=2&x=1"
    assert pages.step_after(pages.step_behind(21, 10), 10).url == "u?page=4&x=1"
    rows = Numbering("offset", "u?offset=", "", 0, counts_rows=True)
    assert rows.step_behind(20, 10).url == "u?offset=11"
    assert rows.step_after(rows.at(11), 9).url == "u?offset=20"


PAGING: dict[str, dict[str, Any]] = {
    "link_header": {"type": "link_header"},
    "next_url": {"type": "next_url", "next": "$.next"},
    "cursor": {"type": "cursor", "cursor": "$.next_page", "param": "page"},
    "header_cursor": {"type": "header_cursor", "header": "X-Next-Page", "param": "page"},
}


class Issues:
    """Rows in the order of `at`, ``size`` a page, with every way to the next page; ``changes`` are made between two answers."""

    def __init__(self, count: int, changes: dict[int, Any], size: int = 3) -> None:
        self.rows = [{"id": number, "at": f"2026-01-01T00:{number:02}:00Z"} for number in range(1, count + 1)]
        self.changes, self.size, self.count = changes, size, 0
        self.url = ""

    def touch(self, number: int, at: str) -> None:
        self.rows = [row for row in self.rows if row["id"] != number] + [{"id": number, "at": at}]

    def __call__(self, asked: Asked) -> Reply:
        since, page = asked.param("since") or "", int(asked.param("page") or 1)
        found = sorted((row for row in self.rows if row["at"] >= since), key=lambda row: row["at"])
        shown, more = found[(page - 1) * self.size : page * self.size], len(found) > page * self.size
        self.count += 1
        if self.count in self.changes:
            self.changes[self.count](self)
        following = f"{self.url}/rows?page={page + 1}" + (f"&since={since}" if since else "")
        body = {"data": shown, "next": following if more else None, "next_page": page + 1 if more else None}
        headers = {"Link": f'<{following}>; rel="next"', "X-Next-Page": str(page + 1)} if more else {}
        reply = json_reply(body)
        reply.headers = {**reply.headers, **headers}
        return reply


def stream(paging: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "rows",
        "path": "/rows",
        "records": "$.data[*]",
        "primary_keys": ["id"],
        "replication_key": "at",
        "incremental": {"param": "since"},
        "pagination": PAGING[paging],
        "schema": {"properties": {"id": {}, "at": {"type": "string", "format": "date-time"}}},
    } | more


@pytest.mark.parametrize("paging", PAGING)
def test_a_sorted_stream_goes_on_by_its_key_and_misses_nothing(paging: str, run_tap: Any) -> None:
    """Row 1 changes when page 1 has been read: by number, row 4 would stand on page 1 by then."""
    issues = Issues(9, {1: lambda source: source.touch(1, "2026-01-01T01:00:00Z")})
    with serving({"/rows": issues}) as api:
        issues.url = api.url
        run = run_tap(api.url, stream(paging, is_sorted=True)).ended(0)
        assert {row["id"] for row in run.records("rows")} == set(range(1, 10))
        assert "numbered pages" not in run.stderr
        issues.count, issues.changes = 0, {1: lambda source: source.touch(1, "2026-01-01T01:00:00Z")}
        issues.rows = [{"id": row["id"], "at": f"2026-01-01T00:{row['id']:02}:00Z"} for row in issues.rows]
        numbered = stream(paging, is_sorted=True, pagination=PAGING[paging] | {"continue_by": "number"})
        run = run_tap(api.url, numbered).ended(0)
        assert 4 not in {row["id"] for row in run.records("rows")}  # or the change would prove nothing
        assert "is read by numbered pages (`page`)" in run.stderr


def test_rows_without_a_key_value_behind_all_others_are_read_by_the_number_in_the_link(run_tap: Any) -> None:
    issues = Issues(8, {})
    issues.rows += [{"id": number, "at": "9999"} for number in (90, 91, 92, 93)]

    def route(asked: Asked) -> Reply:
        reply = issues(asked)
        body = json.loads(reply.body)
        if not asked.param("since"):
            body["data"] = [row | {"at": None} if row["at"] == "9999" else row for row in body["data"]]
        else:
            body["data"] = [row for row in body["data"] if row["at"] != "9999"]
        return json_reply(body)

    with serving({"/rows": route}) as api:
        issues.url = api.url
        schema = {"properties": {"id": {}, "at": {"type": ["string", "null"], "format": "date-time"}}}
        run = run_tap(api.url, stream("next_url", is_sorted=True, schema=schema)).ended(0)
    assert sorted(row["id"] for row in run.records("rows")) == [*range(1, 9), 90, 91, 92, 93]


def test_an_api_that_does_not_go_to_its_last_page_leaves_it_unknown_whether_rows_are_there(
    run_tap: Any,
) -> None:
    issues = Issues(12, {})

    def route(asked: Asked) -> Reply:
        is_deep = int(asked.param("page") or 1) > 2 and not asked.param("since")
        return json_reply({"data": [], "next": None}) if is_deep else issues(asked)

    with serving({"/rows": route}) as api:
        issues.url = api.url
        run = run_tap(api.url, stream("next_url", is_sorted=True)).ended(0)
    assert len(run.records("rows")) == 12
    assert "Whether rows without a value in `at` stand behind the others" in run.stderr


@pytest.mark.parametrize("paging", PAGING)
def test_an_unsorted_stream_says_that_rows_may_be_missed(paging: str, run_tap: Any) -> None:
    issues = Issues(9, {})
    with serving({"/rows": issues}) as api:
        issues.url = api.url
        run = run_tap(api.url, stream(paging)).ended(0)
        assert "is read by numbered pages (`page`)" in run.stderr
        assert (
            "read by numbered pages" not in run_tap(api.url, stream(paging), state=run.state).ended(0).stderr
        )


@pytest.mark.parametrize("paging", ["link_header", "cursor"])
def test_rows_without_a_key_that_come_again_are_told(paging: str, run_tap: Any) -> None:
    """A row is inserted in front while page 1 is being read: the last of page 1 is the first of page 2."""
    issues = Issues(9, {1: lambda source: source.rows.append({"id": 50, "at": "2025-01-01T00:00:00Z"})})
    with serving({"/rows": issues}) as api:
        issues.url = api.url
        keyless = stream(paging)
        del keyless["primary_keys"], keyless["incremental"]
        run = run_tap(api.url, keyless).ended(0)
        assert len(run.records("rows")) == 10
    assert (
        "1 of 10 rows of stream `rows`, which has no key, came again, unchanged, on a later page"
        in run.stderr
    )
