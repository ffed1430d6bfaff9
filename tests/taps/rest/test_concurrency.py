"""`concurrency`: several requests at a time, and what is read, sent and kept is what one at a time gives."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, Route, json_reply, page_of, serving
from taps.rest.conftest import TAP, Run

from tap_rest.parents.upcoming import Coming

SCHEMA = {
    "properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}, "of": {}}
}
ROWS = [
    {"id": number, "at": f"2026-01-{number // 4 + 1:02}T00:00:00Z", "of": None} for number in range(1, 96)
]
SIZE = 10


def numbered(asked: Asked) -> Reply:
    since = asked.param("since") or ""
    found = [row for row in ROWS if str(row["at"]) >= since]
    return json_reply({"data": page_of(found, asked, SIZE), "total": len(found)})


def by_token(asked: Asked) -> Reply:
    begin = int(asked.param("cursor") or 0)
    following = begin + SIZE if begin + SIZE < len(ROWS) else None
    return json_reply({"data": ROWS[begin : begin + SIZE], "next": following})


def between(asked: Asked) -> Reply:
    begin, end = asked.param("from") or "", asked.param("to") or ""
    return json_reply([row for row in ROWS if begin <= str(row["at"]) <= end])


def below(asked: Asked) -> Reply:
    parent = int(asked.path.split("/")[2])
    rows = [
        {"id": parent * 100 + number, "at": "2026-01-01T00:00:00Z", "of": parent}
        for number in range(parent % 4)
    ]
    return json_reply(rows)


ROUTES: dict[str, Route] = {
    "/numbered": numbered,
    "/tokens": by_token,
    "/windows": between,
    "/parents": lambda asked: json_reply(page_of([{"id": number} for number in range(1, 24)], asked, SIZE)),
    **{f"/parents/{number}/rows": below for number in range(1, 24)},
}
AT = {"records": "$.data[*]", "schema": SCHEMA}
PARENTS = {
    "name": "parents",
    "path": "/parents",
    "schema": SCHEMA,
    "pagination": {"type": "page"},
    "primary_keys": ["id"],
}
CHILD = {
    "name": "rows",
    "path": "/parents/{parent.id}/rows",
    "schema": SCHEMA,
    "parent": {"stream": "parents"},
}
KEYED = {"primary_keys": ["id"], "replication_key": "at", "incremental": {"param": "since"}}
STREAMS: dict[str, list[dict[str, Any]]] = {
    "page": [{"name": "rows", "path": "/numbered", "pagination": {"type": "page"}, **AT}],
    "page, total": [
        {"name": "rows", "path": "/numbered", "pagination": {"type": "page", "total_count": "$.total"}, **AT}
    ],
    "offset": [{"name": "rows", "path": "/numbered", "pagination": {"type": "offset"}, **AT}],
    "page, incremental": [
        {"name": "rows", "path": "/numbered", "pagination": {"type": "page"}, **AT, **KEYED}
    ],
    "page, sorted": [
        {
            "name": "rows",
            "path": "/numbered",
            "pagination": {"type": "page"},
            "is_sorted": True,
            **AT,
            **KEYED,
        }
    ],
    "version": [
        {"name": "rows", "path": "/numbered", "pagination": {"type": "page"}, "activate_version": True, **AT}
        | {"primary_keys": ["id"]}
    ],
    "cursor": [
        {"name": "rows", "path": "/tokens", "pagination": {"type": "cursor", "cursor": "$.next"}, **AT}
    ],
    "children": [PARENTS, CHILD],
    "children, incremental": [PARENTS, CHILD | KEYED],
    "windows": [
        {
            "name": "rows",
            "path": "/windows",
            "replication_key": "at",
            "schema": SCHEMA,
            "pagination": {"type": "single"},
        }
        | {"incremental": {"param": "from", "until_param": "to", "window": "P10D"}, "primary_keys": ["id"]}
    ],
    "values": [
        {
            "name": "rows",
            "path": "/parents/{each.no}/rows",
            "for_each": {"no": [3, 7, 11, 2, 9]},
            "schema": SCHEMA,
        }
    ],
}


START = {"start_date": "2026-01-01T00:00:00Z"}


class Together:
    """Holds each request back until ``count`` are there at the same time, or until that has happened once."""

    def __init__(self, count: int) -> None:
        self._count, self._here, self.most = count, 0, 0
        self._change = threading.Condition()

    def __call__(self, route: Route) -> Route:
        def answer(asked: Asked) -> Reply:
            with self._change:
                self._here += 1
                self.most = max(self.most, self._here)
                self._change.notify_all()
                self._change.wait_for(lambda: self.most >= self._count, timeout=20)
            try:
                return route(asked)
            finally:
                with self._change:
                    self._here -= 1

        return answer


def _is_late(asked: Asked) -> bool:
    return int(asked.param("page") or 0) > 4 or int(asked.param("offset") or 0) >= 4 * SIZE


def told(run: Run) -> list[Any]:
    """All messages, without what each run has of its own."""
    found = []
    for message in run.messages:
        message.pop("time_extracted", None)
        message.pop("version", None)
        if message["type"] == "STATE":
            message["value"].get("_singerkit", {}).pop("run")
            for bookmark in message["value"].get("bookmarks", {}).values():
                bookmark.get("_singerkit_load", {}).pop("version", None)
        found.append(message)
    return found


@pytest.mark.parametrize("kind", STREAMS)
def test_what_comes_is_the_same(kind: str, run_tap: Any) -> None:
    with serving(ROUTES) as api:
        alone = run_tap(api.url, *STREAMS[kind], **START).ended(0)
        requests = len(api.asked)
        beside = run_tap(api.url, *STREAMS[kind], concurrency=6, **START).ended(0)
        again = run_tap(api.url, *STREAMS[kind], concurrency=6, state=alone.state, **START).ended(0)
        assert told(beside) == told(alone)
        assert told(again) == told(run_tap(api.url, *STREAMS[kind], state=alone.state, **START).ended(0))
    assert len(alone.records("rows")) > 10
    assert requests <= len(api.asked)


@pytest.mark.parametrize("kind", ["page", "page, total", "offset", "children", "values", "windows"])
def test_several_requests_are_under_way_at_a_time(kind: str, run_tap: Any) -> None:
    together = Together(4)
    routes = {path: together(route) if path != "/parents" else route for path, route in ROUTES.items()}
    if kind in ("page", "offset"):
        # Twice as many are asked for behind each page: four are under way from the fifth page on.
        held = together(numbered)
        routes["/numbered"] = lambda asked: (held if _is_late(asked) else numbered)(asked)
    if "total" in kind:
        routes["/numbered"] = lambda asked: (together(numbered) if len(api.asked) > 1 else numbered)(asked)
    if kind == "windows":  # the newest rows are looked for one by one, in others
        in_spring = "2026-02-25", "2026-04-20"
        routes["/windows"] = lambda asked: (
            together(between) if in_spring[0] < str(asked.param("from")) < in_spring[1] else between
        )(asked)
    with serving(routes) as api:
        run_tap(api.url, *STREAMS[kind], concurrency=6, **START).ended(0)
    assert 4 <= together.most <= 6


@pytest.mark.parametrize("concurrency", [1, 2])
def test_the_next_page_is_asked_for_while_one_is_written(
    concurrency: int, tmp_path: Path, run_tap: Any
) -> None:
    """Nobody reads what the tap writes, and the request for the page behind comes all the same."""
    second = threading.Event()
    rows = [{"id": number, "of": "x" * 1000} for number in range(400)]

    def route(asked: Asked) -> Reply:
        if asked.param("cursor"):
            second.set()
        return json_reply(
            {
                "data": rows[:0] if asked.param("cursor") else rows,
                "next": None if asked.param("cursor") else 1,
            }
        )

    with serving({"/tokens": route}) as api:
        run_tap(api.url, *STREAMS["cursor"], args=("--discover",), concurrency=concurrency).ended(0)
        command = [str(TAP), "--config", str(tmp_path / "config.json")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tap:
            assert second.wait(10 if concurrency > 1 else 1) == (concurrency > 1)
            out, _ = tap.communicate(timeout=30)
    assert out.count(b'"RECORD"') == len(rows)


@pytest.mark.parametrize("concurrency", [1, 2])
def test_what_goes_on_by_its_key_is_asked_for_while_a_page_is_written(
    concurrency: int, tmp_path: Path, run_tap: Any
) -> None:
    """By the value that the rows before end with, once for each page, and none behind the last."""
    following = threading.Event()
    rows = [
        {"id": number, "at": f"2026-01-01T00:00:{number:02}Z", "of": "x" * 60_000} for number in range(60)
    ]

    def route(asked: Asked) -> Reply:
        found = [row for row in rows if str(row["at"]) >= (asked.param("since") or "")]
        if asked.param("since"):
            following.set()
        page = int(asked.param("page") or 1)
        return json_reply({"data": page_of(found, asked, 20), "more": len(found) > page * 20})

    stream = STREAMS["page, sorted"][0] | {"pagination": {"type": "page", "has_more": "$.more"}}
    with serving({"/numbered": route}) as api:
        run_tap(api.url, stream, args=("--discover",), concurrency=concurrency).ended(0)
        command = [str(TAP), "--config", str(tmp_path / "config.json")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tap:
            assert following.wait(10 if concurrency > 1 else 1) == (concurrency > 1)
            out, _ = tap.communicate(timeout=30)
        asked = [one.raw_path for one in api.asked]
    assert out.count(b'"RECORD"') == len(rows)
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("concurrency", [1, 6])
def test_a_total_asks_for_no_page_beyond_the_last(concurrency: int, run_tap: Any) -> None:
    with serving(ROUTES) as api:
        run_tap(api.url, *STREAMS["page, total"], concurrency=concurrency).ended(0)
        assert Counter(api.paths()).most_common(1)[0][1] == 1
        assert len(api.asked) == 10


def test_an_answer_that_came_early_serves_no_other_read(run_tap: Any) -> None:
    """The second look at all pages asks for the page behind the last one anew: a row stands there by now."""
    reads: Counter[str] = Counter()

    def route(asked: Asked) -> Reply:
        page = asked.param("page") or "1"
        reads[page] += 1
        more = [{"id": 96, "at": ROWS[-1]["at"], "of": None}] if reads["1"] > 1 else []
        return json_reply({"data": page_of([*ROWS[:90], *more], asked, SIZE)})

    with serving({"/numbered": route}) as api:
        run = run_tap(api.url, *STREAMS["version"], concurrency=6).ended(0)
    assert {row["id"] for row in run.records("rows")} == {*range(1, 91), 96}


def test_at_a_limit_one_request_waits_and_not_all(run_tap: Any) -> None:
    limited = threading.Event()
    refused: list[str] = []

    def route(asked: Asked) -> Reply:
        if len(api.asked) > 8 and not limited.is_set():
            refused.append(asked.raw_path)
            if len(refused) >= 8:
                limited.set()
            return json_reply({"message": "slow down"}, 429, Retry_After="0.01")
        return numbered(asked)

    with serving({"/numbered": route}) as api:
        run = run_tap(
            api.url, *STREAMS["page"], concurrency=6, retries={"tries": 10, "first_wait": 0.01}
        ).ended(0)
        assert len(run.records("rows")) == len(ROWS)
    assert 8 <= len(refused) <= 8 + 6
    assert run.stderr.count("slow down") <= 8


def test_all_keep_to_one_budget(run_tap: Any) -> None:
    came: list[float] = []

    def route(asked: Asked) -> Reply:
        came.append(time.monotonic())
        return ROUTES[asked.path](asked)

    with serving({path: route for path in ROUTES}) as api:
        run_tap(api.url, *STREAMS["children"], concurrency=6, rate_limit={"requests_per_second": 20}).ended(0)
    assert len(came) >= 26
    # A second after the first, which may have been long on its way.
    assert came[20] - came[0] >= 0.5, "the 21st waits for the first to be a second ago"


@pytest.mark.parametrize(("status", "code"), [(403, 77), (400, 65), (503, 69)])
def test_a_page_that_fails_ends_the_run_as_without_it(status: int, code: int, run_tap: Any) -> None:
    def route(asked: Asked) -> Reply:
        return json_reply({"message": "no"}, status) if asked.param("page") == "7" else numbered(asked)

    with serving({"/numbered": route}) as api:
        runs = [run_tap(api.url, *STREAMS["page"], concurrency=count).ended(code) for count in (1, 6)]
    assert runs[0].sentence == runs[1].sentence
    assert [len(run.records("rows")) for run in runs] == [60, 60]


def test_one_login_serves_all(run_tap: Any) -> None:
    def token(_: Asked) -> Reply:
        return json_reply({"access_token": "token-of-all", "expires_in": 3600})

    def route(asked: Asked) -> Reply:
        if asked.headers.get("Authorization") != "Bearer token-of-all":
            return json_reply({}, 401)
        return ROUTES[asked.path](asked)

    with serving({path: route for path in ROUTES} | {"/token": token}) as api:
        auth = {
            "type": "oauth2",
            "token_url": f"{api.url}/token",
            "client_id": "a",
            "client_secret": "secret-of-a",
        }
        run_tap(api.url, *STREAMS["children"], concurrency=6, auth=auth).ended(0)
        assert api.paths().count("/token") == 1


def test_a_signal_ends_it_at_once(tmp_path: Path, run_tap: Any) -> None:
    stuck = threading.Event()

    def route(asked: Asked) -> Reply:
        if asked.param("page") in ("4", "5", "6"):
            stuck.set()
            api.is_over.wait(30)
        return numbered(asked)

    with serving({"/numbered": route}) as api:
        run_tap(api.url, *STREAMS["page"], args=("--discover",), concurrency=6).ended(0)
        command = [str(TAP), "--config", str(tmp_path / "config.json")]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as tap:
            assert stuck.wait(20)
            tap.send_signal(signal.SIGTERM)
            _, err = tap.communicate(timeout=10)
        api.is_over.set()
    assert tap.returncode == 143, err


def test_a_context_that_fails_does_so_when_its_turn_has_come() -> None:
    def given() -> Any:
        yield from ({"no": number} for number in range(4))
        raise ValueError("the fifth")

    seen: list[Any] = []
    coming = Coming(lambda: 3)

    def read() -> None:
        for context in coming.in_turn(given()):
            seen.append((context["no"], [one["no"] for one in coming.contexts]))

    with pytest.raises(ValueError, match="the fifth"):
        read()
    assert seen == [(0, [1, 2, 3]), (1, [2, 3]), (2, [3]), (3, [])]
    assert not coming.contexts


def test_all_requests_that_may_be_made_are_made_while_a_page_is_waited_for(run_tap: Any) -> None:
    """A reader whose pages were all asked for early asks for none itself, and leaves no request unmade."""
    together = Together(3)
    late = together(numbered)
    with serving({"/numbered": lambda asked: (late if _is_late(asked) else numbered)(asked)}) as api:
        run_tap(api.url, *STREAMS["page, total"], concurrency=3).ended(0)
    assert together.most == 3


def test_what_the_reader_asks_for_itself_is_one_of_those_at_a_time(run_tap: Any) -> None:
    """Two threads ask for what is below the next parents, so that the reader has to ask for the second page below its own."""
    here: Counter[str] = Counter()
    change = threading.Lock()

    def slowly(route: Route) -> Route:
        def answer(asked: Asked) -> Reply:
            with change:
                here["now"] += 1
                here["most"] = max(here["most"], here["now"])
            time.sleep(0.02)
            with change:
                here["now"] -= 1
            return route(asked) if asked.param("page") in (None, "1") else json_reply([])

        return answer

    streams = [PARENTS, CHILD | {"pagination": {"type": "page"}}]
    routes = ROUTES | {path: slowly(route) for path, route in ROUTES.items() if path.startswith("/parents/")}
    with serving(routes) as api:
        alone = run_tap(api.url, *streams).ended(0)
        assert here["most"] == 1
        beside = run_tap(api.url, *streams, concurrency=2).ended(0)
    assert told(beside) == told(alone)
    assert here["most"] == 2
