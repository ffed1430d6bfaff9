"""What the server may do wrong, and what must then happen: the HTTP rows of the fault table."""

from __future__ import annotations

import email.utils
import gzip
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import Running
from taps.rest.api_server import Asked, Reply, json_reply, repeatedly, serving
from waiting import wait_until

from tap_rest.asking.questions import Question
from tap_rest.config import api_settings
from tap_rest.http.client import Client
from tap_rest.http.storing import Limits, TooLargeError, stored
from tap_rest.http.unpacking import CutError, unpacked

TAP = Path(sys.executable).with_name("tap-rest")

ROWS = [{"id": 1}, {"id": 2}]
GOOD = json_reply(ROWS)
STREAM = {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {}}}}


def in_http(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


TRANSIENT: dict[str, Reply] = {
    "H1 seconds": json_reply({}, 429, Retry_After="0"),
    "H1 date": json_reply({}, 429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
    "H1 huge": json_reply({}, 429, Retry_After="99999999"),
    "H1 far date": json_reply({}, 503, Retry_After=in_http(86400)),
    "H1 nonsense": json_reply({}, 429, Retry_After="soon"),
    "H1 without": Reply(b"<html>slow down</html>", 429),
    "H2 500": json_reply({}, 500),
    "H2 502": Reply(b"<html>bad gateway</html>", 502),
    "H2 503": json_reply({}, 503),
    "H2 504": json_reply({}, 504),
    "H6 short": Reply(b'[{"id": 1}, {"id"', length=26),
    "H6 short, valid JSON": Reply(b"[]", length=26),
    "H6 chunk": Reply(b'[{"id": 1}]', chunked_and_broken=True),
    "H6 hang up": Reply(hang_up=True),
    "H6 gzip without its end": Reply(gzip.compress(b"[]")[:-8], headers={"Content-Encoding": "gzip"}),
    "H6 gzip, half of its end": Reply(gzip.compress(b"[]")[:-4], headers={"Content-Encoding": "gzip"}),
    "H6 deflate without its end": Reply(zlib.compress(b"[]")[:-4], headers={"Content-Encoding": "deflate"}),
    "202, not ready yet": json_reply({}, 202),
    "202, none yet": json_reply([], 202, Retry_After="0"),
}


@pytest.mark.parametrize("fault", TRANSIENT)
def test_once_is_survived_and_for_ever_is_given_up(fault: str, run_tap: Any) -> None:
    bad = TRANSIENT[fault]
    with serving({"/rows": repeatedly(bad, GOOD)}) as api:
        run = run_tap(api.url, STREAM).ended(0)
        assert run.records("rows") == ROWS
        assert len(api.asked) == 2
        assert "try 1 failed" in run.stderr
        api.routes["/rows"] = repeatedly(bad)
        run = run_tap(api.url, STREAM).ended(69)
        assert run.records("rows") == []
        assert len(api.asked) == 2 + 3
        assert "after 3 tries: " in run.sentence


def test_a_path_that_is_not_there_names_the_settings_to_look_at(run_tap: Any) -> None:
    with serving({"/rows": lambda _: GOOD}) as api:
        assert "check `base_url` and `path`" in run_tap(f"{api.url}/v2", STREAM).ended(65).sentence


def test_which_limit_was_reached_is_said(run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply({}, 503)}) as api:
        retries = {"tries": 1000, "first_wait": 0.01, "longest_wait": 0.01, "total": 0.3}
        sentence = run_tap(api.url, STREAM, retries=retries).ended(69).sentence
        assert "tries in 0.3 s (`retries.total`): status 503" in sentence
        assert "after 1 try: status 503" in run_tap(api.url, STREAM, retries={"tries": 1}).ended(69).sentence


def test_what_the_last_answer_says_is_shown(run_tap: Any) -> None:
    told = {"error": "no shard 7", "token": "abc-def-ghi-jkl"}
    auth = {"type": "bearer", "token": "abc-def-ghi-jkl"}
    with serving({"/rows": lambda _: json_reply(told, 500)}) as api:
        run = run_tap(api.url, STREAM, auth=auth).ended(69)
        assert "tries: status 500, it says: `" in run.sentence
        assert "no shard 7" in run.sentence
        assert "***" in run.sentence
        assert run.stderr.count("no shard 7") == 1, "not after each try"


def test_tls_at_a_port_of_plain_http_names_the_setting(run_tap: Any) -> None:
    with serving({"/rows": lambda _: GOOD}) as api:
        run = run_tap(api.url.replace("http://", "https://"), STREAM).ended(69)
    assert (
        "TLS failed (where the server speaks plain HTTP at this port, `base_url` begins with `http://`; "
        in run.sentence
    )


def test_retry_after_is_waited_for(run_tap: Any) -> None:
    for asked in ("1", "a date"):
        wait = in_http(2.5) if asked == "a date" else asked
        with serving({"/rows": repeatedly(json_reply({}, 429, Retry_After=wait), GOOD)}) as api:
            retries = {"tries": 2, "first_wait": 0.01, "longest_wait": 5}
            start = time.monotonic()
            run_tap(api.url, STREAM, retries=retries).ended(0)
            assert time.monotonic() - start > 1


def test_refused_and_unknown_hosts(run_tap: Any) -> None:
    with serving({}) as api:
        gone = api.url
    assert "refused" in run_tap(gone, STREAM).ended(69).sentence
    sentence = run_tap("http://no-such-host.invalid", STREAM).ended(69).sentence
    assert "the name of the host is not known (check `base_url`)" in sentence


def test_tls_is_not_given_up(run_tap: Any) -> None:
    """A server without TLS is not asked without it."""
    with serving({"/rows": lambda _: GOOD}) as api:
        run = run_tap(api.url.replace("http:", "https:"), STREAM).ended(69)
        assert "TLS" in run.sentence
        assert api.asked == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_certificates_are_checked(run_tap: Any, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with serving({"/rows": lambda _: GOOD}, certificate=certificate, key=key) as api:
        run = run_tap(api.url, STREAM).ended(69)
        assert "certificate" in run.sentence
        assert "try 1" not in run.stderr
        assert api.asked == []
        trusting = run_tap(api.url, STREAM, ca_file=str(certificate)).ended(0)
    assert trusting.records("rows") == ROWS


@pytest.mark.parametrize("status", [401, 403])
def test_not_authorised_in_mid_run(status: int, run_tap: Any) -> None:
    first = json_reply(ROWS, Link='</rows>; rel="x", </more>; rel="next"')
    with serving({"/rows": lambda _: first, "/more": lambda _: json_reply({}, status)}) as api:
        run = run_tap(api.url, STREAM | {"pagination": {"type": "link_header"}}).ended(77)
    assert run.records("rows") == ROWS
    assert str(status) in run.sentence
    assert "auth" in run.sentence


@pytest.mark.parametrize("status", [400, 404, 410, 418, 422])
def test_other_4xx_fail_at_once(status: int, run_tap: Any) -> None:
    body = {"message": "field `since` is wrong", "token": "canary-token-1"}
    with serving({"/rows": lambda _: json_reply(body, status)}) as api:
        auth = {"type": "bearer", "token": "canary-token-1"}
        run = run_tap(api.url, STREAM, auth=auth).ended(65)
        assert len(api.asked) == 1
    assert "field `since` is wrong" in run.sentence
    assert "canary-token-1" not in run.stderr


DRIPPING = b"[" + b" " * 10_000 + b"]"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(DRIPPING, drip=0.05),
        Reply(b'[{"id', length=100, drip=30),
        Reply(DRIPPING, drip=0.05, until_close=True),
        Reply(DRIPPING, 400, drip=0.05, until_close=True),
        Reply(DRIPPING, 302, {"Location": "/rows"}, drip=0.05, until_close=True),
    ],
    ids=["a byte at a time", "stalled", "of no known length", "of an error", "of a redirect"],
)
def test_a_slow_answer_has_a_deadline(reply: Reply, run_tap: Any) -> None:
    with serving({"/rows": lambda _: reply}) as api:
        timeout = {"connect": 1, "read": 0.6, "response": 1}
        start = time.monotonic()
        run_tap(api.url, STREAM, timeout=timeout, retries={"tries": 2, "first_wait": 0.01}).ended(69)
        assert time.monotonic() - start < 10


