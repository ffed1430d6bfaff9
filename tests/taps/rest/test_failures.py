"""An answer with status 200 and without rows that tells of a failure is no end of a read, however it tells it.

In process: a `PageReader` reads what a page with rows says first, then the answer in doubt.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving

from singerkit_shell.errors import BadDataError
from tap_rest.answers.answer import Response
from tap_rest.records.cutting import PageReader

ROWS = [{"id": 1}, {"id": 2}]


def answer(body: Any) -> Response:
    return Response("http://x/rows", 200, {}, json.dumps(body).encode())


def judged(
    body: Any,
    *before: Any,
    records: str = "$.results[*]",
    missing: str = "fail",
    partial: str = "fail",
) -> str | list[str]:
    """Read ``before`` and then ``body``; return the sentence that refuses it, else the warnings."""
    warnings: list[str] = []
    reader = PageReader("rows", records, [], missing, partial, warnings.append)
    for number, page in enumerate(before):
        assert reader.read(answer(page), "page 1", is_first=number == 0).records, page
    try:
        assert reader.read(answer(body), "page 2", is_first=not before).records == []
    except BadDataError as error:
        return str(error)
    return warnings


def busy_in(reader: PageReader, response: Response) -> str | None:
    around = reader.around_none(response)
    return None if around is None else reader.finding_of_busy(response, around)


FAILED: dict[str, tuple[Any, Any]] = {
    # what an answer without rows says, what those with rows say
    "Google": ({"status": "INVALID_REQUEST"}, {"status": "OK"}),
    "Google, limit": ({"status": "OVER_QUERY_LIMIT", "error_message": "You have exceeded"}, {"status": "OK"}),
    "Google, denied": ({"status": "REQUEST_DENIED"}, {"status": "OK"}),
    "errcode": ({"errcode": 45009, "errmsg": "reach max api daily quota limit"}, {}),
    "errcode beside one that is well": ({"errcode": 45009, "errmsg": "x"}, {"errcode": 0, "errmsg": "ok"}),
    "error_code": ({"error_code": 17, "error_msg": "Open api daily request limit reached"}, {}),
    "Lark": ({"code": 99991400, "msg": "request trigger frequency limit"}, {"code": 0, "msg": "success"}),
    "a code": ({"code": 99991400}, {"code": 0}),
    "Flickr": ({"stat": "fail", "code": 105, "message": "Service currently unavailable"}, {"stat": "ok"}),
    "Java": ({"statusCode": 500, "exception": "java.sql.SQLException: timeout"}, {"statusCode": 200}),
    "Solr": ({"responseHeader": {"status": 500}}, {"responseHeader": {"status": 0}}),
    "Solr, a part": (
        {"responseHeader": {"status": 0, "partialResults": True}},
        {"responseHeader": {"status": 0}},
    ),
    "Elasticsearch": ({"timed_out": True}, {"timed_out": False}),
    "ret": ({"ret": -1}, {"ret": 0}),
    "success in text": ({"success": "false"}, {"success": "true"}),
    "status of HTTP": ({"status": 429}, {"status": 200}),
    "status in text": ({"status": "503"}, {}),
    "meta": ({"meta": {"code": 400, "error_type": "OAuthException"}}, {"meta": {"code": 200}}),
    "Apigee": ({"fault": {"faultstring": "Rate limit quota violation", "detail": {"errorcode": "x"}}}, {}),
    "isError": ({"isError": True}, {"isError": False}),
    "hasErrors": ({"hasErrors": True}, {"hasErrors": False}),
    "ErrorCode": ({"ErrorCode": "E17"}, {}),
    "a status below": ({"response": {"status": "error"}}, {"response": {"status": "ok"}}),
    "Etherscan": ({"status": "0", "message": "NOTOK"}, {"status": "1", "message": "OK"}),
    "a number that is no flag": ({"status": 0}, {"status": 1}),
    "Azure": ({"Message": "An error has occurred."}, {}),
    "a word that was never there": ({"message": "We are sorry"}, {}),
    "AWS": ({"__type": "ThrottlingException"}, {}),
    "Jira": ({"errorMessages": ["The value 'X' does not exist"], "errors": {}}, {"errors": {}}),
    "lower case": ({"errormessage": "x"}, {}),
    "status false": ({"status": False}, {"status": True}),
    "errors of nothing": ({"errors": [{"message": "x"}]}, {"errors": []}),
    "a value that is returned": ({"returnValue": -1}, {"returnValue": 0}),
    "a code in a text": ({"returnCode": "1001", "description": "session expired"}, {"returnCode": "0000"}),
    "a described status": (
        {"status": {"code": 17, "description": "backend timeout"}},
        {"status": {"code": 0, "description": "ok"}},
    ),
    "Baidu": ({"status": 302, "message": "天配额超限，限制访问"}, {"status": 0, "message": "ok"}),
    "a key of nobody": (
        {"resultCode": "30", "resultMsg": "SERVICE KEY IS NOT REGISTERED"},
        {"resultCode": "00"},
    ),
    "N": ({"Successful": "N"}, {"Successful": "Y"}),
    "a warning of a limit": ({"warning": "daily limit reached"}, {}),
    "MediaWiki": (
        {"warnings": {"search": {"*": "Search is currently too busy. Please try again later."}}},
        {},
    ),
    "calls that are exhausted": ({"info": "API calls exhausted"}, {}),
    "throttled": ({"throttled": True}, {"throttled": False}),
    "denied": ({"access": "denied"}, {"access": "granted"}),
    "a login": ({"login_required": True}, {}),
    "maintenance": ({"maintenance": True}, {}),
    "partial": ({"partial": True}, {"partial": False}),
    "no longer logged in": ({"authenticated": False}, {"authenticated": True}),
    "a job's failure": ({"job": {"failure": "worker died"}}, {"job": {"failure": None}}),
}


@pytest.mark.parametrize("name", FAILED)
def test_a_failure_beside_no_rows(name: str) -> None:
    failed, good = FAILED[name]
    rows = {"results": ROWS} | good
    told = judged({"results": []} | failed, rows, rows)
    assert isinstance(told, str), told
    assert told.startswith("Expected records in page 2, got an error with status 200; it says: `{")
    assert '`"partial_answers": "warn"` in stream rows' in told
    taken = judged({"results": []} | failed, rows, partial="warn")
    assert isinstance(taken, list)
    assert len(taken) == 1


FAILED_AT_ONCE = sorted(
    set(FAILED)
    - {
        "a code",
        "a number that is no flag",
        "a word that was never there",
        "no longer logged in",
    }
)
"""What speaks for itself, with no answer before it to compare with."""


@pytest.mark.parametrize("name", FAILED_AT_ONCE)
def test_a_failure_in_the_first_answer(name: str) -> None:
    assert isinstance(judged({"results": []} | FAILED[name][0]), str)


NO_LIST: dict[str, Any] = {
    "errorMessages": {"errorMessages": ["x"]},
    "errorMessage": {"errorMessage": "x"},
    "RFC 7807": {"type": "about:blank", "title": "Internal", "status": 500},
    "RFC 7807, with a detail": {"title": "Internal", "detail": "The database is away", "instance": "/rows"},
    "fault": {"fault": {"faultstring": "x"}},
    "exception": {"exception": "java.lang.NullPointerException"},
    "errcode": {"errcode": 40001, "errmsg": "no"},
    "GitHub": {"message": "Bad credentials", "documentation_url": "https://docs.example"},
    "Alpha Vantage": {"Information": "Thank you for using Alpha Vantage! Please consider a plan."},
    "a status": {"status": "SERVER_ERROR", "id": 7},
}


@pytest.mark.parametrize("name", NO_LIST)
def test_a_failure_in_the_place_of_rows(name: str) -> None:
    """`missing_records: empty` takes an absent list for none, not what stands there instead."""
    for before in ((), ({"results": ROWS},)):
        assert isinstance(judged(NO_LIST[name], *before, missing="empty"), str)


HONEST: list[tuple[Any, Any]] = [
    ({"status": "ZERO_RESULTS", "html_attributions": []}, {"status": "OK"}),
    ({"responseHeader": {"status": 0, "QTime": 3}}, {"responseHeader": {"status": 0, "QTime": 9}}),
    ({"ok": True, "response_metadata": {"next_cursor": ""}}, {"ok": True}),
    ({"errors": []}, {"errors": []}),
    ({"error": None, "errors": {}}, {}),
    ({"error": "", "errorCode": 0, "errorMessage": "Success!"}, {}),
    ({"success": True}, {"success": True}),
    ({"code": 0, "msg": "ok"}, {"code": 0, "msg": "ok"}),
    ({"code": 200}, {"code": 200}),
    ({"code": 204}, {"code": 200}),
    ({"status": 200, "message": ""}, {"status": 200, "message": ""}),
    ({"status": "complete"}, {"status": "running"}),
    ({"message": "No results found."}, {}),
    ({"message": "No results found. Please try again with other filters."}, {}),
    ({"Message": "No results found for this request"}, {"Message": "Response returned successfully"}),
    ({"message": "Your search did not match any documents."}, {"message": "OK"}),
    ({"cod": "200", "message": 0}, {"cod": "200", "message": 0.0123}),
    ({"cod": "200", "message": 0.0021, "cnt": 0}, {"cod": "200", "message": 0, "cnt": 1}),
    ({"message": "You have reached the end of the list"}, {"message": "ok"}),
    ({"message": "page out of range", "status": 200}, {"message": "Orders retrieved", "status": 200}),
    (
        {
            "Message": "Results returned successfully. NOTE: Any missing values should be interpreted as no data."
        },
        {"Message": "Results returned successfully"},
    ),
    ({"resultCode": "03", "resultMsg": "NODATA_ERROR"}, {"resultCode": "00", "resultMsg": "NORMAL SERVICE."}),
    ({"cache": {"status": "MISS"}, "cached": False}, {"cache": {"status": "HIT"}, "cached": True}),
    (
        {"requestId": "q-2", "has_more": False, "Build": "E2"},
        {"requestId": "q-1", "has_more": True, "Build": "E1"},
    ),
    ({"description": "Missing persons", "title": "b"}, {"description": "Missing persons", "title": "a"}),
    ({"quota_remaining": 0, "error_rate": 0.0, "error_count": 0}, {"quota_remaining": 9, "error_count": 3}),
    ({"message": "no more data"}, {"message": "OK"}),
    ({"message": "There are no orders available for your search"}, {"message": "OK"}),
    ({"status": "0", "message": "No transactions found"}, {"status": "1", "message": "OK"}),
    ({"success": False, "message": "No records found"}, {"success": True, "message": "Found"}),
    ({"code": "not_found"}, {"code": "ok"}),
    ({"code": 404, "message": "Not found"}, {"code": 200}),
    ({"status": 404}, {"status": 200}),
    ({"status": "NO_DATA"}, {"status": "OK"}),
    ({"reason": "End of list"}, {}),
    ({"warnings": ["`since` is deprecated"]}, {}),
    ({"_shards": {"total": 5, "failed": 0}, "timed_out": False}, {"timed_out": False}),
    ({"query": {"status": "failed", "state": "error"}}, {"query": {"status": "failed", "state": "error"}}),
    ({"links": {"error": "/errors"}, "error_url": "/errors", "on_error": "skip"}, {}),
    ({"message": "0 rows of 20"}, {"message": "10 rows of 20"}),
    ({"message": "Page 3"}, {"message": "Page 2"}),
    ({"info": "Limits apply, see our terms"}, {"info": "Limits apply, see our terms"}),
    ({"order": {"status": "failed"}, "failed": 3}, {"order": {"status": "failed"}, "failed": 3}),
    ({"code": 20000, "message": "请求成功"}, {"code": 20000, "message": "请求成功"}),
    ({"meta": {"code": 200, "status": "Success"}}, {"meta": {"code": 200, "status": "Success"}}),
    ({"d": {"__count": "0"}, "total": 0, "took": 500}, {"total": 2, "took": 429}),
    ({"type": "list", "object": "list", "kind": "error#list"}, {"type": "list", "object": "list"}),
]


@pytest.mark.parametrize("case", range(len(HONEST)))
def test_an_honest_end_is_silent(case: int) -> None:
    empty, good = HONEST[case]
    assert judged({"results": []} | empty, {"results": ROWS} | good) == []
    assert judged(empty, {"results": ROWS} | good, missing="empty") == []


@pytest.mark.parametrize("case", range(len(HONEST)))
def test_an_honest_empty_first_answer_is_silent(case: int) -> None:
    empty, _ = HONEST[case]
    warnings = judged({"results": []} | empty)
    assert isinstance(warnings, list), warnings
    assert (warnings != []) == (404 in empty.values() and "message" not in empty), warnings


def test_another_word_where_the_status_is_as_always_is_a_warning() -> None:
    """In a language that is not known here, it may be."""
    warnings = judged(
        {"code": 0, "msg": "暂无数据", "results": []}, {"code": 0, "msg": "成功", "results": ROWS}
    )
    assert len(warnings) == 1
    assert "`msg` is not what it is in answers with records" in warnings[0]


@pytest.mark.parametrize(
    ("empty", "good"),
    [
        ({"meldung": "Zugriff verweigert"}, {"meldung": "ok"}),
        ({"licence": "trial ended"}, {"licence": "valid"}),
        ({"service": False}, {"service": True}),
        ({"error_count": 3}, {"error_count": 0}),
    ],
)
def test_what_changes_with_the_last_rows_of_a_read_is_told(empty: Any, good: Any) -> None:
    rows = {"results": ROWS} | good
    warnings = judged({"results": []} | empty, rows, rows)
    assert len(warnings) == 1, warnings
    assert f"`{next(iter(empty))}` is not what it is in answers with records" in warnings[0]
    changing = [rows, {"results": ROWS, next(iter(empty)): next(iter(good.values())) and "other"}]
    if "error_count" not in empty:
        assert judged({"results": []} | empty, *changing) == []


KOREAN = {"header": {"resultCode": "22", "resultMsg": "LIMITED NUMBER OF SERVICE REQUESTS EXCEEDS ERROR."}}


@pytest.mark.parametrize(
    ("records", "failed", "good"),
    [
        (
            "$.response.body.items[*]",
            {"response": KOREAN | {"body": {"items": []}}},
            {"response": {"header": {"resultCode": "00", "resultMsg": "OK"}, "body": {"items": ROWS}}},
        ),
        (
            "$.Resp.Items[*]",
            {"Resp": {"Header": {"ReturnCode": 9}, "Items": []}},
            {"Resp": {"Header": {"ReturnCode": 0}, "Items": ROWS}},
        ),
    ],
)
def test_a_status_beside_any_level_of_the_way_to_the_rows(records: str, failed: Any, good: Any) -> None:
    assert isinstance(judged(failed, good, records=records), str)


def test_a_thing_on_the_way_to_the_rows_does_not_speak_for_the_answer() -> None:
    def body(state: str, rows: Any) -> Any:
        project = {"state": state, "lastError": state, "job": {"error": state}, "issues": {"nodes": rows}}
        return {"data": {"project": project}}

    records = "$.data.project.issues.nodes[*]"
    assert judged(body("failed", []), body("open", ROWS), records=records) == []


def test_an_empty_object_is_none_and_its_lost_surroundings_are_told() -> None:
    """Google leaves out whatever is empty; another API has a `total` in all answers but the one that failed."""
    google = {"results": ROWS, "nextPageToken": "x"}
    assert judged({}, google, missing="empty") == []
    assert judged({}, missing="empty") == []
    told = judged({}, {"results": ROWS, "total": 9}, missing="empty")
    assert isinstance(told, list)
    assert "Nothing in page 2 is where it was" in told[0]


@pytest.mark.parametrize(
    "member", [{"meta": {"errors": ["x"]}}, {"responseHeader": {"partialResults": True}}]
)
def test_a_part_that_is_told_of_one_level_below(member: Any) -> None:
    reader = PageReader("rows", "$.results[*]", [], "fail")
    with pytest.raises(BadDataError, match=re.escape('"partial_answers": "warn"')):
        reader.read(answer({"results": ROWS} | member), "page 1")


@pytest.mark.parametrize("rows", ["[]", '[{"id": 1}]'])
@pytest.mark.parametrize("member", ["errors", "status"])
def test_a_value_of_many_levels_is_judged_like_any_other(member: str, rows: str) -> None:
    body = f'{{"results": {rows}, "{member}": {"[" * 700}{"]" * 700}}}'.encode()
    reader = PageReader("rows", "$.results[*]", [], "fail")
    response = Response("http://x/rows", 200, {}, body)
    assert busy_in(reader, response) is None
    if member == "status":
        assert len(reader.read(response, "page 1").records) == (rows != "[]")
    else:
        with pytest.raises(BadDataError):
            reader.read(response, "page 1")


THINGS: list[tuple[Any, Any]] = [
    # an order without lines, after one with lines
    ({"id": 2, "status": "cancelled"}, {"id": 1, "status": "paid"}),
    ({"id": 2, "state": "closed"}, {"id": 1, "state": "open"}),
    ({"sha": "b2", "message": "Merge branch main"}, {"sha": "a1", "message": "mend tests"}),
    ({"id": 2, "code": "102"}, {"id": 1, "code": "101"}),
    ({"state": "closed"}, {"state": "open"}),
    ({"number": 2, "a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "state": "x"}, {"number": 1, "state": "done"}),
    ({"id": 2, "last_error": None}, {"id": 1, "last_error": "card declined"}),
]
LIKE_FAILURES: list[Any] = [
    {"status": "failed"},
    {"status": "error", "last_error": "card declined"},
    {"code": "500"},
    {"success": False},
    {"message": "mend the error of the invalid token"},
    {"errors": ["card declined"]},
]


def judged_children(bodies: list[Any], partial: str = "fail") -> str | list[str]:
    """Read ``bodies``, each the answer of another parent; return the sentence that refuses one, else the warnings."""
    warnings: list[str] = []
    reader = PageReader("lines", "$.items[*]", [], "empty", partial, warnings.append, asks_for_things=True)
    try:
        for body in bodies:
            busy = busy_in(reader, answer(body))
            if busy is not None:
                return busy
            reader.read(answer(body), "page 1")
    except BadDataError as error:
        return str(error)
    return warnings


@pytest.mark.parametrize("case", range(len(THINGS)))
def test_what_an_order_without_lines_says_is_its_own(case: int) -> None:
    bare, full = THINGS[case]
    assert judged_children([full | {"items": ROWS}, bare | {"items": []}]) == []
    assert judged_children([full | {"items": ROWS}, bare]) == []


@pytest.mark.parametrize("case", range(len(LIKE_FAILURES)))
def test_an_order_that_says_failed_is_told_once(case: int) -> None:
    """Nobody knows whether the order has failed or the answer: rows are not given up for it, nor is it passed over."""
    bodies = [{"id": number, "items": []} | LIKE_FAILURES[case] for number in (2, 3)]
    for before in ([], [{"id": 1, "items": ROWS, "status": "paid"}]):
        warnings = judged_children([*before, *bodies])
        assert isinstance(warnings, list), warnings
        assert len(warnings) == 1
        assert "if that tells of a failure, rows are missing" in warnings[0]


def test_of_an_order_nothing_is_told_but_what_may_be_a_failure() -> None:
    """It is a row, and rows are never logged."""
    (told,) = judged_children([{"id": 2, "status": "failed", "email": "ann@example.com", "items": []}])
    assert '`{"status":"failed"}`' in told
    refused = judged_children(
        [{"id": 2, "error": "rate limit exceeded", "email": "ann@example.com", "items": []}]
    )
    assert "ann@" not in told + str(refused)


@pytest.mark.parametrize(
    "failed",
    [
        {"status": "error", "items": []},
        {"code": 99991400, "msg": "x", "items": []},
        {"error": "no", "items": []},
        {"id": 9, "error": "invalid token"},  # and nothing of what an order has
    ],
)
def test_an_answer_that_is_no_order_fails_as_any(failed: Any) -> None:
    envelope = {"code": 0, "msg": "ok", "total": 2, "items": ROWS}
    told = judged_children([envelope, failed])
    assert isinstance(told, str), told
    assert isinstance(judged_children([envelope, failed], "warn"), list)


def test_what_asks_to_come_back_later_is_no_order() -> None:
    reader = PageReader("lines", "$.items[*]", [], "empty", asks_for_things=True)
    limited = answer({"id": "q-17", "error": "rate limit exceeded", "items": []})
    assert "rate limit" in str(busy_in(reader, limited))
    with pytest.raises(BadDataError):
        reader.read(limited, "page 1")


STREAM = {
    "name": "rows",
    "path": "/rows",
    "records": "$.results[*]",
    "schema": {"properties": {"id": {}}},
    "pagination": {"type": "page"},
}


def failing_once(failure: Any) -> Any:
    """Pages of one row, two of them; the second is asked for in vain at first."""
    times = {"page 2": 0}

    def route(asked: Asked) -> Reply:
        page = int(asked.param("page") or 1)
        times["page 2"] += page == 2
        if page == 2 and times["page 2"] == 1:
            return json_reply({"results": []} | failure)
        return json_reply({"status": "OK", "results": ROWS[page - 1 : page]})

    return route


@pytest.mark.parametrize(
    "failure",
    [
        ({"status": "OVER_QUERY_LIMIT"}),
        ({"error": {"code": 503, "message": "x"}}),
    ],
)
def test_what_says_to_ask_later_is_asked_again(failure: Any, run_tap: Any) -> None:
    with serving({"/rows": failing_once(failure)}) as api:
        run = run_tap(api.url, STREAM).ended(0)
        assert len(api.asked) == 4
    assert run.records("rows") == ROWS
    assert "status 200 and no records, it says: `{" in run.stderr


def test_children_that_are_orders(run_tap: Any) -> None:
    orders = {
        "1": {"id": 1, "status": "paid", "items": ROWS},
        "2": {"id": 2, "status": "failed", "items": []},
    }
    streams: list[Any] = [
        {"name": "orders", "path": "/orders", "primary_keys": ["id"], "pagination": {"type": "single"}},
        {
            "name": "lines",
            "path": "/orders/{parent.id}",
            "records": "$.items[*]",
            "parent": {"stream": "orders"},
            "pagination": {"type": "single"},
        },
    ]

    def route(asked: Asked) -> Reply:
        return json_reply(orders.get(asked.path.split("/")[-1], [{"id": 1}, {"id": 2}]))

    with serving(dict.fromkeys(["/orders", "/orders/1", "/orders/2"], route)) as api:
        run = run_tap(api.url, *streams).ended(0)
    assert [row["id"] for row in run.records("lines")] == [1, 2]


def test_what_says_so_for_ever_is_given_up(run_tap: Any) -> None:
    with serving(
        {"/rows": lambda _: json_reply({"results": [], "errcode": 45009, "errmsg": "quota limit"})}
    ) as api:
        run = run_tap(api.url, STREAM).ended(69)
        assert len(api.asked) == 3
        assert "quota limit" in run.sentence
        assert (
            "(by `errcode`; if that is how this API says that there are no more records, say " in run.sentence
        )
        assert run_tap(api.url, STREAM | {"partial_answers": "warn"}).ended(0).records("rows") == []


def test_a_wait_that_no_number_holds_is_shown_in_words(run_tap: Any) -> None:
    answers = iter([json_reply({}, 503, Retry_After="9" * 6_000), json_reply([{"id": 1}])])
    with serving({"/rows": lambda _: next(answers)}) as server:
        rows = {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {"type": "integer"}}}}
        run = run_tap(server.url, rows).ended(0)
    assert "(asked for more than a year)" in run.stderr
    assert len(run.records("rows")) == 1
