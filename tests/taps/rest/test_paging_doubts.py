"""Tokens under other names, totals that are none, keys that are not unique: rows that no request would ask for.

In process: `read` is a source that answers from a function, and the tap's own reader and pages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import msgspec
import pytest
from taps.rest.api_server import Asked
from taps.rest.test_unread import SHAPES as API_SHAPES

from singerkit_shell.errors import BadDataError, ConfigurationError
from tap_rest.answers.answer import Response
from tap_rest.pages.here import Experience
from tap_rest.pages.kinds import body_paths
from tap_rest.pages.pagination import Pages
from tap_rest.pages.placing import lanes_of, placed
from tap_rest.pages.steps import Step
from tap_rest.records.cutting import PageReader, ReadPage
from tap_rest.settings.pagination import Pagination

ROWS = [{"id": n} for n in range(1, 8)]
SIZE = 3
Answer = Callable[[Mapping[str, str]], Any]


def read(
    pagination: Mapping[str, Any],
    answer: Answer,
    records: str | None = None,
    params: Mapping[str, str] | None = None,
    *,
    is_first: bool = True,
    experience: Experience | None = None,
    limit: int = 50,
) -> tuple[list[Any], list[str]]:
    """Read all pages; return the rows, and the warnings. ``answer`` makes a body, or body and headers, of parameters."""
    settings = msgspec.convert(dict(pagination), Pagination)
    warnings: list[str] = []
    pages = Pages(settings, "rows", limit, warnings.append, is_first=is_first, experience=experience)
    reader = PageReader("rows", records, body_paths(settings), "fail")
    rows: list[Any] = []
    step = pages.first
    while step is not None:
        query = (
            dict(parse_qsl(urlsplit(step.url).query))
            if step.url
            else {
                **(params or {}),
                **{name: str(value) for name, value in placed(step.sent, lanes_of(settings)).params.items()},
            }
        )
        found = answer(query)
        body, headers = found if isinstance(found, tuple) else (found, {})
        url = step.url or f"http://x/rows?{urlencode(query)}"
        response = Response(url, 200, headers, json.dumps(body).encode())
        page = reader.read(response, "a page of stream rows")
        step = pages.after(step, page)
        rows += [json.loads(bytes(record)) for record in page.records]
    return rows, warnings


def by(name: str, made: Callable[[int | None, list[Any]], Any], prefix: str = "") -> Answer:
    """Pages of three of seven rows; ``made`` is given the start of the next page, None on the last."""

    def answer(params: Mapping[str, str]) -> Any:
        start = int((params.get(name) or f"{prefix}0").removeprefix(prefix))
        following = start + SIZE if start + SIZE < len(ROWS) else None
        return made(following, ROWS[start : start + SIZE])

    return answer


def token(name: str, param: str, *above: str) -> Answer:
    """The token stands at ``name`` below ``above``, and nowhere on the last page."""

    def made(following: int | None, rows: list[Any]) -> Any:
        body: Any = {} if following is None else {name: f"t{following}"}
        for outer in reversed(above):
            body = {outer: body}
        return {"data": rows, **body}

    return by(param, made, "t")


SHAPES: dict[str, Answer] = {
    "paging.cursors.after": token("after", "after", "paging", "cursors"),
    "continuation": token("continuation", "continuation"),
    "continuationToken": token("continuationToken", "continuationToken"),
    "bookmark": token("bookmark", "bookmark"),
    "marker": token("marker", "marker"),
    "NextMarker": token("NextMarker", "marker"),
    "LastEvaluatedKey": by(
        "id", lambda n, rows: {"Items": rows} | ({"LastEvaluatedKey": {"id": n}} if n else {})
    ),
    "offset that comes": by("offset", lambda n, rows: {"data": rows} | ({"offset": n} if n else {})),
    "scroll_id": token("scroll_id", "scroll_id"),
    "_scroll_id": token("_scroll_id", "scroll_id"),
    "meta.cursor": token("cursor", "cursor", "meta"),
    "start_after": token("start_after", "start_after"),
    "search_metadata.next_max_id": token("next_max_id", "max_id", "search_metadata"),
    "$skiptoken": token("$skiptoken", "$skiptoken"),
    "resumptionToken": token("resumptionToken", "resumptionToken"),
    "next_id": token("next_id", "id"),
    "nextToken": token("nextToken", "nextToken"),
    "pageToken": token("pageToken", "pageToken"),
    "additional_data.pagination.next_start": token("next_start", "start", "additional_data", "pagination"),
    "MediaWiki": by(
        "cmcontinue",
        lambda n, rows: {"data": rows} | ({"continue": {"cmcontinue": n, "continue": "-||"}} if n else {}),
    ),
    "Asana": by(
        "offset",
        lambda n, rows: {
            "data": rows,
            "next_page": n and {"uri": f"http://x/rows?offset={n}", "path": "/rows"},
        },
    ),
    "Azure": by("cursor", lambda n, rows: ({"Documents": rows}, {"x-ms-continuation": str(n)} if n else {})),
    "a header of its own": by(
        "continuationToken", lambda n, rows: ({"data": rows}, {"Continuation-Token": str(n)} if n else {})
    ),
}


def offered(sentence: str) -> dict[str, Any]:
    found = re.search(r'`"pagination": (\{.*?\})`', sentence)
    assert found, sentence
    return dict(json.loads(found[1]))


@pytest.mark.parametrize("name", SHAPES)
def test_a_token_under_another_name(name: str) -> None:
    """Without `pagination`, and with one that is mistyped, for which the first page was all there is."""
    answer = SHAPES[name]
    wrong = {"type": "cursor", "cursor": "$.mistyped"}
    for pagination in (
        {"type": "unsaid"},
        wrong,
        {"type": "link_header"},
        {"type": "next_url", "next": "$.no.where"},
    ):
        is_warned = name == "paging.cursors.after" and pagination["type"] == "unsaid"
        if is_warned:  # Facebook sends it on the last page, too
            _, warnings = read(pagination, answer)
            assert len(warnings) == 1, warnings
            fits = offered(warnings[0])
        else:
            with pytest.raises(BadDataError, match="seems to have a next") as error:
                read(pagination, answer)
            fits = offered(str(error.value))
        assert read(fits, answer)[0] == ROWS, fits
    assert read({**wrong, "unread": "warn"}, answer)[0] == ROWS[:SIZE]
    assert read({"type": "single"}, answer)[0] == ROWS[:SIZE]


LAST_PAGES: dict[str, tuple[dict[str, Any], Any, str | None]] = {
    # what APIs send on a first page that is the last, with the `pagination` that is right for them
    "GitHub": ({"type": "link_header"}, ROWS, None),
    "GitLab": ({"type": "link_header"}, (ROWS, {"X-Next-Page": "", "X-Page": "1", "X-Total": "7", "Link": "</a>; rel=first"}), None),
    "GitHub search": ({"type": "link_header"}, {"total_count": 7, "incomplete_results": False, "items": ROWS}, None),
    "Stripe": ({"type": "keyset", "field": "id", "param": "starting_after", "has_more": "$.has_more"}, {"object": "list", "url": "/v1/x", "data": ROWS, "has_more": False}, None),
    "Shopify": ({"type": "link_header"}, {"orders": ROWS}, None),
    "HubSpot": ({"type": "cursor", "cursor": "$.paging.next.after", "param": "after"}, {"results": ROWS}, None),
    "Salesforce": ({"type": "next_url", "next": "$.nextRecordsUrl"}, {"totalSize": 7, "done": True, "records": ROWS}, None),
    "Jira": ({"type": "cursor", "cursor": "$.nextPageToken", "param": "nextPageToken"}, {"isLast": True, "issues": ROWS}, None),
    "Zendesk": ({"type": "next_url", "next": "$.links.next"}, {"tickets": ROWS, "meta": {"has_more": False, "after_cursor": "x", "before_cursor": "y"}, "links": {"prev": "/x", "next": None}}, None),
    "Zendesk incremental": ({"type": "cursor", "cursor": "$.after_cursor", "param": "cursor", "has_more": "$.more"}, {"tickets": ROWS, "after_cursor": "x", "after_url": "http://x/y", "end_of_stream": True, "more": False}, None),
    "Notion": ({"type": "cursor", "cursor": "$.next_cursor"}, {"object": "list", "results": ROWS, "next_cursor": None, "has_more": False, "request_id": "a-b"}, None),
    "Slack": ({"type": "cursor", "cursor": "$.response_metadata.next_cursor"}, {"ok": True, "members": ROWS, "cache_ts": 1, "response_metadata": {"next_cursor": ""}}, None),
    "Airtable": ({"type": "cursor", "cursor": "$.offset", "param": "offset"}, {"records": ROWS}, None),
    "Elasticsearch": ({"type": "offset", "param": "from", "total_count": "$.hits.total.value"}, {"took": 1, "timed_out": False, "_shards": {"total": 5, "failed": 0}, "hits": {"total": {"value": 7}, "hits": ROWS}}, "$.hits.hits[*]"),
    "OData": ({"type": "next_url", "next": "$.@odata.nextLink"}, {"@odata.context": "http://x/$metadata", "@odata.count": 7, "value": ROWS}, None),
    "OData with a delta": ({"type": "next_url", "next": "$.@odata.nextLink"}, {"value": ROWS, "@odata.deltaLink": "http://x/y?$deltatoken=z"}, None),
    "DynamoDB": ({"type": "cursor", "cursor": "$.LastEvaluatedKey.id"}, {"Items": ROWS, "Count": 7, "ScannedCount": 7}, None),
    "Google": ({"type": "cursor", "cursor": "$.nextPageToken"}, {"kind": "x", "etag": "y", "nextSyncToken": "z", "items": ROWS}, None),
    "Facebook": ({"type": "next_url", "next": "$.paging.next"}, {"data": ROWS, "paging": {"cursors": {"before": "a", "after": "b"}}}, None),
    "GraphQL": ({"type": "cursor", "cursor": "$.data.x.pageInfo.endCursor", "has_more": "$.data.x.pageInfo.hasNextPage"}, {"data": {"x": {"nodes": ROWS, "pageInfo": {"startCursor": "a", "endCursor": "b", "hasNextPage": False}}}}, "$.data.x.nodes[*]"),
    "Twitter": ({"type": "cursor", "cursor": "$.next_cursor_str", "has_more": "$.next_cursor"}, {"users": ROWS, "next_cursor": 0, "next_cursor_str": "0", "previous_cursor": 0}, None),
    "Asana": ({"type": "cursor", "cursor": "$.next_page.offset", "param": "offset"}, {"data": ROWS, "next_page": None}, None),
    "Square": ({"type": "cursor", "cursor": "$.cursor"}, {"payments": ROWS}, None),
    "Bitbucket": ({"type": "next_url"}, {"size": 7, "pagelen": 10, "page": 1, "values": ROWS}, None),
    "CKAN": ({"type": "offset", "total_count": "$.result.total"}, {"success": True, "help": "http://x/help", "result": {"records": ROWS, "total": 7, "limit": 100}}, "$.result.records[*]"),
    "GBIF": ({"type": "offset", "total_count": "$.count"}, {"offset": 0, "limit": 20, "endOfRecords": True, "count": 7, "results": ROWS}, None),
    "ArcGIS": ({"type": "offset", "param": "resultOffset", "has_more": "$.exceededTransferLimit"}, {"objectIdFieldName": "id", "features": ROWS, "exceededTransferLimit": False}, None),
    "words of a job": ({"type": "single"}, {"finished": False, "complete": False, "partial": True, "results": ROWS}, None),
    "yes and no": ({"type": "page", "has_more": "$.more"}, {"more": "N", "last": "yes", "results": ROWS}, None),
    "things about other things": ({"type": "link_header"}, {"data": ROWS, "next_update": "2027-01-01", "csrf_token": "x", "access_token": "y", "created_after": "2020-01-01", "updated_before": "z", "session_token": "s", "prev_cursor": "p"}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", LAST_PAGES)
def test_the_last_page_of_well_known_apis_is_no_alarm(name: str) -> None:
    pagination, body, records = LAST_PAGES[name]
    empty = ([] if isinstance(body, list) else None) if not isinstance(body, tuple) else body

    def answer(params: Mapping[str, str]) -> Any:
        at = {"from", "offset", "resultOffset", "starting_after"} & set(params)
        return body if all(params[name] == "0" for name in at) else empty

    assert read(pagination, answer, records) == (ROWS, [])


@pytest.mark.parametrize(
    ("body", "is_sure"),
    [
        ({"endOfRecords": False}, True),
        ({"end_of_data": "no"}, True),
        ({"meta": {"is_last_page": False}}, True),
        ({"last": "false"}, True),
        ({"exceededTransferLimit": True}, True),
        ({"moreItemsInCollection": True}, True),
        ({"hasMoreResults": True}, True),
        ({"more": "yes"}, True),
        ({"recordCount": 43}, True),
        ({"rows_left": 36}, True),
        ({"lastKey": "abc"}, True),
        ({"finished": False}, False),
        ({"complete": False}, False),
        ({"partial": True}, False),
        ({"incomplete": True}, False),
        ({"limit_reached": True}, False),
    ],
)
def test_words_for_more_pages(body: dict[str, Any], is_sure: bool) -> None:
    """Sure of pages, an error; such as may speak of something else, a warning."""
    if is_sure:
        with pytest.raises(BadDataError, match="seems to have a next"):
            read({}, lambda _: {"data": ROWS, **body}, "$.data[*]")
    else:
        rows, warnings = read({}, lambda _: {"data": ROWS, **body}, "$.data[*]")
        assert rows == ROWS
        assert len(warnings) == 1
        assert "seems to have a next" in warnings[0]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "done",
            "isLast",
            "endOfRecords",
            "end_of_stream",
            "complete",
            "isFinished",
            "is_last_page",
            "isFinalPage",
        ),
        *(
            "last_batch",
            "no_more_data",
            "isDone",
            "all_done",
            "exhausted",
            "eof",
            "reachedEnd",
            "fully_completed",
        ),
    ],
)
def test_a_flag_of_the_end_is_no_has_more(name: str) -> None:
    def answer(params: Mapping[str, str]) -> Any:
        start = 3 * (int(params["page"]) - 1)
        return {"data": ROWS[start : start + 3], name: start >= 6}

    for path in (f"$.{name}", f"$['{name}']"):
        with pytest.raises(ConfigurationError, match="by its name is true on the last page") as caught:
            read({"type": "page", "has_more": path}, answer)
        advised = re.search(r'say `("is_last": "[^"]+")`', str(caught.value))
        assert advised is not None
        assert read({"type": "page", **json.loads(f"{{{advised[1]}}}")}, answer) == (ROWS, [])
    assert read({"type": "page"}, answer) == (ROWS, [])


@pytest.mark.parametrize("name", ["has_more", "hasNextPage", "moreResult", "next", "more_results_available"])
def test_a_flag_of_more_is_no_is_last(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f'say `"has_more": "\\$.{name}"`'):
        read({"type": "page", "is_last": f"$.{name}"}, lambda _: {"data": ROWS[:3], name: True})


def test_what_is_last_says() -> None:
    def answer(value: Any) -> Answer:
        return by(
            "offset", lambda n, rows: {"data": rows, "at_end": n is None, "flag": value, "next_offset": n}
        )

    by_flag = {"type": "offset", "is_last": "$.at_end"}
    assert read(by_flag, answer(None), "$.data[*]") == (ROWS, [])
    for always in (True, 1, "yes"):
        rows, warnings = read({**by_flag, "is_last": "$.flag"}, answer(always), "$.data[*]")
        assert len(rows) == SIZE
        assert (
            "would be the last (`is_last`) and seems to have a next: `$.next_offset` holds a token"
            in warnings[0]
        )
    by_token = {"type": "cursor", "cursor": "$.next_offset", "param": "offset"}
    for never in (False, 0, None, "no"):
        assert read({**by_token, "is_last": "$.flag"}, answer(never), "$.data[*]") == (ROWS, [])
    with pytest.raises(BadDataError, match=r"100 pages of stream rows in a row.*`\$.flag` still says"):
        read({**by_flag, "is_last": "$.flag"}, answer(False), "$.data[*]", limit=1000)
    with pytest.raises(BadDataError, match=r"Expected true or false at `\$.flag` on page 1"):
        read({**by_flag, "is_last": "$.flag"}, answer("3"), "$.data[*]")
    with pytest.raises(BadDataError, match=r"Expected `\$.end` on the first page"):
        read({**by_flag, "is_last": "$.end"}, answer(None), "$.data[*]")


def by_time(**flags: Callable[[bool], Any]) -> Answer:
    """From a point in time on, it included, as Zendesk's incremental export: the last page leads to itself."""

    def answer(params: Mapping[str, str]) -> Any:
        rows = [row for row in ROWS if row["id"] >= int(params.get("start_time", "0"))][:SIZE]
        told = {name: flag(len(rows) < SIZE) for name, flag in flags.items()}
        return {"tickets": rows, "next_page": f"http://x/rows?start_time={rows[-1]['id']}", **told}

    return answer


