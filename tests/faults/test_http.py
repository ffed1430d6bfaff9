"""FAULTS.md, "HTTP source", and what a tap does in mid-pipe: ``tap-rest | target-postgres`` against a server that fails.

Every failure comes on the second page, after rows have been read. Then the server is well again, the pipeline
runs once more, and the table holds each row once, though the stream has no key.
"""

from __future__ import annotations

import email.utils
import gzip
import json
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from canaries import canary
from faults.loads import query, state_row
from faults.pipes import PIPELINE, Ended, pipe, piping, rows_of
from taps.rest.api_server import Api, Asked, Reply, Table, json_reply, repeatedly, serving

FIRST, SECOND = [{"id": 1}, {"id": 2}], [{"id": 3}]
STREAM = {
    "name": "rows",
    "path": "/rows",
    "schema": {"properties": {"id": {"type": "integer"}}},
    "pagination": {"type": "link_header"},
}
AUTH = {"type": "bearer", "token": canary("token of the HTTP rows")}


def failing(*replies: Reply) -> dict[str, Callable[[Asked], Reply]]:
    """Two pages, the second of which is answered by ``replies`` in turn."""
    first = json_reply(FIRST, Link='</more>; rel="next"')
    return {"/rows": lambda _: first, "/more": repeatedly(*replies)}


GOOD = json_reply(SECOND)


def survives(database: str, *bad: Reply, tries: int = 2) -> Ended:
    """The page is asked for again, and the pipeline completes."""
    with serving(failing(*bad, GOOD)) as api:
        ended = pipe(database, api.url, STREAM, auth=AUTH).expect(0, 0)
        assert [asked.path for asked in api.asked] == ["/rows", *["/more"] * tries]
    assert rows_of(database) == [1, 2, 3]
    return ended


def gives_up(database: str, code: int, *bad: Reply, again: bool = True, **config: Any) -> Ended:
    """The run ends with an exit code and commits nothing it should not; the next run, ``again``, completes it."""
    with serving(failing(*bad)) as api:
        ended = pipe(database, api.url, STREAM, auth=AUTH, **config).expect(code, 65)
        assert "before the tap had finished" in ended.target.last_words
        assert rows_of(database) == []
        if again:
            api.routes["/more"] = lambda _: GOOD
            pipe(database, api.url, STREAM, auth=AUTH, **config).expect(0, 0)
            assert rows_of(database) == [1, 2, 3]
    return ended


def metric(ended: Ended, name: str) -> Any:
    """The value of a counter that the tap has told."""
    told = [
        json.loads(line.partition("METRIC: ")[2])
        for line in ended.tap.stderr.splitlines()
        if "METRIC: " in line
    ]
    return sum(each["value"] for each in told if each["metric"] == name)


# --- P6, P7: signals and broken pipes -------------------------------------------------------------------------


def day(number: int) -> dict[str, Any]:
    return {"id": number, "at": f"2026-01-{number:02d}T00:00:00Z"}


