"""The head of an answer: what http.client makes of it, and what is refused because nobody would know where the body ends."""

from __future__ import annotations

import http.client
import io
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sampling import tries

from tap_rest.http.heads import AnswerHeaders, ContentLengthError, FinalResponse, by_name


class Line:
    """A connection on which ``data`` has come."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> Any:
        return io.BufferedReader(io.BytesIO(self._data))  # type: ignore[arg-type]  # it is one, and not said to be


def begun(data: bytes, kind: type[http.client.HTTPResponse] = FinalResponse, method: str = "GET") -> Any:
    response = kind(Line(data), method=method)  # type: ignore[arg-type]  # all that is asked of a socket
    response.begin()
    return response


def outcome(data: bytes, kind: type[http.client.HTTPResponse]) -> Any:
    try:
        response = begun(data, kind)
    except Exception as error:
        return type(error)
    headers: dict[str, str] = {}
    for name, value in response.msg.items():
        name, value = name.lower(), value if kind is FinalResponse else value.rstrip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return response.status, response.version, response.chunked, response.will_close, response.length, headers


NAME = st.sampled_from(
    ["Link", "link", "X-A", "Content-Type", "Connection", "Keep-Alive", "Set-Cookie", "", "X Y", "Ü"]
)
VALUE = st.text(st.sampled_from('ab é\x85\x0b\x0c"<>;:=,\t\x00'), max_size=8) | st.sampled_from(
    ["close", "keep-alive", "chunked"]
)
LINE = st.builds("{}:{}{}".format, NAME, st.sampled_from(["", " ", "\t "]), VALUE) | st.sampled_from(
    [" folded", "\tfolded", "none", "Transfer-Encoding: chunked"]
)
HEADS = st.builds(
    lambda version, status, lines, ends: "".join(
        f"{line}{ends}" for line in (f"{version} {status} Fine", *lines, "")
    ),
    st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/1.7", "HTTP/2", "ICY"]),
    st.sampled_from([200, 404, 999, 99, "x"]),
    st.lists(LINE, max_size=6),
    st.sampled_from(["\r\n", "\n"]),
)


@settings(max_examples=tries(60), deadline=None)
@given(HEADS)
@example("HTTP/1.1 200 OK\r\n folded: first\r\n\r\n")
@example("HTTP/1.1 200 OK\r\nX-A: one\rX-B: two\r\n\r\n")
@example("HTTP/1.1 200\r\n\r\n")
@example("HTTP/1.0 200 OK\r\nKeep-Alive:\r\nKeep-Alive:\r\n\r\n")
@example("HTTP/1.0 200 OK\r\nProxy-Connection: Keep-Alive\r\n\r\n")
@example("HTTP/1.1 200 OK\r\nConnection: a\r\nConnection: close\r\n\r\n")
@example("\r\n")
def test_a_head_is_read_as_http_client_reads_it(head: str) -> None:
    data = head.encode("latin-1")
    assert outcome(data, FinalResponse) == outcome(data, http.client.HTTPResponse)


@pytest.mark.parametrize("cut", range(1, 54))
def test_a_head_that_breaks_off_is_no_answer(cut: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 9\r\n\r\n"
    with pytest.raises((http.client.RemoteDisconnected, http.client.BadStatusLine)):
        begun(head[:-cut])


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ("Content-Length: 7", 7), ("Content-Length:7 \t", 7), ("Content-Length: 7, 7", 7), ("Content-Length: 7\r\ncontent-length: 7", 7),
        ("Content-Length: 0", 0), ("X: y", None), ("Content-Length: 7\r\nTransfer-Encoding: chunked ", None),
    ],
)  # fmt: skip
def test_a_length_says_where_the_body_ends(lines: str, length: int | None) -> None:
    response = begun(f"HTTP/1.1 200 OK\r\n{lines}\r\n\r\n".encode())
    assert (response.length, response.chunked) == (length, "chunked" in lines)
    assert response.will_close == (length is None and not response.chunked)


@pytest.mark.parametrize(
    "value", ["", "7, 8", "7\r\nContent-Length: 8", "-7", "+7", "7.0", "0x7", "7_0", "²", "seven", ","]
)
def test_a_length_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ContentLengthError):
        begun(f"HTTP/1.1 200 OK\r\nContent-Length: {value}\r\n\r\n".encode("latin-1"))


@pytest.mark.parametrize(("status", "method"), [(204, "GET"), (304, "GET"), (101, "GET"), (200, "HEAD")])
@pytest.mark.parametrize(
    "lines", ["Transfer-Encoding: chunked", "Content-Length: 7", "Content-Length: x", "X: y"]
)
def test_what_has_no_body_is_not_waited_for(status: int, method: str, lines: str) -> None:
    response = begun(f"HTTP/1.1 {status} So\r\n{lines}\r\n\r\nleft".encode(), method=method)
    assert (response.read(9), response.isclosed()) == (b"", True)
    assert response.will_close == (status == 101)  # what is spoken there from now on is not HTTP


def test_announcements_are_passed_over() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    response = begun(early + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert (response.status, dict(response.msg), response.read(9)) == (200, {"Content-Length": "2"}, b"ok")


@pytest.mark.parametrize(
    "head", [b"X: " + b"y" * 65536 + b"\r\n", b"X: y\r\n" * 101], ids=["a long line", "many lines"]
)
@pytest.mark.parametrize("status", [100, 200])
def test_a_head_has_limits(head: bytes, status: int) -> None:
    with pytest.raises(http.client.HTTPException):
        begun(b"HTTP/1.1 %d So\r\n%b\r\n" % (status, head))


def test_headers_are_found_whatever_their_case() -> None:
    headers = AnswerHeaders([("Link", "<1>"), ("X-Next", ""), ("LINK", "<2>")])
    assert dict(headers) == {"Link": "<1>, <2>", "X-Next": ""}
    assert (headers.get("link"), headers["x-next"], headers.get("no"), headers.get("no", "so")) == (
        "<1>, <2>", "", None, "so",
    )  # fmt: skip
    assert ("x-NEXT" in headers, "no" in headers, 7 in headers, len(headers)) == (True, False, False, 2)
    assert (headers.get_all("link"), headers.get_all("no", []), headers.first("link"), headers.first("no")) == (
        ["<1>", "<2>"], [], "<1>", "",
    )  # fmt: skip
    assert by_name(headers) is headers
    assert by_name({"ETag": "1"})["etag"] == "1"
    with pytest.raises(KeyError):
        headers["no"]