def at_mark(params: Mapping[str, str]) -> Any:
    """As Solr: behind the last row the mark that was sent comes again, without rows."""
    start = int(params.get("cursorMark", "*").replace("*", "AA0").removeprefix("AA"))
    mark = f"AA{min(start + SIZE, len(ROWS))}"
    return {"response": {"docs": ROWS[start : start + SIZE]}, "nextCursorMark": mark}


CIRCLES: dict[str, tuple[dict[str, Any], Answer, str, dict[str, Any]]] = {
    # pagination, server, records, what has to be added
    "a URL, and `end_of_stream`": (
        {"type": "next_url", "next": "$.next_page"},
        by_time(end_of_stream=bool, count=lambda _: 3),
        "$.tickets[*]",
        {"is_last": "$.end_of_stream"},
    ),
    "a URL, and `has_more`": (
        {"type": "next_url", "next": "$.next_page"},
        by_time(has_more=lambda is_last: not is_last),
        "$.tickets[*]",
        {"has_more": "$.has_more"},
    ),
    "a URL, and no flag": (
        {"type": "next_url", "next": "$.next_page"},
        by_time(),
        "$.tickets[*]",
        {"size": SIZE, "stop_on_short_page": True, "unread": "warn"},
    ),
    "a mark without rows": (
        {"type": "cursor", "cursor": "$.nextCursorMark", "param": "cursorMark"},
        at_mark,
        "$.response.docs[*]",
        {"empty_page": "stop"},
    ),
    "a token, and `moreResult`": (
        {"type": "cursor", "cursor": "$.nextPageToken", "param": "nextPageToken"},
        by(
            "nextPageToken",
            lambda n, rows: {"result": rows, "nextPageToken": str(n or 6), "moreResult": n is not None},
        ),
        "$.result[*]",
        {"has_more": "$.moreResult"},
    ),
    "a token that is 0": (
        {"type": "cursor", "cursor": "$.cursor"},
        by("cursor", lambda n, rows: {"data": rows, "cursor": n or 0}),
        "$.data[*]",
        {"has_more": "$.cursor"},
    ),
    "a header that is 0": (
        {"type": "header_cursor", "header": "X-Cursor"},
        by("cursor", lambda n, rows: ({"data": rows}, {"X-Cursor": str(n or 0)})),
        "$.data[*]",
        {"has_more": "header:X-Cursor"},
    ),
}