DAYS = {
    "name": "rows",
    "path": "/rows",
    "schema": {"properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}}},
    "replication_key": "at",
    "is_sorted": True,
    "incremental": {"param": "since"},
    "pagination": {"type": "offset"},
}


class Slow:
    """A table of days, one a page, that stops before a row until the test lets it go on."""

    def __init__(self, stops_at: int, last: int) -> None:
        self.stops_at, self.last = stops_at, last
        self.is_reached, self.may_go_on = threading.Event(), threading.Event()

    def __call__(self, asked: Asked) -> Reply:
        since = asked.param("since") or ""
        days = [row for row in map(day, range(1, self.last + 1)) if row["at"] >= since]
        here = days[int(asked.param("offset") or 0) :][:1]
        if here and here[0]["id"] == self.stops_at and not self.may_go_on.is_set():
            self.is_reached.set()
            self.may_go_on.wait(30)
        return json_reply(here)


@pytest.mark.fault("P6", exit=[143])
def test_p06_sigterm_to_the_tap_in_mid_pipe(database: str) -> None:
    table = Slow(stops_at=5, last=8)
    with serving({"/rows": table}) as api:
        with piping(database, api.url, DAYS, state_every=1) as running:
            assert table.is_reached.wait(30)
            running.signal_tap(signal.SIGTERM)
            table.may_go_on.set()
            ended = running.finish()
        assert ended.tap.code == 143
        assert "Stopped by SIGTERM" in ended.tap.last_words
        assert ended.target.code == 65
        row = state_row(database, PIPELINE)
        at = row[1]["bookmarks"]["rows"]["replication_key_value"] if row and row[1] else ""
        assert rows_of(database) == [number for number in range(1, 9) if day(number)["at"] <= at]
        assert rows_of(database)[:4] == [1, 2, 3, 4]
        pipe(database, api.url, DAYS).expect(0, 0)
    assert rows_of(database) == list(range(1, 9))


@pytest.mark.fault("P7", exit=[69])
def test_p07_the_target_dies_in_mid_pipe(database: str) -> None:
    table = Slow(stops_at=5, last=8)
    with serving({"/rows": table}) as api:
        with piping(database, api.url, DAYS, state_every=1) as running:
            assert table.is_reached.wait(30)
            running.target.kill()
            running.target.wait()
            table.may_go_on.set()
            ended = running.finish()
        assert ended.tap.code == 69
        assert "reader of our output has gone" in ended.tap.last_words
        assert "Traceback" not in ended.tap.stderr
        pipe(database, api.url, DAYS).expect(0, 0)
    assert rows_of(database) == list(range(1, 9))


# --- H1, H2: later, please ------------------------------------------------------------------------------------


def in_http(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


LATER: dict[str, Reply] = {
    "seconds": json_reply({}, 429, Retry_After="0"),
    "date": json_reply({}, 429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
    "huge": json_reply({}, 429, Retry_After="99999999"),
    "far date": json_reply({}, 429, Retry_After=in_http(86400)),
    "without": Reply(b"<html>slow down</html>", 429),
}


@pytest.mark.fault("H1", exit=[0])
@pytest.mark.parametrize("answer", LATER)
def test_h01_too_many_requests_once_is_survived_and_counted(answer: str, database: str) -> None:
    ended = survives(database, LATER[answer])
    assert metric(ended, "http_retry_count") == 1


@pytest.mark.fault("H1", exit=[69], main=True)
@pytest.mark.parametrize("answer", LATER)
def test_h01_too_many_requests_for_ever_ends_the_run(answer: str, database: str) -> None:
    start = time.monotonic()
    ended = gives_up(database, 69, LATER[answer], again=answer == "without")
    assert time.monotonic() - start < 120  # nobody waits for a day
    assert "429" in ended.tap.last_words
    assert "3 tries" in ended.tap.last_words


@pytest.mark.fault("H1", exit=[0])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_h01_what_the_server_asks_for_is_honoured(form: str, database: str) -> None:
    times: list[float] = []
    with serving({}) as api:

        def route(_asked: Asked) -> Reply:
            times.append(time.monotonic())
            return (
                GOOD
                if len(times) > 1
                else json_reply({}, 429, Retry_After="1" if form == "seconds" else in_http(2.5))
            )

        api.routes["/rows"] = route
        pipe(database, api.url, STREAM, retries={"tries": 2, "first_wait": 0.01, "longest_wait": 5}).expect(
            0, 0
        )
    assert times[1] - times[0] > 1


@pytest.mark.fault("H2", exit=[0])
@pytest.mark.parametrize("status", [502, 504])
def test_h02_a_failing_server_once_is_survived(status: int, database: str) -> None:
    survives(database, Reply(b"<html>", status))


@pytest.mark.fault("H2", exit=[69], main=True)
@pytest.mark.parametrize("status", [500, 503])
def test_h02_a_failing_server_for_ever_ends_the_run(status: int, database: str) -> None:
    ended = gives_up(database, 69, Reply(b"<html>", status))
    assert str(status) in ended.tap.last_words
    assert "run again" in ended.tap.last_words


@pytest.mark.fault("H2", exit=[69])
@pytest.mark.parametrize("where", ["refused", "no such name", "no TLS"])
def test_h02_a_server_that_cannot_be_spoken_to(where: str, database: str) -> None:
    with serving({"/rows": lambda _: GOOD}) as api:
        plain = api.url
        secure = api.url.replace("http:", "https:")
        if where == "no TLS":
            ended = pipe(database, secure, STREAM, auth=AUTH).expect(69, 65)
            assert api.asked == []  # and not without TLS either
    if where == "refused":
        ended = pipe(database, plain, STREAM, auth=AUTH).expect(69, 65)
    if where == "no such name":
        ended = pipe(database, "http://no-such-host.invalid", STREAM, auth=AUTH).expect(69, 65)
    assert {"refused": "refused", "no such name": "name", "no TLS": "TLS"}[where] in ended.tap.last_words
    assert rows_of(database) == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
@pytest.mark.fault("H2", exit=[69])
def test_h02_a_certificate_that_nobody_vouches_for(database: str, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with serving({"/rows": lambda _: GOOD}, certificate=certificate, key=key) as api:
        ended = pipe(database, api.url, STREAM, auth=AUTH).expect(69, 65)
        assert "certificate" in ended.tap.last_words
        assert api.asked == []
        pipe(database, api.url, STREAM, auth=AUTH, ca_file=str(certificate)).expect(0, 0)
    assert rows_of(database) == [3]


@pytest.mark.fault("H2", exit=[69])
def test_h02_waits_grow_and_are_never_the_same(database: str) -> None:
    waits: list[list[float]] = []
    said: list[list[float]] = []
    for _ in range(3):
        times: list[float] = []
        with serving({}) as api:

            def route(_asked: Asked, times: list[float] = times) -> Reply:
                times.append(time.monotonic())
                return json_reply({}, 503)

            api.routes["/rows"] = route
            retries = {"tries": 3, "first_wait": 0.3, "longest_wait": 5}
            ended = pipe(database, api.url, STREAM, retries=retries).expect(69, 65)
        said.append([float(text) for text in re.findall(r"next in ([\d.]+) s", ended.tap.stderr)])
        waits.append([later - sooner for sooner, later in pairwise(times)])
    for first, second in waits:
        assert first > 0.14
        assert second > 0.28
    for first, second in said:  # how much longer it took is the machine's matter
        assert 0.1 <= first <= 0.3
        assert 0.3 <= second <= 0.6
    assert max(first for first, _ in waits) - min(first for first, _ in waits) > 0.002


# --- H3, H4: no --------------------------------------------------------------------------------------------------


@pytest.mark.fault("H3", exit=[77])
@pytest.mark.parametrize("status", [401, 403])
def test_h03_not_authorised_in_mid_run(status: int, database: str) -> None:
    ended = gives_up(database, 77, json_reply({"error": f"{AUTH['token']} has expired"}, status))
    assert str(status) in ended.tap.last_words
    assert "`auth`" in ended.tap.last_words
    assert AUTH["token"] not in ended.tap.stderr


@pytest.mark.fault("H4", exit=[65])
@pytest.mark.parametrize("status", [400, 404, 422])
def test_h04_other_refusals_end_the_run_at_once(status: int, database: str) -> None:
    body = {"message": "field `since` is wrong", "token": AUTH["token"]}
    with serving(failing(json_reply(body, status))) as api:
        ended = pipe(database, api.url, STREAM, auth=AUTH).expect(65, 65)
        assert [asked.path for asked in api.asked] == ["/rows", "/more"]
    assert "field `since` is wrong" in ended.tap.last_words
    assert AUTH["token"] not in ended.tap.stderr
    assert rows_of(database) == []


# --- H5, H6: no end ----------------------------------------------------------------------------------------------


@pytest.mark.fault("H5", exit=[69])
@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"[" + b" " * 10_000 + b"]", drip=0.05),
        Reply(b'[{"id', length=100, drip=30),
        Reply(b" " * 9, drip=30),
    ],
    ids=["a byte at a time", "stalled", "silent"],
)
def test_h05_a_slow_answer_has_a_deadline(reply: Reply, database: str) -> None:
    start = time.monotonic()
    timeout = {"connect": 1, "read": 0.6, "response": 1}
    gives_up(
        database,
        69,
        reply,
        again=reply.length is not None,
        timeout=timeout,
        retries={"tries": 2, "first_wait": 0.01},
    )
    assert time.monotonic() - start < 120


CUT = {
    "short": Reply(b'[{"id": 3}, {"id"', length=26),
    "short and valid JSON": Reply(b"[]", length=26),
    "broken chunk": Reply(b'[{"id": 3}]', chunked_and_broken=True),
    "hung up": Reply(hang_up=True),
}


@pytest.mark.fault("H6", exit=[0])
@pytest.mark.parametrize("cut", CUT)
def test_h06_a_body_that_is_cut_is_asked_for_again(cut: str, database: str) -> None:
    survives(database, CUT[cut])


@pytest.mark.fault("H6", exit=[69], main=True)
@pytest.mark.parametrize("cut", CUT)
def test_h06_a_body_that_is_always_cut_ends_the_run(cut: str, database: str) -> None:
    gives_up(database, 69, CUT[cut], again=cut == "short")


# --- H7, H8: no records ------------------------------------------------------------------------------------------

NOT_RECORDS: dict[str, tuple[Reply, str]] = {
    "HTML": (Reply(b"<!doctype html><p>log in", headers={"Content-Type": "text/html"}), "HTML"),
    "bad JSON": (Reply(b'[{"id": 3},'), "not"),
    "error": (json_reply({"error": {"code": 7}}), "an error with status 200"),
    "error beside a list": (json_reply({"error": "no", "details": []}), "an error with status 200"),
    "nothing": (Reply(b""), "empty body"),
    "null": (json_reply(None), "null"),
    "numbers": (json_reply([3]), "number"),
}


@pytest.mark.fault("H7", exit=[65])
@pytest.mark.parametrize("case", NOT_RECORDS)
def test_h07_what_is_not_records_is_never_zero_records(case: str, database: str) -> None:
    reply, finding = NOT_RECORDS[case]
    ended = gives_up(database, 65, reply, again=case == "HTML")
    assert finding in ended.tap.last_words
    assert "page 2 of stream rows" in ended.tap.last_words


TEXT_STREAM = STREAM | {"schema": {"properties": {"id": {"type": "string"}}}}


def text(value: str, encoding: str, content_type: str = "application/json") -> Reply:
    return Reply(
        json.dumps([{"id": value}], ensure_ascii=False).encode(encoding),
        headers={"Content-Type": content_type},
    )


@pytest.mark.fault("H8", exit=[65], main=True)
@pytest.mark.parametrize(
    "reply",
    [
        text("é", "latin-1"),
        text("é", "latin-1", "text/json; charset=utf-8"),
        text("e", "utf-8", "text/json; charset=klingon"),
    ],
    ids=["undeclared", "declared as UTF-8", "unknown charset"],
)
def test_h08_bytes_that_are_no_text_are_refused(reply: Reply, database: str) -> None:
    with serving({"/rows": lambda _: reply}) as api:
        pipe(database, api.url, TEXT_STREAM).expect(65, 65)
    assert rows_of(database) == []


@pytest.mark.fault("H8", exit=[0])
@pytest.mark.parametrize(
    "reply",
    [
        text("é寿🍣", "utf-8"),
        text("é寿🍣", "utf-8-sig"),
        text("é寿🍣", "utf-16", 'text/json; charset="utf-16"'),
        text("é", "latin-1", "text/json; charset=ISO-8859-1"),
    ],
    ids=["UTF-8", "byte order mark", "UTF-16", "Latin-1"],
)
def test_h08_text_arrives_as_it_is(reply: Reply, database: str) -> None:
    with serving({"/rows": lambda _: reply}) as api:
        pipe(database, api.url, TEXT_STREAM).expect(0, 0)
    assert rows_of(database) in (["é寿🍣"], ["é"])


# --- H9, H10: pages that move, pages without end ---------------------------------------------------------------


class Growing:
    """Rows that are shown newest first (or by id), two a page, with a new one after each page."""

    def __init__(self, kind: str) -> None:
        self.kind, self.ids = kind, list(range(1, 11))

    def __call__(self, asked: Asked) -> Reply:
        if self.kind == "keyset":
            after = int((asked.param("id") or "gt.0").removeprefix("gt."))
            page = [number for number in sorted(self.ids) if number > after][:2]
        elif self.kind == "cursor":
            before = int(asked.param("cursor") or 10**6)
            page = [number for number in sorted(self.ids, reverse=True) if number < before][:2]
        else:
            start = int(asked.param("offset") or 0)
            page = sorted(self.ids, reverse=True)[start : start + 2]
        if len(self.ids) < 15:
            self.ids.append(max(self.ids) + 1)
        more = {"next": page[-1] if page and page[-1] > 1 else None} if self.kind == "cursor" else {}
        return json_reply({"data": [{"id": number} for number in page], **more})


MOVING: dict[str, dict[str, Any]] = {
    "keyset": {"type": "keyset", "field": "id", "param": "id", "template": "gt.{value}"},
    "cursor": {"type": "cursor", "cursor": "$.next"},
    "offset": {"type": "offset"},
}


@pytest.mark.fault("H9", exit=[0])
@pytest.mark.parametrize("kind", MOVING)
def test_h09_rows_inserted_while_pages_are_read(kind: str, database: str) -> None:
    stream = STREAM | {"records": "$.data[*]", "pagination": MOVING[kind]}
    if kind == "offset":
        stream |= {"primary_keys": ["id"]}  # rows are shown twice, so they need a key
    with serving({"/rows": Growing(kind)}) as api:
        pipe(database, api.url, stream).expect(0, 0)
    found = rows_of(database)
    assert found == sorted(set(found))
    assert set(range(1, 11)) <= set(found)


CIRCLES = {"A-A": {"": "A", "A": "A"}, "A-B-A": {"": "A", "A": "B", "B": "A"}}


@pytest.mark.fault("H10", exit=[65])
@pytest.mark.parametrize("circle", CIRCLES)
def test_h10_pages_in_a_circle(circle: str, database: str) -> None:
    following = CIRCLES[circle]

    def route(asked: Asked) -> Reply:
        here = asked.param("cursor") or ""
        return json_reply({"data": [{"id": ord(here or "0")}], "next": following[here]})

    with serving({"/rows": route}) as api:
        stream = STREAM | {"records": "$.data[*]", "pagination": {"type": "cursor", "cursor": "$.next"}}
        ended = pipe(database, api.url, stream).expect(65, 65)
        assert len(api.asked) <= len(following) + 1
    assert "circle" in ended.tap.last_words
    assert rows_of(database) == []


@pytest.mark.fault("H10", exit=[65])
def test_h10_pages_without_end(database: str) -> None:
    with serving({"/rows": lambda asked: json_reply([{"id": int(asked.param("page") or 1)}])}) as api:
        stream = STREAM | {"pagination": {"type": "page"}}
        ended = pipe(database, api.url, stream, limits={"pages": 4}).expect(65, 65)
        assert len(api.asked) == 4
    assert "limits.pages" in ended.tap.last_words


# --- H11 to H14: hosts, addresses, sizes -----------------------------------------------------------------------


def leading_away(other: Api, way: str) -> Callable[[Asked], Reply]:
    target = f"{other.url}/rows"
    if way == "redirect":
        return lambda _: Reply(status=302, headers={"Location": target})
    return lambda _: json_reply(FIRST, Link=f'<{target}>; rel="next"')


@pytest.mark.fault("H11", exit=[77], only="redirect")
@pytest.mark.fault("H12", exit=[77], only="next")
@pytest.mark.parametrize("way", ["redirect", "next"])
def test_h11_h12_another_host_is_not_asked(way: str, database: str) -> None:
    secrets = {"auth": AUTH, "headers": {"X-Custom-Key": AUTH["token"]}}
    with serving({"/rows": lambda _: GOOD}) as other, serving({"/rows": leading_away(other, way)}) as api:
        ended = pipe(database, api.url, STREAM, **secrets).expect(77, 65)
        assert "allowed_hosts" in ended.tap.last_words
        assert other.asked == []
        assert rows_of(database) == []
        pipe(database, api.url, STREAM, allowed_hosts=[other.url], **secrets).expect(0, 0)
        (asked,) = other.asked
        assert AUTH["token"] not in asked.raw_path + str(asked.headers)
    assert rows_of(database) == ([3] if way == "redirect" else [1, 2, 3])


@pytest.mark.fault("H13", exit=[78])
@pytest.mark.parametrize("way", ["address", "number", "redirect"])
def test_h13_metadata_addresses_are_refused(way: str, database: str) -> None:
    """2852039166 is a name that resolves to 169.254.169.254: the check is on what a name resolves to."""
    address = "http://2852039166" if way == "number" else "http://169.254.169.254"
    with serving({"/rows": lambda _: Reply(status=302, headers={"Location": f"{address}/latest"})}) as api:
        url = api.url if way == "redirect" else address
        config = {"allowed_hosts": [address], "timeout": {"connect": 1}}
        ended = pipe(database, url, STREAM, auth=AUTH, **config).expect(78, 65)
    assert "allowed_addresses" in ended.tap.last_words


@pytest.mark.fault("H14", exit=[65])
@pytest.mark.parametrize("kind", ["bomb", "plain"])
def test_h14_a_body_without_measure(kind: str, database: str) -> None:
    body = b"[" + b" " * 30_000_000 + b"]"
    reply = (
        Reply(gzip.compress(body), headers={"Content-Encoding": "gzip"}) if kind == "bomb" else Reply(body)
    )
    ended = gives_up(database, 65, reply, limits={"response_bytes": 1_000_000})
    assert "limits.response_bytes" in ended.tap.last_words


# --- H15, H16: rows of one moment, rows that come late -----------------------------------------------------------


@pytest.mark.fault("H15", exit=[0])
@pytest.mark.parametrize("is_sorted", [True, False], ids=["sorted", "unsorted"])
def test_h15_rows_of_one_moment_over_pages_and_runs(is_sorted: bool, database: str) -> None:
    at = day(1)["at"]
    table = Table([{"id": number, "at": at} for number in range(1, 11)], size=3)
    stream = DAYS | {"is_sorted": is_sorted}
    with serving({"/rows": table}) as api:
        for last in (10, 14, 14):
            table.rows = [{"id": number, "at": at} for number in range(1, last + 1)]
            pipe(database, api.url, stream).expect(0, 0)
            assert rows_of(database) == list(range(1, last + 1))


@pytest.mark.fault("H16", exit=[0])
def test_h16_rows_that_appear_late_are_found(database: str) -> None:
    table = Table([day(1), day(5), day(9)], size=3)
    late = DAYS | {"incremental": {"param": "since", "lookback": 5 * 86400}, "primary_keys": ["id"]}
    with serving({"/rows": table}) as api:
        pipe(database, api.url, late).expect(0, 0)
        table.rows.append(day(6))
        pipe(database, api.url, late).expect(0, 0)
        assert rows_of(database) == [1, 5, 6, 9]
        assert query(database, "SELECT count(DISTINCT id) = count(*) FROM rows") == [(True,)]


# --- M22, M23: sources that change while they are read, and keys of no known order ---------------------------


class Changing:
    """Rows by their place, two a page; between the first two answers one changes behind the reading point, one ahead.

    Without a key a change is a row of its own.
    """

    def __init__(self, *, has_key: bool) -> None:
        self.has_key = has_key
        self.rows = {place: {**day(place), "version": 1} for place in range(1, 7)}

    def change(self) -> None:
        for number, moment, place in ((1, 3, -1), (5, 9, 15)):
            self.rows[number if self.has_key else place] = {**day(moment), "id": number, "version": 2}

    def __call__(self, asked: Asked) -> Reply:
        since, after = asked.param("since") or "", int(asked.param("cursor") or -9)
        page = [place for place in sorted(self.rows) if place > after and self.rows[place]["at"] >= since][:2]
        following = page[1] if len(page) == 2 else None
        reply = json_reply({"data": [self.rows[place] for place in page], "next": following})
        if after == -9 and not since:
            self.change()
        return reply


@pytest.mark.fault("M22", exit=[0])
@pytest.mark.parametrize("has_key", [True, False], ids=["key", "no key"])
def test_m22_a_row_that_changes_behind_the_reading_point_arrives(has_key: bool, database: str) -> None:
    source = Changing(has_key=has_key)
    stream = DAYS | {
        "schema": {"properties": DAYS["schema"]["properties"] | {"version": {"type": "integer"}}},
        "is_sorted": False,
        "records": "$.data[*]",
        "pagination": {"type": "cursor", "cursor": "$.next"},
        **({"primary_keys": ["id"]} if has_key else {}),
    }
    with serving({"/rows": source}) as api:
        for _ in range(3):
            pipe(database, api.url, stream).expect(0, 0)
    wanted = sorted((row["id"], row["version"]) for row in source.rows.values())
    assert query(database, "SELECT id, version FROM rows ORDER BY 1, 2") == wanted


UNORDERED = ["31/01/2026 10:00", "Sat, 31 Jan 2026 10:00:00 GMT", "1.10.2", "1001x"]


@pytest.mark.fault("M23", exit=[78])
@pytest.mark.parametrize("key", UNORDERED)
def test_m23_a_key_of_no_known_order_is_refused_before_the_first_row(key: str, database: str) -> None:
    stream = DAYS | {"schema": {"properties": {"id": {"type": "integer"}, "at": {"type": "string"}}}}
    with serving({"/rows": lambda _: json_reply([{"id": 1, "at": key}])}) as api:
        ended = pipe(database, api.url, stream).expect(78, 65)
    assert "replication_key_format" in ended.tap.last_words
    assert rows_of(database) == []