def test_a_closed_client_leaves_no_thread_behind() -> None:
    with serving({"/rows": lambda _: GOOD}) as api:
        client = Client(api_settings({"base_url": api.url, "streams": [STREAM]}))
        for _ in range(2):  # and may be used again
            before = set(threading.enumerate())
            assert client.ask(Question(f"{api.url}/rows")).status == 200
            (deadline,) = (each for each in set(threading.enumerate()) - before if each.name == "deadline")
            client.close()
            deadline.join(10)
            assert not deadline.is_alive()


NOT_RECORDS: dict[str, tuple[Reply, str]] = {
    "HTML": (Reply(b"<!doctype html><p>log in", headers={"Content-Type": "text/html"}), "HTML"),
    "bad JSON": (Reply(b'[{"id": 1},'), "not"),
    "trailing comma": (Reply(b'[{"id": 1},]'), "not"),
    "NaN": (Reply(b'[{"id": NaN}]'), "not"),
    "error": (json_reply({"error": {"code": 7}}), 'status 200; it says: `{"error": {"code": 7}}`'),
    "error and list": (json_reply({"error": "no", "details": []}), 'status 200; it says: `{"error": "no",'),
    "nothing": (Reply(b""), "empty body"),
    "blanks": (Reply(b" \n"), "empty body"),
    "null": (json_reply(None), "null"),
    "text": (json_reply("none"), "string"),
    "numbers": (json_reply([1, 2]), "number"),
    "nested arrays": (json_reply([[{"id": 1}]]), "array"),
    "object": (json_reply({"id": 1}), "`id`"),
    "too deep": (Reply(b"[" * 200_000 + b"]" * 200_000), "deep"),
}