TOLD_BY_FLAG = (
    "a URL, and `end_of_stream`",
    "a URL, and `has_more`",
    "a token, and `moreResult`",
    "a token that is 0",
    "a header that is 0",
)


@pytest.mark.parametrize("name", CIRCLES)
def test_a_last_page_that_leads_back(name: str) -> None:
    """A flag, or a token of 0, says that it is the last; without one, the line that the sentence offers, as printed, reads all rows without a warning."""
    pagination, answer, records, added = CIRCLES[name]
    if name in TOLD_BY_FLAG:
        assert read(pagination, answer, records) == read(pagination | added, answer, records)
        assert read(pagination, answer, records)[1] == []
        return
    with pytest.raises(BadDataError, match="go round in circles") as caught:
        read(pagination, answer, records)
    line = re.search(r'`("pagination": {.*?})`', str(caught.value))
    assert line is not None, caught.value
    advised = json.loads(f"{{{line[1]}}}")["pagination"]
    assert advised == pagination | added
    rows, warnings = read(advised, answer, records)
    assert {row["id"] for row in rows} == {row["id"] for row in ROWS}
    assert len(warnings) == ("unread" in added)


def by_number(name: str, made: Callable[[int, bool, list[Any]], Any]) -> Answer:
    """Pages from 1 on; behind the last there is none."""

    def answer(params: Mapping[str, str]) -> Any:
        number = int(params.get(name) or 1)
        rows = ROWS[(number - 1) * SIZE : number * SIZE]
        if not rows:
            raise LookupError("404")
        return made(number, number * SIZE >= len(ROWS), rows)

    return answer


