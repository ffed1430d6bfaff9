"""Jobs: rows that are made first, waited for, and then read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply
from taps.rest.drive import Drive, drive

from singerkit_shell.signals import StopFlag

__all__ = ["drive"]

SCHEMA = {"properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}}}
UNTIL = {"path": "$.state", "equals": "done"}
FAILED = {"path": "$.state", "equals": ["failed", "aborted"]}
STREAM: dict[str, Any] = {
    "name": "rows",
    "path": "/jobs/{job.id}/rows",
    "primary_keys": ["id"],
    "pagination": {"type": "single"},
    "schema": SCHEMA,
    "job": {
        "create": {"path": "/jobs", "body": {"of": "orders"}},
        "poll": {"path": "/jobs/{job.id}", "until": UNTIL, "failed": FAILED, "wait": 0.01},
    },
}


class Reports:
    """Jobs by number; each is done at its third look, unless ``states`` say otherwise."""

    def __init__(self, drive: Any) -> None:
        self.made: list[Any] = []
        self.looks = 0
        self.states = ["queued", "running", "done"]
        self.rows: list[dict[str, Any]] = [{"id": 1, "at": "2026-01-01T00:00:00Z"}]
        self.more: dict[str, Any] = {}
        routes = {"jobs": self.create}
        for number in range(1, 6):
            routes |= {f"jobs/{number}": self.poll, f"jobs/{number}/rows": self.read}
        self.run: Drive = drive(**routes)

    def create(self, asked: Asked) -> Reply:
        self.looks = 0
        self.made.append((asked.method, asked.json if asked.body else None, asked.raw_path))
        return json_reply({"id": len(self.made)}, 201, Location=f"/jobs/{len(self.made)}")

    def poll(self, asked: Asked) -> Reply:
        state = self.states[min(self.looks, len(self.states) - 1)]
        self.looks += 1
        return json_reply(
            {"state": state, "why": "no such table"} | self.more, 202 if state == "later" else 200
        )

    def read(self, asked: Asked) -> Reply:
        return json_reply(self.rows)


@pytest.fixture
def reports(drive: Any) -> Reports:
    return Reports(drive)


def test_a_job_is_made_waited_for_and_read(reports: Reports) -> None:
    run = reports.run.run(STREAM)
    assert (run.code, run.ids(), reports.made) == (0, [1], [("POST", {"of": "orders"}, "/jobs")])
    assert [asked.path for asked in run.api.asked] == ["/jobs", *["/jobs/1"] * 3, "/jobs/1/rows"]


def test_its_rows_are_those_that_the_schema_is_inferred_from(reports: Reports) -> None:
    inferred = {key: value for key, value in STREAM.items() if key != "schema"}
    assert reports.run.run(inferred).ids() == [1]
    assert len(reports.made) == 1


def with_job(**more: Any) -> dict[str, Any]:
    """The stream with another `create`, `poll` or `result`."""
    job = {step: {**STREAM["job"].get(step, {}), **said} for step, said in more.items()}
    return STREAM | {"job": STREAM["job"] | job}


def test_it_is_asked_for_from_the_bookmark_on(reports: Reports) -> None:
    body = {"since": "{bookmark}", "of": "orders"}
    stream = with_job(create={"body": body}) | {"replication_key": "at", "incremental": {}, "is_sorted": True}
    first = reports.run.run(stream)
    reports.rows = [*reports.rows, {"id": 2, "at": "2026-01-02T00:00:00Z"}]
    assert reports.run.run(stream, state=first.state).ids() == [2]
    assert [made[1] for made in reports.made] == [
        {"of": "orders"},
        {"since": "2026-01-01T00:00:00Z", "of": "orders"},
    ]


def test_parameters_of_all_requests_and_its_own(reports: Reports) -> None:
    stream = with_job(create={"params": {"kind": "{each.kind}"}, "method": "PUT"})
    stream |= {"for_each": {"kind": ["a", "b"]}, "primary_keys": ["kind", "id"]}
    stream["schema"] = {"properties": SCHEMA["properties"] | {"kind": {}}}
    run = reports.run.run(stream, params={"api-version": 7})
    assert run.code == 0, run.sentence
    assert [(method, path) for method, _, path in reports.made] == [
        ("PUT", "/jobs?api-version=7&kind=a"),
        ("PUT", "/jobs?api-version=7&kind=b"),
    ]
    assert run.ids() == [1, 1]


def test_a_job_says_in_a_header_where_it_is_and_by_202_that_it_is_not_done(reports: Reports) -> None:
    reports.states = ["later", "later", "ready"]
    job = {"create": {"path": "/jobs"}, "poll": {"path": "{job.header:Location}", "wait": 0.01}}
    stream = STREAM | {"job": job, "path": "{job.header:location}/rows"}
    run = reports.run.run(stream)
    assert (run.code, run.ids(), reports.looks) == (0, [1], 3), run.sentence


def test_one_more_request_tells_where_the_rows_are(reports: Reports) -> None:
    reports.run.api.routes["/files/9"] = lambda _: json_reply({"parts": [{"url": "/jobs/1/rows?sig=x"}]})
    reports.more = {"file": {"id": 9}}
    stream = with_job(result={"path": "/files/{job.file.id}"}) | {"path": "{job.parts.0.url}"}
    run = reports.run.run(stream)
    assert (run.code, run.ids(), run.api.asked[-1].raw_path) == (0, [1], "/jobs/1/rows?sig=x"), run.sentence


def test_headers_and_forms_of_its_requests(reports: Reports) -> None:
    told: list[tuple[str | None, str | None, bytes]] = []

    def create(asked: Asked) -> Reply:
        told.append((asked.headers["X-Own"], asked.headers["Content-Type"], asked.body))
        return reports.create(Asked(asked.path, {}, asked.headers, asked.raw_path))

    reports.run.api.routes["/jobs"] = create
    form = {"body": {"q": "a b"}, "body_format": "form", "headers": {"X-Own": "1"}}
    for said in (form, {"body": "SELECT 1", "headers": {"X-Own": "2", "Content-Type": "text/sql"}}):
        assert reports.run.run(with_job(create=said)).ids() == [1]
    assert told == [("1", "application/x-www-form-urlencoded", b"q=a+b"), ("2", "text/sql", b"SELECT 1")]


def test_a_secret_of_a_job_is_masked(reports: Reports) -> None:
    reports.run.api.routes["/jobs"] = lambda _: json_reply({"message": "sesame-7 is no key"}, 400)
    run = reports.run.run(with_job(create={"body": {"api_key": "sesame-7"}, "path": "/jobs?token=sesame-8"}))
    assert run.code == 65
    assert "is no key" in run.sentence
    assert "sesame" not in run.sentence


def test_null_in_place_of_a_result_is_no_row_where_that_is_said(reports: Reports) -> None:
    reports.more = {"url": None}
    stream = STREAM | {"path": "{job.url}"}
    run = reports.run.run(stream)
    assert (run.code, '"missing_records": "empty"' in run.sentence) == (65, True)
    empty = run.run(stream | {"missing_records": "empty"})
    assert (empty.code, empty.ids()) == (0, [])


@pytest.mark.parametrize(
    ("states", "more", "code", "says"),
    [
        (["running", "aborted"], {}, 65, "The job of stream rows failed; it says: `{"),
        (["running"], {"longest": 0.005}, 69, "is not done after 0 s (`job.poll.longest`); it says: `{"),
        (["done"], {"until": {"path": "$.status"}, "longest": 0.005}, 69, "is not done after"),
    ],
)
def test_a_job_that_does_not_get_done(
    states: list[str], more: dict[str, Any], code: int, says: str, reports: Reports, drive: Any
) -> None:
    reports.states = states
    reports.run.api.routes["/z"] = lambda _: json_reply([{"id": 5}])
    other = {"name": "z", "path": "/z", "schema": SCHEMA}
    run = reports.run.run(with_job(poll=more), other)
    assert (run.code, run.ids(), run.ids("z")) == (code, [], [5])
    assert says in run.sentence


def test_what_the_answers_lack_is_named(reports: Reports) -> None:
    run = reports.run.run(STREAM | {"path": "/jobs/{job.number}/rows"})
    assert run.code == 65
    assert "Expected `number` in an answer about the job of stream rows, got none with it" in run.sentence
    assert run.api.asked[-1].path == "/jobs/1"


def test_a_job_that_cannot_be_made_is_an_error_of_its_stream(reports: Reports) -> None:
    reports.run.api.routes["/jobs"] = lambda _: json_reply({"message": "not you"}, 403)
    run = reports.run.run(STREAM)
    assert run.code == 77
    assert run.sentence.startswith("The job of stream rows: ") or "not you" in run.sentence


def test_what_an_answer_asks_to_wait_is_waited(reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(StopFlag, "wait", lambda _, seconds: waits.append(seconds))
    reports.run.api.routes["/jobs/1"] = lambda asked: Reply(
        reports.poll(asked).body, 200, {"Retry-After": "3"} if reports.looks == 1 else {}
    )
    assert reports.run.run(with_job(poll={"wait": 7})).code == 0
    assert waits == [3, 7]


PROBLEMS: list[tuple[dict[str, Any], str]] = [
    (STREAM | {"path": "/rows"}, "`streams[0].job` has no effect, since no `{job.field}` stands"),
    (with_job(create={"path": "/jobs/{job.id}"}), "means nothing there: no answer has come yet"),
    (with_job(poll={"body": {}}), "`streams[0].job.poll.body` needs `streams[0].job.poll.method`"),
    (with_job(poll={"body_format": "form"}), "`streams[0].job.poll.body_format` has no effect"),
    (
        with_job(poll={"until": {"path": "$[", "equals": 1}}),
        "Expected a JSONPath at `streams[0].job.poll.until.path`",
    ),
    (with_job(poll={"failed": {"path": "$.a", "equals": 1, "contains": "x"}}), "take one of them"),
    (STREAM | {"conditional": True}, "does not go with `streams[0].conditional`"),
    ({key: value for key, value in STREAM.items() if key != "job"}, "has no `job`"),
    (with_job(create={"body": {"since": "{bookmark}"}}), "has no `incremental`"),
]


@pytest.mark.parametrize(("stream", "problem"), PROBLEMS)
def test_a_job_that_cannot_be_is_refused(stream: dict[str, Any], problem: str, reports: Reports) -> None:
    run = reports.run.run(json.loads(json.dumps(stream)))
    assert run.code == 78
    assert problem in run.sentence
    assert run.api.asked == []


def test_no_rows_are_asked_for_ahead_of_their_job(reports: Reports) -> None:
    """`concurrency` asks for what others hold by then, and a job has no number before it is made."""
    stream = with_job(create={"params": {"kind": "{each.kind}"}})
    stream |= {"for_each": {"kind": ["a", "b", "c"]}, "primary_keys": ["kind", "id"]}
    stream["schema"] = {"properties": SCHEMA["properties"] | {"kind": {}}}
    run = reports.run.run(stream, concurrency=4)
    assert run.code == 0, run.sentence
    made = [asked.path for asked in run.api.asked if asked.path.endswith("/rows")]
    assert made == ["/jobs/1/rows", "/jobs/2/rows", "/jobs/3/rows"]