@pytest.mark.parametrize("case", NOT_RECORDS)
def test_what_is_not_records_is_never_zero_records(case: str, run_tap: Any) -> None:
    reply, finding = NOT_RECORDS[case]
    with serving({"/rows": lambda _: reply}) as api:
        run = run_tap(api.url, STREAM).ended(65)
        assert finding in run.sentence
        assert "page 1 of stream rows" in run.sentence
        selected = run_tap(api.url, STREAM | {"records": "$.data[*]"}).ended(65)
        assert selected.records("rows") == []
        assert len(api.asked) == 2


def test_no_content_is_no_records(run_tap: Any) -> None:
    with serving({"/rows": lambda _: Reply(status=204)}) as api:
        assert run_tap(api.url, STREAM).ended(0).records("rows") == []


TEXTS: dict[str, tuple[Reply, str | None]] = {
    "utf-8": (Reply('[{"id": "é寿🍣"}]'.encode()), "é寿🍣"),
    "BOM": (Reply('\ufeff[{"id": "é"}]'.encode()), "é"),
    "two BOMs": (Reply('\ufeff\ufeff[{"id": "é"}]'.encode()), "é"),
    "declared latin-1": (
        Reply('[{"id": "é"}]'.encode("latin-1"), headers={"Content-Type": "text/json; charset=ISO-8859-1"}),
        "é",
    ),
    "declared utf-16": (
        Reply('[{"id": "é"}]'.encode("utf-16"), headers={"Content-Type": 'text/json; charset="utf-16"'}),
        "é",
    ),
    "latin-1 undeclared": (Reply('[{"id": "é"}]'.encode("latin-1")), None),
    "latin-1 declared as utf-8": (
        Reply('[{"id": "é"}]'.encode("latin-1"), headers={"Content-Type": "text/json; charset=utf-8"}),
        None,
    ),
    "unknown": (Reply(b'[{"id": "e"}]', headers={"Content-Type": "text/json; charset=klingon"}), None),
}


@pytest.mark.parametrize("case", TEXTS)
def test_charsets(case: str, run_tap: Any) -> None:
    reply, text = TEXTS[case]
    with serving({"/rows": lambda _: reply}) as api:
        run = run_tap(api.url, STREAM).ended(65 if text is None else 0)
    assert run.records("rows") == ([] if text is None else [{"id": text}])


HEADS: dict[str, tuple[dict[str, str | list[str]], str]] = {
    "many": ({"X-Trace": ["1"] * 120}, "has more than 100 headers, which is more than is read"),
    "long": (
        {"X-Trace": "1" * 70_000},
        "has a header line of more than 65536 bytes, which is more than is read",
    ),
    "packed": ({"Transfer-Encoding": "gzip, chunked"}, "comes in the transfer encoding `gzip, chunked`"),
}