FOLLOWED: dict[str, tuple[Answer, str, dict[str, str]]] = {
    "Zendesk by time": (by_time(end_of_stream=bool), "$.tickets[*]", {}),
    "Zendesk by cursor": (
        by(
            "cursor",
            lambda n, rows: {
                "tickets": rows,
                "after_cursor": str(n or 7),
                "after_url": f"http://x/rows?cursor={n or 7}",
                "end_of_stream": n is None,
            },
        ),
        "$.tickets[*]",
        {},
    ),
    "a cursor whose parameter is another": (
        by("cursor", lambda n, rows: {"data": rows, "after_cursor": str(n or 7), "end_of_stream": n is None}),
        "$.data[*]",
        {},
    ),
    "Solr": (at_mark, "$.response.docs[*]", {"cursorMark": "*", "rows": "3"}),
    "Marketo": (CIRCLES["a token, and `moreResult`"][1], "$.result[*]", {}),
    "GBIF": (
        by(
            "offset",
            lambda n, rows: {"offset": (n or 9) - 3, "limit": 3, "endOfRecords": n is None, "results": rows},
        ),
        "$.results[*]",
        {},
    ),
    "pages that end with 404": (
        by_number("page", lambda number, is_last, rows: {"data": rows, "page": number, "is_last": is_last}),
        "$.data[*]",
        {},
    ),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_who_does_what_the_sentences_say_reads_all(name: str) -> None:
    """From no `pagination` on, each line as it is printed."""
    answer, records, params = FOLLOWED[name]
    pagination: dict[str, Any] = {}
    for _ in range(5):
        try:
            rows, warnings = read(pagination, answer, records, params)
        except BadDataError as error:
            pagination = advised(str(error), pagination)
        else:
            break
    assert {row["id"] for row in rows} == {row["id"] for row in ROWS}
    assert warnings == []


def advised(sentence: str, pagination: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `pagination` that a sentence offers, or the present one with the `param` that it offers."""
    whole = re.search(r'`"pagination": ({.*?})`', sentence)
    if whole is not None:
        return dict(json.loads(whole[1]))
    part = re.search(r'`("param": "[^"]+")`', sentence)
    assert part is not None, sentence
    return {**pagination, **json.loads(f"{{{part[1]}}}")}


def test_a_circle_without_a_sign_of_an_end() -> None:
    with pytest.raises(
        BadDataError, match=r"circles.*or say there what else shows that a page is the last \(`is_last`"
    ):
        read({"type": "next_url"}, lambda _: {"data": ROWS, "next": "http://x/rows"}, "$.data[*]")


@pytest.mark.parametrize(
    "name", ["has_last_page_ahead", "notFinished", "moreUntilEnd", "incomplete", "end_cursor", "lastKey"]
)
def test_a_flag_that_speaks_of_more_is_one(name: str) -> None:
    def answer(params: Mapping[str, str]) -> Any:
        start = 3 * (int(params["page"]) - 1)
        return {"data": ROWS[start : start + 3], name: start < 6}

    assert read({"type": "page", "has_more": f"$.{name}"}, answer) == (ROWS, [])


def test_a_has_more_that_is_always_true_ends_at_last() -> None:
    """Of numbered pages that are empty for ever; who says `continue` has said that records may follow."""

    def answer(params: Mapping[str, str]) -> Any:
        return {"data": ROWS if params["page"] == "1" else [], "more": True}

    page = {"type": "page", "has_more": "$.more"}
    with pytest.raises(
        BadDataError, match=r"100 pages of stream rows in a row.* the last is page 101.*`stop`"
    ):
        read(page, answer, limit=1000)
    rows, warnings = read({**page, "empty_page": "stop"}, answer, limit=1000)
    assert rows == ROWS
    assert "`$.more` is true" in warnings[0]
    with pytest.raises(BadDataError, match="more than 200 pages"):
        read({**page, "empty_page": "continue"}, answer, limit=200)


def test_a_full_page_where_the_token_was_never_seen() -> None:
    """A first run of a path that is mistyped looks so; a later run, and a token seen before, have proved the config."""
    cursor = {"type": "cursor", "cursor": "$.next", "size": 7}

    def answer(_params: Mapping[str, str]) -> Any:
        return {"data": ROWS}

    with pytest.raises(BadDataError, match=r"exactly the 7 rows that `limit` asks for.*\"unread\": \"warn\""):
        read(cursor, answer)
    assert len(read({**cursor, "unread": "warn"}, answer)[1]) == 1
    assert len(read(cursor, answer, is_first=False)[1]) == 1
    assert read(cursor, lambda _: {"data": ROWS, "next": None}) == (ROWS, [])
    experience = Experience()
    read({"type": "cursor", "cursor": "$.next"}, token("next", "cursor"), experience=experience)
    assert read(cursor, answer, experience=experience) == (ROWS, [])
    assert len(read({"type": "link_header", "size": 7}, lambda _: (ROWS, {}), is_first=False)[1]) == 1
    assert read({"type": "link_header", "size": 7}, lambda _: (ROWS, {"Link": "</x>; rel=first"})) == (
        ROWS,
        [],
    )
    assert (
        read({**cursor, "cursor": "$.paging.next.after"}, lambda _: {"data": ROWS, "paging": {"next": {}}})[1]
        != []
    )


# Totals


def totals(total: Callable[[int, int], int], **more: Any) -> Answer:
    """Seven rows by three at `offset`; ``total`` of the rows that came before and the rows of the page."""

    def answer(params: Mapping[str, str]) -> Any:
        start = int(params.get("offset") or 0)
        rows = ROWS[start : start + SIZE]
        return {"data": rows, "total": total(start, len(rows)), **more}

    return answer


OFFSET = {"type": "offset", "total_count": "$.total", "size": SIZE}


@pytest.mark.parametrize(
    ("name", "total", "warned"),
    [
        ("of all rows", lambda _start, _rows: 7, 0),
        ("what is left", lambda start, rows: 7 - start - rows, 1),
        ("falls", lambda start, _rows: 5 if start else 7, 1),
        ("falls and comes back", lambda start, _rows: 2 if start == 3 else 7, 1),
        ("grows", lambda start, _rows: 7 + min(start, 2), 1),
        ("none", lambda _start, _rows: 0, 1),
    ],
)
def test_a_total_below_what_came_ends_no_read(name: str, total: Any, warned: int) -> None:
    rows, warnings = read(OFFSET, totals(total))
    assert rows == ROWS, name
    assert bool(warnings) == bool(warned), warnings


def test_a_total_of_the_page_is_no_total() -> None:
    """Its first page reaches it; where the page is full, and the answer shows another, that is an error."""
    of_page = totals(lambda _start, rows: rows)
    rows, warnings = read(OFFSET, of_page)
    assert rows == ROWS[:SIZE]
    assert "exactly the 3 rows that `limit` asks for" in warnings[0]
    for more in ({"has_more": True}, {"next": "/x"}, {"pages": 3}, {"meta": {"total_count": 7}}):
        with pytest.raises(BadDataError, match="would be the last"):
            read(OFFSET, totals(lambda _start, rows: rows, **more))
        whole = {"type": "offset", "size": 10, "total_count": "$.total"}
        assert read(whole, lambda _: {"data": ROWS, "total": 7, **more})[0] == ROWS  # noqa: B023  read at once


def test_a_number_of_pages_that_is_none() -> None:
    """`$.page` is the number of the page, and reached by each."""

    def answer(params: Mapping[str, str]) -> Any:
        page = int(params["page"])
        return {"data": ROWS[(page - 1) * 3 : page * 3], "page": page, "total": 7, "left": 3 - page}

    with pytest.raises(BadDataError, match=r"`\$.total` is 7 and 3 rows came"):
        read({"type": "page", "size": 3, "total_pages": "$.page"}, answer)
    rows, warnings = read({"type": "page", "size": 3, "total_pages": "$.left"}, answer)
    assert rows == ROWS
    assert "says 1 page on page 2 of stream rows, below the 2" in warnings[0]


def test_a_first_page_without_records_and_a_total_above() -> None:
    """Pages that begin with 0 or 1, and the other way round; the total tells."""
    for rule in ({}, {"total_count": "$.total"}):
        page = {"type": "page", "size": 10, **rule}
        with pytest.raises(BadDataError, match=r"`\$.total`"):
            read(page, lambda params: {"data": ROWS if params["page"] == "0" else [], "total": 7})
        rows, warnings = read(page, lambda _: {"data": [], "total": 7}, is_first=False)
        assert rows == []
        assert warnings
    assert read({"type": "page"}, lambda _: {"data": [], "total": 0}) == ([], [])


def test_empty_pages_that_stand_for_rows_are_told() -> None:
    pages = iter([ROWS[:2], [], []])
    rows, warnings = read(
        {"type": "page", "size": 3, "total_count": "$.total"}, lambda _: {"data": next(pages), "total": 7}
    )
    assert rows == ROWS[:2]
    assert "says 7 rows" in warnings[0]
    assert "and 2 came" in warnings[0]


# Keyset

KEYSET = {"type": "keyset", "field": "k", "param": "k", "template": "gt.{value}"}


def keyset(values: list[Any], *, size: int = 3, at_least: bool = False, ordered: bool = True) -> Answer:
    def answer(params: Mapping[str, str]) -> Any:
        after = params.get("k")
        if after is None:
            return [{"k": value} for value in values[:size]]
        last = json.loads(after.removeprefix("gt."))
        following = (
            [value for value in values if value >= last]
            if at_least
            else [value for value in values if value > last]
        )
        return [{"k": value} for value in (sorted(following) if ordered else following)[:size]]

    return answer


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, 2, 2, 2, 3, 4], "have the same value of `k`"),
        ([5, 5, 5, 5, 5], "have the same value of `k`"),
        ([1, 1.0, 2, 3], "have the same value of `k`"),
        ([1, 3, 2, 4, 5, 6], "do not come in the order of `k`"),
    ],
)
def test_a_field_that_is_not_unique_or_not_in_order(values: list[Any], words: str) -> None:
    with pytest.raises(BadDataError, match=words):
        read(KEYSET, keyset(values, ordered=False))


def test_a_server_that_answers_from_the_value_on() -> None:
    with pytest.raises(BadDataError, match="comes again on page 2"):
        read(KEYSET, keyset([1, 2, 3, 4, 5], at_least=True))


@pytest.mark.parametrize("values", [[1, 2, 3, 4, 5, 6, 7], [-2, 0, 10, 100], [1]])
def test_a_field_that_is_unique_and_in_order(values: list[Any]) -> None:
    rows, warnings = read(KEYSET, keyset(values))
    assert [row["k"] for row in rows] == values
    assert warnings == []


def test_numbers_in_text_have_the_order_of_text() -> None:
    pages = iter([[{"k": "1"}, {"k": "10"}, {"k": "9"}], [{"k": "9e1"}, {"k": "90"}, {"k": "090"}], []])
    assert read(KEYSET, lambda _: next(pages))[1] == []


def test_an_order_that_only_the_server_knows_is_a_warning() -> None:
    """After `starting_after` a server looks the record up, and its order may be another one."""
    pages = [[{"k": 9}, {"k": 2}], [{"k": 5}, {"k": 1}], []]
    answers = iter(pages)
    rows, warnings = read(
        {"type": "keyset", "field": "k", "param": "starting_after"}, lambda _: next(answers)
    )
    assert [row["k"] for row in rows] == [9, 2, 5, 1]
    assert "do not come in the order of `k`" in warnings[0]
    texts = iter([[{"k": "b"}, {"k": "A"}], [{"k": "Z"}], []])  # whose order is the server's
    assert read(KEYSET, lambda _: next(texts))[1] == []


# Answers that are not whole

ROW = [{"id": 1}]


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"rows": ROW}, "errors": [{"message": "no access to three of them"}]},
        {"data": {"rows": ROW}, "error": {"code": 5, "message": "no access to three of them"}},
        {"data": {"rows": ROW}, "errors": {"orders": ["no access to three of them"]}},
        {"data": {"rows": ROW}, "error": "no access to three of them"},
        {"data": {"rows": ROW}, "success": False},
        {"data": {"rows": ROW}, "ok": False},
        {"data": {"rows": ROW}, "timed_out": True},
        {"data": {"rows": ROW}, "_shards": {"total": 5, "successful": 4, "failed": 1}},
        {"data": {"rows": ROW}, "incomplete_results": True},
    ],
)
@pytest.mark.parametrize("records", ["$.data.rows[*]", "$.data.rows[?(@.id > 0)]"])
def test_records_with_an_error_beside_them(body: Any, records: str) -> None:
    """GraphQL answers with status 200, what it could read, and the errors of the rest."""
    response = Response("http://x/rows", 200, {}, json.dumps(body).encode())
    with pytest.raises(BadDataError, match=r'`"partial_answers": "warn"` in stream rows') as error:
        PageReader("rows", records, [], "fail").read(response, "page 1 of stream rows")
    assert ("no access" in str(error.value)) == ("no access" in json.dumps(body))
    assert '"id"' not in str(error.value)
    warnings: list[str] = []
    page = PageReader("rows", records, [], "fail", "warn", warnings.append).read(response, "page 1")
    assert [json.loads(bytes(record)) for record in page.records] == ROW
    assert len(warnings) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"errors": []},
        {"errors": None, "error": None},
        {"error": False},
        {"error": {}},
        {"error": {"code": 0, "message": "all well"}},
        {"error": {"code": None, "text": ""}},
        {"error": "none"},
        {"errors": 0},
        {"ok": True, "success": "true", "timed_out": False, "incomplete_results": False},
        {"_shards": {"total": 5, "failed": 0}},
        {"rows": [{"error": "of a row", "success": False, "errors": [1]}]},
        {"status": "failed", "message": "of a job"},
    ],
)
def test_records_without_an_error_beside_them(more: Any) -> None:
    response = Response("http://x/rows", 200, {}, json.dumps({"rows": ROW} | more).encode())
    warnings: list[str] = []
    page = PageReader("rows", "$.rows[*]", [], "fail", "warn", warnings.append).read(response, "page 1")
    assert len(page.records) == 1
    assert warnings == []
    whole = Response("http://x/rows", 200, {}, json.dumps([{"errors": ["of a row"]}]).encode())
    assert len(PageReader("rows", None, [], "fail").read(whole, "page 1").records) == 1


# Where pages begin, and pages that come again

BEFORE: dict[str, Callable[[int], Any]] = {
    "Spring Data": lambda page: {"data": ROWS[page * 3 : page * 3 + 3], "number": page, "first": page == 0},
    "a URL": lambda page: {
        "data": ROWS[page * 3 : page * 3 + 3],
        "links": {"prev": f"/x?p={page - 1}" if page else None},
    },
    "HAL": lambda page: {
        "data": ROWS[page * 3 : page * 3 + 3],
        "_links": {"prev": {"href": "/x"}} if page else {},
    },
    "a list": lambda page: {
        "data": ROWS[page * 3 : page * 3 + 3],
        "link": [{"relation": "previous" if page else "self", "url": "/x"}],
    },
    "a flag": lambda page: {"data": ROWS[page * 3 : page * 3 + 3], "page_info": {"has_previous": page > 0}},
    "a Link header": lambda page: (
        {"data": ROWS[page * 3 : page * 3 + 3]},
        {"Link": f"</x>; rel={'prev' if page else 'last'}"},
    ),
    "a header": lambda page: ({"data": ROWS[page * 3 : page * 3 + 3]}, {"X-Previous-Page": "p" * page}),
}


@pytest.mark.parametrize("name", BEFORE)
def test_pages_that_are_counted_from_0(name: str) -> None:
    """The first of them was never asked for."""

    def answer(params: Mapping[str, str]) -> Any:
        return BEFORE[name](int(params["page"]))

    with pytest.raises(BadDataError, match="seems to have one before it") as error:
        read({"type": "page"}, answer, "$.data[*]")
    assert read(offered(str(error.value)), answer, "$.data[*]") == (ROWS, [])
    assert read({"type": "page", "start": 1}, answer, "$.data[*]")[0] == ROWS[3:]
    rows, warnings = read({"type": "page", "unread": "warn"}, answer, "$.data[*]")
    assert rows == ROWS[3:]
    assert "one before it" in warnings[0]
    assert read({"type": "page"}, lambda params: BEFORE[name](int(params["page"]) - 1), "$.data[*]") == (
        ROWS,
        [],
    )


def test_the_line_that_is_offered_for_a_first_page_without_records() -> None:
    def answer(params: Mapping[str, str]) -> Any:
        return {"data": ROWS if params["page"] == "0" else [], "total": 7}

    with pytest.raises(BadDataError) as error:
        read({"type": "page", "size": 10}, answer)
    assert offered(str(error.value)) == {"type": "page", "size": 10, "start": 0}
    assert read(offered(str(error.value)), answer) == (ROWS, [])


@pytest.mark.parametrize(
    "pagination",
    [
        {"type": "page"},
        {"type": "offset", "total_count": "$.total"},
        {"type": "cursor", "cursor": "$.next"},
        {"type": "cursor", "cursor": "$.next", "request_header": "X-At"},
        {"type": "header_cursor", "header": "X-Next"},
    ],
)
def test_a_page_that_comes_again_in_other_surroundings(pagination: Any) -> None:
    """The server ignores the parameter, and says the time with each answer; a total was reached by the same rows."""
    times = iter(range(1, 100))

    def answer(_params: Mapping[str, str]) -> Any:
        time = next(times)
        return {"data": ROWS[:3], "at": time, "next": f"t{time}", "total": 7}, {"X-Next": f"t{time}"}

    with pytest.raises(BadDataError, match="Page 2 of stream rows equals the page before") as error:
        read(pagination, answer)
    assert ("header `X-At`" in str(error.value)) == ("request_header" in pagination)


def test_rows_that_come_in_while_pages_are_read_are_none_that_were_left_out() -> None:
    """A total that the first page told has come; the second tells a greater one."""

    def answer(params: Mapping[str, str], told: int = 2) -> Any:
        page = int(params["page"])
        return {"data": [ROWS[:2], []][page - 1], "total": told - 1 + page, "pages": page}

    assert read({"type": "page"}, answer) == (ROWS[:2], [])
    rows, warnings = read({"type": "page"}, lambda params: answer(params, 3))
    assert (rows, len(warnings)) == (ROWS[:2], 1)
    assert "`$.total` is 4 and 2 rows came" in warnings[0]


def test_a_page_that_comes_again_where_the_one_before_is_another_by_now() -> None:
    """Rows that come in shift others: one of them comes again, and the server does listen."""
    asked: list[int] = []
    pages = Pages(msgspec.convert({"type": "offset", "size": 3}, Pagination), "rows", 50)
    reader = PageReader("rows", None, [], "fail")

    def page_at(step: Step) -> ReadPage:
        rows = [{"id": 1}] if not asked else [{"id": 5}, {"id": 1}]
        asked.append(step.position)
        body = json.dumps({"data": rows[step.position :]}).encode()
        response = Response(f"http://x/rows?{urlencode(step.sent)}", 200, {}, body)
        return reader.read(response, "a page of stream rows")

    first = pages.first
    second = pages.after(first, page_at(first))
    assert second is not None
    third = pages.after(second, page_at(second), before_now=lambda: page_at(first).came)
    assert third is not None
    assert pages.after(third, page_at(third)) is None
    assert asked == [0, 1, 0, 2]


def test_a_template_that_leaves_a_part_of_the_path_open_is_no_link() -> None:
    link = {"href": "/rows/{after}", "templated": True}
    with pytest.raises(BadDataError, match=r"a template that leaves `\{after\}` open; name another link"):
        read({"type": "hateoas"}, lambda _: {"data": ROWS[:3], "_links": {"next": link}})


def detected(body: Any, **more: Any) -> list[Any]:
    response = Response("http://x/rows", 200, {}, json.dumps(body).encode())
    return list(
        PageReader("rows", more.get("records"), [], "empty", warn=more.get("warn", print))
        .read(response, "p")
        .records
    )


@pytest.mark.parametrize(
    "body", [{"tickets": [], "users": ROW}, {"tickets": ROW, "users": []}, {"a": [], "b": []}]
)
def test_an_empty_array_beside_records_may_be_the_records(body: Any) -> None:
    """Nothing new, and what comes along with it: users were taken for tickets."""
    with pytest.raises(ConfigurationError, match="More than one array"):
        detected(body)
    assert len(detected({"tickets": ROW, "errors": [], "warnings": [], "tags": ["a"], "links": []})) == 1


def test_what_is_taken_for_no_records_while_others_are_there() -> None:
    warnings: list[str] = []
    assert detected({"data": ROW}, records="$.dta[*]", warn=warnings.append) == []
    assert "`$.data[*]` holds some" in warnings[0]
    for body in ({"dta": None, "users": ROW}, {"data": [], "n": 1}, {"n": [1]}):
        assert detected(body, records="$.dta[*]", warn=warnings.append) == []
    assert len(warnings) == 1


def test_pages_from_0_that_only_a_total_shows() -> None:
    """Spring Data without `first`: the last page says that it is the last, and the first was never read."""

    def answer(params: Mapping[str, str]) -> Any:
        page = int(params["page"])
        return {"data": ROWS[page * 3 : page * 3 + 3], "last": page >= 2, "number": page, "total": 7}

    rows, warnings = read({"type": "page"}, answer)
    assert rows == ROWS[3:]
    assert "`$.total` is 7 and 4 rows came" in warnings[0]
    assert read(offered(warnings[0]), answer) == (ROWS, [])
    rows, warnings = read({"type": "page", "start": 1}, answer)
    assert rows == ROWS[3:]
    assert read(offered(warnings[0]), answer) == (ROWS, [])
    rows, warnings = read({"type": "page"}, answer, is_first=False)
    assert rows == ROWS[3:]
    assert read(offered(warnings[0]), answer) == (ROWS, [])
    short = {"type": "page", "size": 3, "stop_on_short_page": True}
    assert read(offered(read(short, answer)[1][0]), answer) == (ROWS, [])
    counted = {"type": "page", "total_pages": "$.pages"}
    rows, warnings = read(counted, lambda params: {**answer(params), "pages": 3})
    assert rows == ROWS[3:]
    assert "`$.pages` counts page 3 of stream rows and it has no records" in warnings[0]
    assert read({**counted, "start": 0}, lambda params: {**answer(params), "pages": 3}) == (ROWS, [])


def capped(rows: Sequence[Any], cap: int, asked: list[int], *, by_size: bool = False) -> Answer:
    """A server that gives ``cap`` rows at most, and counts pages by that, or ``by_size``."""

    def answer(params: Mapping[str, str]) -> Any:
        given = min(cap, int(params["per_page"]))
        start = (int(params["page"]) - 1) * (int(params["per_page"]) if by_size else given)
        asked.append(start)
        return rows[start : start + given]

    return answer


@pytest.mark.parametrize(("cap", "count"), [(3, 7), (3, 6), (3, 3), (4, 7), (1, 2)])
def test_a_page_is_no_shorter_than_the_server_gives(cap: int, count: int) -> None:
    """`stop_on_short_page` took the first page of a server that caps them for the last, without a word."""
    rows = [{"id": number} for number in range(count)]
    short = {"type": "page", "size": 5, "stop_on_short_page": True}
    read_rows, warnings = read(short, capped(rows, cap, []))
    assert read_rows == rows
    assert len(warnings) == (count > cap)
    if warnings:
        assert offered(warnings[0]) == {**short, "size": cap}
        assert read(offered(warnings[0]), capped(rows, cap, [])) == (rows, [])


def test_a_server_that_caps_pages_and_counts_them_by_size_is_told_of() -> None:
    rows = [{"id": number} for number in range(7)]
    paged = {"type": "page", "size": 5}
    read_rows, warnings = read(paged, capped(rows, 3, [], by_size=True))
    assert len(read_rows) == 5, "such a server leaves rows out, and nothing in its answers shows it"
    assert "a server that caps them" in warnings[0]
    assert read(offered(warnings[0]), capped(rows, 3, [], by_size=True)) == (rows, [])


def test_one_page_more_is_asked_for_only_while_no_larger_one_has_come() -> None:
    """Of children with a short page each, the requests would double."""
    experience, requests = Experience(), []
    for count in (3, 1, 3, 2, 4, 4, 3):
        asked: list[int] = []
        rows = [{"id": number} for number in range(count)]
        short = {"type": "page", "size": 5, "stop_on_short_page": True}
        assert read(short, capped(rows, 5, asked), experience=experience) == (rows, [])
        requests.append(len(asked))
    assert requests == [2, 1, 2, 1, 2, 2, 1]


WRONG = [
    {"type": "unsaid"},
    {"type": "page"},
    {"type": "page", "size": 3},
    {"type": "page", "size": 3, "stop_on_short_page": True},
    {"type": "page", "start": 0},
    {"type": "page", "param": "p"},
    {"type": "offset"},
    {"type": "offset", "size": 3},
    {"type": "offset", "size": 3, "stop_on_short_page": True},
    {"type": "offset", "param": "skip"},
    {"type": "cursor", "cursor": "$.next"},
    {"type": "cursor", "cursor": "$.next", "size": 3},
    {"type": "cursor", "cursor": "$.meta.next"},
    {"type": "cursor", "cursor": "$.next_cursor", "param": "after"},
    {"type": "next_url"},
    {"type": "next_url", "next": "$.links.next"},
    {"type": "link_header"},
    {"type": "hateoas"},
    {"type": "header_cursor", "header": "X-Next"},
    {"type": "keyset", "field": "id", "param": "id"},
    {"type": "keyset", "field": "id", "param": "since_id", "size": 3},
]


def from_route(route: Any) -> Answer:
    """Ask a route of test_unread.py in process."""

    def answer(params: Mapping[str, str]) -> Any:
        query = urlencode(params)
        asked = Asked("/rows", parse_qs(query), {"Host": "x"}, f"/rows?{query}")
        reply = route(asked)
        return json.loads(reply.body), reply.headers

    return answer


TOTALS = ["$.total", "$.count", "$.size", "$.totalElements", "$.meta.total", "$.number", "header:X-Total"]
PAGES = ["$.pages", "$.number", "$.totalPages", "$.meta.current_page", "$.meta.last_page", "$.size"]
FLAGS = ["$.has_more", "$.last", "$.next", "$.done", "$.total", "$.number", "$.startAt", "$.next_page"]
RULES = [
    {"total_count": "header:Content-Range"},
    *({"total_count": path} for path in TOTALS),
    *({"total_pages": path} for path in PAGES),
    *({"has_more": path} for path in FLAGS),
]


@pytest.mark.parametrize("rule", RULES, ids=json.dumps)
def test_no_rule_of_the_end_leaves_rows_out_in_silence(rule: dict[str, Any]) -> None:
    for kind in ({"type": "page"}, {"type": "page", "size": 3, "start": 1}, {"type": "offset", "size": 3}):
        test_no_pagination_leaves_rows_out_in_silence(kind | rule)
    for kind in ({"type": "offset"}, {"type": "next_url"}, {"type": "page", "start": 0}):
        test_no_pagination_leaves_rows_out_in_silence(kind | rule)


@pytest.mark.parametrize("pagination", WRONG, ids=json.dumps)
def test_no_pagination_leaves_rows_out_in_silence(pagination: dict[str, Any]) -> None:
    """Every kind against every shape of API, most of them wrong: all rows once, or an error, or a warning."""
    servers = {f"{name}, served": (from_route(route), at) for name, (route, at, _) in API_SHAPES.items()}
    servers |= {name: (answer, None) for name, answer in SHAPES.items()}
    silent = []
    for name, (answer, records) in servers.items():
        try:
            rows, warnings = read(pagination, answer, records)
        except (BadDataError, ConfigurationError):
            continue
        if rows != ROWS and not warnings:
            silent.append((name, rows))
    assert silent == []


@pytest.mark.parametrize("field", ['a"b', "a\\b", "a b", "a.b"])
def test_a_field_of_keyset_with_an_odd_name(field: str) -> None:
    outer, _, inner = field.partition(".")
    pages = iter(
        [[{outer: {inner: n} if inner else n} for n in (1, 2)], [{outer: {inner: 3} if inner else 3}], []]
    )
    rows, _ = read(KEYSET | {"field": field}, lambda _: next(pages))
    assert len(rows) == 3
    twice = [{outer: {inner: 1} if inner else 1}] * 2
    with pytest.raises(BadDataError, match="have the same value"):
        read(KEYSET | {"field": field}, lambda _: twice)


def scrolling(rows: Sequence[Mapping[str, Any]], token: str = "DnF1ZXJ5") -> Answer:
    """A source that keeps the place itself, and has one token for all pages."""
    place = iter(range(0, 1000, SIZE))

    def answer(_: Mapping[str, str]) -> Any:
        at = next(place)
        return {
            "total": len(rows),
            "data": list(rows[at : at + SIZE]),
            "on": at + SIZE < len(rows),
            "next": token,
        }

    return answer


ENDS: dict[str, dict[str, Any]] = {
    "total_count": {"total_count": "$.total"},
    "has_more": {"has_more": "$.on"},
    "an empty page": {"empty_page": "stop"},
    "a short page": {"size": SIZE, "stop_on_short_page": True},
}


@pytest.mark.parametrize("end", ENDS)
def test_a_token_that_is_the_same_on_each_page(end: str) -> None:
    """The advice of the error has been taken."""
    scroll = {"type": "cursor", "cursor": "$.next", "param": "scroll_id"}
    with pytest.raises(
        BadDataError, match=r"circles.*what else shows that a page is the last.*`total_count`"
    ):
        read(scroll, scrolling(ROWS[:6]), "$.data[*]")
    rows, warnings = read(scroll | ENDS[end], scrolling(ROWS), "$.data[*]")
    assert rows == ROWS
    assert warnings == []


@pytest.mark.parametrize("more", [{}, {"allow_repeated_pages": True}])
@pytest.mark.parametrize("order", [(0, 0, 0), (0, 3, 0, 3), (0, 3, 3)])
def test_pages_that_are_equal_are_a_circle_whatever_the_total_says(
    order: Sequence[int], more: dict[str, Any]
) -> None:
    places = iter(order)

    def answer(_: Mapping[str, str]) -> Any:
        at = next(places)
        return {"total": 99, "data": ROWS[at : at + SIZE], "next": "same"}

    pagination = {"type": "cursor", "cursor": "$.next", "total_count": "$.total"} | more
    with pytest.raises(BadDataError, match=r"circles|equals the page before"):
        read(pagination, answer, "$.data[*]")


@pytest.mark.parametrize(("count", "is_told"), [(7, False), (6, False), (100, True), (101, False)])
def test_a_link_on_the_last_page_where_the_total_has_just_come(count: int, is_told: bool) -> None:
    """CKAN has one on each page. A total of a round number on a full page may be a cap."""
    every = [{"id": number} for number in range(count)]
    size = 50 if count > 50 else SIZE

    def answer(params: Mapping[str, str]) -> Any:
        at = int(params.get("offset") or 0)
        links = {"start": "/rows", "next": f"/rows?offset={at + size}"}
        return {"total": count, "data": every[at : at + size], "_links": links}

    rows, warnings = read({"type": "offset", "size": size, "total_count": "$.total"}, answer, "$.data[*]")
    assert rows == every
    assert [("seems to have a next" in warning) for warning in warnings] == [True] * is_told