@pytest.mark.parametrize("case", HEADS)
def test_a_head_that_cannot_be_read_is_named_and_not_asked_for_again(case: str, run_tap: Any) -> None:
    headers, said = HEADS[case]
    with serving({"/rows": lambda _: Reply(GOOD.body, headers=headers)}) as api:
        assert said in run_tap(api.url, STREAM).ended(65).sentence
        assert len(api.asked) == 1


def test_what_does_not_begin_as_http_does(run_tap: Any) -> None:
    with serving({"/rows": lambda _: Reply(before=b"SSH-2.0-OpenSSH_9.2\r\n")}) as api:
        assert "the answer did not begin as HTTP does" in run_tap(api.url, STREAM).ended(69).sentence


def test_gzip_is_read_and_a_bomb_is_not(run_tap: Any) -> None:
    packed = {"Content-Encoding": "gzip"}
    with serving({"/rows": lambda _: Reply(gzip.compress(GOOD.body), headers=packed)}) as api:
        assert run_tap(api.url, STREAM).ended(0).records("rows") == ROWS
        assert api.asked[0].headers["Accept-Encoding"] == "gzip, deflate", (
            "what we can read, whatever is installed"
        )
        bomb = gzip.compress(b"[" + b" " * 300_000_000 + b"]", 1)
        api.routes["/rows"] = lambda _: Reply(bomb, headers=packed)
        small = run_tap(api.url, STREAM, limits={"response_bytes": 100_000_000}).ended(65)
        assert "limits.response_bytes" in small.sentence
        api.routes["/rows"] = lambda _: Reply(b"not gzip", headers=packed)
        run_tap(api.url, STREAM).ended(65)


RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
PACKED: dict[str, tuple[bytes, str]] = {
    "gzip": (gzip.compress(GOOD.body), "gzip"),
    "several members": (gzip.compress(GOOD.body[:5]) + gzip.compress(GOOD.body[5:]), "x-gzip"),
    "something behind it": (gzip.compress(GOOD.body) + b"\0\0\0", "GZip"),
    "deflate": (zlib.compress(GOOD.body), "deflate"),
    "deflate, raw": (RAW.compress(GOOD.body) + RAW.flush(), "deflate"),
    "twice": (gzip.compress(zlib.compress(GOOD.body)), "deflate, gzip"),
    "none, by a strange name": (GOOD.body, "UTF-8"),
    "nothing": (b"", "gzip"),
}


def test_what_stands_behind_gzip_is_padding_or_a_member_that_is_broken() -> None:
    packed = gzip.compress(b"a")
    assert unpacked_body(packed + b"\0\0\r\n", "gzip") == b"a"
    with pytest.raises(CutError):
        unpacked_body(packed + b"\x1e" + packed[1:], "gzip")


def unpacked_body(body: bytes, encoding: str, limit: int = 1000) -> bytes:
    found = stored(unpacked([body], encoding), Limits.of(limit))
    assert isinstance(found, bytes)
    assert found == b"".join(unpacked([body[at : at + 1] for at in range(len(body))], encoding))
    return found


@pytest.mark.parametrize("name", PACKED)
def test_what_is_compressed_is_read_whole_or_not_at_all(name: str) -> None:
    body, encoding = PACKED[name]
    assert unpacked_body(body, encoding) == (GOOD.body if body else b"")
    if encoding == "UTF-8" or not body:
        return
    with pytest.raises(TooLargeError):
        unpacked_body(body, encoding, len(GOOD.body) - 1)
    whole = len(body) - 3 if "behind" in name else len(body)
    end_of_the_first = len(gzip.compress(GOOD.body[:5])) if "members" in name else None
    for length in range(1, whole):
        if length != end_of_the_first:
            with pytest.raises((CutError, zlib.error)):
                unpacked_body(body[:length], encoding)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"[]", "gzip"), (b"[", "x-gzip"), (GOOD.body, "deflate"), (GOOD.body, "deflate, gzip")],
)
def test_what_is_not_compressed_as_it_is_declared_is_neither_taken_nor_asked_for_again(
    body: bytes, encoding: str
) -> None:
    with pytest.raises(zlib.error):
        unpacked_body(body, encoding)


def test_the_limit_of_a_body_is_not_above_it() -> None:
    assert unpacked_body(gzip.compress(GOOD.body), "gzip", len(GOOD.body)) == GOOD.body


def test_what_stands_behind_a_deflated_body_is_no_part_of_it() -> None:
    assert unpacked_body(zlib.compress(GOOD.body) + gzip.compress(b"x"), "deflate") == GOOD.body


STATUSES: list[tuple[int, Any, dict[str, str], int, str]] = [
    *((status, ROWS, {}, 0, "") for status in (200, 201, 203, 299)),
    *((status, [], {}, 0, "") for status in (200, 203)),
    *((status, [], {}, 65, f"got {status} with no records") for status in (201, 205, 206, 207, 226, 299)),
    *((status, ROWS, {}, 65, f"got {status} with records") for status in (207, 208, 226)),
    (206, ROWS, {"Content_Range": "0-1/2"}, 0, ""),
    (206, ROWS, {"Content_Range": "items 0-1/*"}, 65, "status is 206"),
    (206, ROWS, {}, 65, "status is 206"),
]


@pytest.mark.parametrize(("status", "body", "headers", "code", "said"), STATUSES)
def test_a_status_that_is_no_whole_answer(
    status: int, body: Any, headers: dict[str, str], code: int, said: str, run_tap: Any
) -> None:
    with serving({"/rows": lambda _: json_reply(body, status, **headers)}) as api:
        run = run_tap(api.url, STREAM).ended(code)
        assert said in run.sentence
        assert run.records("rows") == ([] if code else body)
        if "partial_answers" in run.sentence:
            told = run_tap(api.url, {**STREAM, "partial_answers": "warn"}).ended(0)
            assert said in told.stderr
            assert told.records("rows") == body


def test_pages_with_206_are_read_without_a_word(run_tap: Any) -> None:
    """As PostgREST has them: the last one and an empty one behind it, too."""

    def part(asked: Asked) -> Reply:
        start = int(asked.param("offset") or 0)
        return json_reply(ROWS[start : start + 1], 206, Content_Range=f"{start}-{start}/*")

    with serving({"/rows": part}) as api:
        run = run_tap(api.url, {**STREAM, "pagination": {"type": "offset"}}).ended(0)
    assert run.records("rows") == ROWS
    assert "WARNING" not in run.stderr


def test_what_is_not_ready_is_taken_where_the_user_says_so(run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply(ROWS, 202)}) as api:
        refused = run_tap(api.url, STREAM).ended(69).sentence
        assert "status 202, the answer is not ready yet (if this API never answers otherwise, set" in refused
        assert '`"partial_answers": "warn"`' in refused
        told = run_tap(api.url, {**STREAM, "partial_answers": "warn"}).ended(0)
    assert told.records("rows") == ROWS
    assert "got 202 with records" in told.stderr


SLOW = {
    "waiting to retry": json_reply({}, 503),
    "waiting for a body": Reply(DRIPPING, drip=0.5),
    "waiting for an error of no known length": Reply(DRIPPING, 401, drip=0.5, until_close=True),
}


@pytest.mark.parametrize("when", SLOW)
def test_sigterm_ends_a_wait(when: str, tmp_path: Path) -> None:
    with serving({"/rows": lambda _: SLOW[when]}) as api:
        config = tmp_path / "config.json"
        retries = {"first_wait": 50, "longest_wait": 50}
        config.write_text(json.dumps({"base_url": api.url, "retries": retries, "streams": [STREAM]}))
        with Running([str(TAP), "--config", str(config)]) as process:
            wait_until(lambda: api.asked, "a request", 20)
            api.is_over.wait(0.3)  # until it has read the answer and waits
            start = time.monotonic()
            process.signal(signal.SIGTERM)
            process.finish(close=False).expect(143)
            assert time.monotonic() - start < 5


def test_one_record_that_is_no_object(run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply([*ROWS, 3])}) as api:
        for stream in (STREAM, {"name": "rows", "path": "/rows"}):
            assert "`object`" in run_tap(api.url, stream).ended(65).sentence


@pytest.mark.parametrize(
    "before",
    [b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"],
)
def test_an_answer_that_is_announced_is_waited_for(before: bytes, run_tap: Any) -> None:
    first, second = json_reply([{"id": 1}]), json_reply([])
    first.before = second.before = before * 2
    stream = {
        "name": "rows",
        "path": "/rows",
        "pagination": {"type": "page"},
        "schema": {"properties": {"id": {}}},
    }
    with serving({"/rows": repeatedly(first, second)}) as api:
        run = run_tap(api.url, stream).ended(0)
    assert run.records("rows") == [{"id": 1}]
